# `make demo`, `make test` and `make docs` do all the set-up on a fresh machine: a virtual environment, the install, then the run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# What fulora needs is installed; and what tests, checks and the site need as well.
INSTALLED := $(VENV)/installed
READY := $(VENV)/ready
MAKEFLAGS += --jobs=2  # the checks run beside the tests

.PHONY: demo test test-quick test-all pytest check docs gpu clean

demo: $(INSTALLED)  ## the whole study on phantoms, on a CPU, offline
	$(BIN)/fulora run demo

test: SELECTED = not heavy
test: check pytest  ## the checks and every promise, in minutes

test-quick: SELECTED = not slow and not heavy and not ray and not real_data
test-quick: pytest  ## the quick tests alone, for the loop while writing

test-all: check pytest  ## what CI runs: the checks and all tests, those that repeat at full size too

pytest: $(READY)  ## all tests, or those whose marks fit SELECTED, and the ten slowest
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal --durations=10 -m "$(SELECTED)"

check: $(READY)  ## linter, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## the site, in site/; warnings and links that lead nowhere are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html"

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing fulora into $(VENV): up to 3.3 GB are downloaded once (Linux with CUDA libraries), 6.6 GB on the disk."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint constraints.txt --editable .
	touch $@

$(READY): $(INSTALLED)
	@echo "Installing the tools of tests and documentation: another 0.3 GB is downloaded once."
	$(BIN)/pip install --constraint constraints.txt --editable ".[dev]"
	touch $@

gpu:  ## what this machine's GPU does, in nine minutes at most; installs nothing
	PYTHONPATH=. $(firstword $(wildcard $(BIN)/python) $(PYTHON)) benchmarks/gpu.py

clean:  ## remove the environment and all artifacts
	rm -rf $(VENV) work site
