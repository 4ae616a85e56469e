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
from kerascnn.applications import plain
from kerascnn.applications.common import ACTIVATION, CIFAR, imagenet_result
from kerascnn.architecture import Architecture, Card, Result
from kerascnn.space import Param, Range, Space
from kerascnn.training.recipes import Augmentation, Recipe


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

    unit = plain.Unit(activation, norm, order)
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
    x = blocks.conv(x, classes, 1, name="logits", dtype="float32")
    x = blocks.activation(x, activation, name=f"logits_{activation}", dtype="float32")
    return blocks.global_avg_pool(x, dtype="float32")


def same_blocks(values: Mapping[str, Any]) -> str | None:
    """Each block has its values, and each gap between two blocks too."""
    count = len(values["widths"])
    expected = {"hidden_widths": count}
    between = ("kernels", "output_widths", "pools", "dropouts")
    for name, length in {**expected, **dict.fromkeys(between, count - 1)}.items():
        if len(values[name]) != length:
            return (
                f"{name} needs {length} values, because widths has {count}. "
                f"Received: {values[name]}."
            )
    return None


_SPACE = Space(
    (
        replace(plain.WIDTHS, default=(192, 192, 192), search=Range(32, 1024, step=32)),
        Param(
            name="hidden_widths",
            default=(160, 192, 192),
            search=Range(32, 1024, step=32),
            legal=Range(1, 8192),
            help="Filters of the first 1×1 convolution of each block.",
        ),
        Param(
            name="output_widths",
            default=(96, 192),
            search=Range(32, 1024, step=32),
            legal=Range(1, 8192),
            help="Filters of the second 1×1 convolution of each block; the last block's are the "
            "classes.",
        ),
        replace(plain.STEM_KERNEL, default=5, search=(3, 5, 7, 9, 11)),
        replace(plain.STEM_STRIDE, default=1),
        replace(plain.KERNELS, default=(5, 3)),
        plain.NORM,
        plain.NORM_ORDER,
        ACTIVATION,
        replace(
            plain.POOL,
            name="pools",
            default=("max", "max"),
            help="Kind of pooling after each block but the last; Caffe's port averages second.",
        ),
        plain.POOL_SIZE,
        Param(
            name="dropouts",
            default=(0.5, 0.5),
            search=Range(0.0, 0.7),
            legal=Range(0.0, 0.95),
            help="Dropout after each pooling.",
        ),
    ),
    rules=(same_blocks,),
)

PAPER = "Network In Network"
AUTHORS = "Lin, Chen, Yan"
LINK = "arXiv:1312.4400"


def _result(dataset: str, error: float, protocol: str = "dropout") -> Result:
    return Result(
        dataset=f"{dataset} test", protocol=protocol, metric="error %", value=error, source="paper"
    )


NiNCIFAR10 = Architecture(
    name="nin_cifar10",
    build=build,
    head=head,
    space=_SPACE,
    card=Card(
        title=PAPER,
        authors=AUTHORS,
        year=2013,
        link=LINK,
        input_shape=(32, 32, 3),
        classes=10,
        params=966_986,
        macs=222_486_528,
        smallest_input=(6, 6),
        preprocessing=CIFAR,
        results=(
            _result("CIFAR-10", 10.41),
            _result("CIFAR-10", 8.81, "dropout, translations and flips"),
            _result("CIFAR-100", 35.68),
            _result("SVHN", 2.35),
            _result("MNIST", 0.47),
        ),
        deviations=(
            "Channels are standardized; the paper normalizes contrast globally and whitens (ZCA).",
            "Weights start as Glorot's; the authors' from N(0, 0.05).",
        ),
    ),
    recipe=Recipe(
        optimizer="adamw",
        learning_rate=2e-3,
        warmup_epochs=1.0,
        weight_decay=1e-4,
        batch_size=128,
        epochs=60,
        clip_norm=1.0,
        augmentation=Augmentation(shift=0.125, flip=True),
        source="batch and augmentation are the paper's; the rest is ours, tried on mnist5k at "
        "reduced widths, where the authors use SGD and plateaus",
    ),
)

NiN = Architecture(
    name="nin",
    build=build,
    head=head,
    space=_SPACE,
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
    card=Card(
        title=PAPER,
        authors=AUTHORS,
        year=2014,
        link=LINK,
        input_shape=(224, 224, 3),
        classes=1000,
        params=7_595_176,
        macs=1_100_188_800,
        smallest_input=(55, 55),
        preprocessing=plain.MEAN_BGR,
        results=(
            imagenet_result(40.64, "centre crop", "authors' model card", metric="top-1 error %"),
        ),
        deviations=(
            "Not in the paper: the authors' model in Caffe's Model Zoo, whose last layer is "
            "called cccp8-1024 and has 1000 maps.",
            "The mean colour is subtracted, not the mean image.",
            "Weights start as Glorot's; the authors' from N(0, 0.01) and N(0, 0.05).",
        ),
    ),
    recipe=Recipe(
        optimizer="adamw",
        learning_rate=3e-4,
        warmup_epochs=1.0,
        weight_decay=5e-4,
        batch_size=64,
        epochs=60,
        clip_norm=1.0,
        augmentation=Augmentation(shift=0.07, flip=True),
        source="batch and decay are the authors'; the rest is ours, tried on mnist5k at reduced "
        "widths, where they use SGD with 0.01",
    ),
)

_TinyNiN = NiNCIFAR10.variant(
    "tiny_nin", widths=(8, 12, 16), hidden_widths=(8, 12, 16), output_widths=(8, 12)
)
