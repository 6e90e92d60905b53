# jobs.mk: from confs to paper. Included by the Makefile at the top.
#
#   build/data/NAME/dataset1           drawn cells, when DATA1 is empty
#   build/runs/SCALE/NAME/EXPERIMENT   one folder a job: ARM/seedS/foldI
#   build/results/SCALE/NAME           results.json, results.tex, *.dat of each experiment; the claims
#   build/figures/SCALE/NAME           the figures
#   build/paper/SCALE/NAME             where LaTeX works
#
# With RUNS=archive.tar.gz (made by gpu-paper, on whatever machine) all but the cells stands under build/archived/HASH instead,
# runs and Fig. 9 come from the archive, and nothing is trained. Real cells need not be here for that: what shows cells is then left out. Of an
# archive that is not complete the report shows what it holds.
#
# WORK=build PAPER=paper/paper.pdf THREADS=: where all this goes, and threads of one job (default: cores / JOBS)

WORK ?= build
PAPER ?= paper/paper.pdf
WBCSNET := $(B)/wbcsnet
THREADS ?= $(shell n=`nproc 2>/dev/null || echo 2`; t=$$((n / $(JOBS))); [ $$t -gt 0 ] && echo $$t || echo 1)

# Scale, seeds and device of archived runs are theirs; a knob that says otherwise is a mistake.
ifneq ($(RUNS),)
ARCHIVED := $(shell experiments/archive show $(RUNS))
$(if $(ARCHIVED),,$(error RUNS=$(RUNS) is no archive of runs))
archived = $(patsubst $(1)=%,%,$(filter $(1)=%,$(ARCHIVED)))
$(foreach k,SCALE SEED SEEDS DEVICE,$(if $(filter command environment,$(firstword $(origin $(k)))),$(if $(filter-out x$(call archived,$(k)),x$($(k))),\
  $(error RUNS=$(RUNS) was run with $(k)=$(call archived,$(k)); found $(k)=$($(k)); leave it away)),$(eval $(k) := $(call archived,$(k)))))
endif

# The record: finished runs of the paper's own protocol on real cells, kept with the sources. RECORD= makes a report without it.
RECORD ?= experiments/records/full/runs.tar.gz
# SOME: an archive that is not complete holds so many of so many runs. ABSENT: sets of real cells that are not here and not asked for.
SOME := $(if $(RUNS),$(call archived,SOME))
ABSENT := $(if $(RUNS),$(foreach n,1 2,$(if $(DATA$(n)),,$(if $(filter-out drawn-%,$(call archived,NAME$(n))),$(n)))))
there = $(if $(filter $(1),$(ABSENT)),,$(2))
# Whose runs the report is about.
WHOSE := $(if $(RUNS),$(if $(RECORD),$(if $(shell cmp -s $(RUNS) $(RECORD) && echo same),the record)),this machine)
WHOSE := $(or $(WHOSE),these runs)

# Knobs that make or a shell would misread are refused before anything is made.
$(foreach d,DATA1 DATA2 DATA3 RUNS PRETRAINED,$(if $(word 2,x$($(d))x),$(error $(d)=$($(d)): expected a path without spaces)))
# ONLY=EXPERIMENT,EXPERIMENT/ARM: a report of a part, with results and figures of its own.
ONLY := $(if $(ONLY),$(ONLY),$(call archived,ONLY))
comma := ,
PART := $(if $(ONLY),-part$(firstword $(shell echo '$(sort $(subst $(comma), ,$(ONLY)))' | cksum)))
$(if $(shell case '$(SEED)' in (''|*[!0-9]*|??????????*) echo bad;; esac),$(error SEED=$(SEED): expected a whole number of at most nine digits))
$(if $(shell case '$(SEEDS)' in (*[!0-9]*|????*) echo bad;; esac),$(error SEEDS=$(SEEDS): expected a whole number of at most three digits))

