#!/bin/sh
# make deps where there is no dpkg: the names of that distribution.
set -u
tmp=$(mktemp -d "${TMPDIR:-/tmp}/deps.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$tmp/out"; fi; }
mkdir "$tmp/bin"; for t in sh sed tr cat id; do ln -s "$(command -v $t)" "$tmp/bin/$t"; done
deps() { printf "$1" >"$tmp/os"; PATH=$tmp/bin OS_RELEASE=$tmp/os tools/deps >"$tmp/out" 2>&1; }
deps 'NAME=x\nID=fedora\n' && grep -q '^  sudo dnf install gcc .*libtiff-devel .*openblas-devel .*noweb' "$tmp/out"; ok $? Fedora
deps 'ID="rocky"\nID_LIKE="rhel centos fedora"\n' && grep -q 'sudo dnf install' "$tmp/out"; ok $? 'what is like Fedora'
deps 'ID=arch\n' && grep -q '^  sudo pacman -S --needed base-devel .*onednn' "$tmp/out" && grep -q 'noweb has no package there' "$tmp/out"; ok $? Arch
deps 'ID=alpine\n' && grep -q '^  sudo apk add build-base .*tiff-dev' "$tmp/out"; ok $? Alpine
deps 'ID=other\n' && grep -q 'by their Debian names: gcc g++ .*libtiff-dev' "$tmp/out"; ok $? 'any other'
echo "1..$n"
