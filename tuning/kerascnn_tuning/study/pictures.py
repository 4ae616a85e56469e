"""A study as pictures: the Pareto front, trials as lines, importances as bars."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn.style import FAINT, GRID, INK, PAPER, TRAIN, VALIDATION
from kerascnn.tasks import HELD, TEST
from kerascnn.words import counted, without_middle
from kerascnn.writing import replacing
from kerascnn_tuning.figures import figure as written
from kerascnn_tuning.study.importance import importance, importance_note, places, varied
from kerascnn_tuning.study.rows import Row
from kerascnn_tuning.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = 12
"""With more axes than this, parallel coordinates go on in another row."""
BARS = 20
FEW = 6
"""So many values of a hyperparameter are all written at its axis; of more, the ends."""
LONGEST = 22
"""Characters of a hyperparameter's name, or of its value."""
NEAR = 0.09
"""Values whose places on an axis are nearer than this would be written over each other."""
TITLES = {"params": "Parameters", "macs": "Multiply-adds", "latency": "Milliseconds for an image"}
WIDE = 10
"""So many times its least value must be the largest, for an axis to be logarithmic."""


def pareto_picture(study: Study, rows: list[Row]) -> Figure:
    """All trials, and the line of those that no other beats in both of the first two metrics."""
    from kerascnn.pictures import dress, figure_of

    y, x = study.axes[:2]
    best = study.front(rows, (y, x))
    figure = figure_of(8.0, 5.0)
    axes = figure.add_subplot()
    dress(axes, f"{counted(len(rows), 'trial', 'trials')}: {y} and {x}")
    others = [row for row in rows if row not in best]
    axes.scatter(*_points(others, x, y), color=FAINT, alpha=0.6, s=18, label="trials")
    line = sorted(zip(*_points(best, x, y)))
    look: dict[str, Any] = {"color": TRAIN, "markersize": 5, "drawstyle": "steps-post"}
    axes.plot(*zip(*line), "o-", label="Pareto front: none is better in both", **look)
    first = rows[0]
    ring: dict[str, Any] = {"markersize": 10, "markerfacecolor": "none", "linestyle": "none"}
    label = f"best: {first.id}, {written(study.problem.measures[y], first.metrics[y])}"
    axes.plot(*_points([first], x, y), "o", color=VALIDATION, label=label, **ring)
    for axis, name in ((axes.xaxis, x), (axes.yaxis, y)):
        _scaled(study, axis, name, [row.metrics[name] for row in rows])
        axis.set_label_text(title(study, name), color=INK, fontsize=9)
    axes.margins(0.06)
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    _named(figure, axes, [(row.id, row.metrics[x], row.metrics[y]) for row in best])
    return figure


def title(study: Study, name: str) -> str:
    """A metric in words: "Top-1 error, validation images"."""
    if name in TITLES:
        return TITLES[name]
    words = study.problem.measures[name].title
    for part, images in ((HELD, "validation"), (TEST, "test")):
        if name.startswith(part):
            return f"{words}, {images} images"
    return words


def _points(rows: Iterable[Row], x: str, y: str) -> tuple[list[float], list[float]]:
    return [row.metrics[x] for row in rows], [row.metrics[y] for row in rows]


