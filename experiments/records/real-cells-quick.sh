#!/bin/sh
# real-cells-quick.sh PBC CHULA OUT: every system and every claim at quick scale on real stand-in cells, Dataset1 from PBC, Dataset2 from
# Chula. PBC and CHULA are folders as DATA.md describes them; OUT receives the data sets, the runs, the results and the report. About a
# quarter of an hour on 2 cores; stopped, the same command goes on. Run it from the repository's root; the record beside it
# (real-cells-quick.md) holds what it printed in the end.
set -eu
[ $# = 3 ] || { echo 'usage: real-cells-quick.sh PBC CHULA OUT' >&2; exit 2; }
out=$3
make --no-print-directory build/wbcsnet >/dev/null
mkdir -p "$out"
[ -e "$out/D1/dataset.json" ] || build/wbcsnet import --layout pbc "$1" "$out/D1"
[ -e "$out/D2/dataset.json" ] || build/wbcsnet import --layout chula --size 150 "$2" "$out/D2"
make --no-print-directory paper SCALE=quick DATA1="$out/D1" DATA2="$out/D2" WORK="$out" PAPER="$out/paper.pdf"
results=$out/results/quick/D1+D2
for experiment in cv transfer ablation place readings size recipe significance curve leakage; do
    echo; experiments/arms --text $experiment "$results"
done
echo; experiments/arms --cost cv "$results"
echo; cat "$results/verdict/claims.txt"
