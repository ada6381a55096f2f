# The commands are `make demo`, `make test` and `make bench`; each installs what it needs into .venv by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
# The first interpreter that really runs, is 3.10-3.12 and can make environments: version managers leave stubs that
# exist and do not run, and some systems ship Python without ensurepip. PYTHON=... names one and is then the only try.
PYTHON ?=
CANDIDATES = $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.10 python3 python \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[0-2]*/bin/python)
USABLE = import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))
FIND_PYTHON = for p in $(CANDIDATES); do "$$p" -c '$(USABLE)' 2>/dev/null && { echo "$$p"; break; }; done

DATA ?=
OUT ?= demo
MINUTES ?=
AGAINST ?= benchmarks/results/quick.json
export DATA OUT MINUTES  # through the environment: a folder's name may hold any character

comma := ,
# $(call pip_install,WHAT,ITS WORDS,SIZE,DISK). setuptools warns of every editable installation, in nine lines.
define pip_install
echo "Installing $(2) into $(VENV) ($(3), one to a few minutes) ..."; \
  $(PY) -m pip install --quiet --upgrade pip && \
  PYTHONWARNINGS='ignore:Editable installation' \
    $(PY) -m pip install --quiet --constraint .ci/constraints.txt --editable '$(1)' && \
  $(PY) -m pip check || \
  { echo "The installation into $(VENV) failed, see above (a package index and $(4) of disk are needed); the same command tries again" >&2; exit 1; }
endef

.PHONY: help install demo test bench lint clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: $(VENV)/installed  ## create .venv and install what make demo needs into it
	@echo "$(VENV) is ready: source $(VENV)/bin/activate, then ugatit --help"

$(VENV)/installed: pyproject.toml .ci/constraints.txt
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
	  echo "No usable Python 3.10, 3.11 or 3.12$(if $(PYTHON), at $(PYTHON)): install one with its venv module (on Debian and Ubuntu: apt install python3-venv), or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; fi; \
	"$$python" -m venv $(VENV)
	@$(call pip_install,.[demo],MindSpore and the other packages,3.5 GB,4 GB)
	@touch $@

# PyTorch, which the tests compare with, is as large as MindSpore: who only runs the demo does not wait for it.
$(VENV)/installed-dev: $(VENV)/installed
	@$(call pip_install,.[demo$(comma)dev],PyTorch and the other packages of the tests,1 to 5 GB,6 GB)
	@touch $@

demo: $(VENV)/installed  ## make data, train, translate and draw pictures; DATA=folder uses your own trainA/ and trainB/, MINUTES=60 trains longer
	@$(PY) tools/demo.py --out "$$OUT" $${DATA:+--data "$$DATA"} $${MINUTES:+--minutes "$$MINUTES"}

lint: $(VENV)/installed-dev  ## ruff, its formatter, and mypy
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

test: lint  ## lint and the whole test suite
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

bench: $(VENV)/installed-dev  ## quick benchmarks of this machine; the report is bench/report.html
	@echo 'Six benchmarks, six to ten minutes: the figures are better the less else the machine does'
	@$(PY) benchmarks/run.py --suite quick --out bench/run.json
	@$(PY) benchmarks/report.py bench/run.json $(if $(wildcard $(AGAINST)),--against $(AGAINST)) --out bench

clean:  ## remove .venv and the demo's output
	rm -rf $(VENV) "$$OUT"
