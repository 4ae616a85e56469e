"""What a search looks for is the task's: its names, its default, and which way is better."""

import pytest
from kerascnn_tuning import pruning
from kerascnn_tuning.display import Display
from kerascnn_tuning.figures import figure
from kerascnn_tuning.finals.contestants import DEFAULT, Contestant
from kerascnn_tuning.finals.verdict import TRAIN, Final, Finals
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Configuration, Problem
from kerascnn_tuning.study.study import Study
from rich.console import Console

from kerascnn import Task, tasks
from kerascnn.errors import ArgumentError
from kerascnn.tasks import Measure, find


class Outlining(Task):
    """Of which more is better."""

    name = "outlining"
    targets = find("classification").targets
    measures = (
        Measure(name="mean_iou", title="Mean IoU", better="higher"),
        Measure(name="distance", title="Distance", share=False),
    )


@pytest.fixture
def outlining(monkeypatch):
    monkeypatch.setattr(tasks, "find", lambda name: Outlining(), raising=False)


SCORES = (0.2, 0.7, 0.4, 0.6)


@pytest.fixture
def searched(outlining, tiny, data, tmp_path):
    """`searched(tuner)` → a study and its oracle, with four trials of these scores, untrained."""

    def make(tuner):
        plan = tiny(tuner=tuner, max_trials=20, objectives=("val_mean_iou", "params"))
        study = Study.begin(plan, tmp_path / tuner, data)
        oracle = make_oracle(study.problem, study.path / "oracle")
        for number, score in enumerate(SCORES):
            trial = oracle.create_trial("w")
            oracle.update_trial(trial.trial_id, {"val_mean_iou": score, "params": 10.0 + number})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        oracle.save()
        return study, oracle

    return make


def test_the_default_is_the_main_measure_of_the_networks_task(outlining):
    assert Plan(architecture="lenet5").objectives == ("val_mean_iou",)
    assert Plan(architecture="lenet5", objectives=("params", "main")).objectives == (
        "params",
        "val_mean_iou",
    )
    with pytest.raises(ArgumentError, match=r"one of val_mean_iou, val_distance, .*'?val_error"):
        Plan(architecture="lenet5", objectives=("val_error",))


def test_of_classification_the_objectives_are_those_they_were():
    assert Plan(architecture="lenet5").objectives == ("val_error",)
    with pytest.raises(ArgumentError, match="val_error, val_loss, error, loss, params, macs, lat"):
        Plan(architecture="lenet5", objectives=("test_error",))


def test_the_best_trial_is_the_one_with_the_most_of_it(searched):
    study, _ = searched("random")
    found = [row.metrics["val_mean_iou"] for row in study.leaderboard]
    assert found == [0.7, 0.6, 0.4, 0.2]
    assert [row.metrics["val_mean_iou"] for row in study.pareto] == [0.7, 0.2]


def test_every_oracle_learns_that_more_is_better(searched):
    _, bayesian = searched("bayesian")
    finished = list(bayesian.trials.values())
    best = max(finished, key=lambda trial: trial.metrics.get_best_value("val_mean_iou"))
    assert min(finished, key=lambda trial: trial.score) is best
    assert best.score == -0.7
    _, optuna = searched("optuna")
    told = [trial.values[0] for trial in optuna.study_before(4).trials if trial.values]
    assert told == [-score for score in SCORES]


def test_the_line_of_a_trial_names_the_best_so_far(searched):
    study, oracle = searched("random")
    display = Display(study.problem, Console(record=True, width=200, file=open("/dev/null", "w")))  # noqa: SIM115
    for trial in oracle.trials.values():
        display.on_trial_end(trial)
    lines = display.console.export_text().splitlines()
    assert "val_mean_iou 40.00%" in lines[2]
    assert "best 70.00% (0001)" in lines[2]


def test_pruned_is_what_has_less_than_the_median(tmp_path, monkeypatch):
    record = pruning.Record(tmp_path, "val_mean_iou", sign=-1)
    record._ended = {str(i): ([value], False) for i, value in enumerate(SCORES)}
    monkeypatch.setattr(record, "_read", lambda: None)
    assert record.verdict(1, 0.55) is None
    verdict = record.verdict(1, 0.45)
    assert (verdict.value, verdict.median) == (0.45, 0.5)


def test_finals_are_won_by_more_and_judged_on_the_tasks_measure():
    few, many = [0.30, 0.31, 0.32], [0.60, 0.61, 0.62]
    finals = Finals(
        contestants=tuple(
            Contestant(name, Configuration({}, {}), 1, 1) for name in (DEFAULT, "0001", "0002")
        ),
        runs=tuple(
            Final(name, TRAIN, seed, {f"{p}_mean_iou": values[seed] for p in ("val", "test")}, None)
            for name, values in ((DEFAULT, few), ("0001", few), ("0002", many))
            for seed in range(3)
        ),
        objective="val_mean_iou",
        task=Outlining(),
        epochs=1,
        test_images=1000,
        directory=None,
    )
    assert finals.winner.name == "0002"
    assert "test mean iou: trial 0002 has 61.00% ± 1.00%" in finals.verdict
    assert "30.00 points better" in finals.verdict
    assert "The search has found something better" in finals.verdict


def test_figures_are_written_as_the_task_says(outlining):
    measures = Problem.of(Plan(architecture="lenet5")).measures
    assert figure(measures["test_mean_iou"], 0.5, 0.01) == "50.00 ± 1.00%"
    assert figure(measures["val_distance"], 1.25) == "1.25"
    assert figure(measures["params"], 61706) == "61,706"
