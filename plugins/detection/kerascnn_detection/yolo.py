"""YOLO: you only look once (Redmon, Divvala, Girshick, Farhadi, 2016).

One network, one pass, no windows: the image is a grid of 7×7 cells, and each cell says what is in
it, and gives two boxes with how sure it is of them; see `cells.py`. What finds is a regression from
pixels to numbers, and so 45 images a second are possible.

`YOLO` is figure 3: 24 convolutions, 1×1 ones that thin the maps out in turns with 3×3 ones, and two
dense layers, the second of which is the grid. `YOLOTiny` is the paper's Fast YOLO, of nine
convolutions; its widths, and a narrow dense layer before the others, are those of the authors'
`yolo-tiny.cfg` of 2015 (the later file of that name is another network).

The paper has no batch normalization and its dense layers hold three quarters of the parameters.
`norm="batch"` puts one behind each convolution but the last, in place of its biases. With
`head="conv"` each cell's numbers are a 1×1 convolution of what lies above it, as all later
detectors have it: the grid is then as large as the map, for an image of any size, and learns from
far fewer images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import layers

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
from kerascnn_detection.cells import PER_BOX
from kerascnn_detection.one_stage import CellDetections

SLOPE = 0.1  # of leaky units, left of zero: section 2.2
SHAPE = (448, 448, 3)
CLASSES = 20  # PASCAL VOC's


def build(x: Any, *, widths: tuple[int, ...], repeats: tuple[int, ...], norm: str) -> Any:
    """Figure 3 up to its dense layers: the map is a 64th of the image."""
    first, second, *others, last = widths
    unit = _unit(norm)
    x = unit(x, first, 7, strides=2, name="block1_conv1")
    x = blocks.max_pool(x, 2, name="block1_pool")
    x = unit(x, second, 3, name="block2_conv1")
    x = blocks.max_pool(x, 2, name="block2_pool")
    for block, (width, count) in enumerate(zip((*others, last), repeats), start=3):
        x = _alternating(unit, x, width // 2, count, name=f"block{block}")
        x = unit(x, width // 2, 1, name=f"block{block}_conv{2 * count + 1}")
        x = unit(x, width, 3, name=f"block{block}_conv{2 * count + 2}")
        x = blocks.max_pool(x, 2, name=f"block{block}_pool")
    block, count = len(widths) + 1, repeats[-1]
    x = _alternating(unit, x, last, count, name=f"block{block}")
    x = unit(x, last, 3, name=f"block{block}_conv{2 * count + 1}")
    x = unit(x, last, 3, strides=2, name=f"block{block}_conv{2 * count + 2}")
    x = unit(x, last, 3, name=f"block{block + 1}_conv1")
    return unit(x, last, 3, name=f"block{block + 1}_conv2")


def _alternating(unit: Callable[..., Any], x: Any, width: int, count: int, *, name: str) -> Any:
    """Pairs of a 1×1 convolution of half the width and a 3×3 one."""
    for number in range(count):
        x = unit(x, width // 2, 1, name=f"{name}_conv{2 * number + 1}")
        x = unit(x, width, 3, name=f"{name}_conv{2 * number + 2}")
    return x


def build_tiny(x: Any, *, widths: tuple[int, ...], tail: tuple[int, ...], norm: str) -> Any:
    """Convolutions with a pooling behind each of `widths`, and none behind those of `tail`."""
    unit = _unit(norm)
    for number, width in enumerate(widths, start=1):
        x = unit(x, width, 3, name=f"conv{number}")
        x = blocks.max_pool(x, 2, name=f"pool{number}")
    for number, width in enumerate(tail, start=len(widths) + 1):
        x = unit(x, width, 3, name=f"conv{number}")
    return x


def _unit(norm: str) -> Callable[..., Any]:
    """A convolution with its normalization and its leaky unit."""

    def unit(x: Any, filters: int, kernel: int, *, name: str, strides: int = 1) -> Any:
        x = blocks.conv(
            x,
            filters,
            kernel,
            strides=strides,
            use_bias=norm == "none",
            initializer="he_normal",
            name=name,
        )
        if norm == "batch":
            x = blocks.batch_norm(x, name=f"{name}_bn")
        return _leaky(x, name=f"{name}_leaky")

    return unit


def _leaky(x: Any, *, name: str) -> Any:
    return blocks.apply(x, layers.LeakyReLU(negative_slope=SLOPE, name=name))


def head(
    x: Any,
    *,
    classes: int,
    image: Any,
    head: str,
    grid: int,
    boxes: int,
    hidden: tuple[int, ...],
    dropout: float,
) -> Any:
    """From the map to what each cell says, and from there to the answer, `[batch, most, 6]`."""
    numbers = boxes * PER_BOX + classes
    finder = CellDetections(boxes=boxes, name="detections")
    if head == "conv":
        cells = blocks.conv(x, numbers, 1, dtype=blocks.head_dtype(), name="cells")
        return blocks.apply(cells, finder, image)
    x = blocks.flatten(x)
    for number, width in enumerate(hidden, start=1):
        x = blocks.dense(x, width, name=f"fc{number}")
        x = _leaky(x, name=f"fc{number}_leaky")
    x = blocks.dropout(x, dropout, name="dropout")
    x = blocks.logits(x, grid * grid * numbers, name=f"fc{len(hidden) + 1}")
    shape = (grid, grid, numbers)
    cells = blocks.apply(x, layers.Reshape(shape, dtype=blocks.head_dtype(), name="cells"))
    return blocks.apply(cells, finder, image)


_NORM = Param(
    name="norm",
    default="none",
    search=("none", "batch"),
    help="Batch normalization behind every convolution, in place of its biases, or none.",
)


def _of_head(*hidden: int) -> tuple[Param, ...]:
    dense = ("head", ("dense",))
    return (
        Param(
            name="head",
            default="dense",
            search=("dense", "conv"),
            help="What gives each cell's numbers: dense layers on the whole map, or a 1×1 "
            "convolution of what lies above it.",
        ),
        Param(
            name="grid",
            default=7,
            search=Range(4, 13),
            legal=Range(1, 64),
            when=dense,
            help="Cells on each side (S). Of a convolution there are as many as in the map.",
        ),
        Param(
            name="boxes",
            default=2,
            search=(1, 2, 3),
            legal=Range(1, 16),
            help="Boxes of each cell (B).",
        ),
        Param(
            name="hidden",
            default=hidden,
            search=(64, 128, 256, 512, 1024, 4096),
            legal=Range(1, 65536),
            when=dense,
            help="Units of each hidden dense layer.",
        ),
        Param(
            name="dropout",
            default=0.5,
            search=Range(0.0, 0.5),
            legal=Range(0.0, 0.95),
            when=dense,
            help="Dropout behind the hidden dense layers.",
        ),
    )


_DEVIATIONS = (
    "The convolutions start from He's random weights; the authors' first 20 were trained on "
    "ImageNet at half the size.",
)


def _card(*, params: int, macs: int, mean_ap: float, deviations: tuple[str, ...] = ()) -> Card:
    return Card(
        title="You Only Look Once: Unified, Real-Time Object Detection",
        authors="Redmon, Divvala, Girshick, Farhadi",
        year=2016,
        link="arXiv:1506.02640",
        input_shape=SHAPE,
        classes=CLASSES,
        params=params,
        macs=macs,
        smallest_input=(64, 64),
        preprocessing=Preprocessing(scale=1 / 255),
        results=(
            Result(
                dataset="PASCAL VOC 2007",
                protocol="test, trained on 2007 and 2012",
                metric="mAP",
                value=mean_ap,
                source="table 1",
            ),
        ),
        deviations=(*deviations, *_DEVIATIONS),
    )


RECIPE = Recipe(
    learning_rate=1e-3,
    batch_size=16,
    epochs=60,
    warmup_epochs=2.0,
    weight_decay=5e-4,
    clip_norm=10.0,
    augmentation=Augmentation(shift=0.1, zoom=0.2),
    source="ours, for small networks such as `norm=batch, head=conv`, tried on digit_scenes; "
    "--recipe paper has the authors'",
)

YOLO = Architecture(
    name="yolo",
    task="detection",
    scores=False,
    build=build,
    head=head,
    space=Space(
        (
            Param(
                name="widths",
                default=(64, 192, 512, 1024),
                search=(32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024),
                legal=Range(4, 4096),
                help="Filters of the 3×3 convolutions that end blocks 1, 2, 3, ...; those before "
                "have a half or a quarter.",
            ),
            Param(
                name="repeats",
                default=(1, 4, 2),
                search=(1, 2, 3, 4),
                legal=Range(0, 16),
                help="Pairs of a 1×1 and a 3×3 convolution: of block 3 and on, and of the one "
                "behind the last pooling.",
            ),
            _NORM,
            *_of_head(4096),
        )
    ),
    card=_card(params=271_703_550, macs=20_285_153_280, mean_ap=63.4),
    recipe=RECIPE,
    paper_recipe="yolo",
)

YOLOTiny = Architecture(
    name="yolo_tiny",
    task="detection",
    scores=False,
    build=build_tiny,
    head=head,
    space=Space(
        (
            Param(
                name="widths",
                default=(16, 32, 64, 128, 256, 512),
                search=(8, 16, 32, 64, 128, 256, 512),
                legal=Range(1, 4096),
                help="Filters of the convolutions with a pooling behind each.",
            ),
            Param(
                name="tail",
                default=(1024, 1024, 1024),
                search=(64, 128, 256, 512, 1024),
                legal=Range(1, 4096),
                help="Filters of the convolutions behind the last pooling.",
            ),
            _NORM,
            *_of_head(256, 4096),
        )
    ),
    card=_card(
        params=45_089_374,
        macs=2_418_728_960,
        mean_ap=52.7,
        deviations=(
            "Of Fast YOLO the paper says that it has nine convolutions with fewer filters; which "
            "ones is taken from the authors' yolo-tiny.cfg of 2015.",
        ),
    ),
    recipe=RECIPE,
    paper_recipe="yolo",
)
