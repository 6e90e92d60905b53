#!/bin/sh
# slow: two makes in one tree, ten times: both end well, each job is run once, and nothing is left of either.
set -u
for tool in make perl; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
bin=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/two.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES RUNS SCALE DEVICE ONLY
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
begin() { make --no-print-directory begin NVCC= SCALE=smoke ONLY=begin/wbcsnet2,begin/wbcsnet WORK="$tmp/w" WBCSNET="$bin" >"$tmp/out.$1" 2>&1; echo $? >"$tmp/rc.$1"; }
good=0 trained=0 left=0
for i in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$tmp/w/runs" "$tmp/w/results"
    begin 1 & begin 2 & wait
    if [ "$(cat "$tmp/rc.1" "$tmp/rc.2" | tr -d '\n')" = 00 ]; then good=$((good + 1)); else cat "$tmp/out.1" "$tmp/out.2" | tail -n 12 | sed 's/^/# /'; fi
    [ "$(cat "$tmp/out.1" "$tmp/out.2" | grep -c '^  TRAIN')" = 6 ] || trained=$((trained + 1))
    left=$((left + $(find "$tmp/w/runs" "$tmp/w/results" -name '*.new.*' -o -name '*.tmp.*' -o -name lock -o -name '*.old' | wc -l)))
done
[ $good = 10 ]; ok $? "two makes at once end well ($good times of 10)"
[ $trained = 0 ]; ok $? "each job is trained once (not so $trained times)"
[ $left = 0 ]; ok $? "nothing is left half-written ($left files)"
# Two containers, or two nodes, whose processes have the same numbers: each takes the other's for a living one.
if unshare -p -f --mount-proc true 2>/dev/null; then
    rm -rf "$tmp/w"
    for i in 1 2; do unshare -p -f --mount-proc make --no-print-directory begin NVCC= SCALE=smoke ONLY=begin/wbcsnet2,begin/wbcsnet WORK="$tmp/w" WBCSNET="$bin" >"$tmp/out.$i" 2>&1 & eval "p$i=\$!"; done
    wait $p1; a=$?; wait $p2; b=$?
    [ $a$b = 00 ]; ok $? 'two makes in two process namespaces end well'
    [ $a$b = 00 ] || cat "$tmp/out.1" "$tmp/out.2" | tail -n 8 | sed 's/^/# /'
else n=$((n + 1)); echo "ok $n # SKIP no process namespace can be made here"; fi
echo "1..$n"
