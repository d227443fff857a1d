# Needs Python 3.11 or newer (with venv), make and git. Everything else goes into .venv, at the first call of any target.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo dist release-check test test-unit conformance live coverage test-upgrade test-system test-browser test-faults test-distributed matrix pins lint format docs screenshots bench mutation constraints snapshots clean
.DELETE_ON_ERROR:

help: ## Show the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

install: $(INSTALLED) ## Set up .venv

# The version is in __init__.py, and an installation keeps the one that it was made with.
$(INSTALLED): pyproject.toml constraints.txt airflow_provider_wanx/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is not Python 3.11 or newer: call make with PYTHON=<path of one>"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@echo "Installing into $(VENV): one or two minutes at the first call, longer on a slow network."
	@echo "  $$($(PYTHON) --version), as a virtual environment"
	@$(PYTHON) -m venv $(VENV)
	@echo "  uv, which installs the rest"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv \
	  || { echo "uv could not be installed: does pip reach its package index?"; exit 1; }
	@echo "  the Python packages of constraints.txt: Airflow, and what the demo and the tests need"
	@{ $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --constraint constraints.txt \
	    --editable '.[simulator]' --group dev 2>&1; echo $$? >$(VENV)/.status; } | awk '!/^ *([+~-] |Downloaded|Uninstalled)/ { print "    " $$0; fflush() }'
	@exit $$(cat $(VENV)/.status)
	@touch $@

# Names what is missing and brings it; says nothing where everything is there.
PROGRAMS := $(BIN)/python -m tests.programs

demo: $(INSTALLED) ## Repaint portraits with a real Airflow and a local DashScope
	@$(BIN)/python -m tests.demo

# Most of them wait most of the time, so they run side by side. The longest come first, and each prints what it has to say when it ends.
# Without its programs a part would only say once more what is missing.
test: $(INSTALLED) ## Run all tests
	@status=0; parts="test-unit conformance test-upgrade"; \
	if $(PROGRAMS) chromium; then parts="test-browser $$parts"; else status=1; fi; \
	if $(PROGRAMS) postgresql redis; then parts="test-system $$parts"; else status=1; fi; \
	echo "These run side by side, and each prints its output when it ends: about seven minutes on two idle cores."; \
	echo "  $$parts"; \
	$(MAKE) --no-print-directory --keep-going --jobs=3 --output-sync=target $$parts || status=1; \
	exit $$status

# What pytest compiles is kept, whatever the environment says: each of its processes would do it anew at every run.
test-unit: $(INSTALLED) ## Run the unit tests
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal tests/unit

conformance: $(INSTALLED) ## Ask the local DashScope for every fact about the service
	$(BIN)/python -m pytest -n auto --dist worksteal tests/conformance

# Sends nothing before IMAGES says how many images may be paid for.
live: $(INSTALLED) ## Ask the live service, with your key, for IMAGES=5 images at most
	@$(BIN)/python -m tests.conformance --live $(if $(IMAGES),--images $(IMAGES)) $(if $(GENTLE),--gentle) \
	  $(if $(PORTRAIT),--portrait '$(PORTRAIT)') $(if $(CONNECTION),--connection '$(CONNECTION)') $(if $(HOST),--host '$(HOST)')

# Apart from the unit tests, because being measured takes a test twice the time. pytest's own threshold would count the whole package.
coverage: $(INSTALLED) ## Measure how much of the service core its tests reach
	@status=0; \
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report= tests/unit/dashscope || status=1; \
	$(BIN)/python -m coverage report --include='airflow_provider_wanx/dashscope/*' --fail-under=95 || status=1; \
	exit $$status

test-upgrade: $(INSTALLED) ## Go on under this version with what earlier ones have left
	$(BIN)/python -m pytest tests/upgrade

test-system: $(INSTALLED) ## Run the tests against real Airflow processes
	@$(PROGRAMS) postgresql redis
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
	  --ignore=tests/system/faults --ignore=tests/system/distributed tests/system

test-browser: $(INSTALLED) ## Run the tests of Airflow's web interface in Chromium
	@$(PROGRAMS) chromium
	$(BIN)/python -m pytest tests/browser

test-faults: $(INSTALLED) ## Kill and break everything on a real Airflow, and write docs/reliability.md
	@$(PROGRAMS) postgresql
	$(BIN)/python -m pytest tests/system/faults

test-distributed: export DISTRIBUTED_IMAGES := $(or $(IMAGES),200)
test-distributed: $(INSTALLED) ## Run two Celery workers, schedulers and triggerers on one account, and kill one of each (IMAGES=200)
	@$(PROGRAMS) postgresql redis
	$(BIN)/python -m pytest tests/system/distributed

matrix: $(INSTALLED) ## Try the wheel on every Airflow and Python (ONLY="2.11/3.11 3.1" for some), and write docs/compatibility.md
	@$(PROGRAMS) postgresql
	$(BIN)/python -m tests.matrix run $(ONLY)

lint: $(INSTALLED) ## Check style, layers and types
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/lint-imports --no-cache --no-logo || status=1; \
	$(BIN)/mypy || status=1; \
	exit $$status

format: $(INSTALLED) ## Put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Build the documentation into docs/_build/html
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html

constraints: $(INSTALLED) ## Renew constraints.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --all-extras --group dev --group bench --group mutation --group release --group postgresql --group redis pyproject.toml -o constraints.txt

snapshots: $(INSTALLED) ## Write what this version leaves in Airflow and in buckets, for test-upgrade of later ones
	$(BIN)/python -m pytest -q tests/upgrade/write_snapshots.py

pins: $(INSTALLED) ## Renew the versions that "make matrix" installs beside each Airflow
	$(BIN)/python -m tests.matrix pins

screenshots: $(INSTALLED) ## Make the pictures of Airflow's web interface in docs/images anew
	@$(PROGRAMS) chromium
	$(BIN)/python -m tests.browser.screenshots

# The same commit gives the same bytes: what is in the archives is dated as the commit is.
dist: $(INSTALLED) ## Build wheel and sdist into dist/, and check both
	rm -rf dist
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 1580601600)} \
	  $(BIN)/uv build --quiet --build-constraint constraints.txt --out-dir dist
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group release
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist

release-check: dist ## Check what a release consists of, and try it in an empty environment
	$(BIN)/python -m pytest tests/unit/test_release.py tests/system/test_wheel.py tests/system/test_from_nothing.py

bench: $(INSTALLED) ## Measure everything and write docs/performance.md
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group bench
	$(BIN)/python -m tests.benchmarks run

mutation: $(INSTALLED) ## Change the decisions of the code in every small way, see what tests notice, and write docs/mutation.md
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group mutation
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m tests.mutation

clean: ## Remove everything that the targets made, except .venv
	rm -rf .conformance .demo .test .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist docs/_build mutants
