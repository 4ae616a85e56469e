"""A study as pictures: the Pareto front, trials as lines, importances as bars."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn.writing import replacing
from kerascnn_tuning.study.importance import importance, importance_note, places, varied
from kerascnn_tuning.study.rows import Row
from kerascnn_tuning.study.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = 12
"""With more axes than this, parallel coordinates go on in another row."""
BARS = 20


def pareto_picture(study: Study, rows: list[Row]) -> Figure:
    """All trials, and the line of those that no other beats in both of the first two metrics."""
    from matplotlib.ticker import EngFormatter

    y, x = study.axes[:2]
    best = study.front(rows, (y, x))
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
    drawn = varied(study, rows)
    parts = [drawn[i : i + AXES - 1] for i in range(0, len(drawn), AXES - 1)] or [[]]
    width = max(6.0, 1.2 * (len(parts[0]) + 1))
    figure, first = _figure(width=width, height=4.0 if len(parts) == 1 else 2.8 * len(parts))
    first.remove()
    for axes, names in zip(figure.subplots(len(parts), squeeze=False)[:, 0], parts):
        _draw_axes(axes, [*names, objective], rows)
    same = [hp.name for hp in study.problem.hyperparameters().space if hp.name not in drawn]
    if same:
        note = textwrap.fill(f"The same in all trials: {', '.join(same)}", int(14 * width))
        figure.supxlabel(note, fontsize=7, x=0.01, ha="left")
    return figure


def _draw_axes(axes: Any, names: list[str], rows: list[Row]) -> None:
    """One row of parallel coordinates; the last axis is a metric."""
    columns = [[row.values.get(name) for row in rows] for name in names[:-1]]
    columns.append([row.metrics[names[-1]] for row in rows])
    heights = [places(column) for column in columns]
    for index in reversed(range(len(rows))):
        shade = index / max(1, len(rows) - 1)
        axes.plot([height[index] for height in heights], color=_shade(shade), lw=2 - 1.4 * shade)
    for position, column in enumerate(columns):
        for value, place in sorted(set(zip(map(_text, column), places(column)))):
            if len(set(map(str, column))) <= 6 or place in (0.0, 1.0):
                axes.annotate(value, (position, place), fontsize=7)
    axes.set_xticks(range(len(columns)), names, rotation=30, ha="right", fontsize=8)
    axes.set_yticks([])


def importance_picture(study: Study, rows: list[Row]) -> Figure:
    """`importance` as bars, the `BARS` largest."""
    found = list(importance(study, rows).items())[:BARS]
    figure, axes = _figure(height=max(3.0, 0.3 * len(found)))
    axes.barh([name for name, _ in found][::-1], [value for _, value in found][::-1])
    left_out = len(varied(study, rows)) - len(found)
    rest = f"; {left_out} smaller ones are left out" if left_out else ""
    axes.set(xlabel=f"share of {study.plan.objectives[0]} explained{rest}")
    axes.set_title(importance_note(study, rows), fontsize=8)
    return figure


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


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
