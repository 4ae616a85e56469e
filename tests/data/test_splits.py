"""Errors from deep inside TensorFlow, as a user can act on them."""

import pytest
import tensorflow as tf

from kerascnn.data import load, readable_errors
from kerascnn.errors import OutOfMemoryError


def test_too_little_memory_is_said_with_what_needs_less():
    """A tensor of 128 TiB, which no machine has."""
    split = load("mnist5k", echo=None).train
    with pytest.raises(OutOfMemoryError) as caught, readable_errors(split):
        tf.zeros([2**45])
    said = str(caught.value)
    assert "too little memory: " in said
    assert "35184372088832" in said
    assert "--batch-size" in said
    assert "\n" not in said
