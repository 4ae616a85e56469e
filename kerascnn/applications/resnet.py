"""ResNet: deep residual learning (He, Zhang, Ren, Sun, 2015), and the plain nets it is shown by.

Plain networks get worse, also on their training images, when they get deeper. A residual block
learns the difference to its input, `activation(x + F(x))`, so that a block that isn't needed can
become the identity: networks of 18 to 152 layers for ImageNet and up to 1202 for CIFAR.

`stride_in` says where a bottleneck halves the map: "1x1" is the paper, the authors' Caffe models
and keras.applications, "3x3" is Facebook's and torchvision's ("v1.5"). `shortcut` is the paper's
option A (identity, strided, padded with zero maps), B (projections where the shape changes) or
C (projections only); "none" gives the plain nets.

`output_stride` of 8 or 16 is for networks that answer at every place. Stages that would make the
stride of the last map larger are dilated instead, from the convolution that would have had the
stride (Yu, Koltun, Funkhouser, 2017, arXiv:1705.09914, section 2): with the same weights the map
has the paper's units, and others between them. With `stride_in="3x3"` that is torchvision's
`replace_stride_with_dilation`.

Deviations: pool1 is padded by a pixel on every side as in torchvision and keras.applications; the
authors' Caffe models round the size up instead (`stem_pool="caffe"`), the same size at 224×224.
Running averages take the place of statistics computed after training. For keras.applications'
arithmetic: `use_bias=True, bn_epsilon=1.001e-5, bn_momentum=0.99`.

Keras reads a `.keras` file by recursion; once `import kerascnn` has been said, files of several
hundred layers load, too.

`preprocess_input` is for the published weights of 50 layers and more, as in keras.applications;
those of ResNet18 and ResNet34 expect `ResNet18.preprocess_input(images, "imagenet")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from kerascnn import blocks
from kerascnn.applications import arguments, common, published
from kerascnn.applications.common import result
from kerascnn.applications.published import decode_predictions as decode_predictions
from kerascnn.architecture import Architecture
from kerascnn.card import Card, Claim, PaperRow, PaperTable, Result, Source, TorchNames
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.space import Param, Range, Space

preprocess_input = published.preprocess_for(published.CAFFE)


PAPERS_STRIDE = 32  # of table 1's last map; there is no limit then


class Step(NamedTuple):
    """How a block moves over its map: its stride, and the dilation before and behind that."""

    strides: int
    before: int
    behind: int


def build(
    x: Any,
    *,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    kernels: tuple[int, ...],
    block: str,
    bottleneck_ratio: int,
    stride_in: str,
    shortcut: str,
    stem_width: int,
    stem_kernel: int,
    stem_stride: int,
    stem_pool: str,
    output_stride: int,
    order: str,
    activation: str,
    use_bias: bool,
    bn_epsilon: float,
    bn_momentum: float,
) -> Any:
    """Table 1: a stem and stages of residual blocks; each stage but the first halves the map."""
    unit = common.ConvUnit(
        activation=activation,
        order=order,
        epsilon=bn_epsilon,
        momentum=bn_momentum,
        use_bias=use_bias,
        initializer="he_normal",
        suffix="_conv",
    )

    def basic(x: Any, width: int, kernel: int, step: Step, name: str) -> Any:
        """Figure 5, left."""
        x = unit(x, width, kernel, strides=step.strides, dilation=step.before, name=f"{name}_1")
        return unit(x, width, kernel, dilation=step.behind, name=f"{name}_2", activate=False)

    def bottleneck(x: Any, width: int, kernel: int, step: Step, name: str) -> Any:
        """Figure 5, right: the 1×1 convolutions reduce and restore the number of maps."""
        early = stride_in == "1x1"
        first, second = (step.strides, 1) if early else (1, step.strides)
        dilation = step.behind if early else step.before
        x = unit(x, width, 1, strides=first, name=f"{name}_1")
        x = unit(x, width, kernel, strides=second, dilation=dilation, name=f"{name}_2")
        return unit(x, width * bottleneck_ratio, 1, name=f"{name}_3", activate=False)

    def shortcut_to(branch: Any, x: Any, strides: int, name: str) -> Any:
        """Section 3.3 and 4.1: the input in the shape of the branch's output."""
        filters = branch.shape[-1]
        changes = strides > 1 or filters != x.shape[-1]
        if shortcut == "C" or (shortcut == "B" and changes):
            return unit(x, filters, 1, strides=strides, name=f"{name}_0", activate=False)
        if changes:
            return blocks.padded_identity(x, filters, strides, name=f"{name}_0_identity")
        return x

    residual = bottleneck if block == "bottleneck" else basic
    x = unit(x, stem_width, stem_kernel, strides=stem_stride, name="conv1")
    x = common.pool_stem(x, stem_pool, 3, strides=2)
    reached, dilation = stem_stride * (1 if stem_pool == "none" else 2), 1
    for stage, (depth, width, kernel) in enumerate(zip(depths, widths, kernels), start=2):
        dilates = output_stride != PAPERS_STRIDE and reached * 2 > output_stride
        for number in range(1, depth + 1):
            name = f"conv{stage}_block{number}"
            step = Step(1, dilation, dilation)
            if stage > 2 and number == 1:
                step = Step(1, dilation, 2 * dilation) if dilates else Step(2, dilation, dilation)
            reached, dilation = reached * step.strides, step.behind
            branch = residual(x, width, kernel, step, name)
            if shortcut != "none":
                x = shortcut_to(branch, x, step.strides, name)
                branch = blocks.add(x, branch, name=f"{name}_add")
            x = blocks.activation(branch, activation, name=f"{name}_out")
    return x


