#!/bin/sh
# wbcsnet classical and frozen: run folders that summarise reads, the nets' own folds, the same bytes at any number of threads, bad input.
set -u
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$tmp/log" | tail -4; fi; }
is() { [ "$1" = "$2" ]; ok $? "$3"; [ "$1" = "$2" ] || echo "# found '$1', expected '$2'"; }
# dies CODE TEXT WHAT command...: the command exits with CODE and its message holds TEXT.
dies() {
    code=$1 text=$2 what=$3; shift 3
    "$@" >/dev/null 2>"$tmp/log"; found=$?
    [ $found = "$code" ] && grep -qF -e "$text" "$tmp/log"; ok $? "$what"
}
w=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t65.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
r=$tmp/runs/cv
accuracy() { sed -n "s#^.result{cv/$1/accuracy}{\([0-9.]*\)}.*#\1#p" "$tmp/sum/results.tex"; }
over() { awk "BEGIN { exit !(${1:-0} >= $2) }"; }

"$w" synth --counts 60,24,12,40,24 --seed 65 "$tmp/d" >/dev/null
"$w" classical --data "$tmp/d" --folds 4 --measures "$tmp/m.csv" --pictures "$tmp/p.png" --per-class 3 >"$tmp/log" 2>&1
ok $? "pictures and measurements are written, without an --out"
is "$(sed 1d "$tmp/m.csv" | wc -l) $(head -1 "$tmp/m.csv" | tr ',' '\n' | sort | uniq -d | wc -l)" "160 0" "a row for each cell, no measurement twice"
is "$(sed 1d "$tmp/m.csv" | grep -ci nan)" 0 "every one a number"
is "$(od -An -tx1 -N4 "$tmp/p.png" | tr -d ' ')" 89504e47 "the mosaic is a PNG"

if "$w" classical --data "$tmp/d" --folds 4 --out "$r/classical/seed1" >"$tmp/log" 2>&1; then
    ok 0 "four folds of the two-step pipeline"
    OMP_NUM_THREADS=1 "$w" classical --data "$tmp/d" --folds 4 --fold 2 --out "$tmp/one/c/seed1/fold2" >/dev/null 2>&1
    cmp -s "$tmp/one/c/seed1/fold2/predictions.csv" "$r/classical/seed1/fold2/predictions.csv"
    ok $? "one fold alone, on one thread: the same bytes"
    "$w" classical --data "$tmp/d" --folds 4 --out "$r/classical/seed1" >"$tmp/log" 2>&1
    ok $? "the same command again is allowed"
    cmp -s "$tmp/one/c/seed1/fold2/predictions.csv" "$r/classical/seed1/fold2/predictions.csv"
    ok $? "and gives the same bytes"
    "$w" classical --data "$tmp/d" --folds 4 --steps strict --out "$r/strict/seed1" >"$tmp/log" 2>&1
    ok $? "the strict reading"
    dies 3 'another configuration' "another configuration in that folder is refused" "$w" classical --data "$tmp/d" --folds 4 --steps one --out "$r/strict/seed1"
    classical=1
else
    classical=
    grep -q LAPACK "$tmp/log"; ok $? "without LAPACK the command says so"
    echo "# no LAPACK: nothing more of the discriminants is tested"
fi

cat >"$tmp/tiny.net" <<'NET'
name  tiny
title Tiny
input 24 24 3
conv  conv1 filters 6 kernel 5 stride 1 pad same
relu  relu1
maxpool pool1 size 4 stride 4
fc    fc1 units 24
dropout drop1 p 0.5
fc    fc2 units classes
softmax loss
NET
"$w" train --data "$tmp/d" --net "$tmp/tiny.net" --recipe experiments/recipes/modern.conf --with epochs=6,batch=32 --folds 4 --fold 2 \
    --out "$r/tiny/seed1/fold2" --quiet >"$tmp/log" 2>&1
