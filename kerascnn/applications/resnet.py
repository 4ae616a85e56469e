"""ResNet: deep residual learning (He, Zhang, Ren, Sun, 2015), and the plain nets it is shown by.

Plain networks get worse, also on their training images, when they get deeper. A residual block
learns the difference to its input, `activation(x + F(x))`, so that a block that isn't needed can
become the identity: networks of 18 to 152 layers for ImageNet and up to 1202 for CIFAR.

`stride_in` says where a bottleneck halves the map: "1x1" is the paper, the authors' Caffe models
and keras.applications, "3x3" is Facebook's and torchvision's ("v1.5"). `shortcut` is the paper's
option A (identity, strided, padded with zero maps), B (projections where the shape changes) or
C (projections only); "none" gives the plain nets.

Deviations: pool1 is padded by a pixel on every side as in torchvision and keras.applications; the
authors' Caffe models round the size up instead (`stem_pool="caffe"`), the same size at 224×224.
Running averages take the place of statistics computed after training. For keras.applications'
arithmetic: `use_bias=True, bn_epsilon=1.001e-5, bn_momentum=0.99`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerascnn import blocks
from kerascnn.applications.common import (
    ACTIVATION,
    BN_EPSILON,
    BN_MOMENTUM,
    CIFAR,
    DROPOUT,
    IMAGENET,
    ORDER,
    STEM,
    USE_BIAS,
    ConvUnit,
    equal_lengths,
    imagenet_result,
    kernel_param,
    pool_stem,
    pooled_head,
    torchvision,
    width_param,
)
from kerascnn.architecture import Architecture, Card, Preprocessing, Result
from kerascnn.layers import PaddedIdentity
from kerascnn.space import Param, Range, Space
from kerascnn.training.recipes import Augmentation, Recipe


def build(
    x: Any,
    *,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    kernels: tuple[int, ...],
    block: str,
    bottleneck_ratio: int,
    stride_in: str,
    shortcut: str,
    stem_width: int,
    stem_kernel: int,
    stem_stride: int,
    stem_pool: str,
    order: str,
    activation: str,
    use_bias: bool,
    bn_epsilon: float,
    bn_momentum: float,
) -> Any:
    """Table 1: a stem and stages of residual blocks; each stage but the first halves the map."""
    unit = ConvUnit(
        use_bias=use_bias,
        epsilon=bn_epsilon,
        momentum=bn_momentum,
        activation=activation,
        order=order,
    )

    def basic(x: Any, width: int, kernel: int, strides: int, name: str) -> Any:
        """Figure 5, left."""
        x = unit(x, width, kernel, strides=strides, name=f"{name}_1")
        return unit(x, width, kernel, name=f"{name}_2", activate=False)

    def bottleneck(x: Any, width: int, kernel: int, strides: int, name: str) -> Any:
        """Figure 5, right: the 1×1 convolutions reduce and restore the number of maps."""
        first, second = (strides, 1) if stride_in == "1x1" else (1, strides)
        x = unit(x, width, 1, strides=first, name=f"{name}_1")
        x = unit(x, width, kernel, strides=second, name=f"{name}_2")
        return unit(x, width * bottleneck_ratio, 1, name=f"{name}_3", activate=False)

    def shortcut_to(branch: Any, x: Any, strides: int, name: str) -> Any:
        """Section 3.3 and 4.1: the input in the shape of the branch's output."""
        filters = branch.shape[-1]
        changes = strides > 1 or filters != x.shape[-1]
        if shortcut == "C" or (shortcut == "B" and changes):
            return unit(x, filters, 1, strides=strides, name=f"{name}_0", activate=False)
        if changes:
            return blocks.apply(x, PaddedIdentity(filters, strides, name=f"{name}_0_identity"))
        return x

    residual = bottleneck if block == "bottleneck" else basic
    x = unit(x, stem_width, stem_kernel, strides=stem_stride, name="conv1")
    x = pool_stem(x, stem_pool)
    for stage, (depth, width, kernel) in enumerate(zip(depths, widths, kernels), start=2):
        for number in range(1, depth + 1):
            name = f"conv{stage}_block{number}"
            strides = 2 if stage > 2 and number == 1 else 1
            branch = residual(x, width, kernel, strides, name)
            if shortcut != "none":
                branch = blocks.add(
                    shortcut_to(branch, x, strides, name), branch, name=f"{name}_add"
                )
            x = blocks.activation(branch, activation, name=f"{name}_out")
    return x


