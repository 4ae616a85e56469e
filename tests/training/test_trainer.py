"""A run from the first epoch to the last, interrupted, killed, resumed and refused."""

import dataclasses
import io
import json
import os
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from rich.console import Console

import kerascnn
from kerascnn.distribution import signals
from kerascnn.errors import (
    ArgumentError,
    DataError,
    InputSizeError,
    RunError,
    StrategyError,
    TrainingError,
)
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.runs import checkpoints
from kerascnn.runs.directory import is_alive
from kerascnn.runs.run import Run
from kerascnn.training import trainer

# Dropout and augmentation are in it, because their random states are what resuming forgets.
RECIPE = Recipe(
    optimizer="adam",
    batch_size=500,
    epochs=3,
    augmentation=Augmentation(shift=0.1, rotation=10),
)
SMALL = {"widths": (2, 4), "hidden": (16,), "dropout": 0.3}


@pytest.fixture
def quiet():
    return Console(quiet=True)


def small_run(path, console, *, data="mnist5k", **options):
    settings = {"arguments": SMALL, "recipe": RECIPE, **options}
    return trainer.train("lenet5", data, run=path, console=console, **settings)


def final_state(run):
    """Every variable of the last checkpoint, the optimizer's and the generators' included."""
    newest = sorted((run.path / "checkpoints").glob("*.npz"))[-1]
    assert newest.stem == "epoch-00003"
    with np.load(newest) as file:
        return {key: file[key] for key in file.files}


def assert_same_state(one, two):
    assert one.keys() == two.keys()
    assert any("seed_generator" in key for key in one)
    for key in one:
        np.testing.assert_array_equal(one[key], two[key], err_msg=key)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run, and what it printed."""
    console = Console(record=True, width=120, file=io.StringIO())
    return small_run(tmp_path_factory.mktemp("runs") / "whole", console), console.export_text()


def test_the_run_directory_holds_what_it_promises(finished):
    run, _ = finished
    for name in ("config.json", "model.keras", "metrics.json", "history.csv", "curves.png"):
        assert (run.path / name).stat().st_size > 0, name
    assert all(any((run.path / part).glob("events.*")) for part in ("train", "validation"))
    checkpoints = sorted(p.name for p in (run.path / "checkpoints").iterdir())
    assert checkpoints == ["epoch-00002.npz", "epoch-00003.npz"]
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    assert run.finished


def test_the_config_is_enough_to_do_it_again(finished, tmp_path, quiet):
    """Bit for bit, from config.json alone."""
    run, _ = finished
    config = run.config
    again = trainer.train(
        config.name,
        config.data.source,
        arguments=config.architecture.arguments,
        recipe=config.recipe,
        strategy=config.strategy,
        seed=config.seed,
        run=tmp_path / "again",
        console=quiet,
    )
    assert_same_state(final_state(run), final_state(again))
    assert set(config.versions) >= {"kerascnn", "keras", "tensorflow", "numpy", "python"}


def test_every_conversion_and_remainder_is_said_once(finished):
    _, printed = finished
    assert printed.count("padded") == 1
    assert "don't fill a batch" not in printed, "3,500 images are 7 batches of 500"


def test_the_saved_model_gives_the_reported_test_error(finished):
    """Read back from disk, in inference mode, each of the 1,000 test images once."""
    run, _ = finished
    found = run.evaluate()
    assert found["images"] == 1000
    assert found["error"] == pytest.approx(run.metrics["test_error"], abs=1e-9)
    assert found["loss"] == pytest.approx(run.metrics["test_loss"], rel=1e-5)
    dataset = kerascnn.data.load("mnist5k", input_shape=(32, 32, 1), echo=None)
    images, labels = next(dataset.test.batches(1000).as_numpy_iterator())
    probabilities = run.predict(images)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    assert np.mean(probabilities.argmax(-1) != labels) == pytest.approx(found["error"], abs=1e-9)


def test_an_interrupted_run_resumes_bit_for_bit(finished, tmp_path, quiet):
    """Ctrl-C in the second epoch: the model is saved, and resuming repeats that epoch."""

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 1 and batch > 2:
                raise KeyboardInterrupt

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        small_run(path, quiet, callbacks=[Interrupt()])
    assert Run.open(path).metrics["interrupted"]
    assert not Run.open(path).finished
    assert Run.open(path).model().output_shape == (None, 10)
    resumed = trainer.resume(path, console=quiet)
    assert_same_state(final_state(resumed), final_state(finished[0]))
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3]
    with pytest.raises(RunError, match="is finished"):
        trainer.resume(path, console=quiet)


def test_a_killed_process_resumes_bit_for_bit(finished, tmp_path):
    """A real process, SIGKILL at a random moment after its first epoch."""
    path = tmp_path / "run"
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    command = [sys.executable, str(script), str(path)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (path / "checkpoints" / "epoch-00001.npz").exists():
        assert child.poll() is None, "the child ended before its first epoch did"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.4))
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "it was to be killed before its end"
    assert json.loads((path / "config.json").read_text())["name"] == "lenet5"
    done = subprocess.run(
        [sys.executable, "-m", "kerascnn", "train", "--resume", str(path), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["epochs"] == 3
    assert_same_state(final_state(Run.open(path)), final_state(finished[0]))


CHILD = f"""
import sys, time, keras
from kerascnn.training import trainer
from kerascnn.recipes.recipe import Augmentation, Protocol, Recipe

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.2)

