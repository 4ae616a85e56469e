"""Real searches with tiny networks: what they leave behind, resume, refuse and reproduce."""

import csv
import dataclasses
import errno
import fcntl
import inspect
import json
import os
from wsgiref.util import setup_testing_defaults

import numpy as np
import pytest
from kerascnn_tuning import HyperModel, Plan, Study, search
from kerascnn_tuning import trials as trials_module
from kerascnn_tuning.errors import SearchError, StudyError
from kerascnn_tuning.study import pictures
from kerascnn_tuning.study.importance import importance_note, varied
from rich.console import Console

import kerascnn
from kerascnn import Run
from kerascnn.data import load
from kerascnn.errors import ArgumentError

QUIET = Console(quiet=True)
SETTINGS = {
    "architecture": "lenet5",
    "input_shape": (16, 16, 1),
    "only": ("kernels", "learning_rate"),
    "fix": {"hidden": (8,), "batch_size": 1000},
    "choose": {"widths": (2, 3, 4)},
    "objectives": ("val_error", "params"),
    "epochs": 1,
    "max_trials": 4,
    "keep": 1,
}


@pytest.fixture(scope="module")
def data():
    return load("mnist5k", input_shape=(16, 16, 1), echo=None)


@pytest.fixture(scope="module")
def study(tmp_path_factory, data):
    """A finished search of four trials."""
    path = tmp_path_factory.mktemp("study") / "study"
    return search(Plan(**SETTINGS), directory=path, dataset=data, console=QUIET)


def test_the_leaderboard_is_sorted_and_complete(study):
    rows = study.leaderboard
    assert len(rows) == 4
    errors = [row.metrics["val_error"] for row in rows]
    assert errors == sorted(errors)
    with open(study.path / "leaderboard.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["trial"] for line in lines] == [row.id for row in rows]
    assert [float(line["val_error"]) for line in lines] == errors
    assert all(line["status"] == "COMPLETED" and line["kernels_1"] for line in lines)


def test_no_trial_on_the_front_is_beaten_in_both(study):
    front = study.pareto
    points = [(row.metrics["val_error"], row.metrics["params"]) for row in study.leaderboard]
    assert study.leaderboard[0].id == front[0].id
    for row in front:
        mine = (row.metrics["val_error"], row.metrics["params"])
        assert not any(p[0] <= mine[0] and p[1] <= mine[1] and p != mine for p in points)


def test_the_best_is_a_run_that_evaluates_to_its_score(study, data):
    best = study.best
    assert best.evaluate(data)["error"] == pytest.approx(study.leaderboard[0].metrics["test_error"])
    assert study.best_model().count_params() == study.leaderboard[0].metrics["params"]


def test_models_of_beaten_trials_are_removed(study):
    kept = {row.id for row in study.trials if (row.path / "model.keras").is_file()}
    assert kept == {study.leaderboard[0].id} | {row.id for row in study.pareto}
    assert all((row.path / "config.json").is_file() for row in study.trials)
    assert not list(study.path.glob("trials/*/checkpoints"))


def test_pictures_and_hparams_with_the_declared_domains(study):
    assert (study.path / "pareto.png").stat().st_size > 5000
    assert (study.path / "parallel.png").stat().st_size > 5000
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    events = EventAccumulator(str(study.path / "tensorboard")).Reload()
    stored = events.PluginTagToContent("hparams")[metadata.EXPERIMENT_TAG]
    experiment = plugin_data_pb2.HParamsPluginData.FromString(stored).experiment
    domains = {info.name: info for info in experiment.hparam_infos}
    # All declared values, whether a trial had them or not.
    assert {v.number_value for v in domains["kernels_2"].domain_discrete.values} == {3, 5, 7}
    rate = study.problem.recipe.learning_rate
    assert domains["learning_rate"].domain_interval.max_value == pytest.approx(10 * rate)
    sessions = [p for p in (study.path / "tensorboard").iterdir() if p.is_dir()]
    assert {p.name for p in sessions} == {row.id for row in study.leaderboard}


def test_a_finished_search_is_not_repeated_and_can_be_continued(study, data):
    before = {row.id: os.stat(row.path / "metrics.json").st_mtime_ns for row in study.trials}
    search(Plan(**SETTINGS), directory=study.path, dataset=data, console=QUIET)
    more = search(
        Plan(**{**SETTINGS, "max_trials": 5}), directory=study.path, dataset=data, console=QUIET
    )
    after = {row.id: os.stat(row.path / "metrics.json").st_mtime_ns for row in more.trials}
    assert len(after) == 5
    assert {k: after[k] for k in before} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choose": {"widths": (2, 3)}}, r"widths_1: \(2, 3, 4\) then, \(2, 3\) now"),
        ({"tuner": "bayesian"}, "tuner: random then, bayesian now"),
        ({"max_params": 300}, "max_params: None then, 300 now"),
    ],
)
def test_a_changed_search_is_refused_and_the_difference_named(study, data, changes, message):
    # Stock: ignored without a word.
    with pytest.raises(StudyError, match=message):
        search(Plan(**{**SETTINGS, **changes}), directory=study.path, dataset=data, console=QUIET)


