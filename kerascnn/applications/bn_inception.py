"""BN-Inception: batch normalization (Ioffe, Szegedy, 2015), and the inception network it made fast.

Normalizing each map by the batch's own mean and variance lets the network train with rates that
would otherwise diverge: it reaches GoogLeNet's accuracy in a fourteenth of the steps. Two 3×3
convolutions take the place of the 5×5, most modules pool by averages, and those that end a stage
halve the map themselves: they have no 1×1 branch, and pass their maximum on unprojected.

`GoogLeNetBN` is what torchvision and TF-Slim call GoogLeNet: the modules of 2014 with batch
normalization in place of biases and response normalization, 3×3 convolutions in place of the 5×5,
and 2×2 windows in the last pooling.

Deviations: figure 5 contradicts itself: its modules 4c and 4d add up to 608 maps where it prints
576. As in the public models, these are 608 here (1056 after 4e); `pool_proj` of 96 there gives
576. The first convolution is plain; the paper's is separable with depth multiplier 8, which it
counts within 13.6 million parameters.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, NamedTuple

from kerascnn import blocks
from kerascnn.applications import arguments, common, inception, published
from kerascnn.applications.common import ConvUnit, result
from kerascnn.applications.googlenet import GoogLeNet
from kerascnn.architecture import Architecture
from kerascnn.card import Card, PaperTable, Preprocessing, TorchNames
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.space import Param, Space


class Module(NamedTuple):
    """The filters of one module, 0 where it lacks the branch, and its pooling."""

    conv_1x1: int
    reduce_3x3: int
    conv_3x3: int
    reduce_double: int
    conv_double: int
    pool_proj: int
    module_pools: str


FIGURE_5 = {
    "3a": Module(64, 64, 64, 64, 96, 32, "avg"),  # 28×28, 256 maps
    "3b": Module(64, 64, 96, 64, 96, 64, "avg"),  # 320
    "3c": Module(0, 128, 160, 64, 96, 0, "max"),  # to 14×14, 576
    "4a": Module(224, 64, 96, 96, 128, 128, "avg"),
    "4b": Module(192, 96, 128, 96, 128, 128, "avg"),
    "4c": Module(160, 128, 160, 128, 160, 128, "avg"),  # 608
    "4d": Module(96, 128, 192, 160, 192, 128, "avg"),
    "4e": Module(0, 128, 192, 192, 256, 0, "max"),  # to 7×7, 1056
    "5a": Module(352, 192, 320, 160, 224, 128, "avg"),  # 1024
    "5b": Module(352, 192, 320, 192, 224, 128, "max"),
}


def inception_module(
    x: Any,
    module: Module,
    unit: ConvUnit,
    *,
    name: str,
    kernel_3x3: int,
    kernel_double: int,
    strides: int,
) -> Any:
    """Figure 5; with `strides=2` the last layer of each branch halves the map."""
    wide = unit(x, module.reduce_3x3, 1, name=f"{name}_3x3_reduce")
    wide = unit(wide, module.conv_3x3, kernel_3x3, strides=strides, name=f"{name}_3x3")
    wider = unit(x, module.reduce_double, 1, name=f"{name}_double_reduce")
    wider = unit(wider, module.conv_double, kernel_double, name=f"{name}_double_1")
    wider = unit(wider, module.conv_double, kernel_double, strides=strides, name=f"{name}_double_2")
    branches = [wide, wider]
    if module.conv_1x1:
        branches.insert(0, unit(x, module.conv_1x1, 1, strides=strides, name=f"{name}_1x1"))
    if strides == 1:
        pooled = blocks.pool(x, module.module_pools, 3, strides=1, padding=1, name=f"{name}_pool")
    else:
        # Caffe's pooling that rounds up, at even sizes; at odd ones, where Caffe's map would be
        # smaller than the convolutions', one window more.
        ends = (0, 2, 0, 2)
        pooled = blocks.pool(
            x, module.module_pools, 3, strides=2, padding=ends, name=f"{name}_pool"
        )
    if module.pool_proj:
        pooled = unit(pooled, module.pool_proj, 1, name=f"{name}_pool_proj")
    return blocks.concat(*branches, pooled, name=name)


def build(
    x: Any,
    *,
    depths: tuple[int, ...],
    conv_1x1: tuple[int, ...],
    reduce_3x3: tuple[int, ...],
    conv_3x3: tuple[int, ...],
    reduce_double: tuple[int, ...],
    conv_double: tuple[int, ...],
    pool_proj: tuple[int, ...],
    module_pools: tuple[str, ...],
    kernels_3x3: tuple[int, ...],
    kernels_double: tuple[int, ...],
    stem_widths: tuple[int, ...],
    stem_kernel: int,
    order: str,
    activation: str,
    use_bias: bool,
    bn_epsilon: float,
    bn_momentum: float,
) -> Any:
    """The stem of GoogLeNet, and stages of modules; the last of each but the last stage halves."""
    unit = inception.conv_unit("batch", order, activation, use_bias, bn_epsilon, bn_momentum)
    columns = zip(
        conv_1x1, reduce_3x3, conv_3x3, reduce_double, conv_double, pool_proj, module_pools
    )
    names = inception.modules(depths)
    x = inception.stem(x, unit, stem_widths, (stem_kernel, 1, 3), strides=2, pool_size=3)
    kernels = zip(kernels_3x3, kernels_double)
    for name, following, row, sides in zip(names, [*names[1:], names[-1]], columns, kernels):
        x = inception_module(
            x,
            Module(*row),
            unit,
            name=f"inception_{name}",
            kernel_3x3=sides[0],
            kernel_double=sides[1],
            strides=1 if following[0] == name[0] else 2,
        )
    return x


branch = functools.partial(inception.branch_param, FIGURE_5)
kernels = functools.partial(inception.kernels_param, FIGURE_5)
SPACE = Space(
    (
        inception.depths_param((3, 5, 2)),
        branch("conv_1x1", "Filters of each module's 1×1 branch; 0: none.", least=0),
        branch("reduce_3x3", "1×1 filters before each module's 3×3."),
        branch("conv_3x3", "Filters of each module's 3×3."),
        branch("reduce_double", "1×1 filters before each module's double 3×3."),
        branch("conv_double", "Filters of both convolutions of each module's double 3×3."),
        branch("pool_proj", "1×1 filters behind each module's pooling; 0: none.", least=0),
        Param(
            "module_pools",
            tuple(module.module_pools for module in FIGURE_5.values()),
            ("avg", "max"),
            help="Kind of pooling inside of each module.",
        ),
        kernels("kernels_3x3", 3, "Side of the convolution in each module's 3×3 branch."),
        kernels(
            "kernels_double",
            3,
            "Side of both convolutions in each module's double 3×3 branch.",
            formerly="kernel_3x3",
        ),
        *inception.stem_params((64, 64, 192), 7),
        arguments.order("conv-bn-act"),
        *arguments.unit("relu", use_bias=False, epsilon=1e-5, momentum=0.9),
        arguments.dropout(0.0, "Dropout before the classifier."),
    ),
    rules=(inception.one_for_each_module(*Module._fields), inception.three_stem_widths),
)

BNInception = Architecture(
    name="bn_inception",
    build=build,
    head=common.pooled_head,
    space=SPACE,
    card=Card(
        title="Batch Normalization: Accelerating Deep Network Training by Reducing Internal "
        "Covariate Shift",
        authors="Ioffe, Szegedy",
        year=2015,
        link="arXiv:1502.03167",
        input_shape=(224, 224, 3),
        classes=1000,
        params=11_285_224,
        macs=2_032_600_064,
        smallest_input=(23, 23),
        preprocessing=Preprocessing(scale=1.0, mean=(104.0, 117.0, 128.0), order="BGR"),
        results=(
            result((25.2, 7.82), "1 crop, BN-x30", "figure 4"),
            result((21.99, 5.82), "144 crops", "figure 4"),
            result((20.1, 4.9), "6 models, 144 crops", "figure 4"),
        ),
        table=PaperTable(
            source="section 4.2",
            params="13.6M",
            note="The widths of figure 5 don't add up to it; what else is counted isn't known.",
        ),
        deviations=(
            "Modules 4c and 4d have 608 maps, the sum of what figure 5 lists; it prints 576.",
            "Maps of odd sizes are rounded up in all branches; Caffe rounds the pooled one down.",
            "The first convolution is plain; the paper's is separable (depth multiplier 8).",
        ),
    ),
    recipe=Recipe(
        optimizer="sgd",
        learning_rate=0.045,
        batch_size=32,
        epochs=30,
        weight_decay=4e-5,
        augmentation=Augmentation(zoom=0.2, shift=0.1, flip=True),
        source="The rate (BN-x30), the batch and no dropout: section 4.2. Momentum 0.9, decay, "
        "cosine schedule, epochs and augmentation: ours.",
    ),
    paper_recipe="bn_inception",
)

# Of torchvision: each convolution is a `conv` and a `bn`, branches in the order of figure 2b.
TORCH_UNITS = {
    "conv1": "conv1",
    "conv2": "conv2_reduce",
    "conv3": "conv2",
    "inception{m}.branch1": "inception_{m}_1x1",
    "inception{m}.branch2.0": "inception_{m}_3x3_reduce",
    "inception{m}.branch2.1": "inception_{m}_3x3",
    "inception{m}.branch3.0": "inception_{m}_5x5_reduce",
    "inception{m}.branch3.1": "inception_{m}_5x5",
    "inception{m}.branch4.1": "inception_{m}_pool_proj",
    "aux{n}.conv": "aux{n}_conv",
}
TORCH_NAMES = TorchNames(
    family="googlenet",
    first=("conv1.conv",),
    layers={
        **{f"{theirs}.conv": ours for theirs, ours in TORCH_UNITS.items()},
        **{f"{theirs}.bn": f"{ours}_bn" for theirs, ours in TORCH_UNITS.items()},
        "aux{n}.fc1": "aux{n}_fc",
        "aux{n}.fc2": "aux{n}_logits",
        "fc": "logits",
    },
    flattened=("aux{n}.fc1", "aux{n}.conv.conv"),
    epsilon=1e-3,
)

GoogLeNetBN = GoogLeNet.variant(
    "googlenet_bn",
    kernels_5x5=3,
    last_pool=2,
    normalization="batch",
    use_bias=False,
    bn_epsilon=1e-3,
    dropout=0.2,
    auxiliary_pool="grid",
    card=replace(
        GoogLeNet.card,
        params=6_624_904,
        macs=1_498_376_192,
        smallest_input=(31, 31),
        preprocessing=published.TORCH,
        results=(published.torchvision(30.222, 10.47),),
        table=None,
        claims=(),
        deviations=(
            "Not the paper's network but torchvision's: batch normalization, 3×3 in place of 5×5, "
            "2×2 windows in the last pooling, the auxiliary maps pooled to 4×4 at every size.",
            "torchvision's weights expect pixels in [-1, 1]: it rescales them (transform_input).",
        ),
    ),
    weights=(
        published.from_torch(
            "googlenet-1378be20.pth", "1378be20", TORCH_NAMES, published.SYMMETRIC
        ),
    ),
)
