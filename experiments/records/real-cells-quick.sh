#!/bin/sh
# real-cells-quick.sh PBC CHULA OUT: both nets at quick scale on real stand-in cells, 5 folds, and transfer between the two sets.
# PBC and CHULA are folders as DATA.md describes them; OUT receives the data sets, the runs and the results. About 2 minutes on 2 cores.
# Run it from the repository's root after `make all`; the record beside it (real-cells-quick.md) holds what it printed.
set -eu
[ $# = 3 ] || { echo 'usage: real-cells-quick.sh PBC CHULA OUT' >&2; exit 2; }
w=build/wbcsnet out=$3 recipe=experiments/recipes/faithful.conf
scale=size=35,f1=16,f2=64,f3=128,fc1=128
mkdir -p "$out"
[ -e "$out/D1/dataset.json" ] || $w import --layout pbc "$1" "$out/D1"
[ -e "$out/D2/dataset.json" ] || $w import --layout chula --size 150 "$2" "$out/D2"

# job SET ARM NET EPOCHS FOLD [INIT]: one line, one job
job() {
    echo $w train --quiet --keep-going --threads 1 --seed 1 --data "$out/$1" --net experiments/nets/$3.net --set $scale \
        --recipe $recipe --with epochs=$4 --folds 5 --fold $5 ${6:+--init $6} --out "$out/$2/$3/seed1/fold$5"
}
all() { xargs -P "${JOBS:-2}" -I{} sh -c '{}' >/dev/null; }
for net in wbcsnet2 wbcsnet; do
    echo $w train --quiet --threads 1 --seed 1 --data "$out/D1" --net experiments/nets/$net.net --set $scale \
        --recipe $recipe --with epochs=10 --fold all --out "$out/all/$net"
    for fold in 0 1 2 3 4; do job D1 cv $net 10 $fold; done
done | all
for net in wbcsnet2 wbcsnet; do
    for fold in 0 1 2 3 4; do
        job D2 tuned $net 16 $fold "$out/all/$net/weights.safetensors"
        job D2 scratch $net 16 $fold
    done
done | all
for experiment in cv tuned scratch; do
    $w summarise --experiment $experiment --out "$out/results/$experiment" "$out/$experiment"/*/seed1/fold*
done
for experiment in cv tuned scratch; do
    for net in wbcsnet2 wbcsnet; do
        grep -ho '"\(correct\|test_cells\)": [0-9]*' "$out/$experiment/$net"/seed1/fold*/run.json |
            awk -v n="$experiment $net" '/correct/ { c += $2 } /test/ { t += $2 } END { printf "%-18s %4d of %4d  %.2f %%\n", n, c, t, 100 * c / t }'
    done
done
# The tests and the training accuracies: from results.json, and from the runs on all cells
for experiment in cv tuned scratch; do
    perl -0777 -ne 'while (m!"([^"]*-vs-[^"]*/accuracy)": \{"value": ([-\d.]+)[^}]*"p": ([-+\d.e]+)!g) { printf "%-40s %+.2f points, p %.2g\n", $1, $2, $3 }
        while (m!"([^"]*/end/accuracy)": \{"value": ([\d.]+)!g) { printf "%-40s %.1f %% of its own training cells\n", $1, $2 }' "$out/results/$experiment/results.json"
done
