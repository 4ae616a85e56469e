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
from kerascnn.applications import arguments, common, published
from kerascnn.applications.common import result
from kerascnn.applications.published import decode_predictions as decode_predictions
from kerascnn.architecture import Architecture
from kerascnn.card import Card, Claim, PaperRow, PaperTable, Result, Source, TorchNames
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.space import Param, Range, Space

preprocess_input = published.preprocess_for(published.TORCH)


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
    unit = common.ConvUnit(
        activation=activation,
        epsilon=bn_epsilon,
        momentum=bn_momentum,
        use_bias=use_bias,
        initializer="he_normal",
    )

    def norm_act_conv(x: Any, filters: int, kernel: int, before: str, name: str) -> Any:
        """Section 3, "composite function": normalization, non-linearity, convolution."""
        x = unit.norm_act(x, name=before)
        x = unit.conv(x, filters, kernel, name=f"{name}_conv")
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

    x = unit.conv(x, stem_width, stem_kernel, strides=stem_stride, name="conv1_conv")
    if stem_pool != "none":  # else the first layer's own normalization follows
        x = common.pool_stem(unit.norm_act(x, name="conv1"), stem_pool, 3, strides=2)
    for stage, (depth, kernel) in enumerate(zip(depths, kernels), start=2):
        if stage > 2:
            x = transition(x, f"pool{stage - 1}")
        for number in range(1, depth + 1):
            x = dense_layer(x, kernel, f"conv{stage}_block{number}")
    x = blocks.batch_norm(x, name="bn", epsilon=bn_epsilon, momentum=bn_momentum)
    return blocks.activation(x, activation, name=activation)


SPACE = Space(
    (
        arguments.depths((6, 12, 24, 16), Range(2, 48, step=2), "Layers of each dense block."),
        arguments.kernel(
            "kernels", (3, 3, 3, 3), "Side k of each block's k×k convolutions.", per="depths"
        ),
        Param(
            "growth_rate",
            32,
            Range(8, 48, step=4),
            legal=Range(1, 1024),
            help="Maps that each layer adds.",
        ),
        Param(
            "bottleneck",
            True,
            (True, False),
            off=False,
            help="A 1×1 convolution before each k×k one.",
        ),
        arguments.ratio(
            4,
            (2, 4, 6, 8),
            "Maps that it leaves, as a multiple of the growth rate.",
            when=("bottleneck", (True,)),
        ),
        Param(
            "compression",
            0.5,
            Range(0.25, 1.0),
            legal=Range(0.01, 1.0),
            off=1.0,
            help="The share of the maps that a transition keeps.",
        ),
        Param(
            "transition_pool", "avg", ("avg", "max"), help="Kind of 2×2 pooling in the transitions."
        ),
        *arguments.stem(64, 7, strides=2),
        *arguments.unit("relu", use_bias=False, epsilon=1e-5, momentum=0.9),
        arguments.dropout(0.0, "Dropout after each convolution but the first."),
    ),
    rules=(arguments.one_for_each_stage("kernels"),),
)
IMAGENET_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=1e-4,
    batch_size=256,
    epochs=90,
    augmentation=Augmentation(zoom=0.2, flip=True),
    source="SGD, rate, batch, decay and 90 epochs: section 4.2. The cosine schedule instead of two "
    "drops, and a random zoom instead of crops of random scale and colour: ours.",
)
CIFAR_RECIPE = replace(
    IMAGENET_RECIPE,
    batch_size=64,
    epochs=300,
    augmentation=Augmentation(shift=4 / 32, flip=True),
    source="SGD, rate, batch, decay, 300 epochs, shifts by up to 4 pixels and flips: section 4.2. "
    "The cosine schedule instead of two drops: ours.",
)
CARD = Card(
    title="Densely Connected Convolutional Networks",
    authors="Huang, Liu, van der Maaten, Weinberger",
    year=2017,
    link="arXiv:1608.06993",
    input_shape=(224, 224, 3),
    classes=1000,
    smallest_input=(29, 29),
    preprocessing=published.TORCH,
)
CIFAR_CARD = replace(
    CARD, input_shape=(32, 32, 3), classes=10, smallest_input=(4, 4), preprocessing=published.CIFAR
)
FIRST = "16 filters in the first convolution as in the paper; the authors' code has 2k."

