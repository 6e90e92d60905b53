#!/bin/sh
# make status: what is done, running, stopped, failed and left, from files alone.
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
has '^scale smoke: 0 of 4 jobs done, 0 running, 0 stopped, 0 failed, 4 left$' 'all is left'
has '^how long the rest takes is unknown before a run is finished; make plan measures it$' 'and nobody can say how long it takes'
look JSON=1; grep -q '"seconds_of_computing_left" : null' "$tmp/out"; ok $? 'which is null in JSON, and not 0'
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
look; has '^scale smoke: 1 of 4 jobs done, 1 running, 1 stopped, 0 failed, 1 left$' 'one of each'
has '^at least 8 min of computing left, 8 min at 1 side by side; 2 jobs of arms' 'three epochs of four at the speed of the finished run: 450 s'
has 'cv/wbcsnet2/seed1/fold1  *25 % running, process 7 on node<1>$' 'a running one says how far it is, and where'
has 'cv/ramesh/seed1/fold0  *0 % stopped$' 'a stopped one waits'
look JSON=1; perl -MJSON::PP -e 'local $/; my $s = decode_json(<STDIN>); exit !($s->{done} == 1 && $s->{arms}{"cv/wbcsnet2"}{seconds_left} == 450 && $s->{jobs}[0]{share} == 0.25)' <"$tmp/out"; ok $? 'as JSON too'
page=$tmp/w/status-smoke.html
grep -q '<title>wbcsnet: scale smoke: 1 of 4' "$page" && grep -q 'node&lt;1&gt;' "$page" && grep -q 'http-equiv="refresh"' "$page"; ok $? 'and as a page that asks for itself again'
before=$(cat "$page"); make --no-print-directory status SCALE=quick WORK="$tmp/w" WBCSNET="$bin" NVCC= ONLY=cv/wbcsnet2 >"$tmp/out" 2>&1; [ "$before" = "$(cat "$page")" ] && [ -s "$tmp/w/status-quick.html" ]; ok $? 'which a status of another scale leaves alone'
kill $holder; wait $holder 2>/dev/null

# ---- what failed ----
bad=$r/wbcsnet2/seed1/fold1
rm -r "$bad" "$r/ramesh"
printf '#!/bin/sh\necho "no <room> on the disk" >&2\nexit 7\n' >"$tmp/bad"; chmod +x "$tmp/bad"
job() { LAUNCH=$1 experiments/job /dev/null "$bad" "$bin" train >"$tmp/out" 2>&1; }
job "$tmp/bad"; [ $? = 7 ]; ok $? 'a job fails'
look; has '^scale smoke: 1 of 4 jobs done, 0 running, 0 stopped, 1 failed, 2 left$' 'it is counted'
has "cv/wbcsnet2/seed1/fold1  *0 % failed, exit 7 on $(uname -n): no <room> on the disk\$" 'with its exit code, its machine and its last word'
has '^at least 10 min of computing left; 2 jobs' 'and is still to be done'
grep -q 'failed, exit 7 on .*no &lt;room&gt;' "$page"; ok $? 'in the page too'
look JSON=1; perl -MJSON::PP -e 'local $/; my $s = decode_json(<STDIN>); exit !($s->{failed} == 1 && $s->{left} == 2 && $s->{arms}{"cv/wbcsnet2"}{failed} == 1 && $s->{jobs}[0]{state} eq "failed" && $s->{jobs}[0]{said} =~ /^exit 7 on .*\nno <room>/)' <"$tmp/out"; ok $? 'and in JSON'
printf '#!/bin/sh\nexit 143\n' >"$tmp/bad"; job "$tmp/bad"; [ $? = 130 ]; ok $? 'begun again and stopped'
look; has '0 stopped, 0 failed, 3 left$' 'it has not failed'
job false; look; has '1 failed, 2 left' 'LAUNCH=false fails it again'
[ -z "$(find "$r" -name '.*.txt')" ]; ok $? 'no other trace beside it'

# ---- arms that nobody has begun: by their operations ----
for d in 1 2 3; do mkdir -p "$tmp/w/data/synthetic-smoke/dataset$d"; echo '{"cells": 180}' >"$tmp/w/data/synthetic-smoke/dataset$d/dataset.json"; done
look; has '^10 min of computing left$' 'a job without a net is reckoned by its cells: 10 s each'
look ONLY=cv/wbcsnet2,cv/lenet5; has '^at least 10 min of computing left; 2 jobs of arms' 'a finished run that counted no operations tells nothing of a net'
operations=$("$bin" describe --json experiments/nets/lenet5.net | perl -MJSON::PP -e 'local $/; print decode_json(<STDIN>)->{train_flop}')
perl -MJSON::PP -e 'print encode_json({finished => 1, seconds => 600, train_flop => 180 * $ARGV[0]})' "$operations" >"$r/wbcsnet2/seed1/fold0/run.json"
look ONLY=cv/wbcsnet2,cv/lenet5; has '^30 min of computing left$' 'two folds of 90 cells, two epochs: as many operations as 10 min took'
look ONLY=cv/wbcsnet2,cv/lenet5 JSON=1; perl -MJSON::PP -e 'local $/; my $s = decode_json(<STDIN>); exit !(abs($s->{arms}{"cv/lenet5"}{seconds_left} - 1200) < 1 && $s->{not_estimated} == 0)' <"$tmp/out"; ok $? 'in JSON too'
look ONLY=cv/wbcsnet2,cv/lenet5 WBCSNET="$tmp/none"; has '^at least 10 min of computing left; 2 jobs of arms' 'without the program nobody can count them'
[ -z "$(find "$tmp/w" -name '*.new.*')" ]; ok $? 'nothing is left behind'
echo "1..$n"
