#!/bin/sh
# summarise and verdict on run folders made by hand, whose answers are counted by hand.
set -u
bin=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/summarise.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
has() { grep -qF -- "$2" "$1"; ok $? "$3"; }

# run ARM SEED FOLD NET DIVERGED [LOSS [GPU]]: a run folder; its predictions come on standard input
run() {
    d=$tmp/runs/try/$1/seed$2/fold$3 gpu=
    [ -z "${7:-}" ] || gpu=", \"gpu\": \"$7\""
    mkdir -p "$d"
    { echo file,class,predicted,neutrophil,eosinophil; cat; } >"$d/predictions.csv"
    cells=$(($(wc -l <"$d/predictions.csv") - 1)) right=$(awk -F, 'NR > 1 && $2 == $3' "$d/predictions.csv" | wc -l)
    printf 'iteration,epoch,loss,accuracy\n1,1,%s,0.5\n2,1,1,0.75\n3,2,0.5,1\n4,2,0.25,1\n' "${6:-2}" >"$d/log.csv"
    cat >"$d/run.json" <<END
{"finished": true, "config_sha256": "x", "config": {"data": {"name": "hand", "kind": "synthetic", "sha256": "0123456789abcdef", "cells": 10},
 "net": {"name": "$4", "title": "$4", "set": "", "sha256": "y"}, "recipe": {"name": "faithful", "with": "epochs=2"}, "folds": 2, "fold": $3, "cells": 0,
 "seed": $2, "init": null, "device": "ref"}, "params": 1000, "flop_per_image": 2000000, "train_cells": 5, "test_cells": $cells, "iterations": 4, "epochs": 2,
 "seconds": 30, "images_per_second": 100, "threads": 1, "final_loss": 0.375, "final_accuracy": 1, "correct": $right, "diverged": $5, "weights_sha256": "z",
 "machine": "a_b & c"$gpu, "version": "0"}
END
}
# Ten cells, six neutrophils and four eosinophils. Net a errs on n1 and e1; net b on n1, n2, n3 and e2.
run a 1 0 neta false 2.5 <<END
n1,neutrophil,eosinophil,0,1
n2,neutrophil,neutrophil,1,0
n3,neutrophil,neutrophil,1,0
e1,eosinophil,neutrophil,1,0
e2,eosinophil,eosinophil,0,1
END
run a 1 1 neta false 1.5 <<END
n4,neutrophil,neutrophil,1,0
n5,neutrophil,neutrophil,1,0
n6,neutrophil,neutrophil,1,0
e3,eosinophil,eosinophil,0,1
e4,eosinophil,eosinophil,0,1
END
run b 1 0 netb false <<END
n1,neutrophil,eosinophil,0,1
n2,neutrophil,eosinophil,0,1
n3,neutrophil,eosinophil,0,1
e1,eosinophil,eosinophil,0,1
e2,eosinophil,neutrophil,1,0
END
run b 1 1 netb false <<END
n4,neutrophil,neutrophil,1,0
n5,neutrophil,neutrophil,1,0
n6,neutrophil,neutrophil,1,0
e3,eosinophil,eosinophil,0,1
e4,eosinophil,eosinophil,0,1
END
"$bin" summarise --experiment try --out "$tmp/out" "$tmp"/runs/try/*/*/*; ok $? 'summarise ends well'
r=$tmp/out/results.tex
has "$r" '\result{try/a/cells}{10}' 'the folds are pooled'
has "$r" '\result{try/a/accuracy}{80.00}' 'net a: 8 of 10'
has "$r" '\result{try/a/accuracy/bounds}{49.02--94.33}' 'with the interval of 8 of 10 (Wilson)'
has "$r" '\result{try/a/recall}{79.17}' 'mean recall (5/6 + 3/4) / 2'
has "$r" '\result{try/a/specificity}{79.17}' 'of two classes the specificity is the same'
has "$r" '\result{try/a/precision}{79.17}' 'mean precision (5/6 + 3/4) / 2'
has "$r" '\result{try/b/accuracy}{60.00}' 'net b: 6 of 10'
has "$r" '\result{try/a/Neu/Eos}{1}' 'one neutrophil was taken for an eosinophil'
has "$r" '\result{try/a/alike}{100.0}' 'all errors lie between like classes'
has "$r" '\result{try/a-vs-b/accuracy}{20.00}' 'the difference of the nets'
has "$r" '\result{try/a-vs-b/accuracy/bounds}{\ensuremath{-}18.70 to 52.11}' 'with Newcombe'"'"'s interval of 5 that both know, 3, 1 and 1 that neither does'
has "$r" '\result{try/a-vs-b/first}{3}' 'three cells only a knows'
has "$r" '\result{try/a-vs-b/second}{1}' 'one cell only b knows'
grep -q 'try/a-vs-b/accuracy/p}{= 0.6[23]}' "$r"; ok $? 'McNemar 3 against 1: 10/16, a tie for two digits'
has "$r" '\result{try/a-vs-b/recall/Neu}{33.3}' 'recall of neutrophils 5/6 against 3/6'
# over the folds: a has 3/5 and 5/5, b 1/5 and 5/5, so the differences are 40 and 0 points
has "$r" '\result{try/a-vs-b/folds}{20.00}' 'mean difference over the folds: (40 + 0) / 2'
has "$r" '\result{try/a-vs-b/t}{0.58}' 'corrected t: 20 / sqrt((1/2 + 1) 800) = 0.577'
! grep -q 'try/a/accuracy/sd' "$r"; ok $? 'one seed has no spread over seeds'
has "$r" '\result{try/a/start/loss}{2.00}' 'the first loss, mean of 2.5 and 1.5'
has "$r" '\result{try/a/minutes}{1.0}' 'two runs of half a minute'
has "$r" '\result{try/machine}{a\_b \& c}' 'text is escaped for TeX'
has "$tmp/out/curve-a.dat" '3 0.5 100 ' 'the curve holds iteration, loss, accuracy'
has "$tmp/out/curve-a.dat" "$tmp/runs/try/a/seed1/fold0" 'a table names its runs'
"$bin" summarise --experiment try --out "$tmp/again" "$tmp"/runs/try/*/*/*; cmp -s "$r" "$tmp/again/results.tex"; ok $? 'twice gives the same bytes'

