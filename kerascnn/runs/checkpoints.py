"""Checkpoints from which training goes on bit for bit: every variable, and the place in the data.

Keras's own `save_weights` leaves out the state of the random generators of dropout.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerascnn.errors import RunError
from kerascnn.files import open_regular
from kerascnn.runs.position import Position
from kerascnn.weights import archives
from kerascnn.writing import replacing

KEEP = 2
POSITION = "position"
BEGINNING = Position()


def variables_of(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    averages: list[keras.Variable],
    best: Sequence[Any] = (),
) -> dict[str, Any]:
    """All variables, including the states of random generators, in a stable order.

    Args:
        model, optimizer: in training.
        averages: of the weights.
        best: the weights of the best epoch so far, if they are kept.
    """
    groups: dict[str, Sequence[Any]] = {
        "model": model.variables,
        "optimizer": optimizer.variables,
        "average": averages,
        "best": best,
    }
    return {
        f"{group}/{number:05d}/{variable.name}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def save(directory: Path, position: Position, variables: Mapping[str, Any]) -> Path:
    """Write the state and remove all but the newest checkpoints.

    What calls itself newer is what `restore` has found damaged: it is put aside, not deleted.
    """
    path = directory / f"{_name(position)}.npz"
    arrays = {key: np.asarray(variable) for key, variable in variables.items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, **{POSITION: position.numbers()})  # type: ignore[arg-type]
    found = _all(directory)
    place = found.index(path)
    for damaged in found[place + 1 :]:
        damaged.rename(damaged.with_name(f"damaged-{damaged.name}"))
    for old in found[: max(0, place + 1 - KEEP)]:
        old.unlink()
    return path


def _name(position: Position) -> str:
    within = f"-update-{position.update:07d}" if position.update else ""
    return f"epoch-{position.epoch:05d}{within}"


def restore(
    directory: Path,
    variables: Mapping[str, Any],
    *,
    start: Position = BEGINNING,
    epochs: int | None = None,
    updates: int | None = None,
    say: Callable[[str], None] = print,
) -> Position:
    """Put the newest checkpoint that is whole into built variables; where it was made.

    Args:
        directory: the run's checkpoints.
        variables: of the model, the optimizer and the averages, as `variables_of` names them.
        start: where a training begins, with as many sums as it has.
        epochs, updates: that the training has, and an epoch of it; no checkpoint is behind them.
        say: is called with each newer checkpoint that can't be used, and why.

    Raises:
        RunError: there are some, but none can be used.
    """
    refused: list[RunError] = []
    for path in reversed(_all(directory)):
        try:
            position, arrays = _read(path, variables, start, epochs, updates)
        except RunError as error:
            refused.append(error)
            continue
        for earlier in refused:
            say(f"{earlier} Training goes on from the one before, {path.name}.")
        for key, variable in variables.items():
            variable.assign(arrays[key])
        return position
    if not refused:
        return start
    more = f" Nor can {len(refused) - 1} older ones be used." if len(refused) > 1 else ""
    raise RunError(
        f"{refused[0]}{more} Without a checkpoint the run can't go on; start it anew with "
        f"`kerascnn train --config {directory.parent}`."
    ) from None


def _read(
    path: Path,
    variables: Mapping[str, Any],
    start: Position,
    epochs: int | None,
    updates: int | None,
) -> tuple[Position, dict[str, np.ndarray]]:
    """A checkpoint of these variables, every number of it a number.

    Raises:
        RunError: it is damaged, or belongs to another model or optimizer.
    """
    expected = {
        key: (tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype))
        for key, variable in variables.items()
    } | {POSITION: ((len(start.numbers()),), "float64")}
    try:
        open_regular(path, inside=path.parent.parent).close()
        with archives.open_zip(path) as archive:
            names = [member.removesuffix(".npy") for member in archive.namelist()]
            wrong = sorted(set(expected) ^ set(names))
            if wrong or len(names) != len(expected):
                raise ValueError(_differ(wrong))
            arrays = {key: archives.read_array(archive, f"{key}.npy") for key in expected}
        wrong = [k for k, v in expected.items() if (arrays[k].shape, arrays[k].dtype.name) != v]
        if wrong:
            raise ValueError(_differ(wrong))
        for key, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"{key} holds values that are no numbers")
        position = _position(arrays.pop(POSITION), path, epochs, updates)
    except Exception as error:  # a damaged archive raises anything
        reason = str(error).partition("\n")[0].removeprefix(f"{path}: ").rstrip(".")
        raise RunError(
            f"The checkpoint {path} can't be used ({reason or type(error).__name__})."
        ) from error
    return position, arrays


def _differ(names: Sequence[str]) -> str:
    return (
        f"it belongs to another model or optimizer: {len(names)} variables differ, the first is "
        f"{names[0] if names else 'there twice'}"
    )


def _position(numbers: np.ndarray, path: Path, epochs: int | None, updates: int | None) -> Position:
    """The place that a checkpoint says it was made at.

    Raises:
        ValueError: no training can be there, or the file's name says something else.
    """
    found, totals = Position.of(numbers), Position.of(numbers).totals
    whole = [*numbers[:2], numbers[-1], totals.images]
    legal = (
        all(number == int(number) for number in whole)
        and 0 <= found.epoch <= (found.epoch if epochs is None else epochs)
        and 0 <= found.update <= (found.update if updates is None else updates)
        and found.seconds >= 0
        and totals.waited >= 0
        and totals.images >= 0
    )
    if not legal or _name(found) != path.stem:
        raise ValueError(
            f"it says it was made after epoch {found.epoch} and update {found.update}, which the "
            "file's name, or this training, contradicts"
        )
    return found


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
        if (found := re.fullmatch(r"epoch-(\d{5,9})(?:-update-(\d{7,9}))?", path.stem, re.ASCII))
    }
    return sorted(places, key=lambda path: places[path])
