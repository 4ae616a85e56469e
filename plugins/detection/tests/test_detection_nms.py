"""Suppression against torchvision's, without and with classes."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import boxes as boxes_of
from kerascnn_detection.nms import TILE, detections, suppress

from kerascnn.data import ABSENT


def padded(rows, fill=0.0):
    """With two more rows, which don't take part."""
    return np.pad(rows, [(0, 2)] + [(0, 0)] * (rows.ndim - 1), constant_values=fill)


@pytest.mark.parametrize("name", ["distinct", "many", "ties", "duplicates", "exact_half_and_empty"])
def test_what_stays_is_torchvisions(golden, name):
    facts, arrays = golden("torchvision-nms")
    boxes, scores = arrays[f"{name}_boxes"], arrays[f"{name}_scores"]
    valid = padded(np.ones(len(boxes), bool), False)
    cases = [c["iou_threshold"] for c in facts["cases"] if c["name"] == name]
    assert cases
    for overlap in cases:
        kept = arrays[f"{name}_keep_{overlap}"]
        kept = kept[boxes_of.area(boxes[kept]) > 0]  # of ours those without area never stay
        given = [part[None] for part in (padded(boxes, 7.0), padded(scores, 9.0), valid)]
        places, there = suppress(*given, overlap=overlap, most=len(valid))
        np.testing.assert_array_equal(places[there], kept)
        few, there = suppress(*given, overlap=overlap, most=7)
        np.testing.assert_array_equal(few[there], kept[:7])


@pytest.mark.parametrize("name", ["by_class", "by_class_negative_coordinates"])
def test_classes_dont_suppress_each_other(golden, name):
    """torchvision's own trick, boxes shifted by their class, fails at negative coordinates."""
    facts, arrays = golden("torchvision-nms")
    boxes, scores = arrays[f"{name}_boxes"], arrays[f"{name}_scores"]
    boxes = boxes - np.minimum(boxes.min(), 0)  # clipped images have none
    of_class = arrays[f"{name}_classes"][:, None] == np.arange(5)
    assert of_class.any(axis=1).all()
    for overlap in [c["iou_threshold"] for c in facts["cases"] if c["name"] == name]:
        kept = arrays[f"{name}_keep_{overlap}"]
        found = detections(
            padded(boxes)[None, :, None],
            padded(np.where(of_class, scores[:, None], -1.0), -1.0)[None],
            overlap=overlap,
            most=len(boxes),
            least_score=-0.5,
            least_side=0.0,
        )[0].numpy()
        assert (found[len(kept) :, 4] == ABSENT).all()
        np.testing.assert_array_equal(found[: len(kept), :4], boxes[kept])
        np.testing.assert_array_equal(found[: len(kept), 5], scores[kept])
        np.testing.assert_array_equal(found[: len(kept), 4], arrays[f"{name}_classes"][kept])


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_images_dont_suppress_each_other_and_padding_never_stays(compiled):
    box = [10.0, 10, 30, 30]
    far = [50.0, 50, 60, 60]
    boxes = tf.constant([[box, box, far], [far, box, far]])
    valid = tf.constant([[True, True, False], [False, False, False]])
    function = functools.partial(suppress, overlap=0.5, most=5)
    if compiled:
        function = tf.function(function, jit_compile=True)
    places, there = function(boxes, tf.constant([[0.1, 0.9, 2.0], [0.5, 0.6, 0.7]]), valid)
    assert places[0, 0] == 1
    np.testing.assert_array_equal(there, [[True] + [False] * 4, [False] * 5])
    assert places.shape == (2, 5)


def test_scores_below_zero_are_scores_too():
    boxes = tf.constant([[0.0, 0, 4, 4], [9, 9, 12, 12]])
    places, there = suppress(boxes[None], [[-5.0, -3.0]], [[True, True]], overlap=0.5, most=2)
    np.testing.assert_array_equal(places, [[1, 0]])
    assert there.numpy().all()


