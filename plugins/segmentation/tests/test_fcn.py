"""FCN is the authors' network: counts, sizes and crops, on VGG-16 and on other classifiers."""

import dataclasses
import json
from importlib import metadata

import keras
import numpy as np
import pytest
from kerascnn_segmentation.fcn import Cells, levels, offsets
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, WeightsError

# Worked out from the authors' prototxt files: VGG-16, 21 classes, 500×500. Parameters without the
# bilinear kernels, those of kernels from each class to each, and the convolutions' multiply-adds.
COUNTS = {
    "fcn32s": (134_346_581, 1_806_336, 180_903_432_960, 462_422_016),
    "fcn16s": (134_357_354, 458_640, 180_924_248_832, 523_837_440),
    "fcn8s": (134_362_751, 127_008, 180_965_880_576, 563_153_472),
}
CROPS = {"fcn32s": (19,), "fcn16s": (5, 27), "fcn8s": (5, 9, 31)}
# Sides of pool3, pool4, pool5, fc6, upscore_fr, upscore_pool4 and upscore8, by that of the image.
SIZES = {
    1: (25, 13, 7, 1, 4, 10, 88),
    224: (53, 27, 14, 8, 18, 38, 312),
    500: (88, 44, 22, 16, 34, 70, 568),
}
# The same geometry, and next to no filters.
NARROW = {
    "backbone_arguments": "depths=1,1,1,1,1 widths=2,2,3,3,4",
    "head_widths": (5, 6),
}
NAMES = tuple(COUNTS)


def narrow(name, **arguments):
    arguments = {"input_shape": (40, 56, 3), "classes": 4} | NARROW | arguments
    return kerascnn.create(name, **arguments)


def small_vgg(shape):
    """The classifier that `narrow` is built upon."""
    arguments = kerascnn.get("vgg16").space.read(NARROW["backbone_arguments"].split(), what="")
    arguments |= {"hidden": NARROW["head_widths"], "classifier_activation": None}
    return kerascnn.create("vgg16", input_shape=shape, classes=4, **arguments)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_multiply_adds_are_those_of_the_authors_networks(name):
    params, kernels, macs, kernel_macs = COUNTS[name]
    fixed, learned = (kerascnn.get(name).cost(learned=learned) for learned in (False, True))
    assert (fixed.params, fixed.macs) == (params, macs)
    assert (learned.params, learned.macs) == (params + kernels, macs + kernel_macs)
    card = kerascnn.get(name).card
    assert (card.params, card.macs) == (params, macs)


@pytest.mark.parametrize("name", NAMES)
def test_the_crops_are_the_authors(name):
    space = kerascnn.get(name).space.defaults()
    names = ("backbone_arguments", "padding", "head_widths", "head_kernel", "skips")
    assert offsets(*(space[key] for key in names)) == CROPS[name]


def test_the_cells_of_each_map_lie_where_the_authors_coordinates_say():
    """Stride and middle of the first cell, by following `coord_map.py` through the prototxt."""
    pools = [Cells(1, -100).windows(3)]
    for _ in range(5):
        pools.append(pools[-1].windows(2, 2))
    found = [(cells.stride, cells.first) for cells in pools[1:]]
    assert found == [(2, -98.5), (4, -97.5), (8, -95.5), (16, -91.5), (32, -83.5)]
    fc6 = pools[-1].windows(7)
    assert fc6 == Cells(32, 12.5)
    assert fc6.enlarged(32) == Cells(1, -19)
    assert fc6.enlarged(2) == Cells(16, -11.5)
    assert fc6.enlarged(2).enlarged(16) == Cells(1, -27)
    assert fc6.enlarged(2).enlarged(2) == Cells(8, -23.5)


@pytest.mark.parametrize("side", SIZES)
def test_maps_have_the_authors_sizes(side):
    model = narrow("fcn8s", input_shape=(side, side, 3))
    names = ("block3_pool", "block4_pool", "block5_pool")
    names += ("fc6", "upscore_fr", "upscore_pool4", "upscore8")
    assert tuple(model.get_layer(name).output.shape[1] for name in names) == SIZES[side]
    assert model.output_shape == (None, side, side, 4)


@pytest.mark.parametrize(
    ("name", "most"),
    [*((name, 64) for name in NAMES), pytest.param("fcn8s", 700, marks=pytest.mark.slow)],
)
def test_any_image_fits(name, most):
    """What is cut off repeats every 32 pixels."""
    fcn = kerascnn.get(name)
    for side in range(1, most + 1):
        fcn.cost((side, most + 1 - side, 3), classes=2, **NARROW)
    assert fcn.network(NARROW).smallest_input() == 1


