"""U-Net for biomedical image segmentation (Ronneberger, Fischer, Brox, 2015).

A contracting path of convolutions and pooling says what is in the image; an expanding path brings
the answer back to the image's resolution, level by level, and at each level reads the map of the
same level on the way down, which says where. Few images suffice, as each is deformed elastically.

`UNet` is figure 1: convolutions without padding, so that each pixel of the answer has seen nothing
but image; the maps from the way down are cropped to the smaller ones that they are joined with, and
572×572 pixels give the answer for the 388×388 in their middle; `tiles.py` has the paper's way
through images of any size. `UNetSame` is the common form with padding, which answers for every
pixel of an image of any size: what the pooling can't halve without a remainder is filled up with
zeros below and on the right, and cut off again.

Arguments that the paper doesn't have: `norm="batch"` puts a batch normalization behind every
convolution but the last, in place of its biases; `upsampling` "bilinear" or "nearest" resizes the
map after a 1×1 convolution, which gives the same as before at a quarter of the cost, and has no
checkerboard. Deviations: see the cards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import initializers, layers, saving

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
from kerascnn.errors import InputSizeError, InputStepError

FILTERS = 64  # "64 feature channels", doubled at each step down
CLASSES = 2
SHAPE = (572, 572, 1)


def build(
    x: Any,
    *,
    depth: int,
    width: int,
    kernel: int,
    padding: str,
    norm: str,
    activation: str,
    upsampling: str,
    dropout: float,
) -> Any:
    """Figure 1 without its last layer: `depth` steps down, and as many up."""
    image, same = x, padding == "same"
    pair = _pair(kernel, padding, norm, activation)
    if same:
        x = blocks.pad_to_multiple(x, 2**depth, name="pad")
    else:
        check = SizeCheck(depth=depth, kernel=kernel, upsampling=upsampling, name="size_check")
        x = blocks.apply(x, check)
    skips = []
    for level in range(1, depth + 1):
        x = pair(x, width * 2 ** (level - 1), name=f"down{level}")
        # "Drop-out layers at the end of the contracting path": its last two levels.
        x = blocks.dropout(x, dropout if level == depth else 0.0, name=f"down{level}_dropout")
        skips.append(x)
        x = blocks.max_pool(x, 2, name=f"down{level}_pool")
    x = pair(x, width * 2**depth, name="bottom")
    x = blocks.dropout(x, dropout, name="bottom_dropout")
    for level in range(depth, 0, -1):
        name, skip, filters = f"up{level}", skips[level - 1], width * 2 ** (level - 1)
        x = _ENLARGE[upsampling](x, skip, filters, same=same, name=name)
        skip = skip if same else blocks.crop(skip, x, name=f"{name}_crop")
        x = pair(blocks.concat(skip, x, name=f"{name}_concat"), filters, name=name)
    # Also where the size needs neither, so that the graph is that of every size.
    return blocks.crop(x, image, offset=0, name="crop") if same else x


def _pair(kernel: int, padding: str, norm: str, activation: str) -> Callable[..., Any]:
    """Two convolutions, each with its normalization and its non-linearity."""

    def pair(x: Any, filters: int, *, name: str) -> Any:
        for number in (1, 2):
            conv = f"{name}_conv{number}"
            x = blocks.conv(
                x,
                filters,
                kernel,
                padding=padding,
                use_bias=norm == "none",
                initializer="he_normal",  # a deviation of sqrt(2 / N): section 3
                name=conv,
            )
            if norm == "batch":
                x = blocks.batch_norm(x, name=f"{conv}_bn")
            x = blocks.activation(x, activation, name=f"{conv}_{activation}")
        return x

    return pair


def _transposed(x: Any, skip: Any, filters: int, *, same: bool, name: str) -> Any:
    """The paper's "up-convolution": 2×2, with as many steps between its pixels."""
    # Each pixel of the result has one pixel's maps as its incoming nodes, a quarter of what leaves
    # a pixel.
    start = initializers.VarianceScaling(2.0 * 4, "fan_out")
    return blocks.conv_transpose(
        x, filters, 2, strides=2, initializer=start, name=f"{name}_conv_transpose"
    )


def _bilinear(x: Any, skip: Any, filters: int, *, same: bool, name: str) -> Any:
    """Interpolated; without padding what would need a pixel from outside is left out."""
    x = blocks.conv(x, filters, 1, initializer="he_normal", name=f"{name}_conv0")
    if same:
        return blocks.resize(x, skip, name=f"{name}_resize")
    x = blocks.upsample(x, 2, name=f"{name}_resize")
    cut = layers.Cropping2D(2, data_format="channels_last", name=f"{name}_resize_crop")
    return blocks.apply(x, cut)


def _nearest(x: Any, skip: Any, filters: int, *, same: bool, name: str) -> Any:
    """Each pixel four times."""
    x = blocks.conv(x, filters, 1, initializer="he_normal", name=f"{name}_conv0")
    four = layers.UpSampling2D(2, data_format="channels_last", name=f"{name}_resize")
    return blocks.apply(x, four)


_ENLARGE = {"transposed": _transposed, "bilinear": _bilinear, "nearest": _nearest}


def head(x: Any, *, classes: int) -> Any:
    """The 1×1 convolution at the end, in float32 under mixed precision."""
    return blocks.conv(
        x, classes, 1, initializer="he_normal", dtype=blocks.head_dtype(), name="logits"
    )


def output_side(side: int, *, depth: int, kernel: int, upsampling: str) -> tuple[int, bool]:
    """What the form without padding answers for, along one side of an image.

    Returns:
        Pixels of the answer, none where that is below 1; and whether all maps can be halved
        without a remainder.
    """
    even, lost = True, 2 * (kernel - 1)
    for _ in range(depth):
        side -= lost
        even = even and side % 2 == 0
        side //= 2
    for _ in range(depth):
        side = 2 * (side - lost) - (2 if upsampling == "bilinear" else 0)
    return side - lost, even


def require_size(
    shape: tuple[int | None, ...], *, depth: int, kernel: int, upsampling: str
) -> None:
    """Refuse what the form without padding can't answer for; unknown sizes are taken.

    The paper: "it is important to select the input tile size such that all 2x2 max-pooling
    operations are applied to a layer with an even x- and y-size".

    Args:
        shape: height and width.

    Raises:
        InputSizeError: there would be no answer.
        InputStepError: a map can't be halved; the message names the nearest legal sizes.
    """

    def answer(side: int) -> tuple[int, bool]:
        return output_side(side, depth=depth, kernel=kernel, upsampling=upsampling)

    known = [side for side in shape if side is not None]
    for side in known:
        if answer(side)[0] < 1:
            raise InputSizeError(
                f"Without padding a side of {side} leaves no pixel to answer for; with padding "
                "(unet_same) every size is legal."
            )
    step = 2**depth
    for side in known:
        if answer(side)[1]:
            continue
        around = [other for other in range(side - step, side + step) if answer(other)[1]]
        nearest = tuple(other for other in around if answer(other)[0] >= 1)
        raise InputStepError(
            f"Without padding each map must be halved without a remainder, which it is at every "
            f"{step}th height and width. Nearest legal: {' and '.join(map(str, nearest))}. "
            f"Received: {side}. With padding (unet_same) every size is legal.",
            nearest=nearest,
        )


