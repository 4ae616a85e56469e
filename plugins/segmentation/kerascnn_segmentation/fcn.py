"""FCN: fully convolutional networks (Long, Shelhamer, Darrell, 2015; with a journal form of 2017).

A classifier's dense layers are convolutions that cover its last map. Written so, it slides over an
image of any size, and its scores are a coarse map, here of stride 32. Transposed convolutions bring
that back to pixels (`FCN32s`). They blur; so scores of earlier, finer maps are added on the way:
of the fourth pooling (`FCN16s`) and the third (`FCN8s`).

The networks are the authors' (fcn.berkeleyvision.org) on VGG-16: 100 zeros around the image make
room for any size, the kernels of the transposed convolutions are bilinear and fixed, and crops put
the maps on top of each other. `Cells` follows where the maps lie, and gives their crops: 19; 5 and
27; 5, 9 and 31. `at_once` is their form that is trained in one stage.

With `backbone` it is built on any other classifier, as most do today: without the zeros, each
convolution keeps its map's size, and scores are interpolated to that of the next map.

Layers have the names of the backbone's, so its weights fit (`weights="backbone:imagenet"`,
`"backbone:RUN"`); from fc6 on those of the authors, whose `upscore2` is `upscore_fr` here.

Deviations: see the cards.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

import kerascnn
from kerascnn import (
    Architecture,
    Augmentation,
    Backbone,
    Card,
    Network,
    Param,
    Preprocessing,
    Range,
    Recipe,
    Result,
    Space,
    blocks,
)
from kerascnn.errors import KerascnnError

PAPERS = "vgg16"
"""The backbone for which the authors' zeros and crops are."""


def build(
    x: Any,
    *,
    backbone: str,
    backbone_arguments: str,
    padding: int,
    head_widths: tuple[int, ...],
    head_kernel: int,
    dropout: float,
) -> Any:
    """The classifier without its scores: its trunk, and its hidden dense layers as convolutions."""
    network = trunk(backbone, backbone_arguments, padding)
    x = network.features(x)
    side = head_kernel
    for number, width in enumerate(_widths(network, head_widths), start=6):
        borders = "valid" if _authors(backbone, padding) else "same"
        x = blocks.conv(x, width, side, padding=borders, name=f"fc{number}")
        x = blocks.activation(x, "relu", name=f"fc{number}_relu")
        x = blocks.dropout(x, dropout, name=f"fc{number}_dropout")
        side = 1
    return x


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    backbone: str,
    backbone_arguments: str,
    padding: int,
    head_widths: tuple[int, ...],
    head_kernel: int,
    skips: int,
    at_once: bool,
    learned: bool,
) -> Any:
    """Scores of each pixel, `[batch, height, width, classes]`, in float32 at least."""
    dtype = blocks.head_dtype()
    crops = None
    if _authors(backbone, padding):
        crops = offsets(backbone_arguments, padding, head_widths, head_kernel, skips)

    def scored(maps: Any, name: str) -> Any:
        return blocks.conv(maps, classes, 1, initializer="zeros", dtype=dtype, name=name)

    def enlarged(maps: Any, factor: int, like: Any, name: str) -> Any:
        """By this factor; but for the authors' form, which is cropped later, to the size."""
        if crops is None and not learned:
            return blocks.resize(maps, like, dtype=dtype, name=name)
        maps = blocks.upsample(maps, factor, learned=learned, dtype=dtype, name=name)
        return maps if crops else blocks.crop(maps, like, dtype=dtype, name=f"{name}c")

    deepest, *finer = levels(backbone, backbone_arguments, padding)
    score, stride, name = scored(x, "score_fr"), deepest.stride, "fr"
    for number, level in enumerate(finer[:skips]):
        maps = blocks.tensor_at(x, level.layer)
        factor, stride = stride // level.stride, level.stride
        score = enlarged(score, factor, maps, f"upscore_{name}")
        name = level.name
        if at_once:  # pool4 times 0.01, pool3 times 0.0001
            scale = 0.01 ** (number + 1)
            maps = blocks.apply(
                maps, keras.layers.Rescaling(scale, dtype=dtype, name=f"scale_{name}")
            )
        maps = scored(maps, f"score_{name}")
        if crops:
            offset = crops[number]
            maps = blocks.crop(maps, score, offset=offset, dtype=dtype, name=f"score_{name}c")
        score = blocks.add(score, maps, dtype=dtype, name=f"fuse_{name}")
    score = enlarged(score, stride, image, f"upscore{stride}")
    if crops:
        score = blocks.crop(score, image, offset=crops[-1], dtype=dtype, name="score")
    return score


# --- The backbone ----------------------------------------------------------------------------


