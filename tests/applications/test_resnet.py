"""ResNet beyond its layer list, which tests/test_exactness.py compares with the paper's."""

import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny

import kerascnn
from kerascnn.applications.resnet import (
    Plain18,
    Plain20CIFAR,
    Plain56CIFAR,
    ResNet18,
    ResNet20CIFAR,
    ResNet34,
    ResNet50,
    ResNet56CIFAR,
)
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values
from kerascnn.layers import PaddedIdentity

TINY = tiny.TinyResNet


def test_shortcut_a_is_strided_and_padded_with_zero_maps():
    """Section 3.3: "extra zero entries padded", "performed with a stride of 2"."""
    image = np.random.default_rng(0).normal(size=(2, 7, 10, 3)).astype("float32")
    expected = np.zeros((2, 4, 5, 8), "float32")
    for row in range(4):
        for column in range(5):
            expected[:, row, column, :3] = image[:, 2 * row, 2 * column]
    layer = PaddedIdentity(8, 2)
    np.testing.assert_array_equal(layer(image), expected)
    assert layer.compute_output_shape(image.shape) == expected.shape
    assert not layer.weights
    free = keras.Input((None, None, 3))
    np.testing.assert_array_equal(keras.Model(free, layer(free))(image), expected)
    np.testing.assert_array_equal(PaddedIdentity.from_config(layer.get_config())(image), expected)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (123, 123), (97, 130), (17, 17)])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_every_halving_rounds_up(height, width, shortcut):
    """Padding is half a kernel on every side: a map of n pixels becomes one of (n + 1) // 2."""
    with without_values():
        model = ResNet18(input_shape=(height, width, 3), include_top=False, shortcut=shortcut)
    names = ["conv1_conv", "pool1_pool", *(f"conv{stage}_block1_out" for stage in (3, 4, 5))]
    for name in names:
        height, width = (height + 1) // 2, (width + 1) // 2
        assert model.get_layer(name).output.shape[1:3] == (height, width), name