trainer.train("lenet5", "mnist5k", arguments={SMALL!r}, recipe={RECIPE!r}, run=sys.argv[1],
              callbacks=[Slow()])
"""


class Signal(keras.callbacks.Callback):
    """Sends this process a signal in the second epoch, after its first call of updates."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1:
            os.kill(os.getpid(), self.number)


AVERAGED = dataclasses.replace(
    RECIPE,
    batch_size=250,
    accumulation=2,
    ema=0.9,
    freeze_epochs=1,
    thaw_epochs=1,
    trunk_rate=0.5,
)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A whole run with averaged weights, accumulation, and stages that thaw one by one, slowed."""
    path = tmp_path_factory.mktemp("runs") / "averaged"
    return small_run(path, Console(quiet=True), recipe=AVERAGED)


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (signal.SIGTERM, signals.Terminated),
        pytest.param(signal.SIGINT, KeyboardInterrupt, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_within_an_epoch_and_costs_no_update(
    averaged, tmp_path, number, outcome, monkeypatch
):
    """The state is saved where it was; what goes on from there ends with the same bits.

    SIGTERM comes once more while it is saved: schedulers repeat it.
    """
    save = checkpoints.save

    def asked_again(directory, position, variables):
        if position.update and number == signal.SIGTERM:
            os.kill(os.getpid(), number)
        return save(directory, position, variables)

    monkeypatch.setattr(checkpoints, "save", asked_again)
    path, console = tmp_path / "run", Console(record=True, width=200, file=io.StringIO())
    with pytest.raises(outcome) as raised:
        small_run(path, console, recipe=AVERAGED, callbacks=[Signal(number)])
    if number == signal.SIGTERM:
        assert raised.value.code == 143
    assert f"kerascnn train --resume {path}" in console.export_text()
    kept = {p.name for p in (path / "checkpoints").iterdir()}
    assert kept == {"epoch-00001.npz", "epoch-00001-update-0000001.npz"}
    assert Run.open(path).metrics["interrupted"]
    resumed = trainer.resume(path, console=console)
    assert "after epoch 1 of 3 and 1 of 7 updates" in console.export_text()
    assert_same_state(final_state(resumed), final_state(averaged))
    for ours, whole in zip(resumed.history, averaged.history, strict=True):
        assert ours["loss"] == pytest.approx(whole["loss"], rel=1e-12), "each image counted once"


def test_the_saved_model_has_the_averaged_weights(averaged):
    """Validation and the test error are theirs, too; training has gone on with the raw ones."""
    state = final_state(averaged)
    average = [v for k, v in sorted(state.items()) if k.startswith("average/")]
    saved = averaged.model()
    for ours, kept in zip(saved.weights, average, strict=True):
        np.testing.assert_array_equal(ours.numpy(), kept)
    raw = [v for k, v in sorted(state.items()) if k.startswith("model/") and "kernel" in k]
    assert any(np.any(a != r) for a, r in zip([a for a in average if a.ndim > 1], raw))
    assert averaged.evaluate()["error"] == pytest.approx(averaged.metrics["test_error"], abs=1e-9)


def test_only_the_classifier_learns_at_first(tmp_path):
    """Not even the statistics of batch normalization move elsewhere."""
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 5, strides=4, name="conv")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5, name="bn")(x))
    model = keras.Model(inputs, keras.layers.Dense(10, name="head")(keras.layers.Flatten()(x)))
    before = {w.path: w.numpy() for w in model.weights}
    recipe = Recipe(batch_size=500, epochs=2, freeze_epochs=2, schedule="constant")
    console = Console(file=io.StringIO(), width=200)
    place = tmp_path / "run"
    trainer.train(model, "mnist5k", recipe=recipe, run=place, record=False, console=console)
    assert "Throughout, only the classifier learns (freeze_epochs=2)." in console.file.getvalue()
    moved = {w.path.split("/")[0] for w in model.weights if np.any(w.numpy() != before[w.path])}
    assert moved == {"head"}
    assert all(layer.trainable for layer in model.layers), "the saved model is not left frozen"


def test_a_directory_in_which_a_process_trains_is_refused(finished, tmp_path, quiet):
    """A second process would write the same checkpoints; `kerascnn runs` sees it is alive."""

    class Second(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert is_alive(path)
            with pytest.raises(RunError, match="Another process is training"):
                trainer.resume(path, console=quiet)
            with pytest.raises(RunError, match="Another process is training"):
                small_run(path, quiet, overwrite=True)

    path = tmp_path / "run"
    small_run(path, quiet, epochs=1, record=False, callbacks=[Second()])
    assert not is_alive(path)
    assert not is_alive(tmp_path)


def test_fewer_images_than_replicas_leave_no_run_behind(tmp_path, quiet, two_devices):
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), "uint8")
    np.savez(tmp_path / "one.npz", images=images, labels=np.arange(40) % 2)
    with pytest.raises(DataError, match="can't be shared between 2 replicas"):
        small_run(
            tmp_path / "run",
            quiet,
            data=f"npz:{tmp_path / 'one.npz'}",
            batch_size=1,
            strategy="mirrored:2",
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_replicas_resume_bit_for_bit(two_devices, tmp_path, quiet):
    """Each replica's dropout goes on where it was."""
    whole = small_run(tmp_path / "whole", quiet, strategy="mirrored:2")

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_run(tmp_path / "part", quiet, strategy="mirrored:2", callbacks=[Stop()])
    part = trainer.resume(tmp_path / "part", console=quiet)
    assert_same_state(final_state(whole), final_state(part))
    assert part.evaluate()["error"] == pytest.approx(part.metrics["test_error"], abs=1e-9)


