"""Average precision against py-faster-rcnn's voc_eval.py and pycocotools."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from kerascnn_detection import average_precision

from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError

FACTS = json.loads(
    (Path(__file__).parent / "goldens" / "metrics-detection.json").read_text("utf-8")
)
CLASSES = FACTS["classes"]
has_coco = pytest.mark.skipif(
    importlib.util.find_spec("faster_coco_eval") is None, reason="needs faster-coco-eval"
)


def padded(rows, last):
    """Of COCO's rows a batch as it is here: x1, y1, x2, y2, label, and what `last` says."""
    images = FACTS["images"]["count"]
    found = [[] for _ in range(images)]
    for row in rows:
        x, y, w, h = row["bbox"]
        found[row["image_id"] - 1].append([x, y, x + w, y + h, row["category_id"] - 1, last(row)])
    batch = np.zeros((images, max(map(len, found)) + 2, 6))
    batch[..., 4] = ABSENT
    for image, of_image in enumerate(found):
        batch[image, : len(of_image)] = np.reshape(of_image, (-1, 6))
    return batch


DETECTIONS = padded(FACTS["detections"], lambda row: row["score"])
# voc_eval.py takes equal scores in the order of its file, not of the images.
FIRST = {id(row): number for number, row in enumerate(FACTS["detections"])}
IN_ORDER = padded(FACTS["detections"], lambda row: row["score"] - 1e-7 * FIRST[id(row)])
CROWDS = padded(FACTS["ground_truth"], lambda row: row["iscrowd"])


@pytest.fixture(scope="module")
def objects():
    """As VOC's files have them: whole pixels from 1, the last included, which are edges here."""
    found = padded(FACTS["ground_truth"], lambda row: row["difficult"])
    found[..., :4] = np.round(found[..., :4])
    return found


@pytest.mark.parametrize(("key", "eleven_points"), [("ap07", True), ("ap10", False)])
def test_vocs_average_precision_is_its_own(objects, key, eleven_points):
    found = average_precision.voc(IN_ORDER, objects, CLASSES, eleven_points=eleven_points)
    expected = [FACTS["voc_per_class"][f"c{n}"][key] for n in range(1, CLASSES + 1)]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert average_precision.mean(found) == pytest.approx(FACTS["voc_mean"][key], abs=1e-9)


@pytest.mark.parametrize("label", [0, 1, 2, 3])
def test_vocs_curves_are_its_own(objects, label):
    found = average_precision.curve(IN_ORDER, objects, label)
    expected = FACTS["voc_per_class"][f"c{label + 1}"]
    np.testing.assert_allclose(found.recall, expected["recall"], atol=1e-9)
    np.testing.assert_allclose(found.precision, expected["precision"], atol=1e-9)


NAMES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "APs",
    "ap_medium": "APm",
    "ap_large": "APl",
    "ar1": "AR1",
    "ar10": "AR10",
    "ar100": "AR100",
    "ar_small": "ARs",
    "ar_medium": "ARm",
    "ar_large": "ARl",
}


@has_coco
def test_cocos_twelve_figures_are_pycocotools():
    found = average_precision.coco(DETECTIONS, CROWDS, CLASSES)
    assert found == pytest.approx(
        {ours: FACTS["coco"][its] for ours, its in NAMES.items()}, abs=1e-9
    )
    assert tuple(found) == average_precision.PRECISIONS + average_precision.RECALLS


@has_coco
def test_crowds_change_cocos_figures():
    without = CROWDS.copy()
    without[without[..., 5] > 0, 4] = ABSENT
    found = average_precision.coco(DETECTIONS, without, CLASSES)["ap"]
    assert found == pytest.approx(FACTS["coco_without_crowd_objects"]["AP"], abs=1e-9)


@has_coco
def test_perfect_detections_have_cocos_full_score():
    perfect = CROWDS.copy()
    perfect[perfect[..., 5] > 0, 4] = ABSENT
    perfect[..., 5] = 1
    found = average_precision.coco(perfect, CROWDS, CLASSES)
    expected = {ours: FACTS["coco_perfect_detections"][its] for ours, its in NAMES.items()}
    assert found == pytest.approx(expected, abs=1e-9)


