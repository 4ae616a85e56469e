"""Profiles: counts against published figures, fields and memory against arithmetic by hand."""

import csv
import inspect
import io
import json
import math

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerascnn
from kerascnn import blocks
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import without_values
from kerascnn.receptive_fields import ReceptiveField

# Multiply-adds in units of 10^9, as the source states them. "prototxt": counted from the authors'
# Caffe models; "torchvision": the `_ops` of its weights' metadata; else the paper.
PUBLISHED = {
    "VGG16": ("15.470264320", "prototxt"),
    "VGG19": ("19.632062464", "prototxt"),
    "ResNet50": ("3.857973248", "prototxt"),
    "ResNet101": ("7.570194432", "prototxt"),
    "ResNet152": ("11.282415616", "prototxt"),
    "DenseNet121": ("2.834161664", "prototxt"),
    "DenseNet169": ("3.36", "torchvision"),
    "DenseNet201": ("4.291365888", "prototxt"),
    "MobileNet": ("0.569", "arXiv:1704.04861, table 8"),
    "MobileNetV2": ("0.30", "arXiv:1801.04381, table 4"),
    "MobileNetV3Small": ("0.06", "arXiv:1905.02244, table 3: 56 M"),
    "NASNetMobile": ("0.564", "arXiv:1707.07012, table 3"),
    "NASNetLarge": ("23.8", "arXiv:1707.07012, table 2"),
    "InceptionV3": ("5.71", "torchvision"),
    "ConvNeXtTiny": ("4.5", "torchvision"),
    "ConvNeXtSmall": ("8.7", "torchvision"),
    "ConvNeXtBase": ("15.4", "torchvision"),
    "ConvNeXtLarge": ("34.4", "torchvision"),
    "EfficientNetB0": ("0.39", "arXiv:1905.11946, table 2"),
    "EfficientNetB4": ("4.4", "torchvision"),
    "EfficientNetB7": ("37.7", "torchvision"),
    "EfficientNetV2S": ("8.4", "torchvision"),
    "EfficientNetV2M": ("24.6", "torchvision"),
    "EfficientNetV2L": ("56.1", "torchvision"),
}
QUICK = {
    *("VGG16", "ResNet50", "DenseNet121", "MobileNet", "MobileNetV2", "MobileNetV3Small"),
    *("InceptionV3", "ConvNeXtTiny", "EfficientNetB0", "Xception"),
}
APPLICATIONS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name, function in sorted(vars(keras.applications).items())
    if inspect.isfunction(function)
]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_keras_applications_have_their_published_counts(name):
    with without_values():
        model = getattr(keras.applications, name)(weights=None)
    sizes = model.inputs[0].shape[1:]
    profile = kerascnn.profile(model, (224, 224, 3) if None in sizes else None)
    assert profile.params + profile.other_params == model.count_params()
    assert not profile.uncounted
    if name in PUBLISHED:
        published, _ = PUBLISHED[name]
        digits = len(published.partition(".")[2])
        assert f"{profile.macs / 1e9:.{digits}f}" == published


def test_every_published_count_belongs_to_a_model():
    assert PUBLISHED.keys() | QUICK <= {param.values[0] for param in APPLICATIONS}


# --- Multiply-adds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (layers.Conv2D(6, (3, 5)), 6 * 4 * 15 * 8 * 6),
        (layers.Conv2D(6, 3, 2, padding="same", groups=2), 6 * 2 * 9 * 5 * 5),
        (layers.Conv2D(6, 3, dilation_rate=2), 6 * 4 * 9 * 6 * 6),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 8 * 9 * 64),
        (layers.SeparableConv2D(6, 3, depth_multiplier=2), (8 * 9 + 8 * 6) * 64),
        (layers.Conv2DTranspose(6, 4, 2), 6 * 4 * 16 * 100),
        (layers.Dense(7), 4 * 7 * 100),
        (layers.BatchNormalization(), 0),
        (layers.MaxPooling2D(), 0),
    ],
)
def test_multiply_adds_of_a_layer(layer, macs):
    inputs = keras.Input((10, 10, 4))
    row = kerascnn.profile(keras.Model(inputs, layer(inputs))).layers[1]
    assert row.macs == macs
    assert row.params == sum(math.prod(w.shape) for w in layer.trainable_weights)


