# `make demo` and `make test` do all the set-up on a fresh machine: a virtual environment, the install, then the run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test check clean

demo: $(READY)  ## the whole study on phantoms, on a CPU, offline
	$(BIN)/fulora run demo

test: $(READY) check  ## everything CI runs: on all cores, then what needs the machine for itself
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --dist worksteal -m "not alone"
	$(BIN)/python -m pytest -m alone

check: $(READY)  ## linter, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:  ## remove the environment and all artifacts
	rm -rf $(VENV) work
