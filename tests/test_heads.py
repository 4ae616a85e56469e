"""The end of a classifier is that of keras.applications, and its logits are found in any model."""

import keras
import numpy as np
import pytest
from keras import layers
from tiny import TinyNiN

import kerascnn
from kerascnn import blocks
from kerascnn.architecture import Architecture
from kerascnn.card import Card
from kerascnn.errors import ArgumentError
from kerascnn.heads import scores_of

# One network for each kind of end, with what its classifier sees.
ENDS = {
    "lenet5": ({}, (None, 84)),
    "lenet5_1998": ({}, (None, 84)),
    "resnet20_cifar": ({"depths": (1, 1, 1)}, (None, 64)),
    "nin_cifar10": ({"widths": (4, 4, 4), "hidden_widths": (4, 4, 4)}, (None, 10)),
}


def batch(model):
    return np.random.default_rng(0).normal(size=(3, *model.input_shape[1:])).astype("float32")


def softmax(logits):
    share = np.exp(logits - logits.max(-1, keepdims=True))
    return share / share.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", ENDS)
def test_the_web_s_code_for_keras_applications_works(name):
    """Grad-CAM takes the last activation away, retrieval reads the layer before the last."""
    arguments, features = ENDS[name]
    model = kerascnn.create(name, **arguments)
    logits = kerascnn.create(name, classifier_activation=None, **arguments)
    logits.set_weights(model.get_weights())
    images = batch(model)
    expected = np.asarray(logits(images))
    np.testing.assert_allclose(model(images), softmax(expected), atol=1e-6)
    assert model.layers[-1].activation is keras.activations.softmax
    assert keras.Model(model.input, model.layers[-2].output).output_shape == features
    model.layers[-1].activation = None
    np.testing.assert_array_equal(model(images), expected)
    np.testing.assert_array_equal(keras.Model(model.input, model.output)(images), expected)


def test_the_layer_before_the_last_gives_what_keras_applications_gives():
    theirs = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=3)
    ours = kerascnn.create("vgg16", input_shape=(32, 32, 3), classes=3)
    ours.set_weights(theirs.get_weights())
    images = batch(ours)
    expected = keras.Model(theirs.input, theirs.layers[-2].output)(images)
    found = keras.Model(ours.input, ours.layers[-2].output)(images)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_both_logits_and_predictions_are_float32_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        models = [kerascnn.create("lenet5"), TinyNiN(), kerascnn.create("lenet5_1998")]
    finally:
        keras.config.set_dtype_policy("float32")
    for model in models:
        scores, is_logits = scores_of(model)
        assert is_logits
        for one in (model, scores):
            assert one.layers[-1].compute_dtype == "float32"
            assert keras.backend.standardize_dtype(one.outputs[0].dtype) == "float32"


def small(head):
    """A network of one convolution with this head."""

    def build(x):
        return blocks.conv(x, 4, 3, name="conv1")

    card = Card(title="T", authors="N", year=2000, link="doi:1", input_shape=(6, 6, 1), classes=3)
    return Architecture(name="small", build=build, head=head, card=card)


def read_twice(x, *, classes):
    """A head whose main logits another output reads, too."""
    main = blocks.logits(blocks.global_avg_pool(x), classes)
    return [main, blocks.logits(main, classes, name="aux1_logits")]


def curved(x, *, classes):
    return layers.Dense(classes, activation="relu", name="logits")(blocks.global_avg_pool(x))


def half(x, *, classes):
    return layers.Dense(classes, dtype="mixed_float16", name="logits")(blocks.global_avg_pool(x))


def averaged(x, *, classes):
    x = layers.Conv2D(classes, 1, data_format="channels_last")(x)
    return blocks.global_avg_pool(x, name="logits")


