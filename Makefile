# Targets that need .venv first make it, and install into it anew when a pyproject.toml has changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Two processes of tests, a file in one of them: what its tests share is made once, and
# tests/test_checks.py, which needs most of the memory, is never there twice.
SIDE_BY_SIDE := --numprocesses 2 --dist loadfile --durations 20
# What the oldest versions of our dependencies are tried with, in an environment of their own.
OLDEST       := .venv-oldest
OLDEST_TESTS := test_architecture.py test_cli.py test_features.py test_keras_internals.py \
	test_layers.py applications/test_lenet.py commands/test_train.py data/test_batches.py \
	explain/test_deconvnet.py explain/test_graph.py \
	security/test_checkpoints.py training/test_trainer.py watching/test_progress.py \
	weights/test_trunks_and_heads.py

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest test-slow lint docs bench figures clean

$(READY): pyproject.toml $(wildcard tuning/pyproject.toml plugins/*/pyproject.toml)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --editable ./tuning --editable ./plugins/segmentation --editable ./plugins/detection --group test --group lint
	touch $@

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## train LeNet-5 on bundled handwritten digits, on two logical devices
	$(BIN)/kerascnn train lenet5 --data mnist5k --strategy mirrored:2 --run runs/demo --overwrite

test: $(READY)  ## the fast tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow"

test-oldest: $(OLDEST)/.ready  ## some of the fast tests, with the oldest versions allowed
	$(OLDEST)/bin/python -m pytest $(SIDE_BY_SIDE) -m "not slow" -k "not tune" $(addprefix tests/,$(OLDEST_TESTS))

$(OLDEST)/.ready: pyproject.toml tests/oldest.py
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(PYTHON) tests/oldest.py > $(OLDEST)/oldest.txt
	$(OLDEST)/bin/python -m pip install --quiet --editable . --group pytest --constraint $(OLDEST)/oldest.txt
	touch $@

test-slow: $(READY)  ## the slow proofs
	$(BIN)/python -m pip install --quiet --group jax
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m slow

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)  ## the API reference, from the docstrings, in build/docs
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/python tests/reference.py

bench: $(READY)  ## speed against keras.applications; torchvision and timm where installed
	$(BIN)/kerascnn bench infer resnet50 vgg16 densenet121 alexnet_owt googlenet_bn resnet18
	$(BIN)/kerascnn bench train resnet50 vgg16 densenet121 alexnet_owt googlenet_bn resnet18
	$(BIN)/kerascnn bench digits lenet5
	$(BIN)/kerascnn bench build resnet50 vgg16 densenet121
	$(BIN)/kerascnn bench data
	$(BIN)/kerascnn bench import
	$(BIN)/kerascnn bench record resnet20_cifar --set widths=8,16,32 --set stem_width=8 --epochs 8

figures:  ## the tables of figures in READMEs, from the JSON files that bench wrote
	$(PYTHON) tests/figures.py

clean:  ## remove the environments and the reference
	rm -rf $(VENV) $(OLDEST) build
