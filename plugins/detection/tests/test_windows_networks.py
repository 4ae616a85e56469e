"""R-CNN, SPPNet and Fast R-CNN: the papers' counts, what a window is judged by, and edge cases."""

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import two_stage
from kerascnn_detection.regions import SpatialPyramidPooling
from kerascnn_detection.selective_search import SelectiveSearch, windows_as_input
from kerascnn_detection.sppnet import Scaling
from kerascnn_detection.stages import Detections
from kerascnn_detection.task import DETECTION

import kerascnn
from kerascnn import explain
from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError, ExportError
from kerascnn.explain.graph import Replay
from kerascnn.exporting import export

SIDE = 32
SMALL = {
    "backbone": "resnet20_cifar",
    "backbone_arguments": "depths=1,1,1 widths=4,6,8 shortcut=B",
    "least_side": 4.0,
    "windows": 6,
    "samples": 4,
}
OTHERS = {
    "rcnn": {"size": 16, "context": 2},
    "sppnet": {"stride": 4, "head_widths": (8,), "dropout": 0.0, "frozen": False},
    "fast_rcnn": {"stride": 4, "head_widths": (8,), "dropout": 0.0, "roi_size": 2},
}


def made(name, **more):
    arguments = {**SMALL, **OTHERS[name], **more}
    return kerascnn.create(name, input_shape=(SIDE, SIDE, 3), classes=2, **arguments)


@pytest.fixture(scope="module", params=OTHERS)
def model(request):
    found = made(request.param)
    for name in ("cls_score", "bbox_pred"):  # so that classes differ
        kernel, bias = found.get_layer(name).get_weights()
        found.get_layer(name).set_weights([kernel * 30, bias])
    return found


@pytest.fixture(scope="module")
def images():
    """Two objects; nothing at all, of which there is one window, the whole."""
    image = np.random.default_rng(0).uniform(0.4, 0.5, (SIDE, SIDE, 3))
    image[4:14, 6:20], image[18:30, 10:28] = (0.9, 0, 0), (0, 0.1, 1)
    return tf.constant(np.stack([image, np.zeros_like(image)]), "float32")


# --- The papers' counts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params"),
    [
        # The classifier with 21 outputs; of each class four regressions of 6×6×256 and a bias.
        ("rcnn", 56_954_261 + 21 * 36_868),
        # ZF-5's convolutions; fc6, fc7 and 21 outputs on 50 parts of 256 maps; the regressions.
        ("sppnet", 3_726_464 + 69_300_245 + 84 * (50 * 256 + 1)),
        ("fast_rcnn", 14_714_688 + 119_976_041),
    ],
)
def test_parameters_are_the_papers(name, params):
    architecture = kerascnn.get(name)
    cost = architecture.cost()
    assert (cost.params, cost.macs) == (architecture.card.params, architecture.card.macs)
    assert cost.params == params


def test_a_head_costs_as_much_as_it_has_windows():
    few, many = (kerascnn.get("fast_rcnn").cost(windows=count).macs for count in (10, 11))
    assert many - few == 119_967_744


def test_a_pass_for_each_window_costs_as_many_passes():
    one, two = (kerascnn.get("rcnn").cost(windows=count).macs for count in (1, 2))
    alone = kerascnn.get("alexnet").cost((227, 227, 3), 21).macs
    assert two == 2 * one == 2 * (alone + 4 * 21 * 6 * 6 * 256)


def test_what_is_reckoned_is_what_is_built(model):
    cost = kerascnn.get(model.name).cost((SIDE, SIDE, 3), 2, **SMALL, **OTHERS[model.name])
    profile = kerascnn.profile(model)
    assert (cost.params, cost.macs) == (profile.params, profile.macs)


# --- What they answer ------------------------------------------------------------------------


def test_it_finds_boxes_of_the_classes_it_knows(model, images):
    rows = model(images, training=False).numpy()
    assert rows.shape == (2, 100, 6)
    assert set(np.unique(rows[..., 4])) == {ABSENT, 0, 1}


def test_a_saved_model_answers_the_same_also_with_its_windows_as_input(model, images, tmp_path):
    expected = model(images, training=False)
    given = windows_as_input(model)
    rows = model.get_layer("proposals")(images)
    np.testing.assert_array_equal(given([images, rows], training=False), expected)
    model.save(tmp_path / "model.keras")
    again = kerascnn.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(images, training=False), expected)


