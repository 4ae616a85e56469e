"""Fast and Faster R-CNN (Girshick, 2015; Ren, He, Girshick, Sun, 2015), in pieces.

Fast R-CNN runs the convolutions once over the image, and for each proposed box only two dense
layers on a pooled 7×7 of their map. Faster R-CNN has the same map propose the boxes: a 3×3
convolution slides over it and says of nine anchors at each place how likely they show an object,
and how they should be moved.

`propose` and `classify` are these two on the map of any network; `detector` joins them to a model
that answers with boxes. Layers have the names of the authors' prototxt files.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import initializers, layers

from kerascnn import blocks
from kerascnn_detection.anchors import Anchors
from kerascnn_detection.proposals import TESTED, TRAINED, Thinning
from kerascnn_detection.regions import Regions, RoIPool
from kerascnn_detection.stages import Detections, Proposals

_SMALL = initializers.RandomNormal(stddev=0.01)
_SMALLER = initializers.RandomNormal(stddev=0.001)


def propose(
    maps: Any,
    image: Any,
    *,
    stride: int,
    anchors: Anchors,
    width: int = 512,
    kernel: int = 3,
    two_scores: bool = True,
    trained: Thinning = TRAINED,
    tested: Thinning = TESTED,
) -> tuple[Any, Any, Any]:
    """The region proposal network (Faster R-CNN, section 3.1).

    Args:
        maps: `[batch, height, width, channels]`.
        image: the network's input.
        stride: of the map, in pixels.
        anchors: at each place of the map.
        width, kernel: of the convolution that slides over the map.
        two_scores: whether an anchor has a score of background and one of objects, as the
            authors', or one logit, as torchvision's.
        trained, tested: how many proposals there are.

    Returns:
        Rows of proposals `[batch, after, 6]`; the logits `[batch, height, width, anchors]` and the
        codes `[batch, height, width, 4 * anchors]`, which losses are made of.
    """
    count = len(anchors)
    x = _conv(maps, width, kernel, name="rpn_conv")
    x = blocks.activation(x, "relu", name="rpn_relu")
    scores = _conv(x, count * (1 + two_scores), 1, name="rpn_cls_score", dtype=blocks.head_dtype())
    codes = _conv(x, 4 * count, 1, name="rpn_bbox_pred", dtype=blocks.head_dtype())
    if two_scores:
        scores = ObjectLogits(name="rpn_logits")(scores)
    layer = Proposals(
        anchors=anchors, stride=stride, trained=trained, tested=tested, name="proposals"
    )
    return layer([scores, codes, image]), scores, codes


def _conv(x: Any, filters: int, kernel: int, *, name: str, dtype: str | None = None) -> Any:
    """A padded convolution that starts from a Gaussian of 0.01: section 3.1.3."""
    conv = layers.Conv2D(
        filters,
        kernel,
        padding="same",
        data_format="channels_last",
        kernel_initializer=_SMALL,
        dtype=dtype,
        name=name,
    )
    return blocks.apply(x, conv)


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
    maps: Any,
    rows: Any,
    *,
    pool: Regions,
    classes: int,
    hidden: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
) -> tuple[Any, Any]:
    """The head of Fast R-CNN on each proposal (section 2).

    Args:
        maps: `[batch, height, width, channels]`.
        rows: proposals, `[batch, n, 4]` or `[batch, n, 6]`.
        pool: what makes a small map of each.
        classes: without the background.
        hidden: units of the dense layers, VGG-16's.
        dropout: behind each of them, in training.

    Returns:
        Scores `[batch, n, 1 + classes]` of which the first is the background's, and codes
        `[batch, n, 4 * (1 + classes)]`.
    """
    x = pool([maps, rows])
    channels = maps.shape[-1] * pool.parts
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
    backbone: keras.Model,
    endpoint: str,
    *,
    classes: int,
    stride: int = 16,
    anchors: Anchors | None = None,
    pool: Regions | None = None,
    answers: Detections | None = None,
    hidden: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    width: int = 512,
    two_scores: bool = True,
    trained: Thinning = TRAINED,
    tested: Thinning = TESTED,
) -> keras.Model:
    """Faster R-CNN on a backbone.

    Args:
        backbone: without its classifier.
        endpoint: the layer whose map is read: VGG-16's last activation.
        classes: without the background.
        stride: of the map, in pixels.
        anchors: default: the authors' nine.
        pool: default: `RoIPool` of 7×7.
        answers: default: the authors' suppression above an IoU of 0.3.
        hidden, dropout: see `classify`.
        width, two_scores, trained, tested: see `propose`.

    Returns:
        From images to float32 `[batch, most, 6]`. What losses are made of are the outputs of its
        layers `rpn_logits` (or `rpn_cls_score`), `rpn_bbox_pred`, `proposals`, `cls_score` and
        `bbox_pred`.
    """
    image, maps = backbone.input, backbone.get_layer(endpoint).output
    rows, _, _ = propose(
        maps,
        image,
        stride=stride,
        anchors=anchors or Anchors.papers(),
        width=width,
        two_scores=two_scores,
        trained=trained,
        tested=tested,
    )
    pool = pool or RoIPool((7, 7), stride=stride, name="roi_pool5")
    scores, codes = classify(maps, rows, pool=pool, classes=classes, hidden=hidden, dropout=dropout)
    answers = answers or Detections(name="detections")
    return keras.Model(image, answers([scores, codes, rows, image]), name="faster_rcnn")
