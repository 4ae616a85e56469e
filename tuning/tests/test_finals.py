"""Finals: what is trained again, from which seeds, what is kept, and what may be said of it."""

import csv
import io
import json
import os
import statistics

import numpy as np
import pytest
from kerascnn_tuning import Plan, Study, search
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.finals.default import default_within
from kerascnn_tuning.finals.running import run_finals, with_validation
from kerascnn_tuning.finals.verdict import (
    DEFAULT,
    TOGETHER,
    TRAIN,
    Contestant,
    Final,
    Finals,
    by_chance,
)
from kerascnn_tuning.printing import print_finals
from kerascnn_tuning.problem import Configuration, Problem
from rich.console import Console

import kerascnn
from kerascnn import Run
from kerascnn.data import load
from kerascnn.errors import ArgumentError

QUIET = Console(quiet=True)
BUDGET = 500


@pytest.fixture(scope="module")
def data():
    return load("mnist5k", input_shape=(16, 16, 1), echo=None)


@pytest.fixture(scope="module")
def study(tmp_path_factory, data):
    plan = Plan(
        architecture="lenet5",
        input_shape=(16, 16, 1),
        only=("widths",),
        choose={"widths": (2, 3, 4)},
        fix={"hidden": (8,), "batch_size": 1000},
        epochs=1,
        max_trials=2,
        max_params=BUDGET,
        seed=3,
    )
    return search(
        plan, directory=tmp_path_factory.mktemp("finals") / "study", dataset=data, console=QUIET
    )


@pytest.fixture(scope="module")
def finals(study, data):
    return run_finals(study, finalists=1, seeds=2, epochs=2, dataset=data, console=QUIET)


@pytest.mark.slow
def test_the_best_and_the_default_are_trained_from_seeds_that_no_trial_had(study, finals):
    best = study.leaderboard[0]
    assert [one.name for one in finals.contestants] == [DEFAULT, best.id]
    assert {run.seed for run in finals.runs} == {4, 5}
    assert {Run(row.path).config.seed for row in study.trials} == {3}
    assert len(finals.runs) == 2 * 2 * 2
    for run in finals.runs:
        config = Run(run.path).config
        assert config.seed == run.seed
        assert config.recipe.epochs == 2
        assert config.data.sizes["test"] == 1000
        assert run.metrics["trainable_params"] <= BUDGET
    theirs = [run for run in finals.runs if run.contestant == best.id]
    kept = {tuple(Run(run.path).config.architecture.arguments["widths"]) for run in theirs}
    assert kept == {best.arguments["widths"]}


@pytest.mark.slow
def test_training_and_validation_images_together_are_for_training_and_the_test_is_the_same(
    data, finals
):
    sizes = {run.on: Run(run.path).config.data.sizes for run in finals.runs if run.seed == 4}
    assert sizes[TRAIN] == {"train": 3500, "validation": 500, "test": 1000}
    assert sizes[TOGETHER] == {"train": 4000, "validation": 0, "test": 1000}
    both = with_validation(data)
    assert both.test is data.test
    assert both.fingerprint != data.fingerprint
    for index, (split, place) in {0: (data.train, 0), 3999: (data.validation, 499)}.items():
        image, label = both.train.example(index)
        assert (image == split.example(place)[0]).all()
        assert label == split.labels[place]
    assert np.array_equal(
        np.bincount(both.train.labels),
        np.bincount(data.train.labels) + np.bincount(data.validation.labels),
    )


