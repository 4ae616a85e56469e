"""Average precision: VOC's two ways in NumPy, COCO's by faster-coco-eval.

Detections and objects are what a batch has of them, one after the other: rows of six, padded, with
the label `ABSENT` where there is none. All detections must be there at once, since they are sorted
over all images. Measures are computed on the host, at the end of an epoch.

Boxes are edges, so that VOC's widths + 1 are differences here, and its overlap is the same number.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError

ELEVEN = tuple(np.linspace(0, 1, 11))
"""The recalls at which VOC measured precision until 2009."""

HUNDRED = tuple(np.linspace(0, 1, 101))
"""COCO's, and of curves that are kept."""

AREAS = ("ap50", "ap75", "ap50_11")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Recall and precision of a class down to each of its detections' scores, the best first.

    Attributes:
        recall, precision: float64 `[scores]`.
        objects: how many there are that count; without any, nothing is defined.
    """

    recall: np.ndarray
    precision: np.ndarray
    objects: int

    def area(self) -> float:
        """The area under the curve, its precision made to fall: VOC since 2010."""
        recall = np.concatenate([[0.0], self.recall, [1.0]])
        precision = np.concatenate([[0.0], self.precision, [0.0]])
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        steps = np.flatnonzero(recall[1:] != recall[:-1])
        return float(np.sum((recall[steps + 1] - recall[steps]) * precision[steps + 1]))

    def eleven_points(self) -> float:
        """The mean of the best precision at or beyond each of eleven recalls: VOC until 2009."""
        return float(np.mean(self.at(ELEVEN)))

    def at(self, recalls: Sequence[float]) -> list[float]:
        """The best precision at or beyond each of some recalls; 0 where there is none."""
        return [float(self.precision[self.recall >= r].max(initial=0.0)) for r in recalls]


def curve(detections: np.ndarray, objects: np.ndarray, label: int, overlap: float = 0.5) -> Curve:
    """VOC's curve of one class.

    A detection's object is the one that it overlaps with most, whether that is taken or not; a
    second detection of it is wrong. Difficult objects are neither asked for nor counted against a
    detection. Detections of one score come in together, so that nothing depends on the order of
    images, which is another one on every number of replicas; VOC leaves it open.

    Args:
        detections: float32 `[images, n, 6]`: x1, y1, x2, y2, label, score.
        objects: float32 `[images, most, 6]`: x1, y1, x2, y2, label, difficult.
        label: of the class.
        overlap: the IoU that a detection must exceed.
    """
    image, place = np.nonzero(detections[..., 4] == label)
    rows = detections[image, place].astype("float64")
    best, nearest = _nearest(rows, image, objects, label)
    order = np.argsort(-rows[:, 5], kind="stable")
    scores, best, nearest = rows[order, 5], best[order], nearest[order]
    hit = best > overlap
    first = np.zeros(len(rows), bool)
    first[np.flatnonzero(hit)[np.unique(nearest[hit], return_index=True)[1]]] = True
    asked = (objects[..., 4] == label) & (objects[..., 5] == 0)
    counts = asked.reshape(-1)[nearest]
    right = (hit & counts & first).cumsum()
    wrong = (~hit | (counts & ~first)).cumsum()
    last = np.append(scores[1:] != scores[:-1], True)[: len(rows)]  # of those with its score
    right, wrong, count = right[last], wrong[last], int(asked.sum())
    return Curve(
        recall=right / max(count, 1),
        precision=right / np.maximum(right + wrong, 1),
        objects=count,
    )


def _nearest(
    rows: np.ndarray, image: np.ndarray, objects: np.ndarray, label: int
) -> tuple[np.ndarray, np.ndarray]:
    """The IoU of each detection with the object of its class that is nearest, and which that is.

    Args:
        rows: `[detections, 6]`.
        image: that each is in, `[detections]`, in rising order.
        objects: `[images, most, 6]`.
        label: of the class.

    Returns:
        `[detections]` each; the number counts the rows of `objects` of all images, and is 0 where
        there is no object.
    """
    best, nearest = np.zeros(len(rows)), np.zeros(len(rows), int)
    most = objects.shape[1]
    for here in np.unique(image).tolist():
        of_class = np.flatnonzero(objects[here, :, 4] == label)
        if not of_class.size:
            continue
        mine = slice(*np.searchsorted(image, (here, here + 1)))
        overlaps = iou(rows[mine, :4], objects[here, of_class, :4].astype("float64"))
        best[mine] = overlaps.max(axis=1)
        nearest[mine] = here * most + of_class[overlaps.argmax(axis=1)]
    return best, nearest


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of each of boxes `[n, 4]` with each of others `[m, 4]`, `[n, m]`, in NumPy."""
    boxes, others = boxes[:, None], others[None]
    low, high = (
        np.maximum(boxes[..., :2], others[..., :2]),
        np.minimum(boxes[..., 2:], others[..., 2:]),
    )
    common = np.maximum(high - low, 0).prod(axis=-1)
    areas = [(one[..., 2:] - one[..., :2]).prod(axis=-1) for one in (boxes, others)]
    whole = areas[0] + areas[1] - common
    return np.divide(common, whole, out=np.zeros(common.shape), where=whole > 0)


def voc(
    detections: np.ndarray,
    objects: np.ndarray,
    classes: int,
    *,
    overlap: float = 0.5,
    eleven_points: bool = False,
) -> np.ndarray:
    """VOC's average precision of each class, float64 `[classes]`; NaN of one without objects.

    Args:
        detections, objects, overlap: see `curve`.
        classes: how many.
        eleven_points: as VOC measured until 2009, VOC 2007 among it.

    M. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, A. Zisserman, "The Pascal Visual Object
    Classes (VOC) Challenge", IJCV 2010, section 4.2.
    """
    found = np.full(classes, np.nan)
    for label in range(classes):
        one = curve(detections, objects, label, overlap)
        if one.objects:
            found[label] = one.eleven_points() if eleven_points else one.area()
    return found


