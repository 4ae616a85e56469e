"""`digit_scenes`: handwritten digits on textured canvases, to name, to outline and to find.

    digit_scenes                     digit_scenes?size=96&digits=2-5&seed=7&train=10000

Digits of the bundled MNIST sample are scaled, coloured and laid over each other; the later covers
the earlier. Nothing is stored: a scene is a pure function of the arguments, its split and its
number, and is made when it is needed. The digits of training, validation and test scenes are those
of the sample's own training, validation and test images, so none is in two splits.

A mask says for each pixel whose ink it is: 0 is the canvas, 1 to 10 are the digits 0 to 9. A box is
around what can be seen of a digit. A digit that is wholly covered has none; one of which less than
a quarter can be seen is difficult.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from kerascnn.data import objects
from kerascnn.data.arguments import parsed
from kerascnn.data.boxes import Boxes
from kerascnn.data.examples import Contents, DataSource, Encoded, Options
from kerascnn.data.fitting import Shape, fit
from kerascnn.data.images import AS_THEY_ARE, Reading
from kerascnn.data.masks import Masks
from kerascnn.data.names import Names
from kerascnn.data.sources import DIGITS, MNIST_LICENCE, mnist5k
from kerascnn.data.split_names import SPLITS
from kerascnn.data.targets import Size, taken
from kerascnn.errors import DataError

VERSION = 1  # goes into the fingerprint: another one means other scenes from the same arguments

SIDES = (
    0.3,
    0.6,
)  # the digits' height or width, the larger, in shares of the canvas's shorter side
SEEN = 0.25  # the share of a digit's pixels below which it is difficult
MANY = 20_000  # scenes that take longer than a moment to look through
INKED = 128  # from so much ink on a pixel is the digit's in the mask
BACKGROUND = "background"
OPTIONS = ("size", "digits", "seed", *SPLITS)
LIMITS = {"size": (16, 2048), "digits": (1, 50), "seed": (0, 2**63 - 1), "count": (0, 1_000_000)}


@dataclass(frozen=True)
class Plan:
    """Which scenes are made.

    Attributes:
        height, width: of a scene, in pixels.
        fewest, most: digits in a scene.
        seed: of all draws.
        train, validation, test: how many scenes.
    """

    height: int = 64
    width: int = 64
    fewest: int = 1
    most: int = 3
    seed: int = 0
    train: int = 2000
    validation: int = 250
    test: int = 500

    @property
    def text(self) -> str:
        """What decides how a scene looks, its split and number excepted."""
        numbers = (VERSION, self.height, self.width, self.fewest, self.most, self.seed)
        return "-".join(map(str, numbers))


def plan(argument: str) -> Plan:
    """What the options behind the source's name ask for.

    Raises:
        DataError: an option is unknown, or its value illegal.
    """
    rest, given = parsed(argument, *OPTIONS)
    if rest:
        raise DataError(f"Expected options such as ?size=96&digits=2-5. Received: {argument!r}.")
    size = _numbers("size", given.get("size", "64"), r"(\d+)(?:x(\d+))?", "64 or 48x96", "size")
    digits = _numbers("digits", given.get("digits", "1-3"), r"(\d+)(?:-(\d+))?", "1-3", "digits")
    if digits[0] > digits[1]:
        raise DataError(f"digits must rise, as in 1-3. Received: {given['digits']!r}.")
    numbers = {
        name: _numbers(name, given[name], r"(\d+)", "0", "seed" if name == "seed" else "count")[0]
        for name in ("seed", *SPLITS)
        if name in given
    }
    return Plan(*size, *digits, **numbers)


def _numbers(name: str, text: str, form: str, example: str, limit: str) -> tuple[int, int]:
    low, high = LIMITS[limit]
    found = re.fullmatch(form, text) if len(text) < 40 else None
    numbers = [int(part or found[1]) for part in found.groups()] if found else []
    if not numbers or not all(low <= number <= high for number in numbers):
        raise DataError(
            f"{name} must be such as {example}, from {low:,} to {high:,}. Received: {text[:80]!r}."
        )
    return numbers[0], numbers[-1]


class Placed(NamedTuple):
    """A digit in a scene.

    Attributes:
        digit: 0 to 9.
        top, left: of its ink.
        ink: uint8 `[its height, its width]`, 255 is full ink.
    """

    digit: int
    top: int
    left: int
    ink: np.ndarray

    def over(self, canvas: np.ndarray) -> np.ndarray:
        """The part of a canvas `[height, width, ...]` that the digit is on, as a view."""
        height, width = self.ink.shape
        return canvas[self.top : self.top + height, self.left : self.left + width]


class _Pool(NamedTuple):
    """The digits that scenes of a split are made of.

    Attributes:
        images: uint8 `[n, 28, 28]`.
        labels: `[n]`.
        boxes: `[n, 4]`, the rows and columns that have ink: first and last + 1.
    """

    images: np.ndarray
    labels: list[int]
    boxes: list[list[int]]


@functools.cache
def _pool(split: str) -> _Pool:
    digits = mnist5k()[split]
    images = digits.images[..., 0]
    boxes = []
    for axis in (2, 1):  # of the rows, of the columns
        inked = np.asarray(images.any(axis=axis))
        boxes += [inked.argmax(axis=1), inked.shape[1] - inked[:, ::-1].argmax(axis=1)]
    return _Pool(images, digits.labels.tolist(), np.stack(boxes, axis=1).tolist())


def _random(plan: Plan, split: str, index: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, SPLITS.index(split), index])


def placed(plan: Plan, split: str, index: int) -> list[Placed]:
    """The digits of a scene, in the order in which they are laid."""
    return _placed(plan, split, _random(plan, split, index))


def _placed(plan: Plan, split: str, random: np.random.Generator) -> list[Placed]:
    pool = _pool(split)
    count = plan.fewest + int(random.random() * (plan.most - plan.fewest + 1))
    found = []
    for which, size, down, across in random.random((count, 4)).tolist():
        number = int(which * len(pool.labels))
        top, bottom, left, right = pool.boxes[number]
        side = (SIDES[0] + size * (SIDES[1] - SIDES[0])) * min(plan.height, plan.width)
        scale = side / max(bottom - top, right - left)
        height, width = (max(3, round(scale * n)) for n in (bottom - top, right - left))
        ink = Image.fromarray(pool.images[number, top:bottom, left:right])
        ink = ink.resize((width, height), Image.Resampling.BICUBIC)
        place = (int(down * (plan.height - height + 1)), int(across * (plan.width - width + 1)))
        found.append(Placed(pool.labels[number], *place, np.asarray(ink)))
    return found


def mask(plan: Plan, split: str, index: int) -> np.ndarray:
    """Whose ink each pixel of a scene is, uint8 `[height, width]`: see the module's description."""
    found = np.zeros((plan.height, plan.width), "uint8")
    for one in placed(plan, split, index):
        one.over(found)[one.ink >= INKED] = 1 + one.digit
    return found


