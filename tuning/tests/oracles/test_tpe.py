"""Optuna opens what a study exports."""

import json
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
from kerascnn_tuning.oracles.tpe import export


def test_optuna_reads_the_export(study, tmp_path):
    export(study, tmp_path / "trials.db")
    read = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'trials.db'}")
    best = min(t.values[0] for t in read.trials)
    assert best == study.leaderboard[0].metrics["val_error"]
    assert len(read.best_trials) == len(study.pareto)


def test_the_export_opens_in_optuna_dashboard(study, tmp_path):
    """The dashboard's own web application answers with the study, its trials and their values."""
    export(study, tmp_path / "trials.db")
    serve = optuna_dashboard.wsgi(f"sqlite:///{tmp_path / 'trials.db'}")

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
