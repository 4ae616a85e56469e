"""Which peers are asked, and that they are the same networks."""

import keras
import pytest

import kerascnn
from kerascnn.bench import networks
from kerascnn.keras_internals import without_values


def names(name, against=("keras", "torchvision", "timm")):
    return [
        c.name for c in networks.contestants("kerascnn.bench.infer", name, 2, against, (32, 32, 3))
    ]


def test_peers_are_those_installed_that_have_the_network(monkeypatch):
    monkeypatch.setattr(networks, "_installed", lambda *packages: True)
    every = ["kerascnn", "keras.applications", "keras.applications, no XLA"]
    torch = ["torchvision", "torchvision, channels_last", "timm", "timm, channels_last"]
    assert names("resnet50") == every + torch
    assert names("resnet50", ("torchvision",)) == ["kerascnn", *torch[:2]]
    assert names("alexnet_owt") == ["kerascnn", *torch[:2]]
    assert names("alexnet") == ["kerascnn"]  # torchvision's alexnet is another network
    monkeypatch.setattr(networks, "_installed", lambda *packages: "timm" not in packages)
    assert names("resnet18") == ["kerascnn", *torch[:2]]


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "densenet121", "resnet50v2"])
def test_keras_applications_network_is_as_large(name):
    """Convolutions and dense layers; its ResNet has biases before batch normalization besides."""
    with without_values():
        theirs = getattr(keras.applications, networks.KERAS[name])(weights=None)
        ours = kerascnn.create(name)
    shapes = [
        sorted(tuple(v.shape) for v in model.weights if v.name == "kernel")
        for model in (ours, theirs)
    ]
    assert shapes[0] == shapes[1]
