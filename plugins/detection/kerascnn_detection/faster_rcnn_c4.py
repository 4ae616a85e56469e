"""Faster R-CNN on a residual network, whose last stage is the head (He et al., 2016).

A ResNet has no fc6 and fc7. In appendix A of "Deep Residual Learning for Image Recognition" the
region proposal network looks at conv4, the last map of stride 16. Each proposal is pooled there,
and all of conv5 runs on what was pooled, in the place of VGG-16's dense layers: classes and boxes
are told from its average. Others call this form "C4".

With `backbone` it is on any other classifier: its layers up to the last map of `stride` look at the
image, those behind it at each proposal. They all have the backbone's names, so that its weights fit
(`weights="backbone:imagenet"`, `"backbone:RUN"`).

Deviations: see the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerascnn import (
    Architecture,
    Backbone,
    Card,
    Space,
    blocks,
)
from kerascnn.applications import ResNet50
from kerascnn_detection import faster_rcnn
from kerascnn_detection.faster_rcnn import levels, papers_proposals, pooling, trunk, trunk_of
from kerascnn_detection.lessons import JOINT
from kerascnn_detection.rcnn import answered
from kerascnn_detection.warping import MergeWindows, SplitWindows


def build(x: Any, *, backbone: str, backbone_arguments: str) -> Any:
    """The classifier's last map; the head takes apart what leads to it."""
    return trunk(backbone, backbone_arguments).features(x)


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    backbone: str,
    backbone_arguments: str,
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
    samples: int,
    overlap: float,
    least_score: float,
    most: int,
) -> Any:
    """What is found, rows `[batch, most, 6]`."""
    last = levels(backbone, backbone_arguments)[stride]
    maps = blocks.cut(x, last)
    rows = papers_proposals(
        maps,
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
    pooled = blocks.apply(maps, pooling(roi, roi_size, stride), rows)
    each = blocks.behind(x, last, blocks.apply(pooled, MergeWindows(name="merge")))
    each = blocks.apply(blocks.global_avg_pool(each), SplitWindows(name="split"), pooled)
    return answered(
        each,
        each,
        rows,
        image,
        classes=classes,
        lesson=replace(JOINT, count=samples),
        overlap=overlap,
        least_score=least_score,
        most=most,
    )


def stage_is_left(values: Mapping[str, Any]) -> str | None:
    """There must be a map of the stride, and layers behind it."""
    if message := faster_rcnn.backbone_fits(values):
        return message
    *others, last = levels(values["backbone"], values["backbone_arguments"])
    if values["stride"] in others:
        return None
    return (
        f"stride must be less than that of {values['backbone']}'s last map, {last}: what is behind "
        f"looks at the proposals. Received: {values['stride']}."
    )


DENSE = ("head_widths", "dropout")  # of layers that there are none of
SPACE = Space(
    tuple(
        {
            "backbone": replace(param, default="resnet50"),
            "roi_size": replace(param, default=14, search=(7, 14)),
        }.get(param.name, param)
        for param in faster_rcnn.SPACE
        if param.name not in DENSE
    ),
    rules=(stage_is_left,),
)

FasterRCNNResNet50C4 = Architecture(
    name="faster_rcnn_resnet50_c4",
    task="detection",
    scores=False,
    build=build,
    head=head,
    space=SPACE,
    backbone=Backbone(network=trunk_of),
    card=Card(
        title="Deep Residual Learning for Image Recognition",
        authors="He, Zhang, Ren, Sun",
        year=2016,
        link="arXiv:1512.03385",
        input_shape=(600, 1000, 3),
        classes=20,
        params=28_469_983,
        macs=268_786_732_032,
        smallest_input=(17, 17),
        preprocessing=ResNet50.card.preprocessing,
        deviations=(
            "The paper reports ResNet-101 alone; here it is --set backbone=resnet101.",
            "How many parts a proposal is pooled into isn't stated: 14×14, which conv5 halves to "
            "VGG-16's 7×7.",
            "Batch normalization is trained; the authors keep it as ImageNet left it.",
            "Joint training in one stage, as in the authors' Python code of Faster R-CNN.",
            "A box's sides grow by a factor of 62.5 at most when codes are read.",
        ),
    ),
    recipe=faster_rcnn.RECIPE,
    paper_recipe="faster_rcnn",
)