SEEDED := $(if $(filter-out 1,$(SEED)),-seed$(SEED))
DRAWN := synthetic$(SEEDED)
named = $(if $(DATA$(1)),$(notdir $(patsubst %/,%,$(DATA$(1)))),$(if $(filter $(1),$(ABSENT)),$(call archived,NAME$(1)),synthetic))
NAME1 := $(call named,1)
NAME2 := $(call named,2)
NAME := $(NAME1)$(if $(filter-out $(NAME1),$(NAME2)),+$(NAME2))$(SEEDED)
# A scale may draw fewer cells than the paper's sets have: SYNTH_SCALE_SET, and a folder of its own.
SYNTH_smoke_1 := --counts 110,20,10,50,20 --size 40
SYNTH_smoke_2 := --counts 20,20,20,20,20 --size 60
CELLS_IN := $(WORK)/data/$(DRAWN)$(if $(SYNTH_$(SCALE)_1),-$(SCALE))
# (- is a set that is not here)
SET1 := $(or $(patsubst %/,%,$(DATA1)),$(call there,1,$(CELLS_IN)/dataset1),-)
SET2 := $(or $(patsubst %/,%,$(DATA2)),$(call there,2,$(CELLS_IN)/dataset2),-)
# Drawn, whatever the other sets are: cells photographed several times.
SYNTH_smoke_3 := --counts 40,20,20,20,20 --shots 4 --size 40
SYNTH_3 := --counts 120,80,80,100,100 --shots 4
SET3 := $(CELLS_IN)/dataset3
PLACE := $(WORK)$(if $(RUNS),/archived/$(call archived,HASH))
RUNS3 := $(PLACE)/runs/$(SCALE)/$(DRAWN)
# where equal runs of several experiments find each other
POOL := $(PLACE)/runs/pool
RUNS1 := $(PLACE)/runs/$(SCALE)/$(NAME1)$(SEEDED)
RUNS2 := $(PLACE)/runs/$(SCALE)/$(NAME)
RESULTS := $(PLACE)/results/$(SCALE)/$(NAME)$(PART)
FIGURES := $(PLACE)/figures/$(SCALE)/$(NAME)$(PART)
SHEETS := $(PLACE)/paper/$(SCALE)/$(NAME)$(PART)
JOBLIST := $(RESULTS)/jobs.txt
INPUTS := $(PLACE)/inputs.txt
UNPACKED := $(PLACE)/unpacked$(PART)
CELLS_HERE = $(patsubst %,%/dataset.json,$(filter-out -,$(SET1) $(SET2) $(SET3)))

# Nets of others in Fig. 6 whose weights the user brings; the others learn from drawn cells first.
WEIGHTS_TAKEN := alexnet vgg16 resnet18
GIVEN := $(strip $(foreach n,$(if $(PRETRAINED),$(WEIGHTS_TAKEN)),$(if $(wildcard $(PRETRAINED)/$(n).safetensors),$(n))))
$(if $(PRETRAINED),$(if $(GIVEN),,$(error PRETRAINED=$(PRETRAINED): found none of $(WEIGHTS_TAKEN:%=%.safetensors))))

