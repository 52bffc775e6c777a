# SPDX-License-Identifier: Apache-2.0
#
#   make demo [BROKER=embedded|kafka]   336,776 real records through the producer and back out of another client's consumer
#   make test [ARGS="-k word"]          every suite, real Kafka included; ends with pytest's summary
#   make bench [ARGS="..."]             the benchmarks, in full
#   make soak [ARGS="..."]              10,000,000 records through 50 kill -9 of three Kafka nodes, all audited: 20 minutes
#   make fuzz                           hostile bytes at every parser, in turns, until something is found; fresh seeds,
#                                       printed. A turn is some minutes; PKF_SEED and HOSTILE_SEED repeat one
#   make lint                           ruff, mypy, cython-lint, clang-format: the lint part of `make test` alone
#   make format                         put C files and imports into the shape `make lint` wants
#   make debug [ARGS="..."]             build with the C library's own checks and run what needs no Java; the next
#                                       `make test` builds for speed again
#   make clean                          remove what was built, and .venv
#
# Everything needed is installed on the way; PYTHON=/path/to/python3 chooses the interpreter.

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
BROKER ?= embedded
ARGS ?=

.PHONY: demo test bench soak fuzz lint format debug build clean codecs java

test: build java
	$(PY) -m pytest tests benchmarks --quick --benchmark-quiet $(ARGS)

demo: build $(if $(filter kafka,$(BROKER)),java)
	$(PY) -m tools.demo --broker $(BROKER) $(ARGS)

bench: build java
	$(PY) -m pytest benchmarks $(ARGS)

soak: build java
	$(PY) -m tools.soak $(ARGS)

fuzz: build
	@set -e; while :; do $(MAKE) -s -C tests/csrc fuzz-turn; \
		HOSTILE_CASES=400000 HOSTILE_ANSWERS=10000 $(PY) -m pytest -q -s --show-capture=no tests/hostile $(ARGS); done

lint: build
	$(PY) -m pytest tests/test_lint.py $(ARGS)

format: build
	find csrc tests/csrc benchmarks -name '*.[ch]' -not -path '*/bin/*' -exec $(VENV)/bin/clang-format -i {} +
	$(PY) -m ruff check -q --fix .

debug: export PKF_DEBUG = 1
debug: build
	$(PY) -m pytest tests --ignore=tests/cluster -m "not cluster" $(ARGS)

# Recompiles what changed and nothing else.
build: codecs $(VENV)/.installed
	@$(PY) -W ignore setup.py -q build_ext --inplace

codecs:
	@tools/machine.sh codecs

java:
	@tools/machine.sh java

# The build tools are in the environment, so pip needs none of its own.
$(VENV)/.installed: pyproject.toml | codecs $(PY)
	$(PIP) install -q --upgrade "setuptools>=70.1" "cython>=3.1"
	$(PIP) install -q --no-build-isolation -e '.[test,demo]'
	@touch $@

$(PY):
	@python=$$(tools/machine.sh python) && echo "$$python -m venv $(VENV)" && "$$python" -m venv $(VENV)

clean:
	rm -rf build $(VENV) pykafka_fast/_core/*.so *.egg-info
	[ ! -f tests/csrc/Makefile ] || $(MAKE) -C tests/csrc clean
