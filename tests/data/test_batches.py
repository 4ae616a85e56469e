"""The order of examples: a pure function of seed and epoch, with none lost and none doubled."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data import ArraySplit, ReadSplit
from kerascnn.errors import ArgumentError

SIZE = 103


@pytest.fixture(scope="module", params=["memory", "read"])
def split(request):
    """103 different images, in memory or read one by one; image i holds i in its first pixel."""
    images = np.random.default_rng(0).integers(0, 256, (SIZE, 5, 4, 3), "uint8")
    images[:, 0, 0, 0] = np.arange(SIZE)
    labels = np.arange(SIZE) % 7
    if request.param == "memory":
        return ArraySplit(images, labels)
    return ReadSplit(lambda position: images[position], labels, (5, 4, 3))


def collect(data):
    return [tuple(part.numpy() for part in batch) for batch in data]


def order(batches):
    return np.concatenate([images[:, 0, 0, 0] for images, *_ in batches]).tolist()


def same(left, right):
    return len(left) == len(right) and all(
        np.array_equal(a, b) for one, two in zip(left, right) for a, b in zip(one, two)
    )


def test_natural_order_and_types(split):
    batches = collect(split.batches(10))
    assert order(batches) == list(range(SIZE))
    assert [len(labels) for _, labels in batches] == [10] * 10 + [3]
    assert np.concatenate([labels for _, labels in batches]).tolist() == split.labels.tolist()
    images, labels = split.batches(10).element_spec
    assert (images.dtype, labels.dtype) == (tf.uint8, tf.int32)
    assert images.shape.as_list() == [None, 5, 4, 3]


def test_every_epoch_has_every_example_once_in_an_order_of_its_own(split):
    batches = collect(split.batches(16, seed=5, epochs=3))
    assert [len(labels) for _, labels in batches] == ([16] * 6 + [7]) * 3
    epochs = [order(batches[start : start + 7]) for start in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(SIZE)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert order(collect(split.batches(16, seed=6))) != epochs[0]
    for images, labels in batches:
        assert labels.tolist() == (images[:, 0, 0, 0] % 7).tolist()


def test_starting_at_an_epoch_equals_having_passed_the_earlier_ones(split):
    whole = collect(split.batches(16, seed=5, epochs=5, with_index=True))
    resumed = collect(split.batches(16, seed=5, first_epoch=3, epochs=5, with_index=True))
    assert same(whole[3 * 7 :], resumed)


def test_order_does_not_depend_on_the_batch_size(split):
    assert order(collect(split.batches(7, seed=1))) == order(collect(split.batches(50, seed=1)))


def test_endless_pipeline_goes_on_as_the_finite_one(split):
    endless = split.batches(40, seed=2, epochs=None)
    assert int(endless.cardinality()) == tf.data.INFINITE_CARDINALITY
    assert same(collect(endless.take(9)), collect(split.batches(40, seed=2, epochs=3)))


def test_dropping_the_remainder_comes_after_the_shuffle_and_in_each_epoch(split):
    batches = collect(split.batches(20, seed=3, epochs=2, drop_remainder=True))
    full = collect(split.batches(20, seed=3, epochs=2))
    assert same(batches, full[:5] + full[6:11])
    spec = split.batches(20, drop_remainder=True).element_spec
    assert spec[0].shape.as_list() == [20, 5, 4, 3]


def test_number_of_batches_is_known_beforehand(split):
    for options in ({}, {"epochs": 3}, {"drop_remainder": True}, {"first_epoch": 2, "epochs": 3}):
        data = split.batches(20, **options)
        assert int(data.cardinality()) == len(list(data)), options


def test_index_and_epoch_of_each_image(split):
    batches = collect(split.batches(30, seed=4, first_epoch=1, epochs=3, with_index=True))
    for number, (images, labels, index, epoch) in enumerate(batches):
        assert index.tolist() == images[:, 0, 0, 0].tolist()
        assert labels.tolist() == split.labels[index].tolist()
        assert epoch.tolist() == [1 + number // 4] * len(labels)


def test_the_order_is_pinned():
    """A checkpoint of last year must resume in the same order; TensorFlow doesn't promise it."""
    split = ArraySplit(np.arange(10, dtype="uint8").reshape(10, 1, 1, 1), np.arange(10))
    batches = collect(split.batches(10, seed=7, epochs=2))
    assert [labels.tolist() for _, labels in batches] == [
        [3, 4, 1, 9, 0, 2, 6, 5, 7, 8],
        [9, 1, 0, 4, 2, 5, 3, 8, 6, 7],
    ]


def test_two_replicas_together_see_every_example_once(split, two_devices):
    data = two_devices.experimental_distribute_dataset(split.batches(20, seed=1, epochs=2))
    seen = []
    for batch in data:
        for part in two_devices.experimental_local_results(batch[0]):
            seen += part[:, 0, 0, 0].numpy().tolist()
    assert sorted(seen) == sorted(2 * list(range(SIZE)))


def test_an_empty_split_yields_nothing_even_when_endless():
    empty = ArraySplit(np.zeros((0, 4, 4, 1), "uint8"), np.zeros(0))
    assert empty.size == 0
    assert list(empty.batches(8, seed=1, epochs=None)) == []


def test_impossible_batches_are_refused(split):
    with pytest.raises(ArgumentError, match=r"at least 1. Received: 0"):
        split.batches(0)
    with pytest.raises(ArgumentError, match=r"103 images. Received: batch_size=104"):
        split.batches(104, drop_remainder=True)


def test_an_example_is_a_copy(split):
    image, label = split.example(8)
    assert (image[0, 0, 0], label) == (8, 1)
    if isinstance(split, ArraySplit):
        image[:] = 0
        assert split.example(8)[0][0, 0, 0] == 8


@pytest.mark.slow
def test_ending_the_process_while_images_are_read_ahead_is_silent():
    code = """
import time
import numpy as np
from kerascnn.data import ReadSplit

def read(position):
    time.sleep(0.01)
    return np.zeros((64, 64, 3), "uint8")

split = ReadSplit(read, np.zeros(10_000, int), (64, 64, 3))
batches = iter(split.batches(32, seed=1, epochs=None))
next(batches)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0
    assert "Error" not in ended.stderr.replace("INTERNAL: CUDA error", "")
    assert "Traceback" not in ended.stderr