# The families that the rows below belong to; `COMPACT` is DenseNet-BC.
DENSE = Architecture(
    name="dense",
    build=build,
    space=SPACE,
    card=CARD,
    recipe=IMAGENET_RECIPE,
    paper_recipe="densenet",
)
SMALL = DENSE.variant(
    "small",
    card=replace(CIFAR_CARD, deviations=(FIRST,)),
    recipe=CIFAR_RECIPE,
    paper_recipe="densenet_cifar",
    depths=(12, 12, 12),
    kernels=(3, 3, 3),
    bottleneck=False,
    compression=1.0,
    stem_width=16,
    stem_kernel=3,
    stem_stride=1,
    stem_pool="none",
)
COMPACT = SMALL.variant("compact", card=CIFAR_CARD, bottleneck=True, compression=0.5)


def crops(one: tuple[float, float], ten: tuple[float, float]) -> tuple[Result, Result]:
    """Both errors on ImageNet, from one crop and from ten."""
    single = result(one, "single crop, table 3", CARD.link)
    return single, result(ten, "10 crops, table 3", CARD.link)


RELEASED = result(22.2, "single crop, released Torch model", "liuzhuang13/DenseNet", common.TOP1)
RESULTS: dict[str, tuple[Result, ...]] = {
    "densenet121": (*crops((25.02, 7.71), (23.61, 6.66)), published.torchvision(25.566, 8.028)),
    "densenet161": (RELEASED, published.torchvision(22.862, 6.44)),
    "densenet169": (*crops((23.8, 6.85), (22.08, 5.92)), published.torchvision(24.4, 7.194)),
    "densenet201": (*crops((22.58, 6.34), (21.46, 5.54)), published.torchvision(23.104, 6.63)),
    "densenet264": crops((22.15, 6.12), (20.8, 5.29)),
}


# Of torchvision, whose blocks are counted from 1.
TORCH_NAMES = TorchNames(
    family="densenet",
    first=("features.conv0",),
    layers={
        "features.conv0": "conv1_conv",
        "features.norm0": "conv1_bn",
        "features.denseblock{s}.denselayer{b}.norm{k}": "conv{s+1}_block{b}_{k-1}_bn",
        "features.denseblock{s}.denselayer{b}.conv{k}": "conv{s+1}_block{b}_{k}_conv",
        # Checkpoints from before torchvision 0.2.
        "features.denseblock{s}.denselayer{b}.norm.{k}": "conv{s+1}_block{b}_{k-1}_bn",
        "features.denseblock{s}.denselayer{b}.conv.{k}": "conv{s+1}_block{b}_{k}_conv",
        "features.transition{s}.norm": "pool{s+1}_bn",
        "features.transition{s}.conv": "pool{s+1}_conv",
        "features.norm5": "bn",
        "classifier": "logits",
    },
)


def both(name: str, top: str, no_top: str) -> tuple[Source, Source]:
    """Those of torchvision and of keras.applications, which were converted from them."""
    return (
        published.from_hub(name, TORCH_NAMES),
        published.from_keras(f"densenet/{name}", top, no_top, published.TORCH),
    )


WEIGHTS: dict[str, tuple[Source, ...]] = {
    "densenet121": both(
        "densenet121", "9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"
    ),
    "densenet161": (published.from_hub("densenet161", TORCH_NAMES),),
    "densenet169": both(
        "densenet169", "d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"
    ),
    "densenet201": both(
        "densenet201", "1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"
    ),
}


