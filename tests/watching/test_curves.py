"""The curves of a training show its numbers."""

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from kerascnn.tasks.classification import ERROR
from kerascnn.tasks.measure import Measure
from kerascnn.watching.curves import curves

DIGITS = [str(digit) for digit in range(10)]
HISTORY = [
    {
        "epoch": epoch,
        "loss": 2.0 / 3**epoch,
        "error": 0.6 / 3**epoch,
        "val_loss": 1.0 / epoch + 0.3 * (epoch == 5),
        "val_error": 0.2 / epoch + 0.3 * (epoch == 5),
        "learning_rate": 0.1 / epoch,
    }
    for epoch in range(1, 6)
]


@pytest.fixture
def drawn(monkeypatch):
    """The figure that `curves` writes."""
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    return figures


def test_curves_draw_the_history_and_mark_the_best_epoch(drawn):
    curves(HISTORY, "unused.png", measure=ERROR)
    loss, wrong, rate = drawn[0].axes
    for axes, key in ((loss, "loss"), (wrong, "error")):
        train, validation, best = axes.lines
        np.testing.assert_allclose(train.get_ydata(), [row[key] for row in HISTORY])
        np.testing.assert_allclose(validation.get_ydata(), [row[f"val_{key}"] for row in HISTORY])
        assert best.get_xdata() == [4]
        assert axes.get_yscale() == "log"
    assert wrong.lines[2].get_label() == "best: 5 %, epoch 4"
    np.testing.assert_allclose(rate.lines[0].get_ydata(), [0.1 / e for e in range(1, 6)])


def test_curves_of_what_is_better_the_higher_mark_the_highest(drawn):
    measure = Measure(name="mean_iou", title="Mean IoU", better="higher")
    values = (0.02, 0.3, 0.6, 0.5)
    rows = [{"epoch": e, "loss": 1.0, "val_mean_iou": v} for e, v in enumerate(values, 1)]
    curves(rows, "unused.png", measure=measure)
    axes = drawn[0].axes[1]
    assert axes.lines[-1].get_label() == "best: 60 %, epoch 3"
    assert axes.get_title(loc="left") == "Mean IoU"
    assert axes.get_yscale() == "linear", "a tenth of the best is no detail to be seen"


def test_curves_mark_the_epoch_that_the_saved_model_has(drawn):
    curves(HISTORY, "unused.png", held=3, measure=ERROR)
    loss, wrong, _ = drawn[0].axes
    for axes in (loss, wrong):
        assert list(axes.lines[-1].get_xdata()) == [3, 3]
    assert "model.keras: epoch 3" in [text.get_text() for text in loss.get_legend().texts]
    assert len(drawn[0].axes[1].get_legend().texts) == 3, "it says so once"


def test_curves_of_an_epoch_without_a_validation_loss_are_an_image(tmp_path):
    without = {key: value for key, value in HISTORY[1].items() if not key.startswith("val_")}
    curves([HISTORY[0], without], tmp_path / "curves.png", measure=ERROR)
    assert imread(tmp_path / "curves.png").shape == (500, 960, 4)


@pytest.mark.parametrize(
    "history",
    [[], HISTORY[:1], [{"loss": 0.5}], [{"loss": 0.0, "accuracy": 1.0}] * 3],
    ids=["no epoch", "one epoch", "loss alone", "zeros"],
)
def test_curves_of_short_and_odd_histories(history, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves(history, tmp_path / "curves.png", measure=ERROR)
    assert (tmp_path / "curves.png").stat().st_size > 1000