# some folds of all, and a list of paths that hold spaces
"$bin" summarise --experiment try --out "$tmp/some" "$tmp"/runs/try/a/seed1/* "$tmp"/runs/try/b/seed1/fold1 >"$tmp/said"; [ "$(cat "$tmp/said")" = 'b: 1 of 2 folds' ]; ok $? 'folds that are missing are told'
has "$r" '\result{try/a/extent}{2 folds}' 'how much of a cross-validation is there is said in words'
has "$tmp/some/results.tex" '\result{try/b/extent}{1 of 2 folds so far}' 'of a part too'
"$bin" summarise --experiment try --out "$tmp/some" "$tmp"/runs/try/*/*/* >"$tmp/said"; [ ! -s "$tmp/said" ]; ok $? 'and nothing where all are there'
mkdir "$tmp/runs/a list" && cp -R "$tmp/runs/try/a" "$tmp/runs/try/b" "$tmp/runs/a list"
printf '%s\r\n\n' "$tmp/runs/a list"/*/*/* >"$tmp/list"
"$bin" summarise --experiment try --out "$tmp/listed" --list "$tmp/list" && cmp -s "$r" "$tmp/listed/results.tex"; ok $? 'a list has one path a line, with spaces in it'
rm -r "$tmp/runs/a list"

# names that JSON escapes, and long ones
"$bin" summarise --experiment 'a "b\c' --out "$tmp/quoted" "$tmp"/runs/try/*/*/* && perl -MJSON::PP -0777 -e 'exit !(decode_json(<>)->{experiment} eq q(a "b\c))' "$tmp/quoted/results.json"; ok $? "an experiment's name is escaped in JSON"
long=$(printf 'long-%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)x
mkdir "$tmp/runs/$long"; cp -R "$tmp/runs/try/a" "$tmp/runs/$long/$long"
"$bin" summarise --experiment $long --out "$tmp/long" "$tmp/runs/$long/$long"/*/* && grep -qF "\result{$long/$long/accuracy}{80.00}" "$tmp/long/results.tex" && [ -e "$tmp/long/curve-$long.dat" ]; ok $? 'names of 81 letters stay whole'

# a second seed of net a, right everywhere: seeds are averaged, the first seed's matrix stays
for i in 0 1; do
    run a 2 $i neta false 2 <<END
