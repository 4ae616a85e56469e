"""Fast and Faster R-CNN (Girshick, 2015; Ren, He, Girshick, Sun, 2015), in pieces.

Fast R-CNN runs the convolutions once over the image, and for each proposed box only two dense
layers on a pooled 7×7 of their map. Faster R-CNN has the same map propose the boxes: a 3×3
convolution slides over it and says of nine anchors at each place how likely they show an object,
and how they should be moved.

`propose` and `classify` are these two on the maps of any network; `detector` joins them to a model
that answers with boxes. Layers have the names of the authors' prototxt files. On a pyramid of maps
(`pyramid.py`) it is torchvision's `fasterrcnn_resnet50_fpn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import initializers, layers

from kerascnn import blocks
from kerascnn_detection.anchors import Anchors
from kerascnn_detection.proposals import TESTED, TRAINED, Thinning
from kerascnn_detection.pyramid import PyramidAlign
from kerascnn_detection.regions import Regions
from kerascnn_detection.stages import Detections, Proposals

_SMALL = initializers.RandomNormal(stddev=0.01)
_SMALLER = initializers.RandomNormal(stddev=0.001)


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
) -> Any:
    """The region proposal network (Faster R-CNN, section 3.1).

    What losses are made of are the outputs of its layers `rpn_logits` (`rpn_cls_score` with one
    score) and `rpn_bbox_pred`, `[batch, height, width, anchors]` and four times as many codes; of
    several maps each call of them is one.

    Args:
        maps: `[batch, height, width, channels]`; the same weights look at all of them.
        image: the network's input.
        anchors: at each place, of each map as many.
        strides: of each map, in pixels; None: see `kerascnn_detection.stages.Proposals`.
        width, kernel: of the convolution that slides over the map.
        two_scores: whether an anchor has a score of background and one of objects, as the
            authors', or one logit, as torchvision's.
        trained, tested: how many proposals there are.

    Returns:
        Rows of proposals `[batch, after, 6]`.
    """
    count = len(anchors[0])
    slide = _conv(width, kernel, activation="relu", name="rpn_conv")
    score = _conv(count * (1 + two_scores), 1, dtype=blocks.head_dtype(), name="rpn_cls_score")
    move = _conv(4 * count, 1, dtype=blocks.head_dtype(), name="rpn_bbox_pred")
    seen = [slide(x) for x in maps]
    scores, codes = [score(x) for x in seen], [move(x) for x in seen]
    if two_scores:
        subtract = ObjectLogits(name="rpn_logits")
        scores = [subtract(x) for x in scores]
    choose = Proposals(
        anchors=anchors, strides=strides, trained=trained, tested=tested, name="proposals"
    )
    return choose([*scores, *codes, image])


def _conv(filters: int, kernel: int, **options: Any) -> layers.Conv2D:
    """A padded convolution that starts from a Gaussian of 0.01: section 3.1.3."""
    kind = {"padding": "same", "data_format": "channels_last", "kernel_initializer": _SMALL}
    return layers.Conv2D(filters, kernel, **kind, **options)


@keras.saving.register_keras_serializable("kerascnn_detection")
class ObjectLogits(keras.layers.Layer):
    """Of two scores for each anchor one logit: a softmax of two is the sigmoid of their difference.

    Input `[batch, height, width, 2 * anchors]`, first all scores of background, then all of
    objects, as the authors' reshaping has them; output `[batch, height, width, anchors]`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": blocks.head_dtype()})

    def call(self, inputs: Any) -> Any:
        """The difference."""
        count = inputs.shape[-1] // 2
        return inputs[..., count:] - inputs[..., :count]

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
    x = pool([*maps, rows])
    channels = maps[0].shape[-1] * pool.parts
    x = layers.Reshape((-1, channels), name="flatten")(x)
    x = blocks.dense_layers(x, hidden, "relu", dropout, first=6)

    def last(units: int, start: Any, name: str) -> Any:
        return layers.Dense(units, kernel_initializer=start, dtype=blocks.head_dtype(), name=name)(
            x
        )

    # Section 2.3: Gaussians of 0.01 and 0.001.
    scores = last(1 + classes, _SMALL, "cls_score")
    return scores, last(4 * (1 + classes), _SMALLER, "bbox_pred")


def detector(
    image: Any,
    maps: Sequence[Any],
    *,
    classes: int,
    pool: Regions | PyramidAlign,
    pooled: int = 1,
    anchors: Sequence[Anchors] = (Anchors.papers(),),
    strides: Sequence[int] | None = (16,),
    answers: Detections | None = None,
    hidden: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    width: int = 512,
    two_scores: bool = True,
    trained: Thinning = TRAINED,
    tested: Thinning = TESTED,
) -> keras.Model:
    """Faster R-CNN on the maps of any network, from images to boxes.

    Args:
        image: the network's input.
        maps: that the anchors lie on: VGG-16's last, or those of a pyramid.
        classes: without the background.
        pool: the authors' is `RoIPool((7, 7), stride=16)`.
        pooled: of so many of the maps, the first ones.
        anchors, strides: of each map.
        answers: default: the authors' suppression above an IoU of 0.3.
        hidden, dropout: see `classify`.
        width, two_scores, trained, tested: see `propose`.

    Returns:
        To float32 `[batch, most, 6]`; see `propose` and `classify` for what losses are made of.
    """
    rows = propose(
        maps,
        image,
        anchors=anchors,
        strides=strides,
        width=width,
        two_scores=two_scores,
        trained=trained,
        tested=tested,
    )
    scores, codes = classify(
        maps[:pooled], rows, pool=pool, classes=classes, hidden=hidden, dropout=dropout
    )
    answers = answers or Detections(name="detections")
    return keras.Model(image, answers([scores, codes, rows, image]), name="faster_rcnn")
