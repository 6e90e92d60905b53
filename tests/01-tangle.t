#!/bin/sh
# generated/ is what the book tangles to; chunks are short; the Makefile tells its targets.
set -u
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t01.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

if command -v notangle >/dev/null; then
    tools/tangle src.nw "$tmp/c" >"$tmp/log" 2>&1
    ok $? "the book tangles, and every chunk is used"
    sed 's/^/# /' "$tmp/log"
    diff -r generated "$tmp/c" >"$tmp/diff" 2>&1
    ok $? "generated/ is fresh (else: make tangle)"
    sed 's/^/# /;20q' "$tmp/diff"
    printf '@\n<<[[d/a.c]]>>=\nint a;\n@\n<<[[d/b.c]]>>=\nint b;\n@\n<<[[c.c]]>>=\nint c;\n@\n' >"$tmp/good.nw"
    tools/tangle "$tmp/good.nw" "$tmp/good" && [ "$(cd "$tmp/good" && find . -type f | sort | paste -sd' ')" = './c.c ./d/a.c ./d/b.c' ]
    ok $? "a file's folder is in its chunk's name"
    printf '@\n<<[[e/a.c]]>>=\nint a;\n@\n' >"$tmp/good.nw"
    tools/tangle "$tmp/good.nw" "$tmp/good" && [ "$(cd "$tmp/good" && find . | sort | paste -sd' ')" = '. ./e ./e/a.c' ]
    ok $? "a file that the book no longer holds goes, and its folder"
    printf '@\n<<[[a.c]]>>=\nint a;\n<<nothing defines this>>\n@\n' >"$tmp/bad.nw"
    ! tools/tangle "$tmp/bad.nw" "$tmp/bad" >/dev/null 2>&1
    ok $? "an undefined chunk stops tangling"
    printf '@\n<<[[a.c]]>>=\nint a;\n@\n<<nothing uses this>>=\nint b;\n@\n' >"$tmp/bad.nw"
    ! tools/tangle "$tmp/bad.nw" "$tmp/bad" >/dev/null 2>&1
    ok $? "a chunk that nothing uses stops tangling"
else
    for i in 1 2 3 4 5 6; do n=$((n + 1)); echo "ok $n # SKIP no noweb here"; done
fi