n$i,neutrophil,neutrophil,1,0
e$i,eosinophil,eosinophil,0,1
END
done
"$bin" summarise --experiment try --out "$tmp/seeds" "$tmp"/runs/try/*/*/*; ok $? 'two seeds are summed up'
has "$tmp/seeds/results.tex" '\result{try/a/accuracy/mean}{90.00}' 'the mean over seeds of 80 and 100'
has "$tmp/seeds/results.tex" '\result{try/a/accuracy/sd}{14.14}' 'with its standard deviation'
has "$tmp/seeds/results.tex" '\result{try/a/accuracy}{80.00}' "the first seed's accuracy stays"
rm -r "$tmp/runs/try/a/seed2"

# cells in groups: n1, n2 and n3 are one cell photographed three times, known by b never and by a twice
for a in a b; do for i in 0 1; do
    { echo file,class,group,fold; for c in n1 n2 n3; do echo $c,neutrophil,slide7,0; done; for c in e1 e2; do echo $c,eosinophil,,0; done
      for c in n4 n5 n6; do echo $c,neutrophil,,1; done; for c in e3 e4; do echo $c,eosinophil,,1; done; } >"$tmp/runs/try/$a/seed1/fold$i/folds.csv"
done; done
"$bin" summarise --experiment try --out "$tmp/groups" "$tmp"/runs/try/*/*/*; ok $? 'runs with groups are summed up'
g=$tmp/groups/results.tex
has "$g" '\result{try/a/groups}{8}' 'ten cells in eight groups'
has "$g" '\result{try/a/accuracy}{80.00}' 'the accuracy is the same'
# d: 2 in the group, 1 for e2, -1 for e1: the sum 2; of 8 choices of signs 6 reach 2 or more (4, 2, 2, 0 and their like: 0 in two)
grep -q 'try/a-vs-b/accuracy/p}{= 0.75}' "$g"; ok $? 'the paired test counts groups: 6 of 8'
width() { sed -n "s/.*try\/b\/accuracy\/bounds}{\([0-9.]*\)--\([0-9.]*\)}/\1 \2/p" "$1" | awk '{ print $2 - $1 }'; }
awk "BEGIN { exit !($(width "$g") > 1.1 * $(width "$r")) }"; ok $? "and the interval of b is wider: $(width "$g") against $(width "$r") points"
sed -i '2d' "$tmp/runs/try/b/seed1/fold0/folds.csv"
"$bin" summarise --experiment try --out "$tmp/bad" "$tmp"/runs/try/*/*/* 2>"$tmp/err"; [ $? = 3 ] && grep -q 'no cell n1' "$tmp/err"; ok $? 'a fold list without one of its cells: exit 3'
rm "$tmp"/runs/try/*/*/*/folds.csv

