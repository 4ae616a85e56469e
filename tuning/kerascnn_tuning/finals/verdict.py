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

from kerascnn.tasks import HELD, TEST, Measure, Task
from kerascnn.writing import write_json, write_text
from kerascnn_tuning.finals.contestants import DEFAULT, Contestant
from kerascnn_tuning.objectives import reported

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
        task: what the networks are trained for; its main measure decides on the test images.
        epochs: of each run.
        test_images: on how many images that measure was taken.
        directory: where it is written.
        notes: what the reader should know.
    """

    contestants: tuple[Contestant, ...]
    runs: tuple[Final, ...]
    objective: str
    task: Task
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
    def main(self) -> Measure:
        """What the verdict is about."""
        return self.task.main

    @property
    def measures(self) -> dict[str, Measure]:
        """Name → measure of all that runs report."""
        return reported(self.task)

    @property
    def winner(self) -> Contestant:
        """The finalist with the best mean of the objective, which the test images don't decide."""
        finalists = [one for one in self.contestants if one.name != DEFAULT]

        def mean(one: Contestant) -> float:
            values = self.values(one.name, TRAIN, self.objective)
            # Else as the leaderboard has them.
            return sign * statistics.fmean(values) if values else 0.0

        sign = self.measures[self.objective].sign
        return min(finalists, key=mean)

    @property
    def verdict(self) -> str:
        """What holds on the test images, in words."""
        main = self.main
        sides = [f"test {main.name.replace('_', ' ')}: {self._judged(self.winner.name)}"]
        if not any(one.name == DEFAULT for one in self.contestants):
            return f"{sides[0]}. There is no default to compare with."
        sides.append(self._judged(DEFAULT))
        mine, others = (
            self.values(name, TRAIN, TEST + main.name) for name in (self.winner.name, DEFAULT)
        )
        said = f"{sides[0]}, {sides[1]}"
        if len(mine) < 2:
            return f"{said}. From one seed each nothing can be said: use more --seeds."
        gap = main.sign * (statistics.fmean(others) - statistics.fmean(mine))
        chance = by_chance(mine, others, self.test_images if main.share else None)
        better = gap > 0
        comparison = f"the trial is {points(main, gap)} {'better' if better else 'worse'}"
        most, of_what = points(main, chance), "chance" if main.share else "chance of the seeds"
        if abs(gap) > chance:
            found = "something better" if better else "nothing better"
            return (
                f"{said}; {comparison}, more than the {most} that {of_what} explains. "
                f"The search has found {found}."
            )
        return (
            f"{said}; {comparison}, and up to {most} can be {of_what}. "
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
        for metric in (HELD + self.main.name, TEST + self.main.name):
            if values := self.values(contestant, on, metric):
                found[metric] = {
                    "mean": statistics.fmean(values),
                    "deviation": statistics.stdev(values) if len(values) > 1 else None,
                    "values": values,
                }
        return found

    def _judged(self, name: str) -> str:
        what = "the default" if name == DEFAULT else f"trial {name}"
        return f"{what} has {shown(self.main, self.values(name, TRAIN, TEST + self.main.name))}"


def by_chance(first: Sequence[float], second: Sequence[float], images: int | None) -> float:
    """How far apart two means of a measure can be by chance alone, in 19 of 20 cases.

    Two kinds of chance: of the seeds, from the spread between runs (Student's t), and of the test
    images, as if both had other ones. An image adds a number from 0 to 1 to a share, whose variance
    is at most that of a yes or no; and both are taken on the same images. So the second kind is an
    upper bound.

    Args:
        first, second: the measure on the test images in runs from several seeds, at least two each.
        images: on which each of them was taken; None: it is no share, and how it varies from image
            to image isn't known, so that only the seeds' chance counts.
    """
    from scipy import stats

    seeds = sum(statistics.variance(errors) / len(errors) for errors in (first, second))
    means = [statistics.fmean(errors) for errors in (first, second)]
    sample = 0.0 if images is None else sum(mean * (1 - mean) / images for mean in means)
    student = stats.t.ppf(0.975, len(first) + len(second) - 2)
    return math.sqrt(student**2 * seeds + 1.96**2 * sample)


def shown(measure: Measure, values: Sequence[float], digits: int = 2) -> str:
    """`4.60% ± 0.21%`: the mean, and the standard deviation over the seeds."""
    if not values:
        return ""
    form = f".{digits}%" if measure.share else ".4g"
    mean = f"{statistics.fmean(values):{form}}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):{form}}"


def points(measure: Measure, difference: float) -> str:
    """`0.52 points`: a difference of two values, of per cents in their own unit."""
    return f"{100 * abs(difference):.2f} points" if measure.share else f"{abs(difference):.3g}"


def write(finals: Finals) -> None:
    """finals.csv and finals.json."""
    main = finals.main.name
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        [
            *("contestant", "trained_on", "seed", "epochs", "params", "macs"),
            *(f"train_{main}", HELD + main, TEST + main, "test_loss", "seconds", "run"),
        ]
    )
    costs = {one.name: (one.params, one.macs) for one in finals.contestants}
    for run in finals.runs:
        names = (main, HELD + main, TEST + main, "test_loss", "train_seconds")
        writer.writerow(
            [run.contestant, run.on, run.seed, run.metrics["epochs"], *costs[run.contestant]]
            + [run.metrics.get(name, "") for name in names]
            + [str(run.path.relative_to(finals.directory))]
        )
    write_text(finals.directory / "finals.csv", buffer.getvalue())
    write_json(finals.directory / "finals.json", finals.as_json())
