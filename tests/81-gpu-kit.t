#!/bin/sh
# slow: the kit for a bare machine with a GPU: what is packed, what its script says and keeps, whatever happens. The emulated plugin and the cpu engine
# stand for a device; make gpu-kit REHEARSAL=1 makes such a kit to be looked at.
set -u
for tool in make perl tar gzip timeout xargs; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
b=${WBCSNET_B:-build} bin=${WBCSNET:-build/wbcsnet}
[ -e "$b/emu/libwbcsnet_cuda.so" ] || { echo '1..0 # SKIP there is no C++ compiler to emulate a GPU with'; exit 0; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/kit.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES WBCSNET_CUDA ENGINES TIME_LIMIT ONLY OUT JOBS CHECKS PATIENCE
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" | sed 's/^/# /'; fi; }
has() { grep -q "$1" "$tmp/out"; ok $? "$2"; }

# The program and the tests as this build has them, but for one that takes long.
mkdir -p "$tmp/lean/tests" && ln -s "$(realpath "$bin")" "$tmp/lean/wbcsnet"
for t in 31-operators 33-steps; do ln -s "$PWD/$b/tests/$t.t" "$tmp/lean/tests/$t.t"; done
printf '#!/bin/sh\nset -- ${FAULT:+not}\necho "$1 ok 1 - asked of $WBCSNET_ENGINES" | sed "s/^ //"\necho 1..1\nexit ${FAULT:-0}\n' >"$tmp/lean/tests/48-cuda-engine.t"; chmod +x "$tmp/lean/tests/48-cuda-engine.t"
make --no-print-directory cells SCALE=smoke WORK="$tmp/w" WBCSNET="$bin" NVCC= >"$tmp/out" 2>&1
cells="$tmp/w/data/synthetic-smoke"
kit() {
    KIT="$tmp/kit" LEAN="$tmp/lean" PLUGIN="$b/emu/libwbcsnet_cuda.so" KERNEL_TESTS="$b/tests/42-words.t" KIND=EMULATED VERSION=tried SCALE=smoke SEED=1 SEEDS= \
        DATA1="$cells/dataset1" DATA2= SET1="$cells/dataset1" SET2="$cells/dataset2" SET3="$cells/dataset3" tools/gpu-kit >"$tmp/out" 2>&1
}
LIMIT=100 kit; [ $? = 1 ] && ! [ -e "$tmp/kit.tar.gz" ] && ! ls -d "$tmp"/kit*new* >/dev/null 2>&1; ok $? 'a kit that is too large is not packed, and nothing is left of it'
has 'expected at most 100, without cells' 'and says so'
LIMIT=200000 kit; ok $? 'the kit is packed'        # the sanitizers' programs are large
has 'needs glibc 2\.[0-9]* or newer' 'and says what it needs'
mkdir "$tmp/there" && tar xzf "$tmp/kit.tar.gz" -C "$tmp/there" && k=$tmp/there/kit
! grep -rqF "$PWD" "$k/first" "$k/jobs.txt" "$k/cells/commands" "$k/tools"; ok $? 'no path of this machine is in its texts'
[ -e "$k/cells/set1/labels.csv" ] && [ ! -e "$k/cells/set2" ] && grep -q '^set2 synth --set dataset2 ' "$k/cells/commands"; ok $? 'given cells go along, drawn ones as the command that draws them'
# There: no sources, no make.
first() { (cd "$tmp" && PATIENCE=10 OUT="$tmp/results" OPERATOR_CASES=1 CHECK_SET=size=14,f1=4,f2=8,f3=8,fc1=16 STEPS=4 "$k/first" "$@") >"$tmp/out" 2>&1; }
in_archive() { tar xOzf "$tmp/results/first.tar.gz" "logs/$1" 2>/dev/null; }

first; [ $? = 2 ] && grep -q '^  *machine  *15 s' "$tmp/out"; ok $? 'no phase: its help'
first machine all; [ $? = 2 ] && has "found the phase 'all'; expected machine, right" 'a phase that there is not'
WBCSNET_CUDA=/no/plugin first machine right; ok "$([ $? = 4 ]; echo $?)" 'without an engine it ends with 4'
has '^\[ *[0-9]* s\] no engine starts, so nothing more is done: wbcsnet: --device cuda' 'and one line that says why'
! grep -q 'right' "$tmp/out" && in_archive summary.txt | grep -q 'no engine starts'; ok $? 'the other phases are left alone, and the archive tells'
first machine; ok $? 'the emulated engines start'
has 'engines that start: cuda cuda-tf32 cuda-bf16' 'all three'
has 'EMULATED: what follows is a rehearsal' 'and are called what they are'

export ENGINES=cpu
grep -q '^groups cuda-tf32 *cuda-bf16 *$' "$k/candidates"; ok $? 'the kit knows which candidate touches which engine'
printf 'tiles cpu\nswizzle cpu cuda\n' >"$k/candidates"
first machine right train; ok $? 'machine, right and train on an engine that is here'
has '31-operators-cpu-with-tiles: [1-9][0-9]* ok, 0 not ok' 'each candidate is tried'
has '31-operators-cpu-with-swizzle: [1-9][0-9]* ok, 0 not ok' 'and the next'
has '31-operators-cpu: [0-9]* ok, 0 not ok' 'operators were tried'
has '\] 42-words: [0-9]* ok, 0 not ok' 'kernels too'
has '\] ok cpu: trained twice (cpu-size14): the same bits' 'and trained twice'
has '\] ok cpu: killed and resumed (cpu-size14): the same bits after [1-9]' 'and killed and resumed'
[ "$(grep -c 'trained twice' "$tmp/out")" = 1 ]; ok $? 'each result is said once'
in_archive gpu-check.md | grep -q '^    ok     cpu: trained twice' && in_archive 31-operators-cpu.log | grep -q '^ok 1 '; ok $? 'all that was printed is in the archive'
FAULT=1 first right; ok "$([ $? = 1 ]; echo $?)" 'a test that fails is a failure'
has '48-cuda-engine-cpu: 0 ok, 1 not ok, .*not ok 1 - asked of cpu' 'told by its first line'
# A test that checks nothing, a path with a space, a second start, numbers that are none, a folder that cannot be written.
mv "$k/gpu/42-words" "$tmp/words"; printf '#!/bin/sh\necho "1..0 # SKIP not here"\n' >"$k/gpu/42-words"; chmod +x "$k/gpu/42-words"
first right; [ $? = 1 ] && has '42-words: 0 ok, 0 not ok, .*nothing was checked: 1..0 # SKIP not here' 'a test that checks nothing is a failure'
mv "$tmp/words" "$k/gpu/42-words"
mkdir "$tmp/a b" && cp -R "$k" "$tmp/a b/kit" && rm -rf "$tmp/a b/kit/logs"
(cd "$tmp" && PATIENCE=10 CHECKS=train CHECK_SET=size=14,f1=4,f2=8,f3=8,fc1=16 STEPS=4 OUT="$tmp/a b/out" "$tmp/a b/kit/first" train) >"$tmp/out" 2>&1; ok $? 'a kit in a folder with a space'
has '\] ok cpu: trained twice' 'its results are seen'
grep -q '^    ok     cpu: trained twice' "$tmp/a b/kit/logs/gpu-check.md"; ok $? 'and recorded'
sed -i 's/^sub same_bits .*/sub same_bits { return 0 }/' "$tmp/a b/kit/tools/gpu-check"
(cd "$tmp" && PATIENCE=10 CHECKS=train CHECK_SET=size=14,f1=4,f2=8,f3=8,fc1=16 STEPS=4 OUT="$tmp/a b/out" "$tmp/a b/kit/first" train) >"$tmp/out" 2>&1; [ $? = 1 ]; ok $? 'and so are its failures'
mkdir "$k/running" && echo $$ >"$k/running/pid"
first machine; [ $? = 2 ] && has "found another first at work in this folder, process $$" 'a second start waits for the first'
echo 999999999 >"$k/running/pid"; first machine; ok $? 'one that died is in the way of none'
TIME_LIMIT=abc first machine; [ $? = 2 ] && has 'TIME_LIMIT=abc: expected a whole number' 'a limit that is no number'
rm "$tmp/results/first.tar.gz"
TIME_LIMIT=2 first machine right train; [ $? = 130 ] && has 'no time for the phase\|the time is over\|not finished in' 'when the time is over it ends in order'

# Stopped at some moment: what was found so far is in the archive, and nothing goes on.
for moment in 1 4; do
    rm -rf "$tmp/results" "$k/logs"
    (cd "$tmp" && OUT="$tmp/results" STEPS=400 CHECK_SET=size=14,f1=4,f2=8,f3=8,fc1=16 OPERATOR_CASES=1 exec "$k/first" machine right train) >"$tmp/out" 2>&1 & pid=$!
    sleep $moment; kill -TERM $pid; wait $pid; c=$?
    [ $c = 130 ] && in_archive summary.txt | grep -q 'stopped in the phase'; ok $? "stopped after $moment s: exit 130, and the archive is there ($(sed -n 's/.*stopped in the phase //p' "$tmp/out"))"
done
in_archive summary.txt | grep -q 'engines that start: cpu'; ok $? 'with what had been found'
left() { readlink /proc/[0-9]*/exe 2>/dev/null | grep -qxF "$(realpath "$k")/wbcsnet"; }
for i in $(seq 100); do left || break; sleep 0.1; done      # a job that saves its state takes a moment
! left; ok $? 'and no process is left'

# ---- jobs of the paper, and home ----
only='begin/wbcsnet2 transfer/wbcsnet2-frozen'
ONLY=$only TIME_LIMIT=4 first paper; c=$?
[ $c = 130 ] || [ $c = 0 ]; ok $? "the paper until the time is over ($c)"
ONLY=$only first paper; ok $? 'the same command goes on to the end'
grep -q 'scratch/wbcsnet2/seed1/foldall: ' "$tmp/results/summary.txt"; ok $? 'what an arm begins from comes along'
jobs=$(ONLY="$only" RUNS1=a RUNS2=b RUNS3=c experiments/jobs --list smoke | wc -l)
has "runs.tar.gz: $jobs of $jobs runs" 'all runs are in the archive'
ONLY='begin/wbcsnet2 nosuch' first paper; [ $? = 1 ] && has 'found no job of nosuch' 'a word of ONLY that names nothing'
# Stopped among its runs, it brings home those that are done.
mv "$tmp/results" "$tmp/kept"; rm -rf "$k/runs"
(cd "$tmp" && OUT="$tmp/results" exec "$k/first" paper) >"$tmp/out" 2>&1 & pid=$!
for i in $(seq 100); do [ "$(find "$k/runs" -name run.json 2>/dev/null | wc -l)" -lt 3 ] || break; sleep 0.1; done
kill -TERM $pid; wait $pid; [ $? = 130 ] && [ "$(tar tzf "$tmp/results/runs.tar.gz" | grep -c 'run\.json$')" -ge 3 ]; ok $? 'stopped, it has packed the runs that are done'
grep -q '\] begin/wbcsnet2[a-z-]*/seed[0-9]*/foldall: ' "$tmp/out"; ok $? 'each was said when it was done'
rm -rf "$tmp/results"; mv "$tmp/kept" "$tmp/results"
! tar tzf "$tmp/results/runs.tar.gz" | grep -q 'safetensors\|\.tif'; ok $? 'no weights and no cells are'
cp "$tmp/results/runs.tar.gz" "$tmp/whole.tar.gz"; experiments/archive complete "$tmp/whole.tar.gz" >"$tmp/out" 2>&1; tar xzOf "$tmp/whole.tar.gz" wbcsnet-runs/environment.txt | grep -q '^build  *version' &&
    [ "$(tar xzOf "$tmp/whole.tar.gz" wbcsnet-runs/ro-crate-metadata.json | grep -c '"CreateAction"')" = "$jobs" ] && experiments/archive show "$tmp/whole.tar.gz" | grep -q " DATE=$(cat "$k/date")\\b"; ok $? 'the machine wrote its versions, and at home the archive gets its RO-Crate'
make --no-print-directory SCALE=smoke WORK="$tmp/home" WBCSNET="$bin" NVCC= DEVICE=cpu DATA1="$cells/dataset1" RUNS="$tmp/results/runs.tar.gz" runs >"$tmp/out" 2>&1; ok $? 'make takes the runs from it'
make --no-print-directory SCALE=smoke WORK="$tmp/home" WBCSNET="$bin" NVCC= DEVICE=cpu DATA1="$cells/dataset1" FROM="$tmp/results/runs.tar.gz" ONLY="$(echo $only | tr ' ' ,)" restore-runs >"$tmp/out" 2>&1
make --no-print-directory SCALE=smoke WORK="$tmp/home" WBCSNET="$bin" NVCC= DEVICE=cpu DATA1="$cells/dataset1" begin ONLY=begin/wbcsnet2 >"$tmp/out" 2>&1; [ $? = 0 ] && ! grep -q TRAIN "$tmp/out"; ok $? 'or puts them beside its own, and trains none again'
echo "1..$n"
