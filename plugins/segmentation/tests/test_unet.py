"""U-Net is the paper's figure 1, and its padded form answers for every pixel of any image."""

import keras
import numpy as np
import pytest
from kerascnn_segmentation.unet import UNet, UNetSame

import kerascnn
from kerascnn.errors import InputSizeError, InputStepError

SMALL = {"depth": 2, "width": 3}
WAYS = ("transposed", "bilinear", "nearest")


# --- The paper's numbers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "shape", "classes", "params", "macs"),
    [
        (UNet, (572, 572, 1), 2, 31_030_658, 150_428_424_448),
        (UNet, (572, 572, 1), 1, 31_030_593, 150_418_789_632),
        (UNet, (572, 572, 3), 2, 31_031_810, 150_802_709_248),
        (UNetSame, (256, 256, 3), 2, 31_031_810, 48_171_581_440),
        (UNetSame, (256, 256, 3), 1, 31_031_745, 48_167_387_136),
        (UNetSame, (560, 560, 1), 2, 31_030_658, 230_147_276_800),
    ],
)
def test_parameters_and_multiply_adds_are_exact(network, shape, classes, params, macs):
    """Counted by hand from the paper's figure."""
    cost = network.cost(shape, classes)
    assert (cost.params, cost.macs) == (params, macs)


def test_batch_normalization_takes_the_place_of_biases():
    assert UNetSame.cost(norm="batch").params == 31_037_698
    model = UNetSame(input_shape=(8, 8, 1), norm="batch", **SMALL)
    with_bias = [x.name for x in model.layers if getattr(x, "use_bias", False)]
    assert with_bias == ["up2_conv_transpose", "up1_conv_transpose", "logits"]


def test_572_pixels_give_388_and_the_maps_are_cropped_as_in_figure_1():
    model = UNet(width=1)
    assert model.input_shape == (None, 572, 572, 1)
    assert model.output_shape == (None, 388, 388, 2)
    sizes = {name: model.get_layer(name).output.shape[1] for name in ("down4_pool", "bottom_conv2")}
    assert sizes == {"down4_pool": 32, "bottom_conv2": 28}
    crops = {}
    for level in (4, 3, 2, 1):
        crop = model.get_layer(f"up{level}_crop")
        before, after = crop.input[0].shape[1], crop.output.shape[1]
        crops[after] = (crop.start(before, after), before - after - crop.start(before, after))
    assert crops == {56: (4, 4), 104: (16, 16), 200: (40, 40), 392: (88, 88)}


def test_dropout_is_at_the_end_of_the_contracting_path():
    model = UNet(width=1, depth=3, input_shape=(92, 92, 1))
    dropped = [x for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert {x.name: x.rate for x in dropped} == {"down3_dropout": 0.5, "bottom_dropout": 0.5}
    assert not any(
        isinstance(x, keras.layers.Dropout)
        for x in UNet(width=1, dropout=0.0, input_shape=(188, 188, 1)).layers
    )


def test_weights_start_with_the_deviation_of_the_incoming_nodes():
    """Section 3: sqrt(2 / N), "e.g. for a 3x3 convolution and 64 channels N = 576"."""
    keras.utils.set_random_seed(0)
    model = UNetSame(input_shape=(16, 16, 1), depth=2, width=64)
    for name, nodes in (
        ("down1_conv2", 9 * 64),
        ("down2_conv2", 9 * 128),
        ("up1_conv1", 9 * 128),
        ("up2_conv_transpose", 256),  # each pixel of the result comes from one of the map
    ):
        kernel = keras.ops.convert_to_numpy(model.get_layer(name).kernel)
        assert kernel.std() == pytest.approx(np.sqrt(2 / nodes), rel=0.02), name
        assert abs(kernel.mean()) < 0.1 * kernel.std(), name


# --- Sizes -----------------------------------------------------------------------------------


def test_legal_sizes_of_the_form_without_padding_are_each_16th():
    """140 + 16 n; the first three of these halve evenly, but leave no pixel to answer for."""
    for side in (*range(188, 240), 572):
        if (side - 140) % 16 == 0:
            assert UNet.cost((side, side, 1), width=1)
        else:
            with pytest.raises(InputStepError):
                UNet.cost((side, side, 1), width=1)
    assert UNet.network().smallest_input() == 188
    assert UNet(width=1, input_shape=(188, 204, 1)).output_shape == (None, 4, 20, 2)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((570, 572, 1), r"^unet: .* every 16th height and width\. Nearest legal: 556 and 572\."),
        ((572, 573, 1), r"Nearest legal: 572 and 588\. Received: 573\."),
        ((190, 190, 1), r"Nearest legal: 188 and 204\. Received: 190\. With padding \(unet_same\)"),
    ],
)
def test_an_illegal_size_is_refused_with_the_nearest_that_are_legal(shape, message):
    with pytest.raises(InputStepError, match=message):
        UNet(input_shape=shape)