# the verdict
cat >"$tmp/claims.csv" <<'END'
claim,about,published,rule,ours,limit,reason
a is better,recognition,fig6/gain,better,try/a-vs-b/accuracy,,
a reaches 96.8,recognition,fig6/wbcsnet2,number,try/a/accuracy,,
errors are alike,recognition,,least,try/a/alike,50,
training ends at 100,training,fig4/end,least,try/a/end/accuracy,99.5,
training ends at 0,training,fig5/end,most,try/a/end/loss,0.05,
loss starts at 1.65,training,fig5/start,start,try/a/start/loss,,
unseen,training,,none,,,not run
a is right often,training,,count,try/a/accuracy,75,
is a better by design?,recognition,,ask,try/a-vs-b/accuracy,,
is it worth its cost?,recognition,,ask,try/no-such,,
END
judge() { "$bin" verdict --published experiments/published.csv --claims "$tmp/claims.csv" --scale "$1" --out "$tmp/v$1" "$tmp/out/results.json"; }
judge full; ok $? 'verdict ends well'
v=$tmp/vfull
grep -q '{+20.00.*{.waiting}{only drawn cells here; $p = 0.6[23]$}' "$v/claims.tex"; ok $? 'a difference on drawn cells is shown with its p, and waits for runs on real ones'
[ "$(grep -c '{.waiting}{only drawn cells here}' "$v/claims.tex")" = 2 ]; ok $? 'nor is an absolute number, nor a share of errors'
has "$v/claims.tex" '{\reproduced}{limit: at least 99.5}' 'a limit that is reached'
has "$v/claims.tex" '{\notreproduced}{limit: at most 0.05}' 'a limit that is missed'
has "$v/claims.tex" "{\\undecided}{inside one more run's interval, which is wide}" 'a start inside a wide prediction interval'
sed -i 's/^loss starts.*/loss starts at 1.65,training,fig5\/start,start,try\/a\/start\/loss,fitted,/' "$tmp/claims.csv"; judge full
has "$v/claims.tex" '{\notcomparable}{our initialiser came from it' 'a value that was fitted to is no evidence'
has "$v/verdict.tex" '\result{verdict/reproduced}{1}' 'verdicts are counted'
has "$v/verdict.tex" '\result{verdict/all}{8}' 'questions of ours are not counted among the claims'
# One count: the sentence of the terminal and the report, the values, the lines of claims.txt, and the rows of the first table are of the same verdicts.
one_count() {    # FOLDER WHAT
    awk '/^.recorded/ { split($0, p, "}{"); print p[6] }' "$1/recorded.tex" | sort | uniq -c >"$tmp/rows"
    cut -c1-16 "$1/claims.txt" | sed 's/ *$//' | grep -v '^not claimed$' | sort | uniq -c | diff - "$tmp/rows" >"$tmp/differ"; ok $? "$2: claims.txt has the verdicts of the first table"
    t=$(sed -n "s/^.result{verdict.tally}{\(.*\)}$/\1/p" "$1/verdict.tex")
    [ -n "$t" ] && grep -qF "$t" "$1/findings.txt"; ok $? "$2: the terminal says the sentence of the report"
    echo "$t" | sed 's/.*: //; s/ ([^)]*)//g' | tr ',' '\n' | sed 's/^ *\(.*\) \([0-9]*\)$/\2 \1/' | grep -v '^0' | sort -k2 >"$tmp/said"
    sed 's/^ *//' "$tmp/rows" | sort -k2 | diff - "$tmp/said" >"$tmp/differ"; ok $? "$2: which counts them ($t)"
    sed -n 's/^.result{verdict.\(reproduced\|not-reproduced\|seen\|not-seen\|undecided\|waiting\|not-comparable\)}{\(.*\)}$/\2/p' "$1/verdict.tex" | grep -v '^0' | sort >"$tmp/values"; cut -d' ' -f1 "$tmp/said" | sort | diff - "$tmp/values" >"$tmp/differ"; ok $? "$2: so do the values"
}
[ "$(grep -c '{.notclaimed}' "$v/claims.tex")" = 2 ] && grep -q '{.notclaimed}{drawn cells; $p = 0.6[23]$: no difference found}' "$v/claims.tex"; ok $? 'a question has its test and no verdict'
grep -q '^not claimed *is it worth its cost?: ours -; not run at this scale$' "$v/claims.txt"; ok $? 'and says where it was not run'
[ "$(grep -c questions "$v/claims.tex")" = 1 ] && [ "$(sed -n '/questions/=' "$v/claims.tex")" = 9 ]; ok $? 'questions stand apart, behind the claims'
grep -q '^reproduced *training ends at 100: published 100, ours .*; limit: at least 99.5$' "$v/claims.txt"; ok $? 'the claims stand in a file for a terminal too'
has "$v/verdict.tex" '\result{published/recall}{92.89}' "the paper's Table 1 is scored"
grep -qx 'recall 92.89' "$v/published.dat"; ok $? 'for the figures too'
has "$v/verdict.tex" '\result{published/missing}{8}' 'eight cells are missing from it'
has "$v/verdict.tex" '\result{published/most}{51}' 'its gain of 15 cells needs at most 51 disagreements'
has "$v/verdict.tex" '\result{published/most-rounded}{58}' 'and 58, were it 16 cells'
sed -i 's/"synthetic"/"real"/' "$tmp"/runs/try/*/*/*/run.json
"$bin" summarise --experiment try --out "$tmp/out" "$tmp"/runs/try/*/*/*; judge full; judge quick; judge smoke
grep -q '{.undecided}{$p = 0.6[23]$: neither found nor excluded}' "$v/claims.tex"; ok $? 'on real cells a difference without evidence is undecided'
grep 'errors are alike' "$v/claims.tex" | grep -q 'limit: at least 50'; ok $? 'and a share of errors is judged'
has "$v/claims.tex" '{\notreproduced}{published value outside our interval}' 'on real cells at full scale the number is judged'
has "$tmp/vquick/claims.tex" '{\waiting}{only scale quick here}' 'at another scale it waits'
grep 'a is right often' "$tmp/vsmoke/claims.tex" | grep -q '{.notreproduced}{counted without a run (at least 75)}'; ok $? 'what is counted is judged at every scale, by its lower bound'
# The record beside this machine: real cells at full scale judge, whatever was run here; what the record lacks is judged by the runs here.
has "$tmp/vsmoke/recorded.tex" '{--}{80.00 {\small' 'without a record its column is empty'
mkdir -p "$tmp/record/try" && cp "$tmp/out/results.json" "$tmp/record/try"
sed 's/"try\/a\/accuracy": {[^}]*}/"try\/a\/accuracy": {"value": 50, "digits": 2, "low": 40, "high": 60}/; s/"text": "real"/"text": "synthetic"/' "$tmp/out/results.json" >"$tmp/here.json"
"$bin" verdict --published experiments/published.csv --claims "$tmp/claims.csv" --scale smoke --record "$tmp/record" --out "$tmp/vrecord" "$tmp/here.json"; ok $? 'verdict with a record'
has "$tmp/vrecord/recorded.tex" '{96.8}{80.00 {\small' 'the record stands beside the published value'
grep -q '^.recorded{a reaches 96.8}.*{50.00 {.small(40.00--60.00)}}{bad}{not reproduced}{published value outside our interval}$' "$tmp/vrecord/recorded.tex"; ok $? 'and judges, though smoke on drawn cells would not'
grep -q '^.recorded{unseen}.*{open}{not comparable}{not run}' "$tmp/vrecord/recorded.tex" && ! grep -q 'by design' "$tmp/vrecord/recorded.tex"; ok $? 'what nobody ran stays open, and questions of ours are left out'
has "$tmp/vrecord/record.tex" '\result{record/try/a/accuracy}{80.00}' 'values of the record have keys of their own'
has "$tmp/vrecord/verdict.tex" '\result{verdict/not-comparable}{2}' 'what was fitted to, and what has no number, is counted as not comparable'
sed 's/\("try\/a\/folds": {"value": \)[0-9]*/\110/; s/\("try\/a\/runs": {"value": \)[0-9]*/\13/' "$tmp/out/results.json" >"$tmp/record/try/results.json"
"$bin" verdict --published experiments/published.csv --claims "$tmp/claims.csv" --scale smoke --record "$tmp/record" --out "$tmp/vpart" "$tmp/here.json"
grep -q '^.recorded{a reaches 96.8}.*{80.00.*{open}{waiting for runs}{3 of 10 folds so far}$' "$tmp/vpart/recorded.tex"; ok $? 'an arm of which some folds are there has a value and waits for the others'
grep -q '^.recorded{a is better}.*{open}{waiting for runs}{3 of 10 folds so far}$' "$tmp/vpart/recorded.tex"; ok $? 'so does a difference from it'
has "$tmp/vpart/verdict.tex" '\result{verdict/waiting}{5}' 'such claims are counted as waiting'
has "$tmp/vpart/findings.txt" 'not reproduced 1 (counted without a run), undecided 0, waiting for runs 5, not comparable 2' 'apart from what can never be compared, and from what was counted without a run'
one_count "$tmp/vpart" 'a record of some folds'
one_count "$tmp/vrecord" 'a record beside smoke'
one_count "$tmp/vquick" 'quick without a record'
# A record that waits leaves the verdict to runs of this machine that do not.
"$bin" verdict --published experiments/published.csv --claims "$tmp/claims.csv" --scale full --record "$tmp/record" --out "$tmp/vboth" "$tmp/out/results.json"
grep -q '^.recorded{a reaches 96.8}.*{bad}{not reproduced}{published value outside our interval}$' "$tmp/vboth/recorded.tex"; ok $? 'a record that waits for folds leaves the verdict to whole runs of this machine'
one_count "$tmp/vboth" 'the record and whole runs'
# Trained on all cells: one run, and no fold is missing, though it names the number of folds.
mkdir "$tmp/record/alone" && printf '{"values": {"alone/kind": {"text": "real"}, "alone/a/end/accuracy": {"value": 100, "digits": 2}, "alone/a/folds": {"value": 10, "digits": 0}, "alone/a/runs": {"value": 1, "digits": 0}}}\n' >"$tmp/record/alone/results.json"
{ cat "$tmp/claims.csv"; echo 'own cells,training,fig4/end,least,alone/a/end/accuracy,99.5,'; } >"$tmp/alone.csv"
"$bin" verdict --published experiments/published.csv --claims "$tmp/alone.csv" --scale smoke --record "$tmp/record" --out "$tmp/valone" "$tmp/here.json"
grep -q '^.recorded{own cells}.*{good}{reproduced}{limit: at least 99.5}$' "$tmp/valone/recorded.tex"; ok $? 'what was trained on all cells waits for no fold'
rm -r "$tmp/record/alone"
: >"$tmp/none.tar.gz"; experiments/record "$tmp/none.tar.gz" "$bin" "$tmp/none" 2>"$tmp/err"; [ $? = 3 ] && grep -q 'none.tar.gz: found no archive of runs' "$tmp/err"; ok $? 'what is no archive of runs is no record'
has "$tmp/vrecord/claims.tex" '{50.00 {\small' "the table of this machine's claims stays this machine's"
sed 's/^a is better,.*/a is better,recognition,fig6\/gain,better,try\/a-vs-b\/accuracy,try\/b,/' "$tmp/claims.csv" >"$tmp/tuned.csv"
tuned() { "$bin" verdict --published experiments/published.csv --claims "$tmp/tuned.csv" --scale full --out "$tmp/vt" "$1"; grep -q "a is better.*$2" "$tmp/vt/claims.tex"; ok $? "$3"; }
tuned "$tmp/out/results.json" 'fine-tuned from drawn cells; $p' 'a net that the paper fine-tuned from other pictures is no match from nothing'
sed 's/\("try\/b\/begun": {"text": \)"nothing"/\1"given"/' "$tmp/out/results.json" >"$tmp/given.json"
tuned "$tmp/given.json" 'neither found nor excluded' 'and is judged when its weights were given'
# a net that is right everywhere against one that errs on half of 40 cells, and one that errs on another cell each
sed 's/"try\/a-vs-b\/accuracy": {.*/"try\/a-vs-b\/accuracy": {"value": 50, "digits": 2, "low": 30, "high": 70, "p": 1e-6},/' "$tmp/out/results.json" >"$tmp/found.json"
tuned() { "$bin" verdict --published experiments/published.csv --claims "$tmp/claims.csv" --scale "$4" --out "$tmp/vt" "$1"; grep -q "a is better.*$2" "$tmp/vt/claims.txt" || grep -q "^$2.*a is better" "$tmp/vt/claims.txt"; ok $? "$3"; }
tuned "$tmp/found.json" 'reproduced' 'a difference that is found is reproduced at full' full
tuned "$tmp/found.json" 'seen here' 'and seen here at quick' quick
grep -q "seen here 1, not seen here [0-9]*, undecided 0" "$tmp/vt/findings.txt"; ok $? "and counted by that name: $(tail -1 "$tmp/vt/findings.txt")"
one_count "$tmp/vt" 'seen at quick'
sed 's/"value": 50, "digits": 2, "low": 30, "high": 70, "p": 1e-6/"value": -1, "digits": 2, "low": -1.5, "high": 0.5, "p": 0.3/' "$tmp/found.json" >"$tmp/small.json"
tuned "$tmp/small.json" 'not reproduced' 'an interval that excludes the published gain decides too' full
# the level of significance is 5 %: a p on each side of it, for a claim (fig6/gain is inside the interval) and for a question
for p in 0.0501 0.0499; do
    sed "s/\"value\": 50, \"digits\": 2, \"low\": 30, \"high\": 70, \"p\": 1e-6/\"value\": 1, \"digits\": 2, \"low\": -9, \"high\": 9, \"p\": $p/" "$tmp/found.json" >"$tmp/$p.json"
