"""The median rule: whom it ends, on whose account, and how it is counted."""

import csv
import json
import math

import pytest
from kerascnn_tuning import Plan, Study, pruning, search
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.study.files import PRUNED_AT
from search_steps import QUIET

from kerascnn import Run
from kerascnn.errors import ArgumentError


@pytest.fixture
def record(tmp_path):
    """`record({"0000": [0.9, 0.5], ...}, pruned=["0001"])` → a record of a study's files."""

    def make(histories, pruned=(), status="COMPLETED"):
        for trial, values in histories.items():
            state = {
                "status": status,
                "metrics": {"metrics": {PRUNED_AT: {}} if trial in pruned else {}},
            }
            for folder, name, text in (
                (tmp_path / "oracle" / f"trial_{trial}", "trial.json", json.dumps(state)),
                (
                    tmp_path / "trials" / trial,
                    "history.csv",
                    "epoch,loss,error,val_error,seconds\n"
                    + "".join(f"{i},1.0,0.5,{v},1.0\n" for i, v in enumerate(values, start=1)),
                ),
            ):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
        return pruning.Record(tmp_path, "val_error")

    return make


FOUR = {f"000{i}": [0.9, value, value / 2] for i, value in enumerate((0.1, 0.2, 0.3, 0.4))}


def test_who_is_worse_than_the_median_at_that_epoch_ends(record):
    found = record(FOUR)
    verdict = found.verdict(2, 0.26)
    assert (verdict.epoch, verdict.median, verdict.trials) == (2, 0.25, tuple(FOUR))
    assert found.verdict(2, 0.25) is None
    assert found.verdict(2, 0.24) is None
    assert found.verdict(3, 0.24).median == pytest.approx(0.125)
    assert found.verdict(1, 0.9) is None
    assert found.verdict(2, math.nan) is None  # the training itself stops there


def test_three_trials_are_too_few_and_running_or_failed_ones_do_not_count(record):
    assert record(dict(list(FOUR.items())[:3])).verdict(2, 0.99) is None
    assert record({"0003": FOUR["0003"]}, status="FAILED").verdict(2, 0.99) is None
    assert record({"0004": FOUR["0003"]}, status="RUNNING").verdict(2, 0.99) is None
    assert record({"0005": FOUR["0003"]}).verdict(2, 0.99) is not None


def test_trials_that_were_pruned_before_count_as_worse_than_any(record):
    """Or only ever fewer would come to their end."""
    histories = {**FOUR, "0004": [0.95], "0005": [0.95]}
    found = record(histories, pruned=("0004", "0005"))
    assert found.verdict(2, 0.34) is None  # 0.1 0.2 0.3 0.4 ∞ ∞
    assert found.verdict(2, 0.36).median == pytest.approx(0.35)
    more = record({f"001{i}": [0.95] for i in range(3)}, pruned=[f"001{i}" for i in range(3)])
    assert more.verdict(2, 0.99) is None  # five of nine were pruned: the median is infinite


def test_a_trial_that_stopped_by_itself_keeps_its_last_value(record):
    found = record({**FOUR, "0004": [0.9, 0.05]})
    assert found.verdict(3, 0.11).median == pytest.approx(0.1)


def test_the_same_record_gives_the_same_verdict_to_every_worker(record):
    found = record(FOUR)
    assert found.verdict(2, 0.3) == record({}).verdict(2, 0.3)


@pytest.fixture(scope="module")
def study(tmp_path_factory, data):
    """Good rates first; the last two are so small that the median ends them."""
    plan = Plan(
        architecture="lenet5",
        input_shape=(16, 16, 1),
        tuner="grid",
        only=("learning_rate",),
        choose={"learning_rate": (3e-2, 1e-2, 2e-2, 4e-2, 1e-7, 2e-7)},
        fix={"hidden": (8,), "widths": (2, 4), "batch_size": 250, "augmentation": 0.0},
        objectives=("val_error", "params"),
        epochs=3,
        prune="median",
        repeats=2,
    )
    found = search(
        plan, directory=tmp_path_factory.mktemp("pruned") / "s", dataset=data, console=QUIET
    )
    return found


@pytest.mark.slow
def test_pruned_trials_end_early_and_are_neither_failed_nor_the_best(study):
    status = {row.values["learning_rate"]: row.status for row in study.trials}
    assert status[1e-7] == status[2e-7] == "PRUNED"
    good = [row for row in study.trials if row.values["learning_rate"] > 1e-3]
    assert all(row.completed for row in good[:4])
    for row in study.trials:
        assert row.ended
        epochs = len(Run(row.path).history)
        assert row.epochs == epochs == (1 if row.status == "PRUNED" else 3)
        # The repeats of a pruned trial are spared, and so is its model.
        assert (row.path / "repeats").exists() == row.completed
        assert row.completed or not (row.path / "model.keras").exists()
    assert all(row.completed for row in (*study.leaderboard, *study.pareto))
    assert len(study.leaderboard) == 4


