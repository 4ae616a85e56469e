"""What a report writes of a study: pictures, TensorBoard's HParams, the models that are kept."""

import pytest
from kerascnn_tuning.study import pictures
from kerascnn_tuning.study.importance import importance_note, varied


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