def _scaled(study: Study, axis: Any, name: str, values: Sequence[float]) -> None:
    """Ticks as people read them, on a logarithmic axis where values differ by much."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

    measure = study.problem.measures[name]
    if max(values) > WIDE * min(values) > 0:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(6))
    if measure.share:
        axis.set_major_formatter(lambda tick, _: f"{100 * tick:.3g} %")
    else:
        axis.set_major_formatter(EngFormatter(sep=" "))


def _named(figure: Figure, axes: Axes, points: list[tuple[str, float, float]]) -> None:
    """Write names beside points, but for those that would be written over another."""
    figure.draw_without_rendering()  # so that places are known
    taken: list[Any] = []
    for name, x, y in points:
        place: dict[str, Any] = {"xytext": (5, 5), "textcoords": "offset points"}
        text = axes.annotate(name, (x, y), fontsize=7, color=INK, **place)
        box = text.get_window_extent().expanded(1.1, 1.1)
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)


def parallel_picture(study: Study, rows: list[Row]) -> Figure:
    """One line for each trial through its hyperparameters to its score; the best are dark.

    Every row of axes ends with the score. Hyperparameters that have no axis are named below.
    """
    from kerascnn.pictures import figure_of

    drawn = varied(study, rows)
    parts = [drawn[i : i + AXES - 1] for i in range(0, len(drawn), AXES - 1)] or [[]]
    width = max(8.0, 1.2 * (len(parts[0]) + 1))
    figure = figure_of(width, 0.6 + (4.0 if len(parts) == 1 else 3.2 * len(parts)))
    count = counted(len(rows), "trial", "trials")
    words = f"{count}, a line each: dark blue is the best, grey the worst"
    figure.suptitle(words, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
    for axes, names in zip(figure.subplots(len(parts), squeeze=False)[:, 0], parts):
        _draw_axes(study, axes, names, rows)
    same = [hp.name for hp in study.problem.hyperparameters().space if hp.name not in drawn]
    if same:
        note = textwrap.fill(f"The same in all trials: {', '.join(same)}", int(13 * width))
        figure.supxlabel(note, fontsize=7, x=0.01, ha="left", color=FAINT)
    return figure


def _draw_axes(study: Study, axes: Axes, names: list[str], rows: list[Row]) -> None:
    """One row of parallel coordinates; the last axis is the score."""
    from matplotlib.colors import LinearSegmentedColormap

    objective = study.plan.objectives[0]
    columns: list[list[Any]] = [[row.values.get(name) for row in rows] for name in names]
    columns.append([row.metrics[objective] for row in rows])
    heights = [places(column) for column in columns]
    shades = LinearSegmentedColormap.from_list("rank", [TRAIN, "#a9c9dd", GRID])
    for index in reversed(range(len(rows))):
        rank = index / max(1, len(rows) - 1)
        line = [height[index] for height in heights]
        axes.plot(line, color=shades(rank), linewidth=2 - 1.4 * rank)
    measure = study.problem.measures[objective]
    for position, column in enumerate(columns):
        axes.axvline(position, color=INK, linewidth=0.6, zorder=0.5)
        last = position == len(columns) - 1
        words = [written(measure, one) for one in column] if last else [*map(_text, column)]
        _values(axes, position, zip(heights[position], words))
    labels = [without_middle(name, LONGEST) for name in [*names, objective]]
    axes.set_xticks(range(len(columns)), labels, rotation=25, ha="right", fontsize=8, color=INK)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(columns) - 0.45)
    axes.set_facecolor(PAPER)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _values(axes: Axes, position: int, values: Iterable[tuple[float, str]]) -> None:
    """Write values beside an axis: all of a few, the ends of many, and none over another."""
    known = sorted(set(values))
    shown = known if len(known) <= FEW else [known[0], known[-1]]
    last = -1.0
    ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    for place, words in shown:
        if place - last >= NEAR:
            look: dict[str, Any] = {"fontsize": 7, "color": INK, "va": "center", "bbox": ground}
            axes.text(position + 0.04, place, without_middle(words, LONGEST), zorder=4, **look)
            last = place


def importance_picture(study: Study, rows: list[Row]) -> Figure:
    """`importance` as bars, the `BARS` largest."""
    from kerascnn.pictures import dress, figure_of

    found = list(importance(study, rows).items())[:BARS]
    figure = figure_of(8.0, 1.2 + 0.24 * len(found))
    axes = figure.add_subplot()
    left_out = len(varied(study, rows)) - len(found)
    rest = f"; {left_out} smaller ones are left out" if left_out else ""
    explained = f"Share of {study.plan.objectives[0]} that each explains{rest}"
    dress(axes, explained, xlabel=importance_note(study, rows))
    axes.grid(False, axis="y")
    axes.barh(range(len(found)), [value for _, value in found], height=0.7, color=TRAIN)
    for place, (_, value) in enumerate(found):
        look: dict[str, Any] = {"va": "center", "fontsize": 7, "color": INK}
        axes.text(value, place, f" {value:.1%}", **look)
    names = [without_middle(name, 2 * LONGEST) for name, _ in found]
    axes.set_yticks(range(len(found)), names, fontsize=8, color=INK)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.margins(x=0.12)
    _percent(axes)
    return figure


def _percent(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(lambda tick, _: f"{100 * tick:.3g} %")


def _text(value: Any) -> str:
    if value is None:
        return "inactive"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, facecolor=PAPER)
