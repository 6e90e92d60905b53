# wbcsnet: every figure, table and number of one paper, computed again. `make` alone lists the targets.
#
# Knobs, given as `make TARGET KNOB=value`:
#
#   SCALE=quick     smoke: 40 s, for tests; quick: small nets and pictures, fewer epochs, all cells; full: the paper's own protocol
#   DATA1=          folder of Dataset1 as `wbcsnet import` wrote it; empty: cells drawn by `wbcsnet synth`
#   DATA2=          the same for Dataset2, the set of the transfer experiment
#   PRETRAINED=     folder with alexnet, vgg16 or resnet18.safetensors as PyTorch wrote them: Fig. 6 fine-tunes these; empty: drawn cells
#   DEVICE=cpu      the engine that trains: cpu (fast), ref (plain loops in double precision, slow), cuda, cuda-tf32, cuda-bf16
#   ARCHS=          compute capabilities that the GPU engine is built for (default: 75 80 86 89 90, and PTX of the last)
#   NVCC=           CUDA's compiler (default: on the PATH, or in /usr/local/cuda); without one there is no GPU engine
#   SEED=1          the seed of every random number: folds, weights, order, dropout, drawn cells
#   SEEDS=          how many seeds each experiment runs, from SEED on, where its own number is smaller
#   ONLY=           experiments or EXPERIMENT/ARM, e.g. ONLY=cv,transfer: the paper of a part; what was not run is a dash
#   RUNS=           an archive of finished runs, as gpu-paper leaves it: the paper is made from them, nothing is trained
#   TIME_LIMIT=     seconds after which gpu-paper stops; the same command goes on
#   JOBS=           how many processes run side by side (default: one per core)
#   THREADS=        threads of one training job (default: cores / JOBS)
#   V=0             1 prints each command in full
#   LINES=0         1 builds with #line, so that a debugger shows src.nw (in build-lines/)
#   SANITIZE=0      1 builds with the address and undefined-behaviour sanitizers (in build-asan/)
#   TESTS=          the tests to run, e.g. TESTS=tests/01-tangle.t (default: all); FAST=1 leaves the slow ones out
#   STORM_CASES=2000  how many cases make storm tries; STORM_SEED=1 draws them; STORM_ONLY=NAME tries those whose name begins so
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
CFLAGS := -O1 -g -fno-omit-frame-pointer
SANITIZER := -fsanitize=address,undefined -fno-sanitize-recover=undefined $(if $(filter clang%,$(CC)),-D__SANITIZE_ADDRESS__=1)
endif

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

# LINES=1 is the shell's idea of a terminal's height in some environments: only the value 1 counts, here and below.
B := build$(if $(filter 1,$(SANITIZE)),-asan)$(if $(filter 1,$(LINES)),-lines)
GEN := $(if $(filter 1,$(LINES)),$(B)/src,generated)
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $(1) $(2);)

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

## deps: install the Debian or Ubuntu packages that are missing (2 min, 130 MB; nothing when all is there)
deps:
	@CC='$(CC)' tools/deps

ifeq ($(and $(filter deps,$(MAKECMDGOALS)),$(REST)),)

.PHONY: help all test book tangle clean distclean

help:
	@tools/targets $(MAKEFILE_LIST)

# ---- the program ----
# Two small makefiles are made first and read: the tangled C (so that a new chapter's file is compiled at once), and
# what this machine's libraries can do.
ifneq ($(filter-out help deps clean distclean,$(MAKECMDGOALS)),)
include $(B)/tangled.mk $(B)/config.mk
endif

$(B)/tangled.mk: src.nw tools/tangle tools/chunknames
	@mkdir -p $(@D)
	$(Q)if command -v notangle >/dev/null; then tools/tangle src.nw $(GEN) $(if $(filter 1,$(LINES)),-L); \
	else echo 'noweb is not installed: building from generated/ as it stands'; fi
	@echo '# tangled' >$@

# remember FILE,TEXT: FILE holds TEXT, and is made anew, with all that depends on it, when TEXT is another.
define remember
ifneq '$(2)' '$$(shell cat $(1) 2>/dev/null)'
.PHONY: $(1)
endif
$(1):
	@mkdir -p $$(@D)
	@echo '$(2)' >$$@
