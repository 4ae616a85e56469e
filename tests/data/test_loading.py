"""Data for a network: loaded in its shape, or refused if they are loaded in another."""

import pytest

from kerascnn.data import load, load_for
from kerascnn.errors import ArgumentError

OPTIONS = {"seed": 0, "skip_corrupt": False, "echo": lambda line: None}


def test_a_source_is_loaded_in_the_networks_shape():
    digits = load_for("mnist5k", (32, 32, 1), split="test", **OPTIONS)
    assert digits.image_shape == (32, 32, 1)
    assert {name: split.size for name, split in digits.splits.items()} == {
        "train": 0,
        "validation": 0,
        "test": 1000,
    }


def test_a_dataset_of_another_shape_is_refused():
    digits = load("mnist5k", echo=None)
    assert load_for(digits, (28, 28, 1), **OPTIONS) is digits
    with pytest.raises(ArgumentError, match=r"delivers \(28, 28, 1\). Load it with input_shape="):
        load_for(digits, (32, 32, 1), **OPTIONS)
