"""A finished run goes on: with a new schedule on its own images, or on others."""

import dataclasses
import io
import shutil

import keras
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, RunError
from kerascnn.recipes.papers import FINETUNE
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.config import StartedFrom
from kerascnn.runs.run import Run
from kerascnn.training import earlier, trainer

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def once_more(striped_run, tmp_path_factory):
    """The run with three epochs more, and what was said."""
    console = Console(record=True, width=120, file=io.StringIO())
    path = tmp_path_factory.mktemp("runs") / "more"
    run = kerascnn.train(
        continue_=striped_run.path, epochs="+3", keep_epochs=(0,), run=path, console=console
    )
    return run, console.export_text()


def state(run):
    newest = sorted((run.path / "checkpoints").glob("*.npz"))[-1]
    with np.load(newest) as file:
        return {key: file[key] for key in file.files}


class Interrupt(keras.callbacks.Callback):
    """In the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1:
            raise KeyboardInterrupt


def test_a_finished_run_goes_on_with_a_new_schedule(striped_run, once_more):
    run, said = once_more
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    old, new = striped_run.config, run.config
    assert new.recipe == dataclasses.replace(old.recipe, epochs=3)
    assert (new.data, new.architecture, new.seed) == (old.data, old.architecture, old.seed)
    assert (new.predecessor.run, new.predecessor.epochs) == (str(striped_run.path), 4)
    assert "trained for 4 epochs on folder:" in " ".join(said.split())
    begun = run.model(epoch=0).get_weights()
    for one, two in zip(begun, striped_run.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_run_that_goes_on_resumes_bit_for_bit(striped_run, once_more, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        kerascnn.train(
            continue_=striped_run.path,
            epochs=7,  # four of them are done
            run=tmp_path / "run",
            callbacks=[Interrupt()],
            console=QUIET,
        )
    with pytest.raises(RunError, match=f"--resume {tmp_path / 'run'}"):
        kerascnn.train(continue_=tmp_path / "run", console=QUIET)
    again = kerascnn.resume(tmp_path / "run", console=QUIET)
    whole, resumed = state(once_more[0]), state(again)
    assert whole.keys() == resumed.keys()
    for key, value in whole.items():
        if not key.endswith("position"):  # with the seconds that an epoch has taken
            np.testing.assert_array_equal(value, resumed[key], err_msg=key)


def test_epochs_of_several_runs_add_up(once_more):
    run, _ = once_more
    old = earlier.find(run.path, None)
    assert old.epochs == 7
    assert old.count("+5") == 5
    assert old.count("10") == 3
    with pytest.raises(ArgumentError, match=r"7 epochs already.*--epochs \+7"):
        old.count(7)
    assert earlier.find(None, run.path).count(7) == 7, "on other data it begins to count"


@pytest.mark.parametrize("epochs", ["more", "+", "0", "+0", "-3", "1.5", ""])
def test_what_is_no_number_of_epochs_is_refused(once_more, epochs):
    with pytest.raises(ArgumentError, match="whole number from 1"):
        earlier.find(once_more[0].path, None).count(epochs)


@pytest.fixture(scope="module")
def other_photos(photos, tmp_path_factory):
    """Two classes, one of them of a name that the run doesn't know."""
    root = tmp_path_factory.mktemp("other")
    shutil.copytree(photos / "across", root / "lying")
    shutil.copytree(photos / "plain", root / "plain")
    return root


def test_other_classes_get_a_new_classifier_and_keep_the_rest(
    striped_run, other_photos, tmp_path, two_devices
):
    console = Console(record=True, width=200, file=io.StringIO())
    run = kerascnn.train(
        from_=striped_run,
        data=f"folder:{other_photos}",
        recipe=Recipe(epochs=1, batch_size=16),
        strategy="mirrored:2",
        keep_epochs=(0,),
        run=tmp_path / "run",
        record=False,
        console=console,
    )
    said = console.export_text()
    assert "The classes are others, so logits starts untrained; all else is kept." in said
    assert run.config.weights.left_out == ("logits",)
    assert run.config.class_names == ("lying", "plain")
    old, new = striped_run.model(), run.model(epoch=0)
    for layer in old.layers:
        if layer.weights and layer.name != "logits":
            for one, two in zip(layer.get_weights(), new.get_layer(layer.name).get_weights()):
                np.testing.assert_array_equal(one, two, err_msg=layer.name)
    assert new.get_layer("logits").kernel.shape[-1] == 2


