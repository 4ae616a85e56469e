"""DenseNet: densely connected networks (Huang, Liu, van der Maaten, Weinberger, 2017).

Every layer reads the maps of all layers before it in its block and adds a few, the growth rate k,
to them: nothing is learned twice, and the gradient reaches each layer directly. DenseNet-B reduces
what a layer reads to 4k maps by a 1×1 convolution, -C compresses between the blocks by θ.

Deviation: plain CIFAR networks begin with 16 filters as in the paper; the authors' Torch code
always begins with 2k. DenseNet-161 is from the paper's first version and the released models.
For keras.applications' arithmetic: `bn_epsilon=1.001e-5, bn_momentum=0.99`.
"""

from __future__ import annotations

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
    STEM,
    USE_BIAS,
    ConvUnit,
    equal_lengths,
    imagenet_result,
    kernel_param,
    pool_stem,
    torchvision,
)
from kerascnn.architecture import Architecture, Card, Result
from kerascnn.space import Param, Range, Space
from kerascnn.training.recipes import Augmentation, Recipe


def build(
    x: Any,
    *,
    depths: tuple[int, ...],
    kernels: tuple[int, ...],
    growth_rate: int,
    bottleneck: bool,
    bottleneck_ratio: int,
    compression: float,
    transition_pool: str,
    stem_width: int,
    stem_kernel: int,
    stem_stride: int,
    stem_pool: str,
    activation: str,
    dropout: float,
    use_bias: bool,
    bn_epsilon: float,
    bn_momentum: float,
) -> Any:
    """Table 1: a stem, and dense blocks with a transition between each and the next."""
    unit = ConvUnit(
        use_bias=use_bias, epsilon=bn_epsilon, momentum=bn_momentum, activation=activation
    )

    def norm_act_conv(x: Any, filters: int, kernel: int, before: str, name: str) -> Any:
        """Section 3, "composite function": normalization, non-linearity, convolution."""
        x = unit.norm_act(x, name=before)
        x = unit.conv(x, filters, kernel, name=name)
        return blocks.dropout(x, dropout, name=f"{name}_dropout")

    def dense_layer(x: Any, kernel: int, name: str) -> Any:
        """`growth_rate` new maps behind those of `x`."""
        new, before = x, f"{name}_0"
        if bottleneck:
            new = norm_act_conv(new, bottleneck_ratio * growth_rate, 1, before, f"{name}_1")
            before = f"{name}_1"
        new = norm_act_conv(new, growth_rate, kernel, before, f"{name}_2")
        return blocks.concat(x, new, name=f"{name}_concat")

    def transition(x: Any, name: str) -> Any:
        """Compress by a 1×1 convolution, then halve the map."""
        filters = max(1, int(x.shape[-1] * compression + 1e-6))  # floor, but 0.29 · 100 is 29
        x = norm_act_conv(x, filters, 1, name, name)
        return blocks.pool(x, transition_pool, 2, name=f"{name}_pool")

    x = unit.conv(x, stem_width, stem_kernel, strides=stem_stride, name="conv1")
    if stem_pool != "none":  # else the first layer's own normalization follows
        x = pool_stem(unit.norm_act(x, name="conv1"), stem_pool)
    for stage, (depth, kernel) in enumerate(zip(depths, kernels), start=2):
        if stage > 2:
            x = transition(x, f"pool{stage - 1}")
        for number in range(1, depth + 1):
            x = dense_layer(x, kernel, f"conv{stage}_block{number}")
    x = blocks.batch_norm(x, name="bn", epsilon=bn_epsilon, momentum=bn_momentum)
    return blocks.activation(x, activation, name=activation)


