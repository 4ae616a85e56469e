"""Networks whose answer is a map: what is explained is the class where it is the answer."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn import explain
from kerascnn.errors import ArgumentError
from kerascnn.explain.explaining import deepest
from kerascnn.features import encoder

SHAPE = (12, 16, 3)
NAMES = ("background", "cat", "dog")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype("float32")


@pytest.fixture(scope="module")
def linear():
    """One 1×1 convolution: the gradient of a pixel's score is the filter."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    scores = layers.Conv2D(3, 1, name="logits")(inputs)
    return keras.Model(inputs, layers.Softmax(name="answer")(scores), name="linear")


def pair(x, filters, name):
    for number in (1, 2):
        x = layers.Conv2D(
            filters, 3, padding="same", activation="relu", name=f"{name}_conv{number}"
        )(x)
    return x


@pytest.fixture(scope="module")
def u_net():
    """Two strides of two down and up again, with a look back at each."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(SHAPE)
    one = pair(inputs, 4, "down1")
    two = pair(layers.MaxPooling2D(name="down1_pool")(one), 6, "down2")
    x = pair(layers.MaxPooling2D(name="down2_pool")(two), 8, "bottom")
    for name, look in (("up2", two), ("up1", one)):
        x = layers.Conv2DTranspose(4, 2, strides=2, name=f"{name}_enlarged")(x)
        x = pair(layers.Concatenate(name=f"{name}_concat")([look, x]), 4, name)
    scores = layers.Conv2D(3, 1, name="logits")(x)
    return keras.Model(inputs, layers.Softmax(name="answer")(scores), name="small_unet")


def filters(model):
    """`[channels, classes]`."""
    return np.asarray(model.get_layer("logits").kernel)[0, 0]


def test_a_class_is_the_sum_of_its_scores_where_it_is_the_answer(linear, images):
    answers = linear.predict(images, verbose=0).argmax(axis=-1)
    assert set(answers.ravel()) == {0, 1, 2}
    for label in range(3):
        found = explain.saliency(linear, images, label, signed=True)
        expected = (answers == label)[..., None] * filters(linear)[:, label]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_pixel_the_strongest_and_all_can_be_asked_for(linear, images):
    scores = np.einsum("nhwc,ck->nhwk", images, filters(linear))
    for unit, here in (
        ((2, 3), [(2, 3)] * 2),
        ("max", [np.unravel_index(each.argmax(), SHAPE[:2]) for each in scores[..., 1]]),
    ):
        expected = np.zeros_like(images)
        for number, place in enumerate(here):
            expected[(number, *place)] = filters(linear)[:, 1]
        found = explain.saliency(linear, images, (1, unit), signed=True)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    everywhere = explain.saliency(linear, images, [(1, "all"), (2, (0, 0))], signed=True)
    np.testing.assert_allclose(
        everywhere[0], np.broadcast_to(filters(linear)[:, 1], SHAPE), rtol=1e-6
    )
    assert np.count_nonzero(everywhere[1].any(axis=-1)) == 1


def test_a_class_that_is_the_answer_nowhere_is_its_highest_score(linear, images):
    inputs = keras.Input(SHAPE)
    scores = linear.get_layer("logits")(inputs)
    never = keras.Model(inputs, scores - np.array([0, 1e3, 0], "float32"))
    found = explain.saliency(never, images, 1, signed=True)
    assert np.count_nonzero(found.any(axis=-1), axis=(1, 2)).tolist() == [1, 1]


@pytest.mark.parametrize("target", [3, (1, (12, 0)), (1, (2,)), (1, "answer")])
def test_what_is_no_class_or_pixel_is_refused(linear, images, target):
    with pytest.raises(ArgumentError, match=r"class|target"):
        explain.saliency(linear, images, target)


def test_two_numbers_are_two_classes(linear, images):
    np.testing.assert_array_equal(
        explain.saliency(linear, images, (1, 2)), explain.saliency(linear, images, [1, 2])
    )


def test_occlusion_loses_what_is_covered(linear, images):
    """The class's own scores under the window; biases are left over everywhere."""
    answers = linear.predict(images, verbose=0).argmax(axis=-1)
    scores = np.einsum("nhwc,ck->nhwk", images, filters(linear))[..., 1] * (answers == 1)
    found = explain.occlusion(linear, images, 1, window=4, stride=4)
    blocks = scores.reshape(2, 3, 4, 4, 4).sum(axis=(2, 4))
    np.testing.assert_allclose(found, blocks.repeat(4, 1).repeat(4, 2), atol=1e-4)