def test_without_a_recipe_it_is_fine_tuned(striped_run, other_photos, tmp_path):
    path = tmp_path / "run"
    call("train", "--from", striped_run.path, "--data", f"folder:{other_photos}", "--epochs", "1",
         "--run", path)  # fmt: skip
    recipe = Run.open(path).config.recipe
    assert recipe.name == "finetune"
    assert recipe.freeze_epochs == FINETUNE.freeze_epochs > 0


@pytest.mark.slow
def test_as_many_classes_of_other_names_are_others(striped_run, photos, tmp_path):
    """Their number alone would let a classifier answer dog where it has learned cat."""
    shutil.copytree(photos, tmp_path / "data")
    (tmp_path / "data" / "down").rename(tmp_path / "data" / "standing")
    run = kerascnn.train(
        from_=striped_run,
        data=f"folder:{tmp_path / 'data'}",
        recipe=Recipe(epochs=1, batch_size=16),
        keep_epochs=(0,),
        run=tmp_path / "run",
        record=False,
        console=QUIET,
    )
    new, old = run.model(epoch=0).get_layer("logits"), striped_run.model().get_layer("logits")
    assert not np.array_equal(new.kernel.numpy(), old.kernel.numpy())
    again = trainer.repeat(run.path, run=tmp_path / "again", console=QUIET)
    assert again.config.weights == run.config.weights
    for one, two in zip(again.model().get_weights(), run.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_same_classes_keep_the_classifier(striped_run):
    old, start = earlier.find(None, striped_run), StartedFrom(source="x")
    assert old.start(start, old.run.model(), old.config.class_names) == start


def test_a_model_of_ones_own_goes_on(tmp_path, photos):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((32, 32, 1)), layers.Flatten(), layers.Dense(3, name="last")]
    )
    settings = {"recipe": Recipe(epochs=1, batch_size=16), "record": False, "console": QUIET}
    first = kerascnn.train(model, f"folder:{photos}", run=tmp_path / "first", **settings)
    second = kerascnn.train(
        continue_=first.path, run=tmp_path / "second", record=False, console=QUIET
    )
    assert second.config.predecessor.epochs == 1
    assert second.history[0]["loss"] < first.history[0]["loss"]


def call(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--continue", "{}", "--data", "mnist5k"], "--data"),
        (["--continue", "{}", "--set", "hidden=8", "--seed", "1"], "--set, --seed"),
        (["--continue", "{}", "--from", "{}"], "either the name"),
        (["lenet5", "--continue", "{}"], "either the name"),
        (["--from", "{}"], "needs the other --data"),
        (["--from", "{}", "--data", "mnist5k", "--weights", "imagenet"], "--weights"),
        (["--continue", "{}", "--epochs", "3"], r"--epochs \+3"),
        (["lenet5", "--epochs", "+3"], "--continue RUN"),
    ],
)
def test_what_contradicts_the_run_is_refused_by_name(striped_run, options, message):
    with pytest.raises(ArgumentError, match=message):
        call("train", *(option.format(striped_run.path) for option in options))


@pytest.mark.slow
def test_from_the_command_line(striped_run, once_more, tmp_path):
    where = once_more[0].path.parent
    path = where / "third"
    call("train", "--continue", once_more[0].path, "--epochs", "8", "--learning-rate", "0.001",
        "--run", path)  # fmt: skip
    run = Run.open(path)
    assert run.config.recipe.epochs == 1
    assert run.config.recipe.learning_rate == 0.001
    assert run.config.predecessor.epochs == 7
    shown = call("runs", where, "--sort", "created")
    assert "after" in shown
    assert " more " in shown
    assert once_more[0].path.name in run._repr_html_()
