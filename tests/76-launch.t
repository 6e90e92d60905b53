#!/bin/sh
# LAUNCH: each training job is started by other words, as a scheduler's; its end and a stop come through.
set -u
command -v make >/dev/null || { echo '1..0 # SKIP make is not installed'; exit 0; }
bin=${WBCSNET:-build/wbcsnet}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/launch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" | sed 's/^/# /'; fi; }
# As srun does: runs the command as a child, passes signals on, and ends as it ends.
cat >"$tmp/srun" <<'END'
#!/bin/sh
log=$1; shift
[ "$1" = -c4 ] && shift || exit 9
echo "$*" >>"$log"
"$@" & child=$!
trap 'kill -TERM $child' TERM
wait $child; status=$?
while kill -0 $child 2>/dev/null; do wait $child; status=$?; done
exit $status
END
chmod +x "$tmp/srun"
go() { make --no-print-directory runs SCALE=smoke WORK="$tmp/w" WBCSNET="$bin" NVCC= ONLY=cv/wbcsnet2 LAUNCH="$tmp/srun $tmp/log -c4" "$@" >"$tmp/out" 2>&1; }
go; ok $? 'jobs behind a launcher'
[ "$(grep -c '^[^ ]* train .*--out ' "$tmp/log")" = 2 ]; ok $? 'each was started by it'
go; [ "$(wc -l <"$tmp/log")" = 2 ] && ! grep -q TRAIN "$tmp/out"; ok $? 'finished ones are not asked for again'
make --no-print-directory runs SCALE=smoke WORK="$tmp/w" WBCSNET="$bin" NVCC= ONLY=cv/wbcsnet2 >"$tmp/out" 2>&1 && ! grep -q TRAIN "$tmp/out"; ok $? 'nor without it: it is no part of what a run is'
rm -rf "$tmp/w/runs"
printf '#!/bin/sh\nkill -TERM $$\n' >"$tmp/ended"; chmod +x "$tmp/ended"
go LAUNCH="$tmp/ended"; [ $? != 0 ] && grep -q 'stopped; the same command goes on' "$tmp/out" && ! grep -q 'failed (' "$tmp/out"; ok $? 'one that is ended by a signal is a job that was stopped'
go LAUNCH='false'; [ $? != 0 ] && grep -q 'failed (1)' "$tmp/out"; ok $? 'a launcher that fails is a job that failed'
! [ -e "$tmp/w/runs/smoke/synthetic/cv/wbcsnet2/seed1/fold0/run.json" ]; ok $? 'and leaves no run'
go; ok $? 'the same command without the fault goes on'
echo "1..$n"
