# wbcsnet: skeleton; knobs documented here
CC ?= cc
V ?= 0
LINES ?=
SANITIZE ?=
B := build
CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow
CPPFLAGS += -Igenerated -D_GNU_SOURCE -DWBCSNET_VERSION='"$(shell git describe --always --dirty 2>/dev/null || echo unknown)"'
ALLC := $(CFLAGS) -std=c11 $(WARN) -ffp-contract=off -fopenmp
SRC := $(wildcard generated/*.c)
OBJ := $(SRC:generated/%.c=$(B)/obj/%.o)
LIBS := -ltiff -lpng -ljpeg -ldnnl -lopenblas -lm -ldl

$(B)/wbcsnet: $(OBJ)
	$(CC) $(ALLC) -o $@ $^ $(LIBS)
$(B)/obj/%.o: generated/%.c $(wildcard generated/*.h)
	@mkdir -p $(@D)
	$(CC) $(ALLC) $(CPPFLAGS) -c -o $@ $<
.PHONY: tangle
tangle:
	tools/tangle src.nw generated
.DELETE_ON_ERROR:
$(B)/tests/%.t: tests/%.c tests/tap.h $(filter-out $(B)/obj/main.o,$(OBJ))
	@mkdir -p $(@D)
	$(CC) $(ALLC) $(CPPFLAGS) -Itests -o $@ $< $(filter-out $(B)/obj/main.o,$(OBJ)) $(LIBS)