def _table_1() -> PaperTable:
    """The sizes of the maps, which table 1 has for all columns alike."""
    rows = [
        PaperRow("convolution", ("conv1_*",), (112, 112)),
        PaperRow("pooling", ("pool1_*",), (56, 56)),
    ]
    for block, side in enumerate((56, 28, 14, 7), start=1):
        rows.append(PaperRow(f"dense block ({block})", (f"conv{block + 1}_*",), (side, side)))
        if block < 4:
            half = (side // 2, side // 2)
            rows.append(PaperRow(f"transition ({block})", (f"pool{block + 1}_*",), half))
    rows.append(PaperRow("1000D fully-connected", ("logits",), (1000,)))
    return PaperTable(source="table 1", rows=tuple(rows))


def imagenet(
    name: str,
    depths: tuple[int, ...],
    params: int,
    macs: int,
    *deviations: str,
    growth_rate: int = 32,
) -> Architecture:
    """A column of table 1; the stem has 2k filters."""
    card = replace(
        CARD,
        params=params,
        macs=macs,
        results=RESULTS[name],
        table=_table_1(),
        claims=CLAIMS.get(name, ()),
        deviations=deviations,
    )
    width: dict[str, Any] = {"growth_rate": growth_rate, "stem_width": 2 * growth_rate}
    return DENSE.variant(name, card=card, weights=WEIGHTS.get(name, ()), depths=depths, **width)


TABLE_2: dict[str, tuple[float | None, ...]] = {  # errors on CIFAR-10, 10+, 100 and 100+
    "densenet40_k12_cifar": (7.0, 5.24, 27.55, 24.42),
    "densenet100_k12_cifar": (5.77, 4.1, 23.79, 20.2),
    "densenet100_k24_cifar": (5.83, 3.74, 23.42, 19.25),
    "densenetbc100_k12_cifar": (5.92, 4.51, 24.15, 22.27),
    "densenetbc190_k40_cifar": (None, 3.46, None, 17.18),
    "densenetbc250_k24_cifar": (5.19, 3.62, 19.64, 17.6),
}


PARAMS_OF_TABLE_2 = {
    "densenet40_k12_cifar": "1.0M",
    "densenet100_k12_cifar": "7.0M",
    "densenet100_k24_cifar": "27.2M",
    "densenetbc100_k12_cifar": "0.8M",
    "densenetbc190_k40_cifar": "25.6M",
    "densenetbc250_k24_cifar": "15.3M",
}
CLAIMS: dict[str, tuple[Claim, ...]] = {
    "densenet201": (
        Claim(says="20M parameters", value="20M", quantity="params", source="section 4.4"),
    ),
    "densenetbc100_k12_cifar": (
        Claim(
            says="90% fewer parameters than the pre-activation ResNet of 1001 layers",
            value="10%",
            quantity="params",
            form="share",
            network="resnet1001v2_cifar",
            source="section 4.3",
            note="93% fewer.",
        ),
    ),
}


def table_2(name: str) -> tuple[Result, ...]:
    """A row; "+" is with augmentation."""
    without, augmented = "no augmentation, dropout=0.2", "shifts and flips in training"
    cifar_10, cifar_100 = "CIFAR-10 test", "CIFAR-100 test"
    columns = zip((without, augmented) * 2, (cifar_10, cifar_10, cifar_100, cifar_100))
    return tuple(
        result(error, training, "table 2", common.ERROR, dataset)
        for error, (training, dataset) in zip(TABLE_2[name], columns)
        if error is not None
    )


def stated(name: str) -> dict[str, Any]:
    """What table 2 and the text say of a network for CIFAR."""
    table = PaperTable(source="table 2", params=PARAMS_OF_TABLE_2[name])
    return {"results": table_2(name), "table": table, "claims": CLAIMS.get(name, ())}


def cifar(name: str, layers: int, growth_rate: int, params: int, macs: int) -> Architecture:
    """A row of table 2: three blocks of k×k convolutions."""
    depth = (layers - 4) // 3  # the others: the first, two transitions, the classifier
    card = replace(SMALL.card, params=params, macs=macs, **stated(name))
    return SMALL.variant(name, card=card, depths=(depth,) * 3, growth_rate=growth_rate)


def compact(name: str, layers: int, growth_rate: int, params: int, macs: int) -> Architecture:
    """A row of DenseNet-BC: a layer is two convolutions, and the stem has 2k filters."""
    depth = (layers - 4) // 6
    card = replace(COMPACT.card, params=params, macs=macs, **stated(name))
    width: dict[str, Any] = {"growth_rate": growth_rate, "stem_width": 2 * growth_rate}
    return COMPACT.variant(name, card=card, depths=(depth,) * 3, **width)


# Layers of each block, parameters, multiply-adds.
DenseNet121 = imagenet("densenet121", (6, 12, 24, 16), 7_978_856, 2_834_161_664)
DenseNet161 = imagenet(
    "densenet161",
    (6, 12, 36, 24),
    28_681_000,
    7_727_907_072,
    "From the paper's first version and the released models, not in the last version.",
    growth_rate=48,
)
DenseNet169 = imagenet("densenet169", (6, 12, 32, 32), 14_149_480, 3_359_843_328)
DenseNet201 = imagenet("densenet201", (6, 12, 48, 32), 20_013_928, 4_291_365_888)
DenseNet264 = imagenet("densenet264", (6, 12, 64, 48), 33_337_704, 5_751_653_376)
# Layers, k, parameters, multiply-adds.
DenseNet40K12CIFAR = cifar("densenet40_k12_cifar", 40, 12, 1_019_722, 264_812_928)
DenseNet100K12CIFAR = cifar("densenet100_k12_cifar", 100, 12, 6_979_642, 1_769_516_448)
DenseNet100K24CIFAR = cifar("densenet100_k24_cifar", 100, 24, 27_249_082, 6_889_347_744)
DenseNetBC100K12CIFAR = compact("densenetbc100_k12_cifar", 100, 12, 769_162, 287_929_692)
DenseNetBC190K40CIFAR = compact("densenetbc190_k40_cifar", 190, 40, 25_624_430, 9_301_945_740)
DenseNetBC250K24CIFAR = compact("densenetbc250_k24_cifar", 250, 24, 15_324_406, 5_418_785_724)
