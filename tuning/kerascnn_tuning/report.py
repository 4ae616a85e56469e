"""What a study found: a table, pictures, TensorBoard's HParams and the best run."""

from __future__ import annotations

import csv
import io
import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.writing import replacing, write_text
from kerascnn_tuning.study import Row, Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = 12
"""With more axes than this, parallel coordinates go on in another row."""
BARS = 20
FEWEST = 8
"""With fewer trials a forest has nothing to tell about importance."""
ENOUGH = 10
"""With so many trials for each hyperparameter, importance is more than a hint."""


def write(study: Study) -> None:
    """Write or rewrite everything that follows from the trials."""
    write_leaderboard(study)
    study.discard_models()
    study.copy_best()
    rows = study.leaderboard
    if rows:
        _save(pareto_picture(study, rows), study.path / "pareto.png")
        _save(parallel_picture(study, rows), study.path / "parallel.png")
        picture = study.path / "importance.png"
        if len(rows) >= FEWEST and _varied(study, rows):
            _save(importance_picture(study, rows), picture)
        else:
            picture.unlink(missing_ok=True)  # of what has changed since
        write_hparams(study, rows)


def write_leaderboard(study: Study) -> None:
    """leaderboard.csv: completed trials, the best first, then the failed and the unfinished.

    With repeats, metrics are means, and `NAME_spread` the standard deviations.
    """
    best = study.leaderboard
    known = {row.id for row in best}
    metrics = sorted({name for row in best for name in row.metrics})
    spread = sorted({name for row in best for name in row.spread})
    searched = [hp.name for hp in study.problem.hyperparameters().space]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    spreads = [f"{name}_spread" for name in spread]
    writer.writerow(["rank", "trial", "status", "epochs", *metrics, *spreads, *searched, "reason"])
    for rank, row in enumerate([*best, *(r for r in study.trials if r.id not in known)], start=1):
        writer.writerow(
            [
                rank if row.completed else "",
                row.id,
                row.status,
                row.epochs,
                *(row.metrics.get(name, "") for name in metrics),
                *(row.spread.get(name, "") for name in spread),
                *(row.values.get(name, "") for name in searched),
                (row.reason or "").strip(),
            ]
        )
    write_text(study.path / "leaderboard.csv", buffer.getvalue())


def pareto_picture(study: Study, rows: list[Row]) -> Figure:
    """All trials, and the line of those that no other beats in both of the first two metrics."""
    from matplotlib.ticker import EngFormatter

    from kerascnn_tuning.study import front

    y, x = study.axes[:2]
    best = front(rows, (y, x))
    figure, axes = _figure()
    axes.scatter([r.metrics[x] for r in rows], [r.metrics[y] for r in rows], color="0.7", s=18)
    line = sorted((row.metrics[x], row.metrics[y]) for row in best)
    axes.plot(*zip(*line), "o-", color="tab:blue", drawstyle="steps-post", label="Pareto front")
    for row in best:
        axes.annotate(row.id, (row.metrics[x], row.metrics[y]), fontsize=7, xytext=(3, 3),
                      textcoords="offset points")  # fmt: skip
    if x in ("params", "macs"):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.xaxis.set_minor_formatter(EngFormatter(sep=" "))
        axes.tick_params(axis="x", which="both", labelsize=7)
    axes.set(xlabel=x, ylabel=y)
    axes.legend()
    return figure


def parallel_picture(study: Study, rows: list[Row]) -> Figure:
    """One line for each trial through its hyperparameters to its score; the best are dark.

    Every row of axes ends with the score. Hyperparameters that have no axis are named below.
    """
    objective = study.plan.objectives[0]
    varied = _varied(study, rows)
    parts = [varied[i : i + AXES - 1] for i in range(0, len(varied), AXES - 1)] or [[]]
    width = max(6.0, 1.2 * (len(parts[0]) + 1))
    figure, first = _figure(width=width, height=4.0 if len(parts) == 1 else 2.8 * len(parts))
    first.remove()
    for axes, names in zip(figure.subplots(len(parts), squeeze=False)[:, 0], parts):
        _draw_axes(axes, [*names, objective], rows)
    same = [hp.name for hp in study.problem.hyperparameters().space if hp.name not in varied]
    if same:
        note = textwrap.fill(f"The same in all trials: {', '.join(same)}", int(14 * width))
        figure.supxlabel(note, fontsize=7, x=0.01, ha="left")
    return figure


