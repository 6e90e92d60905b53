#!/bin/sh
# slow: make dist: an archive that a machine without git and noweb builds, the same bytes each time.
set -u
for tool in make tar gzip cc perl; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
tmp=$(mktemp -d "${TMPDIR:-/tmp}/dist.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES BUNDLE_VERSION SOURCE_DATE_EPOCH
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" | sed 's/^/# /'; fi; }
version=$(tools/version 2>/dev/null)
echo book >"$tmp/src.pdf"; echo report >"$tmp/paper.pdf"
dist() { DIST="$tmp/$1/wbcsnet-$version.tar.gz" VERSION="$version" READ="$tmp/src.pdf $tmp/paper.pdf" tools/dist >"$tmp/out" 2>&1; }
dist a; ok $? 'an archive'
dist b; cmp -s "$tmp/a/wbcsnet-$version.tar.gz" "$tmp/b/wbcsnet-$version.tar.gz"; ok $? 'a second one has the same bytes'
tar xzf "$tmp/a/wbcsnet-$version.tar.gz" -C "$tmp" && x=$tmp/wbcsnet-$version
[ "$(ls "$tmp" | grep -c "^wbcsnet-")" = 1 ]; ok $? 'it unpacks into one folder'
for f in README.md src.nw generated/program/main.c CITATION.cff codecheck.yml .zenodo.json experiments/records/quick.csv doc/src.pdf doc/paper.pdf; do
    [ -s "$x/$f" ] || { echo "$f" >"$tmp/out"; false; } || break
done; ok $? 'it holds sources, generated C, what reviewers file, book and report'
! find "$x" -name build -o -name .git | grep .; ok $? 'and nothing that was made on the way'
[ "$(cd "$x" && tools/version)" = "$version" ]; ok $? 'it knows its version'
mkdir "$tmp/bin"; ln -s /bin/* "$tmp/bin" 2>/dev/null; ln -s /usr/bin/* "$tmp/bin" 2>/dev/null
(cd "$tmp/bin" && rm -f git notangle noroots noweave pdflatex pandoc)
(cd "$x" && PATH=$tmp/bin make --no-print-directory NVCC= CFLAGS=-O0 all) >"$tmp/out" 2>&1; ok $? 'make all without git, noweb and TeX'
"$x/build/wbcsnet" --version >"$tmp/out" 2>&1; grep -qF "$version" "$tmp/out"; ok $? 'the program says that version'
rm -rf "$x/build"; (cd "$x" && DIST="$tmp/c/wbcsnet-$version.tar.gz" VERSION="$(tools/version)" READ="doc/src.pdf doc/paper.pdf" PATH=$tmp/bin tools/dist) >"$tmp/out" 2>&1
for a in a c; do tar tvzf "$tmp/$a/wbcsnet-$version.tar.gz" >"$tmp/$a/list"; done; diff "$tmp/a/list" "$tmp/c/list" >"$tmp/out" 2>&1; cmp -s "$tmp/a/wbcsnet-$version.tar.gz" "$tmp/c/wbcsnet-$version.tar.gz"; ok $? 'and an archive of it has the same bytes as the first'
echo "1..$n"
