#!/bin/sh
# slow: the smoke paper, end to end: all figures and tables, the same bytes twice, and no training the second time.
set -u
for tool in make gnuplot pdflatex bibtex perl; do
    command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }
done
bin=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/paper.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
paper() { make --no-print-directory ${3:-} paper SCALE=smoke DEVICE="${DEVICE:-cpu}" WORK="$tmp" PAPER="$1" WBCSNET="$bin" >"$2" 2>&1; }

paper "$tmp/paper.pdf" "$tmp/first.txt"; ok $? 'make paper SCALE=smoke ends well'
tail -15 "$tmp/first.txt" | sed 's/^/# /'
[ "$(head -c 5 "$tmp/paper.pdf" 2>/dev/null)" = %PDF- ]; ok $? 'and leaves a PDF'
jobs=$(grep -c '^  TRAIN\|^  SHARE' "$tmp/first.txt"); [ "$jobs" = "$(wc -w <"$tmp/results/smoke/synthetic/jobs.txt")" ]; ok $? "every job was trained, or shares what the same command gave ($jobs)"
tally=$(grep -o "^Of the paper's 30 claims: reproduced [0-9]* ([^)]*counted without a run), not reproduced [0-9]*, undecided [0-9]*, waiting for runs [0-9]*, not comparable [0-9]*" "$tmp/first.txt"); ok $? 'it says what it found'
grep -q "^the report: $tmp/paper.pdf" "$tmp/first.txt"; ok $? 'and where the report is'
! grep -q 'numbers have no run behind them' "$tmp/first.txt"; ok $? 'every number has a run behind it'

grep -q '^  SHARE  place/conv1/seed1/fold0 *is ablation/all/seed1/fold0 ' "$tmp/first.txt" &&
    cmp -s "$tmp/runs/smoke/synthetic/place/conv1/seed1/fold0/predictions.csv" "$tmp/runs/smoke/synthetic/ablation/all/seed1/fold0/predictions.csv"; ok $? 'the same job is run once'
split() { awk -F, 'NR > 1 && $3 == "" { none++ } NR > 1 { if ($3 in fold && fold[$3] != $4) part[$3] = 1; fold[$3] = $4 } END { n = 0; for (g in part) n++; print n + 0, none + 0 }' \
    "$tmp/runs/smoke/synthetic/leakage/$1/seed1/fold0/folds.csv"; }
