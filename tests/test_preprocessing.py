"""Preprocessing agrees with keras.applications' three modes and stays right inside a model."""

import keras
import numpy as np
import pytest

from kerascnn import Preprocessing
from kerascnn.applications import VGG16, LeNet5
from kerascnn.errors import ArgumentError
from kerascnn.preprocessing import PreprocessingLayer, preprocess

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), "uint8")
TORCH = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = Preprocessing(scale=1.0, mean=(103.939, 116.779, 123.68), order="BGR")
TF = Preprocessing(scale=1 / 127.5, mean=(1.0,))
APPLICATIONS = {
    "densenet": TORCH,
    "vgg16": CAFFE,
    "resnet_v2": TF,
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_agrees_with_keras_applications(name):
    theirs = getattr(keras.applications, name).preprocess_input(IMAGES.astype("float32"))
    ours = preprocess(IMAGES, APPLICATIONS[name])
    assert keras.backend.standardize_dtype(ours.dtype) == "float32"
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * scale)


def test_any_dtype_gives_the_same():
    for dtype in ("int32", "float32", "float64"):
        np.testing.assert_array_equal(
            preprocess(IMAGES.astype(dtype), TORCH), preprocess(IMAGES, TORCH)
        )


@pytest.mark.parametrize("channels", [1, 4])
def test_three_values_on_another_number_of_channels_are_averaged(channels):
    images = np.repeat(IMAGES[..., :1], channels, axis=-1)
    expected = (images / 255 - np.mean(TORCH.mean)) / np.mean(TORCH.std)
    np.testing.assert_allclose(preprocess(images, TORCH), expected, atol=1e-5)
    expected = images - np.mean(CAFFE.mean)
    np.testing.assert_allclose(preprocess(images, CAFFE), expected, atol=1e-4)


def test_values_that_fit_no_channels_are_refused():
    with pytest.raises(ArgumentError, match=r"mean must have 1, 3 or 4 values.*\(1, 2\)"):
        preprocess(np.zeros((1, 2, 2, 4)), Preprocessing(mean=(1, 2)))


def test_lenet_gets_the_papers_background_and_ink():
    """Section II.B: background -0.1, ink 1.175."""
    images = np.array([0, 255], "uint8").reshape(1, 1, 2, 1)
    values = np.ravel(LeNet5.preprocess_input(images))
    np.testing.assert_allclose(values, [-0.1, 1.175], atol=1e-6)
    assert images.ravel().tolist() == [0, 255]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_layer_in_a_saved_model_keeps_float32(tmp_path, dtype, policy):
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((5, 4, 3), dtype=dtype)
        layer = PreprocessingLayer(scale=1.0, mean=CAFFE.mean, order="BGR", name="pixels")
        model = keras.Model(inputs, layer(inputs))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.outputs[0].dtype == "float32"
    assert not model.weights
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras")
    images = IMAGES.astype(dtype)
    for network in (model, reloaded):
        np.testing.assert_array_equal(network.predict(images, verbose=0), preprocess(IMAGES, CAFFE))
    assert reloaded.get_layer("pixels").preprocessing == CAFFE


def test_an_architecture_has_its_own():
    """As keras.applications has one in each family's module."""
    ours = VGG16.preprocess_input(IMAGES, "imagenet:keras")
    theirs = keras.applications.vgg16.preprocess_input(IMAGES.astype("float32"))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
