# Everything a developer types. A fresh machine needs Python 3.11 or newer, make, and the package registries; Node comes
# with what is installed, where the machine has none that is new enough.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# The machine's own Node, where it is at least the one that web/package.json asks for, 22.12; else the one among the
# development requirements.
IS_NEW    := const [major, minor] = process.versions.node.split("."); major > 22 || (major == 22 && minor >= 12)
OWN_NODE  := $(shell (node -p '$(IS_NEW)' && npm --version) 2>/dev/null)
WITH_NODE := $(if $(word 2,$(filter-out false,$(OWN_NODE))),,PATH="$(CURDIR)/$(BIN):$$PATH")

# What browsers show, and what that is built from.
PAGES   := plugins/pages/built/index.html
SOURCES := $(shell find web -maxdepth 1 -type f) $(shell find web/src)

# The box, its pages, and what developers need.
READY := $(VENV)/.run $(VENV)/.dev

.DEFAULT_GOAL := help
.PHONY: help run serve pages test check lint types arrows pages-check tests pages-tests format bench bench-pages pictures torture soak lock \
	clean unbuilt

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.run ## Install what is needed and start the demo cinema
	@$(BIN)/python run_broker.py serve --demo

serve: $(VENV)/.run ## Install what is needed and serve your own cinema
	@$(BIN)/python run_broker.py serve

pages: $(VENV)/.run ## Build what browsers show, where that is not built yet

test: check tests ## Run everything that must pass: check, then tests

check: lint types arrows pages-check ## Look at style, types and the direction of imports

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/mypy -p bench

arrows: $(VENV)/.dev
	$(BIN)/lint-imports

pages-check: web/node_modules/.installed
	$(WITH_NODE) npm run --silent --prefix web check

tests: $(READY) tests/js/node_modules/.installed pages-tests ## Run the tests alone; ARGS="-k seats" is for pytest
	$(WITH_NODE) $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

pages-tests: web/node_modules/.installed
	$(WITH_NODE) npm run --silent --prefix web test

format: $(VENV)/.dev web/node_modules/.installed ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(WITH_NODE) npm run --silent --prefix web format

bench: $(READY) ## Measure the box, mosquitto and stock amqtt side by side; ARGS="--rounds 1"
	@$(BIN)/python -m bench $(ARGS)

bench-pages: $(READY) ## Measure the audience's page in a browser: its size, its first seats, its answers to keys
	@$(BIN)/python -m bench.pages $(ARGS)

pictures: $(READY) ## Take the README's pictures of the pages anew
	@PYTHONPATH=tests $(BIN)/python -m pages.pictures docs/pages

torture: $(READY) ## Pull the plug at random moments, and see that nothing is lost; ROUNDS=200
	@PYTHONPATH=tests $(BIN)/python -m endurance.torture --rounds $(or $(ROUNDS),200) $(ARGS)

soak: $(READY) ## A busy evening with hostile clients: is everything flat? MINUTES=20
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
	$(WITH_NODE) npm install --prefix web --package-lock-only --omit-lockfile-registry-resolved=true

clean: ## Remove what make installed and built; the data stay
	rm -rf $(VENV) tests/js/node_modules web/node_modules plugins/pages/built build *.egg-info

# What follows installs, and only when a lock, pyproject.toml or a page has changed.

PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, such as: make PYTHON=python3.11" \
		if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.requirements: requirements.txt | $(BIN)/python
	$(PIP_INSTALL) --require-hashes -r requirements.txt
	@touch $@

# Installing the box builds its pages, where they are not of these sources: web/building.py.
$(VENV)/.run: $(VENV)/.requirements pyproject.toml $(SOURCES) $(if $(wildcard $(PAGES)),,unbuilt)
	$(PIP_INSTALL) --no-deps -e .
	@touch $@

unbuilt: ;

$(VENV)/.dev: requirements-dev.txt $(VENV)/.requirements
	$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

%/node_modules/.installed: %/package.json %/package-lock.json | $(VENV)/.dev
	$(WITH_NODE) npm ci --prefix $* --no-audit --no-fund
	@touch $@
