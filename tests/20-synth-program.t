#!/bin/sh
# wbcsnet synth and samples: same flags, same bytes, at any number of threads; counts, sizes, masks, LISC's layout; bad flags.
set -u
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
is() { [ "$1" = "$2" ]; ok $? "$3"; [ "$1" = "$2" ] || echo "# found '$1', expected '$2'"; }
w=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t20.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cells() { sort "$1/labels.csv" | cut -d, -f1,4; }           # file and sha256 of every cell
size() { od -An -tu1 -j"$2" -N4 "$1" | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'; }   # big-endian word, as in PNG

small='--counts 7,3,2,5,4 --seed 11'
OMP_NUM_THREADS=1 "$w" synth $small --masks "$tmp/m" "$tmp/a" >"$tmp/log" && OMP_NUM_THREADS=2 "$w" synth $small "$tmp/b" >/dev/null
ok $? "two small sets are drawn"
is "$(cells "$tmp/b")" "$(cells "$tmp/a")" "the same bytes with 1 and 2 threads, with masks and without"
# C libraries round their float functions differently; what draws, cuts out and measures cells rounds a double's once.
float='(^|[^[:alnum:]_])(sin|cos|sincos|tan|asin|acos|atan|atan2|sinh|cosh|tanh|exp|exp2|expm1|log|log2|log10|log1p|pow|hypot|cbrt|erf|lgamma|tgamma)f *\('
src=$(dirname "$0")/../generated
is "$(grep -nE "$float" "$src"/base/*.c "$src"/cells/*.c "$src"/classical/*.c "$src"/learning/*.c "$src"/results/*.c)" '' \
    "cells and what is measured on them hang on no function that C libraries round differently"
"$w" synth --counts 7,3,2,5,4 --seed 12 "$tmp/c" >/dev/null
is "$(cells "$tmp/c" | wc -l)" 22 "another seed gives as many cells"
is "$( (cells "$tmp/a"; cells "$tmp/c") | cut -d, -f2 | grep -v sha256 | sort -u | wc -l)" 42 "none of them like the first seed's"
for c in 'neutrophil 7' 'eosinophil 3' 'basophil 2' 'lymphocyte 5' 'monocyte 4'; do
    set -- $c
    is "$(ls "$tmp/a/$1" | wc -l)" "$2" "$2 $1 cells"
done
grep -q '"kind": "synthetic"' "$tmp/a/dataset.json" && grep -q '"height": 70, "width": 70' "$tmp/a/dataset.json"
ok $? "dataset.json says synthetic, 70 x 70"
is "$(cut -d, -f3 "$tmp/a/labels.csv" | sort -u | tr -d '\n')" group "dataset1 has no groups"
is "$(find "$tmp/m" -name '*.png' | wc -l) $(size "$tmp/m/monocyte/mon_00001.png" 16)" "21 70" "a mask for each cell, 70 wide"

"$w" synth --counts 3,1,1,2,2 --seed 11 "$tmp/d" >/dev/null
is "$(cells "$tmp/d" | while read -r l; do cells "$tmp/a" | grep -cx "$l"; done | sort -u)" 1 "a smaller set is part of a larger one"
"$w" synth --counts 2,2,2,2,2 --size 35 "$tmp/e" >/dev/null
grep -q '"height": 35, "width": 35' "$tmp/e/dataset.json"
ok $? "--size 35 draws cells of 35 x 35"

"$w" synth --set dataset2 --counts 11,2,2,2,2 --fields "$tmp/lisc" "$tmp/f" >/dev/null
ok $? "dataset2 with fields is drawn"
grep -q '"height": 150, "width": 150' "$tmp/f/dataset.json"
ok $? "its crops are 150 x 150"
is "$(grep neutrophil "$tmp/f/labels.csv" | cut -d, -f3 | sort -u | wc -l)" 9 "11 neutrophils in 9 scenes: one field holds two, one was photographed twice"
f="$tmp/lisc/Main Dataset/neut"
is "$(ls "$f" | wc -l)" 10 "on 10 fields"
is "$(od -An -tu2 -j18 -N8 "$f/1.bmp" | tr -s ' ')" " 720 0 576 0" "fields are 720 x 576"
is "$(od -An -tu2 -j18 -N8 "$tmp/lisc/Ground Truth Segmentation/neut/areaforexpert1/1_expert.bmp" | tr -s ' ')" " 712 0 568 0" \
    "the expert's masks lack LISC's border of 4 pixels"
"$w" import --layout lisc --groups "$tmp/lisc/groups.csv" "$tmp/lisc" "$tmp/g" >"$tmp/log" 2>&1
ok $? "wbcsnet import --layout lisc reads them"
is "$(grep -c neutrophil "$tmp/g/labels.csv") $(grep -c basophil "$tmp/g/labels.csv")" "11 2" "and finds every cell"
is "$(grep neutrophil "$tmp/g/labels.csv" | cut -d, -f3 | sort -u | wc -l)" 9 "in the same groups"
n_same=$( (cells "$tmp/f"; cells "$tmp/g") | cut -d, -f2 | grep -v sha256 | sort | uniq -d | wc -l)
[ "$n_same" -ge 1 ]
ok $? "some crops agree to the byte ($n_same of 19; the others are centred a pixel or two apart)"

"$w" samples "$tmp/a" --out "$tmp/1.png" --per-class 2 --scale 3 >"$tmp/files"
ok $? "samples makes a mosaic"
is "$(size "$tmp/1.png" 16) $(size "$tmp/1.png" 20)" "426 1074" "2 columns and 5 rows of 210, gaps of 6"
is "$(wc -l <"$tmp/files") $(cut -d/ -f1 "$tmp/files" | sort -u | wc -l)" "10 5" "it shows two cells of each class"
"$w" samples "$tmp/a" --out "$tmp/1.jpg" >"$tmp/log" 2>&1
is "$? $(grep -c 'expected FILE.png' "$tmp/log")" "2 1" "a mosaic that is not to be a PNG is refused"
"$w" samples "$tmp/a" --out "$tmp/none/1.png" >"$tmp/files" 2>"$tmp/log"
is "$? $(wc -c <"$tmp/files")" "1 0" "with no place to write, no choice is printed"
"$w" synth --counts 3000,3000,3000,3000,3000 "$tmp/stopped" >"$tmp/log" 2>&1 & pid=$!
sleep 1; kill -TERM $pid; wait $pid
is "$? $(grep -c 'synth: stopped; nothing was written' "$tmp/log")" "130 1" "synth says that it was stopped"
"$w" samples "$tmp/a" --out "$tmp/2.png" --per-class 2 --scale 3 >/dev/null
cmp -s "$tmp/1.png" "$tmp/2.png"
ok $? "twice the same"

# another bottle: the same cells in other colours; another magnification: larger cells
"$w" synth $small --masks "$tmp/m1" --stain wright --zoom 1 "$tmp/s1" >/dev/null
is "$(cells "$tmp/s1")" "$(cells "$tmp/a")" "dataset1's own stain and magnification, said aloud, are the same bytes"
"$w" synth $small --masks "$tmp/m2" --stain may-grunwald "$tmp/s2" >"$tmp/log"
grep -q 'May-Grunwald-Giemsa' "$tmp/log"; ok $? "another stain is named"
is "$( (cells "$tmp/a"; cells "$tmp/s2") | cut -d, -f2 | grep -v sha256 | sort -u | wc -l)" 42 "it changes every cell"
diff -r "$tmp/m1" "$tmp/m2" >/dev/null; ok $? "and no cell's form: the masks are the same"
"$w" synth $small --zoom 1.4 "$tmp/s3" >/dev/null
is "$( (cells "$tmp/a"; cells "$tmp/s3") | cut -d, -f2 | grep -v sha256 | sort -u | wc -l)" 42 "another magnification changes every cell"

fails() { code=$1 text=$2; shift 2; "$w" "$@" >"$tmp/out" 2>"$tmp/err"; [ $? = "$code" ] && grep -q -e "$text" "$tmp/err"; ok $? "refused: $*"; }
fails 2 'dataset1 or dataset2' synth --set dataset3 "$tmp/x"
fails 2 'five whole numbers' synth --counts 1,2,3 "$tmp/x"
fails 2 'five whole numbers' synth --counts 1,2,3,4,-5 "$tmp/x"
fails 2 'five whole numbers' synth --counts 1,2,3,4,5,6 "$tmp/x"
fails 2 'at least one' synth --counts 0,0,0,0,0 "$tmp/x"
fails 2 '16 to 512' synth --size 8 "$tmp/x"
fails 2 'whole fields' synth --fields "$tmp/y" "$tmp/x"
fails 2 'one size' synth --set dataset2 --size 75 --fields "$tmp/y" "$tmp/x"
fails 2 'may-grunwald' synth --stain blue "$tmp/x"
fails 2 '0.5 to 2' synth --zoom 3 "$tmp/x"
fails 2 '1 with --fields' synth --set dataset2 --zoom 1.5 --fields "$tmp/y" "$tmp/x"
fails 2 'did you mean --counts' synth --cuonts 3 "$tmp/x"
fails 2 'no folder' synth
fails 2 'replace' synth --counts 1,1,1,1,1 "$tmp/a"
fails 2 'FILE.png' samples "$tmp/a"
fails 2 '1 to 16' samples "$tmp/a" --out "$tmp/3.png" --scale 0
fails 3 '' samples "$tmp/nowhere" --out "$tmp/3.png"
[ ! -e "$tmp/x" ] && [ ! -e "$tmp/y" ] && [ ! -e "$tmp/3.png" ]
ok $? "a refused command leaves nothing behind"
echo "1..$n"
