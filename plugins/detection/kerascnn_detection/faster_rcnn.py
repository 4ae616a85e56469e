"""Faster R-CNN (Ren, He, Girshick, Sun, 2015), and the head of Fast R-CNN (Girshick, 2015).

Fast R-CNN runs the convolutions once over the image, and for each proposed box only two dense
layers on a pooled 7×7 of their map. Faster R-CNN has the same map propose the boxes: a 3×3
convolution slides over it and says of nine anchors at each place how likely they show an object,
and how they should be moved.

`propose` and `classify` are these two on the maps of any network. `faster_rcnn` has them on
VGG-16's last convolution, whose dense layers fc6 and fc7 are the head, or with `backbone` on the
last map of a stride of any other classifier. Its layers have the backbone's names, so that its
weights fit (`weights="backbone:imagenet"`, `"backbone:RUN"`), and behind it those of the authors'
prototxt files. On a pyramid of maps it is in `faster_rcnn_fpn`.

Deviations: see the card.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
from keras import initializers, layers, ops

import kerascnn
from kerascnn import (
    Architecture,
    Augmentation,
    Backbone,
    Card,
    Network,
    Param,
    Preprocessing,
    Range,
    Recipe,
    Result,
    Space,
    blocks,
)
from kerascnn.errors import KerascnnError
from kerascnn_detection.anchors import RATIOS, Anchors
from kerascnn_detection.lessons import ANCHORS, JOINT, Lesson
from kerascnn_detection.proposals import TESTED, TRAINED, Thinning
from kerascnn_detection.pyramid import PyramidAlign
from kerascnn_detection.regions import Regions, RoIAlign, RoIPool
from kerascnn_detection.stages import Detections, Proposals

PAPERS = "vgg16"
"""The backbone of the paper, whose pooling rounds up, as Caffe's does."""


# --- The pieces --------------------------------------------------------------------------------


def propose(
    maps: Sequence[Any],
    image: Any,
    *,
    anchors: Sequence[Anchors],
    strides: Sequence[int] | None,
    width: int = 512,
    kernel: int = 3,
    two_scores: bool = True,
    trained: Thinning = TRAINED,
    tested: Thinning = TESTED,
    lesson: Lesson = ANCHORS,
) -> Any:
    """The region proposal network (section 3.1).

    What losses are made of are the inputs of its layer `proposals`.

    Args:
        maps: `[batch, height, width, channels]`; the same weights look at all of them.
        image: the network's input.
        anchors: at each place, of each map as many.
        strides: of each map, in pixels; None: see `kerascnn_detection.stages.Proposals`.
        width, kernel: of the convolution that slides over the map.
        two_scores: whether an anchor has a score of background and one of objects, as the
            authors', or one logit, as torchvision's.
        trained, tested: how many proposals there are; no more than anchors, if the size is known.
        lesson: what is learned.

    Returns:
        Rows of proposals `[batch, after, 6]`.
    """
    count = len(anchors[0])

    def slide(maps: Sequence[Any], filters: int, side: int, name: str, **options: str) -> list[Any]:
        one, *more = maps
        start = _gaussian(0.01)  # section 3.1.3
        return blocks.conv_each(
            one, *more, filters=filters, kernel=side, initializer=start, name=name, **options
        )

    dtype = blocks.head_dtype()
    seen = slide(maps, width, kernel, "rpn_conv", kind="relu")
    scores = slide(seen, count * (1 + two_scores), 1, "rpn_cls_score", dtype=dtype)
    codes = slide(seen, 4 * count, 1, "rpn_bbox_pred", dtype=dtype)
    if two_scores:
        subtract = ObjectLogits(name="rpn_logits")
        scores = [blocks.apply(x, subtract) for x in scores]
    trained, tested = (_bounded(thinning, maps, count) for thinning in (trained, tested))
    choose = Proposals(
        anchors=anchors,
        strides=strides,
        trained=trained,
        tested=tested,
        lesson=lesson,
        name="proposals",
    )
    return blocks.apply(scores[0], choose, *scores[1:], *codes, image)


def _gaussian(deviation: float) -> initializers.Initializer:
    """A new one for each layer: an initializer draws its seed when it is made, and keeps it."""
    return initializers.RandomNormal(stddev=deviation)


