# gpu.mk: what is sent to a machine with a GPU and done there. Included by the Makefile at the top.

.PHONY: gpu-kit gpu-check gpu-bundle gpu-paper pack-runs restore-runs
ARCHIVE ?=
BUNDLE ?= build/gpu-bundle.tar.gz
# given KNOB,OTHERWISE: what the user said, else OTHERWISE; GPU_SCALE is the scale that a bundle was made for.
given = $(if $(filter command environment,$(firstword $(origin $(1)))),$($(1)),$(2))

## gpu-bundle: pack sources and cells into build/gpu-bundle.tar.gz for a machine with a GPU (10 s)
gpu-bundle: cells
	@BUNDLE=$(BUNDLE) VERSION='$(VERSION)' DATA1=$(DATA1) DATA2=$(DATA2) SCALE=$(call given,SCALE) SEED=$(SEED) SEEDS=$(SEEDS) \
	  SET1=$(SET1) SET2=$(SET2) SET3=$(SET3) WORK=$(WORK) PROGRAM=$(WBCSNET) tools/gpu-bundle

# KIT_ARCHS: the architectures whose code goes along. REHEARSAL=1: the emulated plugin in place of the built one, for a rehearsal without a GPU.
# SCALE=full (asked for): the jobs of the paper too, and the cells that DATA1 and DATA2 name.
KIT ?= build/gpu-kit
KIT_ARCHS ?= 90
REHEARSAL ?=
LEAN := build/lean$(if $(REHEARSAL),-emulated)
# libc, libm and libgomp: cells are TIFF as the program itself writes them
LEAN_MAKE = $(MAKE) --no-print-directory B=$(LEAN) WBCSNET=$(LEAN)/wbcsnet ARCHS='$(KIT_ARCHS)' LIBS='-lm -ldl' RPATH= \
  FEATURES='-DHAVE_TIFF=0 -DHAVE_PNG=0 -DHAVE_JPEG=0 -DHAVE_ZLIB=0 -DHAVE_DNNL=0 -DHAVE_LAPACK=0 -DHAVE_OPENBLAS=0'
LEAN_TESTS := $(patsubst %,$(LEAN)/tests/%.t,31-operators 33-steps 48-cuda-engine)
CU_TESTS := $(patsubst tests/%.cu,%,$(wildcard tests/*.cu))
LEAN_KERNEL_TESTS := $(if $(REHEARSAL),$(CU_TESTS:%=$(LEAN)/tests/%.t),$(CU_TESTS:%=$(LEAN)/gpu/%))
LEAN_PLUGIN := $(LEAN)/$(if $(REHEARSAL),emu/)libwbcsnet_cuda.so
kit_scale := $(call given,SCALE)

## gpu-kit: pack a program, a plugin, tests and one script for a bare machine with a GPU into build/gpu-kit.tar.gz (3 min; SCALE=full: with the paper's jobs)
gpu-kit: $(if $(kit_scale),cells)
	@$(if $(REHEARSAL)$(PLUGIN),,echo "make: gpu-kit: found $(NO_PLUGIN); expected the CUDA toolkit, or REHEARSAL=1 for a rehearsal" >&2; exit 4;) \
	$(LEAN_MAKE) $(LEAN)/wbcsnet $(LEAN_PLUGIN) $(LEAN_TESTS) $(LEAN_KERNEL_TESTS) CXXLIBS='-static-libstdc++ -static-libgcc'
	@KIT='$(KIT)' LEAN='$(LEAN)' PLUGIN='$(LEAN_PLUGIN)' KERNEL_TESTS='$(LEAN_KERNEL_TESTS)' KIND='$(if $(REHEARSAL),EMULATED,built)' VERSION='$(VERSION)' \
	  SCALE=$(kit_scale) SEED='$(SEED)' SEEDS='$(SEEDS)' DATA1='$(DATA1)' DATA2='$(DATA2)' SET1='$(SET1)' SET2='$(SET2)' SET3='$(SET3)' tools/gpu-kit

## gpu-check: on a machine with a GPU: every operator against ref, same bits twice, GPU beside CPU; a record (10 min)
gpu-check:
	@JOBS=$(JOBS) B=$(B) VERSION='$(VERSION)' tools/gpu-check

## gpu-paper: there too: the paper's jobs at SCALE=full, DEVICE=cuda, archived for make paper RUNS=... (TIME_LIMIT= stops it, ONLY= takes a part)
gpu-paper: all
	@PROGRAM=$(WBCSNET) ARCHIVE=$(or $(ARCHIVE),build/gpu-paper.tar.gz) TIME_LIMIT=$(TIME_LIMIT) FROM=$(RUNS) tools/gpu-paper \
	  SCALE=$(call given,SCALE,$(or $(GPU_SCALE),full)) DEVICE=$(call given,DEVICE,cuda) SEED=$(SEED) SEEDS=$(SEEDS) ONLY='$(ONLY)' \
	  DATA1=$(DATA1) DATA2=$(DATA2) WORK=$(WORK) JOBS=$(call given,JOBS) THREADS=$(call given,THREADS)

ARCHIVING = PROGRAM='$(WBCSNET)' ONLY='$(ONLY)' SCALE=$(SCALE) SEED=$(SEED) SEEDS=$(SEEDS) DEVICE=$(DEVICE) RUNS1=$(RUNS1) RUNS2=$(RUNS2) RUNS3=$(RUNS3) experiments/archive
## pack-runs: the finished runs at this SCALE in one archive for make paper RUNS=..., build/runs-SCALE.tar.gz, without weights and cells (seconds)
pack-runs: cells
	@$(ARCHIVING) pack $(or $(ARCHIVE),$(WORK)/runs-$(SCALE).tar.gz) $(FIGURES)/fig9 $(SET1) $(SET2) $(SET3)
restore-runs: cells
	@$(ARCHIVING) restore $(FROM) $(SET1) $(SET2) $(SET3)
