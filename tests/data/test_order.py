"""The order of an epoch: each example once, or each class as often, by seed and epoch alone."""

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data.order import positions

LABELS = np.array([0] * 20 + [1] * 5 + [3] * 5, "int32")


def order(seed, epoch, **options):
    return positions(len(LABELS), seed, tf.constant(epoch, tf.int64), **options).numpy()


def test_without_a_seed_it_is_the_natural_one():
    assert order(None, 3).tolist() == list(range(30))


def test_each_example_comes_once_in_an_order_of_seed_and_epoch():
    assert sorted(order(1, 0)) == list(range(30))
    np.testing.assert_array_equal(order(1, 0), order(1, 0))
    different = {tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}
    assert len(different) == 4


@pytest.mark.parametrize("epoch", [0, 1])
def test_balanced_classes_come_equally_often(epoch):
    found = order(1, epoch, classes=LABELS)
    assert np.bincount(LABELS[found % 30]).tolist() == [10, 10, 0, 10]
    assert len(set(found.tolist())) == 30, "what comes again has a position of its own"
    small = found[LABELS[found % 30] == 1]
    assert np.bincount(small % 30)[20:25].tolist() == [2] * 5