@has_coco
def test_an_objects_own_area_says_whether_it_is_small():
    """Not its box's: with areas below 32² all of them are, and none is medium or large."""
    areas = np.full((CROWDS[..., 4] != ABSENT).sum(), 32.0**2 - 1)
    found = average_precision.coco(DETECTIONS, CROWDS, CLASSES, areas)
    usual = average_precision.coco(DETECTIONS, CROWDS, CLASSES)
    assert math.isnan(found["ap_medium"])
    assert math.isnan(found["ap_large"])
    assert found["ar_small"] == pytest.approx(usual["ar100"])
    assert found["ap"] == pytest.approx(usual["ap"])


@has_coco
def test_without_detections_and_without_objects_cocos_figures_are_defined_or_nan():
    none = np.full((2, 3, 6), ABSENT, "float32")
    assert set(average_precision.coco(none, CROWDS[:2], CLASSES).values()) == {0.0}
    assert all(map(math.isnan, average_precision.coco(none, none, CLASSES).values()))


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faster_coco_eval", None)
    with pytest.raises(ArgumentError, match=r"kerascnn-detection\[coco\]"):
        average_precision.coco(DETECTIONS, CROWDS, CLASSES)


def test_the_order_of_images_and_the_room_for_rows_change_nothing(objects):
    turned = average_precision.voc(IN_ORDER[::-1], objects[::-1], CLASSES)
    np.testing.assert_allclose(turned, average_precision.voc(IN_ORDER, objects, CLASSES))
    roomy = np.pad(IN_ORDER, ((0, 0), (0, 5), (0, 0)), constant_values=ABSENT)
    roomy = np.roll(roomy, 3, axis=1)
    np.testing.assert_allclose(average_precision.voc(roomy, objects, CLASSES), turned)


def test_detections_of_one_score_count_alike_in_any_order_of_images_and_rows(objects):
    """Scores of one decimal: nearly all are tied, right ones with wrong ones."""
    tied = DETECTIONS.copy()
    tied[..., 5] = tied[..., 5].round(1)
    generator = np.random.default_rng(0)
    found = []
    for _ in range(4):
        images = generator.permutation(len(tied))
        rows = generator.permutation(tied.shape[1])
        found.append(average_precision.voc(tied[images][:, rows], objects[images], CLASSES))
    np.testing.assert_array_equal(found, found[:1] * 4)


def test_a_wrong_detection_of_the_same_score_lowers_precision_wherever_it_is():
    objects = np.array([[[0, 0, 9, 9, 0, 0]], [[0, 0, 0, 0, ABSENT, 0]]], "float32")
    rows = np.array([[[0, 0, 9, 9, 0, 0.5]]] * 2)
    for order in ([0, 1], [1, 0]):
        found = average_precision.curve(rows[order], objects[order], 0)
        np.testing.assert_array_equal([found.recall, found.precision], [[1], [0.5]])


def test_a_class_without_objects_has_no_average_precision():
    objects = np.array([[[0, 0, 9, 9, 0, 0], [0, 0, 9, 9, 1, 1]]], "float32")
    found = average_precision.voc(objects, objects, 3)
    np.testing.assert_array_equal(np.isnan(found), [False, True, True])
    assert average_precision.mean(found) == found[0]
    assert average_precision.mean([np.nan]) == 0


def test_a_second_detection_of_an_object_is_wrong_and_a_difficult_one_counts_nothing():
    objects = np.array([[[0, 0, 9, 9, 0, 0], [20, 0, 29, 9, 0, 1]]], "float32")
    rows = [[0, 0, 9, 9, 0, 0.9], [20, 0, 29, 9, 0, 0.8], [0, 0, 9, 8, 0, 0.7]]
    found = average_precision.curve(np.array([rows]), objects, 0)
    np.testing.assert_allclose(found.precision, [1, 1, 0.5])
    np.testing.assert_allclose(found.recall, [1, 1, 1])
    assert found.objects == 1