SPACE = Space(
    (
        Param(
            name="depths",
            default=(6, 12, 24, 16),
            search=Range(2, 48, step=2),
            legal=Range(1, 1000),
            help="Layers of each dense block.",
        ),
        kernel_param("kernels", (3, 3, 3, 3), "Side k of each block's k×k convolutions."),
        Param(
            name="growth_rate",
            default=32,
            search=Range(8, 48, step=4),
            legal=Range(1, 1024),
            help="Maps that each layer adds.",
        ),
        Param(
            name="bottleneck",
            default=True,
            search=(True, False),
            help="Whether a 1×1 convolution reduces what each k×k convolution reads.",
        ),
        Param(
            name="bottleneck_ratio",
            default=4,
            search=(2, 4, 6, 8),
            legal=Range(1, 64),
            when=("bottleneck", (True,)),
            help="Maps that it leaves, as a multiple of the growth rate.",
        ),
        Param(
            name="compression",
            default=0.5,
            search=Range(0.25, 1.0),
            legal=Range(0.01, 1.0),
            help="The share of the maps that a transition keeps.",
        ),
        Param(
            name="transition_pool",
            default="avg",
            search=("avg", "max"),
            help="Kind of 2×2 pooling in the transitions.",
        ),
        *STEM,
        ACTIVATION,
        replace(DROPOUT, help="Dropout after each convolution but the first."),
        USE_BIAS,
        BN_EPSILON,
        BN_MOMENTUM,
    ),
    rules=(equal_lengths("depths", "kernels"),),
)
CARD = Card(
    title="Densely Connected Convolutional Networks",
    authors="Huang, Liu, van der Maaten, Weinberger",
    year=2017,
    link="arXiv:1608.06993",
    input_shape=(224, 224, 3),
    classes=1000,
    params=None,
    macs=None,
    smallest_input=(29, 29),
    preprocessing=IMAGENET,
)
IMAGENET_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    batch_size=256,
    epochs=90,
    weight_decay=1e-4,
    augmentation=Augmentation(zoom=0.2, flip=True),
    source="SGD, rate, batch, decay and 90 epochs: section 4.2. The cosine schedule instead of two "
    "drops, and a random zoom instead of crops of random scale and colour: ours.",
)
CIFAR_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    batch_size=64,
    epochs=300,
    weight_decay=1e-4,
    augmentation=Augmentation(shift=0.125, flip=True),
    source="SGD, rate, batch, decay, 300 epochs, shifts by up to 4 pixels and flips: section 4.2. "
    "The cosine schedule instead of two drops: ours.",
)


def imagenet(
    name: str,
    depths: tuple[int, ...],
    *results: Result,
    params: int,
    macs: int,
    growth_rate: int = 32,
    deviations: tuple[str, ...] = (),
) -> Architecture:
    """A column of table 1; the stem has 2k filters."""
    return Architecture(
        name=name,
        build=build,
        space=SPACE,
        config={"depths": depths, "growth_rate": growth_rate, "stem_width": 2 * growth_rate},
        card=replace(CARD, params=params, macs=macs, results=results, deviations=deviations),
        recipe=IMAGENET_RECIPE,
    )


