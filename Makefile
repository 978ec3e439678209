# Paddock's verbs. `make setup` happens by itself when another verb needs it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo check format test bench lock clean

help:  ## show this
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

setup: $(READY)  ## make a virtual environment with everything in it

$(READY): pyproject.toml requirements/dev.txt
	@echo "setting up $(VENV) (about a minute, once) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## watch a scripted agent solve a task in a real shell
	$(BIN)/python examples/demo.py

check: $(READY)  ## formatting, lint, types, architecture, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/deptry core envs

format: $(READY)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(READY)  ## run all tests
	$(BIN)/python -m pytest -n auto

bench: $(READY)  ## measure against the peers; prints a table of ratios
	$(BIN)/python benchmarks/run.py

COMPILE = $(BIN)/uv pip compile --quiet --upgrade --no-header --no-emit-index-url --no-annotate \
	--python-version 3.11 pyproject.toml

lock: $(READY)  ## compile the exact versions in requirements/ anew
	$(COMPILE) --extra all requirements/dev.in -o requirements/dev.txt
	$(COMPILE) --extra terminal -o requirements/terminal.txt

clean:  ## remove what the other verbs made
	rm -rf $(VENV) .cache dist build .ruff_cache .pytest_cache .hypothesis .import_linter_cache
