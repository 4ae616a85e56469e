"""R-CNN: regions with CNN features (Girshick, Donahue, Darrell, Malik, 2014).

The network that brought convolutions to detection, and the simplest idea of all: selective search
finds 2,000 windows that may show an object, each is stretched to the size that a classifier takes
(`Warp`), and the classifier says what it shows. One image costs as much as 2,000; SPPNet and Fast
R-CNN are about getting rid of that.

The classifier is AlexNet, or with `backbone` any other one. Its layers keep their names, so its
weights fit (`weights="backbone:imagenet"`, `"backbone:RUN"`). Where it has hidden dense layers, so
has the head; elsewhere classes are told from the average of the last map. Boxes are corrected from
the last map itself, pool5, which knows where things are.

Training is fine-tuning with a softmax (section 2.3). The authors' last step, one SVM for each class
with hard negatives, and ridge regression of boxes, takes the place of the two last layers' weights:
`kerascnn svm` (`kerascnn_detection.svm`).

Deviations: see the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras import initializers

from kerascnn import (
    Architecture,
    Backbone,
    Card,
    Param,
    Preprocessing,
    Range,
    Recipe,
    Result,
    Space,
    blocks,
)
from kerascnn.errors import KerascnnError
from kerascnn_detection import faster_rcnn
from kerascnn_detection.faster_rcnn import BACKBONE_ARGUMENTS, trunk, trunk_of
from kerascnn_detection.lessons import JOINT, Lesson
from kerascnn_detection.selective_search import ARGUMENTS, search_in
from kerascnn_detection.stages import Detections
from kerascnn_detection.warping import CONTEXT, MergeWindows, SplitWindows, Warp


def build(
    x: Any,
    *,
    backbone: str,
    backbone_arguments: str,
    size: int,
    context: int,
    search: str,
    least_side: float,
    windows: int,
) -> Any:
    """The classifier's last map of each window, `[batch * windows, height, width, channels]`."""
    rows = search_in(x, search=search, least_side=least_side, windows=windows)
    pictures = blocks.apply(x, Warp((size, size), context=context, name="warp"), rows)
    each = blocks.apply(pictures, MergeWindows(name="merge"))
    return trunk(backbone, backbone_arguments).features(each)


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    backbone: str,
    backbone_arguments: str,
    head_widths: tuple[int, ...],
    dropout: float,
    samples: int,
    overlap: float,
    least_score: float,
    most: int,
) -> Any:
    """What is found, rows `[batch, most, 6]`."""
    pictures = blocks.tensor_at(x, "warp")
    pool5 = blocks.flatten(x, name="flatten")
    if "hidden" in trunk(backbone, backbone_arguments).space:
        fc7 = blocks.dense_layers(pool5, head_widths, "relu", dropout, first=6)
    else:
        fc7 = blocks.global_avg_pool(x)
    fc7 = blocks.apply(fc7, SplitWindows(name="split"), pictures)
    pool5 = blocks.apply(pool5, SplitWindows(name="split_pool5"), pictures)
    return answered(
        fc7,
        pool5,
        blocks.tensor_at(x, "proposals"),
        image,
        classes=classes,
        lesson=replace(JOINT, count=samples),
        overlap=overlap,
        least_score=least_score,
        most=most,
    )


def answered(
    hidden: Any,
    pooled: Any,
    rows: Any,
    image: Any,
    *,
    classes: int,
    lesson: Lesson,
    overlap: float,
    least_score: float,
    most: int,
) -> Any:
    """What is found, of two linear layers: SVMs and ridge regression have the same form.

    Args:
        hidden: what classes are told from, `[batch, windows, units]`.
        pooled: what boxes are corrected from, the same.
        rows: of windows.
        image: the network's input.
        classes: without the background.
        lesson: what is learned of windows.
        overlap, least_score, most: see `kerascnn_detection.stages.Detections`.
    """
    small, smaller = (initializers.RandomNormal(stddev=spread) for spread in (0.01, 0.001))
    scores = blocks.logits(hidden, 1 + classes, initializer=small, name="cls_score")
    codes = blocks.logits(pooled, 4 * (1 + classes), initializer=smaller, name="bbox_pred")
    answers = Detections(
        overlap=overlap, least_score=least_score, most=most, lesson=lesson, name="detections"
    )
    return blocks.apply(scores, answers, codes, rows, image)


