"""Real searches with tiny networks: how they are begun, interrupted, continued and refused."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from kerascnn_tuning import Plan, Study, search
from kerascnn_tuning.errors import SearchError, StudyError
from search_steps import QUIET, SETTINGS

import kerascnn
from kerascnn.errors import ArgumentError


def test_a_finished_search_is_not_repeated_and_can_be_continued(study, data, tmp_path):
    study = Study.open(shutil.copytree(study.path, tmp_path / "study"))
    before = {row.id: os.stat(row.path / "metrics.json").st_mtime_ns for row in study.trials}
    search(Plan(**SETTINGS), directory=study.path, dataset=data, console=QUIET)
    more = search(
        Plan(**{**SETTINGS, "max_trials": 5}), directory=study.path, dataset=data, console=QUIET
    )
    after = {row.id: os.stat(row.path / "metrics.json").st_mtime_ns for row in more.trials}
    assert len(after) == 5
    assert {k: after[k] for k in before} == before


def test_a_directory_of_something_else_is_left_alone(tmp_path, data):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StudyError, match="no study"):
        search(Plan(**SETTINGS), directory=tmp_path, dataset=data, console=QUIET)
    with pytest.raises(StudyError, match="no study"):
        Study.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "precious"


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


def test_trials_that_have_no_place_end_the_search_as_other_failures_do(tmp_path, data, monkeypatch):
    """A file where the trials' directories should be: also what looks after them must not fail."""
    trials = tmp_path / "s" / "trials"

    def without_a_place(*args, **options):
        if trials.is_dir():
            shutil.rmtree(trials)
        trials.touch()
        raise NotADirectoryError(20, "Not a directory", str(options["run"]))

    monkeypatch.setattr(kerascnn, "train", without_a_place, raising=False)
    plan = Plan(**{**SETTINGS, "failure_limit": 2, "max_trials": 9, "retries": 0})
    with pytest.raises(SearchError, match="2 trials in a row failed"):
        search(plan, directory=tmp_path / "s", dataset=data, console=QUIET)
    assert [row.status for row in Study.open(tmp_path / "s").trials] == ["FAILED"] * 2


def test_an_objective_without_its_data_is_an_error_before_the_first_trial(tmp_path, data):
    none = replace(data, validation=data.validation.take(np.arange(0)))
    with pytest.raises(ArgumentError, match="val_error needs validation images"):
        search(Plan(**SETTINGS), directory=tmp_path / "s", dataset=none, console=QUIET)


def test_what_can_be_seen_without_the_data_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="is a file"):
        search(Plan(**{**SETTINGS, "data": "folder:nowhere"}), directory=tmp_path / "file")
