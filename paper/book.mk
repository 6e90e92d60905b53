# book.mk: weave the book. Included by the Makefile.
## book: weave the program as a book, build/src.pdf and build/src.html (30-40 s)
.PHONY: book
book: $(B)/src.pdf $(B)/src.html

# The date inside the PDF is the last commit's, so that the same source gives the same bytes.
BOOK_DATE := $(shell tools/version date)
$(B)/src.pdf: $(BOOK) tools/book paper/book.tex paper/book.sty tools/definitions tools/highlight tools/weave
	$(call say,WEAVE,$@) SOURCE_DATE_EPOCH=$(BOOK_DATE) tools/weave pdf src.nw $@
# After the PDF, whose numbers the pictures cite.
$(B)/src.html: $(B)/src.pdf paper/book.hva paper/book.css paper/book.sty tools/definitions tools/weave
	$(call say,WEAVE,$@) SOURCE_DATE_EPOCH=$(BOOK_DATE) tools/weave html src.nw $@
