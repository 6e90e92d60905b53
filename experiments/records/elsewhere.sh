#!/bin/sh
# elsewhere.sh PBC CHULA OUT: two laboratories, each as the teacher and as the examination, at quick scale on real stand-in cells. PBC and CHULA are folders as
# DATA.md describes them; OUT receives the data sets, the runs and the results. About twenty minutes on a core of its own, by the rates at which single jobs ran;
# stopped, the same command goes on. Run it from the repository's root; the record beside it (elsewhere.md) holds what it printed in the end.
set -eu
[ $# = 3 ] || { echo 'usage: elsewhere.sh PBC CHULA OUT' >&2; exit 2; }
out=$3
make --no-print-directory build/wbcsnet >/dev/null
mkdir -p "$out"
[ -e "$out/pbc/dataset.json" ] || build/wbcsnet import --layout pbc "$1" "$out/pbc"
[ -e "$out/chula/dataset.json" ] || build/wbcsnet import --layout chula --size 150 "$2" "$out/chula"
make --no-print-directory elsewhere SCALE=quick DATA1="$out/pbc" DATA2="$out/chula" WORK="$out" JOBS=1
