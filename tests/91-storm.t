#!/bin/sh
# slow: a short storm, always the same: calls that fail, kills, limits, full disks, damaged files. `make storm` is the long one.
set -u
work=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/storm.XXXXXX")
trap 'rm -rf "$work"' EXIT
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
program=$(cd "$(dirname "${WBCSNET:-build/wbcsnet}")" && pwd)/wbcsnet
storm() { JOBS=1 STORM_WORK="$work" tests/storm/storm >"$work/said" 2>&1; }

WBCSNET=$program STORM_CASES=200 STORM_SEED=1 STORM_ONLY= storm
status=$?
if ldd "$program" 2>/dev/null | grep -q libomp; then n=$((n + 1)); echo "ok $n # SKIP clang's OpenMP runtime ends by itself where a call fails"
else ok $status "a storm of $(tail -1 "$work/said")"; fi
grep -A1 '^FAULT' "$work/said" | sed 's/^/# /'
if skipped=$(grep '^skipped:' "$work/said"); then n=$((n + 1)); echo "ok $n # SKIP $(echo "$skipped" | tr '\n' ' ')"
else grep -q '^1[0-9][0-9] cases\|^200 cases' "$work/said"; ok $? 'nearly all of whose cases could be tried'; fi

# A storm that finds nothing may be blind: this program hides its failures.
printf '#!/bin/sh\n"%s" "$@"\nexit 0\n' "$program" >"$work/hides" && chmod +x "$work/hides"
case=damage/weights.safetensors/predict/cut/100
WBCSNET=$work/hides STORM_ONLY=$case storm
[ $? = 1 ] && grep -q '^1 cases, 1 faults' "$work/said"; ok $? 'a program that hides its failures is found out'
grep -q "^FAULT $case: another result" "$work/said" && grep -q "^  again alone: make storm STORM_ONLY=$case\$" "$work/said"; ok $? 'and the command that shows it alone is told'
echo "1..$n"
