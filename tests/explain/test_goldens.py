"""What Captum and torch say about torchvision's networks, under the same synthetic weights.

Conventions, and the versions that the arrays were made with, stand in each file's json, `note`.
Two of the networks have small heads, a small input and all methods; two are torchvision's own.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import synthetic

import kerascnn
from kerascnn import explain, weights

GOLDENS = Path(__file__).parents[1] / "goldens" / "explain"

SMALL = {"hidden": (64, 64), "classes": 10}
OURS = {
    "alexnet-small": ("alexnet_owt", {"input_shape": (127, 127, 3), "grid": 3, **SMALL}),
    "vgg11-small": ("vgg11", {"input_shape": (64, 64, 3), **SMALL}),
    "alexnet": ("alexnet_owt", {}),
    "vgg11": ("vgg11", {}),
}
CONVOLUTION = {"alexnet_owt": "conv5", "vgg11": "block5_conv2"}  # the last one
RELUS = {  # torchvision's numbers in `features`
    "alexnet_owt": {9: "conv4_relu", 11: "conv5_relu"},
    "vgg11": {12: "block4_conv1_relu", 19: "block5_conv2_relu"},
}


def golden(name):
    """The network with its weights, its input once for each target, and Captum's arrays."""
    ours, arguments = OURS[name]
    described = json.loads((GOLDENS / f"captum-{name}.json").read_text())
    model = kerascnn.create(ours, **arguments)  # ends in softmax; the goldens are of the logits
    state = {row[0]: synthetic(*row) for row in described["parameters"]}
    weights.load(model, state, source="torchvision")
    draw = np.random.RandomState(described["input"]["random_state"]).standard_normal
    image = draw(described["input"]["shape"]).astype("float32")
    return SimpleNamespace(
        model=model,
        images=np.repeat(image, 2, axis=0),
        targets=described["targets"],
        settings=described["settings"],
        convolution=CONVOLUTION[ours],
        relus=RELUS[ours],
        arrays=np.load(GOLDENS / f"captum-{name}.npz"),
    )


def agree(found, *goldens):
    """Whether float32 arrays are Captum's within 1e-4 of the largest value, image by image."""
    theirs = np.stack(goldens).reshape(found.shape)  # a map of ours has no axis of channels
    largest = np.abs(theirs).max(axis=tuple(range(1, theirs.ndim)))
    wrong = np.abs(found - theirs).max(axis=tuple(range(1, theirs.ndim)))
    return found.dtype == np.float32 and (wrong <= 1e-4 * largest).all()


@pytest.fixture(
    scope="module",
    params=["alexnet-small", pytest.param("vgg11-small", marks=pytest.mark.slow)],
)
def case(request):
    return golden(request.param)


def theirs(case, method):
    """Captum's array for each target."""
    return [case.arrays[f"{method}_{target}"] for target in case.targets]


def test_the_gradient_is_captums(case):
    found = explain.saliency(case.model, case.images, case.targets, signed=True)
    assert agree(found, *theirs(case, "gradient"))


def test_the_unsigned_gradient_is_the_largest_of_the_channels(case):
    found = explain.saliency(case.model, case.images, case.targets)
    assert agree(found, *(np.abs(g).max(axis=-1) for g in theirs(case, "gradient")))


def test_deconvnet_is_captums(case):
    found = explain.deconvnet(case.model, case.images, case.targets)
    assert agree(found, *theirs(case, "deconvnet"))


def test_guided_backpropagation_is_captums(case):
    found = explain.guided_backprop(case.model, case.images, case.targets)
    assert agree(found, *theirs(case, "guided_backprop"))


def test_projections_of_units_in_two_layers_are_torchs(case):
    named = case.settings["projections"]
    maps = [(case.relus[each["features_index"]], each["channel"]) for each in named]
    assert len({layer for layer, _ in maps}) == 2
    found = explain.deconvnet(case.model, case.images, maps)  # of the strongest activations
    assert agree(found, *(case.arrays[f"projection_{each['name']}"] for each in named))
    places = [tuple(each["position_yx"]) for each in named]  # where torch has found them
    units = [(*each, place) for each, place in zip(maps, places)]
    found = explain.guided_backprop(case.model, case.images, units)
    assert agree(found, *(case.arrays[f"guided_{each['name']}"] for each in named))
    found = explain.saliency(case.model, case.images, units, signed=True)
    assert agree(found, *(case.arrays[f"gradient_{each['name']}"] for each in named))


def test_integrated_gradients_are_captums_but_for_a_few_relus_at_zero(case):
    image, target = case.images[:1], case.targets[0]
    found = explain.integrated_gradients(case.model, image, target, steps=32)
    captums = case.arrays[f"integrated_gradients_gausslegendre32_{target}"]
    # At a few of the 32 points the input of one ReLU is zero within rounding, and torch and
    # TensorFlow fall on different sides of it. The pixels that this unit sees differ then, by one
    # point's share. With AlexNet's image changed by 3e-7, all pixels agree within 6e-7.
    wrong = np.abs(found[0] - captums) / np.abs(captums).max()
    assert np.mean(wrong <= 1e-4) > 0.85
    assert wrong.max() < 3e-3


def test_grad_cam_is_captums_before_and_behind_the_last_relu(case):
    model, images, targets = case.model, case.images, case.targets
    found = explain.grad_cam(model, images, targets, layer=case.convolution, signed=True)
    assert agree(found, *theirs(case, "gradcam_conv"))
    found = explain.grad_cam(model, images, targets, layer=case.convolution)
    assert agree(found, *theirs(case, "gradcam_conv_relu"))
    found = explain.grad_cam(model, images, targets, layer=f"{case.convolution}_relu")
    assert agree(found, *theirs(case, "gradcam_after_activation_relu"))


def test_an_upsampled_grad_cam_is_captums_and_of_the_last_relu_unless_said(case):
    found = explain.grad_cam(case.model, case.images, case.targets, upsample="bilinear")
    assert agree(found, *theirs(case, "gradcam_upsampled_bilinear"))


def test_guided_grad_cam_is_captums(case):
    found = explain.guided_grad_cam(
        case.model, case.images, case.targets, layer=case.convolution, upsample="nearest"
    )
    assert agree(found, *theirs(case, "guided_gradcam_nearest"))


def test_occlusion_is_captums(case):
    tried = {k: v for k, v in case.settings.items() if k.startswith("occlusion")}
    assert len(tried) == 2
    for name, setting in tried.items():
        found = explain.occlusion(case.model, case.images[:1], case.targets[1], **setting)
        assert agree(found, theirs(case, name)[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_grad_cam_is_captums_for_torchvisions_own_heads(name):
    case = golden(name)
    model, images, targets = case.model, case.images, case.targets
    found = explain.grad_cam(model, images, targets, layer=case.convolution, signed=True)
    assert agree(found, *theirs(case, "gradcam_conv"))
    found = explain.grad_cam(model, images, targets)
    assert agree(found, *theirs(case, "gradcam_after_activation_relu"))
