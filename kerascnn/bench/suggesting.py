"""Which network to train on a user's photos within so many parameters and minutes, and why.

What a candidate costs is counted without building it. How fast this machine is, is measured: the
smallest and the largest candidate are trained for a few epochs on noise, and what lies between
follows a power of the multiply-adds through these two. No candidate is trained on the photos, and
none is known to be the best.
"""

from __future__ import annotations

import math
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerascnn import catalogue
from kerascnn.console import Console
from kerascnn.data import ArraySplit, Dataset
from kerascnn.data import images as pixels
from kerascnn.data.examples import Arrays, Examples, Options
from kerascnn.data.labels import Labels
from kerascnn.data.loading import best_target, read_source
from kerascnn.data.shares import with_shares
from kerascnn.errors import ArgumentError, DataError, InputSizeError
from kerascnn.network import Network
from kerascnn.recipes import book
from kerascnn.recipes.recipe import Recipe
from kerascnn.training.sizing import sized
from kerascnn.training.trainer import train
from kerascnn.words import counted

SIDES = (32, 48, 64, 96, 128, 160, 224)  # of square inputs
LOOKED_AT = 200  # images, whose headers are read; of some the pixels
DECODED = 24
IMAGES, BATCH, EPOCHS = 64, 16, 3  # of the trainings that are measured; the second epoch counts
FORWARD = 1 / 3  # of a training step: it has two passes of the backward kind
FEW = 1_000  # images of a class, below which published weights are worth a try


@dataclass(frozen=True, kw_only=True)
class Design:
    """A network to consider.

    Attributes:
        name: of the architecture.
        arguments: other than its own.
        least, most: sides of the input that it suits.
    """

    name: str
    least: int
    most: int
    arguments: Mapping[str, Any] = field(default_factory=dict)


DESIGNS = (
    Design(name="lenet5", least=32, most=64),
    Design(name="resnet20_cifar", least=32, most=96),
    Design(name="resnet56_cifar", least=32, most=64),
    *(
        Design(
            name="vgg11_bn",
            least=32,
            most=224,
            arguments={"widths": (w, 2 * w, 4 * w, 8 * w, 8 * w), "hidden": (8 * w, 8 * w)},
        )
        for w in (8, 16, 32)
    ),
    *(
        Design(
            name="resnet18",
            least=64,
            most=224,
            arguments={"widths": (w, 2 * w, 4 * w, 8 * w), "stem_width": w},
        )
        for w in (8, 16, 32)
    ),
    Design(name="resnet18", least=64, most=224),
    Design(name="googlenet_bn", least=96, most=224),
    Design(name="densenet121", least=96, most=224),
)
"""Small ones of each kind that has normalization or needs none, in widths that halve."""


