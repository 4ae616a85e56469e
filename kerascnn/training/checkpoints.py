"""Checkpoints from which training goes on bit for bit: every variable, by its place and name.

Keras's own `save_weights` leaves out the state of the random generators of dropout.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerascnn.errors import RunError
from kerascnn.training.files import replacing

KEEP = 2


def save(
    directory: Path, epoch: int, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Path:
    """Write the state after `epoch` epochs and remove all but the newest checkpoints."""
    path = directory / f"epoch-{epoch:05d}.npz"
    arrays = {key: np.asarray(v) for key, v in _variables(model, optimizer).items()}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    for old in _all(directory)[:-KEEP]:
        old.unlink()
    return path


def last_epoch(directory: Path) -> int:
    """The number of completed epochs of the newest readable checkpoint; 0 if there is none."""
    newest = _all(directory)
    return int(newest[-1].stem.removeprefix("epoch-")) if newest else 0


def restore(directory: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> int:
    """Put the newest checkpoint into a built model and optimizer; the number of its epochs.

    Raises:
        RunError: it belongs to another model or is damaged.
    """
    epoch = last_epoch(directory)
    if not epoch:
        return 0
    path = _all(directory)[-1]
    variables = _variables(model, optimizer)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
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
    return epoch


def _all(directory: Path) -> list[Path]:
    return sorted(p for p in directory.glob("epoch-*.npz") if re.fullmatch(r"epoch-\d+", p.stem))


def _variables(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """All variables, including the states of random generators, in a stable order."""
    groups = {"model": model.variables, "optimizer": optimizer.variables}
    return {
        f"{group}/{number:05d}/{variable.name}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }
