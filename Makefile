# All that a fresh machine needs is Python 3.11+ and make. `make demo` and `make test` create .venv
# themselves, and install again when the dependencies change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Each file of tests runs in one process, so that its fixtures are made once.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: demo find test quick search lint format bench clean

demo: $(VENV)/.installed
	$(BIN)/unscene demo

# An index of footage, and how well it finds and names actions: ../shared/data if it is there,
# otherwise generated figures.
find: $(VENV)/.find
	$(BIN)/python experiments/find.py --out runs/find/rows.jsonl

# All tests; the last line is the share of statements that they execute, child processes not counted.
test: $(VENV)/.tested lint
	$(PYTEST) --cov --cov-report=
	@echo "coverage: $$($(BIN)/coverage report --format=total) %"

# All tests but the slow ones, in less than a minute.
quick: $(VENV)/.tested
	$(PYTEST) -m "not slow"

# Property tests on many more random examples than `make test` draws.
search: $(VENV)/.tested
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=search

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.tested
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.tested
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) runs

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unscene needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# The pinned torch is named first, so that pip prefers an index with a CPU build of it.
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.find: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[find]'
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@
