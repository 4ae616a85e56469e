"""Fast R-CNN (Girshick, 2015): one pass over the image, and a head on windows of its last map.

R-CNN runs a classifier on each of 2,000 windows. Here the convolutions run once, on the image, and
each window is a 7×7 grid of the largest values of their map (`RoIPool`); two dense layers say what
it shows and where exactly, and all layers learn both at once (section 2). The windows come from
selective search, which now takes most of the time: Faster R-CNN is the answer to that.

The network is VGG-16, whose pooling before fc6 is replaced, or with `backbone` any other
classifier, up to its last map of a stride. Layers have the backbone's names, so its weights fit
(`weights="backbone:imagenet"`, `"backbone:RUN"`), and behind the map those of the authors' prototxt
files.

Deviations: see the card.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
)
from kerascnn_detection import faster_rcnn
from kerascnn_detection.faster_rcnn import (
    backbone_fits,
    build,
    detections,
    pooling,
    trunk_of,
)
from kerascnn_detection.lessons import FAST
from kerascnn_detection.selective_search import ARGUMENTS, search_in


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    stride: int,
    search: str,
    least_side: float,
    windows: int,
    roi: str,
    roi_size: int,
    head_widths: tuple[int, ...],
    dropout: float,
    samples: int,
    least_overlap: float,
    overlap: float,
    least_score: float,
    most: int,
) -> Any:
    """What is found, rows `[batch, most, 6]`."""
    rows = search_in(image, search=search, least_side=least_side, windows=windows)
    return detections(
        x,
        rows,
        image,
        pool=pooling(roi, roi_size, stride),
        classes=classes,
        head_widths=head_widths,
        dropout=dropout,
        lesson=replace(FAST, count=samples, least=least_overlap),
        overlap=overlap,
        least_score=least_score,
        most=most,
    )


def declared(*names: str) -> tuple[Param, ...]:
    """Arguments that mean what they mean in Faster R-CNN."""
    return tuple(faster_rcnn.SPACE[name] for name in names)


LEAST_OVERLAP = Param(
    "least_overlap",
    FAST.least,
    (0.0, 0.1),
    legal=Range(0.0, 0.5),
    help="Windows of background that are learned from have so much of an object at least: of all "
    "such ones these are the hard ones.",
)
SPACE = Space(
    (
        *declared("backbone", "backbone_arguments", "stride"),
        *ARGUMENTS,
        *declared("roi", "roi_size", "head_widths", "dropout"),
        replace(faster_rcnn.SPACE["samples"], default=FAST.count),
        LEAST_OVERLAP,
        *declared("overlap", "least_score", "most"),
    ),
    rules=(backbone_fits,),
)

RECIPE = Recipe(
    learning_rate=1e-3,
    batch_size=8,
    epochs=30,
    warmup_epochs=1.0,
    weight_decay=1e-4,
    source="ours, for small networks such as `backbone=resnet20_cifar stride=4 least_side=8`, "
    "tried on digit_scenes; as images aren't changed, windows are searched once",
)

FastRCNN = Architecture(
    name="fast_rcnn",
    task="detection",
    scores=False,
    build=build,
    head=head,
    space=SPACE,
    backbone=Backbone(network=trunk_of, renamed={"fc1": "fc6", "fc2": "fc7"}),
    card=Card(
        title="Fast R-CNN",
        authors="Girshick",
        year=2015,
        link="arXiv:1504.08083",
        input_shape=(600, 1000, 3),
        classes=20,
        params=134_690_729,
        macs=423_804_751_872,
        smallest_input=(17, 17),
        preprocessing=Preprocessing(scale=1.0, mean=(102.9801, 115.9465, 122.7717), order="BGR"),
        results=(
            Result(
                dataset="PASCAL VOC 2007 test",
                protocol="trained on VOC 2007 trainval",
                metric="mAP %",
                value=66.9,
                source="table 1",
            ),
            Result(
                dataset="PASCAL VOC 2007 test",
                protocol="trained on VOC 2007 and 2012 trainval",
                metric="mAP %",
                value=70.0,
                source="table 1",
            ),
        ),
        deviations=(
            "All layers are trained; the authors keep those before conv3_1 as ImageNet left them.",
            "Windows are ranked anew where there are more than `windows`.",
            "A box's sides grow by a factor of 62.5 at most when codes are read.",
        ),
    ),
    recipe=RECIPE,
    paper_recipe="fast_rcnn",
)
