"""FCN on a dilated ResNet, in torchvision's form.

"Fully Convolutional Networks for Semantic Segmentation" (Long, Shelhamer, Darrell, 2014) made
classifiers answer at every place. Its own networks stand on VGG-16 and are in `fcn`. What
torchvision calls `fcn_resnet50` keeps the idea and changes the rest: the trunk is a ResNet whose
last two stages are dilated, so that its map has a stride of 8 and no skips are needed; the head is
one 3×3 convolution and the scores; and these are enlarged bilinearly to the size of the image.

`auxiliary=True` adds a second, narrower head on the stage before the last one. It is for training
alone, where its loss counts 0.5: `kerascnn train fcn_resnet50 --set auxiliary=true`.

The layers of the trunk are called as those of our ResNets, so `weights="backbone:imagenet"` starts
from a classifier's. `weights="coco"` is torchvision's trained network: on those images of COCO that
show one of the 20 classes of PASCAL VOC, with VOC's 21 labels.

Deviations from torchvision: none in the network. In its reference training the rate falls with the
power 0.9 of what remains (here: cosine), the auxiliary head learns at ten times the rate, and
images are also made smaller than the crop.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

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
    Source,
    Space,
    TorchNames,
    blocks,
)
from kerascnn.applications import ResNet50, ResNet101

build = ResNet50.build


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    depths: tuple[int, ...],
    head_width: int,
    auxiliary: bool,
    auxiliary_width: int,
    activation: str,
    bn_epsilon: float,
    bn_momentum: float,
    dropout: float,
) -> Any:
    """The scores of each pixel; with `auxiliary` a list of them and those of the second head."""

    def scores(x: Any, width: int, name: str, logits: str) -> Any:
        x = blocks.conv(x, width, 3, use_bias=False, initializer="he_normal", name=f"{name}_conv")
        x = blocks.batch_norm(x, epsilon=bn_epsilon, momentum=bn_momentum, name=f"{name}_bn")
        x = blocks.activation(x, activation, name=f"{name}_{activation}")
        x = blocks.dropout(x, dropout, name=f"{name}_dropout")
        precise = blocks.head_dtype()  # as half precision is too coarse for scores
        x = blocks.conv(x, classes, 1, dtype=precise, name=logits)
        return blocks.resize(x, image, dtype=precise, name=f"{logits}_resized")

    found = scores(x, head_width, "head", "logits")
    if not auxiliary:
        return found
    before = blocks.tensor_at(x, f"conv{len(depths)}_block{depths[-2]}_out")
    return [found, scores(before, auxiliary_width, "aux1", "aux1_logits")]


def a_stage_before_the_last(values: Mapping[str, Any]) -> str | None:
    """The auxiliary head needs it."""
    if not values["auxiliary"] or len(values["depths"]) > 1:
        return None
    return (
        "auxiliary=True puts a head on the stage before the last one, so there must be two. "
        f"Received: depths={values['depths']}."
    )


WIDTHS = Range(32, 1024, step=32)
TRUNK = tuple(param for param in ResNet50.space if param.name != "dropout")  # of its own head
SPACE = Space(
    (
        *TRUNK,
        Param("head_width", 512, WIDTHS, legal=Range(1, 8192), help="Filters of the head's 3×3."),
        Param("auxiliary", False, help="A second head, for training, before the last stage."),
        Param(
            "auxiliary_width",
            256,
            WIDTHS,
            legal=Range(1, 8192),
            when=("auxiliary", (True,)),
            help="Filters of the auxiliary head's 3×3.",
        ),
        Param(
            "dropout",
            0.1,
            Range(0.0, 0.5),
            legal=Range(0.0, 0.95),
            off=0.0,
            help="Dropout before the scores, in both heads.",
        ),
    ),
    rules=(*ResNet50.space.rules, a_stage_before_the_last),
)
# references/segmentation/train.py, as torchvision trained its weights: 8 processes of 4 images.
RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.02,
    momentum=0.9,
    schedule="cosine",
    batch_size=32,
    epochs=30,
    weight_decay=1e-4,
    decay="l2",
    decay_on="all",
    auxiliary_weight=0.5,
    augmentation=Augmentation(resize=(1.0, 2.0), flip=True),
    source="Rate, momentum, batch, decay of all weights, epochs, flips, the auxiliary loss: "
    "torchvision's references/segmentation. Cosine in place of the polynomial schedule (power "
    "0.9), one rate for all layers (there the auxiliary head learns ten times as fast), and no "
    "images smaller than the crop: ours.",
)
TORCH = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CARD = Card(
    title="Fully Convolutional Networks for Semantic Segmentation",
    authors="Long, Shelhamer, Darrell",
    year=2014,
    link="arXiv:1411.4038",
    input_shape=(520, 520, 3),
    classes=21,
    preprocessing=TORCH,
    deviations=(
        "Not the paper's network but torchvision's: a dilated ResNet without skips, a head of one "
        "3×3 convolution, scores enlarged bilinearly at once.",
    ),
)
FAMILY = Architecture(
    name="fcn_resnet",
    build=build,
    head=head,
    space=SPACE,
    config={"block": "bottleneck", "stride_in": "3x3", "output_stride": 8},
    card=CARD,
    recipe=RECIPE,
    task="segmentation",
)

# torchvision's ResNet is in `backbone`, without its classifier.
_RESNET = ResNet50.weights[0].names
assert isinstance(_RESNET, TorchNames)
TORCH_NAMES = TorchNames(
    family="fcn_resnet",
    first=("backbone.conv1",),
    layers={
        **{f"backbone.{theirs}": ours for theirs, ours in _RESNET.layers.items() if theirs != "fc"},
        "classifier.0": "head_conv",
        "classifier.1": "head_bn",
        "classifier.4": "logits",
        "aux_classifier.0": "aux1_conv",
        "aux_classifier.1": "aux1_bn",
        "aux_classifier.4": "aux1_logits",
    },
    unstrided=_RESNET.unstrided,
)


def published(file: str, digest: str) -> Source:
    """torchvision's checkpoint COCO_WITH_VOC_LABELS_V1; `digest` begins its SHA-256."""
    return Source(
        publisher="torchvision",
        file=f"https://download.pytorch.org/models/{file}-{digest}.pth",
        digest=f"sha256:{digest}",
        preprocessing=TORCH,
        requires={"stride_in": "3x3", "output_stride": 8},
        names=TORCH_NAMES,
        data="coco",
    )


def classifier(trunk: Architecture, arguments: Mapping[str, Any]) -> Network:
    """The ResNet that a network of these arguments is built upon."""
    own = {param.name: arguments[param.name] for param in TRUNK}
    return trunk.network(own, include_top=False)


def variant(
    name: str,
    trunk: Architecture,
    *,
    params: int,
    macs: int,
    iou: float,
    accuracy: float,
    weights: Source,
) -> Architecture:
    """On the ResNet of these depths; figures without the auxiliary head, at 520×520."""
    reached = Result(
        dataset="COCO val2017, VOC's labels",
        protocol="shorter side of 520",
        metric="mean IoU/pixel accuracy %",
        value=(iou, accuracy),
        source="torchvision COCO_WITH_VOC_LABELS_V1",
    )
    card = replace(
        CARD,
        params=params,
        macs=macs,
        results=(reached,),
        smallest_input=(5, 5),
        peers={"torchvision": f"segmentation.{name}"},
    )
    depths = trunk.space.defaults()["depths"]
    family = replace(FAMILY, backbone=Backbone(network=functools.partial(classifier, trunk)))
    return family.variant(name, card=card, weights=(weights,), depths=depths)


FCNResNet50 = variant(
    "fcn_resnet50",
    ResNet50,
    params=32_957_013,
    macs=142_725_772_800,
    iou=60.5,
    accuracy=91.4,
    weights=published("fcn_resnet50_coco", "1167a1af"),
)
FCNResNet101 = variant(
    "fcn_resnet101",
    ResNet101,
    params=51_949_141,
    macs=222_746_867_200,
    iou=63.7,
    accuracy=91.9,
    weights=published("fcn_resnet101_coco", "7ecb50ca"),
)
