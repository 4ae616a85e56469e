"""An evaluation while training counts each image of a split once, in every pass."""

import contextlib
from types import SimpleNamespace

import numpy as np

from kerascnn.card import Preprocessing
from kerascnn.data.splits import ArraySplit
from kerascnn.distribution.signals import Request
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.position import Totals
from kerascnn.training.evaluator import Evaluator
from kerascnn.training.pace import Pace

WORKERS = SimpleNamespace(count=1, index=0, sum=lambda values: np.asarray(values, "float64"))


class Adding:
    """An engine whose loss is the sum of the pixels; every image with the label 1 is right."""

    counts, judged = 1, None

    def __init__(self):
        self.iterators, self.in_average = 0, False

    def distribute(self, data):
        self.iterators += 1
        return data

    @contextlib.contextmanager
    def averaged(self):
        self.in_average = True
        yield
        self.in_average = False

    def evaluate(self, batches, steps):
        assert self.in_average
        totals = Totals()
        for _ in range(steps):
            images, labels, real = (part.numpy() for part in next(batches))
            right = float((labels[real] == 1).sum())
            totals += Totals(float(images[real].sum()), (right,), real.sum())
        return totals

    def figures(self, totals):
        return {"loss": totals.mean_loss, "error": 1 - totals.sums[0] / totals.images}


def split(count):
    images = np.arange(count, dtype="uint8")[:, None, None, None]
    return ArraySplit(images, (np.arange(count) % 2).astype("int32"))


def test_each_pass_counts_every_image_once_with_one_iterator():
    engine = Adding()
    dataset = SimpleNamespace(splits={"validation": split(67), "test": split(0)})
    evaluator = Evaluator(
        engine,
        dataset,
        SimpleNamespace(
            input_shape=(1, 1, 1),
            recipe=Recipe(),
            preprocessing=Preprocessing(scale=1.0),
        ),
        training_batch=8,
        workers=WORKERS,
        pace=Pace(WORKERS, Request()),
    )
    assert "validation" in evaluator
    expected = {"val_loss": sum(range(67)) / 67, "val_error": 34 / 67}
    assert evaluator("validation") == expected
    assert evaluator("validation") == expected
    assert engine.iterators == 1, "a new one for each pass would cost half a second"
    assert "test" not in evaluator
    assert evaluator("test") == {}
