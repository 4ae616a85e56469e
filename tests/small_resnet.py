"""A small ResNet: convolutions without biases, batch normalization, a classifier."""

import numpy as np

import kerascnn

SMALL = {"depths": (1, 1), "widths": (4, 8), "kernels": (3, 3), "stem_width": 4}
RNG = np.random.default_rng(0)


def network(**arguments):
    """`resnet18` of two blocks, for images of 32×32×3 and, unless they say other, 10 classes."""
    own = {"input_shape": (32, 32, 3), "classes": 10}
    return kerascnn.create("resnet18", **{**own, **SMALL, **arguments})


def randomized(model):
    """The model, with other weights each time."""
    model.set_weights([RNG.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model
