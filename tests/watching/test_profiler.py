"""The profiler traces the steps that were asked for, and no others."""

import io

import keras
import pytest
import tensorflow as tf
from rich.console import Console

from kerascnn.commands.options import parse_steps
from kerascnn.errors import ArgumentError
from kerascnn.training.trainer import train
from kerascnn.watching.profiler import Profiler


@pytest.mark.parametrize("text", ["20", "30:20", "5:5", "a:b", "-1:4", "1:2:3"])
def test_steps_that_are_none_are_refused(text):
    with pytest.raises(ArgumentError, match="20:30"):
        parse_steps(text)


def test_only_the_steps_that_were_asked_for_are_traced(monkeypatch, tmp_path):
    """Epochs of 4 steps, steps 2 to 5: from the third step of the first to the second's second."""
    seen = []
    step = [0]
    trace = tf.profiler.experimental
    monkeypatch.setattr(trace, "start", lambda directory: seen.append(("start", step[0])))
    monkeypatch.setattr(trace, "stop", lambda: seen.append(("stop", step[0])))
    profiler = Profiler(tmp_path, parse_steps("2:6"), epoch_steps=4)
    for epoch in range(3):
        profiler.on_epoch_begin(epoch)
        for batch in range(4):
            profiler.on_train_batch_begin(batch)
            step[0] += 1
            profiler.on_train_batch_end(batch)
    profiler.on_train_end()
    assert seen == [("start", 2), ("stop", 6)]


def test_steps_that_were_never_run_are_said(tmp_path):
    told = []
    Profiler(tmp_path, (20, 30), 4, told.append).on_train_end()
    assert told == ["No trace: none of the steps 20 to 29 was run."]


class Calls(keras.callbacks.Callback):
    """The steps of the run after which a call of several ended."""

    def __init__(self):
        super().__init__()
        self.ends, self.epoch = [], 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(5 * self.epoch + batch + 1)


def test_a_training_leaves_a_trace_for_tensorboard(tmp_path):
    """And its calls of many steps end where the trace begins and ends."""
    calls, shown = Calls(), io.StringIO()
    run = train(
        "lenet5",
        "mnist5k",
        arguments={"widths": (2, 4), "hidden": (8,)},
        batch_size=700,
        epochs=2,
        run=tmp_path / "run",
        record=False,
        profile=(3, 7),
        callbacks=[calls],
        console=Console(file=shown),
    )
    assert f"trace is in {run.path}/train/plugins/profile" in shown.getvalue()
    (trace,) = (run.path / "train" / "plugins" / "profile").glob("*/*.xplane.pb")
    assert b"Conv2D" in trace.read_bytes(), "the trace has the operations of a step"
    assert {3, 7} <= set(calls.ends)