ok $? "a tiny net is trained on three folds"
"$w" frozen --weights "$r/tiny/seed1/fold2/weights.safetensors" --data "$tmp/d" --folds 4 --out "$r/frozen/seed1" >"$tmp/said" 2>"$tmp/log"
ok $? "its activations are classified"
grep -q 'cells held out in 3 of these folds' "$tmp/log"
ok $? "a warning counts the folds that the net has seen"
OMP_NUM_THREADS=1 "$w" frozen --weights "$r/tiny/seed1/fold2/weights.safetensors" --data "$tmp/d" --folds 4 --fold 2 --out "$tmp/one/f" >/dev/null 2>"$tmp/log"
is "$(wc -c <"$tmp/log")" 0 "none for the one that it has not"
cmp -s "$tmp/one/f/predictions.csv" "$r/frozen/seed1/fold2/predictions.csv"
ok $? "alone and on one thread: the same bytes"
"$w" frozen --weights "$r/tiny/seed1/fold2/weights.safetensors" --data "$tmp/d" --folds 4 --l2 0.1 --layer pool1 --out "$r/pool/seed1" >"$tmp/said" 2>/dev/null
is "$? $(grep -c 'lambda 0.1,' "$tmp/said") $(grep -c '216 activations of pool1' "$tmp/said")" "0 4 1" "another layer and a penalty by hand"

cut -d, -f1,4 "$r/tiny/seed1/fold2/folds.csv" >"$tmp/folds"
cut -d, -f1,4 "$r/frozen/seed1/fold0/folds.csv" | cmp -s "$tmp/folds" -
ok $? "the folds are the net's own"
cut -d, -f1 "$r/tiny/seed1/fold2/predictions.csv" >"$tmp/files"
cut -d, -f1 "$r/frozen/seed1/fold2/predictions.csv" | cmp -s "$tmp/files" -
ok $? "so are the held-out cells"
"$w" summarise --experiment cv --out "$tmp/sum" "$r"/*/seed1/fold* >"$tmp/log" 2>&1
ok $? "summarise reads them like any arm"
for a in ${classical:+classical strict} frozen; do least=80; [ $a != frozen ] || least=50; over "$(accuracy $a)" $least; ok $? "$a: $(accuracy $a) % of drawn cells, at least $least (the largest class is 37.5 %)"; done
grep -q '\\result{cv/frozen-vs-tiny/accuracy}' "$tmp/sum/results.tex"
ok $? "and compares them with a net on the same cells"

dies 2 'no data set' "no data set" "$w" classical --out "$tmp/x"
dies 2 'nowhere to write' "nothing asked for" "$w" classical --data "$tmp/d"
dies 2 "'three'" "steps that there are not" "$w" classical --data "$tmp/d" --steps three --out "$tmp/x"
dies 2 '0 to 3, or each' "a fold too many" "$w" classical --data "$tmp/d" --folds 4 --fold 4 --out "$tmp/x"
dies 2 '--ridge' "a negative ridge" "$w" classical --data "$tmp/d" --ridge -1 --out "$tmp/x"
dies 2 '--size' "cells of 3 pixels" "$w" classical --data "$tmp/d" --size 3 --out "$tmp/x"
dies 3 'no dataset.json' "a folder that is no data set" "$w" classical --data "$tmp" --out "$tmp/x"
dies 3 basophil "more folds than basophils" "$w" classical --data "$tmp/d" --folds 13 --out "$tmp/x"
dies 2 "'fc9'" "a layer that there is not" "$w" frozen --weights "$r/tiny/seed1/fold2/weights.safetensors" --data "$tmp/d" --layer fc9 --out "$tmp/x"
head -c 4000 "$r/tiny/seed1/fold2/weights.safetensors" >"$tmp/cut.safetensors"
dies 3 'cut.safetensors' "damaged weights" "$w" frozen --weights "$tmp/cut.safetensors" --data "$tmp/d" --out "$tmp/x"
dies 3 'net.name = "tiny"' "a trained net's run folder is not overwritten" "$w" frozen --weights "$r/tiny/seed1/fold2/weights.safetensors" --data "$tmp/d" --folds 4 --fold 2 --out "$r/tiny/seed1/fold2"
cp -r "$tmp/d" "$tmp/bad"; f=$(find "$tmp/bad/monocyte" -name '*.tif' | sort | head -1); head -c 900 "$f" >"$f.cut"; mv "$f.cut" "$f"
dies 3 "${f##*/}" "a damaged cell" "$w" classical --data "$tmp/bad" --out "$tmp/x"
[ ! -e "$tmp/x" ]; ok $? "nothing was written on the way"
"$w" synth --counts 8,0,0,8,0 --seed 3 "$tmp/two" >/dev/null
"$w" classical --data "$tmp/two" --folds 2 --out "$tmp/two-runs" >"$tmp/log" 2>&1; found=$?
[ $found = 0 ] || [ $found = 3 ] || { [ $found = 1 ] && [ -z "$classical" ]; }
ok $? "very few cells of two classes end in a result or in a message ($found)"
echo "1..$n"
