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
from kerascnn_tuning.finals.contestants import DEFAULT
from kerascnn_tuning.finals.running import run_finals, with_validation
from kerascnn_tuning.finals.verdict import TOGETHER, TRAIN
from kerascnn_tuning.printing import print_finals
from rich.console import Console
from search_steps import QUIET

from kerascnn import Run
from kerascnn.data import load
from kerascnn.errors import ArgumentError

BUDGET = 500


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