@pytest.mark.parametrize("head", [read_twice, curved, half, averaged])
def test_an_activation_never_gets_between_logits_and_who_reads_them(head):
    """Any plugin's head: the predictions are the softmax of what it gave, in float32."""
    logits, model = small(head)(classifier_activation=None), small(head)()
    model.set_weights(logits.get_weights())
    images = batch(model)
    for found, expected in zip(_list(model(images)), _list(logits(images))):
        np.testing.assert_allclose(found, softmax(np.asarray(expected, "float32")), atol=1e-6)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"


def _list(outputs):
    return outputs if isinstance(outputs, list) else [outputs]


def over(end):
    inputs = keras.Input((8,))
    return keras.Model(inputs, end(inputs))


def two(x):
    return [layers.Dense(3, activation="softmax", name=name)(x) for name in ("one", "other")]


# How others end their models.
MODELS = {
    "a dense layer's": lambda x: layers.Dense(3, activation="softmax")(x),
    "a function": lambda x: layers.Dense(3, activation=keras.ops.softmax)(x),
    "a layer": lambda x: layers.Softmax()(layers.Dense(3)(x)),
    "an activation": lambda x: layers.Activation("softmax", dtype="float32")(layers.Dense(3)(x)),
    "an operation": lambda x: keras.ops.softmax(layers.Dense(3)(x)),
    "frozen": lambda x: layers.Dense(3, activation="softmax", trainable=False)(x),
    "without a bias": lambda x: layers.Dense(3, activation="softmax", use_bias=False)(x),
    "a convolution's": lambda x: layers.Flatten()(
        layers.Conv2D(3, 1, activation="linear")(layers.Reshape((1, 1, 8))(x))
    ),
    "a model inside": lambda x: keras.Sequential([layers.Dense(3, activation="softmax")])(x),
    "inside of one inside": lambda x: over(lambda y: over(two)(y))(x),
    "several": two,
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_logits_of_anyone_s_model(kind):
    model = over(MODELS[kind])
    scores, is_logits = scores_of(model)
    assert is_logits
    assert [id(v) for v in scores.variables] == [id(v) for v in model.variables], "its own"
    images = batch(model)
    for logits, found in zip(_list(scores(images)), _list(model(images))):
        expected = logits if kind == "a convolution's" else softmax(np.asarray(logits))
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_scores_train_the_model():
    """One step on the logits changes what the model predicts, and leaves its own graph alone."""
    model = kerascnn.create("lenet5", widths=(2, 2), hidden=(4,))
    scores, _ = scores_of(model)
    images, before = batch(model), [layer.name for layer in model.layers]
    old = np.asarray(model(images))
    scores.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    scores.train_on_batch(images, np.array([1, 2, 3]))
    new = np.asarray(model(images))
    assert np.abs(new - old).max() > 1e-4
    np.testing.assert_allclose(new, softmax(np.asarray(_list(scores(images))[0])), atol=1e-6)
    assert [layer.name for layer in model.layers] == before
    assert keras.models.clone_model(model).count_params() == model.count_params()


def test_probabilities_that_can_not_be_undone_stay_probabilities():
    regularized = {"activation": "softmax", "activity_regularizer": "l2"}
    for end in (
        lambda x: layers.Dense(3, **regularized)(x),
        lambda x: layers.Softmax(axis=0)(layers.Dense(3)(x)),
    ):
        model = over(end)
        scores, is_logits = scores_of(model)
        assert not is_logits
        np.testing.assert_array_equal(_list(scores(batch(model)))[0], model(batch(model)))


@pytest.mark.parametrize(
    ("end", "found"),
    [
        (lambda x: layers.Dense(3, activation="sigmoid")(x), "sigmoid"),
        (lambda x: keras.Sequential([layers.Dense(3, activation="sigmoid")])(x), "sigmoid"),
        (lambda x: [layers.Dense(3)(x), layers.Dense(3, activation="softmax")(x)], "linear, soft"),
    ],
)
def test_other_ends_are_refused(end, found):
    with pytest.raises(ArgumentError, match=f"all logits or all softmax.*end in: {found}"):
        scores_of(over(end))
