#!/bin/sh
# What a new machine meets first: the packages that deps asks for, and what the probe says of a compiler.
set -u
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t04.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
unset CC

# A machine of our own making: none of the packages is installed, and the archive knows the words in $KNOWN.
mkdir "$tmp/bin"
script() { cat >"$tmp/bin/$1" && chmod +x "$tmp/bin/$1"; }
echo 'exit 1' | script dpkg-query
script apt-cache <<'END'
for a; do :; done; a=${a#^}; a=${a%\$}
case " $KNOWN " in *" $a "*) echo "$a - a package" ;; esac
END
echo 'echo ${USER_ID:-0}' | script id
echo 'exit 1' | script sudo
script apt-get <<'END'
[ "$1" != update ] || exit 0
echo "0 upgraded, 20 newly installed, 0 to remove and 0 not upgraded."
echo "Need to get 256 MB of archives."
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo "Get:$i http://mirror p$i"; done
echo "$*" >>"$ASKED"
exit ${APT_EXIT:-0}
END
deps() { ASKED=$tmp/asked PATH="$tmp/bin:$PATH" "$@" tools/deps >"$tmp/out" 2>&1; }
same='gcc g++ libc6-dev pkg-config libtiff-dev libpng-dev libdnnl-dev libopenblas-dev perl noweb gnuplot-nox poppler-utils pandoc
texlive-latex-base texlive-latex-recommended texlive-fonts-recommended texlive-pictures lmodern tex-gyre'
same=$(echo $same)

for archive in 'ubuntu libjpeg-dev' 'debian libjpeg-dev libjpeg62-turbo-dev' 'older libjpeg62-turbo-dev' 'empty'; do
    export KNOWN="$same ${archive#* }"
    [ "$archive" != empty ] || KNOWN=
    deps env USER_ID=1000
    [ $? = 1 ]; ok $? "${archive%% *}: without root or sudo deps ends with 1"
    line=$(grep 'sudo apt-get update && sudo apt-get install' "$tmp/out")
    missing=''
    for p in ${line##*-y }; do case " ${KNOWN:-$same libjpeg-dev} " in *" $p "*) ;; *) missing="$missing $p" ;; esac; done
    [ "$(echo ${line##*-y } | wc -w)" = 20 ] && [ -z "$missing" ]; ok $? "and its line names packages that are to be had$missing"
done
deps env && [ "$(grep -c 'fetched .* of 20' "$tmp/out")" = 5 ] && grep -q 'Need to get 256 MB' "$tmp/out"; ok $? 'as root it installs, and says how far it is'
! deps env APT_EXIT=100 && grep -q 'deps: apt-get install failed' "$tmp/out"; ok $? 'a failing apt-get is a failure'
deps env CC=clang-19 && tail -1 "$tmp/asked" | grep -q ' clang-19 libomp-19-dev$'; ok $? 'clang comes with its OpenMP'
deps env CC=gcc && ! tail -1 "$tmp/asked" | grep -q clang; ok $? 'gcc without clang'

# A compiler without OpenMP (clang without libomp-dev): that is what is missing, not the libraries.
script clang <<'END'
case "$*" in *-fopenmp*) echo "t.c:1:10: fatal error: 'omp.h' file not found" >&2; exit 1 ;; esac
exec cc "$@"
END
PATH="$tmp/bin:$PATH" CC=clang tools/probe >"$tmp/mk" 2>"$tmp/err"
[ $? = 1 ] && grep -q "OpenMP here: .*'omp.h' file not found" "$tmp/err" && grep -q 'make deps CC=clang' "$tmp/err"; ok $? 'the probe says that OpenMP is missing, and how to get it'
! grep -q 'off ' "$tmp/err" && [ ! -s "$tmp/mk" ]; ok $? 'and says nothing of libraries'
CC=no-such-compiler tools/probe >"$tmp/mk" 2>"$tmp/err"
[ $? = 1 ] && grep -q "no C compiler 'no-such-compiler'" "$tmp/err"; ok $? 'a compiler that is not there'
tools/probe 2>"$tmp/err" | grep -q '^FEATURES := .*-DHAVE_TIFF='; ok $? 'the compiler that is here'
echo "1..$n"