def test_a_unit_of_the_coarse_scores_sees_404_pixels_around_the_middle_of_its_cell():
    deep = "widths=2,2,3,3,4"
    model = narrow("fcn32s", backbone_arguments=deep)
    field = kerascnn.profile(model)["score_fr"].receptive_field
    assert (field.size, field.stride) == ((404, 404), (32, 32))
    assert field.start[0] + (404 - 1) / 2 == 12.5


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fcn32s", {}),
        ("fcn8s", {"at_once": True}),
        ("fcn16s", {"padding": 0}),
        ("fcn8s", {"backbone": "resnet20_cifar", "skips": 1}),
    ],
)
def test_a_network_costs_what_its_sketch_says(name, arguments, learned):
    if "backbone" in arguments:
        arguments = {"backbone_arguments": "depths=1,1,1 stem_width=2 widths=2,3,4"} | arguments
    arguments = NARROW | arguments | {"learned": learned}
    cost = kerascnn.get(name).cost((40, 56, 3), classes=4, **arguments)
    measured = kerascnn.profile(narrow(name, **arguments))
    assert (measured.params, measured.macs) == (cost.params, cost.macs)
    assert measured.uncounted == ()


def test_layers_are_called_as_in_vgg_and_then_as_by_the_authors():
    model = narrow("fcn8s", at_once=True)
    weighted = {layer.name for layer in model.layers if layer.weights}
    assert weighted == {
        *(f"block{block}_conv1" for block in range(1, 6)),
        *("fc6", "fc7", "score_fr", "score_pool4", "score_pool3"),
    }
    names = {layer.name for layer in model.layers} - weighted
    assert {name for name in names if name.startswith(("up", "fuse", "sc"))} == {
        *("upscore_fr", "scale_pool4", "score_pool4c", "fuse_pool4"),
        *("upscore_pool4", "scale_pool3", "score_pool3c", "fuse_pool3"),
        *("upscore8", "score"),
    }


def scores(model, image):
    return np.asarray(model(image[None]))[0]


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    values = [rng.normal(0, 0.5, weight.shape) for weight in model.weights]
    variances = ["variance" in weight.path for weight in model.weights]
    model.set_weights([abs(v) if positive else v for v, positive in zip(values, variances)])
    return model


def test_finer_maps_are_scored_scaled_and_added_where_they_lie():
    """The whole of FCN-8s at once, from its own maps on, in NumPy."""
    model = randomized(narrow("fcn8s", at_once=True, classifier_activation=None))
    names = ["fc7_relu", "block4_pool", "block3_pool"]
    maps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    image = np.random.default_rng(1).normal(size=(40, 56, 3)).astype("float32")
    deep, pool4, pool3 = (np.asarray(found)[0].astype("float64") for found in maps(image[None]))

    def scored(x, name):
        kernel, bias = model.get_layer(name).get_weights()
        return x @ kernel[0, 0] + bias

    def enlarged(x, factor):
        line = 1 - np.abs(np.arange(2 * factor) + 0.5 - factor) / factor
        out = np.zeros(((x.shape[0] + 1) * factor, (x.shape[1] + 1) * factor, x.shape[2]))
        for i, j in np.ndindex(*x.shape[:2]):
            place = np.s_[i * factor : (i + 2) * factor, j * factor : (j + 2) * factor]
            out[place] += np.outer(line, line)[..., None] * x[i, j]
        return out

    def cut(x, offset, like):
        return x[offset:, offset:][: like.shape[0], : like.shape[1]]

    x = enlarged(scored(deep, "score_fr"), 2)
    x = enlarged(x + cut(scored(0.01 * pool4, "score_pool4"), 5, x), 2)
    x = enlarged(x + cut(scored(0.0001 * pool3, "score_pool3"), 9, x), 8)
    expected = cut(x, 31, image)
    found = scores(model, image)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_classifier_says_in_the_middle_of_its_own_size_what_it_says_as_a_classifier():
    """VGG-16's layers at 224 pixels, their 7×7 map covered by fc6 at one place."""
    shape = (224, 224, 3)
    vgg = small_vgg(shape)
    fcn = narrow("fcn32s", input_shape=shape, padding=0, classifier_activation=None)
    layers = {"fc6": "fc1", "fc7": "fc2", "score_fr": "logits"}
    randomized(vgg)
    for layer in fcn.layers:
        theirs = vgg.get_layer(layers.get(layer.name, layer.name)) if layer.weights else None
        if theirs:
            kernel, bias = theirs.get_weights()
            layer.set_weights([kernel.reshape(layer.kernel.shape), bias])
    image = np.random.default_rng(1).normal(size=shape).astype("float32")
    coarse = keras.Model(fcn.input, fcn.get_layer("score_fr").output)
    expected = scores(vgg, image)
    np.testing.assert_allclose(scores(coarse, image)[3, 3], expected, rtol=1e-4)


