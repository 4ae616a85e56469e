"""The weights of some epochs are kept beside a run, whatever happens to the training."""

import dataclasses
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from rich.console import Console

import kerascnn
from kerascnn.errors import ArgumentError, RunError
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs import checkpoints
from kerascnn.runs.epochs import checked, kept
from kerascnn.training import trainer

RECIPE = Recipe(batch_size=700, epochs=3, ema=0.5, optimizer="adam", learning_rate=1e-3)
SMALL = {"arguments": {"widths": (2, 4), "hidden": (8,), "dropout": 0.3}, "recipe": RECIPE}
KEPT = (0, 1, 3)


class Recorder(keras.callbacks.Callback):
    """What callbacks see of the weights: at the end of an epoch, what it is evaluated with."""

    def __init__(self):
        super().__init__()
        self.weights = {}

    def on_train_begin(self, logs=None):
        self.weights[0] = self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        self.weights[epoch + 1] = self.model.get_weights()


def small_run(path, *, said=None, **options):
    console = Console(file=said or io.StringIO(), width=200)
    return kerascnn.train("lenet5", "mnist5k", run=path, console=console, **{**SMALL, **options})


@dataclasses.dataclass
class Whole:
    """A run, the weights that callbacks saw of it, what was said, and what was kept when.

    `order` has, for each checkpoint, the epochs that were kept before it was made.
    """

    run: kerascnn.Run
    seen: dict
    said: str
    order: dict


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with averaged weights."""
    recorder, said, order = Recorder(), io.StringIO(), {}
    path = tmp_path_factory.mktemp("kept") / "whole"
    save = checkpoints.save

    def watched(directory, position, variables):
        order[position.epoch] = kept(path)
        return save(directory, position, variables)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "save", watched)
        run = small_run(path, keep_epochs=KEPT, callbacks=[recorder], said=said)
    return Whole(run, recorder.weights, said.getvalue(), order)


def assert_equal_weights(model, expected):
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def last_state(run):
    with np.load(run.path / "checkpoints" / "epoch-00003.npz") as file:
        return {key: file[key] for key in file.files if key != "position"}


def test_a_kept_epoch_has_the_weights_that_it_was_evaluated_with(whole):
    run, seen = whole.run, whole.seen
    assert run.kept_epochs == run.config.keep_epochs == KEPT
    for epoch in KEPT:
        assert_equal_weights(run.model(epoch=epoch), seen[epoch])
    assert_equal_weights(run.model(epoch=3), run.model().get_weights())
    averages = [value for key, value in last_state(run).items() if key.startswith("average/")]
    assert_equal_weights(run.model(epoch=3), averages)


def test_what_is_kept_and_how_large_it_is_is_said_before_training(whole):
    run, said = whole.run, whole.said
    files = f"Kept in {run.path / 'epochs'}: the model after epochs 0, 1, 3; 3 files with"
    assert said.index(files) < said.index("epoch 1/3")
    parameters = run.metrics["trainable_params"]
    assert f"{4 * parameters / 1024:.0f} KiB of weights each." in said


def test_keeping_epochs_changes_no_bit_of_the_training(whole, tmp_path):
    """Dropout and the averages go on as if nobody had looked."""
    without = small_run(tmp_path / "without", record=False)
    assert without.kept_epochs == ()
    assert not (without.path / "epochs").exists()
    assert_equal_weights(without.model(), whole.seen[3])
    losses = [[row["loss"] for row in run.history] for run in (whole.run, without)]
    assert losses[0] == losses[1]


def test_an_epoch_is_kept_before_its_checkpoint_so_that_it_cannot_be_lost(whole):
    """Who is killed in between does the epoch again; later it would never be made."""
    assert whole.order == {0: (), 1: (0, 1), 2: (0, 1), 3: (0, 1, 3)}


def test_the_same_again_keeps_the_same_epochs(whole, monkeypatch):
    monkeypatch.setattr(trainer, "train", lambda *_, **options: options)
    asked = trainer.repeat(whole.run.path, console=Console(quiet=True))
    assert (asked["keep_epochs"], asked["explain"]) == (KEPT, False)


def test_an_epoch_that_is_kept_twice_is_kept_once():
    assert checked((5, 1, 5, np.int64(0)), 5) == (0, 1, 5)
    assert checked(range(3), 5) == (0, 1, 2)


@pytest.mark.parametrize(
    ("epochs", "received"),
    [((1, 4), "4"), ((-1,), "-1"), ((1.0,), "1.0"), ((True,), "True"), ("12", "'12'"), (2, None)],
)
def test_what_is_no_epoch_of_the_recipe_is_refused_before_anything(tmp_path, epochs, received):
    if received is None:
        assert checked(epochs, 3) == (2,), "a single one needs no list"
        return
    with pytest.raises(ArgumentError, match=rf"recipe's last, 3\. Received: {received}\."):
        small_run(tmp_path / "run", keep_epochs=epochs)
    assert not (tmp_path / "run").exists()


def test_an_epoch_that_was_not_kept_is_refused_with_those_that_were(whole, tmp_path):
    run = whole.run
    with pytest.raises(RunError, match=r"not kept .* epoch 2\. It has epochs 0, 1, 3\."):
        run.model(epoch=2)
    shutil.copytree(run.path, tmp_path / "bare", ignore=shutil.ignore_patterns("epochs"))
    with pytest.raises(RunError, match="It has kept none"):
        kerascnn.Run(tmp_path / "bare").model(epoch=1)


def test_a_damaged_kept_epoch_is_refused_in_one_message(whole, tmp_path):
    shutil.copytree(whole.run.path, tmp_path / "run")
    run = kerascnn.Run(tmp_path / "run")
    first, last = (run.path / "epochs" / f"epoch-0000{epoch}.keras" for epoch in (1, 3))
    first.write_bytes(first.read_bytes()[:-2000])
    with pytest.raises(RunError, match=r"epoch-00001\.keras can't be loaded") as raised:
        run.model(epoch=1)
    assert "\n" not in str(raised.value)
    shutil.move(last, tmp_path / "elsewhere.keras")
    last.symlink_to(tmp_path / "elsewhere.keras")
    with pytest.raises(RunError, match="link out of"):
        run.model(epoch=3)
    assert run.model(epoch=0).count_params() == run.metrics["trainable_params"]


@pytest.mark.slow
def test_two_devices_keep_a_model_that_loads_on_one(two_devices, tmp_path):
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(2, 5, strides=4, name="conv")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.5, name="bn")(x)
    model = keras.Model(inputs, keras.layers.Dense(10, name="head")(keras.layers.Flatten()(x)))
    before, recorder = model.get_weights(), Recorder()
    run = kerascnn.train(
        model,
        "mnist5k",
        recipe=dataclasses.replace(RECIPE, epochs=2),
        keep_epochs=(0, 1),
        strategy="mirrored:2",
        record=False,
        callbacks=[recorder],
        run=tmp_path / "run",
        console=Console(quiet=True),
    )
    assert_equal_weights(run.model(epoch=0), before)
    early = run.model(epoch=1)
    assert_equal_weights(early, recorder.weights[1])
    assert not early.get_layer("bn").synchronized


def test_what_training_ended_too_early_for_is_said(tmp_path):
    class End(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    said = io.StringIO()
    settings = {"callbacks": [End()], "said": said, "record": False}
    run = small_run(tmp_path / "run", keep_epochs=(1, 2, 3), **settings)
    assert run.kept_epochs == (1,)
    assert "Training has ended before epochs that were to be kept: 2, 3." in said.getvalue()


CHILD = f"""
import sys, time, keras, kerascnn
from kerascnn.recipes.recipe import Augmentation, Protocol, Recipe

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.3)

