"""What the vocabulary builds is what its words say, and costs what the sketch says."""

import keras
import numpy as np
import pytest

from kerascnn import blocks
from kerascnn.errors import ArgumentError, InputSizeError
from kerascnn.profiling import profile
from kerascnn.sketch import Ledger, Sketch


def spread(image, kernel, bias, strides):
    """The transposed convolution of one image, pixel by pixel; `kernel` is `[k, k, out, in]`."""
    height, width, _ = image.shape
    side, _, filters, _ = kernel.shape
    rows, columns = ((n - 1) * strides + side for n in (height, width))
    result = np.zeros((rows, columns, filters))
    for y in range(height):
        for x in range(width):
            top, left = y * strides, x * strides
            result[top : top + side, left : left + side] += kernel @ image[y, x]
    return result + bias


@pytest.mark.parametrize(("kernel", "strides"), [(2, 2), (4, 2), (3, 2), (5, 1)])
def test_a_transposed_convolution_spreads_each_pixel_over_the_kernel(kernel, strides):
    inputs = keras.Input((4, 5, 3))
    arguments = {"name": "up", "strides": strides}
    model = keras.Model(inputs, blocks.conv_transpose(inputs, 2, kernel, **arguments))
    random = np.random.default_rng(0)
    weights = [random.standard_normal(weight.shape) for weight in model.get_weights()]
    model.set_weights(weights)
    image = random.standard_normal((4, 5, 3))
    expected = spread(image, *weights, strides)
    found = model(image[None].astype("float32")).numpy()[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    same = keras.Model(
        inputs, blocks.conv_transpose(inputs, 2, kernel, padding="same", **arguments)
    )
    same.set_weights(weights)
    before = (kernel - strides) // 2
    middle = expected[before : before + 4 * strides, before : before + 5 * strides]
    found = same(image[None].astype("float32")).numpy()[0]
    np.testing.assert_allclose(found, middle, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("kernel", "strides"), [(2, 2), (5, 2), (3, 3)])
def test_a_transposed_convolution_costs_what_its_sketch_says(kernel, strides, padding):
    def build(x):
        return blocks.conv_transpose(
            x, 7, kernel, strides=strides, padding=padding, use_bias=False, name="up"
        )

    inputs = keras.Input((4, 6, 3))
    model = keras.Model(inputs, build(inputs))
    ledger = Ledger()
    assert build(Sketch((None, 4, 6, 3), ledger)).shape == model.output_shape
    assert ledger.params == model.count_params() == kernel * kernel * 3 * 7
    assert ledger.macs == profile(model).macs == kernel * kernel * 3 * 7 * 4 * 6


@pytest.mark.parametrize("x", [keras.Input((4, 4, 3)), Sketch((None, 4, 4, 3), Ledger())])
def test_a_transposed_convolution_without_a_meaning_is_refused(x):
    with pytest.raises(ArgumentError, match=r"up: .*leave holes.*kernel=2, strides=3"):
        blocks.conv_transpose(x, 1, 2, strides=3, name="up")
    with pytest.raises(ArgumentError, match=r'up: .*"valid" or "same".*Received: 1'):
        blocks.conv_transpose(x, 1, 2, strides=2, padding=1, name="up")


@pytest.mark.parametrize("learned", [False, True])
def test_upsampling_and_cropping_cost_what_their_sketches_say(learned):
    """Fixed interpolation counts as little as pooling does."""

    def build(x):
        small = blocks.conv(x, 3, 3, strides=2, name="conv")
        large = blocks.upsample(small, 2, learned=learned, name="up")
        return blocks.crop(large, blocks.tensor_at(large, "conv"), offset=3, name="crop")

    inputs = keras.Input((8, 6, 1))
    model = keras.Model(inputs, build(inputs))
    ledger = Ledger()
    assert build(Sketch((None, 8, 6, 1), ledger)).shape == model.output_shape == (None, 4, 3, 3)
    own = 4 * 4 * 3 * 3 * learned
    assert ledger.params == model.count_params() == 30 + own
    assert ledger.macs == profile(model).macs == 27 * 12 + own * 12


def test_a_part_that_reaches_out_of_its_map_is_too_small_an_input():
    small, large = (Sketch((None, side, side, 1), Ledger()) for side in (4, 5))
    assert blocks.crop(large, small, offset=1, name="crop").shape == (None, 4, 4, 1)
    with pytest.raises(InputSizeError, match="crop: 4×4 can't be cut out of a map of 5×5, 2 from"):
        blocks.crop(large, small, offset=2, name="crop")


def test_a_convolution_of_several_maps_has_its_parameters_once():
    def build(x):
        maps = [blocks.conv(x, 4, 3, name="conv"), blocks.max_pool(x, 2, name="pool")]
        maps[1] = blocks.conv(maps[1], 4, 1, name="wider")
        large, small = blocks.conv_each(*maps, filters=5, kernel=3, name="each")
        small = blocks.apply(small, keras.layers.UpSampling2D(name="up"))
        joined = blocks.apply(large, keras.layers.Concatenate(name="joined"), small)
        rows = blocks.apply(joined, keras.layers.Reshape((-1, 10), name="rows"))
        return blocks.logits(blocks.dense(rows, 6, name="fc"), 2)

    inputs = keras.Input((8, 6, 3))
    model, ledger = keras.Model(inputs, build(inputs)), Ledger()
    assert build(Sketch((None, 8, 6, 3), ledger)).shape == model.output_shape == (None, 48, 2)
    assert ledger.params == model.count_params() == 112 + 16 + 185 + 66 + 14
    expected = 48 * 108 + 12 * 12 + 60 * 180 + 48 * (60 + 12)
    assert ledger.macs == profile(model).macs == expected


def test_a_network_that_is_cut_costs_nothing_behind_the_cut():
    def build(x):
        x = blocks.conv(x, 4, 3, name="first")
        return blocks.cut(blocks.conv(x, 8, 9, name="second"), "first")

    inputs = keras.Input((8, 6, 3))
    model, ledger = keras.Model(inputs, build(inputs)), Ledger()
    assert build(Sketch((None, 8, 6, 3), ledger)).shape == model.output_shape == (None, 8, 6, 4)
    assert (ledger.params, ledger.macs) == (model.count_params(), profile(model).macs)
    assert list(ledger.kernels) == ["first"]


@pytest.mark.parametrize("size", [(8, 4), (7, 4), (1, 9)])
def test_a_map_is_filled_up_with_zeros_to_a_multiple(size):
    maps = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    expected = np.pad(maps, ((0, 0), (0, -size[0] % 4), (0, -size[1] % 4), (0, 0)))
    for shape in (size, (None, None)):
        inputs = keras.Input((*shape, 3))
        model = keras.Model(inputs, blocks.pad_to_multiple(inputs, 4, name="pad"))
        np.testing.assert_array_equal(model(maps), expected)
    sketch = blocks.pad_to_multiple(Sketch((None, *size, 3), Ledger()), 4, name="pad")
    assert sketch.shape == (None, *expected.shape[1:])
    assert profile(model, (*size, 3))["pad"].receptive_field.size == (1, 1)


def test_layers_are_repeated_on_other_maps_with_the_same_weights_and_both_models_can_be_saved(
    tmp_path,
):
    image = keras.Input((6, 6, 2))
    start = blocks.activation(image, "relu", name="start")
    x = blocks.add(blocks.conv(start, 2, 3, name="conv"), image, name="sum")
    model = keras.Model(image, x)
    inputs = [keras.Input((None, None, 2)), keras.Input((None, None, 2))]
    other = keras.Model(inputs, blocks.repeat([x], [start, image], inputs))
    assert [v.path for v in other.variables] == [v.path for v in model.variables]
    pixels = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(1, 6, 6, 2)))
    np.testing.assert_array_equal(other([keras.ops.relu(pixels), pixels]), model(pixels))
    for one in (model, other):
        one.save(tmp_path / "model.keras")