@dataclass(frozen=True, kw_only=True)
class Photos:
    """What is known of the images.

    Attributes:
        source: as it was typed.
        images: of each split; shares are taken as training takes them.
        classes: name → training images.
        channels: 1 if all that were looked at are grey, or 3.
        shorter: the shorter side in pixels: smallest, median, largest of those looked at.
        looked_at: how many.
        reading: seconds to read and scale one, on one core.
    """

    source: str
    images: Mapping[str, int]
    classes: Mapping[str, int]
    channels: int
    shorter: tuple[int, int, int]
    looked_at: int
    reading: float

    @property
    def sentence(self) -> str:
        """All of it."""
        low, middle, high = self.shorter
        counts = sorted(self.classes.values())
        each = f"{counts[0]:,} to {counts[-1]:,}" if counts[0] != counts[-1] else f"{counts[0]:,}"
        sides = f"{low} to {high} pixels, median {middle}" if low != high else f"{low} pixels"
        return (
            f"{self.source}: {self.images.get('train', 0):,} images for training, of "
            f"{len(self.classes)} classes ({each} each), "
            f"{self.images.get('validation', 0):,} for validation; "
            f"{'grey' if self.channels == 1 else 'colour'}; the shorter side has {sides} (of "
            f"{counted(self.looked_at, 'image', 'images')})."
        )


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured of one network.

    Attributes:
        name, input_shape: which.
        macs: of one image, forward.
        seconds: of a training step, for one image, augmentation included.
        epoch: seconds of an epoch beside its steps: TensorBoard, checkpoints, figures.
        start: seconds before and after, in which TensorFlow compiles and the model is judged.
    """

    name: str
    input_shape: tuple[int, int, int]
    macs: int
    seconds: float
    epoch: float
    start: float


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that may be trained.

    Attributes:
        name, arguments, input_shape: what it is.
        params, macs: what it costs.
        epochs, batch_size: of its own recipe for so many images.
        minutes: estimated, of all epochs.
        too: what it is too much for: "parameters", "minutes"; "": it fits.
        command: that trains it.
    """

    name: str
    arguments: Mapping[str, Any]
    input_shape: tuple[int, int, int]
    params: int
    macs: int
    epochs: int
    batch_size: int
    minutes: float
    too: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What fits.

    Attributes:
        photos: what the images are.
        measured: on this machine, now.
        candidates: by their multiply-adds.
        chosen: the one with the most multiply-adds that fits; None: none does.
        advice: what else is worth knowing.
    """

    photos: Photos
    measured: tuple[Speed, ...]
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    advice: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)


def suggest(
    data: str,
    *,
    max_params: int | None = None,
    minutes: float = 30.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Suggestion:
    """Networks for a source of labelled images, with what they cost and how long they train.

    Marked is the one with the most multiply-adds that fits, as more of them give fewer errors in
    the papers' tables. Which is best on these images, only training tells.

    Args:
        data: a source, such as "folder:PHOTOS".
        max_params: trainable parameters, at most; None: any.
        minutes: of training, at most.
        seed: of the split, where the source has none.
        say: is called with what is done.

    Raises:
        DataError: the source can't be read, or has masks or boxes.
        ArgumentError: a limit isn't positive.
    """
    if minutes <= 0 or (max_params is not None and max_params <= 0):
        raise ArgumentError(
            f"The limits must be positive. Received: {max_params} parameters, {minutes:g} minutes."
        )
    photos = looked_at(data, seed=seed)
    networks = _networks(photos)
    small = [one for one in networks if max_params is None or one[0].cost().params <= max_params]
    ends = [small[0], small[-1]] if len(small) > 1 else small or networks[:1]
    speeds = []
    for network, _ in ends:
        rows, columns, _ = network.input_shape
        say(f"Measuring a short training of {network.name} at {rows}×{columns} …")
        speeds.append(_measured(network))
    candidates = tuple(
        _candidate(network, design, photos, speeds, max_params, minutes)
        for network, design in networks
    )
    fitting = [one for one in candidates if not one.too]
    few = min(photos.classes.values()) < FEW and photos.channels == 3
    advice = (
        "Of so few photos, a network that starts from published weights usually learns more: "
        f"kerascnn train resnet18 --weights imagenet --data {shlex.quote(data)}",
    )
    return Suggestion(
        photos=photos,
        measured=tuple(speeds),
        candidates=candidates,
        chosen=fitting[-1] if fitting else None,
        advice=advice if few else (),
    )


def looked_at(source: str, *, seed: int = 0) -> Photos:
    """What a source's images are, from the headers of some and the pixels of fewer.

    Raises:
        DataError: it can't be read, or has masks or boxes, or none of those can be read.
    """
    if (best := best_target(source)) != Labels.kind:
        raise DataError(
            f"{source} has {best if best.endswith('s') else f'{best}s'}: networks are suggested "
            "for labelled images alone."
        )
    contents, _ = with_shares(read_source(source, Options(unread=True)), seed, 0.1, 0.1)
    train = contents.splits.get("train")
    if train is None or not len(train.labels):
        raise DataError(f"{source} has no training image.")
    counts = Counter(_numbers(train))
    chosen = np.unique(np.linspace(0, len(train.labels) - 1, LOOKED_AT).astype(int)).tolist()
    sides, grey, seconds = [], [], []
    for number, position in enumerate(chosen):
        try:
            sides.append(min(_size(train, position)))
            if number % max(1, len(chosen) // DECODED) == 0:
                began = time.perf_counter()
                grey.append(_is_grey(train, position))
                seconds.append(time.perf_counter() - began)
        except DataError as error:  # `kerascnn data check` lists them all
            failure = error
    if not grey:
        raise failure
    return Photos(
        source=source,
        images={name: len(part.labels) for name, part in contents.splits.items()},
        classes={name: counts.get(number, 0) for number, name in enumerate(contents.class_names)},
        channels=1 if all(grey) else 3,
        shorter=(min(sides), int(np.median(sides)), max(sides)),
        looked_at=len(sides),
        reading=float(np.median(seconds)),
    )


def _numbers(examples: Examples) -> list[int]:
    found = examples.targets
    if not isinstance(found, Labels):
        raise AssertionError(found)  # `best_target` has said so
    return np.asarray(found.labels).tolist()


def _size(examples: Examples, position: int) -> tuple[int, int]:
    if isinstance(examples, Arrays):
        return examples.images.shape[1], examples.images.shape[2]
    return examples.size(position)


def _is_grey(examples: Examples, position: int) -> bool:
    """Whether an image has one channel; what reading it takes is measured beside."""
    if isinstance(examples, Arrays):
        return examples.images.shape[3] == 1
    place, content = examples.place(position), examples.content(position)
    image, _ = pixels.decode(place, 2 * SIDES[-1], content, examples.reading)
    image.resize((SIDES[-1], SIDES[-1]))
    return image.mode == "L"


def _networks(photos: Photos) -> list[tuple[Network, Design]]:
    """The designs, in the size of the images and in about half of it, by their multiply-adds."""
    top = max([side for side in SIDES if side <= photos.shorter[1]] or SIDES[:1])
    half = max([side for side in SIDES if side <= top / 1.5] or SIDES[:1])
    found = []
    for design in DESIGNS:
        suited = [side for side in sorted({half, top}) if design.least <= side <= design.most]
        if not suited and top > design.most:
            suited = [design.most]
        for side in suited:
            network = catalogue.get(design.name).network(
                design.arguments,
                input_shape=(side, side, photos.channels),
                classes=len(photos.classes),
            )
            try:
                network.cost()
            except InputSizeError:
                continue
            found.append((network, design))
    return sorted(found, key=lambda pair: pair[0].cost().macs)


class _Clock(keras.callbacks.Callback):
    """When each epoch has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras calls it."""
        self.times.append(time.perf_counter())


def _measured(network: Network) -> Speed:
    """A short training on noise, as `kerascnn train` does it, into a folder that is thrown away."""
    clock, began = _Clock(), time.perf_counter()
    recipe = replace(book.own(network), batch_size=BATCH, epochs=EPOCHS, accumulation=1, loss=None)
    recipe = replace(
        recipe, freeze_epochs=0, thaw_epochs=0, steps=tuple((0, f) for _, f in recipe.steps)
    )
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            network,
            _noise(network),
            recipe=recipe,
            run=Path(folder) / "run",
            callbacks=[clock],
            console=Console(quiet=True),
        )
        ended, step = time.perf_counter(), run.history[1]["seconds"]
    each = clock.times[2] - clock.times[1]
    shape: Any = network.input_shape
    return Speed(
        name=network.name,
        input_shape=shape,
        macs=network.cost().macs,
        seconds=step / IMAGES,
        epoch=max(0.0, each - step * (1 + FORWARD * BATCH / IMAGES)),
        start=max(0.0, ended - began - EPOCHS * each),
    )


def _noise(network: Network) -> Dataset:
    """Images to measure with: what is in them takes no time."""
    shape: Any = network.input_shape
    classes = network.classes or 2

    def split(count: int, seed: int) -> ArraySplit:
        generator = np.random.default_rng(seed)
        noise = generator.integers(0, 256, (count, *shape), "uint8")
        return ArraySplit(noise, Labels(np.arange(count, dtype="int32") % classes))

    return Dataset(
        name="noise",
        classes=classes,
        class_names=tuple(map(str, range(classes))),
        image_shape=shape,
        licence="none",
        notes=(),
        left_out=(),
        fingerprint="noise",
        train=split(IMAGES, 0),
        validation=split(BATCH, 1),
        test=split(BATCH, 2),
    )


def seconds_for(macs: int, speeds: Sequence[Speed]) -> float:
    """A training step for one image, by a power of the multiply-adds through what was measured.

    Its exponent is between 0 and 1: a network of twice the multiply-adds takes longer, and no more
    than twice as long.
    """
    first, last = speeds[0], speeds[-1]
    power = 1.0
    if last.macs > first.macs:
        power = math.log(last.seconds / first.seconds) / math.log(last.macs / first.macs)
    return first.seconds * (macs / first.macs) ** min(1.0, max(0.0, power))


def between(macs: int, speeds: Sequence[Speed], value: Callable[[Speed], float]) -> float:
    """What hardly depends on the multiply-adds: on a line over their logarithm."""
    first, last = speeds[0], speeds[-1]
    if last.macs <= first.macs:
        return value(first)
    share = math.log(macs / first.macs) / math.log(last.macs / first.macs)
    return value(first) + min(1.0, max(0.0, share)) * (value(last) - value(first))


def _candidate(
    network: Network,
    design: Design,
    photos: Photos,
    speeds: Sequence[Speed],
    max_params: int | None,
    minutes: float,
) -> Candidate:
    cost, images = network.cost(), photos.images.get("train", 0)
    recipe = _recipe(network, images)
    learn = seconds_for(cost.macs, speeds)
    held = photos.images.get("validation", 0)
    epoch = between(cost.macs, speeds, lambda speed: speed.epoch)
    epoch += images * (learn + photos.reading) + held * (FORWARD * learn + photos.reading)
    needed = (between(cost.macs, speeds, lambda speed: speed.start) + recipe.epochs * epoch) / 60
    too = [
        what
        for what, wrong in (
            ("parameters", max_params is not None and cost.params > max_params),
            ("minutes", needed > minutes),
        )
        if wrong
    ]
    shape: Any = network.input_shape
    return Candidate(
        name=network.name,
        arguments=design.arguments,
        input_shape=shape,
        params=cost.params,
        macs=cost.macs,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        minutes=needed,
        too=", ".join(too),
        command=_command(network, design, photos.source),
    )


def _recipe(network: Network, images: int) -> Recipe:
    """The network's own, for so many images."""
    recipe, _ = sized(book.own(network), images, 1)
    return replace(recipe, batch_size=min(recipe.batch_size, max(1, images)))


def _command(network: Network, design: Design, source: str) -> str:
    shape = "x".join(map(str, network.input_shape))
    words = ["kerascnn", "train", network.name, "--data", source, "--input-shape", shape]
    for name, value in design.arguments.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += ["--set", f"{name}={text}"]
    return shlex.join(words)
