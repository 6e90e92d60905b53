#!/bin/sh
# slow: the weaver: a small book becomes a PDF and HTML with the same bytes twice; a broken reference or command stops it.
set -u
for p in noweave pdflatex hevea pdftotext; do
    command -v $p >/dev/null || { echo "1..0 # SKIP no $p here"; exit 0; }
done
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t03.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
export SOURCE_DATE_EPOCH=1000000000
# book TEXT: a book of one chapter that holds TEXT
book() {
    cat >"$tmp/b.nw" <<NW
\\chapter{One}
\\label{ch:one}
See \\cref{ch:one} and [[say_it]]. $1

<<[[a.c]]>>=
#include <stdio.h>
/* a comment */
int say_it(const char *s) { return x >> 2; }
<<count the cells>>
@ Now counting.
<<count the cells>>=
int count(void) { return say_it("--text--"); }
@
NW
}
weave() { tools/weave "$1" "$tmp/b.nw" "$tmp/$2/b.$1" >"$tmp/log" 2>&1; }

book 'Equation $x^2$. \begin{tikzpicture}\draw (0,0)--(1,1);\node at (1,0) {[[a_b]]};\end{tikzpicture}'
weave pdf one; ok $? "a book becomes a PDF"
sed 's/^/# /' "$tmp/log"
weave pdf two && cmp -s "$tmp/one/b.pdf" "$tmp/two/b.pdf"; ok $? "the same bytes in another folder"
pdftotext -layout "$tmp/one/b.pdf" "$tmp/b.txt"
grep -q 'See chapter 1 and say_it' "$tmp/b.txt"; ok $? "references and quoted code"
grep -qF '{ return x >> 2; }' "$tmp/b.txt" && grep -qF '"--text--"' "$tmp/b.txt"; ok $? "code keeps its signs: no ligatures"
grep -q 'Index of identifiers' "$tmp/b.txt" && grep -q 'say_it: *1a' "$tmp/b.txt"; ok $? "the index of identifiers names where each is defined"
weave html one; ok $? "a book becomes HTML"
sed 's/^/# /' "$tmp/log"
grep -q 'chapter.*1.*say_it' "$tmp/one/b.html" && grep -q '<img class="picture"' "$tmp/one/b.html" && grep -q '<span class="cm">/\* a comment \*/' "$tmp/one/b.html"
ok $? "the HTML has references, the picture and coloured code"
perl -0777 -ne '%id = map { $_ => 1 } /(?:id|name)="([^"]+)"/g; for (/href="#([^"]+)"/g) { s/%3A/:/g; $bad++, print "# $_\n" unless $id{$_} } exit !!$bad' "$tmp/one/b.html"
ok $? "every link in the HTML leads somewhere"

book '\ref{nowhere}'
! weave pdf three && grep -q "nowhere" "$tmp/log"; ok $? "an undefined reference stops the weaver, which names it"
[ ! -e "$tmp/three/b.pdf" ]; ok $? "and leaves no PDF"
book '\nosuchcommand'
! weave pdf three && grep -q 'Undefined control sequence' "$tmp/log"; ok $? "so does an unknown command"
echo 'half a line{' >>"$tmp/three/book/book.toc"
book 'good again'
weave pdf three; ok $? "a broken run leaves nothing that stops the next"

mkdir -p "$tmp/a b" && cp -r tools paper "$tmp/a b/"
book 'good again'
(cd "$tmp/a b" && tools/weave pdf ../b.nw out/b.pdf) >"$tmp/log" 2>&1 && pdftotext "$tmp/a b/out/b.pdf" - | grep -q 'Now counting'
ok $? "a path with a space"
sed 's/^/# /' "$tmp/log"
echo 'exit 1' >"$tmp/a b/tools/definitions"
! (cd "$tmp/a b" && tools/weave html ../b.nw out/b.html) >"$tmp/log" 2>&1 && grep -q 'noweave failed' "$tmp/log"; ok $? "a filter that fails stops the weaver"
mkdir "$tmp/bin" && for p in sh dirname perl git; do ln -s "$(command -v $p)" "$tmp/bin/"; done
! PATH="$tmp/bin" weave pdf four && grep -q '^weave: noweb is missing: make deps$' "$tmp/log"; ok $? "without noweb it says what to install"
! PATH="$tmp/bin" tools/tangle "$tmp/b.nw" "$tmp/four" >"$tmp/log" 2>&1 && grep -q '^tangle: noweb is missing: make deps$' "$tmp/log"; ok $? "so does the tangler"
echo "1..$n"
