"""Which epoch's weights a training leaves: the recipe's choice, and what callbacks do."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
from rich.console import Console

from kerascnn.data import ArraySplit, load
from kerascnn.errors import ArgumentError, DataError
from kerascnn.recipes.recipe import Recipe, monitored
from kerascnn.runs.run import Run
from kerascnn.tasks.classification.task import CLASSIFICATION
from kerascnn.training import trainer
from kerascnn.training.keeping import best_epoch, out_of_patience

# After three epochs the rate becomes so high that it gets worse.
RECIPE = Recipe(
    optimizer="adam",
    learning_rate=0.02,
    schedule="step",
    steps=((3, 50.0),),
    batch_size=500,
    epochs=5,
    ema=0.5,
)
PLAIN = replace(RECIPE, ema=None)
CONSTANT = replace(PLAIN, schedule="constant", learning_rate=0.1)
SMALL = {"widths": (2, 4), "hidden": (16,), "dropout": 0.3}


def trained(path, recipe=PLAIN, console=None, **options):
    console = console or Console(quiet=True)
    settings = {"arguments": SMALL, "record": False, **options}
    return trainer.train("lenet5", "mnist5k", recipe=recipe, run=path, console=console, **settings)


class Weights(keras.callbacks.Callback):
    """What the network evaluates with, after each epoch."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.model.get_weights())


def assert_same(one, two):
    for ours, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def first_lowest(run, key):
    values = [row[key] for row in run.history]
    return values.index(min(values)) + 1


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """A recorded run that keeps its best averaged weights, and those after each epoch."""
    seen = Weights()
    path = tmp_path_factory.mktemp("runs") / "best"
    recipe = replace(RECIPE, keep="best:val_loss")
    return trained(path, recipe, callbacks=[seen], record=True), seen.epochs


def test_the_best_epochs_averaged_weights_are_saved_and_evaluated(best):
    run, epochs = best
    kept = first_lowest(run, "val_loss")
    assert kept < 5, "a case that proves nothing"
    assert run.metrics["epoch"] == kept
    assert run.metrics["epochs"] == 5
    assert run.metrics["val_loss"] == run.history[kept - 1]["val_loss"]
    assert_same(run.model().get_weights(), epochs[kept - 1])
    assert any(np.any(a != b) for a, b in zip(epochs[kept - 1], epochs[-1]))
    assert run.evaluate(echo=None)["error"] == pytest.approx(run.metrics["test_error"], abs=1e-9)


def test_keeping_the_best_does_not_change_the_training(best, tmp_path):
    run, epochs = best
    seen = Weights()
    last = trained(tmp_path / "last", RECIPE, callbacks=[seen])
    assert [row["loss"] for row in last.history] == [row["loss"] for row in run.history]
    assert_same(last.model().get_weights(), epochs[-1])
    assert last.metrics["epoch"] == 5


