"""Checkpoints from which training goes on bit for bit: every variable, and the place in the data.

Keras's own `save_weights` leaves out the state of the random generators of dropout.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerascnn.errors import RunError
from kerascnn.training.engine import Totals
from kerascnn.training.files import replacing

KEEP = 2
POSITION = "position"


@dataclass(frozen=True)
class Position:
    """How far a training has come.

    Attributes:
        epoch: complete epochs.
        update: updates of the weights in the next one.
        totals: of these updates.
        seconds: that they took.
    """

    epoch: int = 0
    update: int = 0
    totals: Totals = field(default_factory=Totals)
    seconds: float = 0.0

    def numbers(self) -> np.ndarray:
        """All of it, float64."""
        return np.array([self.epoch, self.update, self.seconds, *astuple(self.totals)], "float64")

    @classmethod
    def of(cls, numbers: np.ndarray) -> Position:
        """The position that `numbers` describe."""
        epoch, update, seconds, loss, correct, images, waited, bad = (float(n) for n in numbers)
        totals = Totals(loss, correct, images, waited, int(bad))
        return cls(int(epoch), int(update), totals, seconds)


def variables_of(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    averages: list[keras.Variable],
) -> dict[str, Any]:
    """All variables, including the states of random generators, in a stable order."""
    groups = {"model": model.variables, "optimizer": optimizer.variables, "average": averages}
    return {
        f"{group}/{number:05d}/{variable.name}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def save(directory: Path, position: Position, variables: Mapping[str, Any]) -> Path:
    """Write the state and remove all but the newest checkpoints."""
    within = f"-update-{position.update:07d}" if position.update else ""
    path = directory / f"epoch-{position.epoch:05d}{within}.npz"
    arrays = {key: np.asarray(variable) for key, variable in variables.items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, **{POSITION: position.numbers()})  # type: ignore[arg-type]
    for old in _all(directory)[:-KEEP]:
        old.unlink()
    return path


def restore(directory: Path, variables: Mapping[str, Any]) -> Position:
    """Put the newest checkpoint into built variables; where it was made.

    Raises:
        RunError: it belongs to another model or is damaged.
    """
    newest = _all(directory)
    if not newest:
        return Position()
    path = newest[-1]
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        position = Position.of(arrays.pop(POSITION))
    except Exception as error:
        raise RunError(
            f"The checkpoint {path} can't be read ({type(error).__name__}: {error}). "
            "Delete it to go on from the one before."
        ) from error
    wrong = sorted(
        {k for k in variables if k not in arrays or arrays[k].shape != tuple(variables[k].shape)}
        | (set(arrays) - set(variables))
    )
    if wrong:
        raise RunError(
            f"The checkpoint {path} belongs to another model or optimizer: "
            f"{len(wrong)} variables differ, the first is {wrong[0]}."
        )
    for key, variable in variables.items():
        variable.assign(arrays[key])
    return position


def digest(position: Position, variables: Mapping[str, Any]) -> bytes:
    """A hash of the state: equal only if every bit of it is."""
    found = hashlib.sha256(position.numbers().tobytes())
    for key, variable in variables.items():
        found.update(key.encode())
        found.update(np.asarray(variable).tobytes())
    return found.digest()


def _all(directory: Path) -> list[Path]:
    """Oldest first. A state within an epoch comes after the one at its beginning."""
    places = {
        path: (int(found[1]), int(found[2] or 0))
        for path in directory.glob("epoch-*.npz")
        if (found := re.fullmatch(r"epoch-(\d+)(?:-update-(\d+))?", path.stem))
    }
    return sorted(places, key=lambda path: places[path])
