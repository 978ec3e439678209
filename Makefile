# Paddock's verbs. `make setup` happens by itself when another verb needs it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo check format test attacks bench lock clean build-all build-base

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
	$(BIN)/python tests/support/machine.py
	$(BIN)/python -m pytest -n auto --dist loadgroup

attacks: $(READY)  ## attack one session from another, at every level there is here
	$(BIN)/python -m tests.attacks.report

bench: $(READY)  ## measure against the peers; prints a table of ratios
	$(BIN)/python benchmarks/run.py

COMPILE = $(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --no-annotate \
	--python-version 3.11 pyproject.toml

lock: $(READY)  ## compile the exact versions anew
	$(COMPILE) --upgrade --extra all requirements/dev.in -o requirements/dev.txt
	$(COMPILE) --constraint requirements/dev.txt --extra server images/base/build.in \
		-o images/base/requirements.txt
	$(COMPILE) --constraint requirements/dev.txt --extra terminal \
		| grep -vxF -f images/base/requirements.txt > envs/terminal/requirements.txt

# -- images: see images/README.md --------------------------------------------------------------

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
PARENT ?= python:3.11-slim
CA_BUNDLE ?=
IMAGES := $(patsubst envs/%/Dockerfile,%,$(wildcard envs/*/Dockerfile))
BUILD = docker build --quiet --network host

build-all: build-base $(addprefix build-,$(IMAGES))  ## build every image

build-base:
	@case "$(PARENT)" in paddock/parent:*) images/parent "$(PARENT)";; esac
	@[ -z "$(CA_BUNDLE)" ] || cp "$(CA_BUNDLE)" images/base/ca-bundle.crt
	$(BUILD) -f images/base/Dockerfile --build-arg PARENT=$(PARENT) \
		-t paddock/base:$(VERSION) -t paddock/base:latest .

$(addprefix build-,$(IMAGES)): build-%:
	@docker image inspect paddock/base:$(VERSION) >/dev/null 2>&1 || $(MAKE) build-base
	@[ -z "$(CA_BUNDLE)" ] || cp "$(CA_BUNDLE)" envs/$*/ca-bundle.crt
	$(BUILD) --build-arg BASE=paddock/base:$(VERSION) \
		-t paddock/$*:$(VERSION) -t paddock/$*:latest envs/$*
	@docker image inspect -f '{{index .RepoTags 0}}: {{.Size}} bytes' paddock/$*:$(VERSION)

$(addprefix run-,$(IMAGES)): run-%:
	docker run --rm --init -p 127.0.0.1:8000:8000 paddock/$*:$(VERSION)

clean:  ## remove what the other verbs made
	rm -rf $(VENV) .cache dist build .ruff_cache .pytest_cache .hypothesis .import_linter_cache
