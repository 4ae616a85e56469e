"""What is trained, whether it came as a name, an Architecture or a built model: checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from kerascnn.architecture import Architecture
from kerascnn.card import Preprocessing
from kerascnn.errors import ArgumentError
from kerascnn.network import Network
from kerascnn.runs.config import CLASSIFICATION, Trained
from kerascnn.tasks.task import Task, find


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is trained.

    Attributes:
        network: with its arguments checked; or the user's own model.
        shape: `(height, width, channels)` of its input.
        preprocessing: from pixels to that.
    """

    network: Network | keras.Model
    shape: tuple[int, int, int]
    preprocessing: Preprocessing

    @property
    def name(self) -> str:
        """The architecture's, or the model's."""
        return self.network.name

    @property
    def task(self) -> Task:
        """What it is trained for; a model of the user's own is for classification.

        Raises:
            UnknownNameError: no installed package offers it.
        """
        own = self.network
        return find(own.task if isinstance(own, Network) else CLASSIFICATION)

    @property
    def trained(self) -> Trained | None:
        """As the run's config holds it; a model is in a file of its own."""
        if isinstance(self.network, keras.Model):
            return None
        return Trained(name=self.name, arguments=self.network.given)

    def of(self, classes: int) -> Subject:
        """With the classes of the data.

        Raises:
            ArgumentError: a model has others, or returns neither logits nor probabilities.
        """
        if isinstance(self.network, keras.Model):
            self.task.check_model(self.network, classes)
            return self
        return dataclasses.replace(self, network=dataclasses.replace(self.network, classes=classes))


def checked(
    found: Architecture | Network | keras.Model,
    arguments: Mapping[str, Any] | None,
    input_shape: tuple[int, int, int] | None,
    dropout: float | None,
) -> Subject:
    """What is trained, with all that was asked of it checked, once.

    Args:
        found: what the user gave, or what has that name.
        arguments, input_shape: see `train`.
        dropout: the recipe's, which stands for the argument unless the user has given that.

    Raises:
        ArgumentError: the network, or one of its arguments, is not legal.
        InputSizeError: the input is too small for it.
    """
    if not isinstance(found, Architecture) and (arguments or input_shape):
        raise ArgumentError(
            "arguments and input_shape belong to an architecture; the Network or keras.Model you "
            "pass has its own."
        )
    if isinstance(found, (Architecture, Network)):
        if isinstance(found, Network):
            network = found.with_given(_of_recipe(found, found.given, dropout))
        else:
            values = dict(arguments or {})
            values |= _of_recipe(found, values, dropout)
            network = found.network(values, input_shape=input_shape)
        network.cost()  # refuses too small an input
        shape: Any = network.input_shape
        return Subject(network, shape, network.preprocessing)
    image_shape = _image_shape(found)
    if dropout is not None:
        raise _no_dropout(found.name, dropout)
    return Subject(found, image_shape, Preprocessing())


def _of_recipe(
    found: Architecture | Network, given: Mapping[str, Any], dropout: float | None
) -> dict[str, Any]:
    """The argument that a recipe states, unless the user has given it.

    Raises:
        ArgumentError: the network has none.
    """
    if dropout is None or "dropout" in given:
        return {}
    if "dropout" not in found.space:
        raise _no_dropout(found.name, dropout)
    return {"dropout": dropout}


def _no_dropout(name: str, dropout: float) -> ArgumentError:
    return ArgumentError(
        f"{name} has no argument `dropout` that the recipe's could replace. "
        f"Received: dropout={dropout:g}. Leave it to the network with dropout=None "
        "(--with dropout=none)."
    )


def _image_shape(model: object) -> tuple[int, int, int]:
    """Of the one input of a user's model.

    Raises:
        ArgumentError: it is no model, not built yet, or takes something else than images.
    """
    shape = getattr(model, "input_shape", None) if getattr(model, "built", False) else None
    if not isinstance(model, keras.Model) or not isinstance(shape, tuple) or len(shape) != 4:
        raise ArgumentError(
            "network must be an architecture's name, an Architecture, or a built keras.Model that "
            "takes images [batch, height, width, channels]. Received: "
            f"{type(model).__name__}{f' with input {shape}' if shape else ''}."
        )
    return shape[1:]
