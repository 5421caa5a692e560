# make demo | test | test-all | lint | bench | docs | pocket
PYTHON ?= python3
BIN := .venv/bin
# A worker a core; at most 4, since one that compiles models takes 2 GB. A worker that has nothing
# left takes over from another, so that modules stay together as long as that is no loss.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: demo test test-all lint bench docs pocket clean

demo: .venv/.demo
	$(BIN)/clipdex demo

test: .venv/.dev
	$(BIN)/python -m pytest $(PARALLEL)

# And the tests marked `long`.
test-all: .venv/.dev
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not gpu"

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev
	for one in indexing cold_search warm_query memory; do $(BIN)/python benchmarks/$$one.py || exit 1; done

docs: .venv/.dev
	$(BIN)/python scripts/write_commands.py

# The built-in model's checkpoint, from its data: hours without a GPU. See scripts/pocket.
pocket: .venv/.dev
	$(BIN)/python -m scripts.pocket fetch prepare texts gather train refine assemble measure

clean:
	rm -rf .venv clipdex-demo dist

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "clipdex needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

# What a user installs, with the sample photos.
.venv/.demo: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[demo]"
	touch $@

# And torch, open_clip and the tools of development.
.venv/.dev: .venv/.made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ .venv/.demo
