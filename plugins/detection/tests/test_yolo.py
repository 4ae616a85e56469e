"""YOLO's networks against the paper's table and the counts that follow from it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.task import DETECTION
from kerascnn_detection.yolo import YOLO, YOLOTiny

import kerascnn
from kerascnn import Recipe

SMALL = {"widths": (4, 6, 8, 8), "repeats": (1, 1, 1), "hidden": (12,), "grid": 3}
SMALL_TINY = {"widths": (4, 4, 8), "tail": (8,), "hidden": (8, 12), "grid": 3}


def convolutions(model):
    """(side, filters, step) of each."""
    found = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return [(*layer.kernel_size[:1], layer.filters, *layer.strides[:1]) for layer in found]


@pytest.fixture(scope="module")
def trunk():
    return YOLO(include_top=False, input_shape=(448, 448, 3))


@pytest.mark.slow
def test_the_convolutions_are_those_of_figure_3(trunk):
    expected = [(7, 64, 2), (3, 192, 1), (1, 128, 1), (3, 256, 1), (1, 256, 1), (3, 512, 1)]
    expected += [(1, 256, 1), (3, 512, 1)] * 4 + [(1, 512, 1), (3, 1024, 1)]
    expected += [(1, 512, 1), (3, 1024, 1)] * 2 + [(3, 1024, 1), (3, 1024, 2)]
    expected += [(3, 1024, 1)] * 2
    assert len(expected) == 24
    assert convolutions(trunk) == expected
    assert trunk.count_params() == 60_155_968
    assert trunk.output_shape == (None, 7, 7, 1024)
    leaky = {la.negative_slope for la in trunk.layers if isinstance(la, keras.layers.LeakyReLU)}
    assert leaky == {0.1}


# Counted from figure 3, and from yolo-tiny.cfg of 2015, with multiply-adds of each layer.
@pytest.mark.parametrize(
    ("architecture", "params", "macs"),
    [(YOLO, 271_703_550, 20_285_153_280), (YOLOTiny, 45_089_374, 2_418_728_960)],
    ids=["yolo", "yolo_tiny"],
)
def test_counts_are_the_papers(architecture, params, macs):
    cost = architecture.network().cost()
    assert (cost.params, cost.macs) == (params, macs)
    assert (architecture.card.params, architecture.card.macs) == (params, macs)


@pytest.mark.slow
def test_with_batch_normalization_there_are_two_numbers_in_place_of_each_bias(trunk):
    with_bn = YOLO.network({"norm": "batch"}).cost().params
    biases = sum(filters for _, filters, _ in convolutions(trunk))
    assert with_bn == 271_703_550 + biases == 271_716_734


@pytest.mark.parametrize("architecture", [YOLO, YOLOTiny], ids=["yolo", "yolo_tiny"])
@pytest.mark.parametrize("head", ["dense", "conv"])
def test_a_cell_says_five_numbers_of_each_box_and_one_of_each_class(architecture, head):
    small = SMALL if architecture is YOLO else SMALL_TINY
    model = architecture(
        input_shape=(64, 128, 1), classes=7, classifier_activation=None, **small, head=head, boxes=3
    )
    step = 64 if architecture is YOLO else 8
    rows, columns = (3, 3) if head == "dense" else (64 // step, 128 // step)
    cells = model.get_layer("cells").output
    assert cells.shape == (None, rows, columns, 3 * 5 + 7)
    assert model.output_shape == (None, 100, 6)


@pytest.mark.slow
def test_a_small_yolo_learns_where_one_object_is():
    """Loss, gradient, cells and suppression go together: a bright square on a dark ground."""
    keras.utils.set_random_seed(0)
    model = YOLOTiny(
        input_shape=(24, 24, 1),
        classes=2,
        classifier_activation=None,
        **{**SMALL_TINY, "norm": "batch"},
        head="conv",
        boxes=1,
    )
    rng = np.random.default_rng(0)
    images = np.zeros((16, 24, 24, 1), "float32")
    objects = np.zeros((16, 1, 6), "float32")
    for image, rows in zip(images, objects):
        x, y = rng.integers(0, 16, 2)
        image[y : y + 8, x : x + 8] = 1
        rows[0] = [x, y, x + 8, y + 8, x > 7, 0]
    scores, _ = DETECTION.scores(model)
    objective = DETECTION.objective(Recipe(), scores=scores, classes=2, from_logits=True)
    optimizer = keras.optimizers.Adam(0.02)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(objective.loss(objects, scores(images, training=True)))
        slopes = tape.gradient(loss, [v.value for v in model.trainable_variables])
        optimizer.apply_gradients(zip(slopes, model.trainable_variables))
        return loss

    first = step()
    for _ in range(80):
        last = step()
    assert last < first / 5
    found = model(images, training=True)[:, 0].numpy()
    right = np.abs(found[:, :4] - objects[:, 0, :4]).max(axis=1) < 3
    assert right.mean() > 0.7


def test_the_layers_of_the_classes_are_found_and_left_out():
    """All numbers of a cell are of one layer: other classes make all of it new."""
    small = {"widths": (4, 4, 8, 8), "tail": (8,), "hidden": (16,)}
    five, three = (
        YOLOTiny.network(small, input_shape=(48, 48, 3), classes=classes) for classes in (5, 3)
    )
    (last,) = three.class_layers()
    theirs, model = five.model(), three.model()
    with pytest.raises(kerascnn.errors.WeightsError, match=last):
        kerascnn.weights.load(model, theirs)
    report = kerascnn.weights.load(model, theirs, left_out=[last], verbose=False)
    assert report.initial == (f"{last}/kernel", f"{last}/bias")
    for layer in model.layers:
        if layer.name != last:
            pairs = zip(layer.get_weights(), theirs.get_layer(layer.name).get_weights())
            assert all(np.array_equal(one, two) for one, two in pairs), layer.name
