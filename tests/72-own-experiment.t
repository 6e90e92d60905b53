#!/bin/sh
# Adding an experiment is adding a file: in a copy of the checkout, one conf gives a target, runs, a table, a figure, and a place in the report.
set -u
for tool in make gnuplot perl; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
bin=$(cd "$(dirname "${WBCSNET:-build/wbcsnet}")" && pwd)/$(basename "${WBCSNET:-build/wbcsnet}")
top=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/own.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES RUNS SCALE DEVICE ONLY
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" 2>/dev/null | sed 's/^/# /'; fi; }
mkdir "$tmp/copy" && cd "$top" && cp -r Makefile src.nw tools tests generated experiments figures paper "$tmp/copy" && cd "$tmp/copy" || exit 1
quiet() { make --no-print-directory NVCC= SCALE=smoke WBCSNET="$bin" "$@" >"$tmp/out" 2>&1; }

cat >experiments/mine.conf <<'END'
title   Mine & yours
data    1
folds   5
cost    yes
arm one  net wbcsnet recipe faithful
arm two  net wbcsnet recipe faithful with l2=0
label one  with L2
END
make -s help >"$tmp/out"; grep -q '^  mine  *Mine & yours (experiments/mine.conf)$' "$tmp/out"; ok $? 'make names it'
quiet mine; ok $? 'make mine ends well'
[ "$(grep -c '^  TRAIN  mine/' "$tmp/out")" = 4 ]; ok $? 'with two folds of two arms, as smoke has it'
grep -q '^with L2  *[0-9]' "$tmp/out" && grep -q '^two  *[0-9]' "$tmp/out"; ok $? 'its table'
grep -q 'gp mark' build/figures/smoke/synthetic/mine.tex && grep -q 'MFLOP' build/figures/smoke/synthetic/mine.tex; ok $? 'and its figure, beside the cost that it asks for'
if command -v pdflatex >/dev/null && command -v pdftotext >/dev/null; then
    quiet paper ONLY=mine; ok $? 'a report of it alone'
    pdftotext -layout paper/paper.pdf - 2>/dev/null >"$tmp/out"; grep -q 'Other experiments' "$tmp/out" && grep -q 'Mine & yours' "$tmp/out"; ok $? 'has it at its end, with its title'
    grep -q '^ *with L2  *[0-9.]*  *[0-9]' "$tmp/out" && grep -q '^ *two  *[0-9.]*  *[0-9]' "$tmp/out"; ok $? 'and its numbers'
fi
mv experiments/mine.conf experiments/clean.conf
quiet clean; [ $? != 0 ] && grep -q 'experiments/clean.conf: found the name clean' "$tmp/out"; ok $? 'a name that make uses for something else is refused'
mv experiments/clean.conf experiments/My_own.conf
quiet plan; [ $? != 0 ] && grep -q 'My_own.conf: found this name, expected small letters' "$tmp/out"; ok $? 'so is one that TeX or make would misread'
echo "1..$n"
