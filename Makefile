# Everything a developer types. A fresh machine needs Python 3.11 or newer, make, and the package registries.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# The machine's own Node, where there is one of at least 18, else the one among the development requirements.
OWN_NODE  := $(shell (node -p 'process.versions.node.split(".")[0] >= 18' && npm --version) 2>/dev/null)
WITH_NODE := $(if $(word 2,$(filter-out false,$(OWN_NODE))),,PATH="$(CURDIR)/$(BIN):$$PATH")

.DEFAULT_GOAL := help
.PHONY: help run serve test check lint types arrows tests format bench torture soak lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run ## Install what is needed and start the demo cinema
	@$(BIN)/python run_broker.py serve --demo

serve: $(VENV)/.run ## Install what is needed and serve your own cinema
	@$(BIN)/python run_broker.py serve

test: check tests ## Run everything that must pass: check, then tests

check: lint types arrows ## Look at style, types and the direction of imports

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/mypy -p bench

arrows: $(VENV)/.dev
	$(BIN)/lint-imports

tests: $(VENV)/.dev tests/js/node_modules/.installed ## Run the tests alone; ARGS="-k seats" is for pytest
	$(WITH_NODE) $(BIN)/python -m pytest $(ARGS)

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure the box, mosquitto and stock amqtt side by side; ARGS="--rounds 1"
	@$(BIN)/python -m bench $(ARGS)

torture: $(VENV)/.dev ## Pull the plug at random moments, and see that nothing is lost; ROUNDS=200
	@PYTHONPATH=tests $(BIN)/python -m endurance.torture --rounds $(or $(ROUNDS),200) $(ARGS)

soak: $(VENV)/.dev ## A busy evening with hostile clients: is everything flat? MINUTES=20
	@PYTHONPATH=tests $(BIN)/python -m endurance.soak --minutes $(or $(MINUTES),20) $(ARGS)

# No index and no path of the machine that locks goes into the locks: they hold on any other.
COMPILE := --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(VENV)/.dev ## Choose new versions of everything and write them down
	$(PIP_INSTALL) uv
	$(BIN)/uv pip compile pyproject.toml $(COMPILE) --output-file requirements.txt
	$(BIN)/uv pip compile pyproject.toml $(COMPILE) --extra dev --constraint requirements.txt \
		--output-file requirements-dev.txt
	$(WITH_NODE) npm install --prefix tests/js --package-lock-only --omit-lockfile-registry-resolved=true

clean: ## Remove what make installed; the data stay
	rm -rf $(VENV) tests/js/node_modules build *.egg-info

# What follows installs, and only when a lock or pyproject.toml has changed.

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, such as: make PYTHON=python3.11" \
		if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt pyproject.toml | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r requirements.txt
	$(PIP_INSTALL) --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

tests/js/node_modules/.installed: tests/js/package.json tests/js/package-lock.json $(VENV)/.dev
	$(WITH_NODE) npm ci --prefix tests/js --no-audit --no-fund
	@touch $@
