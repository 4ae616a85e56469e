"""NiN: network in network (Lin, Chen, Yan, 2013).

A convolution is a linear model of each patch. NiN makes it a small multilayer perceptron, which is
a convolution followed by 1×1 convolutions, and drops the dense layers: the last 1×1 convolution
gives one map for each class, and its global average is the score. Both ideas went on into
GoogLeNet, SqueezeNet and ResNet. The 1×1 layers have the authors' names, cccp ("cascaded cross
channel parametric pooling").

`NiNCIFAR10` is the paper's network, `NiN` the authors' later model for ImageNet, which is not in
the paper. Pooling is 3×3 with stride 2 and rounds up.

Deviations: see the cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerascnn import blocks
from kerascnn.applications import arguments, common, published
from kerascnn.applications.common import result
from kerascnn.architecture import Architecture
from kerascnn.card import Card, Result
from kerascnn.space import Param, Range, Space


def build(
    x: Any,
    *,
    widths: tuple[int, ...],
    hidden_widths: tuple[int, ...],
    output_widths: tuple[int, ...],
    stem_kernel: int,
    stem_stride: int,
    kernels: tuple[int, ...],
    norm: str,
    order: str,
    activation: str,
    pools: tuple[str, ...],
    pool_size: int,
    dropouts: tuple[float, ...],
) -> Any:
    """Figure 2: mlpconv blocks with pooling between them; the last layer of the last is the head's.

    A first convolution with a stride has no padding, as in the authors' model for ImageNet.
    """
    unit = common.plain_unit(activation, norm, order)
    stem_padding = "same" if stem_stride == 1 else "valid"
    for number, width in enumerate(widths, start=1):
        if number == 1:
            x = unit(x, width, stem_kernel, strides=stem_stride, padding=stem_padding, name="conv1")
        else:
            x = unit(x, width, kernels[number - 2], name=f"conv{number}")
        x = unit(x, hidden_widths[number - 1], 1, name=f"cccp{2 * number - 1}")
        if number < len(widths):
            x = unit(x, output_widths[number - 1], 1, name=f"cccp{2 * number}")
            kind, rate = pools[number - 1], dropouts[number - 1]
            x = blocks.pool(x, kind, pool_size, strides=2, ceil=True, name=f"pool{number}")
            x = blocks.dropout(x, rate, name=f"drop{number}")
    return x


def head(x: Any, *, classes: int, activation: str) -> Any:
    """Section 3.2: one map for each class, rectified like all others, and its average.

    In float32 under any mixed precision.
    """
    dtype = blocks.head_dtype()
    x = blocks.conv(x, classes, 1, name="logits", dtype=dtype)
    x = blocks.activation(x, activation, name=f"logits_{activation}", dtype=dtype)
    return blocks.global_avg_pool(x, dtype=dtype)


def count_blocks(values: Mapping[str, Any]) -> int:
    """How many mlpconv blocks there are."""
    return len(values["widths"])


def count_poolings(values: Mapping[str, Any]) -> int:
    """How many poolings there are: between the blocks."""
    return count_blocks(values) - 1


def filters(name: str, default: tuple[int, ...], help: str) -> Param:
    """Filters of one convolution of each block."""
    return arguments.width(name, default, help, search=Range(32, 1024, step=32))


SPACE = Space(
    (
        filters("widths", (192, 192, 192), "Filters of each convolution."),
        filters(
            "hidden_widths", (160, 192, 192), "Filters of the first 1×1 convolution of each block."
        ),
        filters(
            "output_widths",
            (96, 192),
            "Filters of the second 1×1 convolution of each block; the last block's are the "
            "classes.",
        ),
        arguments.kernel(
            "stem_kernel", 5, "Side of the first convolution.", search=(3, 5, 7, 9, 11)
        ),
        arguments.stride(1),
        arguments.kernel(
            "kernels", (5, 3), "Side of each convolution after the first.", largest=15
        ),
        *arguments.norm("none"),
        arguments.activation("relu"),
        arguments.pool(
            ("max", "max"),
            "Kind of pooling after each block but the last; Caffe's port averages second.",
            name="pools",
        ),
        arguments.pool_size(3),
        arguments.dropout((0.5, 0.5), "Dropout after each pooling.", name="dropouts", most=0.7),
    ),
    rules=(
        arguments.one_for_each("block that widths lists", count_blocks, "hidden_widths"),
        arguments.one_for_each(
            "block that widths lists but one",
            count_poolings,
            *("kernels", "output_widths", "pools", "dropouts"),
        ),
    ),
)

CARD = Card(
    title="Network In Network",
    authors="Lin, Chen, Yan",
    year=2013,
    link="arXiv:1312.4400",
    input_shape=(32, 32, 3),
    classes=10,
    params=966_986,
    macs=222_486_528,
    smallest_input=(6, 6),
    preprocessing=published.CIFAR,
)


def small(error: float, dataset: str, protocol: str = "dropout") -> Result:
    """A result of section 4."""
    return result(error, protocol, "paper", common.ERROR, f"{dataset} test")


NiNCIFAR10 = Architecture(
    name="nin_cifar10",
    build=build,
    head=head,
    space=SPACE,
    card=replace(
        CARD,
        results=(
            small(10.41, "CIFAR-10"),
            small(8.81, "CIFAR-10", "dropout, translations and flips"),
            small(35.68, "CIFAR-100"),
            small(2.35, "SVHN"),
            small(0.47, "MNIST"),
        ),
        deviations=(
            "Channels are standardized; the paper normalizes contrast globally and whitens (ZCA).",
            "Weights start as Glorot's; the authors' from N(0, 0.05).",
        ),
    ),
    recipe=common.adamw(
        2e-3,
        batch_size=128,
        weight_decay=1e-4,
        epochs=60,
        shift=4 / 32,
        source="batch and augmentation are the paper's; the rest is ours, tried on mnist5k at "
        "reduced widths, where the authors use SGD and plateaus",
    ),
    paper_recipe="nin_cifar10",
)

NiN = Architecture(
    name="nin",
    build=build,
    head=head,
    space=SPACE,
    config={
        "widths": (96, 256, 384, 1024),
        "hidden_widths": (96, 256, 384, 1024),
        "output_widths": (96, 256, 384),
        "stem_kernel": 11,
        "stem_stride": 4,
        "kernels": (5, 3, 3),
        "pools": ("max", "max", "max"),
        "dropouts": (0.0, 0.0, 0.5),
    },
    card=replace(
        CARD,
        year=2014,
        input_shape=(224, 224, 3),
        classes=1000,
        params=7_595_176,
        macs=1_100_188_800,
        smallest_input=(55, 55),
        preprocessing=published.CAFFE,
        results=(result(40.64, "centre crop", "authors' model card", common.TOP1),),
        deviations=(
            "Not in the paper: the authors' model in Caffe's Model Zoo, whose last layer is "
            "called cccp8-1024 and has 1000 maps.",
            "The mean colour is subtracted, not the mean image.",
            "Weights start as Glorot's; the authors' from N(0, 0.01) and N(0, 0.05).",
        ),
    ),
    recipe=common.adamw(
        3e-4,
        batch_size=64,
        weight_decay=5e-4,
        epochs=60,
        shift=0.07,
        source="batch and decay are the authors'; the rest is ours, tried on mnist5k at reduced "
        "widths, where they use SGD with 0.01",
    ),
    paper_recipe="nin",
)