@pytest.mark.parametrize("arguments", [{}, {"padding": 0}, {"padding": 0, "learned": True}])
def test_one_network_takes_images_of_any_size(arguments, tmp_path):
    """Built without a size, saved and loaded, it answers as one that was built for the size."""
    model = randomized(narrow("fcn8s", input_shape=(None, None, 3), **arguments))
    assert model.output_shape == (None, None, None, 4)
    model.save(tmp_path / "fcn.keras")
    loaded = kerascnn.load_model(tmp_path / "fcn.keras")
    for size in ((40, 56, 3), (33, 47, 3)):
        image = np.random.default_rng(2).normal(size=size).astype("float32")
        fixed = narrow("fcn8s", input_shape=size, **arguments)
        fixed.set_weights(model.get_weights())
        found = scores(loaded, image)
        assert found.shape == (*size[:2], 4)
        np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(found, scores(fixed, image), atol=1e-5)


def test_scores_start_at_zero_and_are_float32_in_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = narrow("fcn8s", classifier_activation=None)
    finally:
        keras.config.set_dtype_policy("float32")
    image = np.ones((40, 56, 3), "float32")
    assert not scores(model, image).any()
    halves = {x.name for x in model.layers if x.compute_dtype != "float32"}
    assert not any("score" in name or "fuse" in name for name in halves)
    assert {"block1_conv1", "fc6"} <= halves


@pytest.mark.parametrize(
    ("backbone", "skips", "names"),
    [
        ("resnet18", 4, "c5 c4 c3 c2 c1"),
        ("vgg11_bn", 4, "pool5 pool4 pool3 pool2 pool1"),
        ("resnet20_cifar", 1, "c2 c1"),
    ],
)
def test_other_classifiers_give_their_last_map_of_each_stride(backbone, skips, names):
    found = levels(backbone, "", 0)
    assert [level.name for level in found] == names.split()
    assert [level.stride for level in found] == [2**n for n in range(len(found), 0, -1)]
    model = kerascnn.get("fcn8s").cost((50, 70, 3), 4, backbone=backbone, skips=skips)
    assert model.params > 0