# Tables of the book say what is there.
[ "$(sed -n '/^subcommand & does/,/bottomrule/p' book/*.nw | cut -d'&' -f1 | grep -o '\[\[[a-z]*\]\]' | tr -d '[]' | LC_ALL=C sort)" = "$(sed -n 's/^SUBCOMMAND(\([a-z]*\),.*/\1/p' generated/program/commands.h | LC_ALL=C sort)" ]
ok $? 'the table of subcommands names each, and no other'
make --no-print-directory help 2>/dev/null | awk '{ print $1 }' >"$tmp/targets"
for t in $(sed -n '/^item & what & published & target/,/bottomrule/p' book/*.nw | awk -F'&' 'NF > 4 { print $4 }' | grep -v target | tr -d '[] '); do grep -qx "$t" "$tmp/targets" || echo "$t"; done >"$tmp/unknown"
! [ -s "$tmp/unknown" ]; ok $? "what there is to reproduce has targets that make knows $(tr '\n' ' ' <"$tmp/unknown")"
map=$(sed -n '/^you want to & read/,/bottomrule/p' book/*.nw)
for c in $(sed -n 's/^\\label{\(ch:[a-z-]*\)}.*/\1/p' book/*.nw); do case $map in *[{,]"$c"[},]*) ;; *) echo "$c" ;; esac; done >"$tmp/unknown"
! [ -s "$tmp/unknown" ]; ok $? "the table of what to read names every chapter $(tr '\n' ' ' <"$tmp/unknown")"

# arrows FOLDER: which file, with its folder and without its ending, includes which
arrows() { (cd "$1" && for f in */*.[ch] */*.cu; do sed -n 's/^ *#include "\(.*\)\.h".*/\1/p' "$f" | sed "s|^|${f%.*} |"; done | awk '$1 != $2' | sort -u); }
arrows generated >"$tmp/arrows"
tsort "$tmp/arrows" >/dev/null 2>"$tmp/loop"
ok $? "no circle among $(ls generated/*/*.c generated/*/*.cu | wc -l) files and $(wc -l <"$tmp/arrows") arrows between them"
sed 's/^/# /' "$tmp/loop"
{ cat "$tmp/arrows"; echo 'base/base learning/train'; } | tsort >/dev/null 2>&1
ok $(($? == 0)) "a circle would be found"
# A folder is a layer: the book's table says on which others it stands.
sed 's|/[^ ]*||g' "$tmp/arrows" | awk '$1 != $2' | grep -v ' emu' | sort -u >"$tmp/layers"
tsort "$tmp/layers" >/dev/null 2>"$tmp/loop"
ok $? "no circle among folders: $(awk '{ print $1; print $2 }' "$tmp/layers" | sort -u | paste -sd' ')"
sed 's/^/# /' "$tmp/loop"
{ cat "$tmp/layers"; echo 'nets learning'; } | tsort >/dev/null 2>&1
ok $(($? == 0)) "a circle of folders would be found"
sed -n '/^folder & holds & stands on/,/bottomrule/p' book/101-claims.nw | sed -n 's/^\[\[\([a-z]*\)\/\]\] &.*& *\(.*\)\\\\$/\1 \2/p' | tr -d ',[]/' | awk '{ for (i = 2; i <= NF; i++) print $1, $i }' | sort -u | cmp -s - "$tmp/layers"
ok $? "the book's table of folders says which stands on which"
grep -vE '^engines/(cpu|host|ref|simd[a-z0-9_]*) ' "$tmp/arrows" | grep -E ' engines/(host|simd[a-z0-9_]*)$' >"$tmp/door"
ok $(($? == 0)) "only the CPU's engines know their insides; others come through engine.h"
sed 's/^/# /' "$tmp/door"

# The report names, under each figure and table, its target and a chapter.
sed -n 's/.*\\from{\([^#}]*\)}.*/\1/p' paper/paper.tex experiments/fig9 | sort -u | while read -r t; do grep -qx "$t" "$tmp/targets" || echo "$t"; done >"$tmp/unknown"
sed -n 's/.*\\from{[^}]*}{\([^}]*\)}.*/\1/p' paper/paper.tex experiments/fig9 | sort -u | while read -r c; do grep -qF "\chapter{$c}" book/*.nw || echo "$c"; done >>"$tmp/unknown"
! [ -s "$tmp/unknown" ] && [ "$(grep -c '\\from{' paper/paper.tex)" -gt 20 ]; ok $? "the report names targets and chapters that there are $(tr '\n' ' ' <"$tmp/unknown")"

# Each chapter is named once, in the order of its number, which is that of the folder's listing.
tools/book -l src.nw | sed 1d >"$tmp/named"; ls book/*.nw | cmp -s - "$tmp/named"; ok $? 'src.nw names every chapter of book/, in the order of their numbers'

# Every chapter shows something: a figure, a picture or plot that was made for it, a printed result; and says why before each piece of code.
bare=$(grep -L -e '\\begin{figure}' -e '\\made{' -e '\\listing{' -e '{made/' book/*.nw)
[ -z "$bare" ]; ok $? "every chapter has a picture or a printed result ($bare)"
cat >"$tmp/said.awk" <<'AWK'
FNR == 1    { code = 0; said = 1 }
/^<<.*>>=$/ { if (!said) print FILENAME ":" FNR ": no sentence before " $0; code = 1; said = 0; next }
/^@( |$)/   { if (code) said = 0; code = 0; if (/^@ +[^ ]/) said = 1; next }
!code && NF && !/^\\(section|chapter|label)/ { said = 1 }
AWK
awk -f "$tmp/said.awk" book/*.nw >"$tmp/unsaid"
! [ -s "$tmp/unsaid" ]; ok $? "each chunk has a sentence before it, or more"
sed 's/^/# /' "$tmp/unsaid"
printf '\\chapter{x}\nSaid.\n<<a>>=\nint a;\n@\n<<b>>=\nint b;\n@\n' >"$tmp/bad.nw"
[ "$(awk -f "$tmp/said.awk" "$tmp/bad.nw" | grep -c 'before <<b>>=')" = 1 ]; ok $? "a chunk without one would be found"

# A chunk is read in one look: 45 lines at most, and nothing wider than 150 columns.
cat >"$tmp/chunks.awk" <<'AWK'
FNR == 1    { code = 0 }
/^<<.*>>=$/ { name = $0; lines = 0; code = 1; next }
/^@( |$)/   { code = 0; next }
code        { if (++lines == 46) { print FILENAME ":" FNR ": more than 45 lines in " name } if (length($0) > 150) print FILENAME ":" FNR ": " length($0) " columns" }
AWK
awk -f "$tmp/chunks.awk" src.nw book/*.nw >"$tmp/long"
ok "$([ -s "$tmp/long" ]; echo $((1 - $?)))" "no chunk is longer than 45 lines or wider than 150 columns"
sed 's/^/# /' "$tmp/long"
{ echo '<<x>>='; for i in $(seq 46); do echo "$i"; done; } >"$tmp/bad.nw"
ok "$(awk -f "$tmp/chunks.awk" "$tmp/bad.nw" | grep -c 'more than 45' | sed 's/1/0/')" "a chunk of 46 lines would be found"

unrunnable=$(find tests -name '*.t' ! -perm -u+x)
[ -z "$unrunnable" ]; ok $? "every test may be run ($unrunnable)"

make --no-print-directory >"$tmp/targets"
ok $? "make alone lists the targets"
for t in deps all test book clean $([ -e experiments/jobs.mk ] && echo paper data); do
    grep -qE "^  $t +.*\(.*[0-9].*\)" "$tmp/targets"
    ok $? "make lists $t with its cost"
done
for k in SCALE DATA1 DATA2 DEVICE SEED JOBS V LINES SANITIZE; do
    grep -q "^  $k=" "$tmp/targets"
    ok $? "make tells the knob $k"
done
echo "1..$n"
