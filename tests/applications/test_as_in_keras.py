"""Code for keras.applications' modules works with ours in their place."""

import importlib

import keras
import numpy as np
import pytest

from kerascnn import applications
from kerascnn.errors import ArgumentError

# Module → constructors, as keras.applications has them.
MODULES = {
    "vgg16": ("VGG16",),
    "vgg19": ("VGG19",),
    "resnet50": ("ResNet50",),
    "resnet": ("ResNet50", "ResNet101", "ResNet152"),
    "resnet_v2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "densenet": ("DenseNet121", "DenseNet169", "DenseNet201"),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_module_has_what_keras_s_has(name):
    ours = importlib.import_module(f"kerascnn.applications.{name}")
    assert getattr(applications, name) is ours
    theirs = getattr(keras.applications, name)
    for constructor in MODULES[name]:
        assert getattr(ours, constructor) is getattr(applications, constructor)
        assert callable(getattr(theirs, constructor))
    with pytest.raises(ValueError, match="1000"):  # both refuse what isn't ImageNet's
        ours.decode_predictions(np.zeros((1, 10)))


@pytest.mark.parametrize("name", MODULES)
def test_pixels_become_what_the_published_weights_expect(name):
    """Those that `weights="imagenet"` fetches, of whichever publisher."""
    ours = importlib.import_module(f"kerascnn.applications.{name}")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype("uint8")
    before = pixels.copy()
    found = ours.preprocess_input(pixels)
    assert isinstance(found, np.ndarray)
    assert found.dtype == "float32"
    np.testing.assert_array_equal(pixels, before)
    for constructor in MODULES[name]:
        architecture = getattr(ours, constructor)
        sources = architecture.weights
        source = next((s for s in sources if s.fits(architecture.space.defaults())), sources[0])
        expected = architecture.preprocess_input(pixels, source.name, **source.requires)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        if source.publisher == "keras":
            theirs = getattr(keras.applications, name).preprocess_input(pixels.astype("float32"))
            np.testing.assert_allclose(found, theirs, atol=1e-4)


def test_it_is_a_layer_of_a_model_and_refuses_other_formats():
    from kerascnn.applications.resnet50 import preprocess_input

    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, preprocess_input(inputs))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype("float32")
    np.testing.assert_allclose(model(pixels), preprocess_input(pixels), atol=1e-5)
    with pytest.raises(ArgumentError, match="Received: 'channels_first'"):
        preprocess_input(pixels, data_format="channels_first")