@keras.saving.register_keras_serializable("tests")
class Bilinear(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return ops.sum(ops.matmul(x, self.kernel) * x, -1, keepdims=True)


def test_a_layer_of_ones_own_counts_itself_or_is_named_as_uncounted():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, Bilinear(name="form")(inputs))
    assert kerascnn.profile(model).uncounted == ("form",)
    Bilinear.macs = lambda self, shape: shape[-1] ** 2 + shape[-1]
    try:
        profile = kerascnn.profile(model)
    finally:
        del Bilinear.macs
    assert (profile.uncounted, profile.macs) == ((), 30)


class Pieces(layers.Layer):
    """Each image as `count` smaller ones in its place in the batch, or back to one."""

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def call(self, x):
        return ops.reshape(x, self.compute_output_shape(x.shape))

    def compute_output_shape(self, shape):
        height = shape[1] // self.count if self.count > 1 else shape[1]
        return (-1 if shape[0] is not None else None, height, *shape[2:])

    def images(self, shape):
        return self.count


def test_layers_cost_as_often_as_an_image_is_looked_at_in_pieces():
    inputs = keras.Input((8, 2, 1))
    pieces = Pieces(4)(inputs)
    conv = layers.Conv2D(3, 1, use_bias=False, name="conv")(pieces)
    outputs = layers.Conv2D(3, 1, use_bias=False, name="behind")(Pieces(1)(conv))
    profile = kerascnn.profile(keras.Model(inputs, outputs))
    assert profile["conv"].macs == 4 * (2 * 2) * 3  # as on the whole image
    assert profile["conv"].activation_bytes == 4 * (2 * 2) * 3 * 4
    assert profile["behind"].macs == (2 * 2) * 3 * 3
    assert profile["conv"].params == 3


# --- Receptive fields ------------------------------------------------------------------------


def reactions(model, size, axis):
    """First and last input position that each output unit on an axis reacts to."""
    images = np.zeros((size[axis], *size, 1), "float32")
    for position in range(size[axis]):
        images[(position, *(position if a == axis else slice(None) for a in (0, 1)))] = 1
    change = np.asarray(model(images)) - np.asarray(model(np.zeros((1, *size, 1), "float32")))
    units = change.max(-1).max(2 - axis) > 1e-6  # [input position, output unit]
    return [(hit.argmax(), len(hit) - 1 - hit[::-1].argmax()) for hit in units.T]


def chain(*steps):
    return lambda x: [x := step(x) for step in steps][-1]


ones = {"kernel_initializer": "ones"}


@pytest.mark.parametrize(
    "body",
    [
        chain(layers.Conv2D(1, (3, 5), (1, 2), **ones), layers.MaxPooling2D(3, 2)),
        chain(layers.Conv2D(1, 5, 2, padding="same", **ones), layers.AveragePooling2D(2)),
        chain(layers.Conv2D(1, 3, dilation_rate=3, **ones), layers.Cropping2D(((2, 0), (1, 1)))),
        chain(layers.ZeroPadding2D(((3, 0), (1, 2))), layers.Conv2D(1, 4, 3, **ones)),
        chain(layers.Conv2D(1, 3, 2, **ones), layers.Conv2DTranspose(1, 4, 2, "same", **ones)),
        chain(layers.Conv2D(1, 3, 2, **ones), layers.Conv2DTranspose(1, 2, 2, **ones)),
        chain(layers.Conv2D(1, 3, 3, **ones), layers.UpSampling2D(3), layers.Conv2D(1, 3, **ones)),
        chain(layers.Conv2D(1, 2, 2, **ones), layers.UpSampling2D(2, interpolation="bilinear")),
        lambda x: blocks.resize(layers.Conv2D(1, 5, 3, **ones)(x), x, name="resize"),
        lambda x: blocks.resize(x, layers.Conv2D(1, 5, 3)(x), name="resize"),
        lambda x: blocks.upsample(layers.Conv2D(1, 5, 3, **ones)(x), 2, name="upsample"),
        lambda x: blocks.crop(x, layers.Conv2D(1, 5, 3)(x), name="crop"),
        lambda x: blocks.crop(x, layers.Conv2D(1, 5)(x), offset=3, name="crop"),
        lambda x: layers.Concatenate()(
            [layers.Conv2D(1, 1, 2, **ones)(x), layers.Conv2D(1, 7, 2, padding="same", **ones)(x)]
        ),
    ],
)
def test_a_field_is_what_a_unit_reacts_to(body):
    size = (31, 30)
    inputs = keras.Input((*size, 1))
    model = keras.Model(inputs, body(inputs))
    field = kerascnn.profile(model).layers[-1].receptive_field
    words = ("up_sampling", "upsample", "transpose", "resize")
    enlarges = any(word in x.name for x in model.layers for word in words)
    for axis in (0, 1):
        slack = []
        for unit, (first, last) in enumerate(reactions(model, size, axis)):
            start = field.start[axis] + unit * field.stride[axis]
            end = start + field.size[axis] - 1
            assert max(start, 0) <= first
            assert last <= min(end, size[axis] - 1)
            if start >= 0 and end < size[axis]:
                slack.append((first - start, end - last))
        # Where a map is enlarged, units lie differently between the pixels below; the field is
        # the smallest that holds for all of them, up to a fraction of a pixel.
        for gaps in zip(*slack):
            assert min(gaps) < (1 if enlarges else 1e-9)
            assert enlarges or max(gaps) == 0


