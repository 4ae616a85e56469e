"""A trained network that a command is given: a run, or an architecture with weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn import tasks
from kerascnn.commands.options import parse_network, refuse_for_run, run_directory
from kerascnn.errors import ArgumentError, WeightsError
from kerascnn.words import did_you_mean, listed, printable

if TYPE_CHECKING:
    import keras
    import numpy as np

    from kerascnn.card import Preprocessing
    from kerascnn.data.fitting import Shape
    from kerascnn.network import Network
    from kerascnn.runs.run import Run

IMAGENET = 1000  # classes


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network, not loaded yet.

    Attributes:
        name: for titles.
        run: the run it comes from; None: an architecture with `weights`.
        network, weights: of an architecture.
        class_names: one for each class.
        shape: `(height, width, channels)` that files are read in.
        preprocessing: from pixels to the network's input.
        home: the run, or the working directory.
    """

    name: str
    run: Run | None = None
    network: Network | None = None
    weights: str | None = None
    class_names: tuple[str, ...]
    shape: Shape
    preprocessing: Preprocessing
    home: Path

    def model(self) -> keras.Model:
        """Load it, with scores of the classes: see `kerascnn.Task.explained`."""
        if self.run:
            return self.run.task.explained(self.run.model(), len(self.class_names))
        assert self.network is not None
        task = tasks.find(self.network.task)
        return task.explained(self.network.model(weights=self.weights), len(self.class_names))

    def source(self) -> str:
        """What the run was trained on, whose way of reading files is kept; "": nothing."""
        return self.run.config.data.source if self.run else ""

    def identity(self) -> str:
        """What tells its weights from others, without reading them."""
        if not self.run:
            return f"{self.name} {self.weights}"
        status = (self.run.path / "model.keras").stat()
        return f"{status.st_size} {status.st_mtime_ns}"

    def cut(self) -> Callable[[Any], Any]:
        """From a batch of images of `shape` to what the network sees of them, in pixels."""
        from kerascnn.tasks.forward import middle

        return middle(self.run.config) if self.run else lambda images: images

    def seen(self, pixels: np.ndarray) -> np.ndarray:
        """What the network sees of one image of `shape`, uint8 `[height, width, channels]`."""
        import numpy as np

        return np.clip(np.rint(np.asarray(self.cut()(pixels[None]))[0]), 0, 255).astype("uint8")


def trained(
    model: str,
    weights: str | None,
    assignments: list[str],
    input_shape: str | None,
    classes: int | None,
) -> Trained:
    """What the argument and the options for a name mean.

    Raises:
        KerascnnError: there is no such run or architecture, or no such weights.
    """
    if path := run_directory(model):
        from kerascnn.runs.run import Run

        refuse_for_run(
            model,
            {
                "--weights": weights,
                "--input-shape": input_shape,
                "--classes": classes,
                "--set": assignments,
            },
        )
        return _of_run(Run.open(path))
    network = parse_network(model, assignments, input_shape=input_shape, classes=classes)
    if weights is None:
        raise ArgumentError(
            f"{model} is an architecture, and an untrained network explains nothing. Pass "
            "--weights imagenet or a file of weights; or a run, such as `kerascnn train` leaves. "
            "Received: no --weights."
        )
    return _of_name(model, network, weights)


def _of_run(run: Run) -> Trained:
    return Trained(
        name=run.config.name,
        run=run,
        class_names=run.config.named_classes,
        shape=run.config.canvas,
        preprocessing=run.config.preprocessing,
        home=run.path,
    )


def _of_name(name: str, network: Network, weights: str) -> Trained:
    published = network.require(weights)
    height, width, channels = network.input_shape
    if not (height and width and network.classes):  # which no option leaves open
        raise AssertionError(network)
    return Trained(
        name=name,
        network=network,
        weights=weights,
        class_names=_class_names(network.classes),
        shape=(height, width, channels),
        preprocessing=(published or network).preprocessing,
        home=Path(),
    )


def _class_names(count: int) -> tuple[str, ...]:
    """ImageNet's names of its 1,000 classes if they can be fetched; else numbers."""
    if count == IMAGENET:
        from kerascnn.weights.imagenet import class_names

        try:
            return tuple(name.replace("_", " ") for _, name in class_names())
        except WeightsError as error:
            typer.echo(f"Classes are called by their numbers: {printable(str(error))}", err=True)
    return tuple(map(str, range(count)))


def class_index(text: str, names: Sequence[str]) -> int:
    """The class that --class means: a name, or a number from 0.

    Raises:
        ArgumentError: there is none; the message lists names.
    """
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    raise ArgumentError(
        f"--class must be one of {listed(map(printable, names))}, or its number from 0 to "
        f"{len(names) - 1}. Received: {text!r}.{did_you_mean(text, names)}"
    )