done
for scale in full quick; do
    tuned "$tmp/0.0501.json" undecided "p = 0.0501 is undecided at $scale" $scale
    grep -q 'by design.*no difference found' "$tmp/vt/claims.txt"; ok $? 'and no answer to a question'
    tuned "$tmp/0.0499.json" "$([ $scale = full ] && echo reproduced || echo 'seen here')" "p = 0.0499 is found at $scale" $scale
    ! grep -q 'by design.*no difference found' "$tmp/vt/claims.txt"; ok $? 'and an answer'
done
[ "$(grep -c 'waiting' "$tmp/vsmoke/claims.tex")" = 5 ] && [ "$(grep -c notcomparable "$tmp/vsmoke/claims.tex")" = 2 ]; ok $? 'smoke judges nothing'

# a run that diverged is a finding
sed -i 's/"diverged": false/"diverged": true/; s/"final_loss": 0.375/"final_loss": null/' "$tmp/runs/try/a/seed1/fold1/run.json"
rm "$tmp/runs/try/a/seed1/fold1/predictions.csv"
"$bin" summarise --experiment try --out "$tmp/out" "$tmp"/runs/try/*/*/*; ok $? 'a run that diverged is summed up'
has "$r" '\result{try/a/diverged}{1}' 'and counted'
has "$r" '\result{try/a/end/loss}{not finite}' 'its loss is not finite'
has "$r" '\result{try/a-vs-b/cells}{5}' 'its cells are left out of the pairs'
judge full
has "$v/claims.tex" '{\notreproduced}{the run diverged}' 'its claim is not reproduced'

