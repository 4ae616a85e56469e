"""The shared layers against NumPy implementations of the published formulas."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascnn import blocks
from kerascnn.errors import ArgumentError
from kerascnn.layers import (
    AveragePooling,
    BatchNormalization,
    BilinearResizing,
    Cropping,
    GridPooling,
    GroupedConv2D,
    LocalResponseNormalization,
    MaxPooling,
)
from kerascnn.sketch import Ledger, Sketch


def random_maps(*shape, scale=10.0):
    return np.random.default_rng(0).normal(0, scale, shape).astype("float32")


def lrn_by_formula(a, *, size, k, alpha, beta):
    """Krizhevsky et al. (2012), section 3.3, one map after the other, in float64."""
    a = a.astype("float64")
    b = np.empty_like(a)
    maps = a.shape[-1]
    for i in range(maps):
        nearby = range(max(0, i - size // 2), min(maps - 1, i + (size - 1) // 2) + 1)
        total = sum(a[..., j] ** 2 for j in nearby)
        b[..., i] = a[..., i] / (k + alpha * total) ** beta
    return b


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize(("k", "alpha", "beta"), [(2.0, 1e-4, 0.75), (1.0, 5e-2, 0.5)])
def test_lrn_is_the_published_formula(size, k, alpha, beta):
    """Odd and even neighbourhoods, and one wider than the maps are many."""
    a = random_maps(2, 3, 4, 7)
    got = LocalResponseNormalization(size, k, alpha, beta)(a)
    expected = lrn_by_formula(a, size=size, k=k, alpha=alpha, beta=beta)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_lrn_divides_alpha_as_caffe_and_torch_do_when_asked():
    a = random_maps(1, 2, 2, 16)
    got = LocalResponseNormalization(5, 1.0, 0.1, divide_alpha=True)(a)
    expected = lrn_by_formula(a, size=5, k=1.0, alpha=0.1 / 5, beta=0.75)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_lrn_gradient_is_that_of_the_formula():
    """Training goes through the layer: automatic against finite differences, in float64."""
    import tensorflow as tf

    a = random_maps(1, 1, 1, 8, scale=3.0).astype("float64")
    layer = LocalResponseNormalization(5, 1.0, 0.1, dtype="float64")
    variable = tf.Variable(a)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(variable) * np.arange(8.0))
    step, expected = 1e-6, np.empty(8)
    for i in range(8):
        moved = [a + sign * step * np.eye(8)[i] for sign in (1, -1)]
        plus, minus = ((layer(x).numpy() * np.arange(8.0)).sum() for x in moved)
        expected[i] = (plus - minus) / (2 * step)
    np.testing.assert_allclose(tape.gradient(total, variable)[0, 0, 0], expected, atol=1e-7)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_lrn_squares_do_not_overflow_in_half_precision(policy):
    """300² is infinite in float16, and the output would be 0."""
    a = np.full((1, 1, 1, 6), 300.0, "float32")
    got = LocalResponseNormalization(dtype=policy)(a)
    assert keras.backend.standardize_dtype(got.dtype) == policy.removeprefix("mixed_")
    expected = lrn_by_formula(a, size=5, k=2.0, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(keras.ops.cast(got, "float32"), expected, rtol=1e-2)


def test_lrn_keeps_unknown_sizes_and_its_arguments():
    inputs = keras.Input((None, None, 5))
    outputs = blocks.lrn(inputs, name="norm1", size=3, alpha=0.1, divide_alpha=True)
    assert outputs.shape == (None, None, None, 5)
    model = keras.Model(inputs, outputs)
    twin = keras.Model.from_config(model.get_config())
    a = random_maps(1, 3, 2, 5)
    np.testing.assert_array_equal(model(a), twin(a))
    expected = lrn_by_formula(a, size=3, k=2.0, alpha=0.1 / 3, beta=0.75)
    np.testing.assert_allclose(twin(a), expected, rtol=1e-5)


def test_lrn_costs_nothing_in_a_sketch():
    ledger = Ledger()
    assert blocks.lrn(Sketch((None, 5, 6, 7), ledger), name="norm1").shape == (None, 5, 6, 7)
    assert (ledger.params, ledger.macs) == (0, 0)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"k": 0.0}])
def test_lrn_refuses_what_could_divide_by_zero(arguments):
    with pytest.raises(ValueError, match="must be positive"):
        LocalResponseNormalization(**arguments)


def pool_by_loops(x, window, stride, padding, ceil, kind="max"):
    """Caffe's pooling: windows are clipped to the map, and one that starts beyond is left out."""
    top, bottom, left, right = padding
    height, width = x.shape[1:3]

    def starts(size, before, after):
        room = (size + before + after - window) / stride
        count = int(np.ceil(room) if ceil else np.floor(room)) + 1
        all_starts = [i * stride - before for i in range(count)]
        return [start for start in all_starts if start < size]

    def pooled(row, column):
        cut = x[:, max(row, 0) : row + window, max(column, 0) : column + window]
        if kind == "max":
            return cut.max(axis=(1, 2))
        rows = min(row + window, height + bottom) - row  # zeros of the padding count
        columns = min(column + window, width + right) - column
        return cut.sum(axis=(1, 2)) / (rows * columns)

    columns = starts(width, left, right)
    return np.stack(
        [np.stack([pooled(r, c) for c in columns], 1) for r in starts(height, top, bottom)], 1
    )