def test_the_way_down_is_what_grad_cam_looks_at_and_what_is_shown(u_net, images):
    assert encoder(u_net) == {2: "down2_conv2", 4: "bottom_conv2"}
    assert deepest(u_net, 4) == ["down2_conv2", "bottom_conv2"]
    assert explain.grad_cam(u_net, images, 1).shape == (2, 3, 4)
    np.testing.assert_array_equal(
        explain.grad_cam(u_net, images, 1),
        explain.grad_cam(u_net, images, 1, layer="bottom_conv2"),
    )


def test_a_network_that_does_not_go_up_again_has_no_way_down():
    inputs = keras.Input(SHAPE)
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, padding="same")(inputs))
    assert encoder(keras.Model(inputs, x)) == {}
    assert encoder(keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))) == {}


def test_an_explanation_tells_shares_of_the_pixels_and_shows_where(u_net, tmp_path):
    photo = np.random.default_rng(2).integers(0, 256, SHAPE).astype("uint8")
    found = explain.explanation(u_net, photo, class_names=NAMES, maps=2, name="photo.png")
    answer = u_net.predict(photo[None] / 255, verbose=0)[0].argmax(axis=-1)
    np.testing.assert_array_equal(found.mask, answer)
    shares = np.bincount(answer.ravel(), minlength=3) / answer.size
    np.testing.assert_allclose(found.probabilities, shares, rtol=1e-6)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["explained"]["share"] == pytest.approx(shares[found.target])
    assert "probability" not in told["explained"]
    assert set(told["layers"]) == {"down2_conv2", "bottom_conv2"}
    figure = found.figure()
    written = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    assert "outlined where it" in written
    assert "of the pixels" in written
    figure.savefig(tmp_path / "picture.png")


def test_the_answer_for_the_middle_and_a_coarse_one_lie_where_they_are_in_the_photo():
    inputs = keras.Input(SHAPE)
    middle = keras.Model(inputs, layers.Conv2D(3, 5)(inputs))
    coarse = keras.Model(inputs, layers.Conv2D(3, 4, strides=4)(inputs))
    photo = np.random.default_rng(3).integers(0, 256, SHAPE).astype("uint8")
    options = {"methods": ["saliency"], "maps": 0}
    found = explain.explanation(middle, photo, **options)
    answer = middle.predict(photo[None] / 255, verbose=0)[0].argmax(axis=-1)
    np.testing.assert_array_equal(found.mask[2:-2, 2:-2], answer)
    assert (found.mask == -1).sum() == 12 * 16 - 8 * 12
    found = explain.explanation(coarse, photo, **options)
    answer = coarse.predict(photo[None] / 255, verbose=0)[0].argmax(axis=-1)
    np.testing.assert_array_equal(found.mask, answer.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize(
    ("shares", "chosen"), [((0.7, 0.1, 0.2), 2), ((1.0, 0.0, 0.0), 0), ((0.3, 0.4, 0.3), 1)]
)
def test_the_background_is_explained_only_where_there_is_nothing_else(shares, chosen):
    inputs = keras.Input((10, 10, 1))
    classes = np.repeat(np.arange(3), [round(100 * one) for one in shares]).reshape(10, 10)
    scores = keras.ops.one_hot(classes, 3)[None] + 0 * inputs
    model = keras.Model(inputs, scores)
    photo = np.zeros((10, 10, 1), "uint8")
    found = explain.explanation(model, photo, class_names=NAMES, methods=["saliency"], maps=0)
    assert found.target == chosen


def test_invariance_is_for_networks_that_name_images(u_net, images):
    with pytest.raises(ArgumentError, match=r"a class stays or\s+changes"):
        explain.invariance(u_net, images, "bottom_conv2")
