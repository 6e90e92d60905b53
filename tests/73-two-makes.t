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
echo "1..$n"
