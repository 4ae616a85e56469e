"""SPPNet for detection (He, Zhang, Ren, Sun, 2014): one pass over the image for all windows.

R-CNN runs the convolutions anew on each window, most of whose pixels others have, too. SPPNet runs
them once, and pools each window of their map over a pyramid of grids, 6×6, 3×3, 2×2 and 1×1: 50
parts, whatever the window's size (section 4). The dense layers on these are R-CNN's. The paper
measures 24 to 102 times its speed.

The network is ZF-5, which is `zfnet` here, or with `backbone` any other classifier, up to its last
map of a stride. The convolutions aren't trained on windows: no gradient goes through the pyramid.
So start from trained ones, `weights="backbone:imagenet"` or `"backbone:RUN"`, or train all of it
with `frozen=False`. With several `scales` they look at the image at each, and a window is pooled
from that at which it is nearest to 224×224.

Boxes are corrected from the pooled map. The authors' last step, one SVM for each class and ridge
regression of boxes, is `kerascnn svm` (`kerascnn_detection.svm`), as for R-CNN.

Deviations: see the card.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
from keras import layers, ops

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
from kerascnn_detection import faster_rcnn
from kerascnn_detection.fast_rcnn import LEAST_OVERLAP
from kerascnn_detection.faster_rcnn import backbone_fits, trunk_of
from kerascnn_detection.lessons import FAST
from kerascnn_detection.rcnn import answered
from kerascnn_detection.regions import SpatialPyramidPooling
from kerascnn_detection.selective_search import ARGUMENTS, search_in


def build(
    x: Any, *, backbone: str, backbone_arguments: str, stride: int, scales: tuple[float, ...]
) -> Any:
    """The classifier's last map of the stride, of the image at the first scale."""
    return faster_rcnn.build(
        scaled(x, scales[0], 1),
        backbone=backbone,
        backbone_arguments=backbone_arguments,
        stride=stride,
    )


def scaled(image: Any, scale: float, number: int) -> Any:
    """The image at a scale; at the first one, if that is 1, itself."""
    if scale == 1 and number == 1:
        return image
    return blocks.apply(image, Scaling(scale, name=f"scale{number}"))


@keras.saving.register_keras_serializable("kerascnn_detection")
class Scaling(keras.layers.Layer):
    """Images bilinearly interpolated to a share of their size, which is rounded to whole pixels.

    Input and output `[batch, height, width, channels]`.

    Args:
        scale: the share.
    """

    def __init__(self, scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, images: Any) -> Any:
        """Scale them."""
        _, height, width, _ = ops.shape(images)
        size = tuple(self._scaled(side) for side in (height, width))
        return ops.image.resize(images, size, data_format="channels_last")

    def _scaled(self, side: Any) -> Any:
        if isinstance(side, int):
            return round(side * self.scale)
        return ops.cast(ops.round(ops.cast(side, "float32") * self.scale), "int32")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Of the size that follows, where it is known."""
        batch, *sides, channels = input_shape
        return (batch, *(side and self._scaled(side) for side in sides), channels)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "scale": self.scale}


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    stride: int,
    scales: tuple[float, ...],
    search: str,
    least_side: float,
    windows: int,
    grids: tuple[int, ...],
    frozen: bool,
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
    pool = SpatialPyramidPooling(grids, stride=stride, scales=scales, frozen=frozen, name="spp")
    first = image if scales[0] == 1 else blocks.tensor_at(x, "scale1")
    others = [
        blocks.repeat([x], [first], [scaled(image, scale, number)])[0]
        for number, scale in enumerate(scales[1:], start=2)
    ]
    pooled = blocks.apply(x, pool, *others, rows)
    units = x.shape[-1] * pool.parts
    pooled = blocks.apply(pooled, layers.Reshape((-1, units), name="flatten"))
    return answered(
        blocks.dense_layers(pooled, head_widths, "relu", dropout, first=6),
        pooled,
        rows,
        image,
        classes=classes,
        lesson=replace(FAST, count=samples, least=least_overlap),
        overlap=overlap,
        least_score=least_score,
        most=most,
    )


SPACE = Space(
    (
        replace(faster_rcnn.SPACE["backbone"], default="zfnet"),
        *(faster_rcnn.SPACE[name] for name in ("backbone_arguments", "stride")),
        Param(
            "scales",
            (1.0,),
            legal=Range(0.1, 10.0),
            help="Sizes at which the convolutions look at the image, in shares of its own; the "
            "paper's are 480, 576, 688, 864 and 1200 of 688.",
        ),
        *ARGUMENTS,
        Param(
            "grids",
            (6, 3, 2, 1),
            Range(1, 8),
            legal=Range(1, 32),
            help="Parts down and across of each level of the pyramid.",
        ),
        Param(
            "frozen",
            True,
            help="The convolutions stay as they are; False trains them, too, which they need if "
            "they start from random weights.",
        ),
        *(faster_rcnn.SPACE[name] for name in ("head_widths", "dropout")),
        replace(faster_rcnn.SPACE["samples"], default=FAST.count),
        LEAST_OVERLAP,
        *(faster_rcnn.SPACE[name] for name in ("overlap", "least_score", "most")),
    ),
    rules=(backbone_fits,),
)

RECIPE = Recipe(
    learning_rate=1e-3,
    batch_size=8,
    epochs=30,
    warmup_epochs=1.0,
    weight_decay=1e-4,
    source="ours, for small networks such as `backbone=resnet20_cifar stride=4 frozen=false "
    "least_side=8`, tried on digit_scenes; as images aren't changed, windows are searched once",
)

SPPNet = Architecture(
    name="sppnet",
    task="detection",
    scores=False,
    build=build,
    head=head,
    space=SPACE,
    backbone=Backbone(network=trunk_of, renamed={"fc1": "fc6", "fc2": "fc7"}),
    card=Card(
        title="Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition",
        authors="He, Zhang, Ren, Sun",
        year=2014,
        link="arXiv:1406.4729",
        input_shape=(688, 917, 3),
        classes=20,
        params=74_101_993,
        macs=156_003_506_880,
        smallest_input=(63, 63),
        preprocessing=Preprocessing(scale=1.0, mean=(123.68, 116.779, 103.939)),
        results=(
            Result(
                dataset="PASCAL VOC 2007 test",
                protocol="five scales, trained on VOC 2007 trainval",
                metric="mAP %",
                value=59.2,
                source="table 9",
            ),
        ),
        deviations=(
            "Boxes are regressed while the dense layers are fine-tuned, too, so that a network "
            "without its last step corrects them.",
            "The offsets between cells and pixels that the authors used are in a file that isn't "
            "public: they are 0 here.",
            "Windows are ranked anew where there are more than `windows`.",
        ),
    ),
    recipe=RECIPE,
    paper_recipe="sppnet",
)
