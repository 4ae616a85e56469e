"""LeNet-5, the network that read bank cheques (LeCun, Bottou, Bengio, Haffner, 1998).

It fixed the pattern that every later CNN follows: convolutions with shared weights alternate with
sub-sampling, maps get smaller and more numerous, and the whole is trained by back-propagation.

`LeNet5_1998` is the paper's network, section II.B, with everything that re-implementations drop:
trainable sub-sampling, the sparse C3 table, the scaled tanh and the RBF output. Deviations: when
`classes` isn't 10 there are no bitmaps to compare with, so the codes become trainable; the bitmaps
of figure 3 were taken over from public transcriptions of it.

`LeNet5` is the form everyone writes today: full C3, plain pooling, a dense softmax.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kerascnn import blocks
from kerascnn.applications import arguments, common
from kerascnn.applications.common import result
from kerascnn.applications.lenet_blocks import radial_basis, squash, subsample, table_conv
from kerascnn.architecture import Architecture
from kerascnn.card import Card, PaperRow, PaperTable, Preprocessing
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.space import Param, Range, Space


def build_1998(x: Any) -> Any:
    """Section II.B, figure 2; the squashing function follows every layer."""
    x = blocks.conv(x, 6, 5, padding="valid", name="C1")
    x = squash(x, name="C1")  # 28×28×6
    x = squash(subsample(x, name="S2"), name="S2")  # 14×14×6
    x = squash(table_conv(x, 5, name="C3"), name="C3")  # 10×10×16
    x = squash(subsample(x, name="S4"), name="S4")  # 5×5×16
    # A convolution, not a dense layer: a larger input gives a larger map.
    x = blocks.conv(x, 120, 5, padding="valid", name="C5")
    return squash(x, name="C5")  # 1×1×120


def head_1998(x: Any, *, classes: int) -> Any:
    """F6 and the RBF output."""
    x = blocks.dense(blocks.flatten(x), 84, name="F6")
    return radial_basis(squash(x, name="F6"), classes, name="logits")


def build(
    x: Any, *, widths: tuple[int, ...], kernels: tuple[int, ...], activation: str, pool: str
) -> Any:
    """A convolution and a pooling layer for each width."""
    for stage, (width, kernel) in enumerate(zip(widths, kernels), start=1):
        x = blocks.conv(x, width, kernel, padding="valid", name=f"conv{stage}")
        x = blocks.activation(x, activation, name=f"conv{stage}_{activation}")
        x = blocks.pool(x, pool, 2, name=f"pool{stage}")
    return x


def head(x: Any, *, classes: int, hidden: tuple[int, ...], activation: str, dropout: float) -> Any:
    """Dense layers of the `hidden` widths, each followed by dropout, and the classifier."""
    x = blocks.dense_layers(blocks.flatten(x), hidden, activation, dropout)
    return blocks.logits(x, classes)


SECTION_2B = PaperTable(
    source="section II.B",
    rows=(
        PaperRow("C1", ("C1*",), (28, 28, 6), params="156", operations="122,304"),
        PaperRow("S2", ("S2*",), (14, 14, 6), params="12", operations="5,880"),
        PaperRow("C3", ("C3*",), (10, 10, 16), params="1,516", operations="151,600"),
        PaperRow("S4", ("S4*",), (5, 5, 16), params="32", operations="2,000"),
        PaperRow("C5", ("C5*",), (1, 1, 120), params="48,120", operations="48,120"),
        PaperRow("F6", ("F6*",), (84,), params="10,164", operations="10,164"),
        PaperRow("output", ("logits",), (10,), operations="840"),
    ),
    params="60,000",
    operations="340,908",
    counted="connections",
    note="Connections count biases and the sub-sampling, too; multiply-adds don't.",
)
CARD = Card(
    title="Gradient-Based Learning Applied to Document Recognition",
    authors="LeCun, Bottou, Bengio, Haffner",
    year=1998,
    link="doi:10.1109/5.726791",
    input_shape=(32, 32, 1),
    classes=10,
    params=60_000,
    macs=325_680,
    smallest_input=(32, 32),
    # Background -0.1 and ink 1.175 give the input a mean near 0 and a variance near 1 (II.B).
    preprocessing=Preprocessing(scale=1.275 / 255, mean=(0.1,)),
    results=(
        result(0.95, "60,000 training images", "section III.B", common.ERROR, "MNIST test"),
        result(0.8, "and 540,000 distorted images", "section III.B", common.ERROR, "MNIST test"),
    ),
    table=SECTION_2B,
    deviations=(
        "With classes != 10 there are no bitmaps: the RBF codes are trainable, random ±1.",
        "The bitmaps of figure 3 come from public transcriptions of the figure.",
        "Trained with Adam; the paper uses a stochastic diagonal Levenberg-Marquardt method.",
    ),
)
# Planar affine transforms, as the paper's own distortions (III.B): shift, scale, squeeze, shear.
DISTORTIONS = Augmentation(shift=0.07, rotation=12.0, zoom=0.1, shear=0.2)

LeNet5_1998 = Architecture(
    name="lenet5_1998",
    build=build_1998,
    head=head_1998,
    card=CARD,
    recipe=Recipe(
        optimizer="adam",
        learning_rate=4e-3,
        epochs=60,
        augmentation=DISTORTIONS,
        loss="kerascnn.applications.lenet_layers:CompetitiveLoss",
        source="the loss is the paper's; the rest was found by trial on mnist5k",
    ),
    paper_recipe="lenet5_1998",
)

LeNet5 = Architecture(
    name="lenet5",
    build=build,
    head=head,
    space=Space(
        (
            Param(
                "widths",
                (6, 16),
                Range(4, 64, step=2),
                legal=Range(1, 4096),
                help="Filters of each convolution.",
            ),
            arguments.kernel(
                "kernels",
                (5, 5),
                "Side of each convolution's kernels.",
                largest=15,
                per="widths",
                formerly="kernel",
            ),
            Param(
                "activation",
                "tanh",
                ("tanh", "relu", "sigmoid"),
                legal=("tanh", "relu", "sigmoid", "gelu", "silu", "elu", "leaky_relu"),
                help="Non-linearity after each layer.",
            ),
            Param("pool", "avg", ("avg", "max"), help="Kind of pooling."),
            Param(
                "hidden",
                (120, 84),
                Range(16, 256, step=4),
                legal=Range(1, 65536),
                help="Units of each hidden dense layer.",
            ),
            arguments.dropout(0.0, "Dropout after each hidden dense layer."),
        )
    ),
    card=replace(
        CARD,
        params=61_706,
        macs=416_520,
        smallest_input=(16, 16),
        results=(),
        table=None,
        deviations=(
            "C3 sees all maps of S2, pooling has no parameters, the output is a softmax: the "
            "published error rates do not apply. See lenet5_1998.",
        ),
    ),
    recipe=Recipe(
        optimizer="adam",
        learning_rate=3e-3,
        epochs=100,
        label_smoothing=0.05,
        augmentation=DISTORTIONS,
        source="found by trial on mnist5k",
    ),
)
