#!/bin/sh
# slow: what make does when it is stopped, given twice, asked for a folder, handed thousands of runs, or run where git will not talk.
set -u
for tool in make perl cc; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
bin=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/make.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES RUNS SCALE DEVICE
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" 2>/dev/null | sed 's/^/# /'; fi; }
quiet() { make --no-print-directory NVCC= "$@" >"$tmp/out" 2>&1; }
plain() { "$@" >"$tmp/out" 2>&1; }
killed() { perl -e 'setpgrp 0, 0; exec @ARGV' "$@" >"$tmp/out" 2>&1; }     # in a process group of its own, which may kill itself

# ---- a compiler that is killed in the middle of its object ----
mkdir "$tmp/bin"
cat >"$tmp/bin/cc-half" <<'END'
#!/bin/sh
cc "$@" || exit
[ -e "$0.kill" ] || exit 0
while [ $# -gt 1 ]; do [ "$1" != -o ] || out=$2; [ "$1" != -MF ] || deps=$2; shift; done
case ${out:-} in *base.o) for f in "$out" "$deps"; do head -c 300 "$f" >"$f.half"; cat "$f.half" >"$f"; rm "$f.half"; done; kill -9 -$(sed 's/.*) . [0-9]* \([0-9]*\) .*/\1/' /proc/$$/stat) ;; esac
END
chmod +x "$tmp/bin/cc-half"
object() { "$1" make --no-print-directory NVCC= B="$tmp/b" CC="$tmp/bin/cc-half" CFLAGS=-O0 "$tmp/b/obj/base/base.o" "$tmp/b/obj/base/rng.o"; }
: >"$tmp/bin/cc-half.kill"
object killed; [ $? = 137 ] && [ ! -e "$tmp/b/obj/base/base.o" ] && [ ! -e "$tmp/b/obj/base/base.d" ]; ok $? 'a compiler killed in its work leaves no object'
ls -d "$tmp/b/obj/base/base.o.new."* >/dev/null; ok $? 'but a folder beside it'
rm "$tmp/bin/cc-half.kill"
object plain && [ -s "$tmp/b/obj/base/base.d" ] && nm "$tmp/b/obj/base/base.o" | grep -q file_commit; ok $? 'the next make compiles it'
! ls -d "$tmp/b/obj/"*/*.new.* >"$tmp/out" 2>&1; ok $? 'and sweeps the folder'
object plain && ! grep -q CC "$tmp/out"; ok $? 'a third one finds it done'
rm "$tmp/b/obj/base/base.d"; object plain && [ -s "$tmp/b/obj/base/base.d" ]; ok $? 'what it was made of being gone, it is made anew'

# ---- cells: a folder is whole or not there ----
cells() { make --no-print-directory cells NVCC= SCALE=smoke WORK="$tmp/$1" WBCSNET="$bin" >"$tmp/out.$2" 2>&1; }
d=$tmp/w/data/synthetic-smoke
(cells w 1; echo $? >"$tmp/rc.1") & (cells w 2; echo $? >"$tmp/rc.2") & wait
[ "$(cat "$tmp/rc.1" "$tmp/rc.2" | tr -d '\n')" = 00 ]; ok $? 'two makes at a time draw the same cells'
"$bin" data "$d/dataset1" "$d/dataset2" "$d/dataset3" >"$tmp/out" 2>&1; ok $? 'which are whole'
! ls -d "$d"/*.* >"$tmp/out" 2>/dev/null; ok $? 'and nothing else is left there'
! grep -rqF "$tmp" "$d" --include=dataset.json; ok $? 'no path of this machine is in their record'
rm "$d/dataset2/dataset.json"
cells w 3; s=$?; cp "$tmp/out.3" "$tmp/out"; [ $s = 0 ] && "$bin" data "$d/dataset2" >/dev/null; ok $? 'a folder of cells without its record does not stand in the way'

# ---- goals that are folders ----
for goal in build tests tools generated experiments src.nw book/201-nets.nw tests/60-stats.c paper/ figures/; do
    quiet $goal; [ $? = 2 ] && grep -q "found the goal '$goal', which is a f.* expected " "$tmp/out"; ok $? "make $goal is refused"
done
quiet build; grep -q 'expected make all' "$tmp/out"; ok $? 'make build says make all'
quiet tests/60-stats.c; grep -q 'expected make test TESTS=tests/60-stats.c' "$tmp/out"; ok $? 'a test by itself is TESTS='

# ---- TESTS ----
tests() { quiet -n test B="$tmp/none" "$@"; }
tests TESTS=tests/60-stats.c; grep -q ' -j [0-9]* .*none/tests/60-stats.t$' "$tmp/out" && grep -q 'tests/60-stats.c ' "$tmp/out" && [ "$(grep -c -- '-o [^ ]*/[0-9][0-9]-' "$tmp/out")" = 1 ]; ok $? 'TESTS=tests/x.c builds that test and runs it'
tests TESTS=tests/90-cli.t && [ "$(grep -c -- '-o [^ ]*/[0-9][0-9]-' "$tmp/out")" = 0 ]; ok $? 'a script needs no other test'
tests TESTS=tests/60-stat.c; [ $? = 2 ] && grep -q 'TESTS=tests/60-stat.c: found no such test' "$tmp/out"; ok $? 'a test that there is not: one message'

