"""The learning-rate range test (Smith 2017, section 3.3): which rates a training bears.

"Cyclical Learning Rates for Training Neural Networks", <https://arxiv.org/abs/1506.01186>. The rate
grows from step to step; where the loss falls fastest, and where it breaks out, says between which
rates a training should be. Smith lets it grow linearly and looks at the accuracy; here it grows by
a factor and the loss is looked at, as common since fastai.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from kerascnn.architecture import Architecture
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset, readable_errors
from kerascnn.distribution.workers import Workers
from kerascnn.errors import StrategyError
from kerascnn.network import Network
from kerascnn.pictures import dress, figure_of
from kerascnn.precision import in_precision
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.checkpoints import BEGINNING
from kerascnn.runs.run import Run
from kerascnn.style import FAINT, INK, TRAIN, VALIDATION
from kerascnn.training.assembly import Assembly, Parts
from kerascnn.training.batches import training_batches
from kerascnn.training.freezing import Freezing
from kerascnn.training.preparing import Asked, assembled
from kerascnn.typed import require
from kerascnn.writing import write_figure

STEPS, LOWEST, HIGHEST = 100, 1e-6, 10.0
MOST_STEPS = 10_000
SMOOTHING = 0.9  # of the loss, whose single batches jump
DIVERGED = 2.0  # times the first smoothed loss
SHARE = 0.1  # of the rate with the lowest smoothed loss, that is suggested
FALLEN = 0.95  # of the first smoothed loss: less has not been learned


@dataclass(frozen=True, kw_only=True)
class RateRange:
    """What a range test has found.

    Attributes:
        rates: of the steps that were done, rising.
        losses: of their batches.
        smoothed: the losses, averaged over the last steps.
        diverged: whether it ended early, as the loss rose beyond all bounds.
        batch_size: images in a step.
        used: the recipe's own learning rate.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    diverged: bool
    batch_size: int
    used: float

    @property
    def lowest(self) -> float | None:
        """The rate at which the smoothed loss is lowest; None: it has not fallen by 5%."""
        if not self.smoothed:
            return None
        place = int(np.argmin(self.smoothed))
        fallen = self.smoothed[place] < FALLEN * self.smoothed[0]
        return self.rates[place] if fallen else None

    @property
    def suggestion(self) -> float | None:
        """A tenth of `lowest`, where the loss still falls; rounded to two digits."""
        return None if self.lowest is None else float(f"{SHARE * self.lowest:.1e}")

    @property
    def verdict(self) -> str:
        """The suggestion and its reason, in a sentence."""
        if self.suggestion is None:
            return (
                "No rate is suggested: the loss has not fallen at any. Look at the picture, and "
                "try more steps (--lr-steps) or other ends (--lr-range LOWEST:HIGHEST)."
            )
        end = "" if self.diverged else " It never broke out, so higher rates may do as well."
        return (
            f"Suggested: --learning-rate {self.suggestion:g}, a tenth of {self.lowest:.2g}, where "
            f"the smoothed loss is lowest, with batches of {self.batch_size}; the recipe's is "
            f"{self.used:.3g}.{end}"
        )

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        numbers = {key: list(getattr(self, key)) for key in ("rates", "losses", "smoothed")}
        own = {"suggestion": self.suggestion, "lowest": self.lowest, "diverged": self.diverged}
        return {**own, "batch_size": self.batch_size, "used": self.used, **numbers}

    def figure(self, title: str = "Learning-rate range test") -> Figure:
        """The loss over the rates, with the lowest and the suggestion marked."""
        figure = figure_of(7.2, 4.2)
        axes = figure.add_subplot()
        axes.plot(
            self.rates, self.losses, color=FAINT, linewidth=0.8, alpha=0.5, label="each batch"
        )
        axes.plot(self.rates, self.smoothed, color=TRAIN, linewidth=1.8, label="smoothed")
        marks = {
            "lowest": (self.lowest, INK, ":"),
            "suggested": (self.suggestion, VALIDATION, "-"),
            "recipe": (self.used, FAINT, "--"),
        }
        for name, (rate, colour, line) in marks.items():
            if rate is not None:
                label = f"{name}: {rate:.2g}"
                axes.axvline(rate, color=colour, linestyle=line, linewidth=1.2, label=label)
        low, high = min(self.smoothed), max(self.smoothed[0], min(self.smoothed))
        room = max(high - low, 1e-9)
        axes.set_ylim(low - 0.3 * room, high + 0.6 * room)  # what breaks out leaves the picture
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower left")
        dress(axes, title, xlabel="Learning rate", ylabel="Loss")
        axes.set_xscale("log")
        return figure

    def _repr_png_(self) -> bytes:
        return self.figure()._repr_png_()  # type: ignore[attr-defined]


