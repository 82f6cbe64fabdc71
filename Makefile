# Everything from a fresh machine with Python 3.11+ and make. `make demo` and `make test` set up
# what they need themselves; .venv is made once and remade when the dependencies change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test search lint format bench clean

demo: $(VENV)/.installed
	$(BIN)/unscene demo

# Each file of tests on one process, so that what it makes once is made once.
test: $(VENV)/.tested lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# Property tests on examples that `make test` does not draw.
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

# The pinned torch is named first, so that an index with a CPU build of it is not passed over.
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@
