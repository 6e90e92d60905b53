#!/bin/sh
# Every mistake in a net file is told with its line, what was found and what was expected, and exit code 3 (or 2 for a flag).
set -u
wbcsnet=${WBCSNET:-build/wbcsnet}
n=0
tmp=$(mktemp -d "${TMPDIR:-/tmp}/t34.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
check() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$tmp/err"; fi; }

# refuse CODE PATTERN WHAT [flags]: $tmp/bad.net is refused with that code and a first line like PATTERN, and nothing is printed
refuse() {
    code=$1 pattern=$2 what=$3
    shift 3
    "$wbcsnet" describe "$tmp/bad.net" "$@" >"$tmp/out" 2>"$tmp/err"
    got=$?
    [ "$got" = "$code" ] && [ ! -s "$tmp/out" ] && head -1 "$tmp/err" | grep -q -- "$pattern"
    check $? "$what (exit $got)"
}
net() { printf 'name t\ninput 8 8 3\n%s\nfc out units classes\nsoftmax loss\n' "$1"; }

net 'relu a' >"$tmp/good.net"
"$wbcsnet" describe "$tmp/good.net" >"$tmp/out" 2>"$tmp/err"
check $? "a good net is described"
net 'conv a filters 4 kernal 3' >"$tmp/bad.net"
refuse 3 "bad.net:3: found 'kernal' in a conv layer; expected 'kernel'" "a misspelt key"
net 'conf a filters 4 kernel 3' >"$tmp/bad.net"
refuse 3 "bad.net:3: found 'conf'; expected 'conv'" "a misspelt kind of layer"
net 'conv a kernel 3' >"$tmp/bad.net"
refuse 3 "bad.net:3: found a conv layer without 'filters'" "a conv without filters"
net 'conv a filters 4 kernel' >"$tmp/bad.net"
refuse 3 "bad.net:3: found 'kernel' at the line's end" "a key without a value"
net 'conv a filters 4 kernel 3 kernel 5' >"$tmp/bad.net"
refuse 3 "bad.net:3: found a second 'kernel'" "a key twice"
net 'conv a filters 0 kernel 3' >"$tmp/bad.net"
refuse 3 "bad.net:3: found filters '0'; expected a whole number from 1" "no filters"
net 'conv a filters 4x kernel 3' >"$tmp/bad.net"
refuse 3 "bad.net:3: found filters '4x'" "a number with a tail"
net 'conv a filters 4 kernel 9 pad valid' >"$tmp/bad.net"
refuse 3 "bad.net:3: found a 9x9 window on an input of 8x8" "a kernel larger than its input"
net 'conv a filters 4 kernel 3 pad zero' >"$tmp/bad.net"
refuse 3 "bad.net:3: found pad 'zero'; expected same or valid" "an unknown padding"
net 'maxpool a size 2' >"$tmp/bad.net"
refuse 3 "bad.net:3: found a maxpool layer without 'stride'" "a pooling without stride"
net 'relu' >"$tmp/bad.net"
refuse 3 "bad.net:3: found 'relu' alone" "a layer without a name"
net 'relu a/b' >"$tmp/bad.net"
refuse 3 "bad.net:3: found the name 'a/b'" "a name with a slash"
printf 'name t\ninput 8 8 3\nrelu a\nrelu a\n' >"$tmp/bad.net"
refuse 3 "bad.net:4: found a second layer 'a'" "a name twice"
net 'relu a from nowhere' >"$tmp/bad.net"
refuse 3 "bad.net:3: found 'nowhere', which no line above defines" "a layer from nowhere"
net 'add a with later' >"$tmp/bad.net"
refuse 3 "bad.net:3: found 'later', which no line above defines" "an addition with a later layer"
net 'add a with input' >"$tmp/bad.net"
refuse 3 "bad.net:3: found input added to itself" "a layer added to itself"
printf 'name t\ninput 8 8 3\nconv a filters 4 kernel 3\nadd b with input\nfc out units classes\nsoftmax loss\n' >"$tmp/bad.net"
refuse 3 "bad.net:4: found 8x8x4 plus 8x8x3; expected two outputs of one shape" "an addition of two shapes"
net 'dropout a p 1' >"$tmp/bad.net"
refuse 3 "bad.net:3: found p '1'" "dropout of everything"
net 'dropout a' >"$tmp/bad.net"
refuse 3 "bad.net:3: found a dropout layer without 'p'" "dropout without p"
printf 'name t\ninput 8 8 3\nrelu a\nrelu b from input\nfc out units classes\nsoftmax loss\n' >"$tmp/bad.net"
refuse 3 "bad.net:3: found a, whose output nothing reads" "an output that nothing reads"
printf 'name t\ninput 8 8 3\nfc out units 4\nsoftmax loss\n' >"$tmp/bad.net"
refuse 3 "bad.net:4: found softmax over 1x1x4; expected 1x1x5" "a softmax over another number of classes"
printf 'name t\ninput 8 8 3\nfc out units classes\n' >"$tmp/bad.net"
refuse 3 "found a net that ends with out; expected softmax" "a net without softmax"
printf 'name t\ninput 8 8 3\nfc out units classes\nsoftmax l\nrelu b\n' >"$tmp/bad.net"
refuse 3 "bad.net:5: found a relu layer behind softmax" "a layer behind softmax"
printf 'name t\nrelu a\n' >"$tmp/bad.net"
refuse 3 "bad.net:2: found a relu layer; expected input H W C first" "a net without input"
printf 'name t\ninput 8 8\n' >"$tmp/bad.net"
refuse 3 "bad.net:2: found 2 words after input" "an input without channels"
printf '' >"$tmp/bad.net"
refuse 3 "found no layer" "an empty file"
printf 'input 8 8 3\nfc out units classes\nsoftmax loss\n' >"$tmp/bad.net"
refuse 3 "bad.net:1: found no name" "a net without a name"
printf 'name t\nparam n 3\ninput 8 8 3\nfc out units classes\nsoftmax loss\n' >"$tmp/bad.net"
refuse 3 "found param n, which no layer uses" "a param that nothing uses"
printf 'name t\nparam n x\n' >"$tmp/bad.net"
refuse 3 "bad.net:2: found param n 'x'; expected a number" "a param that is no number"
printf 'name t\nparam n 1\nparam n 2\n' >"$tmp/bad.net"
refuse 3 "bad.net:3: found a second param n" "a param twice"
net 'conv a filters $f kernel 3' >"$tmp/bad.net"
refuse 3 'bad.net:3: found $f; expected a param defined above' "an unknown \$word"
printf 'name t\ninput 4096 4096 3\nconv a filters 65536 kernel 3\nfc out units classes\nsoftmax loss\n' >"$tmp/bad.net"
refuse 3 "bad.net:3: found a with 1.1e+12 outputs" "an absurdly large net"
head -c 3000 /dev/urandom | tr '\0' x >"$tmp/bad.net"
refuse 3 "bad.net:[0-9]*: found" "bytes that are no text"
net 'relu a' >"$tmp/bad.net"
refuse 2 "^wbcsnet: --set: found 'f1'; expected nothing: this net has no params" "--set without a param" --set f1=3
printf 'name t\nparam size 8\ninput $size $size 3\nfc out units classes\nsoftmax loss\n' >"$tmp/p.net"
cp "$tmp/p.net" "$tmp/bad.net"
refuse 2 "^wbcsnet: --set: found 'sice'; expected one of size" "--set of an unknown param" --set sice=9
refuse 2 "^wbcsnet: --set: found size='big'; expected a number" "--set to a word" --set size=big
refuse 3 "bad.net:3: found height '-4'; expected a whole number" "--set to a size that cannot be" --set size=-4
"$wbcsnet" describe "$tmp/missing.net" >"$tmp/out" 2>"$tmp/err"
check $(($? == 3 ? 0 : 1)) "a file that is not there"
"$wbcsnet" describe "$tmp/p.net" --set size=9 --json >"$tmp/out" 2>"$tmp/err" && grep -q '"in": \[9, 9, 3\]' "$tmp/out"
check $? "--set and --json on a good net"
echo "1..$n"
