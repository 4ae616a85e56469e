"""Beginning with another study: what is taken over, what not, and what it changes."""

import json

import pytest
from kerascnn_tuning import Study, search
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.warm_start import FILE, FIRST, gather, read, write
from rich.console import Console
from search_steps import QUIET

from kerascnn.errors import ArgumentError


@pytest.fixture
def study(tmp_path, data, tiny):
    """`study("name", scores, **plan)` → a study whose trials have these scores, untrained."""

    def make(name, scores, **changes):
        plan = tiny(max_trials=max(1, len(scores)), objectives=("val_error", "params"), **changes)
        found = Study.begin(plan, tmp_path / name, data)
        oracle = make_oracle(found.problem, found.path / "oracle")
        for score in scores:
            trial = oracle.create_trial("w")
            oracle.update_trial(trial.trial_id, {"val_error": score, "params": 100.0 * score})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        oracle.save()
        return found

    return make


@pytest.fixture
def begun(tmp_path, data, tiny):
    """`begun(other, **plan)` → the oracle of a new search that begins with another study."""

    def make(other, name="new", **changes):
        settings = {"objectives": ("val_error", "params"), "max_trials": 20, **changes}
        plan = tiny(warm_start=str(other), **settings)
        said = []
        content = gather(plan, tmp_path / name, data, said.append)
        found = Study.begin(plan, tmp_path / name, data)
        write(found.path, content)
        return make_oracle(found.problem, found.path / "oracle"), said

    return make


SCORES = (0.5, 0.2, 0.4, 0.1, 0.3, 0.6)


@pytest.mark.parametrize("tuner", ["random", "bayesian", "optuna"])
def test_the_best_of_the_other_are_tried_first(study, begun, tuner):
    other = study("old", SCORES)
    oracle, said = begun(other.path, tuner=tuner)
    best = [row.values for row in other.leaderboard]
    proposed = [oracle.create_trial(f"w{i}").hyperparameters.values for i in range(FIRST + 1)]
    assert proposed[:FIRST] == best[:FIRST]
    assert proposed[FIRST] not in best[:FIRST]
    assert (
        f"6 of 6 trials of {other.path} lie in this space, the best 3 are tried first." in said[0]
    )
    assert "don't count" not in said[0]


def test_scores_count_for_the_proposals_of_bayesian_search_and_optuna(study, begun):
    other = study("old", SCORES)
    oracle, _ = begun(other.path, tuner="bayesian")
    assert len(oracle.elsewhere()) == 6
    assert sorted(trial.score for trial in oracle.elsewhere()) == sorted(SCORES)
    first = oracle.create_trial("w")
    assert len(oracle.elsewhere()) == 5  # that one is a trial of this study now
    oracle.update_trial(first.trial_id, {"val_error": 0.1, "params": 10.0})
    first.status = "COMPLETED"
    oracle.end_trial(first)
    optuna, _ = begun(other.path, "another", tuner="optuna")
    assert sorted(t.values[0] for t in optuna.study_before(0).trials) == sorted(SCORES)


def test_scores_of_other_epochs_or_data_do_not_count_and_it_is_said(study, begun):
    other = study("old", SCORES)
    oracle, said = begun(other.path, tuner="bayesian", epochs=2)
    assert oracle.elsewhere() == []
    assert "Their scores don't count, as these differ:" in said[0]
    assert "epochs" in said[0]
    best = other.leaderboard[0].values
    assert oracle.create_trial("w").hyperparameters.values == best


def test_what_lies_outside_of_this_space_is_left_out_and_named(study, begun):
    other = study("old", SCORES)
    wide = [row for row in other.trials if row.values["widths_1"] == 4]
    assert 0 < len(wide) < 6
    oracle, said = begun(other.path, choose={"widths": (2, 3)})
    inside = [row for row in other.trials if 4 not in row.arguments["widths"]]
    assert len(oracle.known) == len(inside)
    assert f"{len(inside)} of 6 trials" in said[0]
    assert "Outside: " in said[0]
    assert "widths_1=4" in said[0] or "widths_2=4" in said[0]


def test_a_parameter_that_is_given_here_must_have_been_the_same_there(study, begun):
    other = study("old", SCORES)
    with pytest.raises(StudyError, match=r"No trial of .*hidden=\(8,\)|hidden_1=8, which is 16"):
        begun(other.path, fix={"hidden": (16,), "batch_size": 1000})
    oracle, _ = begun(other.path, "wider", fix={"batch_size": 1000}, choose={"hidden": (8, 16),
                                                                            "widths": (2, 3, 4)},
                      start={"hidden": (16,)})  # fmt: skip
    assert all(one.values["hidden_1"] == 8 for one in oracle.known)


def test_optimizers_that_are_searched_here_get_the_rate_that_the_trial_had(study, begun):
    other = study("old", SCORES)
    oracle, _ = begun(other.path, choose={"widths": (2, 3, 4), "optimizer": ("sgd", "adam")})
    assert {one.values["optimizer"] for one in oracle.known} == {"adam"}
    assert oracle.problem.configuration(oracle.known[0].values).training["learning_rate"] == 3e-3


def test_what_was_taken_over_stays_whatever_becomes_of_the_other(study, begun, tmp_path, data):
    import shutil

    other = study("old", SCORES)
    oracle, _ = begun(other.path, tuner="bayesian")
    known = list(oracle.known)
    shutil.rmtree(other.path)
    found = Study.open(tmp_path / "new")
    assert gather(found.plan, found.path, data, print) is None
    assert read(found.path, found.problem) == known


def test_a_real_search_begins_with_the_best_of_another(tmp_path, data, tiny):
    first = search(tiny(max_trials=2), directory=tmp_path / "a", dataset=data, console=QUIET)
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    second = search(
        tiny(max_trials=2, seed=7, warm_start=str(first.path)),
        directory=tmp_path / "b",
        dataset=data,
        console=console,
    )
    assert [row.values for row in second.trials] == [row.values for row in first.leaderboard]
    assert "2 of 2 trials" in " ".join(console.export_text().split())
    assert len(json.loads((second.path / FILE).read_text())["trials"]) == 2


def test_what_can_not_begin_is_refused_before_a_directory_is_made(tmp_path, study, begun, tiny):
    empty = study("empty", ())
    with pytest.raises(StudyError, match="no completed trial to begin with"):
        begun(empty.path)
    with pytest.raises(StudyError, match=r"is no study"):
        begun(tmp_path / "nowhere")
    assert not (tmp_path / "new").exists()
    for tuner in ("grid", "hyperband"):
        with pytest.raises(ArgumentError, match="for the tuners random, bayesian and optuna"):
            tiny(tuner=tuner, max_trials=None, warm_start="x")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"trials": 1}', '{"trials": [{"values": {"x": 1}}]}', '{"trials": [3]}']
)
def test_a_damaged_file_is_named(tmp_path, tiny, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StudyError, match=FILE):
        read(tmp_path, Problem.of(tiny(warm_start="somewhere"), 10))
