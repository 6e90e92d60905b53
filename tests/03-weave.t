#!/bin/sh
# slow: the weaver: a small book becomes a PDF and a site with the same bytes twice; a broken reference or command stops it.
# The whole book twice would cost 5 minutes of processor time and is not in here. By hand, in two clones of one commit: make build/book/made/done in
# each, and diff -r of the two folders. That found, of 70 files, one with this machine's speed in it, in lines that the book does not print.
set -u
for p in noweave pdflatex pandoc pdftotext; do
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
/* a comment, count */
int say_it(const char *s) { return x >> 2; }
<<count the cells>>
@ Now counting.
<<count the cells>>=
/* A comment of more columns than the page holds, which is a hundred and eight: it goes on in a second line, and the ground behind it as well. */
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
grep -q 'it goes on in a second line, *$' "$tmp/b.txt" && ! grep -q 'stick out' "$tmp/log"; ok $? "a long line is broken"
grep -q 'Index of identifiers' "$tmp/b.txt" && grep -q 'say_it: *1a' "$tmp/b.txt"; ok $? "the index of identifiers names where each is defined"
grep -q 'count: *1b\b' "$tmp/b.txt"; ok $? "a word in a comment or a string is no use of a name"

# ---- the site: pages from the file system ----
site() { tools/weave site "$tmp/b.nw" "$tmp/$1/site" >"$tmp/log" 2>&1; }
book '\begin{equation} x = 3\tfrac5{16} + \frac{35}{16}\label{eq:x} \end{equation} Equation \ref{eq:x}, and in a line $\min_s(a,b) = \min(a,b) - \tfrac{s}{4}\max(0,\,1-|a-b|/s)^2 + \max_s(a,b) - \max(b,a)$.
\section{More}\label{sec:more} \begin{figure}\begin{tikzpicture}\draw (0,0)--(1,1);\node at (1,0) {[[a_b]]};\end{tikzpicture}\caption{A line, drawn.}\label{fig:line}\end{figure}
\begin{tabular}{@{}lL{20mm}@{}}\toprule a & b\\\midrule [[c_d]] & $\bar y$\\\bottomrule\end{tabular}'
weave pdf one && site one; ok $? "a book becomes a site"
sed 's/^/# /' "$tmp/log"
page=$tmp/one/site/one.html
perl -0777 -ne 'exit !m{chapter(?: |\xc2\xa0|&nbsp;|&#160;)<a href="#ch:one">1</a>}' "$page"; ok $? "its references are numbers that lead there"
tr -d '\n' <"$page" | grep -Eq '<mn>3</mn>(<[a-z][^>]*>)*<mfrac[^>]*>(<[a-z][^>]*>)*<mn>5</mn>(</?[a-z][^>]*>)*<mn>16</mn>'; ok $? "3 5/16 stays 3 5/16, in MathML"
tr -d '\n' <"$page" | grep -q '<figure id="fig:line">.*<img class="drawing" src="pictures/1.svg" alt="Figure 1.1. A line, drawn."' && [ -s "$tmp/one/site/pictures/1.svg" ]; ok $? "a drawing is an SVG, with its caption as alternative text"
grep -q '<i>/\* a comment, count \*/</i>' "$page" && grep -q '<s>&quot;--text--&quot;</s>' "$page"; ok $? "code is coloured"
grep -q 'class="margin">1a<' "$page"; ok $? "a chunk has the number that it has in print"
grep -q '<td[^>]*><code>c_d</code></td>' "$page"; ok $? "a table is a table"
grep -q '"say_it":\["[^"]*int say_it' "$tmp/one/site/definitions.js" && grep -q 'href="#NW[^"]*">say_it</a>' "$page"; ok $? "a name leads to its definition, which hovering shows"
grep -q '"one.html#sec:more","1.1 More"' "$tmp/one/site/search.js"; ok $? "search knows the sections"
links() { perl -0777 -ne 'BEGIN { $bad = 0 } ($f) = $ARGV =~ m{([^/]+)$}; $id{"$f#$1"} = 1 while /\bid="([^"]+)"/g; $id{$f} = 1; push @{$to{$f}}, $1 while /href="([^"]+)"/g;
    END { for $f (keys %to) { for (@{$to{$f}}) { next if /^book\.css$|^#main$/; s/%3A/:/g; $x = /^#/ ? "$f$_" : $_; $bad++, print "# $f: $_\n" unless $id{$x} } } exit !!$bad }' "$1"/*.html; }
links "$tmp/one/site"; ok $? "every link in the site leads somewhere"
! grep -oE '(href|src)="[a-z]+:[^"]*"' "$tmp"/one/site/*.html; ok $? "and none leads out of it"
cp -r "$tmp/one/site" "$tmp/site1"; site one && diff -r "$tmp/one/site" "$tmp/site1" >"$tmp/log"; ok $? "the same bytes again"

# The report as the first chapter: paper.tex with its macros spelt out, and links from its figures and back.
mkdir -p "$tmp/r/results/verdict" "$tmp/r/results/cv" "$tmp/r/figures" "$tmp/top/book" && cp "$tmp/b.nw" "$tmp/top/book" && ln -s "$PWD/experiments" "$tmp/top/"
printf '\\result{cv/two}{97.2}\n' >"$tmp/r/results/cv/results.tex"
printf '\\row{cv}{two}{the second}\n' >"$tmp/r/results/cv/arms.tex"
printf '%s\n' '\begin{tikzpicture}\draw (0,0)--(1,1);\end{tikzpicture}' >"$tmp/r/figures/fig4.tex"
echo 'no picture, but copied' >"$tmp/r/figures/a.png"
printf '%s\n' '\newcommand\scale{smoke}\newcommand\only{}' >"$tmp/r/build.tex"
cat >"$tmp/r/paper.tex" <<'TEX'
\newcommand\full{full}\newcommand\nothing{}
\newcommand\inwords[2]{\ifx\scale\full#1\else#2\fi}
\newcommand\ptext[1]{\ifcsname r:#1\endcsname$p \R{#1}$\else no test\fi}
\begin{document}
\section{Results}\label{sec:results} % said nowhere
It is \inwords{large}{small} indeed\ifx\only\nothing, whole\else, a part\fi: \R{cv/two}\,\% \cite{some}, \ptext{cv/none}, see section~\ref{sec:results}; \R{cv/none}.
\begin{figure}[htbp]\centering\drawn{fig4}\includegraphics[width=0.5\textwidth]{figures/a.png}\caption{The curve.\from{cv}{One}}\label{fig:four}\end{figure}
\newcommand\row[3]{#3 & \R{#1/#2}\\}
\begin{longtable}{@{}lL{20mm}@{}}\caption{Rows.\from{nowhere}{Two}}\label{tab:rows}\\\toprule net & right\\\midrule\endfirsthead\toprule net & right\\\midrule\endhead\bottomrule\endfoot
\input{results/cv/arms}
\end{longtable}
\end{document}
TEX
printf '%s\n' '\newlabel{sec:results}{{1}{1}}' '\newlabel{fig:four}{{4}{1}}' '\newlabel{tab:rows}{{A}{1}}' '\bibcite{some}{{1}{1927}{{A}}{{}}}' >"$tmp/r/paper.aux"
printf '\\begin{thebibliography}{1}\n\\bibitem[A(1927)]{some}\nA.\n\\newblock A book.\n\\end{thebibliography}\n' >"$tmp/r/paper.bbl"
report=$PWD/tools/report
(cd "$tmp/r" && "$report" "$tmp/top") >"$tmp/log" 2>&1 && REPORT="$tmp/r" site one; ok $? "a report is spelt out, and becomes a chapter"
sed 's/^/# /' "$tmp/log"
page=$tmp/one/site/report.html
tr '\n' ' ' <"$page" | grep -q 'It is small indeed, whole: 97.2[^<]*% \[<a href="#bib-report-some">1</a>\], no test, see section[^<]*<a href="#report:sec:results">1</a>; —\.'; ok $? "with the numbers and the branches that the paper has"
tr '\n' ' ' <"$page" | grep -q '<td[^>]*>the second</td> *<td[^>]*>97.2</td>'; ok $? "and the rows of its tables"
grep -q 'Figure 4\..*The curve.*href="experiments.html#cv"' "$page" && grep -q 'href="one.html#ch:one">One<' "$page"; ok $? "a figure leads to its experiment and its chapter"
grep -q 'In the report: <a href="report.html#report:fig:four">Figure 4</a>' "$tmp/one/site/one.html" && grep -q 'In the report: <a href="report.html#report:fig:four">Figure 4</a>' "$tmp/one/site/experiments.html"; ok $? "and both lead back"
grep -q 'class="chapter"><a href="report.html">The report' "$tmp/one/site/index.html" && grep -q '"n">1</span> One' "$tmp/one/site/index.html"; ok $? "it stands first, and the chapters keep their numbers"
links "$tmp/one/site"; ok $? "every link leads somewhere then, too"
rm -rf "$tmp/site1" && cp -r "$tmp/one/site" "$tmp/site1"; REPORT="$tmp/r" site one && diff -r "$tmp/one/site" "$tmp/site1" >"$tmp/log"; ok $? "and the bytes are the same again"
sed -i 's/fig:four}$/fig:five}/; s/\\ref{sec:results}/\\ref{sec:other}/' "$tmp/r/paper.tex"
! (cd "$tmp/r" && "$report" "$tmp/top") >"$tmp/log" 2>&1 && grep -q 'sec:other.*no such label' "$tmp/log"; ok $? "a reference that leads nowhere stops it"
site one; page=$tmp/one/site/one.html

# In a browser: as wide as the window at 400 and 1280 pixels, light and dark, and search answers.
chromium=$(command -v chromium || command -v chromium-browser || true)
if [ -n "$chromium" ]; then
    # The probe is told by the address; the page's own text does not know of it.
    cat >"$tmp/probe.html" <<'HTML'
<body><script>
const page = new URLSearchParams(location.search).get('page'), f = document.createElement('iframe')
f.style = 'border:0;height:900px;width:' + new URLSearchParams(location.search).get('width') + 'px'
f.src = page
f.onload = async () => {
  const d = f.contentDocument, w = f.contentWindow, pause = ms => new Promise(r => setTimeout(r, ms)), say = []
  say.push('wide ' + (d.documentElement.scrollWidth <= w.innerWidth))
  const before = w.getComputedStyle(d.body).backgroundColor
  d.getElementById('theme').click()
  say.push('theme ' + (w.getComputedStyle(d.body).backgroundColor !== before))
  const box = d.getElementById('search'); box.value = 'say_it'; box.dispatchEvent(new Event('input'))
  await pause(600)
  say.push('search ' + d.querySelectorAll('#found a').length)
  const a = [...d.querySelectorAll('.code pre a')].find(x => x.textContent === 'say_it')
  a.dispatchEvent(new w.MouseEvent('mouseover', { bubbles: true })); await pause(700)
  say.push('peek ' + (!d.getElementById('peek').hidden && d.getElementById('peek').textContent.includes('int say_it')))
  document.title = say.join(', '); document.body.textContent = say.join(', ')
}
document.body.append(f)
</script></body>
HTML
    cp "$tmp/probe.html" "$tmp/one/site/"
    for width in 400 1280; do
        timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --allow-file-access-from-files --user-data-dir="$tmp/browser" --window-size=1400,1000 --virtual-time-budget=20000 \
            --dump-dom "file://$tmp/one/site/probe.html?page=one.html&width=$width" >"$tmp/dom" 2>/dev/null
        grep -qE 'wide true, theme true, search [1-9][0-9]*, peek true' "$tmp/dom"; ok $? "in chromium at $width pixels: no sideways scrolling, light and dark, search, a definition on hovering"
        sed 's/^/# /;3q' "$tmp/dom" | cut -c1-200
    done
    rm "$tmp/one/site/probe.html"
else
    for width in 400 1280; do n=$((n + 1)); echo "ok $n - in a browser at $width pixels # SKIP no chromium here: apt-get install chromium"; done
fi

# Sixty functions fill five pages: none ends behind a lone brace, or begins with one.
{ printf '\\chapter{One}\n\\label{ch:one}\n<<[[a.c]]>>=\n'; for i in $(seq 60); do printf 'static int function_%d(void)\n{\n  return %d;\n}\n\n' "$i" "$i"; done; echo '@'; } >"$tmp/b.nw"
weave pdf five && pdftotext -layout "$tmp/five/b.pdf" - | perl -0777 -ne '$bad = grep { my @l = grep { /\S/ } split /\n/; @l > 9 && ($l[0] =~ /^\s*[{}]\s*$/ || $l[1] =~ /^\s*\}\s*$/ || $l[-2] =~ /^\s*\{\s*$/) } split /\f/; exit !!$bad'
ok $? "no page is broken at a lone brace"

# A hundred and fifty chunks of all lengths: what a chunk defines stands on the page where it ends, and what announces one on the page where it begins.
{ printf '\\chapter{One}\n\\label{ch:one}\n'; for i in $(seq 150); do
    printf 'Chunk %d is announced here.\n<<[[a%d.c]]>>=\nint function_%d(void)\n{\n' "$i" "$i" "$i"; for j in $(seq $((i % 23))); do echo "  call($j);"; done; printf '  return %d;\n}\n@ ' "$i"
  done; echo; } >"$tmp/b.nw"
weave pdf nine && pdftotext -layout "$tmp/nine/b.pdf" - | perl -0777 -ne '$bad = grep { my @l = grep { /\S/ } split /\n/; @l > 9 && ("@l[0, 1]" =~ /Defines/ || $l[-2] =~ /announced/) } split /\f/; exit !!$bad'
ok $? "no page begins with what a chunk defines, or ends with what announces one"

# A picture for which a page has no room waits, and the text goes on; it stands between two paragraphs, and in its chapter.
{ printf '\\chapter{One}\n\\label{ch:one}\n\\vspace*{150mm}Before.\n\\begin{figure}[h]\\rule{10mm}{100mm}\\caption{Tall.}\\end{figure}\n\n'
  for i in $(seq 12); do printf 'Paragraph %d. It is long enough for two lines of the page, which hold about a hundred letters each, and ends here with no more to say.\n\n' "$i"; done
  printf '<<[[a.c]]>>=\nint a(void);\n@\n\\begin{figure}[h]\\rule{10mm}{200mm}\\caption{Taller.}\\end{figure}\n\n\\chapter{Two}\nEnd.\n'; } >"$tmp/b.nw"
weave pdf six && pdftotext -layout "$tmp/six/b.pdf" - | perl -0777 -ne '@p = grep { /Paragraph|Taller|End\./ } split /\f/; exit !($p[0] =~ /Before.*Paragraph 1\./s && $p[0] !~ /Tall/ && $p[1] =~ /Tall\..*Paragraph 12/s && $p[2] =~ /Taller/ && $p[3] =~ /End/)'
ok $? "a picture without room waits while the text goes on"

# Names are looked up as C does it: a static one of another file is none of this one, a header counts where it is included, and a kernel is a function.
cat >"$tmp/b.nw" <<'NW'
\chapter{One}
<<[[a.h]]>>=
typedef struct { int of_header; } seen_type;
@ A.
<<[[a.c]]>>=
#include "a.h"
static int room_here(int n)
{
  return n;
}
int everybody(void)
{
  return 1;
}
@ B.
<<[[b.c]]>>=
static int b(int room_here, seen_type *q, int n)
{
  return n * room_here + everybody();
}
@ C.
<<[[c.cu]]>>=
#include "a.h"
template <int P> __global__ void __launch_bounds__(256, 2)
kernel_of(int n, seen_type *q)
{
  call(n * room_here);
}
@
NW
weave pdf seven && pdftotext -layout "$tmp/seven/b.pdf" - | tr -d "\f" | sed -n '/Index of identifiers$/,$p' >"$tmp/b.txt"
grep -qE 'room_here: *1b( |$)' "$tmp/b.txt" && grep -qE 'seen_type: *1a, *1d( |$)' "$tmp/b.txt" && grep -qE 'everybody: *1b, *1c( |$)' "$tmp/b.txt" && grep -qE 'kernel_of: *1d' "$tmp/b.txt" && ! grep -q launch_bounds "$tmp/b.txt"
ok $? "the index knows which names a file sees"
sed 's/^/# /' "$tmp/b.txt" | head -12

# A line that the page does not hold is broken behind a comma, and what is left of a comment's goes to its next line.
{ printf '\\chapter{One}\n<<[[a.c]]>>=\n'
  echo '/* A comment whose first line has a few more columns than the page, which holds a hundred and eight of them, and a'
  echo '   second one. */'
  echo 'static void a_function(const float *first, const float *second, const float *third, const float *fourth, float *fifth);'; echo '@'; } >"$tmp/b.nw"
weave pdf eight && pdftotext -layout "$tmp/eight/b.pdf" "$tmp/b.txt" && grep -qE '^ *(and )?a second one\. \*/$' "$tmp/b.txt" && grep -qE '^ *const float \*fourth, float \*fifth\);$' "$tmp/b.txt"
ok $? "long lines are broken where a reader would"

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
! (cd "$tmp/a b" && tools/weave pdf ../b.nw out/b.pdf) >"$tmp/log" 2>&1 && grep -q 'noweave failed' "$tmp/log"; ok $? "a filter that fails stops the weaver"
mkdir "$tmp/bin" && for p in sh dirname perl git; do ln -s "$(command -v $p)" "$tmp/bin/"; done
! PATH="$tmp/bin" weave pdf four && grep -q '^weave: noweb is missing: make deps$' "$tmp/log"; ok $? "without noweb it says what to install"
! PATH="$tmp/bin" tools/tangle "$tmp/b.nw" "$tmp/four" >"$tmp/log" 2>&1 && grep -q '^tangle: noweb is missing: make deps$' "$tmp/log"; ok $? "so does the tangler"
echo "1..$n"
