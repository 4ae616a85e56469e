"""VGG: very deep convolutional networks (Simonyan, Zisserman, 2014).

Depth by the simplest means: two 3×3 convolutions see as much as one of 5×5 and three as much as
one of 7×7, with fewer parameters and more non-linearities. Every block halves the map and, up to
512, doubles the maps. The result of 16 and 19 layers was the standard trunk for years.

Configurations of table 1: `VGG11` is A, `VGG11LRN` is A-LRN, `VGG13` B, `VGG16C` C (1×1
convolutions at the end of blocks 3 to 5), `VGG16` D and `VGG19` E. The forms with batch
normalization are torchvision's: the convolutions keep their biases, and the last map is averaged
to 7×7 at any input size.

Layers have the names of keras.applications, which leaves out the paper's dropout; `dropout=0.0`
gives its graph. Deviations: see the cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kerascnn import blocks
from kerascnn.applications import arguments, common, published
from kerascnn.applications.common import result
from kerascnn.applications.published import CAFFE, from_hub, from_keras, torchvision
from kerascnn.architecture import Architecture
from kerascnn.card import Card, NumberedNames, PaperRow, PaperTable, Preprocessing, Result
from kerascnn.space import Param, Range, Space


def build(
    x: Any,
    *,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    kernels: tuple[int, ...],
    pointwise_blocks: int,
    norm: str,
    order: str,
    activation: str,
    pool: str,
    pool_ceil: bool,
    stem_padding: int,
) -> Any:
    """Table 1: blocks of convolutions that keep the size, each followed by 2×2 pooling."""
    unit = common.plain_unit(activation, norm, order)
    for block, (depth, width, kernel) in enumerate(zip(depths, widths, kernels), start=1):
        pointwise = block > len(depths) - pointwise_blocks
        for number in range(1, depth + 1):
            side = 1 if pointwise and number == depth else kernel
            first = block == number == 1
            padding = stem_padding if first and stem_padding else "same"
            x = unit(x, width, side, name=f"block{block}_conv{number}", padding=padding)
            if norm == "lrn" and first:
                # After the first convolution only; the constants are AlexNet's.
                x = blocks.lrn(x, size=5, k=2.0, alpha=1e-4, beta=0.75, name="block1_lrn")
        x = blocks.pool(x, pool, 2, ceil=pool_ceil, name=f"block{block}_pool")  # 112 ... 7
    return x


def pointwise_exist(values: Mapping[str, Any]) -> str | None:
    """There can't be more blocks with a 1×1 convolution than blocks."""
    count, depths = values["pointwise_blocks"], values["depths"]
    if count <= len(depths):
        return None
    return (
        f"pointwise_blocks must be at most the number of blocks, {len(depths)}. Received: {count}."
    )


RECIPE = common.adamw(
    3e-4,
    batch_size=128,
    weight_decay=5e-4,
    epochs=60,
    shift=0.07,
    warmup_epochs=2.0,
    source="ours, for small data sets, tried on mnist5k at reduced widths; section 3.1 has SGD "
    "with 0.01, momentum 0.9, batches of 256 and decay 5e-4, and starts the deeper networks from "
    "the trained layers of A",
)


# torch numbers all layers of a Sequential: `features.0`, `features.2`, ... `classifier.6`; timm
# names the dense ones, and makes convolutions of the first two.
TORCH_NAMES = NumberedNames(
    family="vgg",
    conv="block{block}_conv{number}",
    dense=("classifier.{n}", "pre_logits.fc{n}", "head.fc"),
)