# ---- what only looks leaves nothing ----
make --no-print-directory -n paper NVCC= SCALE=smoke WORK="$tmp/look" PAPER="$tmp/look/paper.pdf" >"$tmp/out" 2>&1; s=$?
[ $s = 0 ] && grep -q 'summarise --experiment cv' "$tmp/out" && ! find "$tmp/look" -name '*.new.*' | grep .; ok $? 'make -n leaves no folder behind'
mkdir -p "$tmp/look/sheets" "$tmp/look/results/cv" "$tmp/look/figures" "$tmp/look/tmp"
echo '{}' >"$tmp/look/results/cv/results.json"
printf '#!/bin/sh\n[ "$1" = --version ] || { echo "! no LaTeX today" >paper.log; cat paper.log; exit 1; }\necho pdfTeX\n' >"$tmp/bin/pdflatex"; chmod +x "$tmp/bin/pdflatex"
PATH=$tmp/bin:$PATH TMPDIR=$tmp/look/tmp experiments/typeset "$tmp/look/sheets" "$tmp/look/results" "$tmp/look/figures" smoke synthetic synthetic >"$tmp/out" 2>&1; s=$?
[ $s != 0 ] && grep -q 'no LaTeX today' "$tmp/out"; ok $? 'LaTeX that fails is told'
[ -z "$(ls -A "$tmp/look/tmp")" ]; ok $? 'and leaves nothing behind'

# ---- thousands of runs, whose names are more than a shell's line ----
cat >"$tmp/program" <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do case $1 in --out) out=$2 ;; --list) list=$2 ;; esac; what=${what:-$1}; last=$1; shift; done
case $what in
    synth) mkdir "$last" && echo cells >"$last/labels.csv" && echo '{}' >"$last/dataset.json" ;;
    summarise) wc -w <"$list" >"$out/results.json" ;;
esac
END
chmod +x "$tmp/program"
many() { quiet SCALE=full SEEDS=300 ONLY=cv/wbcsnet2 PLAN=0 WORK="$tmp/many" WBCSNET="$tmp/program" "$@"; }
r=$tmp/many/results/full/synthetic-part$(echo cv/wbcsnet2 | cksum | cut -d' ' -f1)
many "$r/jobs.txt"; ok $? 'a list of 3000 jobs is made'
perl -0777 -e 'use File::Path; for (split " ", <STDIN>) { mkpath s{/[^/]*$}{}r; open my $f, ">", $_ or die }' <"$r/jobs.txt"
[ "$(wc -w <"$r/jobs.txt")" = 3000 ] && [ "$(wc -c <"$r/jobs.txt")" -gt 131072 ]; ok $? 'it is longer than a line may be'
many "$tmp/many/inputs.txt" && find "$tmp/many/runs" -name run.json -exec touch {} + && many "$r/cv/results.json" && [ "$(cat "$r/cv/results.json")" = 3000 ]; ok $? 'all are summed up'

# ---- the version ----
if command -v git >/dev/null; then
    unset GIT_DIR GIT_WORK_TREE
    mkdir -p "$tmp/v/tools" && cp tools/version "$tmp/v/tools" && mkdir "$tmp/v/book" && echo book >"$tmp/v/src.nw" && echo chapter >"$tmp/v/book/1.nw"
    book=0.1-book-$(cat "$tmp/v/src.nw" "$tmp/v/book/1.nw" | sha256sum | cut -c1-12)
    git init -q "$tmp" 2>"$tmp/out" && [ "$("$tmp/v/tools/version")" = "$book" ]; ok $? 'sources without git, inside a repository of something else, go by their book'
    git init -q "$tmp/v" && git -C "$tmp/v" add . && git -C "$tmp/v" -c user.name=a -c user.email=b commit -qm c >"$tmp/out" 2>&1
    [ "$("$tmp/v/tools/version")" = "$(git -C "$tmp/v" describe --always)" ]; ok $? 'with git by the commit'
    [ "$(GIT_TEST_ASSUME_DIFFERENT_OWNER=1 "$tmp/v/tools/version" 2>"$tmp/out")" = "$(git -C "$tmp/v" describe --always)" ] ||
        grep -q 'git does not say which commit' "$tmp/out"; ok $? "so is a checkout of another user's, or it says why not"
    rm "$tmp/v/.git/HEAD"; [ "$("$tmp/v/tools/version" 2>"$tmp/out")" = "$book" ] && grep -q 'git does not say which commit this is: fatal' "$tmp/out" && grep -q '  hint: ' "$tmp/out"
    ok $? 'where git fails, a message, and the book'
fi
echo "1..$n"