@pytest.mark.parametrize("side", [140, 172, 187, 1])
def test_a_size_that_leaves_no_answer_is_too_small(side):
    with pytest.raises(InputSizeError, match=r"Smallest legal height and width: 188×188"):
        UNet(input_shape=(side, side, 1))


@pytest.mark.parametrize("side", [None, 60])
def test_sizes_that_are_known_only_when_it_is_called_are_refused_as_well(side, tmp_path):
    """Of 61 pixels the answers would lie beside what they are for, and nothing would say so."""
    model = kerascnn.any_size(UNet(input_shape=(side, side, 1), **SMALL))
    model.save(tmp_path / "unet.keras")
    for one in (model, kerascnn.load_model(tmp_path / "unet.keras")):
        assert one(np.zeros((1, 64, 60, 1))).shape == (1, 24, 20, 2)
        with pytest.raises(InputStepError, match=r"Nearest legal: 60 and 64\. Received: 61\."):
            one(np.zeros((1, 64, 61, 1)))
        with pytest.raises(InputSizeError, match=r"a side of 36 leaves no pixel .*unet_same"):
            one(np.zeros((1, 36, 60, 1)))
    with pytest.raises(InputStepError, match="Received: 62"):
        model.predict(np.zeros((1, 62, 60, 1)), verbose=0)


@pytest.mark.parametrize(
    ("depth", "kernel", "upsampling"),
    [(1, 2, "bilinear"), (1, 5, "transposed"), (2, 3, "bilinear"), (3, 3, "nearest")],
)
def test_sizes_are_those_of_the_built_network_for_all_arguments(depth, kernel, upsampling):
    arguments = {"depth": depth, "kernel": kernel, "upsampling": upsampling, "width": 1}
    least = UNet.network(arguments).smallest_input()
    for side in (least, least + 2**depth):
        output = UNet(input_shape=(side, side, 1), **arguments).output_shape
        assert output[1] == output[2] >= 1
    with pytest.raises(InputStepError):
        UNet(input_shape=(least + 1, least, 1), **arguments)


@pytest.mark.parametrize(("size", "known"), [((1, 1), True), ((10, 13), True), ((7, 9), False)])
def test_the_padded_form_answers_for_every_pixel_as_if_zeros_were_around(known, size):
    keras.utils.set_random_seed(1)
    shape = (*size, 3) if known else (None, None, 3)
    model = UNetSame(input_shape=shape, classifier_activation=None, **SMALL)
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    found = model(images).numpy()
    assert found.shape == (2, *size, 2)

    rows, columns = (-side % 4 for side in size)
    filled = np.pad(images, ((0, 0), (0, rows), (0, columns), (0, 0)))
    whole = UNetSame(input_shape=filled.shape[1:], classifier_activation=None, **SMALL)
    whole.set_weights(model.get_weights())
    np.testing.assert_allclose(found, whole(filled).numpy()[:, : size[0], : size[1]], atol=1e-5)


# --- Values ----------------------------------------------------------------------------------


