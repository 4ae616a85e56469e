"""GoogLeNet: the inception module (Szegedy and eight others, 2014).

Convolutions of several sizes look at the same map side by side. 1×1 convolutions before the
expensive ones, and behind the pooling, reduce the number of maps: module 3a needs 163,696
parameters, and 387,296 without them (`reduce=False`, the "naïve" module of figure 2a). The network
has 22 layers and a twelfth of AlexNet's parameters. `auxiliary=True` adds the two classifiers on
4a and 4d that are for training only; their losses count 0.3.

What torchvision and TF-Slim call GoogLeNet is `GoogLeNetBN`, in `bn_inception`.

Deviations: the paper gives no constants for response normalization; these are the released Caffe
model's (n = 5, α = 1e-4 divided by n, β = 0.75, k = 1). Biases begin at 0, there at 0.2.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from kerascnn import blocks
from kerascnn.applications import arguments, common, inception
from kerascnn.applications.common import ConvUnit, result
from kerascnn.architecture import Architecture
from kerascnn.card import Card, Claim, PaperRow, PaperTable, Preprocessing
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.space import Param, Range, Space


class Widths(NamedTuple):
    """The filters of one module; the reductions are those of the 1×1 before a larger one."""

    conv_1x1: int
    reduce_3x3: int
    conv_3x3: int
    reduce_5x5: int
    conv_5x5: int
    pool_proj: int


TABLE_1 = {
    "3a": Widths(64, 96, 128, 16, 32, 32),  # 28×28, 256 maps
    "3b": Widths(128, 128, 192, 32, 96, 64),  # 480
    "4a": Widths(192, 96, 208, 16, 48, 64),  # 14×14, 512
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),  # 528
    "4e": Widths(256, 160, 320, 32, 128, 128),  # 832
    "5a": Widths(256, 160, 320, 32, 128, 128),  # 7×7
    "5b": Widths(384, 192, 384, 48, 128, 128),  # 1024
}
AUXILIARY_AT = ("4a", "4d")
# The released Caffe model's; the paper has none.
LRN: dict[str, Any] = {"size": 5, "k": 1.0, "alpha": 1e-4, "beta": 0.75, "divide_alpha": True}


def module(
    x: Any,
    widths: Widths,
    unit: ConvUnit,
    name: str,
    kernel_3x3: int = 3,
    kernel_5x5: int = 5,
    pool: str = "max",
    reduce: bool = True,
) -> Any:
    """Figure 2b, or without the reductions 2a: four branches, one behind the other in the maps."""
    wide, wider, pooled = x, x, blocks.pool(x, pool, 3, strides=1, padding=1, name=f"{name}_pool")
    if reduce:
        wide = unit(x, widths.reduce_3x3, 1, name=f"{name}_3x3_reduce")
        wider = unit(x, widths.reduce_5x5, 1, name=f"{name}_5x5_reduce")
        pooled = unit(pooled, widths.pool_proj, 1, name=f"{name}_pool_proj")
    return blocks.concat(
        unit(x, widths.conv_1x1, 1, name=f"{name}_1x1"),
        unit(wide, widths.conv_3x3, kernel_3x3, name=f"{name}_3x3"),
        unit(wider, widths.conv_5x5, kernel_5x5, name=f"{name}_5x5"),
        pooled,
        name=name,
    )


def build(
    x: Any,
    *,
    depths: tuple[int, ...],
    reduce: bool,
    conv_1x1: tuple[int, ...],
    reduce_3x3: tuple[int, ...],
    conv_3x3: tuple[int, ...],
    reduce_5x5: tuple[int, ...],
    conv_5x5: tuple[int, ...],
    pool_proj: tuple[int, ...],
    kernels_3x3: tuple[int, ...],
    kernels_5x5: tuple[int, ...],
    module_pool: str,
    last_pool: int,
    stem_widths: tuple[int, ...],
    stem_kernel: int,
    normalization: str,
    order: str,
    activation: str,
    use_bias: bool,
    bn_epsilon: float,
    bn_momentum: float,
) -> Any:
    """Table 1: the stem, and stages of inception modules with a max pooling before each."""
    unit = inception.conv_unit(normalization, order, activation, use_bias, bn_epsilon, bn_momentum)
    columns = zip(conv_1x1, reduce_3x3, conv_3x3, reduce_5x5, conv_5x5, pool_proj)
    lrn = LRN if normalization == "lrn" else None
    stem_kernels = (stem_kernel, 1, 3)
    x = inception.stem(x, unit, stem_widths, stem_kernels, strides=2, pool_size=3, lrn=lrn)
    kernels = zip(kernels_3x3, kernels_5x5)
    for name, row, sides in zip(inception.modules(depths), columns, kernels):
        if name.endswith("a") and name != "3a":
            stage = int(name[0])
            size = last_pool if stage == len(depths) + 2 else 3
            x = blocks.max_pool(x, size, strides=2, ceil=True, name=f"pool{stage - 1}")
        widths, name = Widths(*row), f"inception_{name}"
        x = module(x, widths, unit, name, *sides, module_pool, reduce)
    return x


def head(
    x: Any,
    *,
    classes: int,
    dropout: float,
    auxiliary: bool,
    auxiliary_dropout: float,
    auxiliary_pool: str,
    normalization: str,
    order: str,
    activation: str,
    use_bias: bool,
    bn_epsilon: float,
    bn_momentum: float,
) -> Any:
    """The classifier; with `auxiliary` a list of it and of the two on modules 4a and 4d."""
    unit = inception.conv_unit(normalization, order, activation, use_bias, bn_epsilon, bn_momentum)

    def auxiliary_head(x: Any, name: str) -> Any:
        """Section 5, the list at its end."""
        if auxiliary_pool == "grid":
            x = blocks.grid_pool(x, 4, name=f"{name}_pool")
        else:
            x = blocks.avg_pool(x, 5, strides=3, ceil=True, name=f"{name}_pool")
        x = unit(x, 128, 1, name=f"{name}_conv")  # 4×4 at 224×224
        x = blocks.dense(blocks.flatten(x, name=f"{name}_flatten"), 1024, name=f"{name}_fc")
        x = blocks.activation(x, activation, name=f"{name}_fc_{activation}")
        x = blocks.dropout(x, auxiliary_dropout, name=f"{name}_dropout")
        return blocks.logits(x, classes, name=f"{name}_logits")

    logits = common.pooled_head(x, classes=classes, dropout=dropout)
    if not auxiliary:
        return logits
    inner = [blocks.tensor_at(x, f"inception_{module}") for module in AUXILIARY_AT]
    return [logits, *(auxiliary_head(tensor, f"aux{i}") for i, tensor in enumerate(inner, start=1))]


def auxiliary_modules_exist(values: Mapping[str, Any]) -> str | None:
    """Both auxiliary classifiers need their module."""
    if not values["auxiliary"] or set(AUXILIARY_AT) <= set(inception.modules(values["depths"])):
        return None
    return (
        f"auxiliary=True needs the modules {' and '.join(AUXILIARY_AT)}, so at least 4 in the "
        f"second stage. Received: depths={values['depths']}."
    )


branch = functools.partial(inception.branch_param, TABLE_1)
kernels = functools.partial(inception.kernels_param, TABLE_1)
NORM = ("normalization", ("batch",))
REDUCE = ("reduce", (True,))
AUX = ("auxiliary", (True,))
SPACE = Space(
    (
        inception.depths_param((2, 5, 2)),
        Param(
            "reduce",
            True,
            off=False,
            help="1×1 convolutions that reduce the maps; False: naïve modules.",
        ),
        branch("conv_1x1", "Filters of each module's 1×1 branch."),
        branch("reduce_3x3", "1×1 filters before each module's 3×3.", when=REDUCE),
        branch("conv_3x3", "Filters of each module's 3×3."),
        branch("reduce_5x5", "1×1 filters before each module's 5×5.", when=REDUCE),
        branch("conv_5x5", "Filters of each module's 5×5."),
        branch("pool_proj", "1×1 filters behind each module's pooling.", when=REDUCE),
        kernels("kernels_3x3", 3, "Side of the convolution in each module's 3×3 branch."),
        kernels("kernels_5x5", 5, "Side in each module's 5×5 branch (3 in torchvision)."),
        arguments.pool("max", "Kind of pooling inside of the modules.", name="module_pool"),
        Param("last_pool", 3, legal=Range(2, 7), help="Window of the last pooling between stages."),
        *inception.stem_params((64, 64, 192), 7),
        Param(
            "normalization",
            "lrn",
            ("lrn", "batch", "none"),
            off="none",
            help="Local response normalization in the stem, batch normalization everywhere, none.",
        ),
        arguments.order("conv-bn-act", when=NORM),
        *arguments.unit(
            "relu",
            use_bias=True,
            bias="Biases in the convolutions.",
            epsilon=1e-5,
            momentum=0.9,
            when=NORM,
        ),
        arguments.dropout(0.4, "Dropout before the classifier."),
        Param("auxiliary", False, off=False, help="Two more classifiers, for training."),
        Param(
            "auxiliary_dropout",
            0.7,
            legal=Range(0.0, 0.95),
            when=AUX,
            off=0.0,
            help="Dropout in them.",
        ),
        Param(
            "auxiliary_pool",
            "window",
            legal=("window", "grid"),
            when=AUX,
            help="5×5 windows with stride 3, or 4×4 parts of any map as in torchvision.",
        ),
    ),
    rules=(
        inception.one_for_each_module(*Widths._fields),
        inception.three_stem_widths,
        auxiliary_modules_exist,
    ),
)


def _sized(
    name: str, output: tuple[int, ...], params: str, operations: str, note: str = ""
) -> PaperRow:
    """A module's line of table 1."""
    ours = (f"inception_{name}", f"inception_{name}_*")
    return PaperRow(
        f"inception ({name})", ours, output, params=params, operations=operations, note=note
    )


