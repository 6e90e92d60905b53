#!/bin/sh
# slow: make slurm, with stand-ins for sbatch, squeue and scontrol that run a script's tasks one after the other (make slurm-check has a real Slurm).
set -u
for tool in make perl awk; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
bin=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/slurm.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" | sed 's/^/# /'; fi; }
mkdir "$tmp/bin"
cat >"$tmp/bin/sbatch" <<'END2'
#!/bin/sh
here=${0%/*}/..
echo "$*" >>"$here/sbatch.log"
[ ! -e "$here/full" ] || [ "$(wc -l <"$here/sbatch.log")" -lt 2 ] || { echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1; }
for script; do :; done
case $script in *paper.sh) echo 99; exit ;; esac
last=$(sed -n 's/^#SBATCH .*--array=1-\([0-9]*\)$/\1/p' "$script")
export SLURM_ARRAY_JOB_ID=7 SLURM_CPUS_PER_TASK=1 SLURM_ARRAY_TASK_ID=1
while [ $SLURM_ARRAY_TASK_ID -le $last ]; do sh "$script" >>"$here/tasks.log" 2>&1 </dev/null || exit; SLURM_ARRAY_TASK_ID=$((SLURM_ARRAY_TASK_ID + 1)); done
wc -l <"$here/sbatch.log"
END2
printf '#!/bin/sh\ncat "${0%%/*}/../queue" 2>/dev/null || :\n' >"$tmp/bin/squeue"
printf '#!/bin/sh\necho "$*" >>"${0%%/*}/../scontrol.log"\n' >"$tmp/bin/scontrol"
chmod +x "$tmp/bin"/*
go() { PATH=$tmp/bin:$PATH make --no-print-directory slurm SCALE=smoke WORK="$tmp/w" WBCSNET="$bin" NVCC= ONLY=scratch,transfer/wbcsnet2-tuned "$@" >"$tmp/out" 2>&1; }
s=$(echo "$tmp/w/slurm/smoke/synthetic-part"*)
go TASK=0 THREADS=1; ok $? 'make slurm'
s=$(echo "$tmp/w/slurm/smoke/synthetic-part"*)
[ ! -e "$tmp/sbatch.log" ] && [ -z "$(find "$tmp/w" -name run.json)" ]; ok $? 'only writes'
grep -q 'job .*/scratch/wbcsnet2/' "$s"/0a.sh && grep -q 'job .*/transfer/wbcsnet2-tuned/' "$s"/1a.sh; ok $? 'what begins from the weights of another run comes after it'
grep -q 'afterok:${a0a%;\*} .*1a.sh)$' "$tmp/out" && grep -q 'afterok:${a0a%;\*}.*:${a1a%;\*}.* .*paper.sh$' "$tmp/out"; ok $? 'and the paper after all'
grep -q '^#SBATCH .*--cpus-per-task=1 --mem=[4-9][0-9][0-9]M --time=11$' "$s/1a.sh"; ok $? 'sized by what it costs'
go TASK=0 THREADS=1 ARRAY=1 TIME_LIMIT=300; grep -q 'array=1-1$' "$s/1a.sh" && grep -q 'time=5$' "$s/1a.sh"; ok $? 'ARRAY= and TIME_LIMIT= are kept to'
limits() { go THREADS=1 WORK="$tmp/w2" ONLY=cv/ramesh,begin "$@"; sed -n 's/^#SBATCH .*--time=//p' "$tmp/w2"/slurm/smoke/*/0*.sh >"$tmp/out"; sed 1q "$tmp/out"; }
[ "$(limits TASK=0)" = 11 ]; ok $? 'a job without a net is reckoned by its cells: 12 s for 210 of them'
limit=$(limits); [ "$(wc -l <"$tmp/out")" = 1 ] && [ "$limit" -ge 11 ] && [ "$limit" -le 14 ]; ok $? 'a task of one costly job and many cheap ones has the time of their sum, twice over, and ten minutes'
go ARRAY=x; [ $? = 2 ] && grep -q 'ARRAY=x: expected a whole number' "$tmp/out"; ok $? 'an ARRAY that is no number is refused'
echo '7 wbcsnet' >"$tmp/queue"; go SUBMIT=1; [ $? != 0 ] && grep -q 'found 1 tasks named wbcsnet-smoke-part' "$tmp/out" && [ ! -e "$tmp/sbatch.log" ]; ok $? 'nothing is handed over twice'
rm "$tmp/queue"

# ---- a task, its limit, its end ----
task() { SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=1 SLURM_CPUS_PER_TASK=1 PATH=$tmp/bin:$PATH experiments/slurm task "$tmp/script" 1 "$@"; }
printf '#!/bin/sh\n#job 30\n#job 1\n' >"$tmp/script"
cat >"$tmp/bin/work" <<'END2'
#!/bin/sh
trap 'exit 130' TERM
echo "$*" >"${0%/*}/../asked"
while :; do sleep 0.1; done
END2
chmod +x "$tmp/bin/work"
stopped() { rm -f "$tmp/asked" "$tmp/scontrol.log"; SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=1 PATH=$tmp/bin:$PATH experiments/slurm task "$tmp/script" 1 "$tmp/bin/work" >"$tmp/out" 2>&1 & t=$!; while [ ! -s "$tmp/asked" ]; do sleep 0.1; done; kill -"$1" $t; wait $t; }
stopped USR1; [ $? = 130 ] && [ "$(cat "$tmp/scontrol.log")" = 'requeue 7_1' ]; ok $? 'near its limit it stops its work and stands in the queue again'
[ "$(cat "$tmp/asked")" = 'THREADS=1 30 1' ]; ok $? 'it was told of its goals'
stopped TERM; s=$?; echo "status $s" >>"$tmp/out"; [ $s -gt 128 ] && [ ! -e "$tmp/scontrol.log" ]; ok $? 'one that is told to end ends'
task false >"$tmp/out" 2>&1; [ $? = 1 ]; ok $? 'one that fails says so'

# ---- the whole ----
: >"$tmp/full"; go SUBMIT=1 THREADS=1; [ $? != 0 ] && grep -q 'did not take all of them' "$tmp/out" && grep -q 'hint: .*ARRAY=100.* THREADS=1' "$tmp/out"; ok $? 'a full queue is told, and what may help'
rm "$tmp/full" "$tmp/sbatch.log"
go SUBMIT=1 THREADS=1 SBATCH='--partition=some'; ok $? 'handed over'
[ -z "$(grep -v -- '--partition=some' "$tmp/sbatch.log")" ]; ok $? 'with the words of SBATCH'
cp "$tmp/tasks.log" "$tmp/out"; ! grep -q 'failed\|Error' "$tmp/tasks.log" && [ -e "$tmp/w/runs/smoke/synthetic/transfer/wbcsnet2-tuned/seed1/fold1/run.json" ]; ok $? 'the jobs are done'
go THREADS=1; grep -q ': 0 jobs in 0 arrays, and the paper' "$tmp/out"; ok $? 'and nothing is left but the paper'
! find "$tmp/w" -name '*.new.*' | grep .; ok $? 'no other trace'
echo "1..$n"
