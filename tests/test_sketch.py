"""The vocabulary as arithmetic has the same words as the vocabulary that builds layers."""

import inspect

import pytest

from kerascnn import blocks
from kerascnn.sketch import Sketch

DISPATCHED = [name for name, found in vars(blocks).items() if hasattr(found, "dispatch")]


def arguments(function):
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters]


@pytest.mark.parametrize("name", DISPATCHED)
def test_a_block_and_its_sketch_take_the_same_arguments(name):
    block = getattr(blocks, name)
    twin = block.dispatch(Sketch)
    assert twin is not block.dispatch(object), f"kerascnn.sketch has no {name}"
    assert arguments(twin) == arguments(block)


def test_all_words_that_make_layers_have_a_sketch():
    assert {"conv", "max_pool", "dense", "add", "tensor_at"} <= set(DISPATCHED)
