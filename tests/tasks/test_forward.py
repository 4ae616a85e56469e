"""Predictions of many images and of few, in batches of any size."""

import keras
import numpy as np
import pytest

from kerascnn.data import ArraySplit
from kerascnn.tasks.forward import FEW, outputs


@pytest.mark.parametrize(("images", "traced"), [(FEW, False), (FEW + 3, True)])
def test_all_batches_have_one_graph_and_few_images_have_none(images, traced):
    """The last batch is smaller; a graph takes longer than a few images do without."""
    inputs = keras.Input((6, 6, 1))
    heads = [keras.layers.Dense(3)(keras.layers.Flatten()(inputs)) for _ in range(2)]
    model = keras.Model(inputs, heads)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 6, 6, 1), "uint8")
    calls = []

    def prepare(batch):
        calls.append(batch)
        return keras.ops.cast(batch, "float32") / 255

    batches = outputs(model, ArraySplit(pixels, np.zeros(images)), prepare, 3)
    found = np.concatenate(list(batches))
    assert len(calls) == (1 if traced else -(-images // 3))
    expected = model.predict(pixels / 255, verbose=0)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
