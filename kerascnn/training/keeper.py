"""Keeps the weights of some epochs beside the run, to see later how features came about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import keras

from kerascnn.distribution import replicas
from kerascnn.runs.epochs import DIRECTORY, file_of
from kerascnn.training.engine import Engine
from kerascnn.words import counted, listed, memory
from kerascnn.writing import replacing


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Writes models with the weights of the epochs that were asked for.

    They are those that the epoch is evaluated with: the averaged ones, if there are.

    Attributes:
        path: the run directory.
        epochs: which; 0: before training.
        model: with its classifier activation, as it is saved.
        engine: trains it.
        chief: whether this process writes.
    """

    path: Path
    epochs: tuple[int, ...]
    model: keras.Model
    engine: Engine
    chief: bool

    def keep(self, epoch: int) -> None:
        """Write the model as it is after an epoch, if that is one of them.

        Call it before the epoch's checkpoint is made: whoever is killed in between does the epoch
        again, and keeps it again. After the checkpoint it would be lost.
        """
        if epoch not in self.epochs or not self.chief:
            return
        with (
            self.engine.averaged(),
            replicas.portable(self.model),
            replacing(file_of(self.path, epoch)) as temporary,
        ):
            self.model.save(temporary)

    def announcement(self) -> str:
        """What will be kept, and how much room it takes."""
        size = sum(math.prod(w.shape) * w.value.dtype.size for w in self.model.weights)
        return (
            f"Kept in {self.path / DIRECTORY}: the model after epochs "
            f"{listed(map(str, self.epochs))}; {counted(len(self.epochs), 'file', 'files')} with "
            f"{memory(size)} of weights each."
        )

    def missing(self, done: int) -> str:
        """What has not come to be kept in a training that ends after `done` epochs, or nothing."""
        late = [str(epoch) for epoch in self.epochs if epoch > done]
        if not late:
            return ""
        return f"Training has ended before epochs that were to be kept: {listed(late)}."
