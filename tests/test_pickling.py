"""Architectures go to other processes and back, and are copied."""

import copy
import multiprocessing
import pickle

import keras
import numpy as np
import pytest

import kerascnn
from kerascnn.applications.resnet import ResNet18
from kerascnn.architecture import Architecture
from kerascnn.card import Card

NAMES = kerascnn.list_architectures(provider="kerascnn")


@pytest.mark.parametrize("name", NAMES)
def test_every_architecture_comes_back_as_itself(name):
    architecture = kerascnn.get(name)
    for found in (pickle.loads(pickle.dumps(architecture)), copy.deepcopy(architecture)):
        assert found is architecture


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_of_every_architecture_comes_back_with_all_it_has(name):
    variant = kerascnn.get(name).variant("mine")
    for found in (pickle.loads(pickle.dumps(variant)), copy.copy(variant), copy.deepcopy(variant)):
        assert found is not variant
        assert found.name == "mine"
        assert (found.card, found.space, found.recipe) == (
            variant.card,
            variant.space,
            variant.recipe,
        )
        assert found.space.defaults() == variant.space.defaults()
        shape = variant.card.input_shape
        assert found.cost(shape, 3) == variant.cost(shape, 3)


def params(architecture):
    """Run in another process."""
    return architecture.cost((64, 64, 3), 10).params


def test_they_go_to_a_pool_of_fresh_processes():
    """Also one that was registered here only: another process's registry knows nothing of it."""
    mine = kerascnn.register(ResNet18.variant("pickled_resnet", depths=(1, 1, 1, 1)))
    broken = mine.variant("mine", widths=(8, 16, 32, 64))
    sent = [ResNet18, mine, broken, kerascnn.get("vgg11"), kerascnn.get("googlenet")]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_params, [pickle.dumps(one) for one in sent]) == [params(a) for a in sent]


def _params(data):
    return params(pickle.loads(data))


def test_a_builder_inside_of_a_function_is_named():
    def build(x):
        return x

    card = Card(title="T", authors="N", year=2000, link="d", input_shape=(8, 8, 3), classes=3)
    with pytest.raises((AttributeError, pickle.PicklingError), match="build"):
        pickle.dumps(Architecture(name="inner", build=build, card=card))


def test_models_are_pickled_as_keras_does_it():
    model = kerascnn.create("lenet5_1998")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype("float32")
    found = pickle.loads(pickle.dumps(model))
    np.testing.assert_allclose(found(images), model(images), atol=1e-6)
    assert isinstance(copy.deepcopy(model), keras.Model)
