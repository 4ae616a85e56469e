"""The images that are shown as the worst are those with the highest loss, over all batches."""

import numpy as np
import tensorflow as tf

from kerascnn.tasks.classification.mistakes import SHOWN, find_mistakes, softmax

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (100, 4, 4, 1), "uint8")
LABELS = RNG.integers(0, 10, 100).astype("int32")
LINE = RNG.normal(size=(1, 10))


def probabilities(images):
    """A fixed function of the image's mean."""
    scores = np.exp(np.mean(images, axis=(1, 2, 3), dtype="float64")[:, None] * LINE / 10)
    return scores / scores.sum(-1, keepdims=True)


def test_the_worst_images_are_those_with_the_highest_loss_and_the_best_with_the_lowest():
    parts = [slice(at, at + 16) for at in range(0, 100, 16)]
    found = find_mistakes((IMAGES[p], LABELS[p], probabilities(IMAGES[p])) for p in parts)
    chances = probabilities(IMAGES)
    losses = -np.log(chances[np.arange(100), LABELS])
    worst = np.argsort(-losses)[:SHOWN]
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_array_equal(found.predictions, chances.argmax(-1))
    np.testing.assert_array_equal(found.worst.images, IMAGES[worst])
    np.testing.assert_array_equal(found.worst.labels, LABELS[worst])
    np.testing.assert_allclose(found.worst.probabilities, chances[worst])
    np.testing.assert_array_equal(found.best.images, IMAGES[np.argsort(losses)[:SHOWN]])


def test_fewer_images_than_are_shown_are_all_there():
    batches = [(IMAGES[:3], LABELS[:3], probabilities(IMAGES[:3]))]
    assert len(find_mistakes(batches).worst.images) == 3


def test_logits_become_the_probabilities_that_tensorflow_makes_of_them():
    logits = RNG.normal(size=(3, 5), scale=200).astype("float32")
    np.testing.assert_allclose(softmax(logits), tf.nn.softmax(logits), rtol=1e-6, atol=1e-30)