# what must not be
sed -i 's/"sha256": "y"/"sha256": "other"/' "$tmp/runs/try/b/seed1/fold1/run.json"
"$bin" summarise --experiment try --out "$tmp/bad" "$tmp"/runs/try/*/*/* 2>"$tmp/err"; [ $? = 3 ]; ok $? 'two nets in one arm: exit 3'
has "$tmp/err" 'another configuration' 'and a message that says so'
# One run under two paths, and a copy of it where another fold belongs.
f=$(ls -d "$tmp"/runs/try/*/*/fold0 | head -n 1)
"$bin" summarise --experiment try --out "$tmp/again" "$f" "$tmp/.${f#"$tmp"}" 2>"$tmp/err"; [ $? = 3 ] && grep -q 'fold 0 of seed [0-9]* again; expected each run once' "$tmp/err"; ok $? 'one run by two paths is refused'
mkdir -p "$tmp/moved/try/a/seed1" && cp -r "$f" "$tmp/moved/try/a/seed1/fold0" && cp -r "$f" "$tmp/moved/try/a/seed1/fold1"
"$bin" summarise --experiment try --out "$tmp/again" "$tmp"/moved/try/a/seed1/* 2>"$tmp/err"; [ $? = 3 ] && grep -q "fold1: found fold 0 of seed [0-9]* again" "$tmp/err"; ok $? 'so is its copy in place of another fold'
rm "$tmp/runs/try/b/seed1/fold0/predictions.csv"
"$bin" summarise --experiment try --out "$tmp/bad" "$tmp/runs/try/b/seed1/fold0" 2>"$tmp/err"; [ $? = 3 ]; ok $? 'no predictions of a finished run: exit 3'
"$bin" summarise --experiment try --out "$tmp/bad" 2>/dev/null; [ $? = 2 ]; ok $? 'no runs: exit 2'
mkdir -p "$tmp/flat" && cp "$tmp/runs/try/a/seed1/fold0"/* "$tmp/flat"
"$bin" summarise --experiment try --out "$tmp/bad" "$tmp/flat" 2>"$tmp/err"; [ $? = 2 ]; ok $? 'a path without arm, seed and fold: exit 2'
has "$tmp/err" 'ARM/seedS/foldI' 'and a message that says what is expected'
# equal differences in both folds: no spread to test against
for x in a b; do for i in 0 1; do
    said=$([ $x = a ] && echo neutrophil || echo eosinophil)
    printf 'n%s,neutrophil,%s,1,0\ne%s,eosinophil,eosinophil,0,1\n' $i "$said" $i | run same$x 1 $i net$x false 2 "$([ $x = b ] && echo 'Emulated GPU 0, driver for CUDA 12.8, CUDA 12.8')"
done; done
"$bin" summarise --experiment try --out "$tmp/same" "$tmp"/runs/try/same?/*/*; ok $? 'equal differences are summed up'
has "$tmp/same/results.tex" '\result{try/samea-vs-sameb/folds}{50.00}' 'their mean is shown'
has "$tmp/same/results.tex" '\result{try/machine}{Emulated GPU 0, driver for CUDA 12.8, CUDA 12.8 beside a\_b \& c}' 'a GPU that some of the runs name stands before the processor, once'
has "$tmp/same/results.tex" '\result{try/samea-vs-sameb/folds/p}{---}' 'and no p of a test that is not defined'
echo "1..$n"
