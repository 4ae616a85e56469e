"""ResNet with pre-activation: identity mappings (He, Zhang, Ren, Sun, 2016).

Normalization and non-linearity move in front of each convolution, and nothing follows the
addition: the signal, forwards and backwards, passes through the shortcuts unchanged from any unit
to any other. This made 1001 layers trainable, and better than fewer.

The paper keeps the stride in the first 1×1 convolution of version 1; `stride_in` is "3x3" for
ImageNet here, as in the authors' ResNet-200 (fb.resnet.torch), and "1x1" for CIFAR, as in theirs.

keras.applications' ResNet50V2, 101V2 and 152V2 differ in four ways that arguments give:
`first_activation="unit", stem_pool="keras", stride_at="last", use_bias=True`, and its
normalization with `bn_epsilon=1.001e-5, bn_momentum=0.99`.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from kerascnn import blocks
from kerascnn.applications import arguments, common, resnet
from kerascnn.applications.common import result
from kerascnn.applications.published import CIFAR, SYMMETRIC, TORCH, from_keras, preprocess_for
from kerascnn.applications.published import decode_predictions as decode_predictions
from kerascnn.architecture import Architecture
from kerascnn.card import Card, PaperTable, Result, Source
from kerascnn.space import Param, Space

preprocess_input = preprocess_for(SYMMETRIC)


def build(
    x: Any,
    *,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    kernels: tuple[int, ...],
    block: str,
    bottleneck_ratio: int,
    stride_in: str,
    stride_at: str,
    shortcut: str,
    first_activation: str,
    stem_width: int,
    stem_kernel: int,
    stem_stride: int,
    stem_pool: str,
    activation: str,
    use_bias: bool,
    bn_epsilon: float,
    bn_momentum: float,
) -> Any:
    """A stem, stages of pre-activation units, and a last normalization and non-linearity."""
    unit = common.ConvUnit(
        activation=activation,
        epsilon=bn_epsilon,
        momentum=bn_momentum,
        initializer="he_normal",
        suffix="_conv",
    )
    conv = functools.partial(unit.conv, use_bias=use_bias)  # without a normalization behind it

    def basic(x: Any, width: int, kernel: int, strides: int, name: str) -> Any:
        """Two k×k convolutions; normalization and non-linearity precede the first already."""
        x = unit(x, width, kernel, strides=strides, name=f"{name}_1")
        return conv(x, width, kernel, name=f"{name}_2_conv")

    def bottleneck(x: Any, width: int, kernel: int, strides: int, name: str) -> Any:
        """One k×k convolution between a reducing and a restoring 1×1."""
        first, second = (strides, 1) if stride_in == "1x1" else (1, strides)
        x = unit(x, width, 1, strides=first, name=f"{name}_1")
        x = unit(x, width, kernel, strides=second, name=f"{name}_2")
        return conv(x, width * bottleneck_ratio, 1, name=f"{name}_3_conv")

    def shortcut_to(branch: Any, x: Any, pre: Any, strides: int, name: str) -> Any:
        """The input in the shape of the branch's output; projections see it pre-activated."""
        filters = branch.shape[-1]
        if filters == x.shape[-1] and shortcut != "C":
            if strides == 1:
                return x
            if shortcut == "B":
                return blocks.max_pool(x, 1, strides=strides, name=f"{name}_0_pool")
        if shortcut == "A":
            return blocks.padded_identity(pre, filters, strides, name=f"{name}_0_identity")
        return conv(pre, filters, 1, strides=strides, name=f"{name}_0_conv")

    residual = bottleneck if block == "bottleneck" else basic
    x = conv(x, stem_width, stem_kernel, strides=stem_stride, name="conv1_conv")
    activated = first_activation == "stem"
    if activated:
        x = unit.norm_act(x, name="conv1")
    x = common.pool_stem(x, stem_pool, 3, strides=2)
    for stage, (depth, width, kernel) in enumerate(zip(depths, widths, kernels), start=2):
        halves = stage > 2 if stride_at == "first" else stage < len(depths) + 1
        where = 1 if stride_at == "first" else depth
        for number in range(1, depth + 1):
            name = f"conv{stage}_block{number}"
            strides = 2 if halves and number == where else 1
            pre = x if activated else unit.norm_act(x, name=f"{name}_preact")
            activated = False
            branch = residual(pre, width, kernel, strides, name)
            x = blocks.add(shortcut_to(branch, x, pre, strides, name), branch, name=f"{name}_out")
    return unit.norm_act(x, name="post")


