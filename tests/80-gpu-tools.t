#!/bin/sh
# slow: what goes to a machine with a GPU and what comes back: the bundle, gpu-check without a GPU, runs in an archive, bench on a device.
set -u
for tool in make perl tar gzip cc; do command -v $tool >/dev/null || { echo "1..0 # SKIP $tool is not installed"; exit 0; }; done
bin=${WBCSNET:-build/wbcsnet}
emulated=$PWD/${WBCSNET_B:-build}/emu/libwbcsnet_cuda.so
tmp=$(mktemp -d "${TMPDIR:-/tmp}/gpu.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES WBCSNET_CUDA RUNS SCALE DEVICE
n=0
ok() { n=$((n + 1)); if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; tail -8 "$tmp/out" | sed 's/^/# /'; fi; }
has() { grep -q "$1" "$tmp/out"; ok $? "$2"; }

# ---- the bundle ----
bundle() { make --no-print-directory gpu-bundle SCALE=smoke WORK="$tmp/w" WBCSNET="$bin" BUNDLE="$tmp/$1" >"$tmp/out" 2>&1; }
bundle a.tar.gz; ok $? 'make gpu-bundle'
bundle b.tar.gz; cmp -s "$tmp/a.tar.gz" "$tmp/b.tar.gz"; ok $? 'a second one has the same bytes'
[ "$(wc -c <"$tmp/a.tar.gz")" -lt 50331648 ]; ok $? 'it is smaller than 48 MiB'
LIMIT=1000 bundle c.tar.gz; [ $? != 0 ] && [ ! -e "$tmp/c.tar.gz" ]; ok $? 'one that is too large is not left behind'
has 'expected at most 1000' 'and says so'

# ---- a machine with a C compiler and little else ----
mkdir "$tmp/x" "$tmp/bin" && tar xzf "$tmp/a.tar.gz" -C "$tmp/x" && x=$tmp/x/wbcsnet-gpu
[ -s "$x/GPU.md" ] && grep -q '^    make gpu-check ' "$x/GPU.md" && grep -q '^    make gpu-paper ' "$x/GPU.md"; ok $? 'it holds the commands'
! grep -rq "$PWD\|$tmp" "$x/GPU.md" "$x/bundle.mk"; ok $? 'and no path of this machine'
ln -s /bin/* "$tmp/bin" 2>/dev/null; ln -s /usr/bin/* "$tmp/bin" 2>/dev/null
(cd "$tmp/bin" && rm -f notangle noroots noweave nvcc nvidia-smi git gnuplot pdflatex)
there() { (cd "$x" && PATH=$tmp/bin NVCC= make --no-print-directory CFLAGS=-O0 "$@") >"$tmp/out" 2>&1; }
CHECKS=none there gpu-check; ok "$([ $? != 0 ]; echo $?)" 'make gpu-check without a GPU does not pass'
has 'Error 4' 'its exit code is 4'
has '^gpu-check: no GPU engine can run here' 'one message says why'
has '^ok     build' 'after it has built everything'
grep -q '^    program ' "$x/build/gpu-check.md" && grep -q '## The table' "$x/build/gpu-check.md"; ok $? 'it leaves a record'
there gpu-paper; [ $? != 0 ]; ok $? 'make gpu-paper without a GPU does not begin'
has '^wbcsnet: --device cuda: found' 'and says why, once'

# ---- which architectures, which toolkit: nvcc and nvidia-smi are stand-ins, and nothing is compiled ----
mkdir -p "$tmp/tk/bin" "$tmp/tk/include" "$tmp/tk/lib/$(cc -print-multiarch 2>/dev/null || cc -dumpmachine)"
printf '#!/bin/sh\n[ "$1" != --list-gpu-arch ] || printf "compute_%%s\\n" 75 80 86 89 90 100\n' >"$tmp/tk/bin/nvcc" && chmod +x "$tmp/tk/bin/nvcc"
smi() { printf '#!/bin/sh\nprintf "%%b" "%s"\n' "$1" >"$tmp/bin/nvidia-smi"; chmod +x "$tmp/bin/nvidia-smi"; }
archs() { there -n gpu-tests NVCC="$tmp/tk/bin/nvcc" "$@"; [ "$(sed -n "s/.* echo '\([0-9 ]*\) -O3.*/\1/p" "$tmp/out")" = "$want" ] && grep -q "code=sm_${want##* } " "$tmp/out"; }
smi '9.0\n'; want=90; archs; ok $? 'the bundle builds for the GPU that is there'
smi '9.0\n8.6\n9.0\n'; want='86 90'; archs; ok $? 'for both, where there are two kinds'
want='75 80'; archs ARCHS='75 80'; ok $? 'and for what ARCHS says'
want='75 80 86 89 90'
smi '99.9\n'; archs; ok $? 'for the default where this nvcc does not know the GPU'
smi "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver 90.\n"; archs; ok $? 'or nvidia-smi prints a sentence'
smi '[N/A]\n'; archs; ok $? 'or no number'
rm "$tmp/bin/nvidia-smi"; archs; ok $? 'or is not there'
there -n all; has 'off .*(no nvcc)' 'no GPU engine without nvcc'
there -n all NVCC=/no/nvcc; has 'off .*(no nvcc: NVCC=/no/nvcc is not there)' 'nor with one that is not there'
there -n all NVCC="$tmp/tk/bin/nvcc"; has "off .*(nvcc is here, but no cublas_v2.h: looked in .*$tmp/tk/include" 'nor without cuBLAS'
touch "$tmp/tk/include/cublas_v2.h" "$tmp/tk/lib/$(cc -print-multiarch 2>/dev/null || cc -dumpmachine)/libcublas.so"
there -n all NVCC="$tmp/tk/bin/nvcc"
grep -q -- "-isystem $tmp/tk/include/ .*generated/gpu/cuda.c" "$tmp/out" && grep -q -- "-L$tmp/tk/lib/[^ ]*/ -lcublas" "$tmp/out"; ok $? "found as a distribution's package lays it out"
# A toolkit without cuBLAS and a Python package that brings it.
rm -r "$tmp/tk/include" "$tmp/tk/lib"; mkdir -p "$tmp/site/nvidia/cu13/include" "$tmp/site/nvidia/cu13/lib"
touch "$tmp/site/nvidia/cu13/include/cublas_v2.h" "$tmp/site/nvidia/cu13/lib/libcublas.so.13"
if command -v python3 >/dev/null; then
    (export PYTHONPATH="$tmp/site"; there -n all NVCC="$tmp/tk/bin/nvcc")
    grep -q -- "-isystem $tmp/site/nvidia/cu13/include/ .*generated/gpu/cuda.c" "$tmp/out" && grep -q -- "-L$tmp/site/nvidia/cu13/lib/ -l:libcublas.so.13 " "$tmp/out"; ok $? 'or as a package of Python brings it'