def _bounded(thinning: Thinning, maps: Sequence[Any], anchors: int) -> Thinning:
    """No more than there are, where that is known: others would be rows without a box."""
    sides = [x.shape[1:3] for x in maps]
    if any(None in pair for pair in sides):
        return thinning
    counts = [rows * columns * anchors for rows, columns in sides]
    before, after = min(thinning.before, max(counts)), min(thinning.after, sum(counts))
    return replace(thinning, before=before, after=after)


@keras.saving.register_keras_serializable("kerascnn_detection")
class ObjectLogits(layers.Layer):
    """Of two scores for each anchor one logit: a softmax of two is the sigmoid of their difference.

    Input `[batch, height, width, 2 * anchors]`, first all scores of background, then all of
    objects, as the authors' reshaping has them; output `[batch, height, width, anchors]`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": blocks.head_dtype()})

    def call(self, inputs: Any) -> Any:
        """The difference."""
        background, objects = ops.split(inputs, 2, axis=-1)
        return objects - background

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Half as many channels."""
        return (*input_shape[:-1], input_shape[-1] // 2)


def classify(
    maps: Sequence[Any],
    rows: Any,
    *,
    pool: Regions | PyramidAlign,
    classes: int,
    hidden: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
) -> tuple[Any, Any]:
    """The head of Fast R-CNN on each proposal (section 2).

    Args:
        maps: `[batch, height, width, channels]`, as many as `pool` takes.
        rows: proposals, `[batch, n, 4]` or `[batch, n, 6]`.
        pool: what makes a small map of each.
        classes: without the background.
        hidden: units of the dense layers, VGG-16's.
        dropout: behind each of them, in training.

    Returns:
        Scores `[batch, n, 1 + classes]` of which the first is the background's, and codes
        `[batch, n, 4 * (1 + classes)]`.
    """
    first, *others = maps
    x = blocks.apply(first, pool, *others, rows)
    units = first.shape[-1] * pool.parts
    x = blocks.apply(x, layers.Reshape((-1, units), name="flatten"))
    x = blocks.dense_layers(x, hidden, "relu", dropout, first=6)
    # Section 2.3: Gaussians of 0.01 and 0.001.
    scores = blocks.logits(x, 1 + classes, initializer=_gaussian(0.01), name="cls_score")
    codes = blocks.logits(x, 4 * (1 + classes), initializer=_gaussian(0.001), name="bbox_pred")
    return scores, codes


# --- The network -------------------------------------------------------------------------------


def build(x: Any, *, backbone: str, backbone_arguments: str, stride: int) -> Any:
    """The classifier up to its last map of this stride."""
    network = trunk(backbone, backbone_arguments)
    return blocks.cut(network.features(x), levels(backbone, backbone_arguments)[stride])


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    stride: int,
    anchor_sizes: tuple[float, ...],
    anchor_ratios: tuple[float, ...],
    rpn_width: int,
    candidates: int,
    candidates_trained: int,
    proposals: int,
    proposals_trained: int,
    least_side: float,
    roi: str,
    roi_size: int,
    head_widths: tuple[int, ...],
    dropout: float,
    samples: int,
    overlap: float,
    least_score: float,
    most: int,
) -> Any:
    """What is found, rows `[batch, most, 6]`."""
    rows = papers_proposals(
        x,
        image,
        stride=stride,
        anchor_sizes=anchor_sizes,
        anchor_ratios=anchor_ratios,
        rpn_width=rpn_width,
        candidates=candidates,
        candidates_trained=candidates_trained,
        proposals=proposals,
        proposals_trained=proposals_trained,
        least_side=least_side,
    )
    return detections(
        x,
        rows,
        image,
        pool=pooling(roi, roi_size, stride),
        classes=classes,
        head_widths=head_widths,
        dropout=dropout,
        lesson=replace(JOINT, count=samples),
        overlap=overlap,
        least_score=least_score,
        most=most,
    )