[ "$(split grouped)" = '0 0' ]; ok $? 'photographs of a cell stay in one fold'
case $(split ungrouped) in 0\ *|*\ [1-9]*) false ;; esac; ok $? "and are parted, and still known, where groups are not regarded ($(split ungrouped))"
unknown=$(grep -c 'not run at this scale\|no such run yet' "$tmp/results/smoke/synthetic/verdict/claims.txt"); [ "$unknown" = 8 ]; ok $? "every claim's key has a value, but for the size that smoke leaves out and seven of elsewhere, which was not made ($unknown)"
f=$tmp/figures/smoke/synthetic
for i in 2 3 4 5 6 7 8 9; do [ "$(wc -c <"$f/fig$i.tex" 2>/dev/null || echo 0)" -gt 900 ]; ok $? "Fig. $i is not empty"; done
[ "$(wc -c <"$f/fig1.png")" -gt 5000 ] && [ "$(wc -c <"$f/fig9/conv3.png")" -gt 500 ]; ok $? 'nor are the pictures of Fig. 1 and 9'
if command -v pdftotext >/dev/null; then
    pdftotext -layout "$tmp/paper.pdf" "$tmp/paper.txt"
    for what in 'Figure 1' 'Figure 2' 'Figure 3' 'Figure 4' 'Figure 5' 'Figure 6' 'Figure 7' 'Figure 8' 'Figure 9' 'Table 1' 'Table A' 'Table D' Colophon References; do
        grep -q "$what" "$tmp/paper.txt"; ok $? "the report has $what"
    done
    grep -q 'Asked by us' "$tmp/paper.txt" && grep -q 'from drawn cells' "$tmp/paper.txt"; ok $? 'it has our own questions, and says where fine-tuning began'
    [ "$(grep -c 'scale smoke, synthetic cells' "$tmp/paper.txt")" -ge "$(pdfinfo "$tmp/paper.pdf" | sed -n 's/^Pages: *//p')" ]; ok $? 'scale and kind of cells stand on every page'
    pdftotext -layout -l 1 "$tmp/paper.pdf" - | grep -q 'Training accuracy begins at  *40  *[0-9]'; ok $? 'the record stands on the first page'
    [ "$(pdftotext -l 2 "$tmp/paper.pdf" - | tr '\n' ' ' | tr -s ' ' | sed "s/’/'/g" | grep -oF "$tally" | wc -l)" = 2 ]; ok $? 'what became of the claims is said in the same words on the first pages, in the abstract and on the terminal'
    ! grep -q '??' "$tmp/paper.txt"; ok $? 'no reference is open'
fi
grep -A1 Overfull "$tmp/paper/smoke/synthetic/paper.log" | grep -q 'Overfull .hbox ([1-9][0-9][0-9.]*pt'; [ $? = 1 ]; ok $? 'nothing stands more than 10 points out of its column'

# The site's copy of the report: nothing is left that only paper.tex could spell out, and every number of the PDF's first page is there.
for_site=$tmp/paper/smoke/synthetic/report.tex
sed '/begin{tikzpicture}/,/end{tikzpicture}/d' "$for_site" >"$tmp/site.tex"
! grep -nE '\\(R|paper|pct|ptext|from|two|one|drawn|rows|input|newcommand|def)\b|\\if|\\fi\b|\\else' "$tmp/site.tex" >"$tmp/out" && [ "$(grep -c FROMOPEN "$tmp/site.tex")" -gt 25 ] && ! grep -q 'FROMOPEN:[^:]*::X' "$tmp/site.tex"; ok $? "what the site shows is spelt out, and each figure leads to a chapter $(head -3 "$tmp/out" | cut -c1-100)"
tables=$(grep -c 'begin{tabular}' "$tmp/site.tex"); [ "$tables" -gt 18 ] && [ "$(grep -c 'begin{tikzpicture}' "$for_site")" -gt 14 ]; ok $? "it has the tables ($tables) and the drawings"

start=$(date +%s)
paper "$tmp/paper.pdf" "$tmp/second.txt"; ok $? 'a second make paper ends well'
! grep -q 'TRAIN\|SHARE\|LATEX\|PLOT\|DRAW\|SUM' "$tmp/second.txt"; ok $? 'and makes nothing'
[ $(($(date +%s) - start)) -le 10 ]; ok $? 'in seconds'
mkdir "$tmp/kept"
for part in results figures paper; do cp -r "$tmp/$part" "$tmp/kept"; done
! grep -rlF "$tmp" "$tmp/figures" "$tmp/results" "$tmp/paper" --include='*.tex' >"$tmp/out"; ok $? 'no path is in what LaTeX reads'

# From the runs alone, in another checkout, whose path LaTeX cannot read: the bytes may depend on neither.
there="$tmp/wbc snét" && mkdir -p "$there/build" && cp -R Makefile src.nw book generated experiments figures paper tools "$there" && ln -s "$(realpath "$bin")" "$there/wbcsnet" &&
    cp -R "$tmp/data" "$tmp/runs" "$there/build" && echo "BUNDLE_DATE := $(tools/version date)" >"$there/bundle.mk"    # as an archive of the sources says it
(cd "$there" && make --no-print-directory paper SCALE=smoke WBCSNET=./wbcsnet >../there.txt 2>&1); ok $? 'results, figures and report are made again from the runs, under a path with a space and a letter beyond ASCII'
! grep -q 'TRAIN' "$tmp/there.txt"; ok $? 'without training'
cmp -s "$tmp/paper.pdf" "$there/paper/paper.pdf" && cmp -s "$for_site" "$there/build/paper/smoke/synthetic/report.tex"; ok $? 'and the PDF and the page of the site have the same bytes'
diff -rqx '*.with' "$tmp/kept/figures" "$there/build/figures" >"$tmp/out"; ok $? "so have the figures $(head -3 "$tmp/out" | cut -c1-100)"
rm -rf "$there"

# gnuplot warns and ends well: each of its figures must fail then.
mkdir "$tmp/bin" && printf '#!/bin/sh\necho "\"x.gp\" line 1: warning: planted" >&2\nexec "%s" "$@"\n' "$(command -v gnuplot)" >"$tmp/bin/gnuplot" && chmod +x "$tmp/bin/gnuplot"
[ "$(grep -o '{\$10^{-*[0-9]*}\$}' "$f/cost.tex" | sort | uniq -c | awk '$1 > 3' | wc -l)" = 0 ]; ok $? 'no power of ten stands twice on an axis of cost'
mkdir "$tmp/aside" && mv "$f"/*.tex "$tmp/aside"
PATH="$tmp/bin:$PATH" paper "$tmp/paper.pdf" "$tmp/warned.txt" -k; [ $? != 0 ]; ok $? 'a warning of gnuplot is an error'
[ "$(grep -c '^  PLOT' "$tmp/warned.txt")" -ge 14 ] && [ "$(grep -c '^  PLOT' "$tmp/warned.txt")" = "$(grep -c 'gnuplot warned' "$tmp/warned.txt")" ]; ok $? 'in each figure'
rm -f "$f"/*.tex "$f"/*.err && mv "$tmp/aside"/*.tex "$f"

# make and all that it runs are killed, again and again: where a file stands it is whole, and in the end all is as it was undisturbed.
rm -rf "$tmp/results" "$tmp/figures" "$tmp/paper"
perl tests/killmake "$tmp/kept" "$tmp" make --no-print-directory paper SCALE=smoke DEVICE="${DEVICE:-cpu}" WORK="$tmp" PAPER="$tmp/again.pdf" WBCSNET="$bin" >"$tmp/storm.txt" 2>&1
ok $? 'killed again and again, make comes to the same report'
sed 's/^/# /' "$tmp/storm.txt" | tail -12

# What one command made together is made anew together.
r=$tmp/results/smoke/synthetic
rm "$r/transfer/scores.dat" "$r/cv/results.tex" "$r/verdict/findings.txt" "$f/fig9/conv3.png"
mkdir "$f/fig6.tex.new.99999999" "$r/cv/results.json.new.$$" && touch -d '1 hour ago' "$f/fig6.tex.new.99999999" "$r/cv/results.json.new.$$"
find "$tmp/results" "$tmp/figures" -name '*.new.*' -type d -empty -mmin -5 -exec rmdir {} +      # what a kill just behind the last move left
paper "$tmp/again.pdf" "$tmp/fourth.txt"; c=$?
[ ! -e "$f/fig6.tex.new.99999999" ] && rmdir "$r/cv/results.json.new.$$"; ok $? 'what a stopped make left empty is swept, what a running one holds is not'
[ $c = 0 ] && cmp -s "$tmp/paper.pdf" "$tmp/again.pdf" && diff -rx '*.with' "$tmp/kept/results" "$tmp/results" >"$tmp/out" && diff -rx '*.with' "$tmp/kept/figures" "$tmp/figures" >"$tmp/out"
c=$?; ok $c 'files that are gone though their sisters stand are made again'
[ $c = 0 ] || { tail -5 "$tmp/fourth.txt"; cat "$tmp/out"; } | sed 's/^/# /'

: >"$r/transfer/scores.dat"; rm "$f/fig8.tex"
paper "$tmp/again.pdf" "$tmp/fourth.txt"; [ $? != 0 ] && ! [ -e "$f/fig8.tex" ]; ok $? 'a figure without its data is an error'
rm "$r/transfer/scores.dat"

# A part alone: what was not run is a dash, and what an arm begins from comes along.
part() { make --no-print-directory paper SCALE=smoke DEVICE="${DEVICE:-cpu}" WORK="$tmp" PAPER="$tmp/part.pdf" WBCSNET="$bin" ONLY="$1" >"$tmp/part.txt" 2>&1; }
part 'cv/wbcsnet*,scratch'; ok $? 'a report of a part ends well'
! grep -q TRAIN "$tmp/part.txt" && grep -q 'numbers have no run behind them' "$tmp/part.txt"; ok $? 'without training what is there, and says that numbers are missing'
! grep -q 'Wide character' "$tmp/part.txt"; ok $? 'without a complaint about the dashes in their places'
if command -v pdftotext >/dev/null; then pdftotext "$tmp/part.pdf" - | tr '\n' ' ' | grep -q 'Only a part was run: cv/wbcsnet\*, scratch'; ok $? 'so does its first page'; fi
part nothing; [ $? = 2 ] && grep -q 'ONLY=nothing: found no such experiment or arm' "$tmp/part.txt"; ok $? 'a part that there is not: one message'
[ "$(ONLY='curve/one-25 begin/wbcsnet' experiments/jobs smoke | sed -n 's/^EXPERIMENTS_HERE := //p')" = 'begin scratch curve' ]; ok $? 'what an arm begins from comes along'

# Runs are found by the name of a folder, a scale and a seed; make must notice when those stand for something else.
mkdir "$tmp/a" "$tmp/b"
"$bin" synth --set dataset1 --counts 40,15,10,25,15 --size 40 --seed 11 "$tmp/a/set" >/dev/null
"$bin" synth --set dataset1 --counts 40,15,10,25,15 --size 40 --seed 12 "$tmp/b/set" >/dev/null
begin() { make --no-print-directory begin SCALE=smoke WORK="$tmp" WBCSNET="$bin" "$@" >"$tmp/begin.txt" 2>&1; }
trained() { [ "$(grep -c '^  TRAIN' "$tmp/begin.txt")" = "$1" ]; ok $? "$2"; }
sha() { sha256sum <"$tmp/$1/set/labels.csv" | cut -c1-12; }
r=$tmp/results/smoke/set+synthetic/begin/results.tex
begin DATA1="$tmp/a/set"; trained 30 'own cells are trained on'
grep -q "$(sha a)" "$r"; ok $? 'and named in the results'
begin DATA1="$tmp/b/set"; trained 30 'other cells in a folder of the same name are trained on'
grep -q "$(sha b)" "$r"; ok $? 'and named in the results'
begin DATA1="$tmp/b/set"; ! grep -q 'TRAIN\|SHARE\|SUM' "$tmp/begin.txt"; ok $? 'the same command again makes nothing'
begin DATA1="$tmp/a/set"; trained 0 'back to the first cells: their runs were kept'
grep -q "$(sha a)" "$r"; ok $? 'and the results are theirs'
begin DATA1="$tmp/a/set" DEVICE=ref; trained 30 'another engine is another run'
grep -q '"device": "ref"' "$tmp"/runs/smoke/set/begin/wbcsnet2/seed1/foldall/run.json; ok $? 'and says so'
begin DATA1="$tmp/a/set"; trained 0 'back to the first engine without training'
begin DATA1="$tmp/a/set" SEED=2; trained 10 'another first seed: its last is new'
[ "$(grep -c '^  SHARE' "$tmp/begin.txt")" = 20 ]; ok $? 'and the two that it has with the first are shared'
[ -e "$tmp/results/smoke/set+synthetic-seed2/begin/results.tex" ]; ok $? 'with a folder of results of its own'
begin DATA1="$tmp/a/set"; trained 0 'back to the first seed without training'
begin SEED=x; [ $? = 2 ] && grep -q 'SEED=x: expected a whole number' "$tmp/begin.txt" && [ "$(wc -l <"$tmp/begin.txt")" = 1 ]; ok $? 'a seed that is no number: one message'
begin DATA1="$tmp/no such/set"; [ $? = 2 ] && grep -q 'a path without spaces' "$tmp/begin.txt" && [ "$(wc -l <"$tmp/begin.txt")" = 1 ]; ok $? 'a path with a space: one message'
# The rules of a scale with more seeds: what begins from other weights begins from those of its own seed.
mkdir "$tmp/c" && cp -r experiments "$tmp/c" && (sed '/^begin\.epochs /d' experiments/scales/smoke.conf; printf 'transfer.seeds 2\nbegin.epochs 3\n') >"$tmp/c/experiments/scales/smoke.conf"
(cd "$tmp/c" && experiments/jobs smoke) >"$tmp/rules.txt"
[ "$(grep -c -- '--seed 2 --init [^ ]*/scratch/wbcsnet2/seed2/foldall/weights' "$tmp/rules.txt")" = 2 ]; ok $? 'the second seed is tuned from the second seed of scratch'
grep -q '^[^ ]*/scratch/wbcsnet2/seed2/foldall/run.json:' "$tmp/rules.txt"; ok $? 'which is trained'
[ "$(grep -c 'with epochs=3' "$tmp/rules.txt")" = 30 ]; ok $? 'a scale decides about the epochs of begin too'
# A user's own weights for the nets of others: those that are there take the place of drawn cells.
GIVEN='resnet18' experiments/jobs smoke >"$tmp/given.txt"
[ "$(grep -c 'nets/resnet18.net --set size=32 --recipe experiments/recipes/finetune.conf .*--pretrained $(PRETRAINED)/resnet18.safetensors .*cv/resnet18-tuned/' "$tmp/given.txt")" = 2 ]; ok $? 'weights that are given are fine-tuned at their own widths'
[ "$(grep -c -- '--pretrained' "$tmp/given.txt")" = 2 ] && grep -q 'init [^ ]*/pretrain/alexnet/' "$tmp/given.txt"; ok $? 'the other nets learn from drawn cells first'
begin PRETRAINED="$tmp/c"; [ $? = 2 ] && grep -q 'found none of alexnet.safetensors vgg16.safetensors resnet18.safetensors' "$tmp/begin.txt"; ok $? 'a folder without such weights: one message'
mkdir "$tmp/g" && : >"$tmp/g/vgg16.safetensors"
begin PRETRAINED="$tmp/g" && grep -q '^device .* given .*/g vgg16$' "$tmp/inputs.txt" && begin && ! grep -q given "$tmp/inputs.txt"; ok $? 'whether weights are given is an input that make looks at'
echo "1..$n"
