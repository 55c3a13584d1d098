# Each target sets up what it needs on a machine with only Python 3.11+ and make: uv comes from the PATH, or goes into
# .venv-uv with pip; everything else comes from uv.lock.
SHELL := /bin/bash
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .venv-uv/bin/uv)
RUN := $(UV) run --frozen --all-packages

.PHONY: help setup demo up test check lint types imports bench pictures faults format clean

help:  ## show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/' | sort

.venv-uv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Turnlog needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv-uv && .venv-uv/bin/python -m pip install --quiet --disable-pip-version-check uv

setup: $(if $(findstring .venv-uv,$(UV)),.venv-uv/bin/uv)  ## install everything into .venv
	@$(UV) sync --frozen --all-packages --quiet

demo: setup  ## the main job on real servers, in a temporary folder (FILE=… for your own conversation)
	@$(RUN) turnlog demo $(FILE)

up: setup  ## start Turnlog on this machine (ARGS="--port 8080 --data-dir .turnlog")
	@$(RUN) turnlog up $(ARGS)

test: setup  ## all tests on real servers (ARGS="-k name --servers urls")
	@$(RUN) pytest $(ARGS)

lint: setup  ## format and lint
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .

types: setup  ## static types
	@$(RUN) mypy

imports: setup  ## who may import whom, and which dependencies are declared
	@$(RUN) lint-imports
	@for member in libs/* services/* clients/python db/migrations cli bench; do \
		echo "deptry $$member"; \
		$(RUN) deptry --config $$member/pyproject.toml -kf $$(basename $$member/src/turnlog_*) $$member/src || exit 1; \
	done

check: lint types imports test  ## what CI runs

bench: setup  ## the yardsticks (FULL=1 for growth to a million events)
	@$(RUN) python -m turnlog_bench $(if $(FULL),--full,--quick) $(ARGS)

pictures: setup  ## draw docs/pictures and the tables of docs/scaling.md from bench/scaling.json
	@$(RUN) python -m turnlog_bench.pictures $(ARGS)

faults: setup  ## kill, pause, cut and wipe a whole system under load, then check everything (MINUTES=20 SEED=7 ONLY=names)
	@PYTHONPATH=tests $(RUN) python -m faults --minutes $(or $(MINUTES),20) $(if $(SEED),--seed $(SEED)) \
		$(if $(ONLY),--only $(ONLY)) $(ARGS)

format: setup  ## format the code
	@$(RUN) ruff format . && $(RUN) ruff check --fix .

clean:  ## remove what the targets made
	rm -rf .venv .venv-uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
