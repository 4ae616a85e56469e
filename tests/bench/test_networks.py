"""Which peers are asked, and that they are the same networks."""

from dataclasses import replace

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
    monkeypatch.setattr(networks, "installed", lambda *packages: True)
    every = ["kerascnn", "keras.applications", "keras.applications, no XLA"]
    torch = ["torchvision", "torchvision, channels_last", "timm", "timm, channels_last"]
    assert names("resnet50") == every + torch
    assert names("resnet50", ("torchvision",)) == ["kerascnn", *torch[:2]]
    assert names("alexnet_owt") == ["kerascnn", *torch[:2]]
    assert names("alexnet") == ["kerascnn"]  # torchvision's alexnet is another network
    monkeypatch.setattr(networks, "installed", lambda *packages: "timm" not in packages)
    assert names("resnet18") == ["kerascnn", *torch[:2]]


def test_a_network_of_anyones_names_its_peers_on_its_card(monkeypatch):
    monkeypatch.setattr(networks, "installed", lambda *packages: True)
    lenet = kerascnn.get("lenet5")
    card = replace(lenet.card, peers={"torchvision": "segmentation.someones"})
    someones = kerascnn.register(lenet.variant("someones", card=card))
    assert names("someones") == ["kerascnn", "torchvision", "torchvision, channels_last"]
    assert networks.peer("torchvision", "someones") == "segmentation.someones"
    kerascnn.register(someones.variant("another", widths=(2, 3)))
    assert names("another") == ["kerascnn"], "with other arguments it is another network"


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
