"""All methods for one photo: compared with what the network answers, and with its maps in NumPy."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from kerascnn import Preprocessing, feature_extractor
from kerascnn.errors import ArgumentError, RunError
from kerascnn.explain.explaining import _ASK, explanation
from kerascnn.explain.gradients import guided_backprop, saliency
from kerascnn.explain.methods import METHODS


def network(activation="relu", end="softmax"):
    """Two strides of two, on 16×24 pixels; six classes."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((16, 24, 3))
    x = layers.Conv2D(8, 3, padding="same", activation=activation, name="one")(inputs)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(5, 3, padding="same", activation=activation, name="two")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(6, activation=end, name="logits")(x), name="small")


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype("uint8")


NORMAL = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def prepared(photo):
    """By the formula, in NumPy."""
    return ((photo[None] / 255 - np.array(NORMAL.mean)) / np.array(NORMAL.std)).astype("float32")


def test_the_classes_are_those_that_the_model_predicts(model, photo):
    found = explanation(model, photo, preprocessing=NORMAL, class_names="abcdef", top=3, maps=0)
    expected = model.predict(prepared(photo), verbose=0)[0]
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
    odds = np.exp(found.scores)
    np.testing.assert_allclose(odds / odds.sum(), expected, rtol=1e-5)
    order = np.argsort(-expected)
    assert [name for name, _ in found.shown] == ["abcdef"[k] for k in order[:3]]
    assert found.target == order[0]


def test_a_class_that_is_asked_for_is_explained_and_shown(model, photo):
    worst = int(model.predict(prepared(photo), verbose=0)[0].argmin())
    found = explanation(
        model, photo, preprocessing=NORMAL, target=worst, methods=["saliency"], top=2, maps=0
    )
    assert found.likeliest[-1] == worst
    assert len(found.likeliest) == 2
    np.testing.assert_allclose(
        found.answers["saliency"], saliency(model, prepared(photo), worst)[0]
    )
    assert found.to_dict()["explained"]["index"] == worst


def test_a_model_without_softmax_has_probabilities_too(photo):
    found = explanation(network(end=None), photo, maps=0)
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.probabilities.argmax() == found.scores.argmax()


@pytest.mark.parametrize("scores", [[0.2, 0.9, 0.4], [0.2, 0.3, 0.5], [0.0, 0.0, 0.0]])
def test_scores_are_probabilities_only_where_they_are_shares_of_one(photo, scores):
    """A network that hasn't learned much may have all its scores between 0 and 1."""
    inputs = keras.Input((16, 24, 3))
    end = layers.Dense(3, bias_initializer=keras.initializers.Constant(scores))
    model = keras.Model(inputs, end(layers.Flatten()(layers.Conv2D(2, 3)(inputs))))
    end.kernel.assign(np.zeros(end.kernel.shape))
    found = explanation(model, photo, methods=["saliency"], maps=0)
    softmax = np.exp(scores) / np.exp(scores).sum()
    expected = scores if sum(scores) == 1 else softmax
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"maps": -1}, {"top": 1.5}])
def test_numbers_of_things_are_whole(model, photo, wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ArgumentError, match=rf"{name} must be a whole.*Received: {value}"):
        explanation(model, photo, **wrong)


def test_the_strongest_maps_are_those_with_the_largest_values(model, photo):
    found = explanation(model, photo, preprocessing=NORMAL, methods=["saliency"], maps=2)
    assert [layer.name for layer in found.layers] == ["C1", "C2"]
    for layer in found.layers:
        maps = feature_extractor(model, layer.name).predict(prepared(photo), verbose=0)[0]
        peaks = maps.max(axis=(0, 1))
        assert [one.channel for one in layer.maps] == list(np.argsort(-peaks)[: len(layer.maps)])
        for one in layer.maps:
            np.testing.assert_allclose(one.values, maps[..., one.channel], rtol=1e-4, atol=1e-6)
            assert one.value == pytest.approx(peaks[one.channel], rel=1e-4)
            assert maps[(*one.unit, one.channel)] == peaks[one.channel]