def test_a_study_is_searched_by_one_process_at_a_time(study, data):
    with study.locked("searching"), pytest.raises(StudyError, match="another process is searching"):
        search(Plan(**SETTINGS), directory=study.path, dataset=data, console=QUIET)


def test_a_file_system_without_locks_is_met_with_a_warning(study, monkeypatch):
    """As in a training: a lock guards against starting twice by mistake, no more."""

    def refuse(file, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="no locks"), study.locked("searching"):
        pass


def test_a_directory_of_something_else_is_left_alone(tmp_path, data):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StudyError, match="no study"):
        search(Plan(**SETTINGS), directory=tmp_path, dataset=data, console=QUIET)
    with pytest.raises(StudyError, match="no study"):
        Study.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "precious"


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


def test_an_interrupted_search_goes_on_with_the_same_trial(tmp_path, data, monkeypatch):
    plan = Plan(**{**SETTINGS, "max_trials": 2})
    real, calls = kerascnn.train, []

    def interrupted(*args, **options):
        calls.append(options["run"].name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(kerascnn, "train", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        search(plan, directory=tmp_path / "s", dataset=data, console=QUIET)
    found = search(plan, directory=tmp_path / "s", dataset=data, console=QUIET)
    assert calls == ["0000", "0001", "0001"]
    assert [row.status for row in found.trials] == ["COMPLETED"] * 2


def test_a_full_disk_ends_the_search_with_its_name(tmp_path, data, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kerascnn, "train", full, raising=False)
    plan = Plan(**{**SETTINGS, "failure_limit": 2, "max_trials": 9, "retries": 1})
    with pytest.raises(SearchError, match="No space left on device"):
        search(plan, directory=tmp_path / "s", dataset=data, console=QUIET)
    rows = Study.open(tmp_path / "s").trials
    assert [row.status for row in rows] == ["FAILED"] * 2


def test_an_objective_without_its_data_is_an_error_before_the_first_trial(tmp_path, data):
    none = dataclasses.replace(data, validation=data.validation.take(np.arange(0)))
    with pytest.raises(ArgumentError, match="val_error needs validation images"):
        search(Plan(**SETTINGS), directory=tmp_path / "s", dataset=none, console=QUIET)


def test_latency_is_measured_when_it_is_an_objective(study):
    assert "latency" not in study.leaderboard[0].metrics
    assert 0 < trials_module.latency(study.best, repeats=3) < 1000


def test_optuna_reads_the_export(study, tmp_path):
    optuna = pytest.importorskip("optuna")
    from kerascnn_tuning.oracles.tpe import export

    export(study, tmp_path / "trials.db")
    read = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'trials.db'}")
    best = min(t.values[0] for t in read.trials)
    assert best == study.leaderboard[0].metrics["val_error"]
    assert len(read.best_trials) == len(study.pareto)


def test_the_export_opens_in_optuna_dashboard(study, tmp_path):
    """The dashboard's own web application answers with the study, its trials and their values."""
    dashboard = pytest.importorskip("optuna_dashboard")
    from kerascnn_tuning.oracles.tpe import export

    export(study, tmp_path / "trials.db")
    serve = dashboard.wsgi(f"sqlite:///{tmp_path / 'trials.db'}")

    def get(path):
        environment, statuses = {"PATH_INFO": path}, []
        setup_testing_defaults(environment)
        body = b"".join(serve(environment, lambda status, *more: statuses.append(status)))
        assert statuses == ["200 OK"], body
        return body

    assert b"<html" in get("/dashboard/").lower()
    (summary,) = json.loads(get("/api/studies"))["study_summaries"]
    assert summary["study_name"] == study.path.name
    detail = json.loads(get(f"/api/studies/{summary['study_id']}"))
    values = {tuple(trial["values"]) for trial in detail["trials"] if trial["state"] == "Complete"}
    rows = study.leaderboard
    assert values == {(row.metrics["val_error"], row.metrics["params"]) for row in rows}
    assert detail["directions"] == ["minimize", "minimize"]


def test_the_hypermodel_works_in_a_stock_tuner(tmp_path, data):
    import keras_tuner

    plan = Plan(**{**SETTINGS, "input_shape": (32, 32, 1)})
    model = HyperModel(plan)
    tuner = keras_tuner.RandomSearch(
        model, objective="loss", max_trials=2, directory=tmp_path, seed=1
    )
    images = np.random.default_rng(0).normal(size=(20, 32, 32, 1)).astype("float32")
    tuner.search(images, np.arange(20) % 10, epochs=1, verbose=0)
    assert len(tuner.oracle.trials) == 2
    assert all(t.status == "COMPLETED" for t in tuner.oracle.trials.values())
    best = tuner.get_best_hyperparameters()[0]
    assert set(best.values) == {"widths_1", "widths_2", "kernels_1", "kernels_2", "learning_rate"}


def test_study_json_says_with_what_it_was_made(study):
    content = json.loads((study.path / "study.json").read_text())
    assert content["versions"]["keras-tuner"] == "1.4.8"
    assert content["fingerprint"] == study.problem.space.fingerprint()
    assert Run.open(study.leaderboard[0].path).config.seed == study.plan.seed


def test_a_study_goes_on_with_the_same_code_data_and_versions_alone(study, data, monkeypatch):
    # Another code's default gave 29,624 parameters where the leaderboard said 61,706.
    from kerascnn_tuning.study import identity as identity_module

    def go_on():
        search(Plan(**SETTINGS), directory=study.path, dataset=data, console=QUIET)

    def differ(message, change):
        with monkeypatch.context() as patched:
            change(patched)
            with pytest.raises(StudyError, match=message):
                go_on()

    original = kerascnn.get("lenet5")

    def another(build=original.build, **changes):
        changed = dataclasses.replace(original, build=build, **changes)
        return lambda patched: patched.setattr("kerascnn.catalogue.get", lambda name: changed)

    def plain_tanh(inputs, **arguments):
        return original.build(inputs, **{**arguments, "activation": "relu"})

    def wider(inputs, **arguments):
        return original.build(inputs, **{**arguments, "widths": (9, 9)})

    for function in (plain_tanh, wider):
        function.__signature__ = inspect.signature(original.build)
    differ("network.default_layers", another(plain_tanh))
    differ("network.default_parameters: .* then, .* now", another(wider))
    recipe = dataclasses.replace(original.recipe, momentum=0.123)
    differ("recipe.momentum: .* then, 0.123 now", another(recipe=recipe))
    differ(
        "the code of kerascnn.applications.lenet: .* then",
        lambda patched: patched.setattr(identity_module, "_source", lambda module: "x = 1"),
    )
    differ(
        "tensorflow: .* then, 2.99.0 now",
        lambda patched: patched.setattr(
            kerascnn, "versions", lambda: {"kerascnn": "9", "tensorflow": "2.99.0"}, raising=False
        ),
    )
    go_on()


def test_an_older_study_is_compared_as_far_as_it_says(study):
    from kerascnn_tuning.study.identity import differences

    now = study.content
    old = {k: now[k] for k in ("space", "fingerprint", "versions")}
    old["data"] = {k: now["data"][k] for k in ("fingerprint", "classes")}
    assert differences(old, now) == []
    old["data"]["fingerprint"] = "1dadc8" + "0" * 58
    assert len(differences(old, now)) == 1


def test_other_data_is_refused_by_name(study, data):
    other = load("mnist5k", input_shape=(16, 16, 1), seed=1, echo=None)
    other = dataclasses.replace(other, fingerprint="5183f4" + "0" * 58)
    with pytest.raises(StudyError, match=r"data\.fingerprint: \w+ then, 5183f4000000 now"):
        search(Plan(**SETTINGS), directory=study.path, dataset=other, console=QUIET)


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


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"plan": []}',
        "[" * 100_000,
        '{"plan": {"architecture": 3}, "space": {}, "data": {"classes": 10}, "id": "1"}',
        '{"plan": {"architecture": "lenet5"}, "space": {}, "data": {"classes": "x"}, "id": "1"}',
    ],
)
def test_a_damaged_study_json_is_one_message_with_its_name(tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises((StudyError, ArgumentError), match=r"study\.json"):
        search(Plan(**SETTINGS), directory=tmp_path, console=QUIET)


def test_what_can_be_seen_without_the_data_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="is a file"):
        search(Plan(**{**SETTINGS, "data": "folder:nowhere"}), directory=tmp_path / "file")


def test_parallel_coordinates_name_what_has_no_axis_and_importance_how_little_it_knows(
    study, monkeypatch
):
    rows = study.leaderboard
    drawn = varied(study, rows)
    searched = {hp.name for hp in study.problem.hyperparameters().space}

    def names(figure):
        parts = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes]
        assert all(part[-1] == "val_error" for part in parts)
        return [name for part in parts for name in part[:-1]]

    figure = pictures.parallel_picture(study, rows)
    assert names(figure) == drawn
    note = figure.get_supxlabel().replace("\n", " ")
    assert all(name in note for name in searched - set(drawn))
    monkeypatch.setattr(pictures, "AXES", 3)
    figure = pictures.parallel_picture(study, rows)
    assert names(figure) == drawn
    assert len(figure.axes) == -(-len(drawn) // 2) > 1
    assert "too few" in importance_note(study, rows)
    assert "a hint and no measurement" in importance_note(study, rows * 3)
    enough = importance_note(study, rows * 20)
    assert enough == f"{20 * len(rows)} trials for {len(drawn)} hyperparameters"
    assert not (study.path / "importance.png").exists()