def boxes(plan: Plan, split: str, index: int) -> np.ndarray:
    """A box around what can be seen of each digit, in the order in which they were laid.

    Returns:
        float32 `[k, 6]`: x1, y1, x2, y2 in pixels, the digit, and 1 where it is difficult.
    """
    order = np.zeros(
        (plan.height, plan.width), "uint8"
    )  # of the last digit laid on a pixel, from 1
    digits = placed(plan, split, index)
    for number, one in enumerate(digits, start=1):
        one.over(order)[one.ink >= INKED] = number
    rows = []
    for number, one in enumerate(digits, start=1):
        seen = one.over(order) == number
        if not (count := np.count_nonzero(seen)):
            continue
        down, across = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        difficult = count < SEEN * np.count_nonzero(one.ink >= INKED)
        rows.append(
            (
                *(one.left + across[0], one.top + down[0]),
                *(one.left + across[-1] + 1, one.top + down[-1] + 1),
                *(one.digit, difficult),
            )
        )
    return np.array(rows, "float32").reshape(-1, 6)


def image(plan: Plan, split: str, index: int) -> np.ndarray:
    """A scene, uint8 `[height, width, 3]`."""
    random = _random(plan, split, index)
    digits = _placed(plan, split, random)
    dark = random.random() < 0.5
    canvas = _canvas(plan, dark, random)
    for one in digits:
        part = one.over(canvas)
        colour = _colour(dark, random)
        part += (colour - part) * (one.ink[..., None] * np.float32(1 / 255))
    canvas += random.random((plan.height, plan.width, 1), "float32") * 16 - 8  # grain
    return np.clip(canvas, 0, 255).astype("uint8")


def _canvas(plan: Plan, dark: bool, random: np.random.Generator) -> np.ndarray:
    """Clouds of two colours, and waves across them: float32 `[height, width, 3]`."""
    cells = int(3 + random.random() * 6)
    clouds = (random.random((cells, cells)) * 255).astype("uint8")
    size = (plan.width, plan.height)
    clouds = np.asarray(Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC))
    turn, length, phase, strength = random.random(4).tolist()
    angle, pitch = np.pi * turn, 2 * np.pi / (4 + 12 * length)
    down = np.arange(plan.height, dtype="float32") * np.float32(np.sin(angle) * pitch)
    across = np.arange(plan.width, dtype="float32") * np.float32(np.cos(angle) * pitch)
    # The sine of a sum, from sines of rows and columns alone.
    down += np.float32(2 * np.pi * phase)
    waves = np.outer(np.sin(down), np.cos(across)) + np.outer(np.cos(down), np.sin(across))
    mixed = clouds * np.float32(1 / 255) + waves * np.float32(0.35 * strength)
    first, second = _colour(not dark, random), _colour(not dark, random)
    # Calmer than the digits: half of the difference between two colours that are near grey.
    first, second = (
        first / 2 + (first.mean() + second) / 4,
        second / 2 + (second.mean() + first) / 4,
    )
    return first + mixed[..., None] * (second - first)