@pytest.mark.slow
def test_table_csv_and_json_say_the_same(finals):
    with open(finals.directory / "finals.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(finals.runs)
    for line in lines:
        stored = json.loads((finals.directory / line["run"] / "metrics.json").read_text())
        assert float(line["test_error"]) == stored["test_error"]
        assert (line["val_error"] == "") == (line["trained_on"] == TOGETHER)
    content = json.loads((finals.directory / "finals.json").read_text())
    winner = content["contestants"][1]
    assert content["winner"] == winner["name"] == finals.contestants[1].name
    errors = [float(x["test_error"]) for x in lines if x["run"].startswith(f"{winner['name']}/tr")]
    assert winner["train"]["test_error"]["mean"] == pytest.approx(statistics.fmean(errors))
    assert winner["train"]["test_error"]["deviation"] == pytest.approx(statistics.stdev(errors))
    console = Console(width=80, record=True, file=io.StringIO())
    print_finals(finals, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert f"{statistics.fmean(errors):.1%} ± {statistics.stdev(errors):.1%}" in text
    assert "2 epochs, 1,000 test images" in " ".join(text.split())


@pytest.mark.slow
def test_what_is_finished_is_kept_and_what_was_interrupted_is_trained(study, data, finals):
    def times():
        return {run.path: os.stat(run.path / "model.keras").st_mtime_ns for run in finals.runs}

    before = times()
    interrupted, damaged = finals.runs[0].path, finals.runs[-1].path
    (interrupted / "metrics.json").unlink()
    (damaged / "metrics.json").write_text('{"interrupted": true, "epochs": 1}')
    again = run_finals(
        Study.open(study.path), finalists=1, seeds=2, epochs=2, dataset=data, console=QUIET
    )
    after = times()
    assert {path for path in before if before[path] != after[path]} == {interrupted, damaged}
    errors = [run.metrics["test_error"] for run in finals.runs]
    assert [run.metrics["test_error"] for run in again.runs] == pytest.approx(errors)


@pytest.mark.slow
def test_a_finished_study_goes_to_its_finals_from_the_command_line(study, finals):
    from kerascnn_tuning.commands import app
    from typer.testing import CliRunner

    options = ["--finalists", "1", "--seeds", "2", "--epochs", "2", "--json"]
    result = CliRunner().invoke(app, ["finals", str(study.path), *options])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found == json.loads((finals.directory / "finals.json").read_text())
    assert "done before" in result.stderr


def test_other_data_than_the_searchs_is_refused(study):
    other = load("mnist5k", input_shape=(20, 20, 1), echo=None)
    with pytest.raises(StudyError, match="has changed since the search"):
        run_finals(study, dataset=other, console=QUIET)


@pytest.mark.parametrize("setting", ["finalists", "seeds", "epochs"])
def test_numbers_below_one_are_refused(study, setting):
    with pytest.raises(ArgumentError, match=f"{setting} must be at least 1. Received: 0"):
        run_finals(study, console=QUIET, **{setting: 0})


@pytest.mark.parametrize(
    ("name", "budget"),
    [
        ("lenet5", {"max_params": 50_000}),
        ("resnet20_cifar", {"max_macs": 10_000_000}),
        ("googlenet", {"max_params": 1_000_000}),
        ("densenet40_k12_cifar", {"max_params": 500_000}),
    ],
)
def test_the_default_is_made_no_narrower_than_the_budget_asks_for(name, budget):
    problem = Problem.of(Plan(architecture=name, **budget))
    found, note = default_within(problem)
    usual = kerascnn.get(name).space.defaults()
    scalars = {
        element.name: value
        for param in kerascnn.get(name).space
        for element, value in zip(
            param.elements(),
            found.arguments[param.name] if param.per_stage else [found.arguments[param.name]],
        )
    }
    assert problem.refusal(scalars) is None
    changed = {key for key in usual if found.arguments[key] != usual[key]}
    assert changed
    assert all("width" in key or key in _WIDTHS for key in changed), changed
    assert "over the budget" in note
    factor = float(note.rstrip(".").rpartition(" ")[2])
    wider = {
        key: value
        if key not in changed
        else tuple(round(x * (factor + 0.005)) for x in value)
        if isinstance(value, tuple)
        else round(value * (factor + 0.005))
        for key, value in usual.items()
    }
    cost = problem.network(wider).cost()
    limits = (
        (cost.params, "max_params"),
        (cost.macs, "max_macs"),
        (problem.memory(cost, found.training["batch_size"]), "max_memory"),
    )
    assert any(value > budget[key] for value, key in limits if key in budget)


_WIDTHS = (
    *("hidden", "growth_rate", "conv_1x1", "reduce_3x3"),
    *("conv_3x3", "reduce_5x5", "conv_5x5", "pool_proj"),
)


def test_the_default_keeps_what_the_plan_fixes_and_ignores_what_it_chooses():
    problem = Problem.of(
        Plan(
            architecture="lenet5",
            max_params=50_000,
            fix={"widths": (6, 16), "learning_rate": 0.01},
            choose={"kernels": (3, 7), "batch_size": (8, 16)},
        )
    )
    found, _ = default_within(problem)
    assert found.arguments["widths"] == (6, 16)
    assert found.arguments["kernels"] == (5, 5)
    assert found.arguments["hidden"] < (120, 84)
    assert found.training["learning_rate"] == 0.01
    assert found.training["batch_size"] == kerascnn.get("lenet5").recipe.batch_size


def test_a_default_within_the_budget_is_left_alone_and_an_impossible_one_left_out():
    found, note = default_within(Problem.of(Plan(architecture="lenet5", max_params=70_000)))
    assert found.arguments == kerascnn.get("lenet5").space.defaults()
    assert "as they are" in note
    found, note = default_within(Problem.of(Plan(architecture="lenet5", max_params=10)))
    assert found is None
    assert "no default to compare with" in note


def test_chance_is_that_of_the_seeds_and_of_the_images():
    """Student's t for 4 degrees of freedom is 2.776, the normal distribution's bound 1.96."""
    first, second = [0.04, 0.05, 0.06], [0.08, 0.09, 0.10]
    seeds = 2.776**2 * (0.01**2 / 3 + 0.01**2 / 3)
    images = 1.96**2 * (0.05 * 0.95 + 0.09 * 0.91) / 1000
    assert by_chance(first, second, 1000) == pytest.approx((seeds + images) ** 0.5, rel=1e-3)
    assert by_chance(first, first, 10**12) == pytest.approx(seeds**0.5, rel=1e-3)


def _finals(trials, default, seeds=3, images=1000):
    """Outcomes by name: (validation errors, test errors)."""
    sides = {DEFAULT: default, **trials}
    nothing = Configuration({}, {})
    return Finals(
        contestants=tuple(Contestant(name, nothing, 1, 1) for name in sides),
        runs=tuple(
            Final(name, TRAIN, seed, {"val_error": val[seed], "test_error": test[seed]}, None)
            for name, (val, test) in sides.items()
            for seed in range(seeds)
        ),
        objective="val_error",
        epochs=1,
        test_images=images,
        directory=None,
    )


GOOD, FAIR, POOR = [0.020, 0.021, 0.022], [0.045, 0.046, 0.047], [0.050, 0.051, 0.052]


@pytest.mark.parametrize(
    ("trial", "default", "words"),
    [
        (GOOD, POOR, "more than the .* that chance explains. The search has found something bett"),
        (FAIR, POOR, "0.50 points better, and up to .* can be chance. .* not shown"),
        (POOR, GOOD, "worse, more than the .* The search has found nothing better"),
        (POOR, FAIR, "0.50 points worse, and up to .* not shown"),
    ],
)
def test_only_what_is_beyond_chance_is_said_to_be_better(trial, default, words):
    import re

    assert re.search(words, _finals({"0001": (GOOD, trial)}, (GOOD, default)).verdict)


def test_the_winner_is_chosen_by_validation_not_by_the_test_images():
    found = _finals({"0001": (FAIR, GOOD), "0002": (GOOD, FAIR)}, (POOR, POOR))
    assert found.winner.name == "0002"
    assert "trial 0002 has 4.60% ± 0.10%" in found.verdict


def test_from_one_seed_nothing_is_said():
    found = _finals({"0001": (GOOD, GOOD)}, (POOR, POOR), seeds=1)
    assert "From one seed each nothing can be said" in found.verdict
