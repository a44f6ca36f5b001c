# make alone lists what there is. Everything is made in .venv, by stamps, so that a second run is quick.

SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
# Two more than the two cores that the tests are meant for, since many of them wait for processes.
WORKERS ?= 4

# The tests start dozens of processes, which would compile the same 150 modules each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test lint bench faults simulate mutants soak fuzz clients house

help:
	@echo "make run      start Calapp on http://127.0.0.1:5000 (PORT and CALAPP_DATA_DIR change where)"
	@echo "make test     run every test"
	@echo "make lint     check format, style, import order and types"
	@echo "make bench    measure deliveries against a plain queue (ARGS=--quick for two minutes; --doors, --flow, --year)"
	@echo "make faults   kill, stop and starve every part and count what is lost"
	@echo "make simulate walk SEEDS=1000 seeds through deaths, failures and edits; SEED=7 prints one"
	@echo "make mutants  put known faults into the engine and count how many the simulation catches"
	@echo "make soak     run real processes for HOURS=24, kill them at random, and count (ARGS=--postgresql)"
	@echo "make house    print figures of the source: lines, modules, what one booking runs through"
	@echo "make fuzz     let a generator send the API what it can think of"
	@echo "make clients  run n8n's trigger, agno, MCP servers, generators and calendars against Calapp"

run: .venv/run.stamp
	@exec $(BIN)/python -m calapp.launcher

test: .venv/test.stamp
	@.ci/browser
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

bench: .venv/test.stamp
	$(BIN)/python -m tools.bench $(ARGS)

faults: .venv/test.stamp
	$(BIN)/python -m tools.faults $(ARGS)

simulate: .venv/test.stamp
	$(BIN)/python -m tools.simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)) $(ARGS)

mutants: .venv/test.stamp
	$(BIN)/python -m tools.mutants $(ARGS)

soak: .venv/test.stamp
	$(BIN)/python -m tools.soak --hours $(or $(HOURS),24) $(if $(SEED),--seed $(SEED)) $(ARGS)

house: .venv/run.stamp
	$(BIN)/python -m tools.house $(ARGS)

fuzz: .venv/test.stamp
	$(BIN)/python -m tools.fuzz $(ARGS)

clients: .venv/test.stamp
	$(BIN)/python -m tools.clients $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Calapp needs Python 3.11 or newer as $(PYTHON); set PYTHON=… to name another." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "The module venv is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }

.venv/run.stamp: requirements.txt | $(BIN)/python
	@echo "Installing what Calapp runs on …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/test.stamp: tests/requirements.txt .venv/run.stamp
	@echo "Installing what the tests need …"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@
