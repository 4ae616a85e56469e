"""How far a training has come, and what its updates since then add up to."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field

import numpy as np


@dataclass(frozen=True)
class Totals:
    """Sums over the images of some steps.

    Attributes:
        loss: sum of the images' losses; without regularization.
        correct: images whose largest logit is the label's.
        images: how many images.
        waited: seconds that steps have waited for their batch. On GPUs it is the host that waits,
            which may be while they still compute.
        bad_step: number within these steps of the first one whose loss is not finite, or -1.
    """

    loss: float = 0.0
    correct: float = 0.0
    images: float = 0.0
    waited: float = 0.0
    bad_step: int = -1

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.loss + other.loss,
            self.correct + other.correct,
            self.images + other.images,
            self.waited + other.waited,
            self.bad_step if self.bad_step >= 0 else other.bad_step,
        )

    @property
    def mean_loss(self) -> float:
        """Loss for one image."""
        return self.loss / self.images if self.images else float("nan")

    @property
    def error(self) -> float:
        """Share of images with a wrong top-1 prediction, in [0, 1]."""
        return (self.images - self.correct) / self.images if self.images else float("nan")


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