# Every experiments/NAME.conf is an experiment and a target. These five have figures of their own below; all others share a table and a
# figure made of the labels in their confs, and those of which the report does not speak stand at its end.
OWN := begin scratch pretrain cv transfer
CLAIMS := $(filter-out $(OWN),$(patsubst experiments/%.conf,%,$(wildcard experiments/*.conf)))
TAKEN := help all deps again data test book tangle clean distclean storm fresh bench paper claims transfer-curve cost features samples diagrams figures plan cells runs places verdict pool \
  elsewhere gpu-check gpu-bundle gpu-kit gpu-paper gpu-tests pack-runs restore-runs status verify slurm slurm-check dist container-check
$(foreach e,$(filter $(TAKEN) fig%,$(CLAIMS)),$(error experiments/$(e).conf: found the name $(e), expected one that make has no other use for))
.PHONY: paper begin scratch pretrain cv transfer claims $(CLAIMS) transfer-curve cost features samples diagrams figures plan data-drawn runs cells

EXPERIMENT_GOALS := paper begin scratch pretrain cv transfer claims $(CLAIMS) transfer-curve cost features samples diagrams figures plan runs slurm
ifneq ($(filter $(EXPERIMENT_GOALS) $(WORK)/% $(PAPER),$(MAKECMDGOALS)),)

$(shell tools/product sweep $(RESULTS) $(FIGURES) $(SHEETS))

# Side by side without being asked: JOBS jobs at a time, unless the user gave -j.
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(JOBS)
endif

space := $() $()
RULES := $(PLACE)/jobs-$(SCALE)-seed$(SEED)$(SEEDS:%=-x%)$(subst $(space),,$(GIVEN:%=-%))$(PART).mk
# Looked at every time: a conf that went, or came with an old date, is no newer file.
$(RULES): experiments/jobs always
	@$(begin) SEED=$(SEED) SEEDS=$(SEEDS) GIVEN='$(GIVEN)' ONLY='$(ONLY)' HELD='$(if $(SOME),$(RUNS))' experiments/jobs $(if $(RUNS),--archived) $(SCALE) >$(new)/$(@F) $(update)
include $(RULES)
endif

# ---- cells ----
# draw SET,FLAGS: inside the new folder, so that the command which the set records bears no path of this machine
draw = $(call say,DRAW,$(@D)) $(begin-folder) (cd $(dir $(new-folder)) && $(abspath $(WBCSNET)) synth --set $(1) $(2) --seed $(SEED) $(notdir $(@D)) >/dev/null) $(keep-folder)
$(WORK)/data/%/dataset1/dataset.json: | $(WBCSNET)
	$(call draw,dataset1,$(SYNTH_$(SCALE)_1))
$(WORK)/data/%/dataset2/dataset.json: | $(WBCSNET)
	$(call draw,dataset2,$(SYNTH_$(SCALE)_2))
$(WORK)/data/%/dataset3/dataset.json: | $(WBCSNET)
	$(call draw,dataset1,$(or $(SYNTH_$(SCALE)_3),$(SYNTH_3)))
.PRECIOUS: $(WORK)/data/%/dataset.json

# A set of the user's own is never drawn.
define own_cells
$(2)/dataset.json:
	@echo "make: $(1)=$(2): found no dataset.json, expected a data set as wbcsnet import writes it" >&2
	@echo "  hint: wbcsnet import --help; DATA.md names sets and how to bring them in" >&2
	@exit 3
endef
$(if $(DATA1),$(eval $(call own_cells,DATA1,$(SET1))))
$(if $(DATA2),$(if $(filter $(SET1),$(SET2)),,$(eval $(call own_cells,DATA2,$(SET2)))))

# All sets, drawn where none was given.
cells: $(CELLS_HERE)

# ---- archived runs ----
ifneq ($(RUNS),)
# The stamp is older than what was unpacked, which is therefore up to date.
$(UNPACKED): $(RUNS) $(INPUTS) experiments/archive
	$(call say,UNPACK,$<) $(begin) touch $(new)/$(@F) && ONLY='$(ONLY)' RUNS1=$(RUNS1) RUNS2=$(RUNS2) RUNS3=$(RUNS3) experiments/archive unpack $< $(FIGURES)/fig9 $(SET1) $(SET2) $(SET3) $(keep)
endif

# ---- experiments: runs, then results ----
$(JOBLIST): $(RULES)
	@$(call begin-with,$(@F),$(JOBS_ALL)) true $(keep)
# What a run's path does not say: whose cells they are (two folders may share a name, and cells may be imported again), the engine,
# the seed. This file says it, is looked at every time, and is written only when that has changed; one file for all scales and names,
# since several reports share runs.
$(INPUTS): always | $(CELLS_HERE)
	@$(begin) { for d in $(filter-out -,$(SET1) $(SET2) $(SET3)); do realpath $$d; [ ! -e $$d/labels.csv ] || sha256sum <$$d/labels.csv; done; \
	  echo device $(DEVICE) seed $(SEED) $(SEEDS) $(if $(GIVEN),given $(PRETRAINED) $(GIVEN)); } >$(new)/$(@F) $(update)
# When the rules change (another scale file, another arm) or the inputs do, every job is looked at again; only those whose own
# command has changed are run.
# A record is written whole or not at all, so a stopped make need not remove it.
.PRECIOUS: $(JOBS_ALL)
$(JOBS_ALL): $(if $(RUNS),,$(RULES) $(INPUTS)) | $(JOBLIST)
# A GPU engine is made, or made anew, with the program; one that WBCSNET_CUDA names is the user's business.
ENGINE := $(if $(filter cuda%,$(DEVICE)),$(if $(RUNS)$(WBCSNET_CUDA),,$(PLUGIN)))
ifneq ($(ENGINE),)
$(JOBS_ALL): | $(ENGINE)
endif

# A change in how runs are summed up makes the results again; it trains nothing.
SUMMARY_C := $(foreach c,stats values summarise verdict,generated/results/$(c).c)
define experiment
$(RESULTS)/$(1)/results.json: $$(RUNS_$(1)) $(SUMMARY_C) $(INPUTS) | $(WBCSNET)
	$$(call say,SUM,$$@) $$(call begin-with,runs.txt,$$(RUNS_$(1))) $(WBCSNET) summarise --experiment $(1) --out $$(new) --list $$(new)/runs.txt $$(keep)
$(RESULTS)/$(1)/results.tex: $(RESULTS)/$(1)/results.json ;
endef
# What the block costs at each place, counted at the paper's sizes.
$(RESULTS)/places/results.tex: $(RESULTS)/places/results.json ;
$(RESULTS)/places/results.json: experiments/places experiments/place.conf experiments/nets/family.net | $(WBCSNET)
	@$(begin) experiments/places $(WBCSNET) $(new) $(keep)

ifneq ($(RECORD),)
RECORDED := $(WORK)/record
$(RECORDED)/done: $(RECORD) experiments/record $(SUMMARY_C) | $(WBCSNET)
	$(call say,RECORD,$<) $(begin-folder) experiments/record $< $(WBCSNET) $(new-folder) && touch $(new-folder)/done && rm -rf $(@D) $(keep-folder)
endif

EXPERIMENTS := $(or $(EXPERIMENTS_HERE),$(OWN) $(CLAIMS))
# have EXPERIMENTS: are they all part of this report?
have = $(if $(filter-out $(EXPERIMENTS),$(1)),,yes)
have-these = $(filter $(EXPERIMENTS),$(1))
$(foreach e,$(EXPERIMENTS),$(eval $(call experiment,$(e))))
RESULTS_JSON := $(EXPERIMENTS:%=$(RESULTS)/%/results.json)

$(RESULTS)/verdict/verdict.tex: $(RESULTS_JSON) $(RESULTS)/places/results.json $(SUMMARY_C) experiments/published.csv experiments/claims.csv $(RECORDED:%=%/done) $(wildcard $(RESULTS)/elsewhere/results.json) | $(WBCSNET)
	$(call say,JUDGE,$@) $(begin) $(WBCSNET) verdict --published experiments/published.csv --claims experiments/claims.csv --scale $(SCALE) $(RECORDED:%=--record %) --out $(new) \
	  $(RESULTS_JSON) $(RESULTS)/places/results.json $(wildcard $(RESULTS)/elsewhere/results.json) $(keep)

## begin: how training starts under initialisers and readings, over seeds (quick: 20 s)
begin: $(RESULTS)/begin/results.json $(RESULTS)/begin/arms.tex
	@experiments/arms --start begin $(RESULTS)
## scratch: train both nets on all of Dataset1: Fig. 4 and 5, cost (quick: 30 s)
scratch: $(RESULTS)/scratch/results.json $(FIGURES)/fig4.tex $(FIGURES)/fig5.tex
## pretrain: first weights for the nets of Fig. 6 that are fine-tuned or frozen, from drawn cells (quick: 20 s)
pretrain: $(RESULTS)/pretrain/results.json
## cv: cross-validation on Dataset1: Fig. 6 and 7, Table 1 (quick: 3 min)
cv: $(RESULTS)/cv/results.json $(FIGURES)/fig6.tex $(FIGURES)/fig7.tex
## transfer: Dataset2 from pre-trained weights and from scratch: Fig. 8 (quick: 1 min, and scratch)
transfer: $(RESULTS)/transfer/results.json $(FIGURES)/fig8.tex
## claims: what the paper says of its parts and shows no experiment for: all below, and begin (quick: 11 min)
claims: $(CLAIMS) begin cost
## ablation: residual block, batch norm, dropout: none, each alone, each taken away, all (quick: 70 s)
## place: the residual block at each convolution, accuracy against work (quick: 60 s)
## readings: the readings of the net, a ReLU after FC1, padding (quick: 50 s)
## size: pictures of 28 to 150 pixels (quick: 28 to 70; 60 s)
## recipe: the recipe, today's habit, and each of its changes alone (quick: 60 s)
## significance: the two nets over repeated folds (quick: 50 s)
## transfer-curve: transfer, and how many cells it saves (quick: 40 s, and scratch)
transfer-curve: curve
## cost: what each system of Fig. 6 costs, and what it gives for it (quick: 3 min, with cv)
cost: $(RESULTS)/cv/results.json $(FIGURES)/cost.tex
	@experiments/arms --cost cv $(RESULTS)
## leakage: photographs of one cell in two folds, on drawn cells (quick: 20 s)
$(CLAIMS): %: $(RESULTS)/%/results.json $(FIGURES)/%.tex
	@experiments/arms --text $* $(RESULTS)
## features: what the filters of a trained WBCsNet-2 answer to one neutrophil: Fig. 9 (a second, and scratch)
features: $(FIGURES)/fig9.tex
## samples: a cell of each class: Fig. 1 (a second)
samples: $(FIGURES)/fig1.png
## diagrams: the nets, drawn from their files: Fig. 2 and 3 (a second)
diagrams: $(FIGURES)/fig2.tex $(FIGURES)/fig3.tex

# ---- figures ----
# What is stamped on every figure and page: the kind of cells is asked of the data set when a recipe runs.
kind = $(if $(filter $(1),$(ABSENT)),real,$(shell tools/json kind $(SET$(1))/dataset.json))
# gnuplot SCRIPT, SET, SETTINGS: draw $@ for LaTeX. gnuplot dates its output: the date goes. Whatever gnuplot says is an error, but for the
# room that it gives to equal numbers, and for what a report of a part lacks.
PARTIAL := $(ONLY)$(SOME)
LET_PASS := ^$$\|empty [xy] range$(if $(PARTIAL),\|skipping\|unreadable\|cannot find\|cannot open\|no such file)
define gnuplot
$(call say,PLOT,$@) $(begin) { LC_ALL=C gnuplot -e "results='$(RESULTS)'; record='$(RECORDED)'; whose='$(WHOSE)'; stamp='scale $(SCALE), $(call kind,$(2)) cells'; out='$(new)/drawn'; $(3)" $(1) 2>$(new)/said || { cat $(new)/said >&2; false; }; } && \
  { ! grep $(if $(PARTIAL),-i 'warning',.) $(new)/said | grep -iv '$(LET_PASS)' >&2 || { echo 'make: $@: gnuplot warned, or lacked data' >&2; false; }; } && \
  sed '/^%/d' $(new)/drawn >$(new)/$(@F) && rm $(new)/drawn $(new)/said $(if $(PARTIAL),,&& { grep -q 'gp path\|gp mark' $(new)/$(@F) || { echo 'make: $@ is empty' >&2; false; }; }) $(keep)
endef
# figure NUMBER, SET, EXPERIMENTS, FILES: figures/figN.gp, which loads FILES, with a folder of results
define figure
$(FIGURES)/fig$(1).tex: figures/fig$(1).gp $(4) figures/style.gp experiments/published.csv $(3:%=$(RESULTS)/%/results.json) $(RECORDED:%=%/done)
	$$(call gnuplot,$$<,$(2))
endef
$(eval $(call figure,4,1,$(call have-these,scratch),figures/training.gp))
$(eval $(call figure,5,1,$(call have-these,scratch),figures/training.gp))
$(eval $(call figure,6,1,cv))
$(eval $(call figure,7,1,cv))
$(FIGURES)/fig7.tex: $(RESULTS)/verdict/verdict.tex
$(FIGURES)/fig6.tex: $(RESULTS)/cv/arms.dat
$(eval $(call figure,8,2,transfer))

$(FIGURES)/fig1.png: $(INPUTS) | $(SET1)/dataset.json $(WBCSNET)
	$(call say,DRAW,$@) $(begin) $(WBCSNET) samples $(SET1) --out $(new)/$(@F) --across >/dev/null $(keep)

$(FIGURES)/%.json: experiments/nets/%.net | $(WBCSNET)
	$(Q)$(begin) $(WBCSNET) describe --json $< >$(new)/$(@F) $(keep)
$(FIGURES)/fig2.tex: $(FIGURES)/wbcsnet2.json experiments/diagram
	$(call say,DRAW,$@) $(begin) experiments/diagram block $< >$(new)/$(@F) $(keep)
$(FIGURES)/fig3.tex: $(FIGURES)/wbcsnet.json $(FIGURES)/wbcsnet2.json experiments/diagram
	$(call say,DRAW,$@) $(begin) experiments/diagram nets $(filter %.json,$^) >$(new)/$(@F) $(keep)

# The mosaics of one neutrophil through the trained WBCsNet-2, and the LaTeX that places them.
NINE_RUN := $(RUNS1)/scratch/wbcsnet2/seed$(SEED)/foldall
$(FIGURES)/fig9.tex: $(FIGURES)/fig9/done experiments/fig9
	@$(begin) experiments/fig9 $(FIGURES)/fig9 >$(new)/$(@F) $(keep)
ifeq ($(RUNS),)
$(FIGURES)/fig9/done: $(NINE_RUN)/run.json | $(SET1)/dataset.json $(WBCSNET)
	$(call say,DRAW,$(@D)) $(begin-folder) mkdir $(new-folder) && w=$(NINE_RUN)/weights.safetensors && { [ ! -e $$w ] || \
	  $(WBCSNET) features --weights $$w --data $(SET1) --out $(new-folder) --device $(DEVICE) --threads $(THREADS) >/dev/null; } && \
	  ls $(new-folder) >$(dir $(new-folder))all && mv $(dir $(new-folder))all $(new-folder)/done.with && touch $(new-folder)/done && rm -rf $(@D) $(keep-folder)
else
$(FIGURES)/fig9/done: $(UNPACKED) ;
endif

# The claims share one table and one figure, made of the labels in their confs.
$(RESULTS)/%/arms.tex: $(RESULTS)/%/arms.dat ;
$(RESULTS)/%/arms.dat: $(RESULTS)/%/results.json experiments/%.conf experiments/arms
	@$(begin) experiments/arms $* $(RESULTS) $(new) $(keep)
.PRECIOUS: $(RESULTS)/%/arms.tex $(RESULTS)/%/arms.dat
$(FIGURES)/%.tex: $(RESULTS)/%/arms.dat figures/arms.gp figures/style.gp
	$(call gnuplot,figures/arms.gp,$(DATA_$*),arms='$<'; cost=$(COST_$*))
$(FIGURES)/curve.tex: $(RESULTS)/curve/arms.dat figures/curve.gp figures/style.gp
	$(call gnuplot,figures/curve.gp,2,arms='$<')
$(RESULTS)/begin/arms.tex: $(RESULTS)/begin/results.json experiments/begin.conf experiments/arms experiments/published.csv
	@$(begin) experiments/arms begin $(RESULTS) $(new) $(keep)
$(FIGURES)/cost.tex: $(RESULTS)/cv/arms.dat figures/cost.gp figures/style.gp
	$(call gnuplot,figures/cost.gp,1,arms='$<')
CLAIM_FIGURES := $(patsubst %,$(FIGURES)/%.tex,$(filter $(EXPERIMENTS),$(CLAIMS)) $(if $(call have,cv),cost))
NUMBERED := 2 3 $(if $(call have,scratch)$(RECORDED),4 5) $(if $(call have,cv),6 7) $(if $(call have,transfer),8) $(if $(filter $(NINE_RUN)/run.json,$(JOBS_ALL)),9)

# ---- other people's cells ----
# Sets of several laboratories: DATA1, DATA2 and DATA3 where they are given, else drawn ones: three stains, two magnifications.
ELSEWHERE := $(PLACE)/elsewhere/$(SCALE)/$(if $(DATA1)$(DATA2)$(DATA3),$(NAME)$(if $(DATA3),+$(notdir $(patsubst %/,%,$(DATA3)))),$(DRAWN))
plain_name = $(or $(shell echo '$(notdir $(patsubst %/,%,$(1)))' | tr A-Z a-z | tr -cd 'a-z0-9\n' | sed 's/^[^a-z]/set&/'),set)
ELSEWHERE_SETS := $(if $(DATA1)$(DATA2)$(DATA3),$(foreach d,$(DATA1) $(DATA2) $(DATA3),$(call plain_name,$(d))=$(patsubst %/,%,$(d))),\
  $(foreach s,wright giemsa maygrunwald,$(s)=$(CELLS_IN)/elsewhere/$(s)))
SYNTH_FAR := --counts 200,100,60,150,100
SYNTH_smoke_far := --counts 20,16,12,16,14 --size 40
far = $(call draw,dataset1,$(or $(SYNTH_$(SCALE)_far),$(SYNTH_FAR)) $(1))
$(CELLS_IN)/elsewhere/wright/dataset.json: | $(WBCSNET)
	$(call far,--stain wright)
$(CELLS_IN)/elsewhere/giemsa/dataset.json: | $(WBCSNET)
	$(call far,--stain giemsa --zoom 1.3)
$(CELLS_IN)/elsewhere/maygrunwald/dataset.json: | $(WBCSNET)
	$(call far,--stain may-grunwald)
$(if $(DATA3),$(if $(filter $(DATA1) $(DATA2),$(DATA3)),,$(eval $(call own_cells,DATA3,$(patsubst %/,%,$(DATA3))))))

## elsewhere: train on each set, test on every other, and what helps (quick: 10 min; DATA1=, DATA2=, DATA3=, else drawn stains; the report shows it)
.PHONY: elsewhere
elsewhere: $(foreach s,$(ELSEWHERE_SETS),$(lastword $(subst =, ,$(s)))/dataset.json) | $(WBCSNET) $(ENGINE)
	$(Q)mkdir -p $(ELSEWHERE) $(RESULTS)/elsewhere
	$(Q)experiments/elsewhere/rules $(SCALE) $(ELSEWHERE)/runs $(ELSEWHERE)/results $(ELSEWHERE_SETS) >$(ELSEWHERE)/rules.mk
	+$(Q)$(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(JOBS)) -f $(ELSEWHERE)/rules.mk elsewhere WBCSNET=$(WBCSNET) DEVICE=$(DEVICE) THREADS=$(THREADS) LAUNCH='$(LAUNCH)' Q=$(Q)
	$(Q)experiments/elsewhere/table $(ELSEWHERE)/results $(RESULTS)/elsewhere
	$(Q)experiments/elsewhere/table --text $(ELSEWHERE)/results
# What was run before the report was set is in it.
RUN_ELSEWHERE := $(wildcard $(RESULTS)/elsewhere/results.json)
$(FIGURES)/elsewhere.tex: $(RESULTS)/elsewhere/elsewhere.dat figures/elsewhere.gp figures/style.gp
	$(call gnuplot,figures/elsewhere.gp,1,arms='$<')

# What the two-step pipeline cuts out of the cells.
$(FIGURES)/segments.png: $(INPUTS) | $(SET1)/dataset.json $(WBCSNET)
	$(call say,DRAW,$@) $(begin) $(WBCSNET) classical --data $(SET1) --pictures $(new)/$(@F) --per-class 6 >/dev/null $(keep)

CELL_FIGURES := $(call there,1,$(FIGURES)/fig1.png $(FIGURES)/segments.png)
figures: $(CLAIM_FIGURES) $(CELL_FIGURES) $(foreach n,$(NUMBERED),$(FIGURES)/fig$(n).tex)

# ---- the report ----
ifeq ($(SCALE)$(RUNS)$(PLAN),full)
$(JOBS_ALL): | plan
endif
## plan: say which jobs are left at this SCALE and how long they take here (3 min; for full it goes before paper)
plan: | $(SET1)/dataset.json $(SET2)/dataset.json $(SET3)/dataset.json $(WBCSNET)
	@SEED=$(SEED) SEEDS=$(SEEDS) GIVEN='$(GIVEN)' ONLY='$(ONLY)' DEVICE=$(DEVICE) RUNS1=$(RUNS1) RUNS2=$(RUNS2) RUNS3=$(RUNS3) experiments/plan $(SCALE) $(WBCSNET) $(JOBS) $(THREADS) $(SET1) $(SET2) $(SET3)

## status: what is done, running, stopped, failed and left at this SCALE, and how long the rest takes; build/status-SCALE.html shows it too (a second; JSON=1)
.PHONY: status
seen = SEED='$(SEED)' SEEDS='$(SEEDS)' GIVEN='$(GIVEN)' ONLY='$(ONLY)' RUNS1='$(RUNS1)' RUNS2='$(RUNS2)' RUNS3='$(RUNS3)' \
  PROGRAM='$(WBCSNET)' SET1='$(SET1)' SET2='$(SET2)' SET3='$(SET3)' experiments/status
status: $(WORK)/status-$(SCALE).html
$(WORK)/status-$(SCALE).html: always
	@$(begin) $(seen) $(if $(filter 1,$(JSON)),--json) $(SCALE) $(new)/$(@F) $(keep)

# The jobs that are left, for a cluster's queue. Each task is this makefile with the run's own goal.
.PHONY: slurm
ARRAY ?= 1000
TASK ?= 600
SBATCH ?=
SUBMIT ?=
$(foreach k,ARRAY TASK TIME_LIMIT,$(if $(shell case '$($(k))' in (''|*[!0-9]*|??????????*) echo bad;; esac),$(error $(k)=$($(k)): expected a whole number)))
IN_QUEUE := wbcsnet-$(SCALE)$(PART)
slurm_threads = $(if $(filter command environment,$(firstword $(origin THREADS))),$(THREADS),4)
## slurm: array scripts for Slurm in build/slurm, and the lines that hand them over; SUBMIT=1 does so (smoke 20 s, full 5 min: plan's measuring)
slurm: $(RULES) $(INPUTS) $(JOBLIST) | cells $(WBCSNET) $(ENGINE)
	@SCALE='$(SCALE)' SEED='$(SEED)' SEEDS='$(SEEDS)' GIVEN='$(GIVEN)' ONLY='$(ONLY)' DEVICE='$(DEVICE)' RUNS1='$(RUNS1)' RUNS2='$(RUNS2)' RUNS3='$(RUNS3)' \
	  ARRAY='$(ARRAY)' TASK='$(TASK)' TIME_LIMIT='$(filter-out 0,$(TIME_LIMIT))' SBATCH='$(SBATCH)' \
	  KNOBS="$(foreach k,SCALE SEED SEEDS DEVICE DATA1 DATA2 PRETRAINED ONLY WORK PAPER,$(if $($(k)),$(k)='$($(k))'))" \
	  experiments/slurm write $(PLACE)/slurm/$(SCALE)/$(NAME)$(PART) $(IN_QUEUE) $(WBCSNET) $(or $(filter-out 0,$(shell echo $$((`nproc` / $(slurm_threads))))),1) $(slurm_threads) $(SET1) $(SET2) $(SET3)$(if $(filter 1,$(SUBMIT)), && \
	  experiments/slurm submit $(PLACE)/slurm/$(SCALE)/$(NAME)$(PART) $(IN_QUEUE))

.PHONY: slurm-check
## slurm-check: the smoke paper on a Slurm of two nodes that is set up here, with a limit, a drained and a lost node (6 min; skips where there is no Slurm)
slurm-check: $(B)/wbcsnet
	@PROGRAM=$(B)/wbcsnet tests/slurm/check

# N runs of the record trained again, when DATA1 or DATA2 bring its cells (PICK=1 picks others); else the runs that are here held against the
# list of the paper's on drawn cells, which there is for the scales quick and smoke.
N ?= 1
PICK ?= 1
HELD ?= experiments/records/$(SCALE).csv
.PHONY: verify
## verify: are the runs here those of the record, bit by bit? (seconds, after make paper at quick or smoke; with DATA1= and DATA2=: trains N=1 runs of RECORD= again)
verify: $(WBCSNET) $(if $(DATA1)$(DATA2),cells)
	@$(if $(DATA1)$(DATA2),PICK='$(PICK)' KNOBS='$(foreach k,DATA1 DATA2 RECORD N PICK,$(k)=$($(k)))' THREADS='$(if $(filter command environment,$(firstword $(origin THREADS))),$(THREADS))' experiments/verify again '$(RECORD)' '$(N)' $(WBCSNET) $(WORK)/verify $(SET1) $(SET2) $(SET3),\
	experiments/verify held $(HELD) $(RUNS1) $(RUNS2) $(RUNS3))

# Every run, and the mosaics, which need a run's weights: all that cannot be made again without training.
runs: $(JOBS_ALL) $(if $(filter 9,$(NUMBERED)),$(FIGURES)/fig9/done)

PAPER_PARTS := $(if $(RUN_ELSEWHERE),$(FIGURES)/elsewhere.tex) $(CELL_FIGURES) $(foreach n,$(NUMBERED),$(FIGURES)/fig$(n).tex) $(CLAIM_FIGURES) \
  $(patsubst %,$(RESULTS)/%/arms.tex,$(filter $(EXPERIMENTS),$(CLAIMS) begin cv)) $(EXPERIMENTS:%=$(RESULTS)/%/results.tex) $(RESULTS)/places/results.tex $(RESULTS)/verdict/verdict.tex
$(SHEETS)/paper.pdf: paper/paper.tex paper/refs.bib paper/diagram.sty experiments/typeset tools/report $(PAPER_PARTS)
	$(call say,LATEX,$@) $(begin) ONLY='$(ONLY)' SOME='$(SOME)' WHOSE='$(WHOSE)' $(if $(RUNS),REVISED='$(or $(call archived,DATE),unknown)') PROGRAM=$(WBCSNET) experiments/typeset $(new) $(RESULTS) $(FIGURES) $(SCALE) $(call kind,1) $(call kind,2) $(keep)
$(PAPER): $(SHEETS)/paper.pdf always
	@$(begin) cp $< $(new)/$(@F) $(update)
$(call broken,$(RESULTS)/* $(FIGURES) $(FIGURES)/fig9 $(SHEETS)): always

## paper: everything, and paper/paper.pdf (smoke 40 s, quick 15 min, full: make plan says how long; a second time seconds)
paper: $(PAPER)
	@cat $(RESULTS)/verdict/findings.txt
	@echo "the report: $(PAPER) (scale $(SCALE), cells: $(NAME)$(if $(ONLY),; only $(ONLY))$(if $(SOME),; $(subst /, of ,$(SOME)) runs))"