def test_a_projection_ends_where_the_unit_sees_nothing(model, photo):
    """C1 is the second convolution: its units see 8 pixels, two apart, from three before."""
    found = explanation(model, photo, preprocessing=NORMAL, methods=["saliency"], layers=["C1"])
    for one in found.layers[0].maps:
        top, left, bottom, right = one.field
        assert (bottom - top, right - left) == (8, 8)
        assert (top, left) == (2 * one.unit[0] - 3, 2 * one.unit[1] - 3)
        inside = np.zeros((16, 24), bool)
        inside[max(0, top) : bottom, max(0, left) : right] = True
        assert np.abs(one.projection[inside]).max() > 0
        assert np.abs(one.projection[~inside]).max() == 0


def test_what_a_network_of_bgr_has_seen_is_shown_as_rgb(model, photo):
    turned = Preprocessing(order="BGR")
    found = explanation(model, photo, preprocessing=turned, methods=["guided_backprop"], maps=0)
    pixels = photo[None, ..., ::-1].astype("float32") / 255
    expected = guided_backprop(model, pixels, found.target)[0, ..., ::-1]
    np.testing.assert_allclose(found.answers["guided_backprop"], expected, rtol=1e-5, atol=1e-7)


def test_a_network_without_relu_is_explained_by_gradients(photo):
    found = explanation(network("tanh"), photo)
    assert list(found.answers)[-1] == "saliency"
    assert found.projection == "saliency"
    with pytest.raises(ArgumentError, match="one with tanh"):
        explanation(network("tanh"), photo, methods=["guided_backprop"])


def test_the_numbers_are_json_and_name_the_strongest_pixel(model, photo):
    found = explanation(model, photo, preprocessing=NORMAL, methods=["saliency"], maps=1)
    numbers = json.loads(json.dumps(found.to_dict()))
    values = found.answers["saliency"]
    place = numbers["methods"]["saliency"]["strongest"]
    assert values[place["row"], place["column"]] == values.max() == pytest.approx(place["value"])
    assert numbers["methods"]["saliency"]["positive"] == 1
    assert {name: len(maps) for name, maps in numbers["layers"].items()} == {"C1": 1, "C2": 1}


def test_a_notebook_shows_the_picture(model, photo):
    assert explanation(model, photo, maps=0)._repr_png_().startswith(b"\x89PNG")


def test_what_is_asked_must_fit_the_network(model, photo):
    for wrong, said in (
        ({"target": 6}, "from 0 to 5. Received: 6"),
        ({"class_names": ["a"]}, "must be 6 names, one for each class. Received: 1"),
        ({"layers": ["logits"]}, r"must be of maps, .* Received: 'logits' of \[6\]"),
        ({"methods": ["cam"]}, "A method must be one of .* Received: 'cam'"),
    ):
        with pytest.raises(ArgumentError, match=said):
            explanation(model, photo, **wrong)
    for wrong, said in ((photo[None], r"shape \(1, 16, 24, 3\)"), (photo / 255 - 1, "-1.0 to 0.0")):
        with pytest.raises(ArgumentError, match=f"photo must be pixels .* Received: {said}"):
            explanation(model, wrong)
    broken = network()
    broken.get_layer("logits").bias.assign(np.full(6, np.nan))
    with pytest.raises(RunError, match="not numbers"):
        explanation(broken, photo)


def test_every_method_has_words_and_a_function():
    assert list(_ASK) == list(METHODS)


def test_grad_cam_looks_at_the_last_map_that_is_no_pooling_or_at_the_layer_asked_for(model, photo):
    found = explanation(model, photo, methods=["grad_cam"], maps=0)
    assert found.to_dict()["methods"]["grad_cam"]["layer"] == "C1"
    assert found.answers["grad_cam"].shape == (8, 12)  # of the second convolution
    found = explanation(model, photo, methods=["grad_cam"], layers=["C1", "one"], maps=0)
    assert found.answers["grad_cam"].shape == (16, 24)


def test_a_sequential_model_without_strides_and_logits_alone_is_explained_too(photo):
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((16, 24, 3)),
            layers.Conv2D(4, 3, activation="relu", name="only"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    found = explanation(model, photo)
    assert found.layers == ()
    assert found.answers["grad_cam"].shape == (14, 22)
    assert found.to_dict()["methods"]["grad_cam"]["layer"] == "only"
    assert len(found.figure().axes[0].images) == 6  # the photo, three panels and two colour scales