fi
grep -q 'CUDA toolkit, 12 or newer' "$x/GPU.md" && grep -q 'Error 4' "$x/GPU.md"; ok $? 'GPU.md says which toolkit, and what exit codes become'

# ---- runs, in slices, and back; a part of them, to be quick ----
only='begin/wbcsnet2,scratch,cv/wbcsnet2,transfer/wbcsnet2-tuned'
sed -i 's/^begin\.seeds .*/begin.seeds 1/' "$x/experiments/scales/smoke.conf"
there gpu-paper DEVICE=cpu JOBS=2 ONLY=$only TIME_LIMIT=1; sliced=$?
[ $sliced = 0 ] || grep -q 'stopped after [0-9]* s; the same command goes on' "$tmp/out"; ok $? 'a slice of a second ends in order'
there gpu-paper DEVICE=cpu JOBS=2 ONLY=$only; ok $? 'the same command goes on to the end'
jobs=$(cd "$x" && ONLY=$only RUNS1=a RUNS2=b RUNS3=c experiments/jobs --list smoke | wc -l)
has ": $jobs of $jobs runs and Fig. 9" "all $jobs runs are in the archive"
a=$x/build/gpu-paper.tar.gz
! tar tzf "$a" | grep -q 'safetensors\|\.tif'; ok $? 'no weights and no cells are'
mkdir "$tmp/home" && (cd "$x" && cp -r Makefile src.nw book bundle.mk generated tests tools experiments "$tmp/home" && mkdir "$tmp/home/build" &&
    cp -pr build/data build/obj build/config.mk build/tangled.mk build/version build/wbcsnet "$tmp/home/build")
