#!/bin/sh
# features: a mosaic for each convolution, the figures of every channel, and the cell that was shown.
set -u
wbcsnet=${WBCSNET:-build/wbcsnet}
n=0
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t35.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
check() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$tmp/log"; fi; }
run() { "$wbcsnet" "$@" >"$tmp/log" 2>&1; }

{
    "$wbcsnet" synth --counts 8,6,6,6,6 --size 16 "$tmp/d" &&
    "$wbcsnet" train --data "$tmp/d" --net experiments/nets/wbcsnet2.net --set size=16,f1=4,f2=6,f3=10,fc1=8 \
        --recipe experiments/recipes/faithful.conf --with epochs=1,batch=8 --folds 2 --fold 0 --quiet --out "$tmp/run"
} >"$tmp/log" 2>&1
check $? "a net is trained"
run features --weights "$tmp/run/weights.safetensors" --data "$tmp/d" --out "$tmp/f"
check $? "features of the surest held-out neutrophil"
for f in conv1a conv1b conv1c conv2 conv3 cell; do
    head -c 8 "$tmp/f/$f.png" 2>/dev/null | od -An -tx1 | grep -q '89 50 4e 47 0d 0a 1a 0a' || echo "$f" >>"$tmp/missing"
done
check "$([ -e "$tmp/missing" ]; echo $((1 - $?)))" "a PNG for every convolution and the cell"
check "$(awk -F, 'NR > 1 { c[$1]++; if (!($4 <= $6 && $6 <= $5)) bad = 1 }
    END { print !(!bad && NR == 29 && c["conv1a"] == 4 && c["conv1c"] == 4 && c["conv2"] == 6 && c["conv3"] == 10) }' "$tmp/f/features.csv")" \
    "a row for each of 28 channels, min <= mean <= max"
grep -q '"held_out": true' "$tmp/f/features.json" && grep -q '"channels": 10, "height": 4, "width": 4, "columns": 5, "rows": 2' "$tmp/f/features.json"
check $? "the record says that the cell was held out, and how tiles stand"
# the held-out neutrophil with the largest probability, from predictions.csv
best=$(awk -F, 'NR > 1 && $2 == "neutrophil" && $4 > most { most = $4; file = $1 } END { print file }' "$tmp/run/predictions.csv")
grep -q "\"cell\": \"$best\"" "$tmp/f/features.json"
check $? "it is the surest of predictions.csv: $best"
run features --weights "$tmp/run/weights.safetensors" --data "$tmp/d" --out "$tmp/g" --cell "$best" && cmp -s "$tmp/f/conv2.png" "$tmp/g/conv2.png" && cmp -s "$tmp/f/cell.png" "$tmp/g/cell.png"
check $? "the same cell by name, the same pictures"
run features --weights "$tmp/run/weights.safetensors" --out "$tmp/h" --cell "$tmp/d/$best" && cmp -s "$tmp/f/conv3.png" "$tmp/h/conv3.png"
check $? "the same cell as a file, without a data set"
run features --weights "$tmp/run/weights.safetensors" --data "$tmp/d" --out "$tmp/u" --cell "$best" --after unit &&
    awk -F, 'NR > 1 && ($4 < 0 || $2 !~ /^relu/) { bad = 1 } END { exit bad }' "$tmp/u/features.csv" && ! cmp -s "$tmp/u/conv2.png" "$tmp/f/conv2.png"
check $? "--after unit shows what leaves the ReLU: nothing negative"
run features --weights "$tmp/run/weights.safetensors" --data "$tmp/d" --out "$tmp/e" --class eosinophil && grep -q '"cell": "eosinophil/' "$tmp/e/features.json"
check $? "another class"
run features --weights "$tmp/run/weights.safetensors" --data "$tmp/d" --out "$tmp/x" --cell nowhere.tif
check $(($? == 3 ? 0 : 1)) "a cell that is not there: exit 3"
run features --weights "$tmp/run/weights.safetensors" --data "$tmp/d" --out "$tmp/x" --class blast
check $(($? == 2 ? 0 : 1)) "an unknown class: exit 2"
run features --weights "$tmp/run/weights.safetensors" --data "$tmp/d" --out "$tmp/x" --after pooling
check $(($? == 2 ? 0 : 1)) "an unknown --after: exit 2"
run features --weights "$tmp/d/labels.csv" --data "$tmp/d" --out "$tmp/x"
check $(($? == 3 ? 0 : 1)) "weights that are no weights: exit 3"
echo "1..$n"