def _draw_axes(axes: Any, names: list[str], rows: list[Row]) -> None:
    """One row of parallel coordinates; the last axis is a metric."""
    columns = [[row.values.get(name) for row in rows] for name in names[:-1]]
    columns.append([row.metrics[names[-1]] for row in rows])
    places = [_places(column) for column in columns]
    for index in reversed(range(len(rows))):
        shade = index / max(1, len(rows) - 1)
        axes.plot([p[index] for p in places], color=_shade(shade), lw=2 - 1.4 * shade)
    for position, column in enumerate(columns):
        for value, place in sorted(set(zip(map(_text, column), _places(column)))):
            if len(set(map(str, column))) <= 6 or place in (0.0, 1.0):
                axes.annotate(value, (position, place), fontsize=7)
    axes.set_xticks(range(len(columns)), names, rotation=30, ha="right", fontsize=8)
    axes.set_yticks([])


def importance(study: Study, rows: list[Row]) -> dict[str, float]:
    """How much each varied hyperparameter explains of the score, in [0, 1], by a random forest.

    With few trials it is a hint, not a measurement.
    """
    from sklearn.ensemble import RandomForestRegressor

    names = _varied(study, rows)
    x = np.array([_places([row.values.get(name) for row in rows]) for name in names]).T
    y = np.array([row.metrics[study.plan.objectives[0]] for row in rows])
    forest = RandomForestRegressor(200, random_state=0).fit(x, y)
    return dict(sorted(zip(names, map(float, forest.feature_importances_)), key=lambda p: -p[1]))


def importance_note(study: Study, rows: list[Row]) -> str:
    """How much the importances of so many trials can say."""
    trials, varied = len(rows), len(_varied(study, rows))
    count = f"{trials} trials for {varied} hyperparameters"
    if trials < FEWEST:
        return f"{trials} trials are too few to tell importances: at least {FEWEST} are needed."
    if trials < ENOUGH * varied:
        return f"{count}: few, so this is a hint and no measurement"
    return count


def importance_picture(study: Study, rows: list[Row]) -> Figure:
    """`importance` as bars, the `BARS` largest."""
    found = list(importance(study, rows).items())[:BARS]
    figure, axes = _figure(height=max(3.0, 0.3 * len(found)))
    axes.barh([name for name, _ in found][::-1], [value for _, value in found][::-1])
    left_out = len(_varied(study, rows)) - len(found)
    rest = f"; {left_out} smaller ones are left out" if left_out else ""
    axes.set(xlabel=f"share of {study.plan.objectives[0]} explained{rest}")
    axes.set_title(importance_note(study, rows), fontsize=8)
    return figure


def write_hparams(study: Study, rows: list[Row]) -> None:
    """TensorBoard's HParams: the declared domains, and one session for each completed trial."""
    import tensorflow as tf
    from keras_tuner.engine import hyperparameters as kinds
    from tensorboard.plugins.hparams import api

    space = study.problem.hyperparameters().space
    domains = {
        hp.name: api.RealInterval(float(hp.min_value), float(hp.max_value))
        if isinstance(hp, kinds.Float)
        else api.Discrete(list(hp.values))
        for hp in space
    }
    names = sorted({name for row in rows for name in row.metrics})
    directory = study.path / "tensorboard"
    shutil.rmtree(directory, ignore_errors=True)
    with tf.summary.create_file_writer(str(directory)).as_default():
        api.hparams_config(
            hparams=[api.HParam(name, domain) for name, domain in domains.items()],
            metrics=[api.Metric(name) for name in names],
        )
    for row in rows:
        with tf.summary.create_file_writer(str(directory / row.id)).as_default():
            values = {name: value for name, value in row.values.items() if name in domains}
            api.hparams(values, trial_id=row.id)
            for name, value in row.metrics.items():
                tf.summary.scalar(name, value, step=0)


def _varied(study: Study, rows: list[Row]) -> list[str]:
    """Searched hyperparameters of which the trials have more than one value."""
    names = [hp.name for hp in study.problem.hyperparameters().space]
    return [name for name in names if len({row.values.get(name) for row in rows}) > 1]


def _places(column: list[Any]) -> list[float]:
    """Values on a line from 0 to 1: numbers by size, others by name; inactive ones at -0.1."""
    present = [value for value in column if value is not None]
    if all(isinstance(value, (int, float)) for value in present):
        low, high = min(present, default=0), max(present, default=0)
        span = (high - low) or 1
        return [-0.1 if value is None else (value - low) / span for value in column]
    order = sorted({str(value) for value in present})
    last = max(1, len(order) - 1)
    return [-0.1 if value is None else order.index(str(value)) / last for value in column]


def _text(value: Any) -> str:
    if value is None:
        return "inactive"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _shade(share: float) -> tuple[float, float, float]:
    return (0.1 + 0.75 * share, 0.3 + 0.55 * share, 0.6 + 0.3 * share)


def _figure(width: float = 6.0, height: float = 4.0) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