def test_halving_looks_at_the_pixels_that_the_paper_means():
    """The centre of every window is at an even pixel, so both paths of a block stay aligned."""
    with without_values():
        model = ResNet18(include_top=False, input_shape=(56, 56, 64), stem_pool="none")
    for name in ("conv1_conv", "conv3_block1_1_conv"):
        kernel = model.get_layer(name).kernel_size[0]
        pad = model.get_layer(f"{name}_pad").padding
        assert pad == ((kernel // 2,) * 2,) * 2
    assert model.get_layer("conv3_block1_0_conv").kernel_size == (1, 1)


def test_a_block_whose_branch_is_zero_is_the_identity():
    """What the paper argues with: a residual block can always fall back to its input."""
    model = TINY(include_top=False, depths=(2, 2))
    scale = model.get_layer("conv2_block2_3_bn")
    scale.gamma.assign(keras.ops.zeros_like(scale.gamma))
    names = ("conv2_block1_out", "conv2_block2_out")
    taps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    before, after = taps(np.random.default_rng(0).normal(size=(1, 32, 32, 3)))
    assert np.abs(before).max() > 0
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("architecture", "shortcut", "projections", "identities"),
    [
        (ResNet34, "A", 0, 3),
        (ResNet34, "B", 3, 0),
        (ResNet34, "C", 16, 0),  # thirteen more, section 4.1
        (ResNet50, "A", 0, 4),  # one more: 64 maps become 256 behind the stem
        (ResNet50, "B", 4, 0),
        (ResNet34, "none", 0, 0),
    ],
)
def test_shortcuts_are_the_options_of_section_4_1(architecture, shortcut, projections, identities):
    with without_values():
        model = architecture(shortcut=shortcut)
    names = [layer.name for layer in model.layers]
    assert sum(name.endswith("_0_conv") for name in names) == projections
    assert sum(name.endswith("_0_identity") for name in names) == identities
    assert sum(name.endswith("_add") for name in names) == (0 if shortcut == "none" else 16)


def test_plain_nets_are_the_residual_nets_without_shortcuts():
    """Table 2 compares networks with the same parameters and multiply-adds."""
    assert Plain18.cost() == ResNet18.cost(shortcut="A") == ResNet18.cost(shortcut="none")
    assert Plain20CIFAR.cost() == ResNet20CIFAR.cost()
    assert Plain56CIFAR.cost() == ResNet56CIFAR.cost()


@pytest.mark.parametrize(("stride_in", "first", "second"), [("1x1", 2, 1), ("3x3", 1, 2)])
def test_stride_in_moves_the_stride_within_the_bottleneck(stride_in, first, second):
    with without_values():
        model = ResNet50(stride_in=stride_in)
    for stage in (3, 4, 5):
        strides = [model.get_layer(f"conv{stage}_block1_{i}_conv").strides for i in (1, 2, 3)]
        assert strides == [(first, first), (second, second), (1, 1)]


def dilations(model):
    """Of the k×k convolutions, `{stage: those of its blocks}`."""
    found = {}
    for layer in model.layers:
        wide = isinstance(layer, keras.layers.Conv2D) and layer.kernel_size != (1, 1)
        if wide and layer.name != "conv1_conv":
            found.setdefault(layer.name[:5], []).append(layer.dilation_rate[0])
    return found


def test_stages_are_dilated_as_in_torchvision():
    """`replace_stride_with_dilation`: what a stage no longer skips, its other blocks do."""
    with without_values():
        eight, sixteen = (ResNet50(stride_in="3x3", output_stride=s) for s in (8, 16))
        own = ResNet50(stride_in="3x3")
    plain = {"conv2": [1] * 3, "conv3": [1] * 4}
    assert dilations(eight) == plain | {"conv4": [1] + [2] * 5, "conv5": [2, 4, 4]}
    assert dilations(sixteen) == plain | {"conv4": [1] * 6, "conv5": [1, 2, 2]}
    names = [layer.name for layer in own.layers if layer.weights]
    for model, side in ((eight, 28), (sixteen, 14), (own, 7)):
        assert [layer.name for layer in model.layers if layer.weights] == names
        assert model.get_layer("conv5_block3_out").output.shape[1:3] == (side, side)
        assert model.count_params() == own.count_params()
    assert kerascnn.endpoints(eight)["C3"].layer == "conv5_block3_out"


@pytest.mark.parametrize(
    "arguments",
    [
        {"block": "basic", "kernels": (3, 3, 5, 3)},
        {"block": "bottleneck", "bottleneck_ratio": 2, "shortcut": "C"},
        {"block": "bottleneck", "bottleneck_ratio": 2, "stride_in": "3x3", "shortcut": "A"},
    ],
)
def test_a_dilated_network_gives_the_papers_outputs_and_those_between(arguments):
    """The same weights, at every fourth place: borders as well."""
    small = {"depths": (1, 1, 2, 2), "widths": (4, 4, 5, 6), "stem_width": 4, **arguments}
    shape = (70, 90, 3)
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    paper = ResNet18(input_shape=shape, include_top=False, **small)
    settle(paper)
    expected = paper(image).numpy()
    assert np.abs(expected).max() > 0.1
    for output_stride, step in ((8, 4), (16, 2), (32, 1)):
        net = ResNet18(input_shape=shape, include_top=False, output_stride=output_stride, **small)
        net.set_weights(paper.get_weights())
        found = net(image).numpy()[:, ::step, ::step]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def settle(model):
    """Statistics and biases that aren't those of a new network."""
    rng = np.random.default_rng(1)
    values = [w * rng.uniform(0.5, 1.5, w.shape) + rng.random(w.shape) for w in model.get_weights()]
    model.set_weights(values)


def test_a_dilated_network_sees_as_much_as_the_papers_in_smaller_steps():
    with without_values():
        model = ResNet18(output_stride=8)
    profile = kerascnn.profile(model)
    last = profile["conv5_block2_2_conv"]
    assert (last.kernel, last.dilation, last.padding) == ((3, 3), (4, 4), ((4, 4), (4, 4)))
    assert last.stride == (8, 8)
    assert "3×3 dilated 4" in str(profile)
    with without_values():
        papers = kerascnn.profile(ResNet18())["conv5_block2_2_conv"].receptive_field
    assert (last.receptive_field.size, papers.stride) == (papers.size, (32, 32))
    assert papers.size == (435, 435)
    assert ResNet18.cost(output_stride=8).macs == profile.macs
    assert ResNet18.cost(output_stride=8).params == ResNet18.cost().params


def test_order_puts_normalization_before_or_behind_the_non_linearity():
    for order, normalized in (("conv-bn-act", "conv"), ("conv-act-bn", "relu")):
        model = TINY(order=order)
        bn = model.get_layer("conv2_block1_1_bn")
        assert bn.input is model.get_layer(f"conv2_block1_1_{normalized}").output
        last = model.get_layer("conv2_block1_3_bn")  # the non-linearity comes after the addition
        assert last.input is model.get_layer("conv2_block1_3_conv").output


def test_normalization_can_be_that_of_keras_applications():
    model = TINY(use_bias=True, bn_epsilon=1.001e-5, bn_momentum=0.99)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {(x.epsilon, x.momentum) for x in norms} == {(1.001e-5, 0.99)}
    assert all(x.use_bias for x in model.layers if isinstance(x, keras.layers.Conv2D))
    assert not any(x.use_bias for x in TINY().layers if isinstance(x, keras.layers.Conv2D))


def test_a_search_keeps_plain_nets_plain_and_seldom_draws_what_no_rule_allows():
    rng = random.Random(0)
    assert {Plain18.space.sample(rng)["shortcut"] for _ in range(50)} == {"none"}
    assert {ResNet20CIFAR.space.sample(rng)["shortcut"] for _ in range(50)} == {"A", "B", "C"}
    samples = [ResNet50.space.sample(rng) for _ in range(200)]
    assert not any(map(ResNet50.space.broken_rule, samples))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (1, 1, 1)}, r"widths needs 3 values, one for each stage.*Received: \(64,"),
        ({"shortcut": "A", "widths": (64, 32, 64, 64)}, r"no stage may have fewer.*\[64, 64, 32"),
        ({"shortcut": "A", "stem_width": 96}, r"fewer maps than the one before"),
        ({"shortcut": "D"}, r"shortcut must be .*'A', 'B', 'C', 'none'\. Received: 'D'"),
        ({"stride_in": 3}, r"stride_in must be .*'1x1', '3x3'\. Received: 3"),
        ({"depths": (0, 1, 1, 1)}, r"depths must be .* from 1 to 1000"),
        ({"width": 64}, r"no argument 'width'.*widths"),
    ],
)
def test_wrong_arguments_say_what_is_expected(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        ResNet18(**arguments)


@pytest.mark.slow
def test_graphs_deeper_than_pythons_recursion_limit_are_built_and_rebuilt():
    """Keras follows a graph by recursion."""
    deep = Plain20CIFAR.variant("deep", depths=(170,), widths=(2,), kernels=(1,))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        with without_values():
            model = deep(input_shape=(4, 4, 1))
    finally:
        sys.setrecursionlimit(max(limit, sys.getrecursionlimit()))
    with without_values():
        again = model.__class__.from_config(model.get_config())
    assert len(again.layers) == len(model.layers) > 1000


@pytest.mark.slow
def test_the_file_of_a_very_deep_network_is_read_by_a_new_process(tmp_path):
    """As the docstring says: Keras needs Python's limit raised, and the layers imported."""
    deep = ResNet20CIFAR.variant("deep", depths=(170,), widths=(16,), kernels=(1,))
    model = deep(input_shape=(4, 4, 1))
    model.save(tmp_path / "deep.keras")
    script = (
        "import sys; sys.setrecursionlimit(20_000); import keras, kerascnn.layers; "
        f"print(len(keras.models.load_model({str(tmp_path / 'deep.keras')!r}).layers))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.stdout.split()[-1:] == [str(len(model.layers))], ended.stderr


NARROW = """
import sys
import keras
import numpy as np
from kerascnn.applications.resnet import ResNet18, ResNet50

keras.mixed_precision.set_dtype_policy(sys.argv[1])
for network in (ResNet18, ResNet50):
    model = network(
        input_shape=(16, 16, 3),
        classes=2,
        depths=(1, 1),
        widths=(8, 8),
        bottleneck_ratio=1,
        stem_width=8,
        stem_kernel=3,
        stem_stride=1,
        stem_pool="none",
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    for batch in (1, 33):
        images = np.zeros((batch, 16, 16, 3), "float32")
        model.fit(images, np.zeros(batch, int), batch_size=batch, epochs=9, verbose=0)
print("trained")
"""


@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_narrow_networks_train_with_batches_of_any_size(precision):
    """Below 16 maps TensorFlow writes outside its memory; malloc looks for that."""
    done = subprocess.run(
        [sys.executable, "-c", NARROW, precision],
        env={**os.environ, "MALLOC_CHECK_": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr[-2000:]
