# Two commands: `make run` and `make test`. Without make: see "Without make" in README.md.

# The system's Python where it is new enough: Debian and Ubuntu build theirs optimised, which many a
# hand-made one on the path is not, and that costs up to half of its speed (docs/decisions/0029).
PYTHON ?= $(shell for one in /usr/bin/python3 python3; do \
  $$one -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
  done; echo $$one)
HOST ?= 127.0.0.1
PORT ?= 8000
SANDBOX_PORT ?= 8001
PUBLIC_URL ?= http://$(HOST):$(PORT)
BIN := .venv/bin

# Some tests wait, for processes and browsers: one more than the two cores of a small machine.
WORKERS_FOR_TESTS ?= 3

# For `make demo-providers`: the shop's currency, and the first of the stand-ins' thirteen ports.
CURRENCY ?= INR
PROVIDERS_PORT ?= 8101

export HOST PORT SANDBOX_PORT PUBLIC_URL CURRENCY PROVIDERS_PORT

.DEFAULT_GOAL := help
.PHONY: help run demo-providers setup migrate test setup-tests chromium lint bench screenshots clean

help: ## Show what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup ## Serve the shop and its worker with a demo catalogue (PORT=8000 HOST=127.0.0.1)
	@$(BIN)/python scripts/run.py

demo-providers: setup ## Serve the shop with a stand-in for every provider (CURRENCY=INR, NGN, SEK or USD)
	@$(BIN)/python scripts/demo_providers.py

setup: .venv/.ready ## Make .venv with the pinned requirements

.venv/.ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Till needs Python 3.11 or newer; $(PYTHON) is older. Try: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Setting up .venv (once, about half a minute) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.txt
	@touch $@

.venv/.ready-tests: .venv/.ready tests/requirements.txt
	@echo "Setting up the test tools (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r tests/requirements.txt
	@touch $@

setup-tests: .venv/.ready-tests chromium

# As root on Debian or Ubuntu a missing browser is installed (the one without a window where there
# is such a package); elsewhere its tests are skipped with one line.
APT_INSTALL := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
chromium:
	@if ! command -v chromium-headless-shell >/dev/null && ! command -v chromium >/dev/null \
	  && ! command -v chromium-browser >/dev/null && [ -z "$$SHOP_CHROMIUM" ] \
	  && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium for the browser tests …"; \
	  { apt-get update -qq && { $(APT_INSTALL) chromium-headless-shell || $(APT_INSTALL) chromium; }; } >/dev/null \
	    || echo "Chromium could not be installed; its tests are skipped."; \
	fi

# Hypothesis' plugin reads the whole source in each process before the first test; nothing here needs it.
test: setup-tests ## Run all tests, on both databases and with a real browser
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -p no:hypothesispytest \
	  -n $(WORKERS_FOR_TESTS) --dist worksteal $(ARGS)

lint: .venv/.ready-tests ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: .venv/.ready-tests ## Measure against the machine's own limits
	@$(BIN)/python bench/run.py $(ARGS)

screenshots: setup-tests ## Make the pictures of docs/ with a real browser
	@$(BIN)/python scripts/screenshots.py

clean: ## Take away what was made here: .venv, caches, the demo's database
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis test-results instance
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
