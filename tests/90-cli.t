#!/bin/sh
# The command line: help, unknown words, missing values, exit codes; the documentation names only flags that exist.
set -u
w=${WBCSNET:-build/wbcsnet}
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t90.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
# run CODE TEXT COMMAND...: the command ends with that exit code and says TEXT
run() {
    code=$1 text=$2; shift 2
    "$@" >"$tmp/out" 2>&1 </dev/null
    got=$?
    grep -qF -e "$text" "$tmp/out" && [ "$got" = "$code" ]
    ok $? "exit $code, '$text': $(echo "$*" | sed 's,[^ ]*/,,g')"
    [ "$got" = "$code" ] || { echo "# exit $got"; sed 's/^/# /;5q' "$tmp/out"; }
}

run 2 'usage: wbcsnet SUBCOMMAND' "$w"
run 0 'exit codes: 0 done' "$w" --help
run 0 'wbcsnet ' "$w" --version
run 2 'did you mean doctor?' "$w" docter
run 2 'wbcsnet --help lists them' "$w" xyzzyplugh
run 2 'one word too many' "$w" doctor now
run 2 'did you mean --measure?' "$w" doctor --mesure
run 2 'flags have two dashes' "$w" doctor -m
run 2 'this flag is on or off' "$w" doctor --json=1

run 0 'sgemm' "$w" doctor --measure

commands=$("$w" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
for c in $commands; do
    "$w" "$c" --help >"$tmp/help" 2>"$tmp/err" && [ ! -s "$tmp/err" ] && grep -q "^usage: wbcsnet $c" "$tmp/help"
    ok $? "$c --help"
    ! grep -nE '.{141}' "$tmp/help" >"$tmp/wide"
    ok $? "$c --help fits a wide terminal"
    sed -n 's/^  --\([a-z0-9-]*\) .*/\1/p' "$tmp/help" >"$tmp/flags"
    sed "s/^/$c /" "$tmp/flags" >>"$tmp/all"; echo "$c help" >>"$tmp/all"
    bad=0
    while read -r f; do
        "$w" "$c" "--${f}x" >"$tmp/out" 2>&1 </dev/null; [ $? = 2 ] && grep -q 'did you mean --' "$tmp/out" || { bad=1; echo "# --${f}x"; }
    done <"$tmp/flags"
    ok $bad "$c suggests a flag for each one mistyped"
    bad=0
    sed -n 's/^  --\([a-z0-9-]*\) [A-Z].*/\1/p' "$tmp/help" >"$tmp/valued"
    while read -r f; do
        "$w" "$c" "--$f" >"$tmp/out" 2>&1 </dev/null; [ $? = 2 ] && grep -q 'no value' "$tmp/out" || { bad=1; echo "# --$f"; }
    done <"$tmp/valued"
    ok $bad "$c tells a flag whose value is missing"
    if [ "$c" != doctor ] && [ "$c" != bench ]; then
        "$w" "$c" >"$tmp/out" 2>&1 </dev/null
        [ $? = 2 ] && [ -s "$tmp/out" ]
        ok $? "$c without its arguments is a usage error"
    fi
done

# What README, DATA, Makefile and the experiments tell people to type exists.
cat README.md DATA.md Makefile experiments/jobs experiments/jobs.mk 2>/dev/null |
    grep -oE '(wbcsnet|\$\(WBCSNET\)) [a-z]+ [^`|>#]*' >"$tmp/told"
bad=0
while read -r _ c rest; do
    grep -q "^$c " "$tmp/all" || continue                # prose: "wbcsnet is ..."
    for word in $rest; do
        case $word in --[a-z]*) f=${word%%[!-a-z0-9]*}; grep -qx -e "$c ${f#--}" "$tmp/all" || { bad=1; echo "# wbcsnet $c $f"; } ;; esac
    done
done <"$tmp/told"
ok $bad "the flags that the documentation names exist"

"$w" doctor --json >"$tmp/doctor.json"
ok $? "doctor exits 0"
perl -MJSON::PP -0777 -ne '$j = decode_json($_); exit !($j->{build}{version} && $j->{engines}{ref} && $j->{engines}{cuda} && $j->{machine}{cores})' "$tmp/doctor.json"
ok $? "doctor --json is JSON with version, engines and cores"
if [ -w /dev/full ]; then
    "$w" doctor >/dev/full 2>"$tmp/err"
    [ $? = 1 ] && grep -q 'the disk is full' "$tmp/err"
    ok $? "a full disk behind standard output is an error"
else n=$((n + 1)); echo "ok $n # SKIP no /dev/full here"; fi

run 3 "$tmp/nowhere" "$w" data "$tmp/nowhere"
run 3 'hint' "$w" folds "$tmp/nowhere"
mkdir "$tmp/empty"
run 3 'dataset.json' "$w" folds "$tmp/empty"
run 3 'nowhere.net' "$w" describe "$tmp/nowhere.net"
echo "1..$n"
