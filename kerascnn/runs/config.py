"""A run's config.json, as one object: read, checked and written here and nowhere else.

The file may come from a stranger: everything is checked, once, and nothing that it names is
imported or called.
"""

from __future__ import annotations

import math
import platform
import re
import subprocess
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kerascnn import __version__
from kerascnn.card import Preprocessing
from kerascnn.data.arguments import common
from kerascnn.data.images import Reading
from kerascnn.distribution.names import check_strategy
from kerascnn.errors import ArgumentError, RunError
from kerascnn.files import check_printable, read_json, shortened
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes.losses import path_of
from kerascnn.recipes.recipe import PRECISIONS, Recipe
from kerascnn.runs import epochs
from kerascnn.typed import require, typed, words
from kerascnn.writing import write_json

Shape = tuple[int, int, int]

FILE = "config.json"
VERSION = 1  # of the file's form
CLASSIFICATION = "classification"  # which older runs, that don't say, were trained for
LARGEST_SIDE = 2**14  # of an image, in pixels
LARGEST_IMAGE = 2**27  # values of one image, over its channels
MOST_CLASSES = 2**20
SEEDS = 2**32  # NumPy's generators know no more
ORDERS = ("RGB", "BGR")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The registered architecture that a run trains.

    Attributes:
        name: a registered one.
        arguments: those it was given; the others are its defaults.
    """

    name: str
    arguments: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", {k: _tupled(v) for k, v in self.arguments.items()})


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """The images that a run trains on.

    Attributes:
        source: as `kerascnn.data.load` takes it, or the name of a Dataset.
        image_shape: `(height, width, channels)` of the canvas; None, of an older run: the
            network's input.
        fingerprint: see `kerascnn.data.Dataset`.
        split_rule: the rule by which the source was split, "" if it came with its splits; None: an
            older one.
        skip_corrupt: whether unreadable images are left out.
        sizes: images of each split.
    """

    source: str
    image_shape: Shape | None = None
    fingerprint: str
    split_rule: str | None = None
    skip_corrupt: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StartedFrom:
    """The trained weights that a run starts from.

    Attributes:
        source: "imagenet", "imagenet:PUBLISHER" or a file; behind "backbone:" a backbone's.
        sha256: of the file.
        left_out: layers that start untrained nevertheless, as the classes are others.
    """

    source: str
    sha256: str | None = None
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Predecessor:
    """The finished run that a run goes on from.

    Attributes:
        run: its directory, as it was given.
        data: the source that it was trained on.
        epochs: that its weights have been trained for on this source.
    """

    run: str
    data: str
    epochs: int


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What is trained on what, and how: all that is needed to do it again.

    `RunConfig.read(path)` and `config.write(path)` are the only ways from and to config.json. What
    an older run's file lacks has a default here; what it has beside these fields is passed over.
    Fields that are tables in the file are objects here: `config.data.source`,
    `config.recipe.epochs`, `config.architecture.arguments` (with tuples where JSON has lists).

    Attributes:
        kerascnn_run: `VERSION`.
        task: what the network is trained for, a name of `kerascnn.registry.TASKS`.
        name: of the network.
        architecture: the registered one; None: a keras.Model of the user's own, in model.json.
        input_shape: `(height, width, channels)` of the network's input.
        classes: how many.
        class_names: of the classes; (): an older run, which didn't say; see `named_classes`.
        preprocessing: from pixels to the network's input.
        data: the images.
        recipe: as it was carried out. Its loss, if it has one of its own, is a class while it
            trains, and where that can be imported from when it was read.
        chosen: what of the recipe followed from the images, and why, in sentences.
        weights: trained ones to start from; None: the recipe's or the architecture's first ones.
        predecessor: the run that has them, if it goes on from one.
        strategy, precision, jit, memory_efficient, seed, keep_epochs, explain, log: see
            `kerascnn.train`.
        versions, git, command, created: where the run comes from.

    Raises:
        ArgumentError, StrategyError: a value is out of range, or two contradict each other.
    """

    kerascnn_run: int
    task: str = CLASSIFICATION
    name: str
    architecture: Trained | None
    input_shape: Shape
    classes: int
    class_names: tuple[str, ...] = ()
    preprocessing: Preprocessing
    data: TrainedOn
    recipe: Recipe
    chosen: tuple[str, ...] = ()
    weights: StartedFrom | None = None
    predecessor: Predecessor | None = None
    strategy: str
    precision: str
    jit: bool | None = None
    memory_efficient: bool = False
    seed: int
    keep_epochs: tuple[int, ...] = ()
    explain: bool = False
    log: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, Any] | None = None
    command: tuple[str, ...] = ()
    created: str

    def __post_init__(self) -> None:
        for name, shape in (("input_shape", self.input_shape), ("image_shape", self.canvas)):
            legal = all(0 < size <= LARGEST_SIDE for size in shape)
            require(legal and math.prod(shape) <= LARGEST_IMAGE, name, "an image's", shape)
        channels = self.input_shape[2]
        require(self.canvas[2] == channels, "image_shape", "with input_shape's channels", channels)
        require(self.kerascnn_run == VERSION, "kerascnn_run", f"{VERSION}", self.kerascnn_run)
        require(0 < self.classes <= MOST_CLASSES, "classes", "positive", self.classes)
        count = len(self.class_names)
        require(count in (0, self.classes), "class_names", f"{self.classes} names", count)
        distinct = len(set(self.class_names)) == count
        require(distinct, "class_names", "different from each other", self.class_names)
        check_strategy(self.strategy)
        require(self.precision in PRECISIONS, "precision", " or ".join(PRECISIONS), self.precision)
        check_seed(self.seed)
        kept = epochs.checked(self.keep_epochs, self.recipe.epochs)
        object.__setattr__(self, "keep_epochs", kept)
        _check_preprocessing(self.preprocessing, channels)
        if self.predecessor:
            least = self.predecessor.epochs
            require(least >= 0, "predecessor.epochs", "0 or more", least)
        for name, size in self.data.sizes.items():
            require(size >= 0, f"data.sizes.{name}", "0 or more", size)

    @classmethod
    def read(cls, run: Path) -> RunConfig:
        """The config of a run directory.

        Raises:
            RunError: there is none, or it is damaged.
        """
        path = run / FILE
        found = read_json(path, error=RunError, inside=run)
        try:
            return cls.of(found)
        except ValueError as error:
            raise RunError(f"{path} is damaged: {str(error).rstrip('.')}.") from None

    @classmethod
    def of(cls, values: Any) -> RunConfig:
        """The config that was read from JSON, or that `plain` gave.

        Raises:
            ValueError: what was expected, and what was received.
        """
        found = _built(cls, values, "")
        check_printable(values, but=("class_names", "command"))
        return found

    def write(self, run: Path) -> None:
        """Write the run directory's config.json."""
        write_json(run / FILE, plain(self))

    @property
    def canvas(self) -> Shape:
        """`(height, width, channels)` of the images that training is given."""
        return self.data.image_shape or self.input_shape

    @property
    def reading(self) -> Reading:
        """How training reads files: 12 bits in 16 are nearly black without its range."""
        return common(self.data.source)[1]

    @property
    def named_classes(self) -> tuple[str, ...]:
        """Names of the classes; their numbers, if the run names none."""
        return self.class_names or tuple(map(str, range(self.classes)))