def trunk(backbone: str, backbone_arguments: str, padding: int) -> Network:
    """The classifier without its head; in the authors' form with their zeros and Caffe's pooling.

    Raises:
        KerascnnError: there is no such classifier, or it refuses the arguments.
    """
    architecture = kerascnn.get(backbone)
    given = architecture.space.read(backbone_arguments.split(), what="backbone_arguments")
    own = {}
    if _authors(backbone, padding):
        own = {"stem_padding": padding, "pool_ceil": True}
    return architecture.network({**own, **given}, include_top=False)


def _authors(backbone: str, padding: int) -> bool:
    """Whether the network has the authors' zeros and crops."""
    return backbone == PAPERS and padding > 0


def _widths(network: Network, head_widths: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the dense layers, where the classifier has any; others are scored as they are."""
    return head_widths if "hidden" in network.space else ()


def _trunk_of(arguments: Mapping[str, Any]) -> Network:
    """The same of all arguments of a network."""
    return trunk(*(arguments[name] for name in ("backbone", "backbone_arguments", "padding")))


@dataclass(frozen=True)
class Level:
    """A map of the backbone.

    Attributes:
        name: the endpoint's, such as pool4 or c4.
        layer: the layer that gives it.
        stride: input pixels between its cells.
    """

    name: str
    layer: str
    stride: int


def levels(backbone: str, backbone_arguments: str, padding: int) -> tuple[Level, ...]:
    """The maps that can be scored, one for each stride, the coarsest first.

    Where each stride begins with a pooling, as in VGG, they are its; elsewhere the last ones of
    each stride.
    """
    if _authors(backbone, padding):
        pools = len(trunk(backbone, backbone_arguments, padding).arguments["depths"])
        numbers = range(pools, 0, -1)
        return tuple(Level(f"pool{n}", f"block{n}_pool", 2**n) for n in numbers)
    return _levels(kerascnn.get(backbone), backbone_arguments)


@functools.cache
def _levels(architecture: Architecture, backbone_arguments: str) -> tuple[Level, ...]:
    found = trunk(architecture.name, backbone_arguments, 0).endpoints()
    chosen = {}
    for name, endpoint in found.items():
        pool = found.get(f"pool{name[1:]}")
        if re.fullmatch(r"C\d+", name):
            if pool and pool.stride == endpoint.stride:
                name, endpoint = f"pool{name[1:]}", pool
            chosen[endpoint.stride] = Level(name.lower(), endpoint.layer, endpoint.stride)
    return tuple(chosen[stride] for stride in sorted(chosen, reverse=True))


# --- Where the maps of the authors' form lie ---------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """Where a map's cells lie: the middle of cell `i` is at pixel `first + i · stride`."""

    stride: float
    first: float

    def windows(self, kernel: int, strides: int = 1) -> Cells:
        """Behind windows without padding."""
        return Cells(self.stride * strides, self.first + self.stride * (kernel - 1) / 2)

    def enlarged(self, factor: int) -> Cells:
        """Behind `blocks.upsample`, whose cell `factor - 1/2` lies on this map's first."""
        stride = self.stride / factor
        return Cells(stride, self.first - stride * (factor - 0.5))

    def offset(self, other: Cells) -> int:
        """The cell that lies on the first one of another map of the same stride, or before it."""
        return int((other.first - self.first) // self.stride)


def offsets(
    backbone_arguments: str,
    padding: int,
    head_widths: tuple[int, ...],
    head_kernel: int,
    skips: int,
) -> tuple[int, ...]:
    """The authors' crops: of each finer map's scores, and of the enlarged ones to the image."""
    arguments = trunk(PAPERS, backbone_arguments, padding).arguments
    pools = [Cells(1, -padding).windows(arguments["kernels"][0])]
    for _ in arguments["depths"]:
        pools.append(pools[-1].windows(2, 2))
    scores = pools.pop().windows(head_kernel)
    found = []
    for finer in pools[: -skips - 1 : -1]:
        scores = scores.enlarged(2)
        found.append(finer.offset(scores))
    whole = scores.enlarged(int(scores.stride))
    return (*found, whole.offset(Cells(1, 0)))


# --- Arguments ---------------------------------------------------------------------------------


def backbone_fits(values: Mapping[str, Any]) -> str | None:
    """It must have maps to score, as many finer ones as there are skips, and room for the crops."""
    backbone, padding = values["backbone"], values["padding"]
    given = (backbone, values["backbone_arguments"], padding)
    try:
        trunk(*given)
        found = levels(*given)
    except KerascnnError as error:
        return str(error)
    if not found:
        return (
            "backbone must have maps of strides of 2 and more that are its answer, as a classifier "
            f"has. Received: {backbone!r}."
        )
    if values["skips"] >= len(found):
        strides = ", ".join(str(level.stride) for level in found)
        return (
            f"skips must be at most {len(found) - 1} on {backbone}, whose maps have strides of "
            f"{strides}. Received: {values['skips']}."
        )
    if _authors(backbone, padding):
        names = ("backbone_arguments", "padding", "head_widths", "head_kernel", "skips")
        if min(offsets(*(values[name] for name in names))) < 0:
            return (
                f"with head_kernel={values['head_kernel']}, {padding} zeros leave no room for the "
                "crops. Pass larger ones, or padding=0 for none. "
                f"Received: padding={padding}."
            )
    return None


SPACE = Space(
    (
        Param(
            "backbone",
            PAPERS,
            help="The classifier that it is made of: its name, such as resnet18.",
        ),
        Param(
            "backbone_arguments",
            "",
            help='That classifier\'s own arguments: "depths=1,1,1 widths=32,64,128".',
        ),
        Param(
            "padding",
            100,
            legal=Range(0, 512),
            when=("backbone", (PAPERS,)),
            help="Zeros around the image, with the authors' crops; 0: none, as on other backbones.",
        ),
        Param(
            "head_widths",
            (4096, 4096),
            Range(256, 4096, step=256),
            legal=Range(1, 65536),
            help="Maps of fc6, fc7, ..., where the backbone's own classifier has hidden layers.",
        ),
        Param(
            "head_kernel",
            7,
            (1, 3, 5, 7),
            legal=Range(1, 31),
            kernel=True,
            help="Side of fc6: that of the map that the classifier's first dense layer reads.",
        ),
        Param(
            "dropout",
            0.5,
            Range(0.0, 0.7),
            legal=Range(0.0, 0.95),
            off=0.0,
            help="Dropout behind fc6, fc7, ...",
        ),
        Param(
            "skips",
            0,
            (0, 1, 2, 3),
            legal=Range(0, 16),
            help="Finer maps whose scores are added; the last stride is halved by each.",
        ),
        Param(
            "at_once",
            False,
            help="Finer maps times 0.01, 0.0001, ... before they are scored, to train all in one "
            "stage.",
        ),
        Param(
            "learned",
            False,
            help="Learn the kernels of the transposed convolutions, which start bilinear.",
        ),
    ),
    rules=(backbone_fits,),
)

RECIPE = Recipe(
    learning_rate=1e-3,
    batch_size=8,
    epochs=30,
    warmup_epochs=1.0,
    weight_decay=1e-4,
    class_weight="rooted",
    augmentation=Augmentation(shift=0.05, zoom=0.1),
    source="ours, for small networks such as `backbone=resnet20_cifar, skips=1`, tried on "
    "digit_scenes; --recipe paper has the authors', for VGG-16",
)

# VOC's images, in the order of Caffe's VGG-16: the authors' voc_layers.py.
PIXELS = Preprocessing(scale=1.0, mean=(104.00699, 116.66877, 122.67892), order="BGR")


def _card(params: int, macs: int, mean_iou: float, started: tuple[str, ...] = ()) -> Card:
    return Card(
        title="Fully Convolutional Networks for Semantic Segmentation",
        authors="Long, Shelhamer, Darrell",
        year=2015,
        link="arXiv:1411.4038",
        input_shape=(500, 500, 3),
        classes=21,
        params=params,
        macs=macs,
        smallest_input=(1, 1),
        preprocessing=PIXELS,
        results=(
            Result(
                dataset="PASCAL VOC 2011 seg11valid",
                protocol="whole images",
                metric="mean IoU %",
                value=mean_iou,
                source="the authors' repository",
            ),
        ),
        deviations=(
            *started,
            "Fixed bilinear kernels have no weights here, and their multiply-adds aren't counted, "
            "as those of pooling aren't; the authors store 21×21 of them with a rate of 0.",
        ),
    )


FCN32s = Architecture(
    name="fcn32s",
    task="segmentation",
    build=build,
    head=head,
    space=SPACE,
    # AlexNet's are called fc6 and fc7 themselves.
    backbone=Backbone(network=_trunk_of, renamed={"fc1": "fc6", "fc2": "fc7"}),
    card=_card(134_346_581, 180_903_432_960, 63.6),
    recipe=RECIPE,
    paper_recipe="fcn32s",
)

FCN16s = FCN32s.variant(
    "fcn16s",
    card=_card(134_357_354, 180_924_248_832, 65.0),
    paper_recipe="fcn16s",
    skips=1,
)

FCN8s = FCN32s.variant(
    "fcn8s",
    card=_card(134_362_751, 180_965_880_576, 65.5),
    paper_recipe="fcn8s",
    skips=2,
)