def papers_proposals(
    x: Any,
    image: Any,
    *,
    stride: int,
    anchor_sizes: tuple[float, ...],
    anchor_ratios: tuple[float, ...],
    rpn_width: int,
    candidates: int,
    candidates_trained: int,
    proposals: int,
    proposals_trained: int,
    least_side: float,
) -> Any:
    """Proposals of one map with the paper's anchors, `[batch, proposals, 6]`; see `SPACE`."""
    scales = [size / stride for size in anchor_sizes]
    return propose(
        [x],
        image,
        anchors=[Anchors.papers(scales, anchor_ratios, base=stride)],
        strides=[stride],
        width=rpn_width,
        trained=Thinning(before=candidates_trained, after=proposals_trained, least_side=least_side),
        tested=Thinning(before=candidates, after=proposals, least_side=least_side),
    )


def pooling(roi: str, roi_size: int, stride: int) -> Regions:
    """The layer that makes a small map of each proposal: "pool" or "align"."""
    pool = {"pool": RoIPool, "align": RoIAlign}[roi]
    return pool((roi_size, roi_size), stride=stride, name=f"roi_{roi}")


def detections(
    x: Any,
    rows: Any,
    image: Any,
    *,
    pool: Regions,
    classes: int,
    head_widths: tuple[int, ...],
    dropout: float,
    lesson: Lesson,
    overlap: float,
    least_score: float,
    most: int,
) -> Any:
    """What the head of Fast R-CNN finds among the proposals of one map, `[batch, most, 6]`."""
    scores, codes = classify(
        [x], rows, pool=pool, classes=classes, hidden=head_widths, dropout=dropout
    )
    answers = Detections(
        overlap=overlap, least_score=least_score, most=most, lesson=lesson, name="detections"
    )
    return blocks.apply(scores, answers, codes, rows, image)


# --- The backbone ------------------------------------------------------------------------------


def trunk(backbone: str, backbone_arguments: str) -> Network:
    """The classifier without its head; VGG-16 with Caffe's pooling.

    Raises:
        KerascnnError: there is no such classifier, or it refuses the arguments.
    """
    own = {"pool_ceil": True} if backbone == PAPERS else {}
    return headless(backbone, backbone_arguments, own)


def headless(backbone: str, backbone_arguments: str, own: Mapping[str, Any]) -> Network:
    """A classifier without its head, with arguments of a paper's `own` that the others overrule.

    Raises:
        KerascnnError: there is no such classifier, or it refuses the arguments.
    """
    architecture = kerascnn.get(backbone)
    given = architecture.space.read(backbone_arguments.split(), what="backbone_arguments")
    return architecture.network({**own, **given}, include_top=False)


def maps_of(network: Network) -> dict[int, str]:
    """Stride → the layer that gives the last map of this stride, the finest first."""
    found = network.endpoints().items()
    return {e.stride: e.layer for name, e in found if re.fullmatch(r"C\d+", name)}


@functools.cache
def levels(backbone: str, backbone_arguments: str) -> dict[int, str]:
    """Those of the classifier."""
    return maps_of(trunk(backbone, backbone_arguments))


def trunk_of(arguments: Mapping[str, Any]) -> Network:
    """The classifier of all arguments of a network."""
    return trunk(arguments["backbone"], arguments["backbone_arguments"])


def backbone_fits(values: Mapping[str, Any]) -> str | None:
    """It must have a map of the stride."""
    backbone, stride = values["backbone"], values["stride"]
    try:
        found = levels(backbone, values["backbone_arguments"])
    except KerascnnError as error:
        return str(error)
    if stride in found:
        return None
    return (
        f"stride must be that of one of {backbone}'s maps, {', '.join(map(str, found))}. "
        f"Received: {stride}."
    )


# --- Arguments ---------------------------------------------------------------------------------