def test_data_that_changed_is_refused_on_resume(finished, tmp_path, quiet):
    run, _ = finished
    path = tmp_path / "run"
    path.mkdir()
    dataclasses.replace(
        run.config, data=dataclasses.replace(run.config.data, fingerprint="0" * 64)
    ).write(path)
    with pytest.raises(RunError, match="has changed since"):
        trainer.resume(path, console=quiet)


def test_a_run_whose_split_was_made_by_an_older_rule_says_so(finished, tmp_path, quiet):
    """Its images would fall on other sides today: that is no change of the data."""
    run, _ = finished
    images, labels = np.zeros((40, 32, 32), "uint8"), np.arange(40) % 10
    images += np.arange(40, dtype="uint8")[:, None, None]
    np.savez(tmp_path / "set.npz", images=images, labels=labels)
    config = json.loads((run.path / "config.json").read_text())
    config["data"] |= {"source": f"npz:{tmp_path / 'set.npz'}", "fingerprint": "0" * 64}
    del config["data"]["split_rule"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"by an older kerascnn, which took .* by another rule"):
        trainer.resume(tmp_path / "run", console=quiet)


def test_a_loss_that_is_not_a_number_stops_with_a_hint(tmp_path, quiet):
    wild = Recipe(optimizer="sgd", learning_rate=1e38, schedule="constant", batch_size=500)
    with pytest.raises(TrainingError, match=r"step \d+ of epoch 1, with a learning rate of") as e:
        small_run(tmp_path / "run", quiet, recipe=wild)
    assert "--clip-norm" in str(e.value)
    assert "--learning-rate 1e+37" in str(e.value)


