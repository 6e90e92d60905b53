#!/bin/sh
# slow: imports 2164 photographs
# Real cells, where WBCSNET_DATA points at them: the counts of PBC and Chula, Chula's groups in folds, the pixels' sha256 on every machine.
w=${WBCSNET:-build/wbcsnet}
data=${WBCSNET_DATA:-}
if [ ! -d "$data/pbc" ] || [ ! -d "$data/chula" ]; then
    echo "1..0 # SKIP no real cells: WBCSNET_DATA does not name a folder with pbc and chula"
    exit 0
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/real.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
check() { # WHAT, then a command that must succeed
    what=$1; shift; n=$((n + 1))
    if "$@" >"$tmp/said" 2>&1; then echo "ok $n - $what"; else echo "not ok $n - $what"; sed 's/^/# /' "$tmp/said"; fi
}
counts() { grep -q "\"counts\": \\[$2\\]" "$1/dataset.json"; }

check 'PBC is imported' "$w" import --layout pbc "$data/pbc" "$tmp/pbc"
check "PBC has the counts of the paper's Table 1" counts "$tmp/pbc" '1412, 83, 10, 517, 142'
check 'PBC verifies' "$w" data "$tmp/pbc"
check 'PBC falls into ten folds' "$w" folds "$tmp/pbc" --folds 10 --out "$tmp/pbc.csv"
check '... each basophil in its own' sh -c 'test "$(grep -c ,basophil, "$0")" = 10 && test "$(grep ,basophil, "$0" | cut -d, -f4 | sort -u | wc -l)" = 10' "$tmp/pbc.csv"
check 'Chula is imported, its layout guessed' "$w" import "$data/chula" "$tmp/chula"
check 'one thread writes the same cells' env OMP_NUM_THREADS=1 "$w" import "$data/chula" "$tmp/chula1"
check '... byte by byte' cmp "$tmp/chula/labels.csv" "$tmp/chula1/labels.csv"
check 'Chula has 112, 100, 100, 110 and 88 cells' counts "$tmp/chula" '112, 100, 100, 110, 88'
check 'Chula falls into five folds' "$w" folds "$tmp/chula" --folds 5 --out "$tmp/chula.csv"
check '... no split_group in two of them' sh -c '! sed 1d "$0" | cut -d, -f3,4 | sort -u | cut -d, -f1 | uniq -d | grep .' "$tmp/chula.csv"
check '... every group known' sh -c '! cut -d, -f3 "$0" | grep -qx ""' "$tmp/chula.csv"
check 'the 203 pairs listed as one cell are mostly found by their looks' sh -c '"$0" import --same 0.85 "$1" "$2" | awk -v table="$1/labels.csv" -f tests/14-same-cell.awk' "$w" "$data/chula" "$tmp/chula2"
echo "1..$n"