def maps_never_shrink(values: Mapping[str, Any]) -> str | None:
    """Shortcut A can only add zero maps."""
    if values["shortcut"] != "A":
        return None
    ratio = values["bottleneck_ratio"] if values["block"] == "bottleneck" else 1
    maps = [values["stem_width"], *(width * ratio for width in values["widths"])]
    if maps == sorted(maps):
        return None
    return (
        'shortcut="A" pads with zero maps, so no stage may have fewer maps than the one before it. '
        f'Received: {maps} maps after the stem and each stage. Use shortcut="B" or other widths.'
    )


BOTTLENECK = ("block", ("bottleneck",))


def stages(depths: tuple[int, ...], widths: tuple[int, ...], side: int, ratio: int) -> tuple:
    """The arguments of both versions' stages: `side` is that of all k×k convolutions."""
    return (
        arguments.depths(depths, Range(1, 8), "Blocks of each stage."),
        arguments.width("widths", widths, "Filters of the k×k convolutions."),
        arguments.kernel(
            "kernels",
            (side,) * len(depths),
            "Side k of each stage's k×k convolutions.",
            per="depths",
        ),
        Param("block", "basic", legal=("basic", "bottleneck"), help="k×k, k×k; or 1×1, k×k, 1×1."),
        arguments.ratio(
            ratio,
            (1, 2, 4, 6),
            "Maps after a bottleneck block, as a multiple of its width.",
            when=BOTTLENECK,
        ),
        Param("stride_in", "1x1", ("1x1", "3x3"), when=BOTTLENECK, help="Where it halves the map."),
    )


