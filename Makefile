# wbcsnet: every figure, table and number of one paper, computed again. `make` alone lists the targets.
#
# Knobs, given as `make TARGET KNOB=value`:
#
#   SCALE=quick     smoke: 40 s, for tests; quick: small nets and pictures, fewer epochs, all cells; full: the paper's own protocol
#   DATA1=          folder of Dataset1 as `wbcsnet import` wrote it; empty: cells drawn by `wbcsnet synth`
#   DATA2=          the same for Dataset2, the set of the transfer experiment
#   DATA3=          a third laboratory, for `make elsewhere` alone
#   PRETRAINED=     folder with alexnet, vgg16 or resnet18.safetensors as PyTorch wrote them: Fig. 6 fine-tunes these; empty: drawn cells
#   DEVICE=cpu      the engine that trains: cpu (fast), ref (plain loops in double precision, slow), cuda, cuda-tf32, cuda-bf16
#   ARCHS=          compute capabilities that the GPU engine is built for (default: 75 80 86 89 90, and PTX of the last)
#   NVCC=           CUDA's compiler (default: on the PATH, or in /usr/local/cuda); without one there is no GPU engine
#   SEED=1          the seed of every random number: folds, weights, order, dropout, drawn cells
#   SEEDS=          how many seeds each experiment runs, from SEED on, where its own number is smaller
#   ONLY=           experiments or EXPERIMENT/ARM, e.g. ONLY=cv,transfer: the paper of a part; what was not run is a dash
#   RUNS=           an archive of finished runs, as gpu-paper leaves it: the paper is made from them, nothing is trained
#   LAUNCH=         words in front of each training job, as LAUNCH='srun --exclusive -c4' with make -j200 runs
#   TIME_LIMIT=     seconds after which gpu-paper stops, and the most that make slurm asks for a task (default: a day); the same command goes on
#   SUBMIT=         1: make slurm hands its scripts over; SBATCH=: words for each sbatch, as SBATCH='--partition=gpu --gpus=1'
#   ARRAY=1000      the most tasks of an array; TASK=600: the seconds of computing that a task is given at least
#   JSON=           1: make status prints what programs read
#   ARCHIVE=        what pack-runs writes (default: build/runs-SCALE.tar.gz), and gpu-paper (build/gpu-paper.tar.gz)
#   JOBS=           how many processes run side by side (default: one per core)
#   THREADS=        threads of one training job (default: cores / JOBS)
#   V=0             1 prints each command in full
#   LINES=0         1 builds with #line, so that a debugger shows the book (in build-lines/)
#   SANITIZE=0      1 builds with the address and undefined-behaviour sanitizers (in build-asan/)
#   TESTS=          the tests to build and run, e.g. TESTS=tests/60-stats.c (default: all); FAST=1 leaves the slow ones out
#   STORM_CASES=2000  how many cases make storm tries; STORM_SEED=1 draws them; STORM_ONLY=NAME tries those whose name begins so
#   FUZZ_TIME=600   seconds that make fuzz gives each reader
#   RELEASE=        the Debian that fresh makes; MIRROR=: where its packages come from (default: as debootstrap has it); SCALE: smoke, if not given
#   CC CFLAGS       the compiler and its flags; nothing here assumes gcc beyond OpenMP

# What make gpu-bundle says about the cells it packed; absent in a plain checkout.
-include bundle.mk

SCALE ?= quick
DATA1 ?=
DATA2 ?=
DEVICE ?= cpu
SEED ?= 1
SEEDS ?=
RUNS ?=
ONLY ?=
TIME_LIMIT ?= 0
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
V ?= 0
LINES ?= 0
SANITIZE ?= 0
TESTS ?=
FAST ?= 0
ARCHS ?= $(or $(ARCHS_HERE),75 80 86 89 90)
NVCC ?= $(firstword $(shell command -v nvcc 2>/dev/null) $(wildcard /usr/local/cuda/bin/nvcc))
CFLAGS ?= -O2 -g