class ByHand:
    """Figure 1 in NumPy, for one image `[height, width, channels]`, from a model's weights."""

    def __init__(self, model, upsampling, pad):
        self.layer, self.upsampling, self.pad = model.get_layer, upsampling, pad

    def weights(self, name):
        return self.layer(name).get_weights()

    def conv(self, x, name):
        kernel, bias = self.weights(name)
        side = len(kernel)
        if self.pad:
            x = np.pad(x, (((side - 1) // 2, side // 2),) * 2 + ((0, 0),))
        windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), (0, 1))
        return np.einsum("yxcij,ijcf->yxf", windows, kernel) + bias

    def pair(self, x, name):
        for number in (1, 2):
            x = np.maximum(self.conv(x, f"{name}_conv{number}"), 0)
        return x

    def enlarged(self, x, name):
        if self.upsampling == "transposed":
            kernel, bias = self.weights(f"{name}_conv_transpose")  # [2, 2, out, in]
            blocks = np.einsum("yxc,ijfc->yixjf", x, kernel) + bias
            return blocks.reshape(2 * x.shape[0], 2 * x.shape[1], -1)
        x = self.conv(x, f"{name}_conv0")
        if self.upsampling == "nearest":
            return x.repeat(2, 0).repeat(2, 1)
        for axis in (0, 1):  # a quarter of a pixel before and behind the middle of each
            x = np.moveaxis(x, axis, 0)
            before, after = (np.concatenate(pair) for pair in ((x[:1], x[:-1]), (x[1:], x[-1:])))
            x = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], 1)
            x = np.moveaxis(x.reshape(-1, *x.shape[2:]), 0, axis)
        return x if self.pad else x[1:-1, 1:-1]

    def __call__(self, x, depth):
        skips = []
        for level in range(1, depth + 1):
            x = self.pair(x, f"down{level}")
            skips.append(x)
            height, width, maps = x.shape
            x = x.reshape(height // 2, 2, width // 2, 2, maps).max((1, 3))
        x = self.pair(x, "bottom")
        for level in range(depth, 0, -1):
            x, skip = self.enlarged(x, f"up{level}"), skips[level - 1]
            top, left = ((skip.shape[axis] - x.shape[axis]) // 2 for axis in (0, 1))
            skip = skip[top : top + x.shape[0], left : left + x.shape[1]]
            x = self.pair(np.concatenate([skip, x], -1), f"up{level}")
        return self.conv(x, "logits")


@pytest.mark.parametrize("upsampling", WAYS)
@pytest.mark.parametrize("network", [UNet, UNetSame])
def test_it_computes_what_the_figure_says(network, upsampling):
    keras.utils.set_random_seed(2)
    shape = (52, 56, 2) if network is UNet else (12, 16, 2)
    if network is UNet and upsampling == "bilinear":
        shape = (48, 52, 2)
    model = network(
        input_shape=shape, upsampling=upsampling, classifier_activation=None, classes=3, **SMALL
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    image = rng.normal(size=shape)
    expected = ByHand(model, upsampling, network is UNetSame)(image, SMALL["depth"])
    found = model(image[None].astype("float32")).numpy()[0]
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("network", [UNet, UNetSame])
@pytest.mark.parametrize("upsampling", WAYS)
def test_the_profile_counts_what_the_sketch_counts_and_knows_the_field(network, upsampling):
    arguments = {"depth": 2, "width": 2, "upsampling": upsampling}
    side = network.network(arguments).smallest_input()
    model = network(input_shape=(side, side, 1), **arguments)
    profile, cost = kerascnn.profile(model), network.cost((side, side, 1), **arguments)
    assert (profile.params, profile.macs) == (cost.params, cost.macs)
    field = profile[profile.outputs[0]].receptive_field
    assert field.stride == (1, 1)


def test_the_last_layer_gives_logits_in_float32_with_the_activation_on_it():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = UNetSame(input_shape=(9, 9, 1), **SMALL)
    finally:
        keras.config.set_dtype_policy("float32")
    last = model.layers[-1]
    assert (last.name, last.compute_dtype, last.activation.__name__) == (
        *("logits", "float32"),
        "softmax",
    )
    assert model.get_layer("down1_conv1").compute_dtype == "bfloat16"
    assert UNet.task == UNetSame.task == "segmentation"
