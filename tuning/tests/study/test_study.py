"""What a finished search leaves behind, and who may write there."""

import csv
import errno
import fcntl
import json
import os

import pytest
from kerascnn_tuning import Plan, search
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.study.study import Study
from search_steps import QUIET, SETTINGS

from kerascnn import Run
from kerascnn.errors import ArgumentError


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


def test_study_json_says_with_what_it_was_made(study):
    content = json.loads((study.path / "study.json").read_text())
    assert content["versions"]["keras-tuner"] == "1.4.8"
    assert content["fingerprint"] == study.problem.space.fingerprint()
    assert Run.open(study.leaderboard[0].path).config.seed == study.plan.seed


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


def test_a_notebook_shows_its_trials_and_their_front(study, tmp_path):
    shown = study._repr_html_()
    for row in study.leaderboard:
        assert f">{row.id}</td>" in shown
        assert f"{row.metrics['val_error']:.2%}" in shown
    assert "data:image/png;base64," in shown
    assert "Study" in repr(study)
    assert "study.json" in Study(tmp_path)._repr_html_()
