# book.mk: weave the book. Included by the Makefile.
## book: weave the program as a book, build/src.pdf and build/site/index.html (2-3 min; a minute of it runs the program at a small scale)
.PHONY: book
book: $(B)/src.pdf $(B)/site/index.html

# What the book shows is made by the program just before: cells, runs, pictures, printed output, and the record's numbers.
MADE := $(B)/book/made/done
$(MADE): $(B)/wbcsnet tools/made tools/tour tools/beliefs tools/sketches tools/Pictures.pm tools/bmp2png tools/dealpicture experiments/record experiments/records/full/runs.tar.gz \
  experiments/published.csv experiments/claims.csv experiments/diagram experiments/places experiments/status experiments/jobs tests/emu/plant figures/style.gp figures/book.gp $(wildcard experiments/nets/*.net experiments/recipes/*.conf)
	$(call say,MAKE,$(@D)) $(begin-folder) tools/made $< $(new-folder) && touch $(new-folder)/done && rm -rf $(@D) $(keep-folder)

# The date inside the PDF is the last commit's, so that the same source gives the same bytes.
BOOK_DATE := $(shell tools/version date)
$(B)/src.pdf: $(BOOK) tools/book paper/book.tex paper/book.sty tools/definitions tools/highlight tools/weave paper/refs.bib $(MADE)
	$(call say,WEAVE,$@) SOURCE_DATE_EPOCH=$(BOOK_DATE) tools/weave pdf src.nw $@
# After the PDF, whose numbers it takes. The report of the same SCALE and cells, where make paper has made it, is the first chapter.
REPORT := $(wildcard $(SHEETS)/report.tex)
$(eval $(call remember,$(B)/report,$(REPORT)))
$(B)/site/index.html: $(B)/src.pdf paper/book.css paper/book.js paper/book.sty tools/definitions tools/site tools/weave $(B)/report $(REPORT)
	$(call say,WEAVE,$(@D)) SOURCE_DATE_EPOCH=$(BOOK_DATE) REPORT='$(if $(REPORT),$(SHEETS))' tools/weave site src.nw $(@D)

## dist: one archive with the source, the generated C, the woven book, the site, and the report where one was made (3 min)
.PHONY: dist
DIST ?= $(B)/wbcsnet-$(VERSION).tar.gz
dist: $(B)/src.pdf $(B)/site/index.html
	@DIST='$(DIST)' VERSION='$(VERSION)' READ='$(B)/src.pdf $(B)/site $(wildcard $(PAPER))' tools/dist
