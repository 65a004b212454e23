# Two commands on a fresh machine with Python >= 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test lint check bench docs clean

# The whole analysis on a shipped model; the last line is the path of the report.
demo: $(INSTALLED)
	@$(BIN)/diptych demo

test: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist loadgroup

lint: $(INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

check: lint test

# Ratios to bare Hugging Face calls, growth and memory, written to benchmarks/numbers.md; about a quarter of an hour of an
# idle machine. (`python -m benchmarks.profile_demo --write`, four minutes more, says where the demo's time goes.)
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks --write
	$(BIN)/python -m benchmarks.footprint --write

# Pages on every public name, from the docstrings.
docs: $(INSTALLED)
	$(BIN)/python scripts/build_docs.py build/docs

# Made once, and again when what is installed changes.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "diptych needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
