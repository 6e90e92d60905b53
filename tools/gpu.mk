# gpu.mk: what is sent to a machine with a GPU and done there. Included by the Makefile at the top.

.PHONY: gpu-check gpu-bundle gpu-paper pack-runs restore-runs
ARCHIVE ?= build/gpu-paper.tar.gz
BUNDLE ?= build/gpu-bundle.tar.gz
# given KNOB,OTHERWISE: what the user said, else OTHERWISE; GPU_SCALE is the scale that a bundle was made for.
given = $(if $(filter command environment,$(firstword $(origin $(1)))),$($(1)),$(2))

## gpu-bundle: pack sources and cells into build/gpu-bundle.tar.gz for a machine with a GPU (10 s)
gpu-bundle: cells
	@BUNDLE=$(BUNDLE) VERSION='$(VERSION)' DATA1=$(DATA1) DATA2=$(DATA2) SCALE=$(call given,SCALE) SEED=$(SEED) SEEDS=$(SEEDS) \
	  SET1=$(SET1) SET2=$(SET2) SET3=$(SET3) WORK=$(WORK) PROGRAM=$(WBCSNET) tools/gpu-bundle

## gpu-check: on a machine with a GPU: every operator against ref, same bits twice, GPU beside CPU; a record (10 min)
gpu-check:
	@JOBS=$(JOBS) B=$(B) VERSION='$(VERSION)' tools/gpu-check

## gpu-paper: there too: the paper's jobs at SCALE=full, DEVICE=cuda, archived for make paper RUNS=... (TIME_LIMIT= stops it, ONLY= takes a part)
gpu-paper: all
	@PROGRAM=$(WBCSNET) ARCHIVE=$(ARCHIVE) TIME_LIMIT=$(TIME_LIMIT) FROM=$(RUNS) tools/gpu-paper \
	  SCALE=$(call given,SCALE,$(or $(GPU_SCALE),full)) DEVICE=$(call given,DEVICE,cuda) SEED=$(SEED) SEEDS=$(SEEDS) ONLY='$(ONLY)' \
	  DATA1=$(DATA1) DATA2=$(DATA2) WORK=$(WORK) JOBS=$(call given,JOBS) THREADS=$(call given,THREADS)

ARCHIVING = ONLY='$(ONLY)' SCALE=$(SCALE) SEED=$(SEED) SEEDS=$(SEEDS) DEVICE=$(DEVICE) RUNS1=$(RUNS1) RUNS2=$(RUNS2) RUNS3=$(RUNS3) experiments/archive
pack-runs: cells
	@$(ARCHIVING) pack $(ARCHIVE) $(FIGURES)/fig9 $(SET1) $(SET2) $(SET3)
restore-runs: cells
	@$(ARCHIVING) restore $(FROM) $(SET1) $(SET2) $(SET3)
