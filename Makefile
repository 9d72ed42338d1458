# whence: `make demo` and `make test` are all a fresh machine needs (Python 3.11 or newer, make).
# The environment lives in .venv; every package is pinned by hash in requirements/*.txt.

# The first interpreter that is new enough; PYTHON=... chooses another.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
endif

VENV := .venv
PY := $(VENV)/bin/python
UV := $(PY) -m uv
PIN := --require-hashes --build-constraints requirements/build.txt --require-build-hashes --compile-bytecode
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make pins" $(UV) pip compile -q --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes $(PINFLAGS)

# Two processes: the smallest machine this is meant for has two cores. WORKERS=0 runs in one process.
WORKERS ?= 2
DEMO ?= flights
DEMO_DIR ?= $(DEMO).whence

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help demo test torture lint format types contracts docs wheel bench pins clean env

help: ## show the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.run ## the flights journey, from raw files to a traced and reproduced model
	$(PY) -m whence demo $(DEMO) --dir $(DEMO_DIR) $(DEMO_ARGS)

# Compiled first: tests start hundreds of processes, and none of them writes what it compiled where
# PYTHONDONTWRITEBYTECODE is set.
test: $(VENV)/.dev ## every test that needs no public data set; servers that are installed are started
	$(PY) -m compileall -q src
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(TEST_ARGS)

torture: $(VENV)/.dev ## kill the small journey at 100 random moments; TORTURE_ARGS="--kills 10"
	$(PY) -m tests.journey.torture $(TORTURE_ARGS)

lint: $(VENV)/.dev ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(VENV)/.dev ## let ruff write the format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: $(VENV)/.dev ## strict mypy over source and tests
	$(PY) -m mypy

contracts: $(VENV)/.dev ## the import layers of the house
	$(VENV)/bin/lint-imports

docs: $(VENV)/.dev ## build docs/_build/html; a warning is an error
	$(PY) -m sphinx -q -W --keep-going -b html docs docs/_build/html

wheel: $(VENV)/.dev ## build dist/*.whl with pinned builders
	rm -rf dist
	$(UV) build -q --wheel --build-constraints requirements/build.txt --require-build-hashes -o dist

bench: $(VENV)/.dev ## each room beside its floor, as ratios
	$(PY) -m benchmarks $(BENCH_ARGS)

pins: $(VENV)/.uv ## compile requirements/*.in again; PINFLAGS=--upgrade takes newer versions
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) --excludes requirements/excludes.txt pyproject.toml requirements/run.in -o requirements/run.txt
	$(COMPILE) requirements/dev.in -o requirements/dev.txt
	UV_CUSTOM_COMPILE_COMMAND="make pins" $(UV) pip compile -q --python-version 3.11 \
		--python-platform x86_64-manylinux_2_17 --generate-hashes requirements/mlmd.in -o requirements/mlmd.txt

clean: ## remove what was built; `rm -rf .venv` removes the environment too
	rm -rf dist build docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks docs examples -name __pycache__ -type d -prune -exec rm -rf {} +

env: $(VENV)/.dev ## the whole environment, and nothing else

# A stamp is touched only after its step succeeded, so an interrupted install starts again.
$(PY):
	@test -n "$(PYTHON)" || { echo "whence needs Python 3.11 or newer; none was found on PATH." >&2; \
		echo "Install one, or name it: make demo PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "whence needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 2; }
	@$(PYTHON) -m venv --clear $(VENV) || { \
		echo "This Python cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

$(VENV)/.uv: requirements/bootstrap.txt | $(PY)
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/bootstrap.txt
	@touch $@

# Added to whatever is there, so that a demo does not take the tools of a developer away.
$(VENV)/.run: $(VENV)/.uv requirements/run.txt requirements/build.txt pyproject.toml
	VIRTUAL_ENV=$(VENV) $(UV) pip install -q --no-deps $(PIN) -r requirements/run.txt
	$(call install_whence)
	@touch $@

$(VENV)/.dev: $(VENV)/.uv requirements/dev.txt requirements/build.txt pyproject.toml
	VIRTUAL_ENV=$(VENV) $(UV) pip sync -q $(PIN) requirements/dev.txt
	$(call install_whence)
	@touch $(VENV)/.run $@

define install_whence
	VIRTUAL_ENV=$(VENV) $(UV) pip install -q --no-deps --build-constraints requirements/build.txt \
		--require-build-hashes --editable .
endef