def maps_never_shrink(values: Mapping[str, Any]) -> str | None:
    """Shortcut A can only add zero maps."""
    if values["shortcut"] != "A":
        return None
    ratio = values["bottleneck_ratio"] if values["block"] == "bottleneck" else 1
    maps = [values["stem_width"], *(width * ratio for width in values["widths"])]
    if maps == sorted(maps):
        return None
    return (
        'shortcut="A" pads with zero maps, so no stage may have fewer maps than the one before it. '
        f'Received: {maps} maps after the stem and each stage. Use shortcut="B" or other widths.'
    )


STAGES = (
    Param(
        name="depths",
        default=(2, 2, 2, 2),
        search=Range(1, 8),
        legal=Range(1, 1000),
        help="Residual blocks of each stage.",
    ),
    width_param("widths", (64, 128, 256, 512), "Filters of each stage's k×k convolutions."),
    kernel_param("kernels", (3, 3, 3, 3), "Side k of each stage's k×k convolutions."),
    Param(
        name="block",
        default="basic",
        legal=("basic", "bottleneck"),
        help="Two k×k convolutions, or one between a reducing and a restoring 1×1.",
    ),
    Param(
        name="bottleneck_ratio",
        default=4,
        search=(1, 2, 4, 6),
        legal=Range(1, 64),
        when=("block", ("bottleneck",)),
        help="Maps after a bottleneck block, as a multiple of its width.",
    ),
    Param(
        name="stride_in",
        default="1x1",
        search=("1x1", "3x3"),
        when=("block", ("bottleneck",)),
        help="Which convolution of a bottleneck halves the map.",
    ),
)
SPACE = Space(
    (
        *STAGES,
        Param(
            name="shortcut",
            default="B",
            search=("A", "B", "C"),
            legal=("A", "B", "C", "none"),
            help="A: padded identity; B: projections where the shape changes; C: projections only.",
        ),
        *STEM,
        ORDER,
        ACTIVATION,
        USE_BIAS,
        BN_EPSILON,
        BN_MOMENTUM,
        DROPOUT,
    ),
    rules=(equal_lengths("depths", "widths", "kernels"), maps_never_shrink),
)
IMAGENET_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    batch_size=256,
    epochs=90,
    warmup_epochs=1,
    weight_decay=1e-4,
    augmentation=Augmentation(zoom=0.2, flip=True),
    source="SGD, rate, batch and decay: section 3.4. Cosine schedule, warm-up, 90 epochs and a "
    "random zoom instead of crops of random scale and colour: ours.",
)
CIFAR_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    batch_size=128,
    epochs=164,
    warmup_epochs=1,
    weight_decay=1e-4,
    augmentation=Augmentation(shift=0.125, flip=True),
    source="SGD, rate, batch, decay, shifts by up to 4 pixels and flips: section 4.2; 164 epochs: "
    "fb.resnet.torch. The cosine schedule instead of two drops, and the warm-up: ours.",
)
CAFFE = Preprocessing(scale=1.0, mean=(103.939, 116.779, 123.68), order="BGR")
CARD = Card(
    title="Deep Residual Learning for Image Recognition",
    authors="He, Zhang, Ren, Sun",
    year=2015,
    link="arXiv:1512.03385",
    input_shape=(224, 224, 3),
    classes=1000,
    params=None,
    macs=None,
    smallest_input=(17, 17),
    preprocessing=IMAGENET,
    deviations=(
        "pool1 is padded as in torchvision and keras.applications; the authors' Caffe models round "
        'its size up: stem_pool="caffe".',
        "The paper subtracts the mean image; `preprocessing` is that of public weights for these "
        "arguments.",
    ),
)


def imagenet(
    name: str,
    depths: tuple[int, ...],
    *results: Result,
    params: int,
    macs: int,
    block: str = "basic",
    shortcut: str = "B",
) -> Architecture:
    """A row of table 1."""
    return Architecture(
        name=name,
        build=build,
        head=pooled_head,
        space=SPACE,
        config={"depths": depths, "block": block, "shortcut": shortcut},
        card=replace(
            CARD,
            params=params,
            macs=macs,
            results=results,
            preprocessing=CAFFE if block == "bottleneck" else IMAGENET,
        ),
        recipe=IMAGENET_RECIPE,
    )


CIFAR_STEM = {
    "widths": (16, 32, 64),
    "kernels": (3, 3, 3),
    "stem_width": 16,
    "stem_kernel": 3,
    "stem_stride": 1,
    "stem_pool": "none",
}