def find_rate(
    network: str | Architecture | Network | keras.Model | None = None,
    data: str | Dataset | None = None,
    *,
    continue_: str | Path | Run | None = None,
    from_: str | Path | Run | None = None,
    arguments: Mapping[str, Any] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    recipe: Recipe | None = None,
    batch_size: int | str | None = None,
    weights: str | Path | None = None,
    strategy: str | None = None,
    precision: str | None = None,
    jit: bool | None = None,
    memory_efficient: bool = False,
    seed: int | None = None,
    skip_corrupt: bool = False,
    steps: int = STEPS,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    save: str | Path | None = None,
    console: Console | None = None,
) -> RateRange:
    """Train with a rate that grows in each step, and see which rates the training bears.

    Optimizer, batch, augmentation and loss are the recipe's; its schedule and warm-up aren't. The
    weights are thrown away, and no run directory is made. It ends early when the smoothed loss is
    twice what it was at first, or is no number.

    Args:
        network, data, continue_, from_, arguments, input_shape, recipe, batch_size, weights: see
            `kerascnn.train`.
        strategy, precision, jit, memory_efficient, seed, skip_corrupt, console: see there, too.
        steps: updates, from 10 to 10,000.
        lowest, highest: the rates of the first and the last step.
        save: where the picture goes: a .png, .svg or .pdf; None: nowhere.

    Raises:
        ArgumentError, DataError, RunError, WeightsError: as `kerascnn.train`.
        StrategyError: the strategy is multiworker.
    """
    require(10 <= steps <= MOST_STEPS, "steps", f"from 10 to {MOST_STEPS:,}", steps)
    legal = 0 < lowest < highest < math.inf
    require(legal, "lowest and highest", "two rising rates above 0", (lowest, highest))
    assembly, _ = assembled(
        Asked(
            network=network,
            data=data,
            continue_=continue_,
            from_=from_,
            arguments=arguments,
            input_shape=input_shape,
            recipe=recipe,
            batch_size=batch_size,
            weights=weights,
            strategy=strategy,
            precision=precision,
            jit=jit,
            memory_efficient=memory_efficient,
            seed=seed,
            skip_corrupt=skip_corrupt,
            record=False,
            console=console,
        )
    )
    if assembly.config.strategy == "multiworker":
        raise StrategyError("A range test is of one machine. Received: strategy multiworker.")
    say = sayer(assembly.console)
    found = _tested(assembly, steps=steps, lowest=lowest, highest=highest)
    if found.diverged:
        say(f"Ended after {len(found.rates)} of {steps} steps: the loss broke out.")
    say(found.verdict)
    if save is not None:
        title = f"{assembly.config.name} on {assembly.config.data.source}"
        write_figure(found.figure(title), Path(save))
        say(f"The picture is in {save}.")
    return found


def _tested(assembly: Assembly, *, steps: int, lowest: float, highest: float) -> RateRange:
    """Carry the test out with what was put together for a training."""
    own = assembly.config.recipe
    factor = (highest / lowest) ** (1 / (steps - 1))
    # A staircase of one update: its unit is epochs, and less than an update is one.
    recipe = dataclasses.replace(
        own,
        schedule="exponential",
        learning_rate=lowest,
        factor=factor,
        every=1e-9,
        warmup_epochs=0.0,
        steps=(),
    )
    config = dataclasses.replace(assembly.config, recipe=recipe)
    assembly = dataclasses.replace(assembly, config=config)
    with in_precision(config.precision):
        parts = assembly.build()
        with readable_errors(assembly.dataset.train):
            found = list(_losses(assembly, parts, steps))
    rates = tuple(lowest * factor**number for number in range(len(found)))
    return RateRange(
        rates=rates,
        losses=tuple(loss for loss, _ in found),
        smoothed=tuple(mean for _, mean in found),
        diverged=len(found) < steps,
        batch_size=parts.batching.images,
        used=own.learning_rate,
    )


def _losses(assembly: Assembly, parts: Parts, steps: int) -> Iterator[tuple[float, float]]:
    """The loss of each step and the smoothed one, until it breaks out."""
    engine, config = parts.engine, assembly.config
    data = training_batches(
        assembly.dataset.train,
        config,
        parts.batching,
        BEGINNING,
        Workers(engine.strategy),
        draws=engine.draws,
    )
    batches, smooth = iter(engine.distribute(data)), Smoothing()
    with Freezing(engine, config.recipe).during(0):
        for _ in range(steps):
            totals = engine.update(batches, 1)
            if totals.bad_step >= 0 or not math.isfinite(totals.mean_loss):
                return
            mean = smooth.add(totals.mean_loss)
            if smooth.broke_out:
                return
            yield totals.mean_loss, mean


class Smoothing:
    """The mean of a loss and those before it, whose weight falls by a tenth for each step."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._sum = self._weight = self._mean = 0.0

    def add(self, loss: float) -> float:
        """The mean with one more loss."""
        self._sum = SMOOTHING * self._sum + loss
        self._weight = SMOOTHING * self._weight + 1
        self._mean = self._sum / self._weight
        self._first = self._mean if self._first is None else self._first
        return self._mean

    @property
    def broke_out(self) -> bool:
        """Whether the mean is far above the first."""
        return self._first is not None and self._mean > DIVERGED * abs(self._first)