def test_what_is_explained_is_on_a_map_of_the_image(model, images):
    """R-CNN has none, as it looks at pictures of windows: Grad-CAM gives way to saliency."""
    photo = images[0].numpy()
    photo = (photo - photo.min()) * (255 / np.ptp(photo))
    found = explain.explanation(DETECTION.explained(model, 2), photo)
    by_map, *_ = found.answers
    assert by_map == ("saliency" if model.name == "rcnn" else "grad_cam")
    if by_map == "grad_cam":
        assert model.get_layer(Replay(model).last_map()).output.shape[1:3] == (SIDE // 4,) * 2


def test_an_export_says_that_the_windows_are_to_be_an_input(model, images, tmp_path):
    """As the message has it, that can be served."""
    with pytest.raises(ExportError, match=r"proposals.*windows_as_input\(model\)\.export\(PATH\)"):
        export(model, tmp_path / "file", "savedmodel")
    windows_as_input(model).export(str(tmp_path / "served"), verbose=False)
    rows = model.get_layer("proposals")(images)
    served = tf.saved_model.load(str(tmp_path / "served"))  # its functions don't keep its variables
    np.testing.assert_allclose(
        served.serve([images, rows]), model(images, training=False), atol=1e-4
    )


@pytest.mark.parametrize("name", OTHERS)
def test_without_windows_nothing_is_found_and_a_step_learns_of_the_objects_alone(name, images):
    model = made(name, least_side=SIDE + 1.0)
    scores, _ = DETECTION.scores(model)
    objects = tf.constant([[[6.0, 4, 20, 14, 1, 0]], [[0, 0, 0, 0, ABSENT, 0]]])
    losses, draws = two_stage.losses(scores), tf.constant([[1, 0, 0], [1, 0, 1]])
    with tf.GradientTape() as tape:
        outputs = DETECTION.training(scores)([images, objects, draws], training=True)
        parts = losses(objects, outputs)
        total = tf.add_n([tf.reduce_sum(part) for part in parts.values()])
    assert parts["classes"][0] > 0
    assert parts["classes"][1] == parts["boxes"][1] == 0  # there is no object, either
    for gradient in tape.gradient(total, scores.trainable_variables):
        assert np.isfinite(gradient).all()
    found = scores(images, training=False)
    assert (found[0][..., 4] == ABSENT).numpy().all()
    assert np.isfinite([*losses(objects, found).values()]).all()


def test_rcnn_looks_at_each_window_as_the_classifier_does(images):
    model = made("rcnn")
    names = ("warp", "split", "cls_score")
    patches, hidden, _ = kerascnn.feature_extractor(model, list(names))(images, training=False)
    classifier = kerascnn.create(
        "resnet20_cifar",
        include_top=False,
        pooling="avg",
        input_shape=(16, 16, 3),
        depths=(1, 1, 1),
        widths=(4, 6, 8),
        shortcut="B",
    )
    for layer in classifier.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    for window in range(3):
        expected = classifier(patches[:, window], training=False)
        np.testing.assert_allclose(hidden[:, window], expected, atol=1e-5)


@pytest.mark.slow
def test_sppnet_of_several_scales_has_the_same_weights_and_looks_at_each(images):
    one, two = made("sppnet"), made("sppnet", scales=(1.0, 2.0))
    assert [w.shape for w in one.weights] == [w.shape for w in two.weights]
    two.set_weights(one.get_weights())
    layer = two.get_layer("spp")
    assert isinstance(layer, SpatialPyramidPooling)
    *maps, rows = kerascnn.feature_extractor(one, ["conv4_block1_out", "proposals"])(images)
    trunk = kerascnn.feature_extractor(made("sppnet"), "conv4_block1_out")
    trunk = kerascnn.any_size(trunk)
    trunk.set_weights(kerascnn.feature_extractor(one, "conv4_block1_out").get_weights())
    maps.append(trunk(Scaling(2.0)(images), training=False))
    pooled = kerascnn.feature_extractor(two, "spp")(images, training=False)
    np.testing.assert_allclose(pooled, layer([*maps, rows]), atol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_sppnets_convolutions_learn_only_if_they_are_not_frozen(images, frozen):
    model = made("sppnet", frozen=frozen)
    scores, _ = DETECTION.scores(model)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(scores(images, training=True)[1])
    of_trunk, *_, of_head = tape.gradient(total, scores.trainable_variables[:-2])
    assert (of_trunk is None) == frozen
    assert of_head is not None


# --- What can't be built ---------------------------------------------------------------------


def test_a_context_as_large_as_the_picture_is_refused():
    with pytest.raises(ArgumentError, match=r"context must be less than half of size, 16\."):
        kerascnn.get("rcnn").network({**SMALL, "size": 16, "context": 8})


def test_pictures_too_small_for_the_classifier_are_refused_with_the_least_size():
    with pytest.raises(ArgumentError, match=r"size=40 is that of pictures\..*52×52"):
        kerascnn.get("rcnn").network({"size": 40})


def test_the_layers_are_the_papers():
    model = made("fast_rcnn")
    assert isinstance(model.layers[-1], Detections)
    assert sum(isinstance(layer, SelectiveSearch) for layer in model.layers) == 1
