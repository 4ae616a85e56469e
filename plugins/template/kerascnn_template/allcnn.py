"""All-CNN (Springenberg, Dosovitskiy, Brox, Riedmiller, 2014): a network of convolutions alone.

The paper asks which parts of the usual pipeline a CNN needs, and replaces max pooling by
convolutions with stride 2 and the dense layers by 1×1 convolutions, without loss of accuracy.
`AllCNNC` is the paper's table 1, model C, in its All-CNN form of table 2.

Deviations: weights start as Glorot and Bengio's; the paper does not say how they start.
"""

from __future__ import annotations

from typing import Any

from kerascnn import (
    Architecture,
    Augmentation,
    Card,
    Param,
    Preprocessing,
    Range,
    Recipe,
    Result,
    Space,
    blocks,
)


def build(x: Any, *, widths: tuple[int, ...], kernel: int, activation: str, dropout: float) -> Any:
    """Blocks of two convolutions and one of stride 2, then a 3×3 and a 1×1 convolution."""
    x = blocks.dropout(x, 0.4 * dropout, name="input_dropout")
    for number, width in enumerate(widths, start=1):
        name = f"block{number}"
        x = _conv(x, width, kernel, activation, name=f"{name}_conv1")
        x = _conv(x, width, kernel, activation, name=f"{name}_conv2")
        x = _conv(x, width, kernel, activation, strides=2, name=f"{name}_conv3")
        x = blocks.dropout(x, dropout, name=f"{name}_dropout")  # 32×32 → 16×16 → 8×8
    # Without padding: 8×8 → 6×6, as in table 1 of the paper.
    x = _conv(x, widths[-1], kernel, activation, padding="valid", name="conv7")
    return _conv(x, widths[-1], 1, activation, name="conv8")


def head(x: Any, *, classes: int, activation: str) -> Any:
    """A 1×1 convolution to one map for each class, and the mean of each map."""
    x = _conv(x, classes, 1, activation, name="conv9")
    # `blocks.logits` is what keeps predictions in float32 under mixed precision. A head that ends
    # otherwise must see to that itself, and the conformance suite checks that it does.
    return blocks.apply(x, _mean())


def _mean() -> Any:
    from keras import layers

    return layers.GlobalAveragePooling2D("channels_last", dtype="float32", name="logits")


def _conv(x: Any, width: int, kernel: int, activation: str, *, name: str, **where: Any) -> Any:
    x = blocks.conv(x, width, kernel, name=name, **where)
    return blocks.activation(x, activation, name=f"{name}_{activation}")


# Every keyword of `build` and `head` is declared here, once: its default, what a search tries, what
# is legal, and a line of help. Validation, messages, `kerascnn tune` and `--help` come from it.
SPACE = Space(
    (
        Param(
            name="widths",
            default=(96, 192),
            search=Range(16, 256, step=16),
            legal=Range(1, 4096),
            help="Filters of each block; one block for each.",
        ),
        Param(
            name="kernel",
            default=3,
            search=(3, 5),
            legal=Range(1, 15),
            kernel=True,
            help="Side of the convolution kernels.",
        ),
        Param(
            name="activation",
            default="relu",
            search=("relu", "elu"),
            legal=("relu", "elu", "gelu", "silu", "tanh"),
            help="Non-linearity after each convolution.",
        ),
        Param(
            name="dropout",
            default=0.5,
            search=Range(0.0, 0.7),
            legal=Range(0.0, 0.95),
            help="Dropout after each block; 0.4 times as much on the input.",
        ),
    )
)

AllCNNC = Architecture(
    name="allcnn_c",
    build=build,
    head=head,
    space=SPACE,
    card=Card(
        title="Striving for Simplicity: The All Convolutional Net",
        authors="Springenberg, Dosovitskiy, Brox, Riedmiller",
        year=2014,
        link="arXiv:1412.6806",
        input_shape=(32, 32, 3),
        classes=10,
        params=1_369_738,
        macs=270_798_336,
        smallest_input=(9, 9),
        preprocessing=Preprocessing(scale=1 / 255, mean=(0.4914, 0.4822, 0.4465)),
        results=(
            Result(
                dataset="CIFAR-10 test",
                protocol="single model, no augmentation",
                metric="error %",
                value=9.08,
                source="table 3",
            ),
            Result(
                dataset="CIFAR-10 test",
                protocol="flips and shifts of 5 pixels",
                metric="error %",
                value=7.25,
                source="table 3",
            ),
        ),
        deviations=("Initial weights are Glorot's; the paper does not give its own.",),
    ),
    recipe=Recipe(
        optimizer="sgd",
        learning_rate=0.05,
        momentum=0.9,
        weight_decay=1e-3,
        epochs=350,
        augmentation=Augmentation(shift=5 / 32, flip=True),
        source="the paper, section 3.1, with a cosine in place of its three steps",
    ),
)
