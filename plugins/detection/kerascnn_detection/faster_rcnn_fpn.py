"""Faster R-CNN on a pyramid of maps, in torchvision's form.

"Feature Pyramid Networks for Object Detection" (Lin et al., 2017) looks for objects on maps of
several strides, the small ones on fine maps: see `pyramid`. One region proposal network slides over
all of them, with anchors of one size on each, and each proposal is read from the map for boxes of
its size. What torchvision calls `fasterrcnn_resnet50_fpn` is this on a ResNet-50, with points
between cells in place of the largest cell, and a head of two dense layers of 1024.

With `backbone` it is on any other classifier. Its layers have the backbone's names, so that
`weights="backbone:imagenet"` starts from a classifier's; `weights="coco"` is torchvision's trained
network, with COCO's 90 numbers of classes, of which 80 are used.

Deviations: see the card.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerascnn import (
    Architecture,
    Backbone,
    Card,
    Network,
    Param,
    Preprocessing,
    Range,
    Result,
    Source,
    Space,
    TorchNames,
    blocks,
)
from kerascnn.applications import ResNet50
from kerascnn.errors import KerascnnError
from kerascnn_detection import faster_rcnn
from kerascnn_detection.anchors import Anchors
from kerascnn_detection.faster_rcnn import (
    BACKBONE_ARGUMENTS,
    MANY,
    classify,
    headless,
    maps_of,
    propose,
)
from kerascnn_detection.lessons import ANCHORS, JOINT
from kerascnn_detection.losses import SMOOTH_RPN
from kerascnn_detection.proposals import Thinning
from kerascnn_detection.pyramid import PyramidAlign, feature_pyramid
from kerascnn_detection.stages import Detections

TORCHVISIONS = "resnet50"
"""torchvision's backbone, whose bottlenecks halve the map in their 3×3."""


def build(x: Any, *, backbone: str, backbone_arguments: str, finest: int) -> Any:
    """The classifier up to its coarsest map."""
    network = trunk(backbone, backbone_arguments)
    return blocks.cut(network.features(x), levels(backbone, backbone_arguments, finest)[-1][1])


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    backbone: str,
    backbone_arguments: str,
    finest: int,
    pyramid_width: int,
    anchor_sizes: tuple[float, ...],
    anchor_ratios: tuple[float, ...],
    rpn_width: int,
    candidates: int,
    candidates_trained: int,
    proposals: int,
    proposals_trained: int,
    least_side: float,
    roi_size: int,
    head_widths: tuple[int, ...],
    dropout: float,
    samples: int,
    overlap: float,
    least_score: float,
    most: int,
) -> Any:
    """What is found, rows `[batch, most, 6]`."""
    strides, layers = zip(*levels(backbone, backbone_arguments, finest))
    maps = feature_pyramid(
        [blocks.tensor_at(x, layer) for layer in layers],
        width=pyramid_width,
        first=strides[0].bit_length() - 1,
    )
    thinning = functools.partial(Thinning, least_side=least_side, small_first=False)
    rows = propose(
        maps,
        image,
        anchors=[Anchors.torchvision([size], anchor_ratios) for size in anchor_sizes],
        strides=None,
        width=rpn_width,
        two_scores=False,
        trained=thinning(before=candidates_trained, after=proposals_trained),
        tested=thinning(before=candidates, after=proposals),
        lesson=replace(ANCHORS, inside=False),
    )
    scores, codes = classify(
        maps[:-1],
        rows,
        pool=PyramidAlign((roi_size, roi_size), strides=strides, name="roi_align"),
        classes=classes,
        hidden=head_widths,
        dropout=dropout,
    )
    answers = Detections(
        overlap=overlap,
        least_score=least_score,
        most=most,
        lesson=replace(JOINT, count=samples, beta=SMOOTH_RPN),
        name="detections",
    )
    return blocks.apply(scores, answers, codes, rows, image)


# --- The backbone ------------------------------------------------------------------------------


def trunk(backbone: str, backbone_arguments: str) -> Network:
    """The classifier without its head; ResNet-50 with torchvision's strides.

    Raises:
        KerascnnError: there is no such classifier, or it refuses the arguments.
    """
    own = {"stride_in": "3x3"} if backbone == TORCHVISIONS else {}
    return headless(backbone, backbone_arguments, own)


@functools.cache
def levels(backbone: str, backbone_arguments: str, finest: int) -> tuple[tuple[int, str], ...]:
    """The strides of the maps that the pyramid stands on, and their layers, the finest first."""
    found = maps_of(trunk(backbone, backbone_arguments))
    return tuple((stride, layer) for stride, layer in found.items() if stride >= finest)


def trunk_of(arguments: Mapping[str, Any]) -> Network:
    """The classifier of all arguments of a network."""
    return trunk(arguments["backbone"], arguments["backbone_arguments"])


def backbone_fits(values: Mapping[str, Any]) -> str | None:
    """It must have maps, each half as large as the one before, and anchors for each."""
    backbone, sizes = values["backbone"], values["anchor_sizes"]
    try:
        found = levels(backbone, values["backbone_arguments"], values["finest"])
    except KerascnnError as error:
        return str(error)
    strides = [stride for stride, _ in found]
    if not strides or strides != [strides[0] << n for n in range(len(strides))]:
        return (
            f"backbone must have maps of the strides {values['finest']}, twice that, and so on. "
            f"Received: {backbone!r}, whose maps have {', '.join(map(str, strides)) or 'none'}."
        )
    if len(sizes) == len(strides) + 1:
        return None
    return (
        f"anchor_sizes must have one for each of {backbone}'s maps of stride "
        f"{', '.join(map(str, strides))}, and one for the map behind them. Received: {sizes}."
    )


