# The two commands are `make demo` and `make test`; both install what they need into .venv by themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
# The first interpreter that really runs and is 3.10-3.12 (version managers leave stubs that exist and do not run).
FIND_PYTHON = for p in $(PYTHON) python3.11 python3.12 python3.10 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && { echo "$$p"; break; }; done

DATA ?=
OUT ?= demo

.PHONY: help install demo test lint clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: $(VENV)/installed  ## create .venv and install everything into it

$(VENV)/installed: pyproject.toml .ci/constraints.txt
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
	  echo "No Python 3.10, 3.11 or 3.12 found: install one (MindSpore 2.10 has no wheels for others), or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; fi; \
	"$$python" -m venv $(VENV)
	@$(PY) -m pip install --quiet --upgrade pip
	@echo "Installing MindSpore and the other packages into $(VENV) (2.5 GB, one to a few minutes) ..."
	@$(PY) -m pip install --quiet --constraint .ci/constraints.txt --editable '.[dev,demo]'
	@$(PY) -m pip check
	@touch $@

demo: install  ## convert, train, evaluate and draw pictures; DATA=folder uses your own trainA/ and trainB/
	@$(PY) tools/demo.py --out "$(OUT)" $(if $(DATA),--data "$(DATA)")

test: install  ## lint and the whole test suite
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(PY) -m pytest

clean:  ## remove .venv and the demo's output
	rm -rf $(VENV) "$(OUT)"
