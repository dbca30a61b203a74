# `make` alone lists what there is. Everything is made inside the clone: .venv, node_modules.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest

# A stamp is keyed on what it was made from: a changed lock file makes it again, nothing else does.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
NODE := tests/node/node_modules/.stamp
PWA := $(if $(wildcard pwa/package.json),gateway/web/static/.built)

.PHONY: help install run test check app-check soak bench screenshots audit lock docs node clean python-version system-tools

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r target text; do \
		printf '  make %-11s %s\n' "$$target" "$$text"; done

install: $(RUNTIME) $(PWA) ## .venv with the relaypacs command, and the app where there is one

run: install ## the demo: gateway, little archive and an account, nothing to configure
	$(BIN)/relaypacs demo

check: $(DEV) ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install $(DEV) system-tools $(NODE) check app-check ## every check and every test
	$(PYTEST) -n 2 --dist loadfile -m "not browser and not heavy and not timing"
	$(PYTEST) -n 2 --dist load -m browser
	$(PYTEST) -m "heavy or timing"

soak: export SCALE := soak
soak: install $(DEV) system-tools $(NODE) ## the same tests with large counts
	$(PYTEST) -n 2 --dist loadfile --timeout 3600 -m "not browser and not heavy and not timing"
	$(PYTEST) -n 2 --dist load --timeout 3600 -m browser
	$(PYTEST) --timeout 3600 -m "heavy or timing"

bench: install $(DEV) system-tools $(NODE) ## the comparisons of docs/performance.md
	$(BIN)/python -m bench

screenshots: install $(DEV) $(NODE) ## every screen, for docs/screenshots.md
	$(BIN)/python -m tests.browser.screens.screenshots

audit: $(DEV) $(NODE) ## known flaws of every locked package, by the advisories of PyPI and npm
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.lock
	cd tests/node && npm audit --omit=dev
	if [ -f pwa/package-lock.json ]; then cd pwa && npm audit --omit=dev; fi

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

node: $(NODE)

$(NODE): tests/node/package.json tests/node/package-lock.json
	@command -v npm >/dev/null || { echo "the tests drive tus-js-client: install Node.js 18 or newer with npm; the bench wants 20.19" >&2; exit 1; }
	cd tests/node && npm ci --no-audit --no-fund
	@touch $@

gateway/web/static/.built: pwa/package.json pwa/package-lock.json pwa/index.html pwa/vite.config.ts pwa/compress.mjs $(shell find pwa/src pwa/public -type f 2>/dev/null)
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a * 100 + +b < 2019 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null || { \
		echo "the app is built with Node.js: install Node.js 20.19 or newer with npm" >&2; exit 1; }
	cd pwa && npm ci --no-audit --no-fund && npm run build
	@touch $@

app-check: $(PWA) ## the app's types and rules
	cd pwa && npm run check

# The tests talk to a real PACS and watch real system calls. They fail without these; they don't skip.
system-tools:
	@missing=""; \
	PATH="$$PATH:/usr/sbin:/sbin"; \
	command -v Orthanc >/dev/null || missing="$$missing orthanc"; \
	[ -n "$$(find /usr/share/orthanc /usr/lib/orthanc /usr/local/share/orthanc -name 'libOrthancDicomWeb*' -print -quit 2>/dev/null)" ] || missing="$$missing orthanc-dicomweb"; \
	command -v storescu >/dev/null || missing="$$missing dcmtk"; \
	command -v strace >/dev/null || missing="$$missing strace"; \
	command -v gcc >/dev/null || missing="$$missing gcc libc6-dev"; \
	[ -n "$$(find /lib /usr/lib -name 'libfuse.so.2*' -print -quit 2>/dev/null)" ] || missing="$$missing libfuse2"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	if [ -n "$$missing" ]; then echo "the tests need:$$missing (on Debian and Ubuntu: sudo apt-get install --no-install-recommends$$missing)" >&2; exit 1; fi