# --- Arguments ---------------------------------------------------------------------------------

OTHERS = {param.name: param for param in faster_rcnn.SPACE}
SPACE = Space(
    (
        replace(OTHERS["backbone"], default=TORCHVISIONS),
        BACKBONE_ARGUMENTS,
        Param(
            "finest",
            4,
            legal=(2, 4, 8, 16, 32),
            help="Stride of the finest map of the classifier that is used, in pixels.",
        ),
        Param(
            "pyramid_width",
            256,
            Range(32, 256, step=32),
            legal=Range(1, 8192),
            help="Channels of the pyramid's maps.",
        ),
        replace(
            OTHERS["anchor_sizes"],
            default=(32.0, 64.0, 128.0, 256.0, 512.0),
            help="Square roots of the anchors' areas, in pixels: one for each map, and one for a "
            "map behind them that is half as large as the last one.",
        ),
        OTHERS["anchor_ratios"],
        replace(OTHERS["rpn_width"], default=256),
        replace(OTHERS["candidates"], default=1000, help="Best anchors of each map."),
        replace(OTHERS["candidates_trained"], default=2000),
        replace(OTHERS["proposals"], default=1000),
        OTHERS["proposals_trained"],
        replace(OTHERS["least_side"], default=1e-3),
        OTHERS["roi_size"],
        replace(OTHERS["head_widths"], default=(1024, 1024)),
        replace(OTHERS["dropout"], default=0.0),
        replace(OTHERS["samples"], default=512, search=(32, 64, 128, 256, 512), legal=MANY),
        replace(OTHERS["overlap"], default=0.5),
        OTHERS["least_score"],
        OTHERS["most"],
    ),
    rules=(backbone_fits,),
)

# torchvision's ResNet is in `backbone.body`. The convolutions of the pyramid and the first one of
# the region proposal network were called otherwise when its weights were made.
_RESNET = ResNet50.weights[0].names
assert isinstance(_RESNET, TorchNames)
TORCH_NAMES = TorchNames(
    family="faster_rcnn_fpn",
    first=("backbone.body.conv1",),
    layers={
        **{f"backbone.body.{theirs}": o for theirs, o in _RESNET.layers.items() if theirs != "fc"},
        "backbone.fpn.inner_blocks.{n}": "fpn_c{n+2}",
        "backbone.fpn.inner_blocks.{n}.0": "fpn_c{n+2}",
        "backbone.fpn.layer_blocks.{n}": "fpn_p{n+2}",
        "backbone.fpn.layer_blocks.{n}.0": "fpn_p{n+2}",
        "rpn.head.conv": "rpn_conv",
        "rpn.head.conv.0.0": "rpn_conv",
        "rpn.head.cls_logits": "rpn_cls_score",
        "rpn.head.bbox_pred": "rpn_bbox_pred",
        "roi_heads.box_head.fc6": "fc6",
        "roi_heads.box_head.fc7": "fc7",
        "roi_heads.box_predictor.cls_score": "cls_score",
        "roi_heads.box_predictor.bbox_pred": "bbox_pred",
    },
    # fc6 reads P2 to P5, which have as many maps as this one, 256.
    flattened=("roi_heads.box_head.fc6", "backbone.body.layer1.0.conv3"),
    unstrided=_RESNET.unstrided,
    epsilon=0.0,  # `overwrite_eps(model, 0.0)`: it was trained so
)
TORCH = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

FasterRCNNResNet50FPN = Architecture(
    name="faster_rcnn_resnet50_fpn",
    task="detection",
    scores=False,
    build=build,
    head=head,
    space=SPACE,
    backbone=Backbone(network=trunk_of),
    card=Card(
        title="Feature Pyramid Networks for Object Detection",
        authors="Lin, Dollár, Girshick, He, Hariharan, Belongie",
        year=2017,
        link="arXiv:1612.03144",
        input_shape=(800, 800, 3),
        classes=90,
        params=41_808_406,
        macs=134_379_721_216,
        smallest_input=(17, 17),
        preprocessing=TORCH,
        results=(
            Result(
                dataset="COCO val2017",
                protocol="shorter side of 800",
                metric="box mAP %",
                value=37.0,
                source="torchvision COCO_V1",
            ),
        ),
        deviations=(
            "Not the paper's network but torchvision's: the head's dense layers read points "
            "between cells, and the pyramid's largest map is every second pixel of P5.",
            "Batch normalization is trained; torchvision keeps it as ImageNet left it.",
        ),
        peers={"torchvision": "detection.fasterrcnn_resnet50_fpn"},
    ),
    recipe=faster_rcnn.RECIPE,
    paper_recipe="faster_rcnn_resnet50_fpn",
    weights=(
        Source(
            publisher="torchvision",
            file="https://download.pytorch.org/models/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
            digest="sha256:258fb6c6",
            preprocessing=TORCH,
            requires={"backbone": TORCHVISIONS, "backbone_arguments": "", "finest": 4},
            names=TORCH_NAMES,
            data="coco",
        ),
    ),
)