# clang's C++ compiler goes with clang: one OpenMP runtime for both. It does not say by itself that it builds with a sanitizer.
ifneq ($(filter clang%,$(CC)),)
ifneq ($(filter default undefined,$(origin CXX)),)
CXX := $(CC:clang%=clang++%)
endif
endif
ifeq ($(SANITIZE),1)
CFLAGS := -O1 -g1 -fno-omit-frame-pointer
SANITIZER := -fsanitize=address,undefined -fno-sanitize-recover=undefined $(if $(filter clang%,$(CC)),-D__SANITIZE_ADDRESS__=1)
endif

.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

# LINES=1 is the shell's idea of a terminal's height in some environments: only the value 1 counts, here and below.
B := build$(if $(filter 1,$(SANITIZE)),-asan)$(if $(filter 1,$(LINES)),-lines)
GEN := $(if $(filter 1,$(LINES)),$(B)/src,generated)
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $(1) $(2);)

# ---- how products are made ----
# `$(begin) COMMAND -o $(new)/$(@F) $(keep)`: in a fresh folder, and moved to their place when all is done (tools/product), the target last.
PID := $(shell tools/product id $$PPID)
new = $@.new.$(PID)
begin = tools/product begin $@ $(PID) &&
keep = && tools/product keep $@ $(PID) $(or_tidy)
update = && tools/product update $@ $(PID) $(or_tidy)
# begin-with NAME,WORDS: begin, and write the words into a file there, one a line: a shell's line holds 128 KiB, and thousands of runs are more.
# make does this itself, while it spells the command; make -n spells it too, and shall do nothing.
begin-with = $(if $(findstring n,$(firstword -$(MAKEFLAGS))),,$(shell tools/product begin $@ $(PID))$(file >$(new)/$(1),$(subst $() ,$(newline),$(strip $(2)))))
define newline