def test_a_users_model_with_a_softmax_trains_like_logits(tmp_path, quiet, two_devices):
    """Built outside of any scope, trained on two replicas."""
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 5, strides=4, activation="relu")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.5)(x)
    outputs = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(x))
    model = keras.Model(inputs, outputs, name="mine")
    run = trainer.train(
        model,
        "mnist5k",
        recipe=Recipe(optimizer="adam", learning_rate=0.01, batch_size=250, epochs=2),
        strategy="mirrored:2",
        run=tmp_path / "run",
        record=False,
        console=quiet,
    )
    assert run.metrics["test_error"] < 0.3
    assert not any(getattr(layer, "synchronized", False) for layer in run.model().layers)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"arguments": {"width": 3}}, ArgumentError, "has no argument 'width'"),
        ({"precision": "float8"}, ArgumentError, "precision must be one of"),
        ({"epochs": 0}, ArgumentError, "epochs must be positive"),
        ({"strategy": "mirrored:2", "jit": True}, StrategyError, "XLA .* can't be combined"),
    ],
)
def test_what_can_not_work_is_refused_by_name(
    tmp_path, quiet, two_devices, options, error, message
):
    with pytest.raises(error, match=message):
        small_run(tmp_path / "run", quiet, **options)
    assert not (tmp_path / "run").exists(), "the next attempt may use the same directory"


def dense(outputs, activation=None, shape=(28, 28, 1)):
    layers = [keras.layers.Flatten(), keras.layers.Dense(outputs, activation=activation)]
    return keras.Sequential([*([keras.Input(shape)] if shape else []), *layers])


@pytest.mark.parametrize(
    ("network", "data", "message"),
    [
        (lambda: 3, "mnist5k", "network must be .* Received: int"),
        (lambda: dense(10, shape=None), "mnist5k", "a built keras.Model .* Received: Sequential"),
        (lambda: dense(10, shape=(784,)), "mnist5k", r"with input \(None, 784\)"),
        (lambda: dense(5), "mnist5k", "The data has 10 classes"),
        (lambda: dense(10, "sigmoid"), "mnist5k", "all logits or all softmax"),
        (lambda: "lenet5", np.zeros((3, 28, 28)), "data must be a source .* Received: ndarray"),
    ],
)
def test_networks_and_data_of_the_wrong_kind_are_refused(tmp_path, quiet, network, data, message):
    with pytest.raises(ArgumentError, match=message):
        trainer.train(network(), data, run=tmp_path / "run", console=quiet)
    assert not (tmp_path / "run").exists()


def test_one_class_is_refused(tmp_path, quiet):
    """A folder one level too high, say: the only score is always right, and nothing is learnt."""
    np.savez(tmp_path / "a.npz", images=np.zeros((20, 28, 28), "uint8"), labels=np.zeros(20, int))
    with pytest.raises(DataError, match="at least 2 classes"):
        trainer.train("lenet5", f"npz:{tmp_path / 'a.npz'}", run=tmp_path / "run", console=quiet)
    assert not (tmp_path / "run").exists()


def test_an_input_that_is_too_small_leaves_no_run_behind(tmp_path, quiet):
    with pytest.raises(InputSizeError, match="Smallest legal height and width: 16×16"):
        small_run(tmp_path / "run", quiet, input_shape=(6, 6, 1))
    assert not (tmp_path / "run").exists()


def test_messages_are_printed_as_they_are():
    """Rich would read markup in `[a]`, draw an emoji for `:ok:`, and break a long line."""
    console = Console(record=True, width=20, file=io.StringIO())
    line = "folder:ok: Left out 1 unreadable image: photos/[a]/3.png"
    trainer.sayer(console)(line)
    assert console.export_text() == line + "\n"


def test_an_earlier_run_is_not_deleted_unasked(finished, tmp_path, quiet):
    run, _ = finished
    with pytest.raises(RunError, match="holds an earlier run"):
        small_run(run.path, quiet)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="not empty and no run directory"):
        small_run(tmp_path, quiet, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns(tmp_path, quiet, precision):
    recipe = dataclasses.replace(RECIPE, batch_size=125, epochs=1, learning_rate=0.01)
    run = small_run(tmp_path / "run", quiet, precision=precision, recipe=recipe, record=False)
    assert run.metrics["test_error"] < 0.6
    assert run.model().get_layer("logits").compute_dtype == "float32"