def cifar(
    name: str,
    layers: int,
    growth_rate: int,
    errors: dict[str, float],
    *,
    compact: bool,
    params: int,
    macs: int,
) -> Architecture:
    """A row of table 2: three blocks; `compact` is DenseNet-BC."""
    convolutions = (
        layers - 4
    ) // 3  # of each block: the rest are the first, transitions, classifier
    return Architecture(
        name=name,
        build=build,
        space=SPACE,
        config={
            "depths": (convolutions // 2 if compact else convolutions,) * 3,
            "kernels": (3, 3, 3),
            "growth_rate": growth_rate,
            "bottleneck": compact,
            "compression": 0.5 if compact else 1.0,
            "stem_width": 2 * growth_rate if compact else 16,
            "stem_kernel": 3,
            "stem_stride": 1,
            "stem_pool": "none",
        },
        card=replace(
            CARD,
            input_shape=(32, 32, 3),
            classes=10,
            params=params,
            macs=macs,
            smallest_input=(4, 4),
            preprocessing=CIFAR,
            results=tuple(
                Result(
                    dataset=f"CIFAR-{dataset.strip('C+')} test",
                    protocol=WITH if dataset.endswith("+") else WITHOUT,
                    metric="error %",
                    value=error,
                    source="table 2",
                )
                for dataset, error in errors.items()
            ),
            deviations=() if compact else (FIRST_FILTERS,),
        ),
        recipe=CIFAR_RECIPE,
    )


WITH, WITHOUT = "shifts and flips in training", "no augmentation, dropout=0.2"
FIRST_FILTERS = "16 filters in the first convolution as in the paper; the authors' code has 2k."
CROP, TEN = "single crop, table 3", "10 crops, table 3"

DenseNet121 = imagenet(
    "densenet121",
    (6, 12, 24, 16),
    imagenet_result((25.02, 7.71), CROP, CARD.link),
    imagenet_result((23.61, 6.66), TEN, CARD.link),
    torchvision(25.566, 8.028),
    params=7_978_856,
    macs=2_834_161_664,
)
DenseNet161 = imagenet(
    "densenet161",
    (6, 12, 36, 24),
    imagenet_result(
        22.2, "single crop, released Torch model", "liuzhuang13/DenseNet", "top-1 error %"
    ),
    torchvision(22.862, 6.44),
    growth_rate=48,
    params=28_681_000,
    macs=7_727_907_072,
    deviations=(
        "From the paper's first version and the released models, not in the last version.",
    ),
)
DenseNet169 = imagenet(
    "densenet169",
    (6, 12, 32, 32),
    imagenet_result((23.8, 6.85), CROP, CARD.link),
    imagenet_result((22.08, 5.92), TEN, CARD.link),
    torchvision(24.4, 7.194),
    params=14_149_480,
    macs=3_359_843_328,
)
DenseNet201 = imagenet(
    "densenet201",
    (6, 12, 48, 32),
    imagenet_result((22.58, 6.34), CROP, CARD.link),
    imagenet_result((21.46, 5.54), TEN, CARD.link),
    torchvision(23.104, 6.63),
    params=20_013_928,
    macs=4_291_365_888,
)
DenseNet264 = imagenet(
    "densenet264",
    (6, 12, 64, 48),
    imagenet_result((22.15, 6.12), CROP, CARD.link),
    imagenet_result((20.8, 5.29), TEN, CARD.link),
    params=33_337_704,
    macs=5_751_653_376,
)
DenseNet40K12CIFAR = cifar(
    "densenet40_k12_cifar",
    40,
    12,
    {"C10": 7.0, "C10+": 5.24, "C100": 27.55, "C100+": 24.42},
    compact=False,
    params=1_019_722,
    macs=264_812_928,
)
DenseNet100K12CIFAR = cifar(
    "densenet100_k12_cifar",
    100,
    12,
    {"C10": 5.77, "C10+": 4.1, "C100": 23.79, "C100+": 20.2},
    compact=False,
    params=6_979_642,
    macs=1_769_516_448,
)
DenseNet100K24CIFAR = cifar(
    "densenet100_k24_cifar",
    100,
    24,
    {"C10": 5.83, "C10+": 3.74, "C100": 23.42, "C100+": 19.25},
    compact=False,
    params=27_249_082,
    macs=6_889_347_744,
)
DenseNetBC100K12CIFAR = cifar(
    "densenetbc100_k12_cifar",
    100,
    12,
    {"C10": 5.92, "C10+": 4.51, "C100": 24.15, "C100+": 22.27},
    compact=True,
    params=769_162,
    macs=287_929_692,
)
DenseNetBC190K40CIFAR = cifar(
    "densenetbc190_k40_cifar",
    190,
    40,
    {"C10+": 3.46, "C100+": 17.18},
    compact=True,
    params=25_624_430,
    macs=9_301_945_740,
)
DenseNetBC250K24CIFAR = cifar(
    "densenetbc250_k24_cifar",
    250,
    24,
    {"C10": 5.19, "C10+": 3.62, "C100": 19.64, "C100+": 17.6},
    compact=True,
    params=15_324_406,
    macs=5_418_785_724,
)

_TinyDenseNet = DenseNet121.variant(
    "tiny_densenet",
    depths=(2, 2),
    kernels=(3, 3),
    growth_rate=4,
    stem_width=8,
    stem_kernel=3,
    card=replace(CARD, input_shape=(32, 32, 3), classes=10, smallest_input=(5, 5)),
)
