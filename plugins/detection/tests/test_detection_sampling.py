"""Sampling: exact counts, and nothing but seed, step and image decides."""

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.sampling import chosen, draws, sample

IMAGES = tf.constant([3, 11, 12, 40])


def numbers_of(images, seed=0, epoch=0):
    """What `draws` takes, of images in one epoch."""
    images = tf.convert_to_tensor(images)
    return tf.stack([tf.fill(images.shape, seed), tf.fill(images.shape, epoch), images], axis=1)


def test_draws_are_even_and_independent_of_each_other():
    found = draws(numbers_of(tf.range(40), 5), 500).numpy().astype("float64")
    assert found.min() >= 0
    shares = found / 2**31
    counts = np.histogram(shares, 20, (0, 1))[0]
    expected = found.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # χ² of 19, 1 in 1,000
    for other in (np.roll(shares, 1, 0), np.roll(shares, 1, 1)):
        assert abs(np.corrcoef(shares.ravel(), other.ravel())[0, 1]) < 0.03


def test_draws_depend_on_seed_epoch_and_image_alone():
    base = draws(numbers_of(IMAGES, 1, 7), 300).numpy()
    np.testing.assert_array_equal(draws(numbers_of(IMAGES[::-1], 1, 7), 300).numpy()[::-1], base)
    np.testing.assert_array_equal(draws(numbers_of(IMAGES[2:], 1, 7), 300), base[2:])
    for seed, epoch in ((2, 7), (1, 8), (7, 1), (-1, 7), (2**31 - 1, 7)):
        assert (draws(numbers_of(IMAGES, seed, epoch), 300).numpy() == base).mean() < 0.01
    np.testing.assert_array_equal(draws(numbers_of(IMAGES, 1, 7), 100), base[:, :100])


def test_draws_are_the_same_compiled():
    compiled = tf.function(lambda numbers: draws(numbers, 64), jit_compile=True)
    numbers = numbers_of(IMAGES, -3, 9)
    np.testing.assert_array_equal(compiled(numbers), draws(numbers, 64))


@pytest.mark.parametrize(
    ("positives", "negatives", "taken"),
    [(30, 60, (8, 24)), (3, 60, (3, 29)), (0, 60, (0, 32)), (30, 5, (8, 5)), (0, 0, (0, 0))],
)
def test_counts_are_exact(positives, negatives, taken):
    """Up to a quarter is positive; negative ones fill up."""
    kinds = np.repeat([1, -1, 0], [positives, negatives, 10])
    kinds = np.stack([np.random.default_rng(n).permutation(kinds) for n in range(4)])
    numbers = draws(numbers_of(IMAGES), kinds.shape[1])
    positive, negative = sample(
        numbers, tf.constant(kinds == 1), tf.constant(kinds == -1), count=32, share=0.25
    )
    np.testing.assert_array_equal(np.sum(positive, axis=1), [taken[0]] * 4)
    np.testing.assert_array_equal(np.sum(negative, axis=1), [taken[1]] * 4)
    assert not (positive.numpy() & (kinds != 1)).any()
    assert not (negative.numpy() & (kinds != -1)).any()


def test_equal_draws_dont_change_the_counts():
    some = tf.ones([1, 50], bool)
    positive, _ = sample(tf.zeros([1, 50], tf.int32), some, ~some, count=20, share=0.5)
    assert positive.numpy().sum() == 10


def test_each_candidate_is_drawn_as_often_as_the_others():
    numbers = draws(numbers_of(tf.range(2000)), 20)
    everyone = tf.ones([2000, 20], bool)
    positive, _ = sample(numbers, everyone, ~everyone, count=10, share=0.5)
    often = np.sum(positive, axis=0)
    assert often.sum() == 2000 * 5
    assert abs(often - 500).max() < 4.5 * np.sqrt(500 * 0.75)


def test_what_is_chosen_has_a_fixed_shape():
    marked = tf.constant([[False, True, False, True, True], [False] * 5])
    places, there = chosen(marked, 4)
    np.testing.assert_array_equal(places[0, :3], [1, 3, 4])
    np.testing.assert_array_equal(there, [[True, True, True, False], [False] * 4])
    places, there = tf.function(chosen).get_concrete_function(
        tf.TensorSpec((None, None), tf.bool), 9
    )(marked)
    np.testing.assert_array_equal(places[0, :3], [1, 3, 4])
    np.testing.assert_array_equal(np.sum(there, axis=1), [3, 0])
    assert np.max(places) == 4


def test_two_replicas_draw_what_one_device_draws(two_devices):
    numbers = numbers_of(IMAGES, 1, 7)
    parts = two_devices.experimental_distribute_values_from_function(
        lambda context: numbers[context.replica_id_in_sync_group :: 2]
    )
    found = two_devices.run(tf.function(lambda part: draws(part, 30)), args=(parts,))
    alone = draws(numbers, 30).numpy()
    first, second = two_devices.experimental_local_results(found)
    np.testing.assert_array_equal(first, alone[0::2])
    np.testing.assert_array_equal(second, alone[1::2])
