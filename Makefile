# A thin front for meson. `make demo` and `make test` install what is missing and say what.
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build/release
# With clang 14 the static library would hold nothing but LLVM's own form, which no linker takes by itself.
LTO ?= $(shell $(CC) --version 2>/dev/null | grep -qi clang && echo false || echo true)

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@scripts/bootstrap build
	@meson setup $(BUILD) --buildtype=release -Db_lto=$(LTO) --prefix=$(PREFIX) -Dtests=false

help:
	@echo 'make                 the library and the program, in build/release'
	@echo 'make demo            five connections that need no network'
	@echo 'make install         PREFIX=/usr/local DESTDIR='
	@echo 'make test            everything that must hold; LONG=1 for hours. scripts/test STEP... runs single steps'
	@echo 'make fuzz            TARGETS="dns tls" FUZZ_SECONDS=600 MERGE=1'
	@echo 'make bench           against plain programs; ROWS="tcp-pingpong flood" OUT=FOLDER'
	@echo 'make happy-eyeballs  which family wins when IPv6 is slow, beside curl'
	@echo 'make coverage        which lines of src/ the tests reach'
	@echo 'make format          lays out the sources; make check-includes: who may include whom'
	@echo 'make clean           removes build/'
	@echo 'How to work on it: CONTRIBUTING.md'

demo: all
	@$(BUILD)/tools/taps/taps demo

# LONG=1: the random tests and the sweeps go on for hours instead of minutes.
test:
	@scripts/bootstrap test
	@$(if $(filter 1,$(LONG)),TAPS_LONG=1) scripts/test

# TARGETS="dns tls": only these. FUZZ_SECONDS=3600: for so long each, not 60; LONG=1: 600. MERGE=1: what is new goes into
# fuzz/corpus.
fuzz:
	@scripts/bootstrap fuzz
	@$(if $(filter 1,$(LONG)),TAPS_LONG=1) $(if $(FUZZ_SECONDS),FUZZ_SECONDS=$(FUZZ_SECONDS)) scripts/fuzz $(TARGETS)
	@$(if $(filter 1,$(MERGE)),scripts/fuzz --merge $(TARGETS))

# ROWS="tcp-pingpong flood": only these. OUT=docs/bench: the figures and the plot go there.
bench: all
	@scripts/bench $(BUILD) $(if $(ROWS),--rows "$(ROWS)") $(if $(OUT),--out "$(OUT)")

# Which family wins when IPv6 is slow, beside curl: docs/bench/happy-eyeballs.md.
happy-eyeballs: all
	@bench/lab/happy_eyeballs.py --taps $(BUILD)/tools/taps/taps --out docs/bench

install: all
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)
	@[ -n "$(DESTDIR)" ] || ldconfig 2>/dev/null || true

clean:
	@rm -rf build

format:
	@scripts/check-format --fix

check-includes:
	@scripts/check-includes

coverage:
	@scripts/bootstrap coverage
	@scripts/coverage

.PHONY: all help demo test fuzz bench happy-eyeballs install clean format check-includes coverage