@saving.register_keras_serializable("kerascnn_segmentation")
class SizeCheck(layers.Identity):
    """An image as it is, if the form without padding can answer for it: see `require_size`.

    Sizes may be unknown until it is called. Of others the maps would not lie on each other, and
    the answers be wrong by some pixels. Where a compiled graph leaves them open, as in an exported
    file, nothing is checked.

    Args:
        depth: steps down.
        kernel: side of the convolutions.
        upsampling: as the network's.
    """

    def __init__(self, *, depth: int, kernel: int, upsampling: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth, self.kernel, self.upsampling = depth, kernel, upsampling

    def call(self, inputs: Any) -> Any:
        """The image."""
        self.compute_output_shape(inputs.shape)
        return inputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """That of the input, `[batch, height, width, channels]`."""
        require_size(
            tuple(input_shape)[1:3],
            depth=self.depth,
            kernel=self.kernel,
            upsampling=self.upsampling,
        )
        return input_shape

    def as_keras(self, inputs: Any) -> Any:
        """Nothing, in a network of layers of Keras alone."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {"depth": self.depth, "kernel": self.kernel, "upsampling": self.upsampling}
        return {**super().get_config(), **own}


SPACE = Space(
    (
        Param(
            name="depth",
            default=4,
            search=(2, 3, 4, 5),
            legal=Range(1, 7),
            help="How often the map is halved on the way down, and doubled on the way up.",
        ),
        Param(
            name="width",
            default=FILTERS,
            search=Range(8, 64, step=8),
            legal=Range(1, 512),
            help="Filters of the first level; each level down has twice as many.",
        ),
        Param(
            name="kernel",
            default=3,
            search=(3, 5),
            legal=Range(1, 15),
            kernel=True,
            help="Side of the convolutions.",
        ),
        Param(
            name="padding",
            default="valid",
            legal=("valid", "same"),
            help="Without padding (valid) the answer is for the middle of the image alone.",
        ),
        Param(
            name="norm",
            default="none",
            search=("none", "batch"),
            off="none",
            help="Batch normalization behind every convolution, in place of its biases, or none.",
        ),
        Param(
            name="activation",
            default="relu",
            search=("relu", "elu", "silu"),
            legal=("relu", "leaky_relu", "elu", "silu", "gelu", "selu", "tanh"),
            help="Non-linearity.",
        ),
        Param(
            name="upsampling",
            default="transposed",
            search=("transposed", "bilinear", "nearest"),
            help="What doubles the map: a 2×2 transposed convolution, or a 1×1 convolution and "
            "bilinear interpolation or the nearest pixel.",
        ),
        Param(
            name="dropout",
            default=0.5,
            search=Range(0.0, 0.5),
            legal=Range(0.0, 0.95),
            off=0.0,
            help="Dropout at the end of the last two levels on the way down.",
        ),
    )
)

RECIPE = Recipe(
    learning_rate=1e-3,
    batch_size=8,
    epochs=30,
    warmup_epochs=1.0,
    weight_decay=1e-4,
    class_weight="rooted",
    augmentation=Augmentation(shift=0.05, rotation=10.0, zoom=0.1, elastic=0.01, border="mirror"),
    source="ours: weights of classes and small motions were tried on digit_scenes, at width=8, "
    "depth=3, norm=batch and a rate of 0.005",
)

_DEVIATIONS = (
    "The paper says neither where exactly nor how often units are dropped: here half of them, "
    "behind the last two pairs of convolutions on the way down.",
    "Initial weights are Gaussian with the paper's deviation, cut off at twice that (Keras's "
    "he_normal).",
)


def _card(
    shape: tuple[int, int, int],
    *,
    params: int,
    macs: int,
    least: int,
    results: tuple[Result, ...] = (),
    deviations: tuple[str, ...] = (),
) -> Card:
    return Card(
        title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
        authors="Ronneberger, Fischer, Brox",
        year=2015,
        link="arXiv:1505.04597",
        input_shape=shape,
        classes=CLASSES,
        params=params,
        macs=macs,
        smallest_input=(least, least),
        preprocessing=Preprocessing(scale=1 / 255),
        results=results,
        deviations=(*deviations, *_DEVIATIONS),
    )


def _tracking(dataset: str, value: float) -> Result:
    return Result(
        dataset=f"ISBI cell tracking challenge 2015, {dataset}",
        protocol="the challenge's test",
        metric="IoU %",
        value=value,
        source="table 2",
    )


UNet = Architecture(
    name="unet",
    task="segmentation",
    build=build,
    head=head,
    space=SPACE,
    card=_card(
        SHAPE,
        params=31_030_658,
        macs=150_428_424_448,
        least=188,
        results=(_tracking("PhC-U373", 92.03), _tracking("DIC-HeLa", 77.56)),
    ),
    recipe=RECIPE,
    paper_recipe="unet",
)

UNetSame = UNet.variant(
    "unet_same",
    card=_card(
        (256, 256, 3),
        params=31_031_810,
        macs=48_171_581_440,
        least=1,
        deviations=(
            "Convolutions are padded, so that nothing is cropped; the paper pads nothing.",
            "Sizes that can't be halved often enough are filled up with zeros below and on the "
            "right, and what answers for these is cut off.",
        ),
    ),
    paper_recipe="unet",
    padding="same",
)