def test_boxes_in_a_row_go_and_stay_in_turn():
    """Each touches the next: what removes a box must have stayed itself, also across tiles."""
    count = TILE + 9
    lefts = np.arange(count, dtype="float32")
    boxes = np.stack([lefts, 0 * lefts, lefts + 1.5, 0 * lefts + 1], axis=-1)
    valid = np.ones((1, count), bool)
    places, there = suppress(boxes[None], -lefts[None], valid, overlap=0.1, most=count)
    np.testing.assert_array_equal(places[there], np.arange(0, count, 2))


def test_a_faster_r_cnns_detections_are_torchvisions(golden):
    """From its scores and codes: softmax, each class's boxes, clipped, thinned out."""
    facts, arrays = golden("torchvision-fasterrcnn")
    settings = facts["settings"]
    scores = tf.nn.softmax(arrays["class_logits"])[None, :, 1:]
    codes = arrays["box_regression"].reshape(1, -1, settings["classes"], 4)[:, :, 1:]
    found = boxes_of.decode(codes, arrays["proposals"][:, None], settings["box_weights"])
    rows = detections(
        boxes_of.clip(found, (256, 320)),
        scores,
        overlap=settings["box_nms_thresh"],
        most=settings["detections_per_img"],
        least_score=settings["box_score_thresh"],
    )[0].numpy()
    np.testing.assert_allclose(rows[:, :4], arrays["detections_boxes"], atol=1e-3, rtol=1e-5)
    np.testing.assert_array_equal(rows[:, 4] + 1, arrays["detections_labels"])
    np.testing.assert_allclose(rows[:, 5], arrays["detections_scores"], atol=1e-5)


def test_an_image_in_which_nothing_is_found_has_no_box():
    rows = detections(
        tf.ones([2, 7, 1, 4]), tf.ones([2, 7, 3]), overlap=0.5, most=4, valid=np.zeros((2, 7), bool)
    ).numpy()
    np.testing.assert_array_equal(rows, np.broadcast_to([0, 0, 0, 0, ABSENT, 0], (2, 4, 6)))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_boxes_in_a_row_go_and_stay_in_turn_in_other_runtimes(runtime):
    """A box that is removed removes none itself: that takes several rounds, wherever it runs."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 40, (8, 60, 2))
    given = np.concatenate([corners, corners + rng.uniform(8, 25, (8, 60, 2))], axis=-1)
    given = np.concatenate([given, rng.uniform(0, 1, (8, 60, 1))], axis=-1).astype("float32")

    @tf.function(input_signature=[tf.TensorSpec((1, 60, 5))])
    def graph(x):
        places, there = suppress(x[..., :4], x[..., 4], x[..., 4] > 0, overlap=0.5, most=30)
        return tf.where(there, places, -1)

    if runtime == "onnx":
        convert = pytest.importorskip("tf2onnx").convert
        onnx = pytest.importorskip("onnxruntime")
        proto, _ = convert.from_function(graph, input_signature=graph.input_signature, opset=17)
        content = proto.SerializeToString()
        session = onnx.InferenceSession(content, providers=["CPUExecutionProvider"])
        found = [session.run(None, {session.get_inputs()[0].name: one[None]})[0] for one in given]
    else:
        litert = pytest.importorskip("ai_edge_litert.interpreter")
        functions = [graph.get_concrete_function()]
        content = tf.lite.TFLiteConverter.from_concrete_functions(functions).convert()
        interpreter = litert.Interpreter(model_content=content)
        interpreter.allocate_tensors()
        (read,), (written,) = interpreter.get_input_details(), interpreter.get_output_details()
        found = []
        for one in given:
            interpreter.set_tensor(read["index"], one[None])
            interpreter.invoke()
            found.append(interpreter.get_tensor(written["index"]))
    expected = [graph(one[None]) for one in given]
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))
