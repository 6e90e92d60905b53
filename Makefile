# wbcsnet: every figure, table and number of one paper, computed again. `make` alone lists the targets.
#
# Knobs, given as `make TARGET KNOB=value`:
#
#   SCALE=quick     smoke: 20 s, for tests; quick: small nets and pictures, fewer epochs, all cells; full: the paper's own protocol
#   DATA1=          folder of Dataset1 as `wbcsnet import` wrote it; empty: cells drawn by `wbcsnet synth`
#   DATA2=          the same for Dataset2, the set of the transfer experiment
#   DEVICE=cpu      the engine that trains: cpu (fast) or ref (plain loops in double precision, slow)
#   SEED=1          the seed of every random number: folds, weights, order, dropout, drawn cells
#   JOBS=           how many processes run side by side (default: one per core)
#   THREADS=        threads of one training job (default: cores / JOBS)
#   V=0             1 prints each command in full
#   LINES=0         1 builds with #line, so that a debugger shows src.nw (in build-lines/)
#   SANITIZE=0      1 builds with the address and undefined-behaviour sanitizers (in build-asan/)
#   TESTS=          the tests to run, e.g. TESTS=tests/01-tangle.t (default: all); FAST=1 leaves the slow ones out
#   CC CFLAGS       the compiler and its flags; nothing here assumes gcc beyond OpenMP

SCALE ?= quick
DATA1 ?=
DATA2 ?=
DEVICE ?= cpu
SEED ?= 1
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
V ?= 0
LINES ?= 0
SANITIZE ?= 0
TESTS ?=
FAST ?= 0
CFLAGS ?= -O2 -g

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
	@tools/deps

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

$(B)/config.mk: tools/probe
	@mkdir -p $(@D)
	$(Q)CC='$(CC)' tools/probe >$@

SRC := $(wildcard $(GEN)/*.c)
OBJ := $(SRC:$(GEN)/%.c=$(B)/obj/%.o)
PARTS := $(filter-out $(B)/obj/main.o,$(OBJ)) $(B)/obj/version.o
WARN := -Wall -Wextra -Wshadow
CPPFLAGS += -I$(GEN) -D_GNU_SOURCE $(FEATURES)
# -ffp-contract=off: no fused multiply-add behind our back, so that every machine rounds alike.
ALLC = $(CFLAGS) -std=c11 $(WARN) -ffp-contract=off -fopenmp $(SANITIZER)
ifeq ($(SANITIZE),1)
CFLAGS := -O1 -g -fno-omit-frame-pointer
SANITIZER := -fsanitize=address,undefined -fno-sanitize-recover=undefined
endif

## all: build the program, build/wbcsnet (20 s)
all: $(B)/wbcsnet

$(B)/wbcsnet: $(B)/obj/main.o $(PARTS)
	$(call say,LINK,$@) $(CC) $(ALLC) -Wl,--as-needed -o $@ $^ $(LIBS)

$(B)/obj/%.o: $(GEN)/%.c $(B)/config.mk
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALLC) $(CPPFLAGS) -MMD -MP -c -o $@ $<


# The version lives in one small object, so that a commit does not compile everything again.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1)
ifneq ($(VERSION),$(shell cat $(B)/version 2>/dev/null))
.PHONY: $(B)/version
endif
$(B)/version:
	@mkdir -p $(@D)
	@echo '$(VERSION)' >$@
$(B)/obj/version.o: $(B)/version
	@mkdir -p $(@D)
	@echo 'const char wbcsnet_version[] = "$(VERSION)";' >$(B)/obj/version.c
	$(Q)$(CC) $(ALLC) -c -o $@ $(B)/obj/version.c

-include $(OBJ:.o=.d) $(wildcard $(B)/tests/*.d)

## tangle: write generated/ from src.nw (2 s)
tangle:
	$(Q)tools/tangle src.nw generated

# ---- tests ----
TEST_C := $(wildcard tests/*.c)
TEST_T := $(wildcard tests/*.t) $(TEST_C:tests/%.c=$(B)/tests/%.t)
ifeq ($(FAST),1)
SLOW := $(shell grep -lE '^(#|/\*) slow' tests/*.t tests/*.c 2>/dev/null)
TEST_T := $(filter-out $(SLOW) $(SLOW:tests/%.c=$(B)/tests/%.t),$(TEST_T))
endif

$(B)/tests/%.t: tests/%.c $(PARTS)
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALLC) $(CPPFLAGS) -Itests -MMD -MP -MF $(@:.t=.d) -Wl,--as-needed -o $@ $< $(PARTS) $(LIBS)

## test: build everything and run every test (2-3 min)
test: $(B)/wbcsnet $(TEST_C:tests/%.c=$(B)/tests/%.t)
	$(Q)WBCSNET=$(B)/wbcsnet WBCSNET_B=$(B) ASAN_OPTIONS=detect_leaks=0 tools/runtests -j $(JOBS) $(or $(TESTS),$(TEST_T))

# ---- the book ----
-include paper/book.mk
# ---- experiments, results, figures, the paper ----
-include experiments/jobs.mk

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
	$(Q)rm -rf build-asan build-lines build/obj build/tests build/book build/wbcsnet build/src.pdf build/src.html build/*.mk build/version

## distclean: remove build/ altogether, finished runs included (1 s)
distclean:
	$(Q)rm -rf build build-asan build-lines build-asan-lines

endif