kerascnn.train("lenet5", "mnist5k", run=sys.argv[1], keep_epochs={KEPT}, callbacks=[Slow()],
               arguments={SMALL["arguments"]!r}, recipe={RECIPE!r})
"""


def wait_for(condition, process):
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, "it has ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_process_has_kept_its_epochs_and_keeps_the_later_ones(whole, tmp_path):
    """SIGKILL in the second epoch; resumed from the command line, as users do."""
    run = kerascnn.Run(tmp_path / "run")
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(run.path)], stdout=subprocess.DEVNULL
    )
    wait_for((run.path / "checkpoints" / "epoch-00001.npz").exists, child)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert run.kept_epochs == (0, 1)
    (run.path / "epochs" / ".partial-x.keras").touch()  # as if it had been killed while writing
    times = {path: path.stat().st_mtime_ns for path in (run.path / "epochs").glob("epoch-*")}
    command = [sys.executable, "-m", "kerascnn", "train", "--resume", str(run.path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["epochs"] == 3
    assert run.kept_epochs == KEPT
    assert len(list((run.path / "epochs").iterdir())) == len(KEPT), "nothing half-written stays"
    assert all(path.stat().st_mtime_ns == when for path, when in times.items())
    for epoch in KEPT:
        assert_equal_weights(run.model(epoch=epoch), whole.seen[epoch])


@pytest.mark.slow
def test_the_chief_of_two_workers_keeps_what_one_process_would(tmp_path):
    """And draws what it has learned, while the other worker waits."""
    small = {"arguments": {"widths": (2, 4), "hidden": (8,)}, "precision": "float64"}
    own = recipe_book.own(kerascnn.get("lenet5"))
    recipe = dataclasses.replace(own, epochs=3, batch_size=700, ema=0.5)
    one = small_run(tmp_path / "one", recipe=recipe, keep_epochs=KEPT, record=False, **small)
    train = "train lenet5 --set widths=2,4 --set hidden=8, --epochs 3 --batch-size 700 --ema 0.5"
    words = [*train.split(), "--precision", "float64", "--keep-epochs", "0,1,3", "--explain"]
    path = tmp_path / "two"
    done = subprocess.run(
        [sys.executable, "-m", "kerascnn", "launch", "-n", "2", *words, "--run", str(path)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = kerascnn.Run(path)
    assert one.kept_epochs == two.kept_epochs == KEPT
    assert [sheet.name for sheet in (path / "explain").iterdir()] == ["layer-C1.png"]
    for epoch in KEPT:
        pairs = zip(one.model(epoch=epoch).get_weights(), two.model(epoch=epoch).get_weights())
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
