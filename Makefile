# The commands of this project. Everything is installed into .venv, once for each state of constraints.txt and pyproject.toml.
PYTHON ?= python3
ARGS ?=
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
BIN := .venv/bin
STAMP := .venv/installed-$(shell cat constraints.txt pyproject.toml | cksum | cut -d' ' -f1)

.PHONY: help setup demo lab check test test-full bench hooks clean

help:
	@echo "make demo       set up, run the whole loop on the sample domain, open the app (ARGS=--no-serve stops before the app)"
	@echo "make test       set up, run every check"
	@echo "make lab        JupyterLab on the notebooks"
	@echo "make test-full  the long checks: full-size properties, kills, loads"
	@echo "make bench      speed measurements, one JSON line each, written to tests/results/"
	@echo "make hooks      git drivers that merge, compare and check notebooks in this clone"
	@echo "make clean      remove caches and build results (.genai_factory and .venv stay)"

setup: $(STAMP)

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "No virtual environment could be made. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into .venv; the first time takes some minutes."
	@$(BIN)/python -m pip install -c constraints.txt torch==2.13.0 -e '.[all]' | sed -u '/^Requirement already satisfied/d' || { \
	  echo "The installation did not finish. What is there is kept: run 'make setup' again once the cause above is mended."; exit 1; }
	@rm -f .venv/installed-* && touch $@

demo: setup
	$(BIN)/genai-factory demo $(ARGS)

lab: setup
	$(BIN)/jupyter lab --notebook-dir=nbs --ContentsManager.pre_save_hook=nbdev.clean.clean_jupyter $(ARGS)

# The cheap checks first: notebooks and package in step, style, floors, types; then the notebooks themselves.
check: setup
	$(BIN)/python tests/sync.py
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/nbdev-test --skip-folder-re '^([_.]|jobs$$)' --n-workers 2

test: check
	$(BIN)/python -m pytest $(ARGS)

test-full: check
	$(BIN)/python -m pytest -m 'not gpu' $(ARGS)

bench: setup
	$(BIN)/python -m tests.benchmarks $(ARGS)

hooks: setup
	git config --local merge.jupyternotebook.name "merge notebooks cell by cell"
	git config --local merge.jupyternotebook.driver "$(BIN)/nbdev-merge %O %A %B %P"
	git config --local diff.jupyternotebook.command "$(BIN)/nbdev-diff-driver"
	git config --local core.hooksPath .githooks

clean:
	rm -rf dist build site _proc .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find genai_factory tests nbs -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
