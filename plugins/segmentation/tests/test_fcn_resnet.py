"""FCN on dilated ResNets: counts and outputs are torchvision's, which computed the goldens."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

import kerascnn
from kerascnn import weights
from kerascnn.errors import ArgumentError

GOLDEN = Path(__file__).parent / "goldens" / "torchvision-fcn_resnet50"
SMALL = {
    "depths": (1, 1, 2, 1),
    "widths": (4, 4, 6, 8),
    "stem_width": 4,
    "bottleneck_ratio": 2,
    "head_width": 8,
    "auxiliary_width": 6,
}


def described():
    return json.loads(GOLDEN.with_suffix(".json").read_text())


def value(name, shape, kind, fan_in):
    """A weight from its name and shape alone, as the golden's were made."""
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype("float32")
    if kind == "kernel":
        return z * np.float32(np.sqrt(2.0 / fan_in))
    around = {"gamma": 1, "var": 1}.get(kind, 0)
    found = around + np.float32(0.1) * z
    return np.abs(found) if kind == "var" else found


# `torchvision.models.segmentation` states them: parameters with the auxiliary head, and thousands
# of millions of multiply-adds at 520×520.
TORCHVISION = {
    "fcn_resnet50": (35_322_218, "152.717"),
    "fcn_resnet101": (54_314_346, "232.738"),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_parameters_and_multiply_adds_are_torchvisions(name):
    cost = kerascnn.get(name).cost(auxiliary=True)
    assert (cost.params, f"{cost.macs / 1e9:.3f}") == TORCHVISION[name]
    card = kerascnn.get(name).card
    own = kerascnn.get(name).cost()
    assert (own.params, own.macs) == (card.params, card.macs)


def test_without_the_auxiliary_head_its_parameters_are_missing():
    golden = described()
    assert golden["params"] == TORCHVISION["fcn_resnet50"][0]
    assert kerascnn.get("fcn_resnet50").card.params == golden["params_without_aux"]


@pytest.mark.slow
def test_outputs_are_torchvisions():
    """Under its parameter names, at a size of which no side is a multiple of 8."""
    golden = described()
    model = kerascnn.create(
        "fcn_resnet50",
        input_shape=(None, None, 3),
        auxiliary=True,
        classifier_activation=None,
    )
    state = {name: value(name, *of) for name, *of in golden["parameters"]}
    report = weights.load(model, state, source="torchvision")
    assert not [*report.initial, *report.unused, *report.ignored, *report.notes]
    random = np.random.RandomState(golden["input"]["random_state"])
    image = random.standard_normal(golden["input"]["shape"]).astype("float32")
    names = ["logits_resized", "logits", "aux1_logits"]
    scores, low, aux_low = kerascnn.feature_extractor(model, names)(image)
    with np.load(GOLDEN.with_suffix(".npz")) as expected:
        for found, name in ((scores[:, ::5, ::7], "scores"), (low, "low"), (aux_low, "aux_low")):
            limit = 1e-4 * np.abs(expected[name]).max()
            np.testing.assert_allclose(found, expected[name], atol=limit, rtol=0, err_msg=name)


@pytest.mark.parametrize("auxiliary", [False, True])
def test_every_pixel_of_an_image_of_any_size_gets_its_scores(auxiliary):
    """Shares of one, in float32 under mixed precision, too."""
    model = kerascnn.create(
        "fcn_resnet50", input_shape=(None, None, 3), classes=5, auxiliary=auxiliary, **SMALL
    )
    for size in ((33, 50), (64, 40)):
        image = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
        outputs = model(image)
        outputs = outputs if auxiliary else [outputs]
        assert [output.shape for output in outputs] == [(2, *size, 5)] * (1 + auxiliary)
        for output in outputs:
            np.testing.assert_allclose(np.sum(output, axis=-1), 1, atol=1e-5)


def test_it_starts_from_a_trained_classifier(tmp_path):
    """Layers and shapes of the trunk are those of the ResNet; the head is as it was."""
    fcn, resnet = kerascnn.get("fcn_resnet50"), kerascnn.get("resnet50")
    shared = {name: value for name, value in SMALL.items() if name in resnet.space}
    trained = resnet(input_shape=(64, 64, 3), classes=3, stride_in="3x3", **shared)
    trained.save_weights(tmp_path / "trained.weights.h5")
    weights = f"backbone:{tmp_path / 'trained.weights.h5'}"
    model = fcn(input_shape=(64, 64, 3), weights=weights, auxiliary=True, **SMALL)
    own = {weight.path: weight for weight in model.weights}
    theirs = [weight for weight in trained.weights if "logits" not in weight.path]
    assert len(theirs) > 40
    assert all(np.array_equal(own[weight.path], weight) for weight in theirs)
    known = fcn.network().require("backbone:imagenet")
    assert known == resnet.network({"stride_in": "3x3"}).require("imagenet")


def test_its_weights_fit_without_the_heads():
    fcn = kerascnn.get("fcn_resnet50")
    whole = fcn(input_shape=(64, 64, 3), auxiliary=True, **SMALL)
    trunk = fcn(input_shape=(64, 64, 3), include_top=False, **SMALL)
    assert trunk.output_shape == (None, 8, 8, 16)
    report = weights.load(trunk, whole, verbose=False)
    layers = {name.partition("/")[0] for name in report.unused}
    assert layers == {"head_conv", "head_bn", "logits", "aux1_conv", "aux1_bn", "aux1_logits"}


def test_the_auxiliary_head_needs_a_stage_before_the_last():
    one = {"depths": (1,), "widths": (4,), "kernels": (3,), "auxiliary": True}
    with pytest.raises(ArgumentError, match=r"there must be two. Received: depths=\(1,\)"):
        kerascnn.create("fcn_resnet50", **one)


def test_published_weights_are_known_by_their_data():
    network = kerascnn.get("fcn_resnet101").network()
    assert network.require("coco").file.endswith("fcn_resnet101_coco-7ecb50ca.pth")
    assert network.require("coco:torchvision").digest == "sha256:7ecb50ca"