def test_union_and_whole_image():
    x = inputs = keras.Input((32, 32, 4))
    near = layers.Conv2D(4, 3, padding="same", name="near")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(near)
    gated = layers.Multiply(name="gated")([near, gate])
    profile = kerascnn.profile(keras.Model(inputs, layers.Conv2D(2, 3, 2, name="last")(gated)))
    assert profile["near"].receptive_field == ReceptiveField((3, 3), (1, 1), (-1, -1))
    assert profile["pool"].stride is None
    for name in ("pool", "gated", "last"):
        assert profile[name].receptive_field is None
    assert profile["last"].stride == (2, 2)
    left = ReceptiveField((3,), (2,), (-1,))
    assert left | ReceptiveField((2,), (2,), (1,)) == ReceptiveField((4,), (2,), (-1,))
    assert (left | ReceptiveField((3,), (4,), (-1,))) is None


# --- Graphs ----------------------------------------------------------------------------------


def test_a_nested_model_counts_as_if_it_were_flat():
    def parts():
        return layers.Conv2D(4, 3, 2, name="conv"), layers.BatchNormalization(name="bn")

    inputs = keras.Input((None, None, 3))
    inner = keras.Model(inputs, chain(*parts())(inputs), name="inner")
    outer_in = keras.Input((33, 21, 3))
    head = layers.Dense(2)(layers.GlobalAveragePooling2D(name="gap")(inner(outer_in)))
    nested = kerascnn.profile(keras.Model(outer_in, head))
    x = chain(*parts())(outer_in)
    flat = kerascnn.profile(
        keras.Model(outer_in, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    )
    assert (nested.params, nested.other_params) == (flat.params, flat.other_params)
    assert nested.macs == flat.macs
    assert nested["inner/conv"].output_shape == (16, 10, 4)
    assert nested["inner/bn"].receptive_field == flat["bn"].receptive_field
    assert nested.peak_memory(3) == flat.peak_memory(3)


def test_a_shared_layer_has_its_parameters_once_and_its_work_twice():
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    conv = layers.Conv2D(2, 3, name="conv")
    profile = kerascnn.profile(keras.Model([a, b], layers.Add()([conv(a), conv(b)])))
    assert profile.params == 56
    assert profile.macs == 2 * profile["conv#2"].macs == 2 * 54 * 36
    assert (profile["conv"].params, profile["conv#2"].params) == (56, 0)


def test_open_sizes_need_an_input_shape():
    model = kerascnn.create("lenet5", include_top=False)
    with pytest.raises(ArgumentError, match=r"lenet5: pass input_shape.*Received: None"):
        kerascnn.profile(model)
    with pytest.raises(ArgumentError, match="Received"):
        kerascnn.profile(model, (32, 32, 3))
    fixed = kerascnn.profile(kerascnn.create("lenet5", include_top=False, input_shape=(40, 36, 1)))
    assert kerascnn.profile(model, (40, 36, 1)).layers[1:] == fixed.layers[1:]


def test_a_model_without_a_graph_is_refused():
    class Custom(keras.Model):
        pass

    for model in (Custom(), keras.Sequential([layers.Dense(3)])):
        with pytest.raises(ArgumentError, match=r"only a functional keras.Model"):
            kerascnn.profile(model)


def test_frozen_layers_are_not_trainable():
    model = kerascnn.create("lenet5")
    model.get_layer("fc1").trainable = False
    profile = kerascnn.profile(model)
    assert (profile.params, profile.other_params) == (61_706 - 48_120, 48_120)


# --- Memory ----------------------------------------------------------------------------------


def test_peak_memory_by_hand():
    """100 values in; a keeps 200 alive for the sum while b makes 300 and c 200 more."""
    x = inputs = keras.Input((10, 10, 1), name="input")
    a = layers.Conv2D(2, 1, name="a")(x)
    b = layers.Conv2D(3, 1, name="b")(a)
    c = layers.Conv2D(2, 1, name="c")(b)
    flat = layers.Flatten(name="flat")(layers.Add(name="add")([a, c]))
    profile = kerascnn.profile(keras.Model(inputs, flat))
    assert profile.peak_memory() == 4 * (200 + 300 + 200)
    # The sum's backward step: all maps, and the gradients of the sum, of a and of c.
    maps = 100 + 200 + 300 + 200 + 200
    assert profile.peak_memory(training=True) == 4 * (maps + 3 * 200)
    assert profile.peak_memory(16) == 16 * profile.peak_memory()


def test_half_precision_halves_the_activations():
    def activations(policy):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            model = kerascnn.create("lenet5_1998", include_top=False, input_shape=(32, 32, 1))
        finally:
            keras.config.set_dtype_policy(before)
        return kerascnn.profile(model).activation_bytes

    image = 32 * 32 * 4
    assert activations("float32") - image == 2 * (activations("mixed_bfloat16") - image)


# --- Output ----------------------------------------------------------------------------------


def test_table_json_and_csv_say_the_same():
    from rich.console import Console

    profile = kerascnn.profile(kerascnn.create("lenet5"))
    read = json.loads(profile.to_json())
    assert (read["params"], read["macs"]) == (61_706, 416_520)
    rows = list(csv.DictReader(io.StringIO(profile.to_csv())))
    assert [row["name"] for row in rows] == [layer["name"] for layer in read["layers"]]
    assert sum(int(row["macs"]) for row in rows) == read["macs"]
    conv2 = next(row for row in rows if row["name"] == "conv2")
    assert (conv2["output_shapes"], conv2["kernel"], conv2["field_size"]) == (
        "10×10×16",
        "5 5",
        "14 14",
    )
    out = io.StringIO()
    Console(file=out, width=120).print(profile.table())
    assert "conv2" in out.getvalue()
    assert "61,706" in out.getvalue()
    assert "416,520" in out.getvalue()


def test_weights_are_counted_apart_from_biases_and_scales():
    """Of a batch normalization, of a frozen layer, and of a shared one once."""
    inputs = keras.Input((8, 8, 3))
    conv = keras.layers.Conv2D(4, 3, name="conv")
    shared = keras.layers.Conv2D(4, 1, padding="same", name="shared", trainable=False)
    x = keras.layers.BatchNormalization(name="norm")(conv(inputs))
    x = keras.layers.Flatten()(shared(shared(x)))
    measured = kerascnn.profile(keras.Model(inputs, keras.layers.Dense(5, name="dense")(x)))
    assert {layer.name: layer.weights for layer in measured.layers if layer.weights} == {
        "conv": 3 * 3 * 3 * 4,
        "shared": 4 * 4,
        "dense": 6 * 6 * 4 * 5,
    }
    assert measured["conv"].weight_shapes == ((3, 3, 3, 4),)
    assert (measured["norm"].weights, measured["norm"].params) == (0, 2 * 4)
    assert measured.weights == 108 + 16 + 720


def test_printing_a_profile_shows_its_table():
    shown = str(kerascnn.profile(kerascnn.create("lenet5")))
    for text in ("conv2", "2,416", "240,000", "total", "61,706"):
        assert text in shown


def test_notebooks_show_each_layer_and_the_totals(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    measured = kerascnn.profile(kerascnn.create("lenet5"))
    shown = measured._repr_html_()
    assert all(f">{layer.name}<" in shown for layer in measured.layers)
    assert ">61,706<" in shown
    assert "\x1b" not in str(measured)