endef
or_tidy = || { s=$$?; rm -rf $(new); exit $$s; }
# The same for a whole folder, $(@D), with the target in it: a data set without its dataset.json would stand in the way for ever.
new-folder = $(@D).new.$(PID)/$(notdir $(@D))
begin-folder = tools/product begin $(@D) $(PID) &&
keep-folder = && tools/product folder $(@D) $(PID) $(@F) || { s=$$?; rm -rf $(@D).new.$(PID); exit $$s; }
# broken FOLDERS: targets in them of whose sisters, made by the same command, one is gone
broken = $(foreach w,$(wildcard $(addsuffix /*.with,$(1))),$(if $(call gone,$(addprefix $(dir $(w)),$(file <$(w)))),$(w:.with=)))
gone = $(filter-out $(wildcard $(1)),$(1))
.PHONY: always

# ---- goals that are files of the sources: make would find them up to date and say nothing ----
$(foreach g,$(filter-out paper/paper.pdf,$(MAKECMDGOALS)),$(if $(filter %/ build build-% src.nw book/% Makefile README.md DATA.md generated generated/% tests tests/% tools tools/% \
  experiments experiments/% figures/% paper/%,$(g)),$(error found the goal '$(g)', which is a $(if $(wildcard $(g)/.),folder,file) and nothing that make makes; \
  expected $(if $(filter tests%,$(g)),make test$(if $(filter-out tests/,$(filter tests/%,$(g))), TESTS=$(g)),$(if $(filter build%,$(g)),make all,one of the targets that `make` alone lists)))))

# ---- packages come first: a fresh machine has no compiler to probe, so the other goals wait for a second make ----
REST := $(filter-out deps,$(MAKECMDGOALS))
ifneq ($(and $(filter deps,$(MAKECMDGOALS)),$(REST)),)
.PHONY: deps again $(REST)
$(REST): again ;
again: deps
	@$(MAKE) --no-print-directory $(REST)
else
.PHONY: deps
endif

## deps: install the Debian or Ubuntu packages that are missing (2-5 min; a bare Debian fetches 240 MB, 1 GB on the disk; nothing when all is there)
deps:
	@CC='$(CC)' tools/deps

ifeq ($(and $(filter deps,$(MAKECMDGOALS)),$(REST)),)

.PHONY: help all test book tangle clean distclean

help:
	@tools/targets $(MAKEFILE_LIST)

# ---- the program ----
# Two small makefiles are made first and read: the tangled C (so that a new chapter's file is compiled at once), and
# what this machine's libraries can do.
ifneq ($(filter-out help deps fresh clean distclean,$(MAKECMDGOALS)),)
include $(B)/tangled.mk $(B)/config.mk
endif

BOOK := src.nw $(wildcard book/*.nw)
$(B)/tangled.mk: $(BOOK) tools/tangle tools/chunknames tools/book
	$(Q)if command -v notangle >/dev/null; then tools/tangle src.nw $(GEN) $(if $(filter 1,$(LINES)),-L); \
	else echo 'noweb is not installed: building from generated/ as it stands'; fi
	@$(begin) echo '# tangled' >$(new)/$(@F) $(keep)

# remember FILE,TEXT: FILE holds TEXT, and is made anew, with all that depends on it, when TEXT is another.
define remember
ifneq '$(2)' '$$(shell cat $(1) 2>/dev/null)'
.PHONY: $(1)
endif
$(1):
	@$$(begin) echo '$(2)' >$$(new)/$$(@F) $$(keep)
endef
# Another compiler, or other flags, compile everything again.
$(eval $(call remember,$(B)/compiler,$(CC) $(CXX) $(CFLAGS)))

$(B)/config.mk: tools/probe $(B)/compiler
	$(Q)$(begin) CC='$(CC)' tools/probe >$(new)/$(@F) $(keep)

SRC := $(filter-out $(GEN)/gpu/cuda.c $(GEN)/gpu/cuda_probe.c,$(wildcard $(GEN)/*/*.c))
OBJ := $(SRC:$(GEN)/%.c=$(B)/obj/%.o)
PARTS := $(filter-out $(B)/obj/program/main.o,$(OBJ)) $(B)/obj/version.o
WARN := -Wall -Wextra -Wshadow
CPPFLAGS += -I$(GEN) -D_GNU_SOURCE $(FEATURES)
# What a compiler writes: the object, and which headers it read.
OUT = -o $(new)/$(@F)
DEPEND = -MMD -MP -MT $@ -MF $(new)/$(basename $(@F)).d
# -ffp-contract=off: no fused multiply-add behind our back, so that every machine rounds alike.
ALLC = $(CFLAGS) -std=c11 $(WARN) -ffp-contract=off -fopenmp $(SANITIZER)

# -rdynamic: the GPU engine is a plugin that calls back into the program.
LINK = $(CC) $(ALLC) -rdynamic -Wl,--as-needed

## all: build the program, build/wbcsnet (20 s), and where nvcc is, the GPU engine beside it (2-4 min)
all: $(B)/wbcsnet

$(B)/wbcsnet: $(B)/obj/program/main.o $(PARTS)
	$(call say,LINK,$@) $(begin) $(LINK) -o $(new)/$(@F) $^ $(LIBS) $(keep)

$(B)/obj/%.o: $(GEN)/%.c $(B)/config.mk
	$(call say,CC,$<) $(begin) $(CC) $(ALLC) $(CPPFLAGS) $(DEPEND) -c $(OUT) $< $(keep)
# A root is one instruction when nobody asks for errno; no value changes.
$(B)/obj/engines/cpu.o: ALLC += -fno-math-errno


# The version lives in one small object, so that a commit does not compile everything again.
VERSION := $(or $(BUNDLE_VERSION),$(shell tools/version))
$(eval $(call remember,$(B)/version,$(VERSION)))
$(B)/obj/version.o: $(B)/version
	$(Q)$(begin) echo 'const char wbcsnet_version[] = "$(VERSION)";' | $(CC) $(ALLC) -c $(OUT) -x c - $(keep)

# ---- the GPU engine ----
# build/libwbcsnet_cuda.so: cuda.c by the C compiler, the kernels by nvcc. What ptxas says of each kernel (registers, spills) stays
# beside its object. A sanitized build has the emulated engine alone.
KERNELS := $(wildcard $(GEN)/gpu/*.cu)
FOUND_NVCC := $(if $(NVCC),$(shell command -v $(firstword $(NVCC)) 2>/dev/null))
ifneq ($(and $(FOUND_NVCC),$(wildcard $(GEN)/gpu/cuda.c),$(filter-out 1,$(SANITIZE))),)
# the toolkit's own folder, then the one that nvcc's bin/ stands in: a distribution's package spreads itself over /usr
CUDA_HOME := $(abspath $(shell $(NVCC) --dryrun -x cu -c /dev/null 2>&1 | sed -n 's/^.. TOP=//p'))
CUDA_HOMES := $(CUDA_HOME) $(abspath $(dir $(FOUND_NVCC))..) $(if $(filter /bin/% /usr/lib/%,$(FOUND_NVCC)),/usr)
cublas_h = $(firstword $(dir $(wildcard $(foreach h,$(1),$(addprefix $(h)/,include/cublas_v2.h targets/*/include/cublas_v2.h)))))
CUDA_INCLUDE := $(call cublas_h,$(CUDA_HOMES))
# A toolkit without cuBLAS, and a Python whose packages bring it: their headers, and their library, which bears its version alone.
ifeq ($(CUDA_INCLUDE),)
WHEELS := $(shell python3 -c 'import glob, nvidia; print(*[d for p in nvidia.__path__ for d in glob.glob(p + "/cu[0-9]*") + glob.glob(p + "/cublas")])' 2>/dev/null)
CUDA_HOMES += $(WHEELS)
CUDA_INCLUDE := $(call cublas_h,$(WHEELS))
endif
CUBLAS := $(firstword $(wildcard $(foreach h,$(CUDA_HOMES),$(foreach f,libcublas.so libcublas.so.[0-9]*,$(addsuffix /$(f),$(addprefix $(h)/,lib64 targets/*/lib \
  lib/$(shell $(CC) -print-multiarch 2>/dev/null || $(CC) -dumpmachine) lib))))))
CUDA_LIB := $(dir $(CUBLAS))
NO_PLUGIN := nvcc is here, but no cublas_v2.h: looked in $(addsuffix /include,$(CUDA_HOMES))
else
NO_PLUGIN := no nvcc$(if $(NVCC),: NVCC=$(NVCC) is not there)
endif
ifneq ($(CUDA_INCLUDE),)
PLUGIN := $(B)/libwbcsnet_cuda.so
all: $(PLUGIN)
else ifneq ($(wildcard $(GEN)/gpu/cuda.c),)
all: no-plugin
.PHONY: no-plugin
no-plugin: $(B)/wbcsnet
	@echo '  off    the GPU engine ($(if $(filter 1,$(SANITIZE)),a sanitized build has the emulated one alone,$(NO_PLUGIN)))'
endif

# where the plugin looks for cuBLAS first
RPATH = $(CUDA_LIB)
# -lineinfo, for a profiler, triples the plugin's size
NVCCFLAGS ?= -O3 -std=c++17 -Xcompiler -fPIC,-Wall -Xptxas -v --threads 0
# code for every architecture, and PTX of the newest for those to come; warp-group products are for 9.0a alone
codes = $(foreach a,$(ARCHS),-gencode arch=compute_$(if $(filter 90,$(a)),$(1),$(a)),code=sm_$(if $(filter 90,$(a)),$(1),$(a))) \
  -gencode arch=compute_$(lastword $(ARCHS)),code=compute_$(lastword $(ARCHS))
NVCC_WITH := $(ARCHS) $(NVCCFLAGS)
$(eval $(call remember,$(B)/archs,$(NVCC_WITH)))

$(B)/obj/%.cu.o: $(GEN)/%.cu $(B)/archs
	$(call say,NVCC,$<) $(begin) $(NVCC) $(NVCCFLAGS) $(call codes,$(if $(findstring wgmma,$<),90a,90)) -I$(GEN) $(filter-out -MP,$(DEPEND)) -c $(OUT) $< \
	  >$(new)/$(*F).ptxas 2>&1 || { grep -v '^ptxas info' $(new)/$(*F).ptxas >&2; false; } && ! grep -i warning $(new)/$(*F).ptxas >&2 $(keep)

$(B)/obj/gpu/cuda.o $(B)/obj/gpu/cuda_probe.o: $(B)/obj/%.o: $(GEN)/%.c $(B)/config.mk
	$(call say,CC,$<) $(begin) $(CC) $(ALLC) $(CPPFLAGS) -fPIC $(addprefix -isystem ,$(filter-out /usr/include/,$(CUDA_INCLUDE))) $(DEPEND) -c $(OUT) $< $(keep)

$(B)/obj/plugin_version.o: $(B)/version
	$(Q)$(begin) echo 'const char wbcsnet_cuda_version[] = "$(VERSION)";' | $(CC) $(ALLC) -fPIC -c $(OUT) -x c - $(keep)

$(B)/libwbcsnet_cuda.so: $(B)/obj/gpu/cuda.o $(B)/obj/gpu/cuda_probe.o $(B)/obj/plugin_version.o $(KERNELS:$(GEN)/%=$(B)/obj/%.o)
	$(call say,LINK,$@) $(begin) $(NVCC) -shared -cudart static $(foreach a,$(lastword $(ARCHS)),-arch=sm_$(a)) $(OUT) $^ $(addprefix -L,$(CUDA_LIB)) -l$(if $(filter-out %.so,$(CUBLAS)),:$(notdir $(CUBLAS)),cublas) \
	  $(addprefix -Xlinker -rpath=,$(RPATH)) $(CXXLIBS:%=-Xcompiler %) $(keep)

# build/emu/libwbcsnet_cuda.so: the same text compiled as C++ with the emulator's headers, for tests without a GPU.
EMULATOR := $(wildcard tests/emu/*.cc)
# A fused multiply-add is one instruction where the processor has it, as on the device; the library's gives the same bits later.
EMULATED := -DEMULATED -Itests/emu -I$(GEN) $(if $(shell grep -qsw fma /proc/cpuinfo && echo yes),-mfma)
ALLCXX = $(CFLAGS) -std=c++17 $(WARN) -Wno-unknown-pragmas -ffp-contract=off -fopenmp $(SANITIZER) -fPIC $(EMULATED)
HAVE_CXX := $(shell command -v $(firstword $(CXX)) 2>/dev/null)
EMU_PLUGIN := $(if $(HAVE_CXX),$(if $(wildcard $(GEN)/gpu/cuda.c),$(B)/emu/libwbcsnet_cuda.so))
EMU_FAULTS := $(if $(HAVE_CXX),$(B)/emu/faults $(B)/emu/conv $(if $(filter 1,$(FAST)),,$(patsubst %,$(B)/emu/%-planted,conv ops wgrad wgmma)))

$(B)/emu/%.cu.o: $(GEN)/%.cu $(B)/compiler
	$(call say,CXX,$<) $(begin) $(CXX) $(ALLCXX) $(DEPEND) -x c++ -c $(OUT) $< $(keep)

$(B)/emu/%.o: tests/emu/%.cc $(B)/compiler
	$(call say,CXX,$<) $(begin) $(CXX) $(ALLCXX) $(DEPEND) -c $(OUT) $< $(keep)

$(B)/emu/gpu/cuda.o $(B)/emu/gpu/cuda_probe.o: $(B)/emu/%.o: $(GEN)/%.c $(B)/config.mk
	$(call say,CC,$<) $(begin) $(CC) $(ALLC) $(CPPFLAGS) -fPIC $(EMULATED) $(DEPEND) -c $(OUT) $< $(keep)

$(B)/emu/libwbcsnet_cuda.so: $(B)/emu/gpu/cuda.o $(B)/emu/gpu/cuda_probe.o $(B)/obj/plugin_version.o $(KERNELS:$(GEN)/%=$(B)/emu/%.o) $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	$(call say,LINK,$@) $(begin) $(CXX) $(ALLCXX) -shared $(OUT) $^ $(CXXLIBS) $(keep)

$(B)/emu/faults: tests/emu/faults.cu $(GEN)/gpu/cuda_device.h $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	$(call say,CXX,$<) $(begin) $(CXX) $(ALLCXX) $(DEPEND) $(OUT) -x c++ $< -x none $(filter %.o,$^) $(keep)

$(B)/emu/conv: tests/emu/conv.cu $(GEN)/gpu/cuda_conv.cu $(GEN)/gpu/cuda_device.h $(B)/emu/gpu/cuda_ops.cu.o $(B)/emu/gpu/cuda_wgmma.cu.o \
  $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	$(call say,CXX,$<) $(begin) $(CXX) $(ALLCXX) $(DEPEND) $(OUT) -x c++ $< -x none $(filter %.o,$^) $(keep)

# tests/NN-topic.cu: tests of kernels, here linked with the emulated ones
KERNEL_TESTS := $(if $(HAVE_CXX),$(patsubst tests/%.cu,$(B)/tests/%.t,$(wildcard tests/*.cu)))
$(KERNEL_TESTS): $(B)/tests/%.t: tests/%.cu $(KERNELS:$(GEN)/%=$(B)/emu/%.o) $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	$(call say,CXX,$<) $(begin) $(CXX) $(ALLCXX) -Itests $(DEPEND) $(OUT) -x c++ $< -x none $(filter %.o,$^) $(CXXLIBS) $(keep)

$(B)/emu/conv-planted: tests/emu/conv.cu tests/emu/plant $(GEN)/gpu/cuda_conv.cu $(GEN)/gpu/cuda_device.h $(B)/emu/gpu/cuda_ops.cu.o \
  $(B)/emu/gpu/cuda_wgmma.cu.o $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	$(call say,CXX,$@) $(begin) tests/emu/plant $(GEN)/gpu/cuda_conv.cu >$(new)/cuda_conv.cu && \
	  $(CXX) -I$(new) $(ALLCXX) -DPLANTED $(OUT) -x c++ $< -x none $(filter %.o,$^) $(keep)

hash := \#
planted = { echo '$(hash)include <stdlib.h>'; echo 'static const int planted = getenv("PLANTED") ? atoi(getenv("PLANTED")) : 0;'; \
  tests/emu/plant $(1); } >$(new)/$(notdir $(1))
$(B)/emu/ops-planted: tests/47-ops-kernels.cu tests/emu/plant $(GEN)/gpu/cuda_ops.cu $(GEN)/gpu/cuda_device.h $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	$(call say,CXX,$@) $(begin) $(call planted,$(GEN)/gpu/cuda_ops.cu) && \
	  $(CXX) $(ALLCXX) -Itests $(OUT) -x c++ $< $(new)/cuda_ops.cu -x none $(filter %.o,$^) $(keep)

$(B)/emu/wgrad-planted: tests/46-wgrad-kernels.cu
$(B)/emu/wgmma-planted: tests/48-group-kernels.cu $(B)/emu/gpu/cuda_ops.cu.o $(B)/emu/gpu/cuda_conv.cu.o
$(B)/emu/wgrad-planted $(B)/emu/wgmma-planted: $(B)/emu/%-planted: $(GEN)/gpu/cuda_%.cu tests/emu/plant $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	$(call say,CXX,$@) $(begin) $(call planted,$<) && \
	  $(CXX) $(ALLCXX) -Itests $(OUT) -x c++ $(filter tests/4%.cu,$^) $(new)/$(<F) -x none $(filter %.o,$^) $(keep)

# The same tests on a device: `make gpu-tests`, then each of build/gpu/* by itself (tools/gpu-check does both)
GPU_TESTS := $(if $(FOUND_NVCC),$(patsubst tests/%.cu,$(B)/gpu/%,$(wildcard tests/*.cu)))
.PHONY: gpu-tests
gpu-tests: $(GPU_TESTS)
# from a library, so that each takes the kernels that it tests along and no others
$(B)/obj/kernels.a: $(KERNELS:$(GEN)/%=$(B)/obj/%.o)
	$(Q)$(begin) ar rcs $(new)/$(@F) $^ $(keep)
# Linked statically, for a kit, libstdc++ wants a function of glibc 2.36 for random numbers that nothing here asks for; so older ones will do.
$(B)/obj/arc4random.o: $(B)/config.mk
	$(Q)$(begin) printf '$(hash)include <stdlib.h>\nunsigned arc4random(void) { abort(); }\n' | $(CC) -O2 -c $(OUT) -x c - $(keep)
$(GPU_TESTS): $(B)/gpu/%: tests/%.cu $(B)/obj/kernels.a $(B)/obj/arc4random.o
	$(call say,NVCC,$<) $(begin) $(NVCC) -O2 -std=c++17 $(call codes,90) -I$(GEN) -Itests $(OUT) $^ $(CXXLIBS:%=-Xcompiler %) $(keep)

-include $(OBJ:.o=.d) $(wildcard $(B)/tests/*.d $(B)/emu/*.d $(B)/emu/gpu/*.d $(B)/obj/gpu/*.d)
$(call broken,$(B)/obj $(B)/obj/* $(B)/tests $(B)/emu $(B)/emu/*): always

## tangle: write generated/ from the book (4 s)
tangle:
	$(Q)tools/tangle src.nw generated

# ---- tests ----
TEST_C := $(wildcard tests/*.c)
TEST_T := $(wildcard tests/*.t) $(TEST_C:tests/%.c=$(B)/tests/%.t) $(KERNEL_TESTS)
# The slow ones begin first, so that none is left over at the end with the other cores idle.
SLOW := $(shell grep -lE '^($(hash)|/\*) slow' tests/*.t tests/*.c tests/*.cu 2>/dev/null)
SLOW := $(patsubst tests/%.c,$(B)/tests/%.t,$(SLOW:tests/%.cu=$(B)/tests/%.t))
TEST_T := $(if $(filter 1,$(FAST)),,$(filter $(SLOW),$(TEST_T))) $(filter-out $(SLOW),$(TEST_T))

$(B)/tests/%.t: tests/%.c $(PARTS)
	$(call say,CC,$<) $(begin) $(CC) $(ALLC) $(CPPFLAGS) -Itests $(DEPEND) -rdynamic -Wl,--as-needed $(OUT) $< $(PARTS) $(LIBS) $(keep)

# TESTS= names what is built too: compiled tests by their source; scripts that emulate a GPU take all compiled tests along.
ifneq ($(TESTS),)
$(foreach t,$(TESTS),$(if $(wildcard $(t))$(filter $(TEST_T),$(t)),,$(error TESTS=$(t): found no such test; expected files of tests/, for example TESTS=tests/01-tangle.t)))
override TESTS := $(patsubst tests/%.c,$(B)/tests/%.t,$(patsubst tests/%.cu,$(B)/tests/%.t,$(TESTS)))
EMULATING := $(shell grep -l 'emu/\|tests/.*\.t"' $(filter tests/%.t,$(TESTS)) /dev/null)
TESTED := $(filter $(B)/tests/%,$(TESTS)) $(if $(EMULATING),$(TEST_C:tests/%.c=$(B)/tests/%.t) $(KERNEL_TESTS) $(EMU_PLUGIN) $(EMU_FAULTS))
else
TESTED := $(TEST_C:tests/%.c=$(B)/tests/%.t) $(KERNEL_TESTS) $(EMU_PLUGIN) $(EMU_FAULTS)
endif

# gcc 12 for 64-bit Arm breaks off in vectorising this one (an internal compiler error).
$(B)/tests/40-cpu.t: private ALLC += -fno-tree-vectorize

## test: build everything and run every test (6 min)
test: $(B)/wbcsnet $(TESTED)
	$(Q)WBCSNET=$(B)/wbcsnet WBCSNET_B=$(B) CXX='$(CXX)' ASAN_OPTIONS=detect_leaks=0 tools/runtests -j $(JOBS) $(or $(TESTS),$(TEST_T))

## storm: make calls fail, kill, fill disks and damage files at every place, and hold what comes of it against undisturbed runs (5 min)
.PHONY: storm
storm: $(B)/wbcsnet
	$(Q)WBCSNET=$(B)/wbcsnet CC='$(CC)' JOBS=$(JOBS) STORM_SEED='$(STORM_SEED)' STORM_CASES='$(STORM_CASES)' STORM_ONLY='$(STORM_ONLY)' tests/storm/storm

## fuzz: the readers of files under clang's libFuzzer, FUZZ_TIME=600 seconds each (80 min / JOBS); what it found lies in build/fuzz/found
.PHONY: fuzz
FUZZ_TIME ?= 600
FUZZ_CC ?= $(shell command -v clang 2>/dev/null)
READERS := tiff png jpeg bmp npz csv json safetensors
FUZZED := $(addprefix generated/,base/image.c cells/npz.c learning/safetensors.c base/base.c)
CAN_FUZZ = $(if $(FUZZ_CC),$(shell echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return p == 0 && n; }' | $(FUZZ_CC) -fsanitize=fuzzer,address,undefined -x c -o /dev/null - 2>/dev/null && echo yes))
fuzz: $(if $(filter fuzz,$(MAKECMDGOALS)),$(if $(CAN_FUZZ),$(READERS:%=build/fuzz/%) $(B)/tests/10-image.t $(B)/tests/10-odd-images.t))
	$(Q)$(if $(CAN_FUZZ),WBCSNET_B=$(B) tests/fuzz/run build/fuzz $(FUZZ_TIME) $(JOBS) $(READERS),echo 'fuzz: SKIPPED: found no clang with libFuzzer here; make deps CC=clang installs it')

build/fuzz/%: tests/fuzz/fuzz.c $(FUZZED)
	$(call say,FUZZ,$@) $(begin) $(FUZZ_CC) -g -O1 -std=c11 -w $(CPPFLAGS) -DIMAGE_MAX_PIXELS=1000000 -DREADER=$(shell echo $* | tr a-z A-Z)_ \
	  -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Wl,--wrap=exit $(OUT) $^ $(LIBS) $(keep)

## fresh: README's two commands in a bare RELEASE=trixie (or bookworm, ...), made by debootstrap (as root; 15 min, 2 GB, 400 MB to fetch)
.PHONY: fresh
fresh:
	@MIRROR='$(MIRROR)' CC='$(if $(filter default,$(origin CC)),,$(CC))' tools/fresh '$(RELEASE)' '$(if $(filter file,$(origin SCALE)),smoke,$(SCALE))'

## container-check: the steps of Containerfile, and the smoke paper, in a bare root file system (as root; 15 min, 2 GB)
.PHONY: container-check
container-check:
	@CONTAINER=1 MIRROR='$(MIRROR)' CC= tools/fresh '$(or $(RELEASE),trixie)' smoke

# ---- experiments, results, figures, the paper ----
-include experiments/jobs.mk
# ---- the book ----
-include paper/book.mk
# ---- checks and runs on a machine with a GPU ----
-include tools/gpu.mk

## data: verify the data sets that DATA1 and DATA2 name: every cell's hash, size, counts (5 s)
.PHONY: data
data: $(B)/wbcsnet
	@[ -n '$(DATA1)$(DATA2)' ] || { echo 'No DATA1 or DATA2 is given, so the cells are drawn by the program. DATA.md says how to bring real ones.'; exit 0; }; \
	$(B)/wbcsnet data $(DATA1) $(DATA2)

## bench: time training, inference and every operator, beside this machine's limits (1 min)
.PHONY: bench
bench: $(B)/wbcsnet
	$(Q)$(B)/wbcsnet bench

## clean: remove what was compiled and woven; keeps build/runs, build/data and build/results (1 s)
clean:
	$(Q)rm -rf build-asan build-lines build/obj build/tests build/emu build/book build/wbcsnet build/libwbcsnet_cuda.so build/src.pdf build/site build/*.mk build/version build/report build/archs build/compiler

## distclean: remove build/ altogether, finished runs included (1 s)
distclean:
	$(Q)rm -rf build build-asan build-lines build-asan-lines

endif