# A search tries A only where it is the variant's own: nearly all random widths shrink somewhere.
SHORTCUT = Param(
    "shortcut",
    "B",
    ("B", "C"),
    legal=("A", "B", "C", "none"),
    off="none",
    idea="shortcuts",
    help="A: padded identity; B: projections where the shape changes; C: projections only.",
)
RULES = (arguments.one_for_each_stage("widths", "kernels"), maps_never_shrink)
SPACE = Space(
    (
        *stages((2, 2, 2, 2), (64, 128, 256, 512), 3, ratio=4),
        SHORTCUT,
        *arguments.stem(64, 7, strides=2),
        Param(
            "output_stride",
            PAPERS_STRIDE,
            legal=(8, 16, PAPERS_STRIDE),
            help="At 8 or 16 later stages dilate their kernels instead of making the stride of the "
            "last map larger than that; 32: every stage halves the map, as in the paper.",
        ),
        arguments.order("conv-bn-act"),
        *arguments.unit("relu", use_bias=False, epsilon=1e-5, momentum=0.9),
        arguments.dropout(0.0, "Dropout before the classifier."),
    ),
    rules=RULES,
)
IMAGENET_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=1e-4,
    batch_size=256,
    epochs=90,
    warmup_epochs=1,
    augmentation=Augmentation(zoom=0.2, flip=True),
    source="SGD, rate, batch and decay: section 3.4. Cosine schedule, warm-up, 90 epochs and a "
    "random zoom instead of crops of random scale and colour: ours.",
)
CIFAR_RECIPE = replace(
    IMAGENET_RECIPE,
    batch_size=128,
    epochs=164,
    augmentation=Augmentation(shift=4 / 32, flip=True),
    source="SGD, rate, batch, decay, shifts by up to 4 pixels and flips: section 4.2; 164 epochs: "
    "fb.resnet.torch. The cosine schedule instead of two drops, and the warm-up: ours.",
)
CARD = Card(
    title="Deep Residual Learning for Image Recognition",
    authors="He, Zhang, Ren, Sun",
    year=2015,
    link="arXiv:1512.03385",
    input_shape=(224, 224, 3),
    classes=1000,
    smallest_input=(17, 17),
    preprocessing=published.TORCH,
    deviations=(
        "pool1 is padded as in torchvision and keras.applications; the authors' Caffe models round "
        'its size up: stem_pool="caffe".',
        "The paper subtracts the mean image; `preprocessing` is that of public weights for these "
        "arguments.",
    ),
)
CIFAR_CARD = replace(
    CARD,
    input_shape=(32, 32, 3),
    classes=10,
    smallest_input=(3, 3),
    preprocessing=published.CIFAR,
    deviations=CARD.deviations[1:],
)
THREE_STAGES: dict[str, Any] = {
    "card": CIFAR_CARD,
    "recipe": CIFAR_RECIPE,
    "paper_recipe": "resnet_cifar",
    "depths": (3, 3, 3),
    "widths": (16, 32, 64),
    "kernels": (3, 3, 3),
    "stem_width": 16,
    "stem_kernel": 3,
    "stem_stride": 1,
    "stem_pool": "none",
}

# The families that the rows below belong to.
BASIC = Architecture(
    name="resnet",
    build=build,
    head=common.pooled_head,
    space=SPACE,
    card=CARD,
    recipe=IMAGENET_RECIPE,
    paper_recipe="resnet",
)
PLAIN = replace(BASIC, space=SPACE.narrow(fix={"shortcut": "none"}))  # and no search changes it
BOTTLENECKS = BASIC.variant(
    "bottlenecks", card=replace(CARD, preprocessing=published.CAFFE), block="bottleneck"
)
SMALL_PLAIN = PLAIN.variant("small_plain", **THREE_STAGES)
SMALL = BASIC.variant("small", shortcut="A", **THREE_STAGES)


def ten_crops(error: float | tuple[float, float], source: str) -> Result:
    """From table 2, top-1 errors only, or table 3, both errors."""
    metric = {"metric": common.TOP1} if isinstance(error, float) else {}
    return result(error, f"10 crops, {source}", CARD.link, **metric)


def released(top1: float, top5: float) -> Result:
    """What the authors' Caffe models reach."""
    protocol = "224 crop of a shorter side of 256, the authors' Caffe models"
    return result((top1, top5), protocol, "KaimingHe/deep-residual-networks")


RESULTS: dict[str, tuple[Result, ...]] = {
    "plain18": (ten_crops(27.94, "table 2"),),
    "resnet18": (published.torchvision(30.242, 10.922), ten_crops(27.88, 'shortcut="A", table 2')),
    "plain34": (ten_crops((28.54, 10.02), "table 3"),),
    "resnet34": (
        ten_crops((24.52, 7.46), "table 3"),
        ten_crops((25.03, 7.76), 'shortcut="A", table 3'),
        ten_crops((24.19, 7.40), 'shortcut="C", table 3'),
        published.torchvision(26.686, 8.58),
    ),
    "resnet50": (ten_crops((22.85, 6.71), "table 3"), released(24.7, 7.8)),
    "resnet101": (ten_crops((21.75, 6.05), "table 3"), released(23.6, 7.1)),
    "resnet152": (ten_crops((21.43, 5.71), "table 3"), released(23.0, 6.7)),
}