hash=$(sha256sum <"$a" | cut -c1-12)
place=build/archived/$hash; x=$tmp/home
part=-part$(echo "$(echo "$only" | tr , '\n' | LC_ALL=C sort | paste -sd' ')" | cksum | cut -d' ' -f1)
there "$place/results/smoke/synthetic$part/cv/results.json" "$place/figures/smoke/synthetic$part/fig9/done" RUNS="$a"; ok $? 'make makes results from the archive, which knows its part'
! grep -q TRAIN "$tmp/out"; ok $? 'without training'
cmp -s "$x/$place/runs/smoke/synthetic/cv/wbcsnet2/seed1/fold1/predictions.csv" "$tmp/x/wbcsnet-gpu/build/runs/smoke/synthetic/cv/wbcsnet2/seed1/fold1/predictions.csv"
ok $? 'the runs are those of the other machine'
[ "$(head -c 4 "$x/$place/figures/smoke/synthetic$part/fig9/conv3.png" | tail -c 3)" = PNG ]; ok $? 'the mosaics too'
"$bin" synth --counts 40,15,10,25,15 --size 40 --seed 11 "$tmp/other" >/dev/null
there runs RUNS="$a" DATA1="$tmp/other"; [ $? != 0 ] && grep -q 'found runs on the cells .* expected those of DATA1' "$tmp/out"; ok $? 'other cells than the runs saw are refused'
there runs RUNS="$a" SCALE=quick; has 'was run with SCALE=smoke; found SCALE=quick' 'so is another scale'
there runs RUNS="$a" ONLY=$only,recipe; has "found $jobs of the [0-9]* runs of scale smoke; expected all" 'an archive without all runs is refused'
there runs RUNS="$a" ONLY=cv/wbcsnet2; ok $? 'and serves a smaller part'
there cv RUNS="$x/Makefile"; has 'no wbcsnet-runs/manifest in it' 'and what is no archive'

# ---- floors ----
"$bin" bench --floor --ceilings fp32=67,bf16=989,memory=3.35 --net experiments/nets/wbcsnet2.net >"$tmp/out" 2>&1; ok $? 'bench --floor'
# 32 x 70 x 70 x 64 outputs of 25 x 64 products and a bias: 32.12 GFLOP; over 67 TFLOP/s 479.4 us, over 989 32.5 us; 80.7 MB take 24.1 us
has '^  conv  *conv1b  *|  *32.12  *80.7  *479.4  *32.5 |  *64.25 ' 'a convolution is bound by its operations, as by hand'
# 16 x 16 x 64 pixels in, 70 x 70 x 64 x 32 floats twice: 80.3 MB over 3.35 TB/s is 24.0 us
has '^  norm+relu  *relu1b  *|  *0.02  *80.3  *24.0  *12.0 |' 'a normalisation by its bytes'
"$bin" bench --floor --ceilings fp33=67,memory=3 >"$tmp/out" 2>&1; [ $? = 2 ]; ok $? 'an unknown unit is a usage error'
"$bin" bench --ceilings fp32=67,memory=3 >"$tmp/out" 2>&1; [ $? = 2 ]; ok $? 'so are ceilings without --floor'

tools/floortable "$bin" | sed 's/ &  & / \& \& /' >"$tmp/rows"; [ -s "$tmp/rows" ] && ! cat book/*.nw | grep -vxFf -  "$tmp/rows" >"$tmp/out"; ok $? "the book's table of floors is what the program prints"

# ---- bench on a device, emulated, beside a peer that is a stand-in ----
if [ -e "$emulated" ]; then
    printf 'name tiny\ninput 8 8 3\nconv conv1 filters 8 kernel 3\nbn bn1\nrelu relu1\nmaxpool pool1 size 2 stride 2\nfc fc1 units classes\nsoftmax loss\n' >"$tmp/tiny.net"
    printf '#!/bin/sh\necho ready; while read -r what n; do echo "$n" | awk "{ print 0.01 * \\$1 }"; done\n' >"$tmp/python" && chmod +x "$tmp/python"
    sed -i 's/echo ready/while read -r l; do [ "$l" != end ] || break; done; echo ready/' "$tmp/python"
    for device in cuda cuda-bf16; do
        WBCSNET_CUDA=$emulated PYTHON=$tmp/python "$bin" bench --device $device --net "$tmp/tiny.net" --batch 2 --repeat 1 --peer >"$tmp/out" 2>&1
        ok $? "bench --device $device"
        has "^$device; matrix product (cuBLAS) .* TFLOP/s, memory .* GB/s" 'the ceilings come first'
        [ "$(grep -c '^  \(conv\|norm\|pool\|fc\|loss\)[a-z+]* .*|.*%.*|.*%.*|$' "$tmp/out")" = 4 ]; ok $? 'a row for every operator, with its share of the floor'
        has '^  pool[a-z]* *pool1 *|  *- with relu1  *|  *- with relu1  *|$' 'but for the pool, which the norm before it computes too'
        [ "$(awk '/^  [a-z].*[|]$/ && gsub(/\|/, "|") { print length }' "$tmp/out" | sort -u | wc -l)" = 1 ]; ok $? 'the rows are of one width'
        has 'in turns with PyTorch (n[a-z]*, [a-z+]*, [a-z0-9]*), inference: ours .* PyTorch 200.0 images/s, median ratio' 'the peer is paired'
    done
else
    echo "# bench on an emulated device: not run, for $emulated is not built"
fi
echo "1..$n"
