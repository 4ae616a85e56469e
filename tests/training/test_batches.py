"""What a training step is given: images and targets, and what a network may draw by."""

from types import SimpleNamespace

import numpy as np

from kerascnn.card import Preprocessing
from kerascnn.data.splits import ArraySplit
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.position import Position
from kerascnn.training.batches import training_batches
from kerascnn.training.settings import Batching

SEED = 2**32 - 3


def draws(start, count, share=(0, 1)):
    """Those of so many batches, and the images that they stand beside, which are their number."""
    images = np.arange(8, dtype="uint8")[:, None, None, None]
    config = SimpleNamespace(
        seed=SEED,
        recipe=Recipe(),
        input_shape=(1, 1, 1),
        preprocessing=Preprocessing(scale=1.0),
    )
    found = training_batches(
        ArraySplit(images, np.arange(8)),
        config,
        Batching(4, 1, 2, ()),
        start,
        SimpleNamespace(index=share[0], count=share[1]),
        draws=True,
    )
    return [(pixels.numpy().ravel(), d.numpy()) for pixels, _, d in found.take(count)]


def test_draws_are_the_seed_the_epoch_and_the_images_number():
    """They are the same wherever a training goes on from, and however many workers there are."""
    whole = draws(Position(), 4)
    for batch, (pixels, found) in enumerate(whole):
        assert found.dtype == "int32"
        np.testing.assert_array_equal(found[:, 0].astype("uint32"), SEED)
        np.testing.assert_array_equal(found[:, 1], batch // 2)
        np.testing.assert_array_equal(found[:, 2], pixels)
    for (_, one), (_, other) in zip(draws(Position(epoch=1, update=1), 1), whole[3:], strict=True):
        np.testing.assert_array_equal(one, other)
    parts = [draws(Position(), 1, (worker, 2))[0][1] for worker in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[0][1])
