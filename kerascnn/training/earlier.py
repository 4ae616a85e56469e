"""The finished run that a training goes on from: on its own images, or on others."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn.errors import ArgumentError, RunError
from kerascnn.network import Network
from kerascnn.recipes import trusted
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.config import Predecessor, RunConfig, StartedFrom
from kerascnn.runs.models import load_graph
from kerascnn.runs.run import Run
from kerascnn.words import counted, listed

if TYPE_CHECKING:
    import keras

    from kerascnn.architecture import Architecture

DERIVED = "derived_from"  # in metrics.json, of a run that another one was made into


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A finished run that another goes on from.

    Attributes:
        run: its directory.
        same_data: whether it is the same images that the training goes on with.
    """

    run: Run
    same_data: bool

    @property
    def config(self) -> RunConfig:
        """What was trained on what, and how."""
        return self.run.config

    @property
    def epochs(self) -> int:
        """How many its weights have been trained for on its data, in runs before it, too."""
        before = self.config.predecessor
        own = int(self.run.metrics.get("epochs") or 0)
        return own + (before.epochs if before and before.data == self.config.data.source else 0)

    @property
    def weights(self) -> str:
        """As `train` takes them."""
        return str(self.run.path)

    def recipe(self, loss: Callable[[], Any] | str | None = None) -> Recipe:
        """How it was trained, as a recipe to go on with: without what is for new classifiers.

        Args:
            loss: the recipe's own, given by the one who trains; None: not given.

        Raises:
            RunError: the run has a loss of its own that is not installed, and it was not given.
        """
        stored = self.config.recipe
        name = self.config.architecture.name if self.config.architecture else None
        own = loss or trusted.again(stored.loss, None, name, self.run.path)
        return dataclasses.replace(stored, loss=own, freeze_epochs=0, thaw_epochs=0)

    def network(
        self,
        arguments: Mapping[str, Any] | None,
        input_shape: tuple[int, int, int] | None,
    ) -> tuple[Architecture | keras.Model, Mapping[str, Any] | None, tuple[int, int, int] | None]:
        """What was trained, its arguments and its input, with those that are given instead.

        Raises:
            RunError: it can't be built from what is installed, or is damaged.
        """
        architecture, config = self.run.architecture(), self.config
        if architecture is None or config.architecture is None:
            return load_graph(self.run.path), arguments, input_shape
        own = dict(config.architecture.arguments)
        if own.get("dropout") == config.recipe.dropout:
            own.pop("dropout", None)  # the recipe's, which the next one states again or not
        return architecture, {**own, **(arguments or {})}, input_shape or config.input_shape

    def count(self, epochs: int | str | None) -> int | None:
        """How many epochs are meant: "+20" and, on other data, 20 are 20 more.

        On the same data 50 are all epochs together, as of `keras.Model.fit(initial_epoch=...)`.

        Raises:
            ArgumentError: it is no such number, or the run has as many already.
        """
        if epochs is None:
            return None
        number, more = epochs_of(epochs)
        if more or not self.same_data:
            return number
        if number <= self.epochs:
            raise ArgumentError(
                f"The run {self.run.path} has been trained for "
                f"{counted(self.epochs, 'epoch', 'epochs')} already, so epochs={number} in all "
                f"leaves nothing to do. For {number} more: --epochs +{number}."
            )
        return number - self.epochs

    def start(
        self,
        weights: StartedFrom,
        network: Network | keras.Model,
        class_names: tuple[str, ...],
    ) -> StartedFrom:
        """The weights, and the layers that have to start anew where the classes are others.

        Args:
            weights: those of the run.
            network: what is trained, for the classes of the data.
            class_names: of these.
        """
        if self.config.named_classes == class_names:
            return weights
        if isinstance(network, Network):
            return dataclasses.replace(weights, left_out=network.class_layers())
        from kerascnn.training.freezing import last_layers

        names = tuple(layer.name for layer in last_layers(network))
        return dataclasses.replace(weights, left_out=names)

    def predecessor(self) -> Predecessor:
        """The run as the next one's config holds it."""
        source = self.config.data.source
        return Predecessor(run=str(self.run.path), data=source, epochs=self.epochs)

    def refuse(self, given: Mapping[str, Any]) -> None:
        """Refuse what belongs to the run.

        Args:
            given: by the user's word for it; None: not given.

        Raises:
            ArgumentError: it names what was given.
        """
        found = [name for name, value in given.items() if value is not None]
        if not found:
            return
        advice = "Leave it out."
        if self.same_data:
            advice = f"To train it on other data or otherwise built: --from {self.run.path}."
        raise ArgumentError(
            f"A training that goes on from {self.run.path} has that run's "
            f"{listed(found)}. {advice} Received: {', '.join(found)}."
        )


def find(continued: str | Path | Run | None, origin: str | Path | Run | None) -> Earlier | None:
    """The run that a training goes on from, checked; None: it begins with nothing.

    Args:
        continued: the run whose data it has, too.
        origin: the run that gives its network and weights alone.

    Raises:
        ArgumentError: both are given.
        RunError: there is no such run, it isn't finished, or another was made of it.
    """
    if continued is not None and origin is not None:
        raise ArgumentError(
            "Pass either --continue RUN, which trains on with the same data, or --from RUN with "
            "--data OTHER. Received: both."
        )
    given = continued if continued is not None else origin
    if given is None:
        return None
    run = given if isinstance(given, Run) else Run.open(Path(given))
    if not run.finished:
        raise RunError(
            f"The run {run.path} has not come to its end. Go on with it first: `kerascnn train "
            f"--resume {run.path}`, which needs no other option."
        )
    if source := run.metrics.get(DERIVED):
        raise RunError(
            f"The run {run.path} was made of {source} after its training, and has nothing to go "
            f"on from. Pass {source}."
        )
    return Earlier(run=run, same_data=continued is not None)


def epochs_of(asked: int | str) -> tuple[int, bool]:
    """A number of epochs, and whether it was written as so many more: "+20".

    Raises:
        ArgumentError: it is no such number.
    """
    found = re.fullmatch(r"(\+?)(\d{1,9})", str(asked).strip(), re.ASCII)
    if not found or not int(found[2]):
        raise ArgumentError(
            "epochs must be a whole number from 1, such as 20, or, where training goes on from a "
            f"run, +20. Received: {asked!r}."
        )
    return int(found[2]), bool(found[1])


def count(epochs: int | str | None, old: Earlier | None) -> int | None:
    """How many epochs a training has; None: the recipe's.

    Raises:
        ArgumentError: see `Earlier.count`; or it is so many more where nothing was before.
    """
    if old is not None:
        return old.count(epochs)
    if epochs is None or not isinstance(epochs, str):
        return epochs
    number, more = epochs_of(epochs)
    if more:
        raise ArgumentError(
            f"epochs={epochs} are {number} more than a run has: pass it, too, with --continue RUN. "
            f"Otherwise: --epochs {number}."
        )
    return number
