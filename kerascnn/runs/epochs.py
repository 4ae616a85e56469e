"""The epochs of a run whose weights are kept beside it, as models: `epochs/epoch-00005.keras`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import Any

from kerascnn.errors import ArgumentError
from kerascnn.files import shortened
from kerascnn.words import listed

DIRECTORY = "epochs"  # in the run's


def checked(epochs: Any, last: int) -> tuple[int, ...]:
    """Epochs to keep, in their order, each once.

    Args:
        epochs: some of them; 0 means the weights before training.
        last: how many epochs the recipe has.

    Raises:
        ArgumentError: one is no epoch of the recipe's.
    """
    given = epochs if isinstance(epochs, Iterable) and not isinstance(epochs, str) else [epochs]
    found = list(given)
    wrong = [epoch for epoch in found if not _is_epoch(epoch, last)]
    if wrong:
        raise ArgumentError(
            "keep_epochs (--keep-epochs) must be epochs from 0, which is before training, to the "
            f"recipe's last, {last}. Received: {listed(map(shortened, wrong))}."
        )
    return tuple(sorted({int(epoch) for epoch in found}))


def _is_epoch(value: Any, last: int) -> bool:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and 0 <= int(value) <= last


def file_of(run: Path, epoch: int) -> Path:
    """Where a run keeps the weights after an epoch."""
    return run / DIRECTORY / f"epoch-{epoch:05d}.keras"


def kept(run: Path) -> tuple[int, ...]:
    """The epochs that a run directory has kept so far, in their order."""
    names = (
        re.fullmatch(r"epoch-(\d{5,9})\.keras", path.name, re.ASCII)
        for path in (run / DIRECTORY).glob("epoch-*.keras")
    )
    found = sorted(int(name[1]) for name in names if name)
    return tuple(epoch for epoch in found if file_of(run, epoch).is_file())
