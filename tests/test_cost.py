"""Costs are those of the built model, also where a builder can't be sketched."""

import math
import random
import re

import keras
import pytest
from keras import layers

import kerascnn
from kerascnn import blocks
from kerascnn.errors import ArgumentError, InputSizeError, InputStepError
from kerascnn.keras_internals import without_values

CARD = kerascnn.Card(
    title="Test",
    authors="Nobody",
    year=2000,
    link="doi:10.0/0",
    input_shape=(32, 32, 3),
    classes=7,
    params=None,
    macs=None,
    smallest_input=(7, 7),
)
SPACE = kerascnn.Space((kerascnn.Param(name="width", default=8, legal=kerascnn.Range(1, 64)),))


def with_blocks(x, *, width):
    x = blocks.conv(x, width, 5, strides=2, padding="valid", name="conv1")
    x = blocks.activation(blocks.batch_norm(x, name="bn1"), "relu", name="relu1")
    y = blocks.conv(x, width, 3, groups=2, use_bias=False, name="conv2")
    return blocks.max_pool(blocks.add(x, y, name="add"), 2, name="pool")


def with_layers(x, *, width):
    """The same network as a plugin's author would write it who knows Keras only."""
    x = layers.Conv2D(width, 5, 2, name="conv1")(x)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="bn1")(x))
    y = layers.Conv2D(width, 3, padding="same", groups=2, use_bias=False, name="conv2")(x)
    return layers.MaxPooling2D(name="pool")(x + y)


def architecture(build, **changes):
    fields = {"name": "test", "build": build, "card": CARD, "space": SPACE}
    return kerascnn.Architecture(**(fields | changes))


@pytest.mark.parametrize("shape", [(32, 32, 3), (33, 57, 1), (7, 7, 3)])
@pytest.mark.parametrize("width", [8, 26])
def test_plain_keras_layers_cost_what_blocks_cost(shape, width):
    raw = architecture(with_layers)
    cost = raw.cost(shape, width=width)
    assert cost == architecture(with_blocks).cost(shape, width=width)
    model = raw(input_shape=shape, width=width)
    assert cost.params == sum(w.size for w in map(keras.ops.convert_to_numpy, _trainable(model)))


def _trainable(model):
    return [variable.value for variable in model.trainable_variables]


@pytest.mark.parametrize("build", [with_blocks, with_layers])
def test_a_small_input_is_refused_with_the_smallest_legal_one(build):
    net = architecture(build)
    with pytest.raises(InputSizeError, match=r"Smallest legal height and width: 7×7\. Received: 6"):
        net(input_shape=(6, 6, 3))
    with pytest.raises(InputSizeError, match="7×7"):
        net.cost((4, 4, 3))
    assert net(input_shape=(7, 7, 3)).output_shape == (None, 7)


def test_a_window_that_leaves_nothing_is_refused():
    """Keras pools a single pixel to an empty map without an error."""

    def build(x, *, width):
        for _ in range(3):
            x = layers.Conv2D(width, 1, 2)(layers.Cropping2D(1)(x))
        return x

    with pytest.raises(InputSizeError, match="Smallest legal"):
        architecture(build)(input_shape=(8, 8, 3))


@pytest.mark.parametrize("error", [ValueError, TypeError, AttributeError, KeyError])
def test_an_error_of_the_builder_is_its_own(error):
    def build(x, *, width):
        raise error("the plugin's mistake")

    net = architecture(build)
    with pytest.raises(error, match="the plugin's mistake"):
        net.cost()
    with pytest.raises(error, match="the plugin's mistake"):
        net()


def test_groups_that_do_not_divide_are_refused_before_anything_is_built():
    with pytest.raises(ArgumentError, match="2 groups must divide"):
        architecture(with_blocks).cost(width=7)


def test_counting_leaves_no_trace():
    """Default names, default seeds and Keras's waiting variables are as if nothing had been."""
    net = architecture(lambda x, *, width: layers.Conv2D(width, 3)(x))
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    seeds = random.getstate()
    net.cost()
    assert hash(random.getstate()) == hash(seeds)
    assert layers.Conv2D(4, 3).name == "conv2d"
    real = layers.Dense(3)
    real.build((None, 2))
    assert real.kernel.value is not None


def test_without_values_allocates_nothing():
    """4 TiB of weights would be noticed."""
    with without_values():
        inputs = keras.Input((2**20,))
        model = keras.Model(inputs, layers.Dense(2**20)(inputs))
    assert kerascnn.profile(model).params == 2**40 + 2**20


@pytest.mark.parametrize("name", ["lenet5", "resnet20_cifar", "vgg11_bn"])
def test_activations_are_those_that_the_model_puts_out(name):
    network = kerascnn.get(name)
    shape = network.card.input_shape
    profile = kerascnn.profile(network())
    outputs = profile.activation_bytes // 4 - math.prod(shape) - network.card.classes
    assert network.cost().activations == pytest.approx(outputs, rel=0.05)


RESNET = kerascnn.get("resnet50")


def test_the_networks_own_kernels_run_on_maps_of_one_pixel():
    """keras.applications builds ResNet at 32×32, where its last 3×3 meet maps of 1×1."""
    assert RESNET(include_top=False, input_shape=(32, 32, 3)).output_shape == (None, 1, 1, 2048)
    assert RESNET.cost((32, 32, 3), kernels=(3, 3, 1, 3)).params


@pytest.mark.parametrize(
    ("side", "arguments"),
    [
        (32, {"kernels": (3, 3, 3, 5), "depths": (5, 5, 5, 5)}),
        (64, {"kernels": (3, 3, 3, 3, 5), "depths": (1,) * 5, "widths": (16,) * 5}),
    ],
)
def test_a_kernel_that_was_made_larger_than_its_map_is_refused(side, arguments):
    """Most of its weights would multiply padding alone; `cost`, which searches ask, says so."""
    message = r"conv[56]_block1_2_conv: a kernel of 5×5, where the network's own has 3×3.* has 1\."
    with pytest.raises(InputSizeError, match=message) as refusal:
        RESNET.cost((side, side, 3), **arguments)
    with pytest.raises(InputSizeError, match=message):
        RESNET(input_shape=(side, side, 3), **arguments)
    least = int(re.search(r"(\d+)×\d+\. Received", str(refusal.value))[1])
    with pytest.raises(InputSizeError):
        RESNET.cost((least - 1, least - 1, 3), **arguments)
    assert RESNET.cost((least, least, 3), **arguments).params


def test_large_kernels_of_plain_keras_layers_are_refused_too():
    def build(x, *, kernel):
        x = layers.MaxPooling2D(8)(x)
        return layers.Conv2D(4, kernel, padding="same", name="conv1")(x)

    space = kerascnn.Space((kerascnn.Param("kernel", 3, (3, 5), kernel=True),))
    net = architecture(build, space=space)
    assert net.cost((40, 40, 3), kernel=5).params
    assert net.cost((8, 8, 3)).params
    with pytest.raises(InputSizeError, match=r"conv1: a kernel of 5×5.* has 4.* 40×40"):
        net.cost((32, 39, 3), kernel=5)


def dilated_blocks(x, *, width):
    return blocks.conv(x, width, 3, dilation=2, padding="valid", name="conv1")


def dilated_layers(x, *, width):
    return layers.Conv2D(width, 3, dilation_rate=2, name="conv1")(x)


@pytest.mark.parametrize("build", [dilated_blocks, dilated_layers])
def test_a_dilated_kernel_is_as_large_as_what_it_spans(build):
    """Three weights, two pixels from the next: five."""
    net = architecture(build, head=lambda x, *, classes: blocks.conv(x, classes, 1, name="logits"))
    assert net.cost((6, 7, 3), width=4).macs == 2 * 3 * (3 * 3 * 3 * 4 + 4 * 7)
    assert net(input_shape=(6, 7, 3), width=4).output_shape == (None, 2, 3, 7)
    with pytest.raises(InputSizeError, match=r"Smallest legal height and width: 5×5"):
        net.cost((4, 9, 3), width=4)


@pytest.mark.parametrize("height", [9, None])
def test_strides_and_a_dilation_are_refused_together(height):
    def build(x, *, width):
        return blocks.conv(x, width, 3, dilation=2, strides=2, name="conv1")

    with pytest.raises(ArgumentError, match=r"conv1: .* strides=2, dilation=2"):
        architecture(build)(input_shape=(height, height, 3))


def every_fourth(x, *, width):
    """Takes 9, 13, 17 ... pixels alone."""
    side = x.shape[1]
    if side < 8:
        raise InputSizeError("There would be nothing left.")
    if side % 4 != 1:
        below = side - (side - 1) % 4
        nearest = tuple(n for n in (below, below + 4) if n >= 9)
        raise InputStepError(f"Nearest legal: {nearest}.", nearest=nearest)
    return blocks.conv(x, width, 3, name="conv")


def test_a_network_that_takes_some_sizes_alone_says_which_and_has_a_smallest():
    network = architecture(every_fourth)
    assert network.network().smallest_input() == 9
    assert network.cost((13, 13, 3))
    with pytest.raises(InputStepError, match=r"^test: Nearest legal: \(9, 13\)\.$") as caught:
        network.cost((12, 12, 3))
    assert caught.value.nearest == (9, 13)
    with pytest.raises(InputSizeError, match=r"too small .* Smallest legal .*: 9×9\."):
        network.cost((7, 7, 3))
