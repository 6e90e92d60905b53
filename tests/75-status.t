#!/bin/sh
# make status: what is done, running, stopped and left, from files alone.
set -u
for tool in make perl flock; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
bin=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/status.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" | sed 's/^/# /'; fi; }
has() { grep -q -- "$1" "$tmp/out"; ok $? "$2"; }
look() { make --no-print-directory status SCALE=smoke WORK="$tmp/w" WBCSNET="$bin" NVCC= ONLY=cv/wbcsnet2,cv/ramesh "$@" >"$tmp/out" 2>&1; }
look; ok $? 'before anything was run'
has '^scale smoke: 0 of 4 jobs done, 0 running, 0 stopped, 4 left$' 'all is left'
has 'of computing left; 4 jobs of arms that nobody has begun are not counted$' 'and nobody can say how long it takes'
! grep -q uninitialized "$tmp/out"; ok $? 'without a word of Perl about what is not there yet'
r=$tmp/w/runs/smoke/synthetic/cv
mkdir -p "$r/wbcsnet2/seed1/fold0" "$r/wbcsnet2/seed1/fold1" "$r/ramesh/seed1/fold0"
echo '{"finished": true, "seconds": 600}' >"$r/wbcsnet2/seed1/fold0/run.json"
echo '{"recipe": {"epochs": 4}}' >"$r/wbcsnet2/seed1/fold1/config.json"
printf 'iteration,epoch,loss,accuracy\n1,1,1.6,0.2\n2,1,1.5,0.3\n' >"$r/wbcsnet2/seed1/fold1/log.csv"
: >"$r/ramesh/seed1/fold0/checkpoint.safetensors"
echo 'process 7 on node<1>' >"$r/wbcsnet2/seed1/fold1/lock"
flock -F "$r/wbcsnet2/seed1/fold1/lock" sleep 60 >/dev/null 2>&1 & holder=$!
while flock -n "$r/wbcsnet2/seed1/fold1/lock" true; do sleep 0.1; done
look; has '^scale smoke: 1 of 4 jobs done, 1 running, 1 stopped, 1 left$' 'one of each'
has '^8 min of computing left, 8 min at 1 side by side; 2 jobs of arms' 'three epochs of four at the speed of the finished run: 450 s'
has 'cv/wbcsnet2/seed1/fold1  *25 % running, process 7 on node<1>$' 'a running one says how far it is, and where'
has 'cv/ramesh/seed1/fold0  *0 % stopped$' 'a stopped one waits'
look JSON=1; perl -MJSON::PP -e 'local $/; my $s = decode_json(<STDIN>); exit !($s->{done} == 1 && $s->{arms}{"cv/wbcsnet2"}{seconds_left} == 450 && $s->{jobs}[0]{share} == 0.25)' <"$tmp/out"; ok $? 'as JSON too'
grep -q '<title>wbcsnet: scale smoke: 1 of 4' "$tmp/w/status.html" && grep -q 'node&lt;1&gt;' "$tmp/w/status.html" && grep -q 'http-equiv="refresh"' "$tmp/w/status.html"; ok $? 'and as a page that asks for itself again'
kill $holder; wait $holder 2>/dev/null
[ -z "$(find "$tmp/w" -name '*.new.*')" ]; ok $? 'nothing is left behind'
echo "1..$n"