# Table 1: what stands between two poolings, kernel and filters of each convolution, or LRN.
TABLE_1 = {
    "A": ("3-64", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "A-LRN": ("3-64 LRN", "3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "B": ("3-64 3-64", "3-128 3-128", "3-256 3-256", "3-512 3-512", "3-512 3-512"),
    "C": (
        *("3-64 3-64", "3-128 3-128"),
        *("3-256 3-256 1-256", "3-512 3-512 1-512", "3-512 3-512 1-512"),
    ),
    "D": (
        *("3-64 3-64", "3-128 3-128"),
        *("3-256 3-256 3-256", "3-512 3-512 3-512", "3-512 3-512 3-512"),
    ),
    "E": (
        *("3-64 3-64", "3-128 3-128", "3-256 3-256 3-256 3-256"),
        *("3-512 3-512 3-512 3-512", "3-512 3-512 3-512 3-512"),
    ),
}
TABLE_2 = {"A": "133M", "A-LRN": "133M", "B": "133M", "C": "134M", "D": "138M", "E": "144M"}


def _table(column: str) -> PaperTable:
    """A column of table 1, and its number of parameters."""
    rows: list[PaperRow] = []
    for block, stacked in enumerate(TABLE_1[column], start=1):
        for number, layer in enumerate(stacked.split(), start=1):
            ours = f"block{block}_lrn" if layer == "LRN" else f"block{block}_conv{number}"
            rows.append(PaperRow(layer if layer == "LRN" else f"conv{layer}", (ours,)))
        rows.append(PaperRow("maxpool", (f"block{block}_pool",)))
    for units, ours in ((4096, "fc1"), (4096, "fc2"), (1000, "logits")):
        rows.append(PaperRow(f"FC-{units}", (ours,), (units,)))
    source = f"table 1, column {column}; table 2"
    return PaperTable(source=source, rows=tuple(rows), params=TABLE_2[column])


def _card(
    column: str,
    params: int,
    macs: int,
    *results: Result,
    preprocessing: Preprocessing = CAFFE,
    deviations: tuple[str, ...] = (),
) -> Card:
    return Card(
        title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        authors="Simonyan, Zisserman",
        year=2014,
        link="arXiv:1409.1556",
        input_shape=(224, 224, 3),
        classes=1000,
        params=params,
        macs=macs,
        smallest_input=(32, 32),
        preprocessing=preprocessing,
        results=results,
        table=_table(column) if column else None,
        deviations=(
            *deviations,
            "Weights start as Glorot's, which the paper found sufficient after its submission.",
        ),
    )


def _dense(top1: float, top5: float, scales: str, table: int = 3) -> Result:
    """A result of sections 4.1 to 4.3: the network slides over whole images of a shorter side."""
    return result((top1, top5), f"dense, {scales}", f"table {table}")


_256, _384, _JITTER = "S=Q=256", "S=Q=384", "S=[256;512], Q=384"
_MULTI = "S=[256;512], Q=256, 384 and 512"

VGG11 = Architecture(
    name="vgg11",
    build=build,
    head=common.DenseHead(first=1),  # dropout behind fc1 and fc2: section 3.1
    space=Space(
        (
            Param(
                "depths",
                (1, 1, 2, 2, 2),
                (1, 2, 3, 4),
                legal=Range(1, 64),
                help="Convolutions of each block.",
            ),
            arguments.width(
                "widths",
                (64, 128, 256, 512, 512),
                "Filters of each block.",
                search=Range(32, 512, step=32),
            ),
            arguments.kernel(
                "kernels",
                (3, 3, 3, 3, 3),
                "Side of each block's convolutions.",
                search=(3, 5),
                largest=15,
                per="depths",
                formerly="kernel",
            ),
            Param(
                "pointwise_blocks",
                0,
                (0, 1, 2, 3),
                legal=Range(0, 64),
                help="In so many of the last blocks the last convolution is 1×1 (C: 3).",
            ),
            *arguments.lrn_norm(
                "none",
                "Batch normalization with every convolution, local response normalization after "
                "the first, or none.",
            ),
            arguments.activation("relu"),
            arguments.pool("max"),
            Param(
                "pool_ceil",
                False,
                help="Round the sizes of pooled maps up, as the authors' Caffe does, not down.",
            ),
            Param(
                "stem_padding",
                0,
                legal=Range(0, 512),
                help="Zeros on each side of the image (100 in FCN); 0: as many as keep its size.",
            ),
            *arguments.dense((4096, 4096), 0.5),
        ),
        rules=(arguments.one_for_each_stage("widths"), pointwise_exist),
    ),
    card=_card(
        "A", 132_863_336, 7_609_090_048, _dense(29.6, 10.4, _256), torchvision(30.98, 11.372)
    ),
    recipe=RECIPE,
    paper_recipe="vgg",
    weights=(from_hub("vgg11", TORCH_NAMES),),
)

VGG11LRN = VGG11.variant(
    "vgg11_lrn",
    card=_card("A-LRN", 132_863_336, 7_609_090_048, _dense(29.7, 10.5, _256)),
    weights=(),
    norm="lrn",
)

VGG13 = VGG11.variant(
    "vgg13",
    card=_card(
        "B",
        133_047_848,
        11_308_466_176,
        _dense(28.7, 9.9, _256),
        _dense(28.2, 9.6, "S=256, Q=224, 256 and 288", table=4),
        torchvision(30.072, 10.754),
    ),
    weights=(from_hub("vgg13", TORCH_NAMES),),
    depths=(2, 2, 2, 2, 2),
)

VGG16 = VGG11.variant(
    "vgg16",
    card=_card(
        "D",
        138_357_544,
        15_470_264_320,
        _dense(27.0, 8.8, _256),
        _dense(26.8, 8.7, _384),
        _dense(25.6, 8.1, _JITTER),
        _dense(24.8, 7.5, _MULTI, table=4),
        result((24.4, 7.2), "dense and multi-crop", "table 5"),
        result((28.07, 9.33), "10 crops", "He et al., arXiv:1512.03385, table 3"),
        torchvision(28.408, 9.618),
    ),
    weights=(
        from_hub("vgg16", TORCH_NAMES, revision="b8d8aa2dd860af9233c8c67385a8097fd6c35d3f"),
        from_keras(
            "vgg16/vgg16",
            "64373286793e3c8b2b4e3219cbf3544b",
            "6d6bbae143d832006294945121d1f1fc",
            CAFFE,
        ),
    ),
    depths=(2, 2, 3, 3, 3),
)

VGG16C = VGG16.variant(
    "vgg16_c",
    card=_card(
        "C",
        133_638_952,
        11_770_888_192,
        _dense(28.1, 9.4, _256),
        _dense(28.1, 9.3, _384),
        _dense(27.3, 8.8, _JITTER),
        _dense(26.3, 8.2, _MULTI, table=4),
    ),
    weights=(),
    pointwise_blocks=3,
)

VGG19 = VGG11.variant(
    "vgg19",
    card=_card(
        "E",
        143_667_240,
        19_632_062_464,
        _dense(27.3, 9.0, _256),
        _dense(26.9, 8.7, _384),
        _dense(25.5, 8.0, _JITTER),
        _dense(24.8, 7.5, _MULTI, table=4),
        result((24.4, 7.1), "dense and multi-crop", "table 5"),
        torchvision(27.624, 9.124),
    ),
    weights=(
        from_hub("vgg19", TORCH_NAMES),
        from_keras(
            "vgg19/vgg19",
            "cbe5617147190e668d6c5d5026f83318",
            "253f8cb515780f3b799900260a226db6",
            CAFFE,
        ),
    ),
    depths=(2, 2, 4, 4, 4),
)


def _with_batch_norm(plain: Architecture, params: int, top1: float, top5: float) -> Architecture:
    """torchvision's form: batch normalization before each ReLU, and a 7×7 grid before fc1."""
    assert plain.card.macs is not None
    return plain.variant(
        f"{plain.name}_bn",
        card=_card(
            "",  # the paper has no such network
            params,
            plain.card.macs,
            torchvision(top1, top5),
            preprocessing=published.TORCH,
            deviations=("Batch normalization isn't in the paper; this is torchvision's form.",),
        ),
        recipe=replace(
            RECIPE, learning_rate=1e-3, source="ours; torchvision's is that of the paper"
        ),
        weights=(from_hub(f"{plain.name}_bn", TORCH_NAMES),),
        norm="batch",
        grid=7,
    )


VGG11BN = _with_batch_norm(VGG11, 132_868_840, 29.63, 10.19)
VGG13BN = _with_batch_norm(VGG13, 133_053_736, 28.414, 9.626)
VGG16BN = _with_batch_norm(VGG16, 138_365_992, 26.64, 8.484)
VGG19BN = _with_batch_norm(VGG19, 143_678_248, 25.782, 8.158)
