"""Any functional model is played again: in float32, before its softmax, and left as it was."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import toys
from keras import layers, ops
from tensorflow.python.ops import gen_nn_ops

import kerascnn
from kerascnn import explain
from kerascnn.errors import ArgumentError
from kerascnn.explain.graph import Replay
from kerascnn.layers import GroupedConv2D


def close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("name", toys.WITH_RELU)
def test_saliency_is_the_gradient_that_tensorflow_takes_of_the_model(name):
    """For single layers and other activations see test_rules.py."""
    model = toys.network(toys.WITH_RELU[name], end=None)
    toys.check_saliency(model)


def two(x):
    return [layers.Dense(3, activation="softmax", name=name)(x) for name in ("main", "aux")]


def half(x):
    x = layers.Dense(3, activation="softmax")(x)
    return layers.Activation("linear", dtype="float32")(x)


SOFTMAX = {
    "a layer's activation": lambda x: layers.Dense(3, activation="softmax")(x),
    "a function": lambda x: layers.Dense(3, activation=ops.softmax)(x),
    "TensorFlow's function": lambda x: layers.Dense(3, activation=tf.nn.softmax)(x),
    "a layer in the layer": lambda x: layers.Dense(3, activation=layers.Softmax())(x),
    "a layer": lambda x: layers.Softmax()(layers.Dense(3)(x)),
    "an activation": lambda x: layers.Activation("softmax", dtype="float32")(layers.Dense(3)(x)),
    "an operation": lambda x: ops.softmax(layers.Dense(3)(x)),
    "a model inside": lambda x: keras.Sequential([layers.Dense(3, activation="softmax")])(x),
    "several outputs": two,
    "before a cast": half,
    "before an operation": lambda x: ops.cast(ops.softmax(layers.Dense(3)(x)), "float32"),
    "before an identity": lambda x: layers.Identity()(layers.Softmax()(layers.Dense(3)(x))),
}


def over(end):
    inputs = keras.Input(toys.SHAPE)
    return toys.settled(keras.Model(inputs, end(layers.Flatten()(inputs))))


def first(outputs):
    return outputs[0] if isinstance(outputs, list) else outputs


@pytest.mark.parametrize("kind", SOFTMAX)
def test_a_class_is_its_score_before_any_softmax(kind):
    """The difference of two scores is that of the logarithms of their probabilities.

    So a gradient of the probabilities themselves would be found out.
    """
    model = over(SOFTMAX[kind])

    def difference(outputs):
        share = tf.math.log(first(outputs))
        return share[:, 2] - share[:, 0]

    one, other = (explain.saliency(model, toys.IMAGES, c, signed=True) for c in (2, 0))
    close(one - other, toys.gradient(model, difference))


def test_the_score_of_a_sigmoid_is_before_it():
    model = over(lambda x: layers.Dense(1, activation="sigmoid")(x))

    def logit(p):
        return tf.math.log(p) - tf.math.log(1 - p)

    found = explain.saliency(model, toys.IMAGES, 0, signed=True)
    close(found, toys.gradient(model, logit))


METHODS = (explain.saliency, explain.deconvnet, explain.guided_backprop)
OTHERS = (
    explain.grad_cam,
    explain.guided_grad_cam,
    functools.partial(explain.smooth_grad, samples=2),
    functools.partial(explain.integrated_gradients, steps=3),
    functools.partial(explain.occlusion, window=3, stride=2),
)
MIXED = ("residual", "LRN", "padded maxima, rounded up", "branches", "nested", "operations")
PRECISIONS = [
    *((name, "mixed_float16") for name in MIXED),
    *(("nested", "mixed_bfloat16"), ("LRN", "float16"), ("residual", "float64")),
]


@pytest.mark.parametrize(("name", "policy"), PRECISIONS)
def test_the_precision_of_a_model_changes_no_more_than_its_weights(name, policy):
    """What is explained is the float32 network of these weights."""
    keras.config.set_dtype_policy(policy)
    try:
        model = toys.network(toys.WITH_RELU[name])
        weights = [np.asarray(ops.cast(weight, "float32")) for weight in model.weights]
        found = [method(model, toys.IMAGES, ("first", 2)) for method in METHODS]
        found += [method(model, toys.IMAGES, 1) for method in METHODS]
    finally:
        keras.config.set_dtype_policy("float32")
    plain = toys.network(toys.WITH_RELU[name])
    plain.set_weights(weights)
    expected = [method(plain, toys.IMAGES, ("first", 2)) for method in METHODS]
    expected += [method(plain, toys.IMAGES, 1) for method in METHODS]
    for one, other in zip(found, expected):
        assert one.dtype == "float32"
        close(one, other)


@pytest.mark.parametrize("name", ["sequential", "nested", "twice"])
def test_explaining_leaves_the_model_as_it_is(name):
    """Its variables, statistics among them, its outputs, its configuration and its calls."""
    model = toys.network(toys.WITH_RELU[name])
    before = [np.asarray(variable) for variable in model.variables]
    outputs, config = np.asarray(model(toys.IMAGES)), model.get_config()
    inside = [layer for layer in model._flatten_layers() if layer is not model]
    calls = [len(layer._inbound_nodes) for layer in inside]
    for method in (*METHODS, *OTHERS):
        method(model, toys.IMAGES, 1)
    explain.top_patches(model, toys.IMAGES, "first", k=1, channels=[0])
    explain.invariance(model, toys.IMAGES, "first", scales=[], rotations=[], translations=[1])
    for variable, old in zip(model.variables, before):
        np.testing.assert_array_equal(variable, old)
    np.testing.assert_array_equal(model(toys.IMAGES), outputs)
    assert model.get_config() == config
    assert [len(layer._inbound_nodes) for layer in inside] == calls


@pytest.mark.parametrize("method", [*METHODS, *OTHERS])
def test_images_do_not_mix(method):
    """Batch normalization has statistics of its own, and each image its switches and its unit."""
    model = toys.network(lambda x: layers.MaxPooling2D(2)(layers.BatchNormalization()(x)))
    for target in (1, ("first", 2), ("first", 2, "all")) if method in METHODS else (1,):
        together = method(model, toys.IMAGES, target)
        alone = [method(model, image[None], target)[0] for image in toys.IMAGES]
        close(together, np.stack(alone))


def test_layers_inside_of_a_layer_are_in_float32_too():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = toys.network(lambda x: layers.SpectralNormalization(toys.conv())(x))
        found = explain.saliency(model, toys.IMAGES, 1)
    finally:
        keras.config.set_dtype_policy("float32")
    plain = toys.network(lambda x: layers.SpectralNormalization(toys.conv())(x))
    plain.set_weights(model.get_weights())
    close(found, explain.saliency(plain, toys.IMAGES, 1))


def test_a_saved_model_is_explained_as_it_was(tmp_path):
    model = toys.network(toys.residual)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for method in METHODS:
        close(method(loaded, toys.IMAGES, 1), method(model, toys.IMAGES, 1))


def test_layers_of_models_inside_have_both_names_and_shared_ones_a_number():
    model = toys.network(toys.nested)
    short = explain.deconvnet(model, toys.IMAGES, ("inner", 1))
    np.testing.assert_array_equal(explain.deconvnet(model, toys.IMAGES, ("inside/inner", 1)), short)
    model = toys.network(toys.twice)
    one, other = (explain.deconvnet(model, toys.IMAGES, (n, 0)) for n in ("shared", "shared#2"))
    assert np.abs(one - other).max() > 1e-3


def test_the_last_map_of_a_model_inside_is_its_own():
    """Endpoints are called "MODEL/LAYER" there."""
    base = kerascnn.create("lenet5", include_top=False, input_shape=(32, 32, 1), widths=(2, 3))
    inputs = keras.Input((32, 32, 1))
    outputs = layers.Dense(3)(layers.Flatten()(base(inputs)))
    model = keras.Model(inputs, outputs)
    assert Replay(model).last_map() == Replay(base).last_map() == "conv2_tanh"
    assert Replay(model).layer("C1") == kerascnn.endpoints(base)["C1"].layer


def test_images_may_be_lists_integers_or_tensors():
    model = toys.network(toys.residual)
    images = np.rint(toys.IMAGES * 3).astype("int32")
    expected = explain.saliency(model, images.astype("float32"), 1)
    for given in (images, images.tolist(), tf.constant(images), images.astype("float64")):
        np.testing.assert_array_equal(explain.saliency(model, given, 1), expected)


@pytest.mark.parametrize(
    ("images", "received"),
    [
        (toys.IMAGES[0], r"\[7, 6, 2\]"),
        (toys.IMAGES[:, :4], r"\[3, 4, 6, 2\]"),
        (toys.IMAGES[:0], r"\[0, 7, 6, 2\]"),
        ([[1, 2], [3]], r"\[\[1, 2\], \[3\]\]"),
        ("photo.jpg", "'photo.jpg'"),
        (None, "None"),
        (np.where(toys.IMAGES > 2, np.nan, toys.IMAGES), "nan"),
    ],
)
def test_images_of_another_kind_are_explained(images, received):
    model = toys.network(toys.residual)
    with pytest.raises(ArgumentError, match=rf"images must be .*7, 6, 2.*Received: {received}"):
        explain.saliency(model, images, 1)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, r"class must be a number from 0 to 2. Received: 3"),
        (-1, r"from 0 to 2. Received: -1"),
        ((3, 0), r"one target, or a list of 3.*Received: \(3, 0\)"),
        (("frist", 0), r"no layer 'frist'.*first.*Received: 'frist'"),
        (("first", 4), r"map of first must be a number from 0 to 3. Received: 4"),
        (("first", 0, (7, 0)), r"within 7×6. Received: \(7, 0\)"),
        (("first", 0, (1, 2, 3)), r"within 7×6. Received: \(1, 2, 3\)"),
        (("first", 0, "best"), r"target is a class index.*Received: \('first', 0, 'best'\)"),
        ([1, 2], r"a list of 3, one for each image.*Received: \[1, 2\]"),
        ("first", r"one target, or a list.*Received: 'first'"),
        (1.5, r"Received: 1.5"),
        (True, r"Received: True"),
        (None, r"Received: None"),
    ],
)
def test_targets_that_do_not_exist_are_explained(target, message):
    model = toys.network(lambda x: x)
    for method in METHODS:
        with pytest.raises(ArgumentError, match=message):
            method(model, toys.IMAGES, target)


def test_classes_may_be_a_tensor():
    model = toys.network(toys.residual)
    classes = tf.argmax(model(toys.IMAGES), axis=1)
    expected = explain.saliency(model, toys.IMAGES, classes.numpy().tolist())
    np.testing.assert_array_equal(explain.saliency(model, toys.IMAGES, classes), expected)


class Subclassed(keras.Model):
    """A model without a graph."""

    def call(self, inputs):
        """Sums over the places."""
        return ops.sum(inputs, axis=(1, 2))


@pytest.mark.parametrize("kind", [layers.Conv2D, GroupedConv2D])
@pytest.mark.parametrize("options", [{"padding": "same"}, {"strides": 2}, {"activation": "tanh"}])
def test_the_way_back_through_a_convolution_needs_no_gradient_of_its_filters(
    kind, options, monkeypatch
):
    # On CPUs TensorFlow 2.21 corrupts its memory in that of a 1×1 filter of stride 2, one image.
    groups = 2 if kind is GroupedConv2D else 1
    x = keras.Input((8, 7, 8))
    model = keras.Model(x, kind(6, 2, groups=groups, use_bias=True, **options)(x))
    images = np.random.default_rng(0).normal(size=(2, 8, 7, 8)).astype("float32")
    with tf.GradientTape() as tape:
        pixels = tf.constant(images)
        tape.watch(pixels)
        maps = model(pixels)[..., 1]
    expected = tape.gradient(maps, pixels).numpy()

    asked = []
    monkeypatch.setattr(gen_nn_ops, "conv2d_backprop_filter", lambda *a, **k: asked.append(a))
    found = explain.saliency(model, images, (model.layers[-1].name, 1, "all"), signed=True)
    assert not asked
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_models_that_have_no_graph_or_no_image_are_refused():
    with pytest.raises(ArgumentError, match=r"only a functional.*Received: Subclassed"):
        explain.saliency(Subclassed(), toys.IMAGES, 0)
    for other in ("resnet18", None):
        with pytest.raises(ArgumentError, match=rf"functional.*Received: {type(other).__name__}"):
            explain.saliency(other, toys.IMAGES, 0)
    with pytest.raises(ArgumentError, match=r"build it first.*Received: Sequential"):
        explain.saliency(keras.Sequential([layers.Dense(2)]), toys.IMAGES, 0)
    one, other = keras.Input(toys.SHAPE), keras.Input(toys.SHAPE)
    with pytest.raises(ArgumentError, match=r"one input of images"):
        explain.saliency(keras.Model([one, other], layers.Add()([one, other])), toys.IMAGES, 0)
    words = keras.Input((5,))
    with pytest.raises(ArgumentError, match=r"one input of images"):
        explain.saliency(keras.Model(words, layers.Dense(2)(words)), toys.IMAGES, 0)