def test_what_is_behind_a_layer_moves_to_another_map_and_costs_what_its_sketch_says():
    """Once, at the other map's size; its layers know no call but that one, and can be saved."""

    def build(x):
        image, x = x, blocks.conv(x, 4, 3, name="first")
        x = blocks.conv(x, 8, 3, strides=2, use_bias=False, name="second")
        x = blocks.batch_norm(x, name="bn")
        x = blocks.add(blocks.conv(x, 8, 1, name="third"), x, name="sum")
        part = blocks.max_pool(blocks.cut(x, "first"), 4, name="part")
        return image, blocks.behind(x, "first", part)

    image, output = build(keras.Input((32, 24, 3)))
    model = keras.Model(image, output)
    _, sketch = build(Sketch((None, 32, 24, 3), Ledger()))
    found = profile(model)
    assert output.shape == sketch.shape == (None, 4, 3, 8)
    assert (found.params, found.macs) == (sketch.ledger.params, sketch.ledger.macs)
    assert found.macs == 32 * 24 * 9 * 3 * 4 + 4 * 3 * (9 * 4 * 8 + 8 * 8)
    assert model.get_layer("second").output.shape == (None, 4, 3, 8)
    assert len(model.get_layer("first")._outbound_nodes) == 1
    twin = keras.Model.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(1, 32, 24, 3)).astype("float32")
    np.testing.assert_array_equal(twin(x), model(x))


@pytest.mark.parametrize("size", [(8, 6), (7, 5)])
@pytest.mark.parametrize(
    ("channels", "groups", "layers"),
    [(15, 1, ["it_sample", "it"]), (16, 1, ["it"]), (30, 2, ["it_sample", "it"])],
)
def test_a_strided_convolution_of_single_pixels_reads_every_second_one(
    channels, groups, layers, size
):
    def build(x):
        return blocks.conv(x, 6, 1, strides=2, groups=groups, name="it")

    inputs = keras.Input((*size, channels))
    model = keras.Model(inputs, build(inputs))
    assert [layer.name for layer in model.layers[1:]] == layers
    images = np.random.default_rng(0).normal(size=(2, *size, channels)).astype("float32")
    kernel, bias = model.get_weights()
    parts = np.split(images[:, ::2, ::2], groups, axis=-1)
    kernels = np.split(kernel[0, 0], groups, axis=-1)
    expected = np.concatenate([x @ k for x, k in zip(parts, kernels)], axis=-1) + bias
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-5)

    ledger = Ledger()
    assert build(Sketch((None, *size, channels), ledger)).shape == model.output_shape
    found = profile(model)
    assert (ledger.params, ledger.macs) == (found.params, found.macs)