def test_a_classifier_without_dense_layers_is_scored_as_it_is():
    model = kerascnn.create(
        "fcn8s",
        backbone="resnet20_cifar",
        backbone_arguments="depths=1,1,1 stem_width=2 widths=2,3,4",
        skips=1,
        input_shape=(21, 30, 3),
        classes=4,
    )
    assert not any(layer.name.startswith("fc") for layer in model.layers)
    assert model.output_shape == (None, 21, 30, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"skips": 5}, "skips must be at most 4 on vgg16, whose maps have strides of 32, 16, 8"),
        ({"backbone": "resnet19"}, "fcn8s: There is no architecture 'resnet19'. Did you mean"),
        ({"backbone": "unet_same"}, "backbone must have maps of strides .* Received: 'unet_same'"),
        ({"backbone_arguments": "depth=1"}, "vgg16 has no argument 'depth'. Did you mean depths"),
        ({"backbone_arguments": "depths"}, "backbone_arguments must be argument=value"),
        ({"padding": 60}, "head_kernel=7, 60 zeros leave no room for the crops"),
        ({"head_kernel": 1}, "head_kernel=1, 100 zeros leave no room for the crops"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_message(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        kerascnn.get("fcn8s").network(arguments)


@pytest.mark.parametrize("arguments", [{}, {"padding": 0, "head_kernel": 7}])
def test_a_trained_classifier_is_the_backbone_dense_layers_included(arguments, tmp_path, capsys):
    """VGG-16's, trained at 224 pixels; in both forms, and told what wasn't taken."""
    vgg = randomized(small_vgg((224, 224, 3)))
    vgg.save(tmp_path / "model.keras")
    fcn = narrow("fcn8s", weights=f"backbone:{tmp_path}", **arguments)
    layers = {"fc6": "fc1", "fc7": "fc2"}
    for layer in fcn.layers:
        if not layer.weights:
            continue
        if layer.name.startswith("score"):
            assert not any(np.asarray(w).any() for w in layer.weights)
            continue
        kernel, bias = vgg.get_layer(layers.get(layer.name, layer.name)).get_weights()
        np.testing.assert_array_equal(layer.kernel, kernel.reshape(layer.kernel.shape))
        np.testing.assert_array_equal(layer.bias, bias)
    told = " ".join(capsys.readouterr().err.split())
    assert "14 arrays loaded from" in told
    assert "Left at their initial values: score_fr/kernel, score_fr/bias, score_pool" in told
    assert "Not needed by this model: logits" in told


def test_another_backbone_gives_its_trunk_and_its_pixels(tmp_path):
    """By a run's weights; images are seen as the classifier saw them."""
    arguments = {"depths": (1, 1, 1), "stem_width": 2, "widths": (2, 3, 4)}
    resnet = randomized(kerascnn.create("resnet20_cifar", **arguments))
    resnet.save_weights(tmp_path / "a.weights.h5")
    network = kerascnn.get("fcn8s").network(
        {
            "backbone": "resnet20_cifar",
            "backbone_arguments": "depths=1,1,1 stem_width=2 widths=2,3,4",
            "skips": 1,
        },
        classes=4,
        input_shape=(32, 32, 3),
    )
    model = network.model()
    report = network.load(model, f"backbone:{tmp_path / 'a.weights.h5'}", verbose=False)
    assert {name.partition("/")[0] for name in report.initial} == {"score_fr", "score_c1"}
    for layer in model.layers:
        if layer.weights and "score" not in layer.name:
            for ours, theirs in zip(
                layer.get_weights(), resnet.get_layer(layer.name).get_weights()
            ):
                np.testing.assert_array_equal(ours, theirs)
    assert network.preprocessing == kerascnn.get("resnet20_cifar").card.preprocessing
    assert kerascnn.get("fcn8s").network().preprocessing.order == "BGR"


def test_info_shows_the_pixels_that_the_backbone_expects():
    words = ["info", "fcn8s", "--set", "backbone=resnet20_cifar", "--set", "skips=1", "--json"]
    shown = json.loads(CliRunner().invoke(app, words).output)
    expected = dataclasses.asdict(kerascnn.get("resnet20_cifar").card.preprocessing)
    assert shown["preprocessing"] == json.loads(json.dumps(expected))
    assert shown["card"]["preprocessing"]["order"] == "BGR", "which is VGG-16's"


def test_the_next_finer_network_starts_from_the_coarser_one(tmp_path):
    coarse = randomized(narrow("fcn32s", classifier_activation=None))
    coarse.save(tmp_path / "model.keras")
    finer = narrow("fcn16s", weights=tmp_path / "model.keras", classifier_activation=None)
    image = np.random.default_rng(3).normal(size=(40, 56, 3)).astype("float32")
    for name in ("score_fr", "fc6", "block1_conv1"):
        np.testing.assert_array_equal(
            finer.get_layer(name).get_weights()[0], coarse.get_layer(name).get_weights()[0]
        )
    assert not np.asarray(finer.get_layer("score_pool4").kernel).any()
    assert scores(finer, image).any()


def test_published_weights_are_asked_for_as_the_backbones():
    network = kerascnn.get("fcn8s").network()
    with pytest.raises(WeightsError, match=r"fcn8s\. Start from those of its backbone"):
        network.require("imagenet")
    assert network.require("backbone:imagenet:keras").publisher == "keras"
    resnet = kerascnn.get("fcn8s").network({"backbone": "resnet50"})
    with pytest.raises(WeightsError, match="stride_in='3x3'"):
        resnet.require("backbone:imagenet:torchvision")
    arguments = {"backbone": "resnet50", "backbone_arguments": "stride_in=3x3"}
    found = kerascnn.get("fcn8s").network(arguments).require("backbone:imagenet")
    assert found.publisher == "torchvision"


# base_lr, max_iter of the authors' solvers; all have a momentum of 0.99 and a decay of 5e-4, on
# images one by one, and add the losses of pixels up.
SOLVERS = {
    "fcn32s": (1e-10, 100_000),
    "fcn16s": (1e-12, 100_000),
    "fcn8s": (1e-14, 100_000),
    "fcn8s_at_once": (1e-10, 300_000),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_a_papers_recipe_takes_the_authors_steps(name):
    """A step is rate · (gradient + decay · weight), the gradient of a sum over 500×500 pixels."""
    rate, iterations = SOLVERS[name]
    found = recipe_of(name)
    assert found.learning_rate / 500**2 == pytest.approx(rate)
    assert found.learning_rate * found.weight_decay == pytest.approx(rate * 5e-4)
    assert (found.momentum, found.batch_size, found.schedule) == (0.99, 1, "constant")
    assert (found.decay, found.decay_on) == ("l2", "kernels")
    assert found.epochs == pytest.approx(iterations / 8498, abs=0.5)
    stated = f"{rate:g} × 250,000 = {found.learning_rate:g}".replace("e-0", "e-")
    assert stated in found.notes[0]
    if name in NAMES:
        assert (found.network, kerascnn.get(name).paper_recipe) == (name, name)


def recipe_of(name):
    points = metadata.entry_points(group="kerascnn.recipes")
    return next(point for point in points if point.name == name).load()
