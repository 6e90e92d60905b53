#!/bin/sh
# make verify: runs of a record are trained again, or held against a list, and what differs is told.
set -u
for tool in make perl tar gzip; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
bin=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/verify.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" | sed 's/^/# /'; fi; }
has() { grep -q "$1" "$tmp/out"; ok $? "$2"; }
"$bin" synth --counts 30,15,10,20,15 --size 40 --seed 11 "$tmp/mine" >/dev/null
knobs="SCALE=smoke WBCSNET=$bin NVCC= DATA1=$tmp/mine DATA2=$tmp/mine"
go() { make --no-print-directory $knobs WORK="$tmp/w" "$@" >"$tmp/out" 2>&1; }
go runs ONLY='cv/wbcsnet2 cv/ramesh'; ok $? 'some runs'
go pack-runs ONLY='cv/wbcsnet2 cv/ramesh' ARCHIVE="$tmp/a.tar.gz"; ok $? 'in an archive'

go verify RECORD="$tmp/a.tar.gz" N=9; ok $? 'trained again they are the same'
has '^4 of 4 runs have the same bits (of 4 that' 'all of them, and no more than there are'
has 'cv/wbcsnet2/seed1/fold1: the same bits in predictions.csv and log.csv (theirs: version .*, gcc\|(theirs: .*clang' 'with both machines, versions and compilers'
go verify RECORD="$tmp/a.tar.gz" N=1; has '^1 of 1 runs' 'one of them is enough'
first=$(sed -n 's/: training it again//p' "$tmp/out")
for pick in 2 3 4 5; do go verify RECORD="$tmp/a.tar.gz" N=1 PICK=$pick; sed -n 's/: training it again//p' "$tmp/out"; done | grep -qv "^$first\$"; ok $? 'another PICK picks another'

# What was changed is seen.
mkdir "$tmp/x" && tar xzf "$tmp/a.tar.gz" -C "$tmp/x"
f=$tmp/x/wbcsnet-runs/1/cv/wbcsnet2/seed1/fold0
sed -i '2s/^\([^,]*,[^,]*\),[^,]*,/\1,nobody,/' "$f/predictions.csv"; sed -i '3s/,1\./,2./' "$f/log.csv"
rm -r "$tmp/x/wbcsnet-runs/1/cv/ramesh"
sed -i 's/"version": "[^"]*"/"version": "v9-3-gabcdef0"/' "$f/run.json"
(cd "$tmp/x" && tar czf "$tmp/b.tar.gz" wbcsnet-runs)
go verify RECORD="$tmp/b.tar.gz" N=9; [ $? != 0 ] && has 'fold0: other bits in predictions.csv log.csv' 'a run that was changed has other bits'
has '^  1 of [0-9]* cells answered otherwise, probabilities differ by 0 at most; the loss differs first in iteration 2 of [0-9]*, by 1 at most' 'and how far it differs is said'
has "^    git worktree add build/at-abcdef0 abcdef0 && make -C build/at-abcdef0 NVCC= all && make verify WBCSNET=build/at-abcdef0/build/wbcsnet DATA1=$tmp/mine .* N=9 PICK=1\$" 'and what to type for the version that made it'
has '^1 of 2 runs have the same bits' 'the other is still right'
echo commit=0123456789abcdef0123456789abcdef01234567 >"$tmp/run"; sed -i 's/"version": "[^"]*"/"version": "a-name"/' "$f/run.json"; (cd "$tmp/x" && tar czf "$tmp/b.tar.gz" wbcsnet-runs)
go verify RECORD="$tmp/b.tar.gz" N=9; has '^    git worktree add build/at-0123456789ab 0123456789ab &&' 'a name that is no commit: that of the script beside the archive'
"$bin" synth --counts 30,15,10,20,15 --size 40 --seed 12 "$tmp/others" >/dev/null
go verify RECORD="$tmp/a.tar.gz" DATA1="$tmp/others" DATA2="$tmp/others"; [ $? != 0 ] && has 'found no run of it on cells that are here; expected the record' 'without its cells nothing is trained'
go verify RECORD="$tmp/none.tar.gz"; [ $? != 0 ] && has 'found no file' 'no archive: one message'
go verify RECORD="$tmp/a.tar.gz" N=x; [ $? = 2 ] && has 'found N=x' 'N that is no number: one message'

# Runs that are here, against a list.
r=$tmp/w/runs/smoke/mine
experiments/verify list "$r" >"$tmp/list.csv"; [ "$(wc -l <"$tmp/list.csv")" = 5 ]; ok $? 'a list has a line for each run'
held() { experiments/verify held "$tmp/list.csv" "$r" "$r" "$tmp/nothing" >"$tmp/out" 2>&1; }
held; ok $? 'the same runs hold'
has '^4 of 4 runs that are here have the bits of the record; 0 of its 4 are not here' 'all of them, each once, though two sets share a folder'
sed -i 's|^\(cv/ramesh/seed1/fold0,[^,]*\),.|\1,g|; s|^\(cv/wbcsnet2/seed1/fold1\),.|\1,h|' "$tmp/list.csv"; held; [ $? = 1 ] && has '^other bits: cv/ramesh/seed1/fold0$' 'other bits are told'
has '^1 runs are of another net, recipe, data or arithmetic.*the first: cv/wbcsnet2/seed1/fold1' 'and what is another run is not compared'
rm -r "$r"; held; [ $? = 3 ] && has 'found none of the runs of the record; expected some' 'nothing to compare: exit 3'
has '^0 of 0 runs that are here have the bits of the record; 4 of its 4 are not here' 'and no other folder is searched'
echo "1..$n"
