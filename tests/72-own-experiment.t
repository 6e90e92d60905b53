#!/bin/sh
# slow: adding an experiment is adding a file: in a copy of the checkout, one conf gives a target, runs, a table, a figure, and a place in the report.
set -u
for tool in make gnuplot perl; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
bin=$(cd "$(dirname "${WBCSNET:-build/wbcsnet}")" && pwd)/$(basename "${WBCSNET:-build/wbcsnet}")
top=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/own.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES RUNS SCALE DEVICE ONLY
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" 2>/dev/null | sed 's/^/# /'; fi; }
mkdir "$tmp/copy" && cd "$top" && cp -r Makefile src.nw book tools tests generated experiments figures paper "$tmp/copy" && cd "$tmp/copy" || exit 1
quiet() { make --no-print-directory NVCC= SCALE=smoke WBCSNET="$bin" "$@" >"$tmp/out" 2>&1; }

cat >experiments/mine.conf <<'END'
title   Mine & yours
data    1
folds   5
cost    yes
arm one  net wbcsnet recipe faithful
  arm two  net wbcsnet recipe faithful with l2=0
label one  with L2
  label two  50% a_b & c^d
END
make -s help >"$tmp/out"; grep -q '^  mine  *Mine & yours (experiments/mine.conf)$' "$tmp/out"; ok $? 'make names it'
quiet mine; ok $? 'make mine ends well'
[ "$(grep -c '^  TRAIN  mine/' "$tmp/out")" = 4 ]; ok $? 'with two folds of two arms, as smoke has it'
grep -q '^with L2  *[0-9]' "$tmp/out" && grep -q '^50% a_b & c^d  *[0-9]' "$tmp/out"; ok $? 'its table'
grep -q 'gp mark' build/figures/smoke/synthetic/mine.tex && grep -q 'MFLOP' build/figures/smoke/synthetic/mine.tex; ok $? 'and its figure, beside the cost that it asks for'
if command -v pdflatex >/dev/null && command -v pdftotext >/dev/null; then
    quiet paper ONLY=mine; ok $? 'a report of it alone'
    pdftotext -layout paper/paper.pdf - 2>/dev/null >"$tmp/out"; grep -q 'Other experiments' "$tmp/out" && grep -q 'Mine & yours' "$tmp/out"; ok $? 'has it at its end, with its title'
    grep -q '^ *with L2  *[0-9.]*  *[0-9]' "$tmp/out" && grep -q '^ *50% a_b & c.*d  *[0-9.]*  *[0-9]' "$tmp/out"; ok $? 'and its numbers, also of an arm that is indented and whose label has characters of TeX'
fi
mv experiments/mine.conf experiments/clean.conf
quiet clean; [ $? != 0 ] && grep -q 'experiments/clean.conf: found the name clean' "$tmp/out"; ok $? 'a name that make uses for something else is refused'
mv experiments/clean.conf experiments/My_own.conf
quiet plan; [ $? != 0 ] && grep -q 'My_own.conf: found this name, expected small letters' "$tmp/out"; ok $? 'so is one that TeX or make would misread'
rm experiments/My_own.conf
# mistakes in a conf: one message with file and line, before anything is trained
while IFS='|' read -r text said; do
    printf "$text" >experiments/mine.conf
    quiet mine; [ $? != 0 ] && grep -qF "$said" "$tmp/out" && ! grep -q 'uninitialized\|TRAIN' "$tmp/out"; ok $? "told: $said"
done <<'END'
title x\nfolds 5\narm a net wbcsnet recipe faithful\n|mine.conf: found data '', expected data 1, 2 or 3
title x\ndata 1\narm a net wbcsnet recipe faithful\n|mine.conf: found folds '', expected folds 2 or more
title x\ndata 1\nfolds 5\n|mine.conf: found no arm
title x\ndata 1\nfolds 5\narm a net wbcsnet recipe\n|mine.conf:4: found no value of recipe
title x\ndata 1\nfolds 5\narm a nett wbcsnet recipe faithful\n|mine.conf:4: found 'nett' in an arm
title x\ndata 1\nfolds 5\narm a net wbcsnet9 recipe faithful\n|mine.conf:4: found the net 'wbcsnet9', expected a file
title x\ndata 1\nfolds 5\narm a_b net wbcsnet recipe faithful\n|mine.conf:4: found the arm's name 'a_b'
title x\ndata 1\nfolds 5\narm a net wbcsnet recipe faithful\narm a net wbcsnet recipe modern\n|mine.conf:5: found a second arm a
title x\ndata 1\nfolds 5\nseeds zero\narm a net wbcsnet recipe faithful\n|mine.conf:4: found seeds zero, expected a whole number of at least 1
title x\ndata 1\nfolds 5\nseeds 0\narm a net wbcsnet recipe faithful\n|mine.conf:4: found seeds 0, expected a whole number of at least 1
title x\ndata 1\nfolds 0\narm a net wbcsnet recipe faithful\n|mine.conf: found folds 0, expected folds 2 or more
title x\ndata 1\ndata 2\nfolds 5\narm a net wbcsnet recipe faithful\n|mine.conf:3: found a second data, expected each key once
title x\ndata 1\nfolds 5\narm a net wbcsnet recipe faithful times 0.5\n|mine.conf:4: found times 0.5, expected a whole number
title x\ndata 1\nfolds 5\narm a net wbcsnet recipe faithful ungrouped 0\n|mine.conf:4: found ungrouped 0, expected ungrouped 1
title x\ndata 1\nfolds 5\narm a net wbcsnet recipe faithful\nlabel b B\n|mine.conf:5: found label b, expected one of the arms a
title x\ndata 1\nfolds 5\narm a net wbcsnet recipe faithful\narm b net wbcsnet2 recipe faithful\nagainst b a\n|mine.conf:6: found against b a, expected against a b
END
echo "1..$n"