def _colour(light: bool, random: np.random.Generator) -> np.ndarray:
    drawn = random.random(3, "float32")
    return 255 - 150 * drawn if light else 120 * drawn


@dataclass(frozen=True, eq=False)
class Scenes(Encoded):
    """Scenes as examples of a source, encoded as PPM, which takes no time.

    Attributes:
        plan: see `Plan`.
        split: "train", "validation" or "test".
        index: int64 `[n]`, their numbers.
        labels, shape, reading: see `Encoded`.
    """

    made: ClassVar[bool] = True
    plan: Plan
    split: str
    index: np.ndarray
    labels: Any
    shape: Shape
    reading: Reading = AS_THEY_ARE

    def name(self, position: int) -> str:
        """Split and number, such as "train[12]"."""
        return f"{self.split}[{self.index[position]}]"

    def place(self, position: int) -> str:
        """The same, with the source."""
        return f"digit_scenes, {self.name(position)},"

    def content(self, position: int) -> bytes:
        """The scene as a PPM file."""
        pixels = image(self.plan, self.split, int(self.index[position]))
        return b"P6 %d %d 255\n" % (self.plan.width, self.plan.height) + pixels.tobytes()

    def size(self, position: int) -> Size:
        """`(height, width)`; see `Encoded`."""
        return self.plan.height, self.plan.width

    def names(self) -> Names:
        """All that decides how a scene looks."""
        text = f"{self.plan.text}-{self.split}-"
        return Names.of(f"{text}{number}".encode() for number in self.index.tolist())

    def digest(self, update: Callable[[Any], None]) -> None:
        """What decides how they look, and their labels."""
        update(f"{self.plan.text}-{self.split}".encode())
        update(np.ascontiguousarray(self.index))
        self.targets.digest(update)

    def take(self, index: np.ndarray) -> Scenes:
        """The examples at these positions."""
        return replace(self, index=self.index[index], labels=taken(self.labels, index))


def all_boxes(plan: Plan, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The boxes of all scenes of a split.

    Returns:
        float32 `[m, 6]`, see `boxes`, and int64 `[n + 1]`: the first box of each scene, and m.
    """
    found = [boxes(plan, split, number) for number in range(getattr(plan, split))]
    starts = np.cumsum([0, *map(len, found)], dtype="int64")
    return np.concatenate([np.zeros((0, 6), "float32"), *found]), starts


def _digit_scenes(argument: str, options: Options) -> Contents:
    wanted = plan(argument)
    if options.target != Masks.kind and sum(getattr(wanted, split) for split in SPLITS) > MANY:
        options.echo("Placing the digits of all scenes …")
    splits: dict[str, Encoded] = {}
    shape = options.input_shape or (wanted.height, wanted.width, 3)
    _, changes = fit(np.zeros((1, wanted.height, wanted.width, 3), "uint8"), shape)
    notes = [f"{wanted.height}×{wanted.width}×3 images are {change}." for change in changes]
    for split in SPLITS:
        kept, targets = _targets(wanted, split, options.target)
        if (left := getattr(wanted, split) - len(kept)) > 0:
            notes.append(objects.note(left, getattr(wanted, split), split))
        splits[split] = Scenes(wanted, split, kept, targets, shape, options.reading)
    return Contents(
        class_names=(BACKGROUND, *DIGITS) if options.target == Masks.kind else DIGITS,
        splits=splits,
        licence=MNIST_LICENCE,
        notes=tuple(notes),
    )


def _targets(plan: Plan, split: str, target: str) -> tuple[np.ndarray, Any]:
    """The numbers of a split's scenes, int64 `[n]`, and what they are labelled with."""
    numbers = np.arange(getattr(plan, split))
    if target == Masks.kind:
        masks = Masks(
            read=lambda number: mask(plan, split, number),
            names=Names.of(f"{split}-{number}".encode() for number in numbers.tolist()),
            sizes=np.full(len(numbers), plan.height * plan.width, "int64"),
            classes=1 + len(DIGITS),
        )
        return numbers, masks
    found, starts = all_boxes(plan, split)
    if target == Boxes.kind:
        sizes = np.tile(np.array([plan.height, plan.width], "int32"), (len(numbers), 1))
        return numbers, Boxes(boxes=found, starts=starts, sizes=sizes)
    labels = objects.one_class(found[:, 4].astype("int32"), starts)
    kept = np.flatnonzero(labels != objects.SEVERAL)
    return kept, labels[kept]


DIGIT_SCENES = DataSource(
    read=_digit_scenes,
    options=OPTIONS,
    targets=("mask", "boxes", "label"),
    help="Scenes of several coloured digits of MNIST, bundled: labels, masks and boxes.",
    licence=MNIST_LICENCE,
)