PRECISIONS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""COCO's average precision: the mean over IoUs of .5, .55, ... .95; at .5, at .75; by area."""
RECALLS = ("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")
"""The best recall with 1, 10 and 100 detections of an image, and by area."""


def coco(
    detections: np.ndarray,
    objects: np.ndarray,
    classes: int,
    areas: np.ndarray | None = None,
) -> dict[str, float]:
    """COCO's twelve figures, by faster-coco-eval: `pip install "kerascnn-detection[coco]"`.

    A difficult object, which of COCO's are its crowds, is one here: any number of detections may
    lie in it, and none need to. A figure without any object that it could be of is NaN.

    Args:
        detections, objects: see `curve`; at most 100 detections of an image are looked at.
        classes: how many.
        areas: by which objects are small, medium or large, float32 `[all objects]`, those of the
            first image, then of the second, and so on; None: those of their boxes.

    Returns:
        The names of `PRECISIONS` and `RECALLS`.

    Raises:
        ArgumentError: faster-coco-eval isn't installed.
    """
    try:
        import faster_coco_eval
    except ImportError as error:
        raise ArgumentError(
            "COCO's average precision needs faster-coco-eval. Received: an environment without "
            'it. Install it with: pip install "kerascnn-detection[coco]". VOC\'s needs nothing.'
        ) from error
    truths = _rows(objects)
    if areas is None:
        areas = np.array([one["bbox"][2] * one["bbox"][3] for one, _ in truths])
    annotations = [
        {**one, "id": number, "iscrowd": int(crowd), "area": area}
        for number, ((one, crowd), area) in enumerate(zip(truths, areas.tolist(), strict=True), 1)
    ]
    truth = faster_coco_eval.COCO(
        {
            "images": [{"id": image} for image in range(len(objects))],
            "categories": [{"id": label, "name": str(label)} for label in range(classes)],
            "annotations": annotations,
        }
    )
    results = [{**one, "score": score} for one, score in _rows(detections)]
    names = PRECISIONS + RECALLS
    if not results:
        return dict.fromkeys(names, 0.0 if annotations else float("nan"))
    judge = faster_coco_eval.COCOeval_faster(
        truth, truth.loadRes(results), "bbox", print_function=_silent
    )
    judge.run()
    return {
        name: float(value) if value >= 0 else float("nan")
        for name, value in zip(names, judge.stats[: len(names)])
    }


def _rows(padded: np.ndarray) -> list[tuple[dict[str, Any], float]]:
    """Each row that is one as COCO writes it, and its last column."""
    image, place = np.nonzero(padded[..., 4] != ABSENT)
    found = []
    for here, row in zip(image.tolist(), padded[image, place].astype("float64").tolist()):
        x1, y1, x2, y2, label, last = row
        box = [x1, y1, x2 - x1, y2 - y1]
        found.append(({"image_id": here, "category_id": int(label), "bbox": box}, last))
    return found


def _silent(*words: Any) -> None:
    """The library's progress is nobody's business here."""


def mean(values: Sequence[float] | np.ndarray) -> float:
    """Of those that are defined; 0 where none is."""
    known = np.asarray(values, "float64")
    known = known[~np.isnan(known)]
    return float(known.mean()) if known.size else 0.0


def report(
    detections: np.ndarray,
    objects: np.ndarray,
    class_names: Sequence[str],
    areas: np.ndarray | None = None,
) -> dict[str, Any]:
    """What detections are worth by VOC's and COCO's rules, as JSON has it.

    Args:
        detections, objects: of all images, in their order; see `curve`.
        class_names: of the classes.
        areas: see `coco`.

    Returns:
        - "ap50", "ap75": the means over the classes of the area under the curves, at an IoU of .5
          and of .75; "ap50_11": of VOC's eleven points, at .5;
        - "classes": of each "name", "objects" (difficult ones don't count), "difficult",
          "detections"; "ap50", "ap75" and "ap50_11", None of a class without objects; "recall" of
          all detections at .5; "precision": the best one at or beyond each of the recalls
          0, .01, ..., 1;
        - "coco": COCO's twelve figures; None without faster-coco-eval.
    """
    labels, difficult = objects[..., 4], objects[..., 5] > 0
    classes: list[dict[str, Any]] = []
    for label, name in enumerate(class_names):
        half, tight = (curve(detections, objects, label, overlap) for overlap in (0.5, 0.75))
        known = half.objects > 0
        classes.append(
            {
                "name": name,
                "objects": half.objects,
                "difficult": int((difficult & (labels == label)).sum()),
                "detections": int((detections[..., 4] == label).sum()),
                "ap50": half.area() if known else None,
                "ap75": tight.area() if known else None,
                "ap50_11": half.eleven_points() if known else None,
                "recall": float(half.recall.max(initial=0)) if known else None,
                "precision": [round(p, 4) for p in half.at(HUNDRED)] if known else None,
            }
        )
    return {
        **{key: mean([_or_nan(one[key]) for one in classes]) for key in AREAS},
        "classes": classes,
        "coco": _coco_or_none(detections, objects, len(class_names), areas),
    }


def _coco_or_none(
    detections: np.ndarray, objects: np.ndarray, classes: int, areas: np.ndarray | None
) -> dict[str, float | None] | None:
    if importlib.util.find_spec("faster_coco_eval") is None:
        return None
    found = coco(detections, objects, classes, areas)
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
