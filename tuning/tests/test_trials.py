"""What a trial is trained for, and what it measured."""

import csv

import numpy as np
import pytest
from kerascnn_tuning import Plan, search
from kerascnn_tuning.trials import latency
from search_steps import QUIET, SETTINGS

from kerascnn import Run


def test_a_trial_whose_loss_is_nan_fails_with_its_reason_and_the_others_go_on(tmp_path, data):
    # Stock: its retries never succeed. SGD at this rate overflows within the first epoch.
    plan = Plan(
        **{**SETTINGS, "tuner": "grid", "only": ("learning_rate",)}
        | {
            "fix": {
                "optimizer": "sgd",
                "hidden": (8,),
                "batch_size": 100,
                "activation": "leaky_relu",
                "widths": (2, 2),
            },
            "choose": {"learning_rate": (1e-3, 1e3)},
        }
    )
    found = search(plan, directory=tmp_path / "s", dataset=data, console=QUIET)
    good, bad = sorted(found.trials, key=lambda row: row.status)
    assert (good.status, bad.status) == ("COMPLETED", "FAILED")
    assert "not a number" in bad.reason
    assert bad.training["learning_rate"] == 1e3


def test_latency_is_measured_when_it_is_an_objective(study):
    assert "latency" not in study.leaderboard[0].metrics
    assert 0 < latency(study.best, repeats=3) < 1000


def test_repeats_have_other_seeds_and_their_mean_and_spread_are_on_the_leaderboard(tmp_path, data):
    plan = Plan(**{**SETTINGS, "max_trials": 1, "repeats": 2})
    found = search(plan, directory=tmp_path / "s", dataset=data, console=QUIET)
    (row,) = found.leaderboard
    runs = [Run.open(row.path), Run.open(row.path / "repeats" / "1")]
    assert [run.config.seed for run in runs] == [0, 1]
    losses = [run.metrics["val_loss"] for run in runs]
    assert len(set(losses)) == 2
    assert row.metrics["val_loss"] == pytest.approx(np.mean(losses))
    assert row.spread["val_loss"] == pytest.approx(np.std(losses, ddof=1))
    with open(found.path / "leaderboard.csv", newline="") as file:
        (line,) = csv.DictReader(file)
    assert float(line["val_loss_spread"]) == row.spread["val_loss"]
    assert line["epochs"] == "1"
    assert len(list(found.path.glob("trials/**/model.keras"))) == 1
    assert found.best.config.seed == 0


@pytest.mark.slow
def test_the_epochs_of_a_trial_are_its_own_under_hyperband(tmp_path, data):
    plan = Plan(**{**SETTINGS, "tuner": "hyperband", "epochs": 3, "max_trials": 3})
    found = search(plan, directory=tmp_path / "s", dataset=data, console=QUIET)
    assert sorted(row.epochs for row in found.trials) == [1, 1, 3]
    assert all(Run.open(row.path).config.recipe.epochs == row.epochs for row in found.trials)