BACKBONE_ARGUMENTS = Param(
    "backbone_arguments",
    "",
    help='That classifier\'s own arguments: "depths=1,1,1 widths=32,64,128".',
)
MANY = Range(1, 100_000)
ANSWERS = (
    Param(
        "least_score",
        0.05,
        legal=Range(0.0, 1.0),
        help="Boxes with no higher score aren't answered.",
    ),
    Param("most", 100, legal=Range(1, 10_000), help="Boxes that are answered of an image."),
)
SPACE = Space(
    (
        Param(
            "backbone",
            PAPERS,
            help="The classifier whose map is looked at: its name, such as resnet18.",
        ),
        BACKBONE_ARGUMENTS,
        Param(
            "stride",
            16,
            (4, 8, 16),
            legal=(2, 4, 8, 16, 32),
            help="Of the classifier's map, in pixels: the last one that has it.",
        ),
        Param(
            "anchor_sizes",
            (128.0, 256.0, 512.0),
            Range(8.0, 512.0, log=True),
            legal=Range(1.0, 10_000.0),
            help="Square roots of the anchors' areas, in pixels.",
        ),
        Param(
            "anchor_ratios",
            RATIOS,
            Range(0.25, 4.0, log=True),
            legal=Range(0.01, 100.0),
            help="Their heights / widths.",
        ),
        Param(
            "rpn_width",
            512,
            Range(32, 512, step=32),
            legal=Range(1, 8192),
            help="Filters of the 3×3 that slides over the map.",
        ),
        Param("candidates", 6000, legal=MANY, help="Best anchors that are looked at."),
        Param("candidates_trained", 12_000, legal=MANY, help="The same in training."),
        Param(
            "proposals",
            300,
            (50, 100, 300, 1000),
            legal=MANY,
            help="Those of them that the head sees, after suppression.",
        ),
        Param(
            "proposals_trained",
            2000,
            legal=MANY,
            help="The same in training, where it learns from some of them.",
        ),
        Param(
            "least_side",
            16.0,
            legal=Range(0.0, 10_000.0),
            help="Proposals are at least so wide and so high, in pixels.",
        ),
        Param(
            "roi",
            "pool",
            ("pool", "align"),
            help="The largest cell of each part of a proposal, or points between cells; only these "
            "are for images of any size.",
        ),
        Param("roi_size", 7, (3, 5, 7), legal=Range(1, 32), help="Parts down and across."),
        Param(
            "head_widths",
            (4096, 4096),
            Range(128, 4096, step=128),
            legal=Range(1, 65_536),
            help="Units of fc6, fc7, ...",
        ),
        Param(
            "dropout",
            0.5,
            Range(0.0, 0.7),
            legal=Range(0.0, 0.95),
            off=0.0,
            help="Dropout behind fc6, fc7, ...",
        ),
        Param(
            "samples",
            128,
            (32, 64, 128, 256),
            legal=MANY,
            help="Proposals of an image that the head learns from in a step.",
        ),
        Param(
            "overlap",
            0.3,
            Range(0.2, 0.6),
            legal=Range(0.0, 1.0),
            help="Of two boxes of a class whose IoU is higher one is answered.",
        ),
        *ANSWERS,
    ),
    rules=(backbone_fits,),
)

RECIPE = Recipe(
    learning_rate=2e-3,
    batch_size=8,
    epochs=20,
    warmup_epochs=0.5,
    weight_decay=1e-4,
    clip_norm=10.0,
    augmentation=Augmentation(shift=0.1, zoom=0.2),
    source="ours, for small networks such as `backbone=resnet20_cifar, stride=4`, tried on "
    "digit_scenes; --recipe paper has the authors', for VGG-16",
)

FasterRCNN = Architecture(
    name="faster_rcnn",
    task="detection",
    scores=False,
    build=build,
    head=head,
    space=SPACE,
    backbone=Backbone(network=trunk_of, renamed={"fc1": "fc6", "fc2": "fc7"}),
    card=Card(
        title="Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks",
        authors="Ren, He, Girshick, Sun",
        year=2015,
        link="arXiv:1506.01497",
        input_shape=(600, 1000, 3),
        classes=20,
        params=137_078_239,
        macs=225_573_931_008,
        smallest_input=(17, 17),
        preprocessing=Preprocessing(scale=1.0, mean=(102.9801, 115.9465, 122.7717), order="BGR"),
        results=(
            Result(
                dataset="PASCAL VOC 2007 test",
                protocol="trained on VOC 2007 trainval",
                metric="mAP %",
                value=69.9,
                source="table 3",
            ),
            Result(
                dataset="PASCAL VOC 2007 test",
                protocol="trained on VOC 2007 and 2012 trainval",
                metric="mAP %",
                value=73.2,
                source="table 3",
            ),
        ),
        deviations=(
            "All layers are trained; the authors keep those before conv3_1 as ImageNet left them.",
            "Joint training in one stage, as in the authors' Python code; the paper's table is of "
            "four alternating stages.",
            "A box's sides grow by a factor of 62.5 at most when codes are read.",
        ),
    ),
    recipe=RECIPE,
    paper_recipe="faster_rcnn",
)