@pytest.mark.slow
def test_the_table_says_why_and_the_record_allows_to_check_it(study):
    with open(study.path / "leaderboard.csv", newline="") as file:
        lines = {line["trial"]: line for line in csv.DictReader(file)}
    pruned = [row for row in study.trials if row.status == "PRUNED"]
    for row in pruned:
        line = lines[row.id]
        assert (line["rank"], line["status"]) == ("", "PRUNED")
        assert "pruned after epoch 1: val_error" in line["reason"]
        verdict = json.loads((row.path / "pruned.json").read_text())
        values = [Run(study.path / "trials" / t).history[0]["val_error"] for t in verdict["trials"]]
        middle = sorted(values)[(len(values) - 1) // 2 : len(values) // 2 + 1]
        assert verdict["median"] == pytest.approx(sum(middle) / len(middle))
        assert verdict["value"] == Run(row.path).history[0]["val_error"] > verdict["median"]
        assert verdict["trials"] == [f"{i:04d}" for i in range(int(row.id))]


@pytest.mark.slow
def test_a_pruned_study_is_gone_on_with_as_it_is(study, data):
    before = [(row.id, row.status) for row in study.trials]
    again = search(study.plan, directory=study.path, dataset=data, console=QUIET)
    assert [(row.id, row.status) for row in Study.open(again.path).trials] == before


def test_an_oracle_learns_from_pruned_trials_and_optuna_is_told(tmp_path, tiny):
    for tuner in ("bayesian", "optuna"):
        plan = tiny(tuner=tuner, prune="median", epochs=4, max_trials=8)
        oracle = make_oracle(Problem.of(plan, 10), tmp_path / tuner / "oracle")
        for number in range(8):
            trial = oracle.create_trial("w")
            metrics = {"val_error": 0.5, **({PRUNED_AT: 1.0} if number % 2 else {})}
            oracle.update_trial(trial.trial_id, metrics)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        if tuner == "optuna":
            states = [trial.state.name for trial in oracle.study_before(8).trials]
            assert states.count("PRUNED") >= 4
            assert states.count("COMPLETE") == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prune": "half"}, "prune must be one of none, median. Received: 'half'"),
        ({"prune": "median", "tuner": "hyperband"}, "Hyperband ends the worse trials itself"),
        ({"prune_after": 2}, "prune_after belongs to a pruning"),
        ({"prune": "median", "prune_after": 0}, "prune_after must be at least 1"),
        (
            {"prune": "median", "epochs": 4, "prune_after": 4},
            "can't be pruned after a warm-up of 4",
        ),
        ({"prune": "median", "epochs": 1}, "A trial of 1 epochs can't be pruned"),
        ({"prune": "median", "epochs": 4, "objectives": ("params",)}, "first objective after each"),
    ],
)
def test_a_pruning_that_could_have_no_effect_is_refused(tmp_path, tiny, changes, message):
    with pytest.raises(ArgumentError, match=message):
        make_oracle(Problem.of(tiny(**changes), 10), tmp_path / "oracle")


@pytest.mark.slow
def test_workers_prune_by_the_same_record(tmp_path):
    import subprocess
    import sys

    plan = tmp_path / "study.toml"
    plan.write_text(
        'architecture = "lenet5"\ninput_shape = [16, 16, 1]\ntuner = "grid"\nprune = "median"\n'
        'only = ["learning_rate"]\nepochs = 3\n'
        "[choose]\nlearning_rate = [3e-2, 1e-2, 2e-2, 4e-2, 5e-2, 6e-2, 1e-7, 2e-7, 3e-7]\n"
        "[fix]\nhidden = [8]\nwidths = [2, 4]\nbatch_size = 250\naugmentation = 0.0\n"
    )
    command = [sys.executable, "-m", "kerascnn", "tune", "local", str(plan), "--workers", "2"]
    done = subprocess.run(
        [*command, "--dir", str(tmp_path / "s")], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    rows = {row.values["learning_rate"]: row for row in Study.open(tmp_path / "s").trials}
    assert rows[3e-7].status == "PRUNED"
    assert f"trial {rows[3e-7].id}  pruned after" in done.stdout
    for row in rows.values():
        if row.status == "PRUNED":
            others = json.loads((row.path / "pruned.json").read_text())["trials"]
            assert row.id not in others
            assert len(others) >= pruning.FEWEST
        else:
            assert row.completed
