"""AlexNet: deep convolutional networks on ImageNet (Krizhevsky, Sutskever, Hinton, 2012).

The network that won ILSVRC-2012 by ten points and ended the age of hand-made features. It brought
ReLU in place of tanh, training on GPUs, dropout in the dense layers, pooling windows that overlap,
and local response normalization (LRN).

`AlexNet` is the paper's: two towers of half the maps, one on each GPU, that see each other in
conv3 and the dense layers only. They are `groups=2` in conv2, conv4 and conv5. The paper's 224
pixels give 55 only as in the authors' code, which rounds the number of windows up: they hang over
the right and bottom border by up to three pixels, here a padding of zeros, right at every size.

`AlexNetOWT` is the single tower of "One weird trick" (Krizhevsky, 2014) as torchvision has it:
no LRN, padding on all sides, dropout before the dense layers, and a 6×6 grid at any input size.

Deviations: see the cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerascnn import blocks
from kerascnn.applications import arguments, common, published
from kerascnn.applications.common import result
from kerascnn.architecture import Architecture
from kerascnn.card import Card, Claim, NumberedNames, PaperRow, PaperTable
from kerascnn.space import Param, Range, Space

# Section 3.3 has n=5, alpha=1e-4, beta=0.75 and k=2. The authors' code and Caffe divide alpha by
# n, and Caffe's model leaves k at 1: weights trained with one convention need that one.
LRN: dict[str, dict[str, Any]] = {
    "paper": {"k": 2.0, "divide_alpha": False},
    "cuda-convnet": {"k": 2.0, "divide_alpha": True},
    "caffe": {"k": 1.0, "divide_alpha": True},
}


def build(
    x: Any,
    *,
    widths: tuple[int, ...],
    stem_kernel: int,
    stem_stride: int,
    kernels: tuple[int, ...],
    groups: int,
    norm: str,
    lrn: str,
    order: str,
    activation: str,
    pool: str,
    pool_size: int,
) -> Any:
    """Section 3.5, figure 2. The second, fourth and fifth layer see their own tower only."""
    unit = common.plain_unit(activation, norm, order)

    def normalized(x: Any, number: int) -> Any:
        if norm != "lrn":
            return x
        return blocks.lrn(x, size=5, alpha=1e-4, beta=0.75, **LRN[lrn], name=f"norm{number}")

    def pooled(x: Any, number: int) -> Any:
        return blocks.pool(x, pool, pool_size, strides=2, ceil=True, name=f"pool{number}")

    overhang = (0, stem_stride - 1, 0, stem_stride - 1)
    x = unit(x, widths[0], stem_kernel, strides=stem_stride, padding=overhang, name="conv1")  # 55
    x = pooled(normalized(x, 1), 1)  # 27
    x = unit(x, widths[1], kernels[0], groups=groups, name="conv2")
    x = pooled(normalized(x, 2), 2)  # 13
    x = unit(x, widths[2], kernels[1], name="conv3")
    x = unit(x, widths[3], kernels[2], groups=groups, name="conv4")
    x = unit(x, widths[4], kernels[3], groups=groups, name="conv5")
    return pooled(x, 5)  # 6×6×256


def build_owt(
    x: Any,
    *,
    widths: tuple[int, ...],
    stem_kernel: int,
    stem_stride: int,
    kernels: tuple[int, ...],
    norm: str,
    order: str,
    activation: str,
    pool: str,
    pool_size: int,
) -> Any:
    """One tower; the first convolution is padded so that its map has 55×55 at any kernel."""
    unit = common.plain_unit(activation, norm, order)

    def pooled(x: Any, number: int) -> Any:
        return blocks.pool(x, pool, pool_size, strides=2, name=f"pool{number}")

    padding = max(0, (stem_kernel - 7) // 2)
    x = unit(x, widths[0], stem_kernel, strides=stem_stride, padding=padding, name="conv1")  # 55
    x = pooled(x, 1)  # 27
    x = unit(x, widths[1], kernels[0], name="conv2")
    x = pooled(x, 2)  # 13
    x = unit(x, widths[2], kernels[1], name="conv3")
    x = unit(x, widths[3], kernels[2], name="conv4")
    x = unit(x, widths[4], kernels[3], name="conv5")
    return pooled(x, 5)  # 6×6×256


head = common.DenseHead(first=6)
head_owt = common.DenseHead(first=6, dropout_before=True)


def divisible(values: Mapping[str, Any]) -> str | None:
    """Each tower needs a whole number of maps in every layer."""
    groups, widths = values["groups"], values["widths"]
    if all(width % groups == 0 for width in widths):
        return None
    return f"groups must divide every one of widths. Received: groups={groups}, widths={widths}."


def five_layers(
    widths: tuple[int, ...],
    kernels: tuple[int, ...],
    *,
    stride: int,
    pool_size: int,
    hidden: tuple[int, ...],
    dropout: float,
    grid: int = 0,
) -> tuple[Param, ...]:
    """The arguments of AlexNet and its relatives: five convolutions, the first apart."""
    search, sides = Range(32, 512, step=32), (5, 7, 9, 11)
    first, *others = kernels
    return (
        arguments.width("widths", widths, "Filters of each convolution.", search=search),
        arguments.kernel("stem_kernel", first, "Side of the first convolution.", search=sides),
        arguments.stride(stride),
        arguments.kernel(
            "kernels", tuple(others), "Side of each convolution after the first.", largest=15
        ),
        arguments.activation("relu"),
        arguments.pool("max"),
        arguments.pool_size(pool_size),
        *arguments.dense(hidden, dropout, grid=grid),
    )


LRN_HELP = (
    "Local response normalization where the paper has it, batch normalization with every "
    "convolution, or none."
)
RULES = (
    arguments.one_for_each("convolution", 5, "widths"),
    arguments.one_for_each("convolution but the first", 4, "kernels"),
)

# torch numbers all layers of a Sequential: `features.0`, `features.3`, ... `classifier.6`.
TORCH_NAMES = NumberedNames(family="alexnet", conv="conv{layer}", first_dense=6, first_kernel=11)

RECIPE = common.adamw(
    1e-3,
    batch_size=128,
    weight_decay=5e-4,
    epochs=60,
    shift=0.07,
    source="ours, for small data sets, tried on mnist5k; section 5 has SGD with 0.01, divided by "
    "10 on plateaus, momentum 0.9, the same batch and decay, and 90 epochs",
)

FIGURE_2 = PaperTable(
    source="abstract, figure 2",
    rows=(
        PaperRow(
            "layer 1",
            ("conv1",),
            (55, 55, 96),
            units="253,440",
            note="55·55·96, as it is drawn, are 290,400; 253,440 are 55·48·96.",
        ),
        PaperRow("layer 2", ("conv2",), (27, 27, 256), units="186,624"),
        PaperRow("layer 3", ("conv3",), (13, 13, 384), units="64,896"),
        PaperRow("layer 4", ("conv4",), (13, 13, 384), units="64,896"),
        PaperRow("layer 5", ("conv5",), (13, 13, 256), units="43,264"),
        PaperRow("layer 6", ("fc6",), (4096,), units="4096"),
        PaperRow("layer 7", ("fc7",), (4096,), units="4096"),
        PaperRow("layer 8", ("logits",), (1000,), units="1000"),
    ),
    params="60M",
    units="650,000",
    note="Figure 2's units add up to 622,312, with 290,400 in the first layer to 659,272.",
)

NORM, ORDER = arguments.lrn_norm("lrn", LRN_HELP)
AlexNet = Architecture(
    name="alexnet",
    build=build,
    head=head,
    space=Space(
        (
            *five_layers(
                (96, 256, 384, 384, 256),
                (11, 5, 3, 3, 3),
                stride=4,
                pool_size=3,
                hidden=(4096, 4096),
                dropout=0.5,
            ),
            Param(
                "groups",
                2,
                (1, 2),
                legal=Range(1, 64),
                off=1,
                idea="towers",
                help="Towers that conv2, conv4 and conv5 are split into.",
            ),
            NORM,
            Param(
                "lrn",
                "paper",
                legal=tuple(LRN),
                when=("norm", ("lrn",)),
                help="Whose constants: Caffe's and the authors' code divide alpha by the size.",
            ),
            ORDER,
        ),
        rules=(*RULES, divisible),
    ),
    card=Card(
        title="ImageNet Classification with Deep Convolutional Neural Networks",
        authors="Krizhevsky, Sutskever, Hinton",
        year=2012,
        link="doi:10.1145/3065386",
        input_shape=(224, 224, 3),
        classes=1000,
        params=60_965_224,
        macs=724_406_816,
        smallest_input=(52, 52),
        preprocessing=published.MEAN_RGB,
        results=(
            result((40.7, 18.2), "1 network, 10 crops", "Zeiler & Fergus, table 2"),
            result((38.1, 16.4), "5 networks", "Zeiler & Fergus, table 2"),
            result((37.5, 17.0), "1 network, 10 crops", "table 1", dataset="ILSVRC-2010 test"),
            result(
                15.3,
                "7 networks, two of them pre-trained on ImageNet 2011",
                "table 2",
                common.TOP5,
                "ILSVRC-2012 test",
            ),
        ),
        table=FIGURE_2,
        claims=(
            Claim(
                says="no convolutional layer has more than 1% of the parameters",
                value="1%",
                quantity="largest_convolution",
                form="most",
                source="section 1",
                note="conv3 has more, conv4 a little more; the others less.",
            ),
        ),
        deviations=(
            "Weights start as Glorot's; the paper draws them from N(0, 0.01) and starts the biases "
            "of conv2, conv4, conv5, fc6 and fc7 at 1.",
            "The mean colour is subtracted, not the mean image; no PCA noise on colours.",
        ),
    ),
    recipe=RECIPE,
    paper_recipe="alexnet",
)

AlexNetOWT = Architecture(
    name="alexnet_owt",
    build=build_owt,
    head=head_owt,
    space=Space(
        (
            *five_layers(
                (64, 192, 384, 256, 256),
                (11, 5, 3, 3, 3),
                stride=4,
                pool_size=3,
                hidden=(4096, 4096),
                dropout=0.5,
                grid=6,
            ),
            *arguments.norm("none"),
        ),
        rules=RULES,
    ),
    card=Card(
        title="One weird trick for parallelizing convolutional neural networks",
        authors="Krizhevsky",
        year=2014,
        link="arXiv:1404.5997",
        input_shape=(224, 224, 3),
        classes=1000,
        params=61_100_840,
        macs=714_188_480,
        smallest_input=(63, 63),
        preprocessing=published.TORCH,
        results=(published.torchvision(43.478, 20.934),),
        deviations=(
            "torchvision's form, not the paper's: conv4 has 256 maps, and dropout precedes fc6 "
            "and fc7.",
            "Weights start as Glorot's; torchvision's as He's, uniform with a = √5.",
        ),
    ),
    recipe=RECIPE,
    weights=(published.from_torch("alexnet-owt-7be5be79.pth", "7be5be79", TORCH_NAMES),),
)