def table_1(flops: str, *, widest: int) -> PaperTable:
    """A column of table 1; the last stage has `widest` maps."""
    stages = zip((2, 3, 4, 5), (56, 28, 14, 7), (8, 4, 2, 1))
    rows = (
        PaperRow(f"conv{stage}_x", (f"conv{stage}_*",), (side, side, widest // part))
        for stage, side, part in stages
    )
    first = PaperRow("conv1", ("conv1_*",), (112, 112, 64))
    last = PaperRow("1000-d fc", ("logits",), (1000,))
    return PaperTable(source="table 1", rows=(first, *rows, last), operations=flops)


TABLES: dict[str, PaperTable] = {
    "plain18": table_1("1.8B", widest=512),
    "plain34": table_1("3.6B", widest=512),
    "resnet18": table_1("1.8B", widest=512),
    "resnet34": table_1("3.6B", widest=512),
    "resnet50": table_1("3.8B", widest=2048),
    "resnet101": table_1("7.6B", widest=2048),
    "resnet152": table_1("11.3B", widest=2048),
}
CLAIMS: dict[str, tuple[Claim, ...]] = {
    "plain34": (
        Claim(
            says="18% of VGG-19's multiply-adds",
            value="18%",
            quantity="macs",
            form="share",
            network="vgg19",
            source="section 3.3",
        ),
    ),
}
TABLE_6 = {3: "0.27M", 5: "0.46M", 7: "0.66M", 9: "0.85M", 18: "1.7M", 200: "19.4M"}


def table_6(n: int, params: str) -> PaperTable:
    """The small table of section 4.2, and a row of table 6; `params` is "" for plain networks."""
    stages = zip((2, 3, 4), (32, 16, 8), (16, 32, 64))
    rows = (
        PaperRow(f"{side}×{side}, {2 * n} layers", (f"conv{stage}_*",), (side, side, width))
        for stage, side, width in stages
    )
    first = PaperRow("first", ("conv1_*",), (32, 32, 16))
    last = PaperRow("10-way fc", ("logits",), (10,))
    return PaperTable(source="section 4.2, table 6", rows=(first, *rows, last), params=params)


# Of torchvision, whose stages are layer1 to layer4, counted from 0 as blocks are.
TORCH_NAMES = TorchNames(
    family="resnet",
    first=("conv1", "0"),
    layers={
        "conv1": "conv1_conv",
        "bn1": "conv1_bn",
        "layer{s}.{b}.conv{k}": "conv{s+1}_block{b+1}_{k}_conv",
        "layer{s}.{b}.bn{k}": "conv{s+1}_block{b+1}_{k}_bn",
        "layer{s}.{b}.downsample.0": "conv{s+1}_block{b+1}_0_conv",
        "layer{s}.{b}.downsample.1": "conv{s+1}_block{b+1}_0_bn",
        "fc": "logits",
        # nn.Sequential(*resnet.children()): 0 to 7 for conv1, bn1, relu, maxpool, layer1 to 4.
        "0": "conv1_conv",
        "1": "conv1_bn",
        "{s}.{b}.conv{k}": "conv{s-2}_block{b+1}_{k}_conv",
        "{s}.{b}.bn{k}": "conv{s-2}_block{b+1}_{k}_bn",
        "{s}.{b}.downsample.0": "conv{s-2}_block{b+1}_0_conv",
        "{s}.{b}.downsample.1": "conv{s-2}_block{b+1}_0_bn",
    },
    unstrided=(
        "conv{s}_block1_1_conv",
        "torchvision's and timm's ResNets halve the map in a bottleneck's 3×3 convolution, this "
        'model in the 1×1 before it. Build it with stride_in="3x3", unless the weights were '
        "converted from the authors' Caffe models.",
    ),
)


def both(name: str, revision: str, top: str, no_top: str) -> tuple[Source, Source]:
    """Those of torchvision, which is v1.5, and of keras.applications, from the authors' models."""
    return (
        published.from_hub(name, TORCH_NAMES, revision=revision, requires={"stride_in": "3x3"}),
        published.from_keras(
            f"resnet/{name}", top, no_top, published.CAFFE, requires={"stride_in": "1x1"}
        ),
    )


WEIGHTS: dict[str, tuple[Source, ...]] = {
    "resnet18": (
        published.from_hub(
            "resnet18", TORCH_NAMES, revision="bbd144b3e5565108aad885f145491d11bc6ce807"
        ),
    ),
    "resnet34": (
        published.from_hub(
            "resnet34", TORCH_NAMES, revision="1b7b21cca82ff974d341713f777bf740c2db38c4"
        ),
    ),
    "resnet50": both(
        "resnet50",
        "78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
        "2cb95161c43110f7111970584f804107",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    "resnet101": both(
        "resnet101", "", "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"
    ),
    "resnet152": both(
        "resnet152", "", "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"
    ),
}


def imagenet(
    family: Architecture, name: str, depths: tuple[int, ...], params: int, macs: int
) -> Architecture:
    """A column of table 1, or the plain net of figure 3."""
    card = replace(
        family.card,
        params=params,
        macs=macs,
        results=RESULTS[name],
        table=TABLES[name],
        claims=CLAIMS.get(name, ()),
    )
    return family.variant(name, card=card, weights=WEIGHTS.get(name, ()), depths=depths)


def cifar(
    family: Architecture, name: str, n: int, params: int, macs: int, *errors: float
) -> Architecture:
    """A row of table 6: 6n + 2 layers, 16, 32 and 64 maps, parameter-free shortcuts."""
    training, data = "shifts and flips in training", "CIFAR-10 test"
    results = tuple(result(error, training, "table 6", common.ERROR, data) for error in errors)
    table = table_6(n, TABLE_6[n] if errors else "")
    card = replace(family.card, params=params, macs=macs, results=results, table=table)
    return family.variant(name, card=card, depths=(n, n, n))


# Parameters and multiply-adds; behind those for CIFAR the error of table 6.
Plain18 = imagenet(PLAIN, "plain18", (2, 2, 2, 2), 11_515_688, 1_794_805_760)
Plain34 = imagenet(PLAIN, "plain34", (3, 4, 6, 3), 21_623_848, 3_644_493_824)
ResNet18 = imagenet(BASIC, "resnet18", (2, 2, 2, 2), 11_689_512, 1_814_073_344)
ResNet34 = imagenet(BASIC, "resnet34", (3, 4, 6, 3), 21_797_672, 3_663_761_408)
ResNet50 = imagenet(BOTTLENECKS, "resnet50", (3, 4, 6, 3), 25_557_032, 3_857_973_248)
ResNet101 = imagenet(BOTTLENECKS, "resnet101", (3, 4, 23, 3), 44_549_160, 7_570_194_432)
ResNet152 = imagenet(BOTTLENECKS, "resnet152", (3, 8, 36, 3), 60_192_808, 11_282_415_616)
Plain20CIFAR = cifar(SMALL_PLAIN, "plain20_cifar", 3, 269_722, 40_551_040)
Plain56CIFAR = cifar(SMALL_PLAIN, "plain56_cifar", 9, 853_018, 125_485_696)
ResNet20CIFAR = cifar(SMALL, "resnet20_cifar", 3, 269_722, 40_551_040, 8.75)
ResNet32CIFAR = cifar(SMALL, "resnet32_cifar", 5, 464_154, 68_862_592, 7.51)
ResNet44CIFAR = cifar(SMALL, "resnet44_cifar", 7, 658_586, 97_174_144, 7.17)
ResNet56CIFAR = cifar(SMALL, "resnet56_cifar", 9, 853_018, 125_485_696, 6.97)
ResNet110CIFAR = cifar(SMALL, "resnet110_cifar", 18, 1_727_962, 252_887_680, 6.43)
ResNet1202CIFAR = cifar(SMALL, "resnet1202_cifar", 200, 19_421_274, 2_829_238_912, 7.93)