def classifier_fits(values: Mapping[str, Any]) -> str | None:
    """The context must leave room for the window, and the classifier must take such pictures."""
    size, context = values["size"], values["context"]
    if 2 * context >= size:
        return f"context must be less than half of size, {size}. Received: {context}."
    try:
        network = trunk_of(values)
        replace(network, input_shape=(size, size, 3)).check_input()
    except KerascnnError as error:
        return f"size={size} is that of pictures. {error}"
    return None


SPACE = Space(
    (
        Param(
            "backbone",
            "alexnet",
            help="The classifier that looks at each window: its name, such as resnet18.",
        ),
        BACKBONE_ARGUMENTS,
        Param(
            "size",
            227,
            (32, 48, 64, 96, 128, 227),
            legal=Range(8, 1024),
            help="Height and width of the picture of a window, in pixels.",
        ),
        Param(
            "context",
            CONTEXT,
            legal=Range(0, 256),
            help="Pixels of it on each side that lie around the window.",
        ),
        *ARGUMENTS,
        replace(
            faster_rcnn.SPACE["head_widths"],
            help="Units of fc6, fc7, ..., where the classifier has hidden layers.",
        ),
        faster_rcnn.SPACE["dropout"],
        replace(
            faster_rcnn.SPACE["samples"],
            default=64,
            help="Windows of an image that are learned from in a step.",
        ),
        *(faster_rcnn.SPACE[name] for name in ("overlap", "least_score", "most")),
    ),
    rules=(classifier_fits,),
)

RECIPE = Recipe(
    learning_rate=1e-3,
    batch_size=8,
    epochs=20,
    warmup_epochs=1.0,
    weight_decay=1e-4,
    source="ours, for small networks such as `backbone=resnet20_cifar size=32 context=2 "
    "least_side=8`, tried on digit_scenes; as images aren't changed, windows are searched once",
)

RCNN = Architecture(
    name="rcnn",
    task="detection",
    scores=False,
    build=build,
    head=head,
    space=SPACE,
    backbone=Backbone(network=trunk_of, renamed={"fc1": "fc6", "fc2": "fc7"}),
    card=Card(
        title="Rich Feature Hierarchies for Accurate Object Detection and Semantic Segmentation",
        authors="Girshick, Donahue, Darrell, Malik",
        year=2014,
        link="arXiv:1311.2524",
        input_shape=(375, 500, 3),
        classes=20,
        params=57_728_489,
        macs=1_442_341_952_000,
        smallest_input=(1, 1),
        preprocessing=Preprocessing(scale=1.0, mean=(123.68, 116.779, 103.939)),
        results=(
            Result(
                dataset="PASCAL VOC 2007 test",
                protocol="trained on VOC 2007 trainval",
                metric="mAP %",
                value=54.2,
                source="table 2, FT fc7",
            ),
            Result(
                dataset="PASCAL VOC 2007 test",
                protocol="the same, with regression of boxes",
                metric="mAP %",
                value=58.5,
                source="table 2, FT fc7 BB",
            ),
        ),
        deviations=(
            "Boxes are regressed while fine-tuning, too, so that a network without its last step "
            "corrects them.",
            "The mean colour is subtracted, not the mean image.",
            "Pixels are interpolated in the image itself, where the authors round windows first.",
            "Windows are ranked anew where there are more than `windows`.",
        ),
    ),
    recipe=RECIPE,
    paper_recipe="rcnn",
)