SIZES = [(3, 4), (5, 6), (7, 8), (9, 10)]
POOLINGS = [
    (3, 2, (0, 0, 0, 0)),  # AlexNet, GoogLeNet
    (3, 2, (1, 1, 1, 1)),  # ResNet; with ceil, even sizes need the clip
    (2, 2, (0, 0, 0, 0)),
    (2, 2, (1, 1, 1, 1)),
    (3, 1, (1, 1, 1, 1)),  # the pooling branch of an inception module
    (3, 3, (0, 1, 2, 0)),
    (2, 3, (0, 0, 0, 0)),  # windows that do not touch
]
KINDS = {"max": (MaxPooling, blocks.max_pool), "avg": (AveragePooling, blocks.avg_pool)}
pooling_cases = pytest.mark.parametrize(
    ("kind", "window", "stride", "padding", "ceil"),
    [(k, *case, ceil) for k in KINDS for case in POOLINGS for ceil in (False, True)],
)


@pooling_cases
def test_pooling_is_caffes(kind, window, stride, padding, ceil):
    """Values and shapes at odd and even sizes that are known when the layer is built."""
    layer_class, block = KINDS[kind]
    layer = layer_class(window, stride, padding=padding, ceil=ceil)
    for height, width in SIZES:
        x = random_maps(2, height, width, 3)
        expected = pool_by_loops(x, window, stride, padding, ceil, kind)
        np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)
        assert layer.compute_output_shape(x.shape) == expected.shape
        sketch = Sketch(x.shape, Ledger())
        sketch = block(sketch, window, strides=stride, padding=padding, ceil=ceil, name="pool")
        assert sketch.shape[1:] == expected.shape[1:]


@pooling_cases
def test_pooling_of_unknown_sizes(kind, window, stride, padding, ceil):
    """A model for any input size must not add a window that sees padding only."""
    block = KINDS[kind][1]
    inputs = keras.Input((None, None, 3))
    outputs = block(inputs, window, strides=stride, padding=padding, ceil=ceil, name="pool")
    assert outputs.shape == (None, None, None, 3)
    model = keras.Model(inputs, outputs)
    for height, width in SIZES:
        x = random_maps(1, height, width, 3)
        expected = pool_by_loops(x, window, stride, padding, ceil, kind)
        np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


def test_padding_never_wins_a_maximum():
    x = np.full((1, 3, 3, 1), -5.0, "float32")
    assert np.all(np.array(MaxPooling(3, 2, padding="same", ceil=True)(x)) == -5.0)


@pytest.mark.parametrize("layer", [MaxPooling, AveragePooling])
def test_pooling_refuses_windows_of_padding(layer):
    with pytest.raises(ValueError, match="less than pool_size"):
        layer(2, 2, padding=2)


@pytest.mark.parametrize("grid", [2, 3, 7])
def test_grid_pool_averages_equal_parts(grid):
    """torch's adaptive pooling: part i covers floor(i·n/grid) to ceil((i+1)·n/grid)."""
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, blocks.grid_pool(inputs, grid, name="grid_pool"))
    for height, width in SIZES:
        x = random_maps(2, height, width, 3)
        rows, columns = (
            [slice(i * n // grid, -(-(i + 1) * n // grid)) for i in range(grid)]
            for n in (height, width)
        )
        expected = [[x[:, r, c].mean(axis=(1, 2)) for c in columns] for r in rows]
        expected = np.array(expected).transpose(2, 0, 1, 3)
        np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("strides", "padding"), [(1, "same"), (2, "valid")])
def test_grouped_convolution_is_keras(strides, padding):
    """Same weights, output and gradients as Keras's layer, and no other configuration."""
    import tensorflow as tf

    ours = GroupedConv2D(6, 3, strides, padding, groups=2)
    theirs = keras.layers.Conv2D(6, 3, strides, padding, groups=2)
    x = tf.Variable(random_maps(2, 7, 8, 4, scale=1.0))
    ours.build(x.shape)
    theirs.build(x.shape)
    ours.set_weights([w + 0.1 for w in theirs.get_weights()])
    theirs.set_weights(ours.get_weights())
    found = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(y * y)
        found.append([y, *tape.gradient(loss, [x, layer.kernel.value, layer.bias.value])])
    for mine, reference in zip(*found):
        np.testing.assert_allclose(mine, reference, rtol=1e-3, atol=1e-4)
    assert {**ours.get_config(), "name": ""} == {**theirs.get_config(), "name": ""}


def test_flatten_of_an_unknown_size_says_what_to_do():
    with pytest.raises(ArgumentError, match=r"include_top=False"):
        blocks.flatten(keras.Input((None, 4, 3)))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 7), (13, 9), (14, 14)])
