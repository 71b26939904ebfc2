# What a newcomer and CI type; `make` alone lists it. It needs Python 3.11+ and make, nothing else.
#
#   make demo PYTHON=/path/to/python3.12    choose the interpreter
#   make test VENV=/tmp/elsewhere           put the environment elsewhere
#   make test PYTEST_ARGS='-k spec'         pass options on

VENV ?= .venv
DEMO_OUT ?= runs/demo
DEMO_BUDGET ?= 35s
PYTEST_ARGS ?=

# The python3 of this shell where it is new enough, else the newest one that runs.
SUPPORTED = import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && { echo $$p; exit; }; done; echo python3)

BIN = $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
# Stamps: set-up runs once, and again only when what it installs has changed.
CORE = $(VENV)/.core-installed
DEV = $(VENV)/.dev-installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test exhaustive lint types docs check clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
	  echo "genus needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." >&2; \
	  echo "Install one and say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make environments: it lacks the ensurepip module." >&2; \
	  echo "On Debian and Ubuntu: apt install python3-venv; or pass another PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e .
	@touch $@

$(DEV): $(CORE)
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@

setup: $(DEV) ## Make the environment with everything that development needs.

demo: $(CORE) ## Train one model of each family on digits, compare them, write a report.
	$(BIN)/genus compare --data digits --time-budget $(DEMO_BUDGET) --out $(DEMO_OUT) --resume
	@echo "The report: $(abspath $(DEMO_OUT))/report.html"

test: $(DEV) ## Run all tests, one process per core.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

exhaustive: $(DEV) ## Run the tests that `make test` leaves out.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m exhaustive tests

lint: $(DEV) ## Check style, format and the direction of imports.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(DEV) ## Check types.
	$(BIN)/mypy --strict

docs: $(DEV) ## Build the documentation into site/; a broken link fails.
	$(BIN)/python docs/build_models.py
	$(BIN)/zensical build --clean --strict

check: lint types docs test exhaustive ## All of the above that CI runs.

clean: ## Remove the environment, caches and what was built; runs/ stays.
	rm -rf $(VENV) .cache build dist site docs/models src/*.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find src tests docs examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