@pytest.mark.slow
def test_killed_after_its_best_epoch_a_run_resumes_to_the_same_model(best, tmp_path):
    """A real SIGKILL; the weights of an earlier epoch are in the checkpoints."""
    run, _ = best
    path, script = tmp_path / "run", tmp_path / "child.py"
    script.write_text(CHILD)
    kept = run.metrics["epoch"]
    child = subprocess.Popen([sys.executable, script, path], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while not (path / "checkpoints" / f"epoch-{kept + 1:05d}.npz").exists():
        assert child.poll() is None, "it was to be killed before its end"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    resumed = trainer.resume(path, console=Console(quiet=True))
    assert resumed.metrics["epoch"] == kept
    assert_same(resumed.model().get_weights(), run.model().get_weights())
    for key in ("val_loss", "val_error", "test_loss", "test_error"):
        assert resumed.metrics[key] == run.metrics[key]


CHILD = f"""
import sys, time, keras
from kerascnn.training import trainer
from kerascnn.recipes.recipe import Augmentation, Protocol, Recipe

class Slow(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        time.sleep(0.3)

trainer.train("lenet5", "mnist5k", arguments={SMALL!r}, run=sys.argv[1],
              recipe={replace(RECIPE, keep="best:val_loss")!r}, callbacks=[Slow()])
"""


@pytest.mark.slow
def test_interrupted_it_leaves_the_best_so_far_and_goes_on_from_where_it_was(best, tmp_path):
    run, epochs = best
    kept = run.metrics["epoch"]

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == kept + 1:
                os.kill(os.getpid(), signal.SIGTERM)

    console = Console(file=io.StringIO(), width=200)
    recipe = replace(RECIPE, keep="best:val_loss")
    with contextlib.suppress(SystemExit):
        trained(tmp_path / "run", recipe, console, callbacks=[Stop()], record=True)
    assert f"The model of epoch {kept}, the best so far, was saved" in console.file.getvalue()
    found = Run.open(tmp_path / "run")
    assert found.metrics["epoch"] == kept
    assert_same(found.model().get_weights(), epochs[kept - 1])
    resumed = trainer.resume(found.path, console=Console(quiet=True))
    assert_same(resumed.model().get_weights(), run.model().get_weights())


def test_two_replicas_keep_the_best(two_devices, tmp_path):
    run = trained(tmp_path / "run", replace(PLAIN, keep="best"), strategy="mirrored:2")
    kept = first_lowest(run, "val_error")
    assert run.metrics["epoch"] == kept
    assert run.metrics["val_error"] == run.history[kept - 1]["val_error"]
    assert run.evaluate(echo=None)["error"] == pytest.approx(run.metrics["test_error"], abs=1e-9)


@pytest.mark.slow
def test_patience_ends_at_the_same_epoch_after_an_interruption(tmp_path):
    """A pure function of the history: neither a kill nor a resume moves it."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    recipe = replace(PLAIN, early_stopping=2, epochs=30, monitor="val_loss")
    console = Console(file=io.StringIO(), width=200)
    whole = trained(tmp_path / "whole", recipe, console)
    ended, kept = len(whole.history), first_lowest(whole, "val_loss")
    assert ended == kept + 2 < 30
    assert f"Stopped after epoch {ended} of 30: val_loss has not improved since epoch {kept}." in (
        console.file.getvalue()
    )
    assert whole.metrics["epoch"] == ended, "keep says which epoch is saved, patience when to end"
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "part", recipe, callbacks=[Stop()], record=True)
    part = trainer.resume(tmp_path / "part", console=Console(quiet=True))
    assert len(part.history) == ended
    assert_same(part.model().get_weights(), whole.model().get_weights())


def test_which_way_is_better_is_known_or_said():
    rows = [
        {"val_error": 0.3, "val_loss": 3.0, "val_f1": 0.2, "error": 0.0},
        {"val_error": 0.2, "val_loss": 2.0, "val_f1": 0.9, "error": 0.1},
        {"val_error": 0.2, "val_loss": 1.0, "val_f1": 0.1, "error": 0.2},
        {"val_error": 0.9, "val_loss": float("nan"), "val_f1": 0.1, "error": 0.3},
    ]
    for monitor, epoch in {
        "val_error": 2,  # the first of equals
        "val_accuracy": 2,
        "max:val_accuracy": 2,
        "min:val_accuracy": 4,
        "val_loss": 3,  # NaN is no improvement
        "error": 1,
        "max:val_f1": 2,
        "min:val_f1": 3,
    }.items():
        assert best_epoch(rows, Recipe(monitor=monitor)) == epoch, monitor
    assert best_epoch([{"val_error": float("nan")}], Recipe(monitor="val_error")) == 0
    patient = Recipe(early_stopping=2, monitor="val_error")
    assert [out_of_patience(rows[:n], patient) for n in range(5)] == [False] * 4 + [True]
    assert monitored("val_loss") == ("val_loss", 1)
    for wrong in ("", "max:", "up:val_f1"):
        with pytest.raises(ArgumentError, match="monitor must be the name of a measure"):
            Recipe(monitor=wrong)
    assert CLASSIFICATION.monitor(None) == CLASSIFICATION.monitor("val_error") == "val_error"
    for unknown in ("val_f1", "best"):
        with pytest.raises(ArgumentError, match=r"one of .*val_error.* say which way is better"):
            CLASSIFICATION.monitor(unknown)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keep": "first"}, "keep must be .*best:val_loss"),
        ({"keep": "last:val_loss"}, "keep must be"),
        ({"keep": "best:val f1"}, "monitor must be the name of a measure"),
        ({"early_stopping": 0}, r"early_stopping \(--patience\) must be positive"),
    ],
)
def test_what_can_not_be_kept_is_refused(fields, message):
    with pytest.raises(ArgumentError, match=message):
        Recipe(**fields)


def test_without_validation_images_it_is_refused_before_a_directory_is_made(tmp_path):
    data = load("mnist5k", input_shape=(32, 32, 1), echo=None)
    data = replace(data, validation=ArraySplit(np.zeros((0, 32, 32, 1), "uint8"), np.zeros(0)))
    for options in ({"keep": "best"}, {"patience": 3}, {"keep": "best:val_loss"}):
        with pytest.raises(DataError, match="mnist5k has no validation images"):
            trainer.train("lenet5", data, run=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


# Callbacks.


def test_early_stopping_of_keras_restores_what_is_evaluated_and_saved(tmp_path):
    """With averaged weights: those are what the validation error was of."""
    seen = Weights()
    stop = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    console = Console(file=io.StringIO(), width=200)
    run = trained(tmp_path / "run", RECIPE, console, callbacks=[seen, stop], epochs=30)
    kept = stop.best_epoch + 1
    assert len(run.history) == kept + 2 < 31
    assert_same(run.model().get_weights(), seen.epochs[kept - 1])
    assert run.metrics["epoch"] == kept
    assert run.metrics["val_error"] == run.history[kept - 1]["val_error"]
    assert run.evaluate(echo=None)["error"] == pytest.approx(run.metrics["test_error"], abs=1e-9)
    assert f"they are those of epoch {kept}" in console.file.getvalue()


class Swap(keras.callbacks.Callback):
    """Leaves the mean of all epochs' weights, as stochastic weight averaging does."""

    def on_train_begin(self, logs=None):
        self.sums, self.count = [0.0] * len(self.model.weights), 0

    def on_epoch_end(self, epoch, logs=None):
        self.sums = [a + b for a, b in zip(self.sums, self.model.get_weights())]
        self.count += 1

    def on_train_end(self, logs=None):
        self.model.set_weights([total / self.count for total in self.sums])


class Fails(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        raise OSError("the server is gone")


def test_what_a_callback_leaves_at_the_end_is_evaluated_and_another_may_fail(tmp_path):
    """Hours of training are not lost to a logger; whose error is raised in the end."""
    swap, console = Swap(), Console(file=io.StringIO(), width=200)
    with pytest.raises(OSError, match="the server is gone"):
        trained(tmp_path / "run", PLAIN, console, callbacks=[Fails(), swap], epochs=3)
    run = Run.open(tmp_path / "run")
    assert run.finished
    assert_same(run.model().get_weights(), [total / 3 for total in swap.sums])
    assert run.metrics["epoch"] is None, "of no epoch"
    assert run.metrics["val_loss"] not in [row["val_loss"] for row in run.history]
    assert run.evaluate(echo=None)["error"] == pytest.approx(run.metrics["test_error"], abs=1e-9)
    assert "of no single epoch" in console.file.getvalue()
    assert "A callback has failed at the end of training (OSError" in console.file.getvalue()


def test_kerass_own_callbacks_work_on_the_model_that_is_saved(tmp_path):
    """Their files, whole and weights alone, are what model.keras is, at each epoch."""
    kinds, seen = keras.callbacks, Weights()
    run = trained(
        tmp_path / "run",
        replace(RECIPE, schedule="constant"),
        callbacks=[
            seen,
            kinds.ModelCheckpoint(str(tmp_path / "all-{epoch}.keras")),
            kinds.ModelCheckpoint(
                str(tmp_path / "best.weights.h5"),
                "val_accuracy",
                save_best_only=True,
                save_weights_only=True,
            ),
            kinds.ReduceLROnPlateau("val_error", factor=0.5, patience=1),
            kinds.CSVLogger(str(tmp_path / "log.csv")),
            kinds.TensorBoard(str(tmp_path / "board")),
            kinds.TerminateOnNaN(),
        ],
        epochs=4,
    )
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), "uint8")
    last = keras.models.load_model(tmp_path / "all-4.keras")
    saved = run.model()
    np.testing.assert_array_equal(last.predict(images, verbose=0), saved.predict(images, verbose=0))
    np.testing.assert_allclose(last.predict(images, verbose=0).sum(-1), 1, atol=1e-5)
    for epoch, weights in enumerate(seen.epochs, 1):
        assert_same(keras.models.load_model(tmp_path / f"all-{epoch}.keras").get_weights(), weights)
    saved.load_weights(tmp_path / "best.weights.h5")
    assert_same(saved.get_weights(), seen.epochs[first_lowest(run, "val_error") - 1])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_a_rate_that_a_callback_has_set_is_in_the_checkpoint(tmp_path):
    """A resumed run goes on with it, without the callback."""

    class Lower(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.001

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", CONSTANT, callbacks=[Lower(), Stop()], record=True, epochs=2)
    run = trainer.resume(tmp_path / "run", console=Console(quiet=True))
    assert [row["learning_rate"] for row in run.history] == pytest.approx([0.1, 0.001])


class SetsTheRate(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.01


@pytest.mark.parametrize(
    ("callback", "changes", "message"),
    [
        (keras.callbacks.ReduceLROnPlateau(), {"schedule": "cosine"}, "schedule 'cosine'"),
        (keras.callbacks.ReduceLROnPlateau(), {"schedule": "plateau"}, "schedule 'plateau'"),
        (
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
            {"warmup_epochs": 1.0},
            "1 epochs of warm-up",
        ),
        (keras.callbacks.BackupAndRestore("backup"), {}, "train --resume RUN"),
        (keras.callbacks.SwapEMAWeights(), {}, "--ema"),
        ("EarlyStopping", {}, "must be keras.callbacks.Callback"),
    ],
)
def test_callbacks_that_can_not_work_are_refused_by_name_before_training(
    tmp_path, callback, changes, message
):
    with pytest.raises(ArgumentError, match=message) as raised:
        trained(tmp_path / "run", replace(CONSTANT, **changes), callbacks=[callback])
    assert (callback if isinstance(callback, str) else type(callback).__name__) in str(raised.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_callback_of_ones_own_that_sets_the_rate_under_a_schedule_is_named(tmp_path, schedule):
    """Before the first update; Keras raises a TypeError, or the rate is set back in silence."""
    with pytest.raises(ArgumentError, match=f"SetsTheRate sets .*'{schedule}' sets too"):
        trained(tmp_path / "run", replace(CONSTANT, schedule=schedule), callbacks=[SetsTheRate()])


def test_what_a_callback_logs_is_in_the_history_and_can_be_kept_by(tmp_path):
    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch:
                logs["val_score"] = [0.0, 0.3, 0.9, 0.5][epoch]
            logs["note"] = "no number"

    recipe = replace(PLAIN, keep="best:max:val_score", epochs=4)
    with pytest.raises(ArgumentError, match=r"nothing logs 'val_score'.*Logged: loss, error"):
        trained(tmp_path / "first", recipe)

    class Early(Score):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            logs.setdefault("val_score", 0.1)

    run = trained(tmp_path / "run", recipe, callbacks=[Early()])
    assert run.metrics["epoch"] == 3
    assert run.metrics["val_score"] == 0.9
    assert [row["val_score"] for row in run.history] == [0.1, 0.3, 0.9, 0.5]
    late = trained(tmp_path / "late", replace(PLAIN, epochs=2), callbacks=[Score()])
    assert ["val_score" in row for row in late.history] == [False, True]
    assert "note" not in json.dumps(late.history)


def test_callbacks_may_be_one_or_none_as_in_keras(tmp_path):
    run = trained(tmp_path / "one", CONSTANT, callbacks=SetsTheRate(), epochs=1)
    assert run.history[0]["learning_rate"] == pytest.approx(0.01)
    assert trained(tmp_path / "none", CONSTANT, callbacks=None, epochs=1).finished


def test_a_measure_that_was_never_a_number_is_told(tmp_path):
    """Nothing is the best then; the last epoch is kept, and that is said."""

    class Nothing(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = float("nan")

    output = io.StringIO()
    recipe = replace(PLAIN, keep="best:max:score", epochs=2)
    run = trained(
        tmp_path / "run", recipe, callbacks=[Nothing()], console=Console(file=output, width=200)
    )
    assert run.metrics["epoch"] == 2
    assert "max:score was a number in no epoch, so the last one is kept." in output.getvalue()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True])
def test_a_seed_that_numpy_does_not_know_is_refused_before_anything(tmp_path, seed):
    with pytest.raises(ArgumentError, match="seed must be a whole number from 0 to 4,294,967,295"):
        trainer.train("lenet5", "mnist5k", seed=seed, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
