"""What the terminal shows while a search runs."""

from __future__ import annotations

import time
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from kerascnn.console import Console
from kerascnn.words import counted
from kerascnn_tuning.figures import figure
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.study.files import PRUNED_AT

BEST = 5


class Display:
    """On a terminal a live table of running and best trials; one line for each ended trial.

    It is an oracle's listener: `on_trial_begin` and `on_trial_end` get KerasTuner's trials.

    Args:
        problem: what is searched.
        console: where to write.
    """

    def __init__(self, problem: Problem, console: Console) -> None:
        self.console = console
        self._problem, self._plan = problem, problem.plan
        self._running: dict[str, tuple[float, dict[str, Any]]] = {}
        self._ended: list[tuple[list[float], str, dict[str, Any]]] = []
        self._count = self._before = 0
        self._started = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if self.console.is_interactive and not self.console.quiet:
            self._live = Live(get_renderable=self._draw, console=self.console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def remember(self, rows: list[Any]) -> None:
        """Count trials that an earlier session completed, rows of a study."""
        self._ended += [(self._problem.worth(row.metrics), row.id, row.values) for row in rows]
        self._before = len(rows)

    def on_trial_begin(self, trial: Any) -> None:
        """Note that it runs."""
        self._running[trial.trial_id] = (time.monotonic(), dict(trial.hyperparameters.values))

    def on_trial_end(self, trial: Any) -> None:
        """Print its line."""
        started, values = self._running.pop(trial.trial_id, (None, {}))
        took = f"  {time.monotonic() - started:.1f} s" if started else ""
        if trial.metrics.exists(PRUNED_AT):
            self._count += 1
            text = f"pruned after {_epochs(int(trial.metrics.get_best_value(PRUNED_AT)))}{took}"
        elif trial.status == "COMPLETED":
            names = self._plan.objectives
            metrics = {name: trial.metrics.get_best_value(name) for name in names}
            worth = self._problem.worth(metrics)
            self._ended.append((worth, trial.trial_id, values))
            self._count += 1
            best = min(self._ended)
            found = "  ".join(f"{n} {shown}" for n, shown in zip(names, self._shown(worth)))
            text = f"{found}{took}  best {self._shown(best[0])[0]} ({best[1]})"
        else:
            again = "will be tried again" if trial.status == "INVALID" else "failed"
            self._count += trial.status == "FAILED"
            text = f"{again}{took}: {(trial.message or '').strip()}"
        epochs = trial.hyperparameters.values.get("tuner/epochs")  # with Hyperband they differ
        label = f"trial {trial.trial_id}{f' ({_epochs(epochs)})' if epochs else ''}"
        self.console.print(Text(f"{label}  {text}"), soft_wrap=True)

    def _shown(self, worth: list[float]) -> list[str]:
        """The objectives as people read them."""
        measures = [self._problem.measures[name] for name in self._plan.objectives]
        return [figure(one, one.sign * value) for one, value in zip(measures, worth)]

    def _left(self) -> str:
        limit, count = self._plan.max_trials, self._count
        if not limit or not count:
            return ""
        each = (time.monotonic() - self._started) / count
        seconds = round(each * (limit - self._before - count))
        return f"{max(0, seconds) // 60}:{max(0, seconds) % 60:02} left"

    def _draw(self) -> Table:
        table = Table(box=None, title=f"{self._before + self._count} trials ended  {self._left()}")
        for column in ("trial", *self._plan.objectives, "hyperparameters"):
            table.add_column(column, overflow="ellipsis", no_wrap=True)
        blank = [""] * (len(self._plan.objectives) - 1)
        for trial_id, (started, values) in list(self._running.items()):
            table.add_row(trial_id, f"{time.monotonic() - started:.0f} s", *blank, _values(values))
        for worth, trial_id, values in sorted(self._ended)[:BEST]:
            table.add_row(trial_id, *self._shown(worth), _values(values), style="bold")
        return table


def _epochs(count: int) -> str:
    return counted(count, "epoch", "epochs")


def _values(values: dict[str, Any]) -> str:
    shown = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in values.items()}
    return " ".join(f"{k}={v}" for k, v in shown.items())