def _built(kind: type, values: Any, prefix: str) -> Any:
    """A declared dataclass from a mapping, every value of the type that the field has."""
    if not isinstance(values, Mapping):
        name = prefix.rstrip(".") or "it"
        raise ArgumentError(f"{name} must be a table. Received: {type(values).__name__}.")
    if kind is Recipe:
        return _recipe(values)
    hints, found = typing.get_type_hints(kind), {}
    for one in fields(kind):
        path = prefix + one.name
        if one.name not in values:
            if one.default is MISSING and one.default_factory is MISSING:
                raise ArgumentError(f"{path} is missing.")
            continue
        hint, value = hints[one.name], values[one.name]
        inner = next((c for c in (hint, *typing.get_args(hint)) if is_dataclass(c)), None)
        if inner is not None and not (value is None and inner is not hint):
            found[one.name] = _built(typing.cast(type, inner), value, f"{path}.")
            continue
        try:
            found[one.name] = None if inner is not None else typed(hint, value)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{path} must be {words(hint)}. Received: {shortened(value)}."
            ) from None
    return kind(**found)


def _recipe(stored: Mapping[str, Any]) -> Recipe:
    """The recipe that a run's config describes; a loss of its own stays the text that it is.

    Raises:
        ArgumentError: a field is unknown or illegal.
    """
    try:
        return recipe_book.override(Recipe(), stored)
    except ArgumentError as error:
        raise ArgumentError(f"recipe: {error}") from None


def check_seed(seed: Any) -> None:
    """Refuse what can't be a seed.

    Raises:
        ArgumentError: it says what can.
    """
    legal = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < SEEDS
    require(legal, "seed", f"a whole number from 0 to {SEEDS - 1:,}", seed)


def _check_preprocessing(found: Preprocessing, channels: int) -> None:
    require(found.scale != 0, "preprocessing.scale", "other than 0", found.scale)
    for name in ("mean", "std"):
        values = getattr(found, name)
        # On gray images three are averaged: see `kerascnn.preprocessing.preprocess`.
        counts = sorted({1, 3, channels})
        legal = len(values) in counts and all(value or name == "mean" for value in values)
        require(legal, f"preprocessing.{name}", f"{' or '.join(map(str, counts))} numbers", values)
    require(found.order in ORDERS, "preprocessing.order", " or ".join(ORDERS), found.order)


def plain(value: Any) -> Any:
    """A dataclass as JSON can hold it; a class or function by its import path."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if callable(value):
        return path_of(value)
    return value


def _tupled(value: Any) -> Any:
    """An argument as Python has it: JSON's lists as tuples."""
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


def default_path(name: str, source: str) -> Path:
    """`runs/NAME-DATA-TIME`."""
    label = re.split("[:?]", source)[0]
    return Path("runs") / f"{name}-{label}-{datetime.now():%Y%m%d-%H%M%S}"


def versions() -> dict[str, str]:
    """Versions of everything that has a say in the result."""
    import keras
    import numpy as np
    import tensorflow as tf

    return {
        "kerascnn": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the working directory, if it is a git checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
