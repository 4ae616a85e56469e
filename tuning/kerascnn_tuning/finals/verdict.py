"""What finals found: figures from several seeds, and what holds beyond chance."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascnn.writing import write_json, write_text
from kerascnn_tuning.finals.contestants import DEFAULT, Contestant

TRAIN, TOGETHER = "train", "together"


@dataclass(frozen=True)
class Final:
    """One run of a contestant.

    Attributes:
        contestant: its name.
        on: `TRAIN`, or `TOGETHER` with the validation images.
        seed: of weights, order and random changes.
        metrics: the run's.
        path: its directory.
    """

    contestant: str
    on: str
    seed: int
    metrics: Mapping[str, Any]
    path: Path


@dataclass(frozen=True)
class Finals:
    """The outcome.

    Attributes:
        contestants: the default first, then the finalists in the leaderboard's order.
        runs: all runs.
        objective: the metric by which the search, and then the winner, was chosen.
        epochs: of each run.
        test_images: on how many images the test errors were counted.
        directory: where it is written.
        notes: what the reader should know.
    """

    contestants: tuple[Contestant, ...]
    runs: tuple[Final, ...]
    objective: str
    epochs: int
    test_images: int
    directory: Path
    notes: tuple[str, ...] = ()

    def values(self, contestant: str, on: str, metric: str) -> list[float]:
        """A metric of a contestant's runs, seed by seed."""
        return [
            run.metrics[metric]
            for run in self.runs
            if (run.contestant, run.on) == (contestant, on) and metric in run.metrics
        ]

    @property
    def winner(self) -> Contestant:
        """The finalist with the best mean of the objective, which the test images don't decide."""
        finalists = [one for one in self.contestants if one.name != DEFAULT]

        def mean(one: Contestant) -> float:
            values = self.values(one.name, TRAIN, self.objective)
            return statistics.fmean(values) if values else 0.0  # else as the leaderboard has them

        return min(finalists, key=mean)

    @property
    def verdict(self) -> str:
        """What holds on the test images, in words."""
        sides = [f"test error: {self._judged(self.winner.name)}"]
        if not any(one.name == DEFAULT for one in self.contestants):
            return f"{sides[0]}. There is no default to compare with."
        sides.append(self._judged(DEFAULT))
        mine, others = (
            self.values(name, TRAIN, "test_error") for name in (self.winner.name, DEFAULT)
        )
        said = f"{sides[0]}, {sides[1]}"
        if len(mine) < 2:
            return f"{said}. From one seed each nothing can be said: use more --seeds."
        gap = statistics.fmean(others) - statistics.fmean(mine)
        chance = by_chance(mine, others, self.test_images)
        better = gap > 0
        comparison = f"the trial is {points(gap)} {'better' if better else 'worse'}"
        if abs(gap) > chance:
            found = "something better" if better else "nothing better"
            return (
                f"{said}; {comparison}, more than the {points(chance)} that chance explains. "
                f"The search has found {found}."
            )
        return (
            f"{said}; {comparison}, and up to {points(chance)} can be chance. "
            "That the search has found something better is not shown."
        )

    def as_json(self) -> dict[str, Any]:
        """Means, spreads and the verdict as plain values."""
        return {
            "epochs": self.epochs,
            "seeds": sorted({run.seed for run in self.runs}),
            "test_images": self.test_images,
            "objective": self.objective,
            "contestants": [
                {
                    "name": one.name,
                    "params": one.params,
                    "macs": one.macs,
                    "searched": one.searched,
                    "arguments": one.configuration.arguments,
                    "training": one.configuration.training,
                    **{on: self._summary(one.name, on) for on in (TRAIN, TOGETHER)},
                }
                for one in self.contestants
            ],
            "winner": self.winner.name,
            "verdict": self.verdict,
            "notes": list(self.notes),
        }

    def _summary(self, contestant: str, on: str) -> dict[str, Any]:
        found = {}
        for metric in ("val_error", "test_error"):
            if values := self.values(contestant, on, metric):
                found[metric] = {
                    "mean": statistics.fmean(values),
                    "deviation": statistics.stdev(values) if len(values) > 1 else None,
                    "values": values,
                }
        return found

    def _judged(self, name: str) -> str:
        what = "the default" if name == DEFAULT else f"trial {name}"
        return f"{what} has {shown(self.values(name, TRAIN, 'test_error'))}"


def by_chance(first: Sequence[float], second: Sequence[float], images: int) -> float:
    """How far apart two mean errors can be by chance alone, in 19 of 20 cases.

    Two kinds of chance: of the seeds, from the spread between runs (Student's t), and of the test
    images, as if both had other ones. Both errors are counted on the same images, which makes the
    second an upper bound.

    Args:
        first, second: test errors of runs from several seeds, at least two each.
        images: on which each of them was counted.
    """
    from scipy import stats

    seeds = sum(statistics.variance(errors) / len(errors) for errors in (first, second))
    means = [statistics.fmean(errors) for errors in (first, second)]
    sample = sum(mean * (1 - mean) / images for mean in means)
    student = stats.t.ppf(0.975, len(first) + len(second) - 2)
    return math.sqrt(student**2 * seeds + 1.96**2 * sample)


def shown(values: Sequence[float], digits: int = 2) -> str:
    """`4.60% ± 0.21%`: the mean, and the standard deviation over the seeds."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.{digits}%}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}%}"


def points(difference: float) -> str:
    """`0.52 points`: a difference of two errors, which are per cents themselves."""
    return f"{100 * abs(difference):.2f} points"


def write(finals: Finals) -> None:
    """finals.csv and finals.json."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        [
            *("contestant", "trained_on", "seed", "epochs", "params", "macs"),
            *("train_error", "val_error", "test_error", "test_loss", "seconds", "run"),
        ]
    )
    costs = {one.name: (one.params, one.macs) for one in finals.contestants}
    for run in finals.runs:
        names = ("error", "val_error", "test_error", "test_loss", "train_seconds")
        writer.writerow(
            [run.contestant, run.on, run.seed, run.metrics["epochs"], *costs[run.contestant]]
            + [run.metrics.get(name, "") for name in names]
            + [str(run.path.relative_to(finals.directory))]
        )
    write_text(finals.directory / "finals.csv", buffer.getvalue())
    write_json(finals.directory / "finals.json", finals.as_json())
