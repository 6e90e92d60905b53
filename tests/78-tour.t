#!/bin/sh
# The book's tour: a second program, in Perl, follows a cell through a trained net and comes to the probabilities that the program wrote.
set -u
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
program=$(realpath "${WBCSNET:-build/wbcsnet}")
perl -MCompress::Zlib -MDigest::SHA -MJSON::PP -e 1 2>/dev/null || { echo '1..0 # SKIP this Perl lacks a module of its core'; exit 0; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t78.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
"$program" synth --counts 20,20,20,20,20 "$tmp/cells" >/dev/null
# with=...: the recipe by which neutrophils are found after a few seconds
"$program" train --quiet --data "$tmp/cells" --net experiments/nets/wbcsnet2.net --recipe experiments/recipes/faithful.conf --set size=35,f1=4,f2=8,f3=8,fc1=16 \
    --with epochs=12,learning_rate=0.01 --folds 5 --fold 0 --out "$tmp/run" >"$tmp/log" 2>&1
ok $? 'a small net is trained'
mkdir "$tmp/out"
tools/tour "$tmp/cells" "$tmp/run" "$tmp/out" >"$tmp/log" 2>&1
ok $? 'plain arithmetic gives the probabilities of predictions.csv'
sed 's/^/# /' "$tmp/log"
[ -s "$tmp/out/tour.values" ] && [ -s "$tmp/out/tour-answer.tex" ] && [ "$(head -c 4 "$tmp/out/tour-cell.png" | tail -c 3)" = PNG ]; ok $? 'and leaves numbers, a table and pictures'

# A wrong answer is seen: every probability a little larger.
cp -r "$tmp/run" "$tmp/bad"
awk -F, -v OFS=, 'NR > 1 { for (i = 4; i <= 8; i++) $i += 0.001 } { print }' "$tmp/run/predictions.csv" >"$tmp/bad/predictions.csv"
! tools/tour "$tmp/cells" "$tmp/bad" "$tmp/out" >"$tmp/log" 2>&1 && grep -q 'by hand' "$tmp/log"; ok $? 'a probability that is off by a thousandth is found'
# So is a weight.
cp "$tmp/run/predictions.csv" "$tmp/bad/"
perl -e 'open my $f, "+<:raw", $ARGV[0] or die; read $f, my $b, 8; my $n = unpack "Q<", $b; seek $f, 8 + $n, 0; read $f, $b, 4; seek $f, 8 + $n, 0; print $f pack "f<", 5 + unpack "f<", $b' "$tmp/bad/weights.safetensors"
! tools/tour "$tmp/cells" "$tmp/bad" "$tmp/out" >"$tmp/log" 2>&1; ok $? 'so is one changed weight'
echo "1..$n"