ITS_WIDTHS = "The line's own widths give our number; its operations agree with them."
SIZES = PaperTable(
    source="table 1",
    rows=(
        PaperRow(
            "convolution 7×7/2",
            ("conv1",),
            (112, 112, 64),
            params="2.7K",
            operations="34M",
            note="7·7·3·64 are 9,408; 34M are 2.7K over 112·112 places.",
        ),
        PaperRow("max pool 3×3/2", ("pool1", "norm1"), (56, 56, 64)),
        PaperRow(
            "convolution 3×3/1",
            ("conv2_reduce", "conv2", "norm2"),
            (56, 56, 192),
            params="112K",
            operations="360M",
        ),
        PaperRow("max pool 3×3/2", ("pool2",), (28, 28, 192)),
        _sized("3a", (28, 28, 256), "159K", "128M"),
        _sized("3b", (28, 28, 480), "380K", "304M"),
        PaperRow("max pool 3×3/2", ("pool3",), (14, 14, 480)),
        _sized("4a", (14, 14, 512), "364K", "73M", ITS_WIDTHS),
        _sized("4b", (14, 14, 512), "437K", "88M", ITS_WIDTHS),
        _sized("4c", (14, 14, 512), "463K", "100M", ITS_WIDTHS),
        _sized("4d", (14, 14, 528), "580K", "119M", ITS_WIDTHS),
        _sized("4e", (14, 14, 832), "840K", "170M", ITS_WIDTHS),
        PaperRow("max pool 3×3/2", ("pool4",), (7, 7, 832)),
        _sized("5a", (7, 7, 832), "1072K", "54M", "The line's own widths give our numbers."),
        _sized("5b", (7, 7, 1024), "1388K", "71M", ITS_WIDTHS),
        PaperRow("avg pool 7×7/1", ("avg_pool",), (1, 1, 1024)),
        PaperRow("linear", ("logits",), (1, 1, 1000), params="1000K", operations="1M"),
    ),
    kilo=1024,
    note="Modules are counted with their biases, and a K of parameters is 1,024.",
)

