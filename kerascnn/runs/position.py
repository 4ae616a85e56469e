"""How far a training has come, and what its updates since then add up to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Totals:
    """Sums over the images of some steps.

    Attributes:
        loss: sum of the images' losses; without regularization.
        sums: what the task counts beside it: the sums of the loss's logged parts, then those of
            its objective; see `kerascnn.tasks.objective.Objective`.
        images: how many images.
        waited: seconds that steps have waited for their batch. On GPUs it is the host that waits,
            which may be while they still compute.
        bad_step: number within these steps of the first one whose loss is not finite, or -1.
    """

    loss: float = 0.0
    sums: tuple[float, ...] = (0.0,)
    images: float = 0.0
    waited: float = 0.0
    bad_step: int = -1

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.loss + other.loss,
            tuple((np.asarray(self.sums) + np.asarray(other.sums)).tolist()),
            self.images + other.images,
            self.waited + other.waited,
            self.bad_step if self.bad_step >= 0 else other.bad_step,
        )

    @property
    def mean_loss(self) -> float:
        """Loss for one image."""
        return self.loss / self.images if self.images else float("nan")


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

    @classmethod
    def start(cls, sums: int, epoch: int = 0) -> Position:
        """Before the first update of an epoch, with so many sums."""
        return cls(epoch, totals=Totals(sums=(0.0,) * sums))

    def numbers(self) -> np.ndarray:
        """All of it, float64."""
        totals = self.totals
        counted = (totals.loss, *totals.sums, totals.images, totals.waited, totals.bad_step)
        return np.array([self.epoch, self.update, self.seconds, *counted], "float64")

    @classmethod
    def of(cls, numbers: np.ndarray) -> Position:
        """The position that `numbers` describe."""
        epoch, update, seconds, loss, *sums, images, waited, bad = (float(n) for n in numbers)
        totals = Totals(loss, tuple(sums), images, waited, int(bad))
        return cls(int(epoch), int(update), totals, seconds)