def cifar(
    name: str,
    blocks_per_stage: int,
    error: float | None,
    *,
    params: int,
    macs: int,
    shortcut: str = "A",
) -> Architecture:
    """A row of table 6: 6n + 2 layers, 16, 32 and 64 maps, parameter-free shortcuts."""
    results: tuple[Result, ...] = ()
    if error is not None:
        results = (
            Result(
                dataset="CIFAR-10 test",
                protocol="shifts and flips in training",
                metric="error %",
                value=error,
                source="table 6",
            ),
        )
    return Architecture(
        name=name,
        build=build,
        head=pooled_head,
        space=SPACE,
        config={**CIFAR_STEM, "depths": (blocks_per_stage,) * 3, "shortcut": shortcut},
        card=replace(
            CARD,
            input_shape=(32, 32, 3),
            classes=10,
            params=params,
            macs=macs,
            smallest_input=(3, 3),
            preprocessing=CIFAR,
            results=results,
            deviations=CARD.deviations[1:],
        ),
        recipe=CIFAR_RECIPE,
    )


TABLE_2, TABLE_3 = "10 crops, table 2", "10 crops, table 3"
CENTRE = "224 crop of a shorter side of 256, the authors' Caffe models"
TOP1 = "top-1 error %"

ResNet18 = imagenet(
    "resnet18",
    (2, 2, 2, 2),
    torchvision(30.242, 10.922),
    imagenet_result(27.88, '10 crops, shortcut="A", table 2', CARD.link, TOP1),
    params=11_689_512,
    macs=1_814_073_344,
)
ResNet34 = imagenet(
    "resnet34",
    (3, 4, 6, 3),
    imagenet_result((24.52, 7.46), TABLE_3, CARD.link),
    imagenet_result((25.03, 7.76), '10 crops, shortcut="A", table 3', CARD.link),
    imagenet_result((24.19, 7.40), '10 crops, shortcut="C", table 3', CARD.link),
    torchvision(26.686, 8.58),
    params=21_797_672,
    macs=3_663_761_408,
)
ResNet50 = imagenet(
    "resnet50",
    (3, 4, 6, 3),
    imagenet_result((22.85, 6.71), TABLE_3, CARD.link),
    imagenet_result((24.7, 7.8), CENTRE, "KaimingHe/deep-residual-networks"),
    params=25_557_032,
    macs=3_857_973_248,
    block="bottleneck",
)
ResNet101 = imagenet(
    "resnet101",
    (3, 4, 23, 3),
    imagenet_result((21.75, 6.05), TABLE_3, CARD.link),
    imagenet_result((23.6, 7.1), CENTRE, "KaimingHe/deep-residual-networks"),
    params=44_549_160,
    macs=7_570_194_432,
    block="bottleneck",
)
ResNet152 = imagenet(
    "resnet152",
    (3, 8, 36, 3),
    imagenet_result((21.43, 5.71), TABLE_3, CARD.link),
    imagenet_result((23.0, 6.7), CENTRE, "KaimingHe/deep-residual-networks"),
    params=60_192_808,
    macs=11_282_415_616,
    block="bottleneck",
)
Plain18 = imagenet(
    "plain18",
    (2, 2, 2, 2),
    imagenet_result(27.94, TABLE_2, CARD.link, TOP1),
    params=11_515_688,
    macs=1_794_805_760,
    shortcut="none",
)
Plain34 = imagenet(
    "plain34",
    (3, 4, 6, 3),
    imagenet_result((28.54, 10.02), TABLE_3, CARD.link),
    params=21_623_848,
    macs=3_644_493_824,
    shortcut="none",
)
ResNet20CIFAR = cifar("resnet20_cifar", 3, 8.75, params=269_722, macs=40_551_040)
ResNet32CIFAR = cifar("resnet32_cifar", 5, 7.51, params=464_154, macs=68_862_592)
ResNet44CIFAR = cifar("resnet44_cifar", 7, 7.17, params=658_586, macs=97_174_144)
ResNet56CIFAR = cifar("resnet56_cifar", 9, 6.97, params=853_018, macs=125_485_696)
ResNet110CIFAR = cifar("resnet110_cifar", 18, 6.43, params=1_727_962, macs=252_887_680)
ResNet1202CIFAR = cifar("resnet1202_cifar", 200, 7.93, params=19_421_274, macs=2_829_238_912)
Plain20CIFAR = cifar("plain20_cifar", 3, None, params=269_722, macs=40_551_040, shortcut="none")
Plain56CIFAR = cifar("plain56_cifar", 9, None, params=853_018, macs=125_485_696, shortcut="none")

_TinyResNet = ResNet50.variant(
    "tiny_resnet",
    depths=(1, 1),
    widths=(4, 8),
    kernels=(3, 3),
    stem_width=4,
    stem_kernel=3,
    card=replace(CARD, input_shape=(32, 32, 3), classes=10, smallest_input=(5, 5)),
)