def test_grid_pooling_is_the_average_of_each_part(size):
    """torch's adaptive pooling; also in a compiled graph and where the map is smaller."""
    images = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    expected = np.zeros((2, 7, 7, 3))
    for i in range(7):
        for j in range(7):
            rows = slice(i * size[0] // 7, math.ceil((i + 1) * size[0] / 7))
            columns = slice(j * size[1] // 7, math.ceil((j + 1) * size[1] / 7))
            expected[:, i, j] = images[:, rows, columns].mean((1, 2))
    layer = GridPooling(7)
    np.testing.assert_allclose(layer(images), expected, atol=1e-6)
    compiled = tf.function(layer, jit_compile=True)
    np.testing.assert_allclose(compiled(images), expected, atol=1e-6)


def interpolated(images, height, width):
    """Bilinear, corners not aligned: from the values at the middles of pixels, border repeated."""
    rows = (np.arange(height) + 0.5) * images.shape[1] / height - 0.5
    columns = (np.arange(width) + 0.5) * images.shape[2] / width - 0.5

    def along(maps, places):
        first = np.floor(places).astype(int)
        share = (places - first)[:, None, None]
        low, high = (np.clip(i, 0, maps.shape[1] - 1) for i in (first, first + 1))
        return maps[:, low] * (1 - share) + maps[:, high] * share

    return along(along(images, rows).swapaxes(1, 2), columns).swapaxes(1, 2)


@pytest.mark.parametrize("size", [(21, 30), (7, 5), (8, 40), (3, 2), (1, 11)])
def test_resizing_interpolates_between_the_middles_of_pixels(size):
    """As a formula and as TensorFlow's kernel say it; the size from another map, known or not."""
    images = random_maps(2, 7, 5, 3, scale=1.0)
    expected = interpolated(images.astype("float64"), *size)
    np.testing.assert_allclose(tf.image.resize(images, size), expected, atol=1e-6)
    x, like = keras.Input((None, None, 3)), keras.Input((None, None, 1))
    model = keras.Model([x, like], blocks.resize(x, like, name="up"))
    assert model.output_shape == (None, None, None, 3)
    other = np.zeros((2, *size, 1), "float32")
    np.testing.assert_allclose(model([images, other]), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict([images, other], verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_gradient_of_resizing_is_the_same_product_backwards(jit_compile):
    """TensorFlow's kernel has none under XLA."""
    images, weights = (random_maps(2, *size, 3, scale=1.0) for size in ((5, 4), (13, 11)))
    layer = BilinearResizing()

    def gradient(resize):
        x = tf.constant(images)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(resize(x) * weights)
        return tape.gradient(total, x)

    expected = gradient(lambda x: tf.image.resize(x, (13, 11)))
    found = tf.function(lambda: gradient(lambda x: layer([x, weights])), jit_compile=jit_compile)()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_resizing_calculates_in_float32():
    """257 isn't a number of bfloat16, and an average of 256 and 258 is."""
    maps = np.array([256.0, 258.0], "float32").reshape(1, 1, 2, 1)
    like = np.zeros((1, 1, 4, 1), "float32")
    layer = BilinearResizing(dtype="mixed_bfloat16")
    assert layer([tf.cast(maps, "bfloat16"), like]).dtype == "bfloat16"
    precise = BilinearResizing(dtype="float32")
    found = precise([tf.cast(maps, "bfloat16"), like])
    np.testing.assert_array_equal(np.ravel(found), [256, 256.5, 257.5, 258])


def filt(side):
    """The authors' `upsample_filt` of surgery.py, one kernel `[side, side]`."""
    factor = (side + 1) // 2
    centre = factor - 1 if side % 2 == 1 else factor - 0.5
    rows, columns = np.ogrid[:side, :side]
    return (1 - abs(rows - centre) / factor) * (1 - abs(columns - centre) / factor)


def enlarged(images, factor):
    """Each map's transposed convolution with that kernel, pixel by pixel, without padding."""
    batch, height, width, channels = images.shape
    side = 2 * factor
    result = np.zeros((batch, (height + 1) * factor, (width + 1) * factor, channels))
    for row in range(height):
        for column in range(width):
            top, left = row * factor, column * factor
            spread = images[:, row, column][:, None, None] * filt(side)[None, :, :, None]
            result[:, top : top + side, left : left + side] += spread
    return result


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_upsampling_has_the_kernels_of_the_authors(factor, learned):
    """Fixed or as what is learned from there, of a size that is known or not."""
    images = random_maps(2, 4, 3, 5, scale=1.0)
    expected = enlarged(images.astype("float64"), factor)
    for size in ((4, 3), (None, None)):
        inputs = keras.Input((*size, 5))
        model = keras.Model(inputs, blocks.upsample(inputs, factor, learned=learned, name="up"))
        assert model.output_shape[1:3] in (expected.shape[1:3], (None, None))
        np.testing.assert_allclose(model(images), expected, atol=1e-5)
        np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)
    assert model.count_params() == (25 * 4 * factor**2 if learned else 0)


@pytest.mark.parametrize(("offset", "top", "left"), [(None, 2, 0), (0, 0, 0), (1, 1, 1)])
def test_a_part_of_a_map_has_the_size_of_another(offset, top, left):
    """From the middle or a corner; of sizes that are known or not."""
    images, other = random_maps(1, 9, 7, 2, scale=1.0), np.zeros((1, 4, 6, 1), "float32")
    for sizes in (((9, 7), (4, 6)), ((None, None), (None, None))):
        x, like = (keras.Input((*size, channels)) for size, channels in zip(sizes, (2, 1)))
        model = keras.Model([x, like], blocks.crop(x, like, offset=offset, name="crop"))
        assert model.output_shape[1:3] == sizes[1]
        part = images[:, top : top + 4, left : left + 6]
        np.testing.assert_array_equal(model([images, other]), part)
        np.testing.assert_array_equal(model.predict([images, other], verbose=0), part)


@pytest.mark.parametrize(("offset", "size"), [(None, (5, 4)), (2, (3, 4))])
def test_a_part_must_lie_in_its_map(offset, size):
    with pytest.raises(ArgumentError, match=rf"crop: a part of {size[0]}×4 .*Received: 4×4"):
        Cropping(offset, name="crop")([keras.Input((4, 4, 1)), keras.Input((*size, 1))])
    open_ = [keras.Input((None, None, 1)) for _ in range(2)]
    model = keras.Model(open_, Cropping(offset, name="crop")(open_))
    with pytest.raises(ArgumentError, match=rf"crop: a part of {size[0]}×4 .*Received: 4×4"):
        model([np.zeros((1, 4, 4, 1)), np.zeros((1, *size, 1))])


def trained_norm(kind, x, dtype, training, **arguments):
    """Output, gradients and moving statistics of a step, from weights that aren't the initial."""
    layer = kind(epsilon=1e-5, momentum=0.9, dtype=dtype, **arguments)
    layer.build(x.shape)
    channels = x.shape[-1]
    layer.set_weights([np.linspace(low, low + 1, channels) for low in (0.5, -1.0, -2.0, 1.0)])
    x = tf.Variable(tf.cast(x, layer.compute_dtype))
    with tf.GradientTape() as tape:
        y = layer(x, training=training)
        total = tf.reduce_sum(tf.sin(tf.cast(y, "float32")))
    gradients = tape.gradient(total, [x, layer.gamma, layer.beta])
    return [tf.cast(v, "float32").numpy() for v in (y, *gradients, *layer.get_weights()[2:])]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 2e-5), ("mixed_bfloat16", 2e-2), ("float64", 1e-7)]
)
def test_fused_batch_norm_is_keras(dtype, tolerance, training):
    """Output, every gradient and the moving statistics of the biased variance."""
    x = random_maps(3, 4, 5, 6, scale=2.0) + 1
    ours = trained_norm(BatchNormalization, x, dtype, training)
    stock = trained_norm(keras.layers.BatchNormalization, x, dtype, training)
    for one, other in zip(ours, stock):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_frozen_batch_norm_keeps_its_statistics():
    x = random_maps(2, 3, 3, 4)
    frozen = trained_norm(BatchNormalization, x, "float32", True, trainable=False)
    inference = trained_norm(BatchNormalization, x, "float32", False)
    for one, other in zip(frozen, inference):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "arguments",
    [
        {"axis": 1},
        {"scale": False},
        pytest.param(
            {"renorm": True},
            marks=pytest.mark.skipif(
                not hasattr(keras.layers.BatchNormalization(), "renorm"), reason="new in Keras 3.14"
            ),
        ),
    ],
)
def test_batch_norm_leaves_to_keras_what_the_kernel_cannot(arguments):
    x = random_maps(2, 4, 4, 4)
    ours, stock = (
        kind(**arguments)(x, training=True)
        for kind in (BatchNormalization, keras.layers.BatchNormalization)
    )
    np.testing.assert_array_equal(ours, stock)
