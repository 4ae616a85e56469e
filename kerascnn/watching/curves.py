"""The curves that a training leaves: loss, main measure and learning rate over the epochs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from kerascnn.pictures import dress, figure_of
from kerascnn.style import INK, PAPER, TRAIN, VALIDATION
from kerascnn.tasks.measure import HELD, LOWER, Measure

_LOSS = Measure(name="loss", title="Loss", share=False)


def curves(
    rows: Sequence[Mapping[str, Any]],
    path: Path | str,
    *,
    measure: Measure,
    held: int | None = None,
) -> None:
    """Write what `picture` draws; the path's ending says in which format."""
    picture(rows, measure=measure, held=held).savefig(path, facecolor=PAPER)


def picture(
    rows: Sequence[Mapping[str, Any]], *, measure: Measure, held: int | None = None
) -> Figure:
    """Loss, measure and learning rate over the epochs.

    Args:
        rows: the history, one for each epoch, with any of `epoch` (counted from 1), `loss`, the
            measure, both with `val_` too, and `learning_rate`.
        measure: the task's main one.
        held: the epoch whose weights the saved model has, which a line marks; None: no line.
    """
    epochs = np.array([int(row.get("epoch", index)) for index, row in enumerate(rows, 1)])
    figure = figure_of(9.6, 5.0)
    places: list[Any] = [["loss", "measure"], ["rate", "rate"]]
    axes = figure.subplot_mosaic(places, height_ratios=[4, 1])
    _curve(axes["loss"], epochs, rows, _LOSS)
    _curve(axes["measure"], epochs, rows, measure)
    rates = _line(row.get("learning_rate") for row in rows)
    axes["rate"].plot(epochs, rates, color=INK, linewidth=1.2, **_marks(epochs))
    axes["rate"].margins(y=0.15)
    if held is not None:
        for name in places[0]:
            axes[name].axvline(held, color=INK, linewidth=1, linestyle=":", zorder=1)
        # In the legend of one of them: it would say the same in the other.
        line = axes["loss"].lines[-1]
        line.set_label(f"model.keras: epoch {held}")
        axes["loss"].legend(frameon=False, fontsize=8, labelcolor=INK)
    dress(axes["rate"], "Learning rate", xlabel="Epoch")
    return figure


def _curve(
    axes: Axes,
    epochs: np.ndarray,
    rows: Sequence[Mapping[str, Any]],
    measure: Measure,
) -> None:
    """Train and validation over the epochs, the best validation epoch marked."""

    def written(value: float) -> str:
        return f"{100 * value:.3g} %" if measure.share else f"{value:.4g}"

    train = _line(measure.of(row) for row in rows)
    validation = _line(measure.of(row, HELD) for row in rows)
    axes.plot(epochs, train, color=TRAIN, label="train", **_marks(epochs))
    if np.isfinite(validation).any():
        axes.plot(epochs, validation, color=VALIDATION, label="validation", **_marks(epochs))
        best = int(np.nanargmin(measure.sign * validation))
        label = f"best: {written(validation[best])}, epoch {epochs[best]}"
        ring: dict[str, Any] = {"markersize": 9, "markerfacecolor": "none", "linestyle": "none"}
        axes.plot(epochs[best], validation[best], "o", color=VALIDATION, label=label, **ring)
    dress(axes, measure.title)
    known = np.concatenate([train, validation])
    known = known[np.isfinite(known)]
    # Small values are told apart where they are good ones.
    if measure.better == LOWER and len(known) and known.max() > 10 * known.min() > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(lambda tick, _: written(tick))
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def _line(values: Iterable[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else float(value) for value in values])


def _marks(epochs: np.ndarray) -> dict[str, Any]:
    """Dots on the epochs as long as there are few: one epoch alone makes no line."""
    return {"marker": "o", "markersize": 3.5} if len(epochs) <= 40 else {}
