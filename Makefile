# Every target first makes .venv, and makes it anew when a pyproject.toml has changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-slow lint bench clean

$(READY): pyproject.toml $(wildcard tuning/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --editable ./tuning --group test --group lint
	touch $@

demo: $(READY)  ## train LeNet-5 on bundled handwritten digits, on two logical devices
	$(BIN)/kerascnn train lenet5 --data mnist5k --strategy mirrored:2 --run runs/demo --overwrite

test: $(READY)  ## the fast tests
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(READY)  ## the slow proofs
	$(BIN)/python -m pip install --quiet --group jax
	$(BIN)/python -m pytest -m slow tests/test_checks.py  # apart: it needs most of the memory
	$(BIN)/python -m pytest -m slow --ignore=tests/test_checks.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/kerascnn bench train lenet5

clean:
	rm -rf $(VENV)