GoogLeNet = Architecture(
    name="googlenet",
    build=build,
    head=head,
    space=SPACE,
    card=Card(
        title="Going Deeper with Convolutions",
        authors="Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
        year=2014,
        link="arXiv:1409.4842",
        input_shape=(224, 224, 3),
        classes=1000,
        params=6_998_552,
        macs=1_582_671_872,
        smallest_input=(47, 47),
        preprocessing=Preprocessing(scale=1.0, mean=(104.0, 117.0, 123.0), order="BGR"),
        results=(
            result(10.07, "1 crop", "table 3", common.TOP5),
            result(9.15, "10 crops", "table 3", common.TOP5),
            result(7.89, "144 crops", "table 3", common.TOP5),
            result(6.67, "7 models, 144 crops", "table 3", common.TOP5),
            result((31.3, 11.1), "224 centre crop", "BVLC GoogleNet"),
        ),
        table=SIZES,
        claims=(
            Claim(
                says="12 times fewer parameters than AlexNet",
                value="12",
                quantity="params",
                form="ratio",
                network="alexnet",
                source="section 1",
                note="12 would need 5.1 M. Without the classifier GoogLeNet has 5.97 M, which "
                "gives 10.2.",
            ),
            Claim(
                says="1.5 billion multiply-adds",
                value="1.5B",
                quantity="macs",
                source="section 1",
                note="Table 1 has 34M for the first convolution instead of 118M.",
            ),
        ),
        deviations=(
            "The paper gives no constants for response normalization; these are Caffe's.",
            "Biases begin at 0; in the released Caffe model at 0.2.",
            "Table 1 prints 2.7K parameters for the first convolution; 7·7·3·64 are 9,408.",
        ),
    ),
    recipe=Recipe(
        optimizer="sgd",
        learning_rate=0.01,
        batch_size=32,
        epochs=60,
        weight_decay=2e-4,
        augmentation=Augmentation(zoom=0.3, shift=0.1, flip=True),
        auxiliary_weight=0.3,
        source="Momentum 0.9 and the auxiliary weight: section 6; rate, batch and decay: the "
        "released Caffe model's solver. Cosine schedule, epochs and augmentation: ours.",
    ),
    paper_recipe="googlenet",
)
