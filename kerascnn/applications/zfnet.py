"""ZFNet: visualizing and understanding convolutional networks (Zeiler, Fergus, 2013).

The paper looked into AlexNet by projecting activations back to pixels (the deconvnet) and found
dead and aliased filters in the first layers. A smaller first kernel, 7×7 in place of 11×11, and a
stride of 2 in place of 4 in both of the first two convolutions repaired them and won ILSVRC-2013.
The layers between are dense: no towers.

The maps are figure 3's, 110-55-26-13-6: a padding of 1 at conv1, none at conv2, pooling that
rounds up.

Deviations: see the card.
"""

from __future__ import annotations

from typing import Any

from kerascnn import blocks
from kerascnn.applications import alexnet, arguments, common, published
from kerascnn.applications.common import result
from kerascnn.architecture import Architecture
from kerascnn.card import Card, PaperRow, PaperTable
from kerascnn.space import Space


def build(
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
    """Figure 3. Pooling comes before the normalization across maps, unlike in AlexNet."""

    unit = common.plain_unit(activation, norm, order)

    def pooled(x: Any, number: int) -> Any:
        return blocks.pool(x, pool, pool_size, strides=2, ceil=True, name=f"pool{number}")

    def normalized(x: Any, number: int) -> Any:
        if norm != "lrn":
            return x
        return blocks.lrn(x, size=5, k=2.0, alpha=1e-4, beta=0.75, name=f"norm{number}")

    # Paddings of 1 and 0, as in the paper, and as much more as a larger kernel needs.
    pads = [max(0, (kernel - 5) // 2) for kernel in (stem_kernel, kernels[0])]
    x = unit(x, widths[0], stem_kernel, strides=stem_stride, padding=pads[0], name="conv1")  # 110
    x = normalized(pooled(x, 1), 1)  # 55
    x = unit(x, widths[1], kernels[0], strides=2, padding=pads[1], name="conv2")  # 26
    x = normalized(pooled(x, 2), 2)  # 13
    x = unit(x, widths[2], kernels[1], name="conv3")
    x = unit(x, widths[3], kernels[2], name="conv4")
    x = unit(x, widths[4], kernels[3], name="conv5")
    return pooled(x, 5)  # 6×6×256


FIGURE_3 = PaperTable(
    source="figure 3",
    rows=(
        PaperRow("layer 1, convolution", ("conv1*",), (110, 110, 96)),
        PaperRow("layer 1, pooled", ("pool1", "norm1"), (55, 55, 96)),
        PaperRow("layer 2, convolution", ("conv2*",), (26, 26, 256)),
        PaperRow("layer 2, pooled", ("pool2", "norm2"), (13, 13, 256)),
        PaperRow("layer 3", ("conv3*",), (13, 13, 384)),
        PaperRow("layer 4", ("conv4*",), (13, 13, 384)),
        PaperRow("layer 5, pooled", ("conv5*", "pool5"), (6, 6, 256)),
        PaperRow("layer 6", ("fc6*",), (4096,)),
        PaperRow("layer 7", ("fc7*",), (4096,)),
        PaperRow("output", ("logits",)),
    ),
)

ZFNet = Architecture(
    name="zfnet",
    build=build,
    head=common.DenseHead(first=6),
    space=Space(
        (
            *alexnet.five_layers(
                (96, 256, 384, 384, 256),
                (7, 5, 3, 3, 3),
                stride=2,
                pool_size=3,
                hidden=(4096, 4096),
                dropout=0.5,
            ),
            *arguments.lrn_norm("lrn", alexnet.LRN_HELP),
        ),
        rules=alexnet.RULES,
    ),
    card=Card(
        title="Visualizing and Understanding Convolutional Networks",
        authors="Zeiler, Fergus",
        year=2013,
        link="arXiv:1311.2901",
        input_shape=(224, 224, 3),
        classes=1000,
        params=62_357_608,
        macs=1_168_032_896,
        smallest_input=(63, 63),
        preprocessing=published.MEAN_RGB,
        results=(
            result((38.4, 16.5), "1 network, 10 crops", "table 2"),
            result((36.7, 15.3), "5 networks, 10 crops", "table 2"),
            result((37.5, 16.0), "1 network, layers 3 to 5 of 512, 1024 and 512 maps", "table 2"),
            result((36.0, 14.7), "6 networks", "table 2"),
            result(14.8, "6 networks", "table 2", common.TOP5, "ILSVRC-2012 test"),
        ),
        table=FIGURE_3,
        deviations=(
            "The paper gives no constants for its contrast normalization across maps: AlexNet's "
            "are used. Caffe's ports normalize within each map, before pooling.",
            "The paper renormalizes filters of an RMS above 0.1 during training; the recipe "
            "does not.",
            "Weights start as Glorot's, where the paper starts all of them at 0.01.",
            "The mean colour is subtracted, not the mean image.",
        ),
    ),
    recipe=common.adamw(
        1e-3,
        batch_size=128,
        weight_decay=5e-4,
        epochs=60,
        shift=0.07,
        source="ours, for small data sets, as alexnet's; section 3 has SGD with 0.01, annealed by "
        "hand, momentum 0.9, the same batch, and 70 epochs",
    ),
    paper_recipe="zfnet",
)