endef
# Another compiler, or other flags, compile everything again.
$(eval $(call remember,$(B)/compiler,$(CC) $(CXX) $(CFLAGS)))

$(B)/config.mk: tools/probe $(B)/compiler
	@mkdir -p $(@D)
	$(Q)CC='$(CC)' tools/probe >$@

SRC := $(filter-out $(GEN)/cuda.c $(GEN)/cuda_probe.c,$(wildcard $(GEN)/*.c))
OBJ := $(SRC:$(GEN)/%.c=$(B)/obj/%.o)
PARTS := $(filter-out $(B)/obj/main.o,$(OBJ)) $(B)/obj/version.o
WARN := -Wall -Wextra -Wshadow
CPPFLAGS += -I$(GEN) -D_GNU_SOURCE $(FEATURES)
# -ffp-contract=off: no fused multiply-add behind our back, so that every machine rounds alike.
ALLC = $(CFLAGS) -std=c11 $(WARN) -ffp-contract=off -fopenmp $(SANITIZER)

# -rdynamic: the GPU engine is a plugin that calls back into the program.
LINK = $(CC) $(ALLC) -rdynamic -Wl,--as-needed

## all: build the program, build/wbcsnet (20 s), and where nvcc is, the GPU engine beside it (2-4 min)
all: $(B)/wbcsnet

$(B)/wbcsnet: $(B)/obj/main.o $(PARTS)
	$(call say,LINK,$@) $(LINK) -o $@ $^ $(LIBS)

$(B)/obj/%.o: $(GEN)/%.c $(B)/config.mk
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALLC) $(CPPFLAGS) -MMD -MP -c -o $@ $<
# A root is one instruction when nobody asks for errno; no value changes.
$(B)/obj/cpu.o: ALLC += -fno-math-errno


# The version lives in one small object, so that a commit does not compile everything again.
VERSION := $(or $(BUNDLE_VERSION),$(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1))
$(eval $(call remember,$(B)/version,$(VERSION)))
$(B)/obj/version.o: $(B)/version
	@mkdir -p $(@D)
	@echo 'const char wbcsnet_version[] = "$(VERSION)";' >$(B)/obj/version.c
	$(Q)$(CC) $(ALLC) -c -o $@ $(B)/obj/version.c

# ---- the GPU engine ----
# build/libwbcsnet_cuda.so: cuda.c by the C compiler, the kernels by nvcc. What ptxas says of each kernel (registers, spills) stays
# beside its object. A sanitized build has the emulated engine alone.
KERNELS := $(wildcard $(GEN)/cuda_*.cu)
FOUND_NVCC := $(if $(NVCC),$(shell command -v $(firstword $(NVCC)) 2>/dev/null))
ifneq ($(and $(FOUND_NVCC),$(wildcard $(GEN)/cuda.c),$(filter-out 1,$(SANITIZE))),)
# the toolkit's own folder, then the one that nvcc's bin/ stands in: a distribution's package spreads itself over /usr
CUDA_HOME := $(abspath $(shell $(NVCC) --dryrun -x cu -c /dev/null 2>&1 | sed -n 's/^.. TOP=//p'))
CUDA_HOMES := $(CUDA_HOME) $(abspath $(dir $(FOUND_NVCC))..) $(if $(filter /bin/% /usr/lib/%,$(FOUND_NVCC)),/usr)
CUDA_INCLUDE := $(firstword $(dir $(wildcard $(foreach h,$(CUDA_HOMES),$(addprefix $(h)/,include/cublas_v2.h targets/*/include/cublas_v2.h)))))
CUDA_LIB := $(firstword $(dir $(wildcard $(foreach h,$(CUDA_HOMES),$(addsuffix /libcublas.so,$(addprefix $(h)/,lib64 targets/*/lib \
  lib/$(shell $(CC) -print-multiarch 2>/dev/null || $(CC) -dumpmachine) lib))))))
NO_PLUGIN := nvcc is here, but no cublas_v2.h: looked in $(addsuffix /include,$(CUDA_HOMES))
else
NO_PLUGIN := no nvcc$(if $(NVCC),: NVCC=$(NVCC) is not there)
endif
ifneq ($(CUDA_INCLUDE),)
PLUGIN := $(B)/libwbcsnet_cuda.so
all: $(PLUGIN)
else ifneq ($(wildcard $(GEN)/cuda.c),)
all: no-plugin
.PHONY: no-plugin
no-plugin: $(B)/wbcsnet
	@echo '  off    the GPU engine ($(if $(filter 1,$(SANITIZE)),a sanitized build has the emulated one alone,$(NO_PLUGIN)))'
endif

# -lineinfo, for a profiler, triples the plugin's size
NVCCFLAGS ?= -O3 -std=c++17 -Xcompiler -fPIC,-Wall -Xptxas -v --threads 0
# code for every architecture, and PTX of the newest for those to come; warp-group products are for 9.0a alone
codes = $(foreach a,$(ARCHS),-gencode arch=compute_$(if $(filter 90,$(a)),$(1),$(a)),code=sm_$(if $(filter 90,$(a)),$(1),$(a))) \
  -gencode arch=compute_$(lastword $(ARCHS)),code=compute_$(lastword $(ARCHS))
NVCC_WITH := $(ARCHS) $(NVCCFLAGS)
$(eval $(call remember,$(B)/archs,$(NVCC_WITH)))

$(B)/obj/%.cu.o: $(GEN)/%.cu $(B)/archs
	@mkdir -p $(@D)
	$(call say,NVCC,$<) $(NVCC) $(NVCCFLAGS) $(call codes,$(if $(findstring wgmma,$<),90a,90)) -I$(GEN) -MMD -MF $(@:.o=.d) -c -o $@ $< \
	  >$(@:.cu.o=.ptxas) 2>&1 || { grep -v '^ptxas info' $(@:.cu.o=.ptxas) >&2; rm -f $@; exit 1; }; \
	! grep -i warning $(@:.cu.o=.ptxas) >&2

$(B)/obj/cuda.o $(B)/obj/cuda_probe.o: $(B)/obj/%.o: $(GEN)/%.c $(B)/config.mk
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALLC) $(CPPFLAGS) -fPIC $(addprefix -isystem ,$(filter-out /usr/include/,$(CUDA_INCLUDE))) -MMD -MP -c -o $@ $<

$(B)/obj/plugin_version.o: $(B)/version
	@mkdir -p $(@D)
	@echo 'const char wbcsnet_cuda_version[] = "$(VERSION)";' >$(@:.o=.c)
	$(Q)$(CC) $(ALLC) -fPIC -c -o $@ $(@:.o=.c)

$(B)/libwbcsnet_cuda.so: $(B)/obj/cuda.o $(B)/obj/cuda_probe.o $(B)/obj/plugin_version.o $(KERNELS:$(GEN)/%=$(B)/obj/%.o)
	$(call say,LINK,$@) $(NVCC) -shared -cudart static $(foreach a,$(lastword $(ARCHS)),-arch=sm_$(a)) -o $@ $^ $(addprefix -L,$(CUDA_LIB)) -lcublas \
	  $(addprefix -Xlinker -rpath=,$(CUDA_LIB))

# build/emu/libwbcsnet_cuda.so: the same text compiled as C++ with the emulator's headers, for tests without a GPU.
EMULATOR := $(wildcard tests/emu/*.cc)
EMULATED := -DEMULATED -Itests/emu -I$(GEN)
ALLCXX = $(CFLAGS) -std=c++17 $(WARN) -Wno-unknown-pragmas -ffp-contract=off -fopenmp $(SANITIZER) -fPIC $(EMULATED)
HAVE_CXX := $(shell command -v $(firstword $(CXX)) 2>/dev/null)
EMU_PLUGIN := $(if $(HAVE_CXX),$(if $(wildcard $(GEN)/cuda.c),$(B)/emu/libwbcsnet_cuda.so))
EMU_FAULTS := $(if $(HAVE_CXX),$(B)/emu/faults $(B)/emu/conv $(if $(filter 1,$(FAST)),,$(patsubst %,$(B)/emu/%-planted,conv ops wgrad wgmma)))

$(B)/emu/%.cu.o: $(GEN)/%.cu $(B)/compiler
	@mkdir -p $(@D)
	$(call say,CXX,$<) $(CXX) $(ALLCXX) -MMD -MP -x c++ -c -o $@ $<

$(B)/emu/%.o: tests/emu/%.cc $(B)/compiler
	@mkdir -p $(@D)
	$(call say,CXX,$<) $(CXX) $(ALLCXX) -MMD -MP -c -o $@ $<

$(B)/emu/cuda.o $(B)/emu/cuda_probe.o: $(B)/emu/%.o: $(GEN)/%.c $(B)/config.mk
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALLC) $(CPPFLAGS) -fPIC $(EMULATED) -MMD -MP -c -o $@ $<

$(B)/emu/libwbcsnet_cuda.so: $(B)/emu/cuda.o $(B)/emu/cuda_probe.o $(B)/obj/plugin_version.o $(KERNELS:$(GEN)/%=$(B)/emu/%.o) $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	$(call say,LINK,$@) $(CXX) $(ALLCXX) -shared -o $@ $^

$(B)/emu/faults: tests/emu/faults.cu $(GEN)/cuda_device.h $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	@mkdir -p $(@D)
	$(call say,CXX,$<) $(CXX) $(ALLCXX) -MMD -MP -o $@ -x c++ $< -x none $(filter %.o,$^)

$(B)/emu/conv: tests/emu/conv.cu $(GEN)/cuda_conv.cu $(GEN)/cuda_device.h $(B)/emu/cuda_ops.cu.o $(B)/emu/cuda_wgmma.cu.o \
  $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	@mkdir -p $(@D)
	$(call say,CXX,$<) $(CXX) $(ALLCXX) -MMD -MP -o $@ -x c++ $< -x none $(filter %.o,$^)

# tests/NN-topic.cu: tests of kernels, here linked with the emulated ones
KERNEL_TESTS := $(if $(HAVE_CXX),$(patsubst tests/%.cu,$(B)/tests/%.t,$(wildcard tests/*.cu)))
$(KERNEL_TESTS): $(B)/tests/%.t: tests/%.cu $(KERNELS:$(GEN)/%=$(B)/emu/%.o) $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	@mkdir -p $(@D)
	$(call say,CXX,$<) $(CXX) $(ALLCXX) -Itests -MMD -MP -MF $(@:.t=.d) -o $@ -x c++ $< -x none $(filter %.o,$^)

$(B)/emu/conv-planted: tests/emu/conv.cu tests/emu/plant $(GEN)/cuda_conv.cu $(GEN)/cuda_device.h $(B)/emu/cuda_ops.cu.o \
  $(B)/emu/cuda_wgmma.cu.o $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	@mkdir -p $(B)/emu/planted
	$(Q)tests/emu/plant $(GEN)/cuda_conv.cu >$(B)/emu/planted/cuda_conv.cu
	$(call say,CXX,$@) $(CXX) -I$(B)/emu/planted $(ALLCXX) -DPLANTED -o $@ -x c++ $< -x none $(filter %.o,$^)

$(B)/emu/ops-planted: tests/47-ops-kernels.cu tests/emu/plant $(GEN)/cuda_ops.cu $(GEN)/cuda_device.h $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	@mkdir -p $(B)/emu/planted
	$(Q){ echo '#include <stdlib.h>'; echo 'static const int planted = getenv("PLANTED") ? atoi(getenv("PLANTED")) : 0;'; \
	  tests/emu/plant $(GEN)/cuda_ops.cu; } >$(B)/emu/planted/cuda_ops.cu
	$(call say,CXX,$@) $(CXX) $(ALLCXX) -Itests -o $@ -x c++ $< $(B)/emu/planted/cuda_ops.cu -x none $(filter %.o,$^)

$(B)/emu/wgrad-planted: tests/46-wgrad-kernels.cu
$(B)/emu/wgmma-planted: tests/48-group-kernels.cu $(B)/emu/cuda_ops.cu.o $(B)/emu/cuda_conv.cu.o
$(B)/emu/wgrad-planted $(B)/emu/wgmma-planted: $(B)/emu/%-planted: $(GEN)/cuda_%.cu tests/emu/plant $(EMULATOR:tests/emu/%.cc=$(B)/emu/%.o)
	@mkdir -p $(B)/emu/planted
	$(Q){ echo '#include <stdlib.h>'; echo 'static const int planted = getenv("PLANTED") ? atoi(getenv("PLANTED")) : 0;'; \
	  tests/emu/plant $<; } >$(B)/emu/planted/$(<F)
	$(call say,CXX,$@) $(CXX) $(ALLCXX) -Itests -o $@ -x c++ $(filter tests/4%.cu,$^) $(B)/emu/planted/$(<F) -x none $(filter %.o,$^)

# The same tests on a device: `make gpu-tests`, then each of build/gpu/* by itself (tools/gpu-check does both)
GPU_TESTS := $(if $(FOUND_NVCC),$(patsubst tests/%.cu,$(B)/gpu/%,$(wildcard tests/*.cu)))
.PHONY: gpu-tests
gpu-tests: $(GPU_TESTS)
$(GPU_TESTS): $(B)/gpu/%: tests/%.cu $(KERNELS:$(GEN)/%=$(B)/obj/%.o)
	@mkdir -p $(@D)
	$(call say,NVCC,$<) $(NVCC) -O2 -std=c++17 $(call codes,90) -I$(GEN) -Itests -o $@ $^

-include $(OBJ:.o=.d) $(wildcard $(B)/tests/*.d $(B)/emu/*.d $(B)/obj/*.cu.d) $(B)/obj/cuda.d $(B)/obj/cuda_probe.d

## tangle: write generated/ from src.nw (2 s)
tangle:
	$(Q)tools/tangle src.nw generated

# ---- tests ----
TEST_C := $(wildcard tests/*.c)
TEST_T := $(wildcard tests/*.t) $(TEST_C:tests/%.c=$(B)/tests/%.t) $(KERNEL_TESTS)
ifeq ($(FAST),1)
SLOW := $(shell grep -lE '^(#|/\*) slow' tests/*.t tests/*.c tests/*.cu 2>/dev/null)
TEST_T := $(filter-out $(SLOW) $(SLOW:tests/%.c=$(B)/tests/%.t) $(SLOW:tests/%.cu=$(B)/tests/%.t),$(TEST_T))
endif

$(B)/tests/%.t: tests/%.c $(PARTS)
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALLC) $(CPPFLAGS) -Itests -MMD -MP -MF $(@:.t=.d) -rdynamic -Wl,--as-needed -o $@ $< $(PARTS) $(LIBS)

# gcc 12 for 64-bit Arm breaks off in vectorising this one (an internal compiler error).
$(B)/tests/40-cpu.t: private ALLC += -fno-tree-vectorize

## test: build everything and run every test (2-3 min)
test: $(B)/wbcsnet $(TEST_C:tests/%.c=$(B)/tests/%.t) $(KERNEL_TESTS) $(EMU_PLUGIN) $(EMU_FAULTS)
	$(Q)WBCSNET=$(B)/wbcsnet WBCSNET_B=$(B) CXX='$(CXX)' ASAN_OPTIONS=detect_leaks=0 tools/runtests -j $(JOBS) $(or $(TESTS),$(TEST_T))

## storm: make calls fail, kill, fill disks and damage files at every place, and hold what comes of it against undisturbed runs (5 min)
.PHONY: storm
storm: $(B)/wbcsnet
	$(Q)WBCSNET=$(B)/wbcsnet CC='$(CC)' JOBS=$(JOBS) STORM_SEED='$(STORM_SEED)' STORM_CASES='$(STORM_CASES)' STORM_ONLY='$(STORM_ONLY)' tests/storm/storm

# ---- the book ----
-include paper/book.mk
# ---- experiments, results, figures, the paper ----
-include experiments/jobs.mk
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
	$(Q)rm -rf build-asan build-lines build/obj build/tests build/emu build/book build/wbcsnet build/libwbcsnet_cuda.so build/src.pdf build/src.html build/*.mk build/version build/archs build/compiler

## distclean: remove build/ altogether, finished runs included (1 s)
distclean:
	$(Q)rm -rf build build-asan build-lines build-asan-lines

endif