SPACE = Space(
    (
        *resnet.stages((2, 2, 2, 2), (64, 128, 256, 512), 3, ratio=4),
        Param(
            "stride_at",
            "first",
            legal=("first", "last"),
            help="The unit of a stage that halves the map: its first, or as in keras.applications "
            "the last of the stage before.",
        ),
        replace(resnet.SHORTCUT, legal=("A", "B", "C"), off=None, idea=""),
        Param(
            "first_activation",
            "stem",
            legal=("stem", "unit"),
            help="Before pooling and shared by the first unit's two paths, or inside of that unit.",
        ),
        *arguments.stem(64, 7, strides=2),
        *arguments.unit(
            "relu",
            use_bias=False,
            bias="Biases in the convolutions that no normalization follows.",
            epsilon=1e-5,
            momentum=0.9,
        ),
        arguments.dropout(0.0, "Dropout before the classifier."),
    ),
    rules=resnet.RULES,
)
CARD = Card(
    title="Identity Mappings in Deep Residual Networks",
    authors="He, Zhang, Ren, Sun",
    year=2016,
    link="arXiv:1603.05027",
    input_shape=(224, 224, 3),
    classes=1000,
    smallest_input=(17, 17),
    preprocessing=TORCH,
    deviations=(
        "The stride is in the 3×3 convolution as in fb.resnet.torch; in the paper as in version 1: "
        'stride_in="1x1".',
        "Weights of keras.applications expect pixels in [-1, 1].",
    ),
)
CIFAR_CARD = replace(
    CARD,
    input_shape=(32, 32, 3),
    classes=10,
    smallest_input=(3, 3),
    preprocessing=CIFAR,
    deviations=(),
)

# keras.applications' version 2 is another network than the paper's.
KERAS: dict[str, Any] = {
    "first_activation": "unit",
    "stem_pool": "keras",
    "stride_at": "last",
    "use_bias": True,
}
WEIGHTS: dict[str, Source] = {
    name: from_keras(f"resnet/{name}", top, no_top, SYMMETRIC, requires=KERAS)
    for name, top, no_top in (
        ("resnet50v2", "3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"),
        ("resnet101v2", "6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"),
        ("resnet152v2", "a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"),
    )
}


def imagenet(
    name: str, depths: tuple[int, ...], *results: Result, params: int, macs: int
) -> Architecture:
    """The bottleneck networks of version 1, and one of 200 layers."""
    return Architecture(
        name=name,
        build=build,
        head=common.pooled_head,
        space=SPACE,
        config={"depths": depths, "block": "bottleneck", "stride_in": "3x3"},
        card=replace(CARD, params=params, macs=macs, results=results),
        recipe=resnet.IMAGENET_RECIPE,
        paper_recipe="resnet_v2",
        weights=(WEIGHTS[name],) if name in WEIGHTS else (),
    )


def cifar(
    name: str, n: int, *results: Result, table: PaperTable, params: int, macs: int
) -> Architecture:
    """9n + 2 layers: n bottleneck units in each stage."""
    return Architecture(
        name=name,
        build=build,
        head=common.pooled_head,
        space=SPACE,
        config={
            "depths": (n, n, n),
            "widths": (16, 32, 64),
            "kernels": (3, 3, 3),
            "block": "bottleneck",
            "stem_width": 16,
            "stem_kernel": 3,
            "stem_stride": 1,
            "stem_pool": "none",
        },
        card=replace(CIFAR_CARD, params=params, macs=macs, results=results, table=table),
        recipe=resnet.CIFAR_RECIPE,
        paper_recipe="resnet_v2_cifar",
    )


def cifar_result(classes: int, error: float, protocol: str = "median of 5 runs") -> Result:
    """From table 4."""
    return result(error, protocol, CARD.link, common.ERROR, f"CIFAR-{classes} test")


CROP_320 = "320 crop"
ResNet50V2 = imagenet("resnet50v2", (3, 4, 6, 3), params=25_549_352, macs=4_089_184_256)
ResNet101V2 = imagenet("resnet101v2", (3, 4, 23, 3), params=44_541_480, macs=7_801_405_440)
ResNet152V2 = imagenet(
    "resnet152v2",
    (3, 8, 36, 3),
    result((21.1, 5.5), CROP_320, CARD.link),
    params=60_185_128,
    macs=11_513_626_624,
)
ResNet200V2 = imagenet(
    "resnet200v2",
    (3, 24, 36, 3),
    result((20.7, 5.3), CROP_320, CARD.link),
    result((20.1, 4.8), f"{CROP_320}, aspect augmentation in training", CARD.link),
    result((21.66, 5.79), "224 crop", "fb.resnet.torch"),
    params=64_666_152,
    macs=15_007_481_856,
)
ResNet164V2CIFAR = cifar(
    "resnet164v2_cifar",
    18,
    cifar_result(10, 5.46),
    cifar_result(100, 24.33),
    table=PaperTable(source="table 4", params="1.7M"),
    params=1_703_258,
    macs=244_500_992,
)
ResNet1001V2CIFAR = cifar(
    "resnet1001v2_cifar",
    111,
    cifar_result(10, 4.92),
    cifar_result(10, 4.62, "median of 5 runs, batches of 64"),
    cifar_result(100, 22.71),
    table=PaperTable(
        source="table 4", params="10.2M", note="Counted from the authors' code it is 10.3M, too."
    ),
    params=10_327_706,
    macs=1_487_849_984,
)
