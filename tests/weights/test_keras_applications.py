"""keras.applications' networks, live: the same weights through our importer, the same outputs.

Weights and batch statistics are random, so that no layer is an identity. The default networks are
the papers' (no biases, another epsilon): the importer's folding is exact, and must show it here.
"""

import keras
import numpy as np
import pytest

import kerascnn
from kerascnn import weights

# keras.applications' version 2 is another network than the paper's; these arguments build it.
V2 = {
    "first_activation": "unit",
    "stem_pool": "keras",
    "stride_at": "last",
    "use_bias": True,
}
PAIRS = {
    "VGG16": ("vgg16", {}),
    "VGG19": ("vgg19", {}),
    "ResNet50": ("resnet50", {}),
    "ResNet101": ("resnet101", {}),
    "ResNet152": ("resnet152", {}),
    "ResNet50V2": ("resnet50v2", V2),
    "ResNet101V2": ("resnet101v2", V2),
    "ResNet152V2": ("resnet152v2", V2),
    "DenseNet121": ("densenet121", {}),
    "DenseNet169": ("densenet169", {}),
    "DenseNet201": ("densenet201", {}),
}
FAST = ("ResNet50", "ResNet50V2", "DenseNet121")
CASES = [
    pytest.param(name, id=name, marks=() if name in FAST else pytest.mark.slow) for name in PAIRS
]


def randomize(model, seed=0):
    """Random weights that keep the activations in range, and random batch statistics."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for variable in layer.weights:
            spread = {"moving_variance": (0.5, 1.5), "gamma": (0.5, 1.0)}.get(variable.name)
            if spread:
                variable.assign(rng.uniform(*spread, variable.shape))
            elif variable.name != "kernel":
                variable.assign(0.05 * rng.standard_normal(variable.shape))


def close(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("name", CASES)
def test_features_are_keras_applications(name):
    """At an even and an odd size, where padding shows."""
    ours, arguments = PAIRS[name]
    theirs = getattr(keras.applications, name)(weights=None, include_top=False)
    randomize(theirs)
    model = kerascnn.create(ours, include_top=False, **arguments)
    report = weights.load(model, theirs, source="keras_applications", verbose=False)
    assert not report.initial
    assert not report.unused
    rng = np.random.default_rng(1)
    for shape in ((2, 64, 64, 3), (1, 75, 91, 3)):
        image = 4 * rng.standard_normal(shape).astype("float32")
        close(model(image, training=False), theirs(image, training=False))


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("VGG16", "DenseNet121")]


@pytest.mark.parametrize("name", ["ResNet50V2", *SLOW])
def test_predictions_are_keras_applications(name, tmp_path):
    """With the classifier, by way of a file of Keras 2's layout."""
    ours, arguments = PAIRS[name]
    shape = (64, 64, 3)
    theirs = getattr(keras.applications, name)(weights=None, input_shape=shape, classes=17)
    randomize(theirs)
    theirs.save(tmp_path / "theirs.h5")
    model = kerascnn.create(ours, input_shape=shape, classes=17, **arguments)
    weights.load(model, tmp_path / "theirs.h5", verbose=False)
    image = 4 * np.random.default_rng(1).standard_normal((2, *shape)).astype("float32")
    close(model(image, training=False), theirs(image, training=False))
