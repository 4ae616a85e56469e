"""The progress display says what the logs say, on a terminal and in a file, and never hurts."""

import io
import re
import sys
import threading
import time
import types

import keras
import numpy as np
import pytest

from kerascnn.console import Console
from kerascnn.tasks.classification import ERROR
from kerascnn.tasks.measure import Measure
from kerascnn.watching.progress import Progress


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=90, color_system=None)


def text(console):
    """What was written, without the terminal's control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue()).replace("\r", "")


def small_fit(progress, **options):
    """A real fit: 64 examples, batches of 8, two epochs."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    x, y = np.ones((64, 4)), np.arange(64) % 3
    return model.fit(
        x, y, batch_size=8, epochs=2, verbose=0, validation_data=(x, y), callbacks=[progress]
    )


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_plain_output_has_one_line_per_epoch_with_the_logs_values(steps_per_execution):
    plain = console(terminal=False)
    progress = Progress(2, 8, 8, plain, measure=ERROR)
    history = small_fit(progress, steps_per_execution=steps_per_execution).history
    lines = text(plain).splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines):
        assert line.startswith(f"epoch {epoch + 1}/2  loss {history['loss'][epoch]:.4f} ")
        assert f"error {1 - history['accuracy'][epoch]:6.2%}  val " in line
        assert f"val {history['val_loss'][epoch]:.4f} " in line
        assert re.search(r"  +[\d,]+ images/s  +\d+(\.\d)? s$", line)


def test_terminal_output_draws_a_bar_and_leaves_the_epochs_lines():
    terminal = console(terminal=True)
    small_fit(Progress(2, 8, 8, terminal, measure=ERROR))
    shown = text(terminal)
    assert "━" in shown
    assert len(re.findall(r"epoch \d/2  loss .* images/s  +\d+(?:\.\d)? s\n", shown)) == 2
    assert terminal.file.getvalue().rstrip().endswith("\x1b[2K")  # the bar is gone in the end


def test_live_display_counts_steps_and_estimates_the_time_left(monkeypatch):
    """100 images in each second, 2 epochs of 10 steps of 50: after 14 steps 3 s are left."""
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    terminal = console(terminal=True)
    progress = Progress(2, 10, 50, terminal, measure=ERROR)
    for epoch, steps in ((0, 10), (1, 4)):
        progress.on_epoch_begin(epoch)
        for step in range(steps):
            now += 0.5
            progress.on_train_batch_end(step, {"loss": 0.25, "error": 0.125})
        if steps == 10:
            progress.on_epoch_end(epoch, {"loss": 0.5, "val_loss": 0.75, "val_error": 0.5})
    terminal.print(progress)
    bar, status = text(terminal).splitlines()[-2:]
    assert bar.startswith("epoch 2/2 ")
    assert bar.rstrip().endswith("0:00:03 left")
    assert status.strip() == (
        "loss 0.2500 error 12.50%  val loss 0.7500 error 50.00%  100 images/s"
    )
    for event, said in (
        (progress.on_test_begin, "validating"),
        (progress.on_test_end, "saving"),
        (lambda: progress.on_epoch_end(1), "writing logs"),
    ):
        event()
        terminal.print(progress)
        assert text(terminal).splitlines()[-2].rstrip().endswith(said)


def test_resumed_run_goes_on_counting_and_steps_run_in_groups_count_all_their_images(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    plain = console(terminal=False)
    progress = Progress(12, 12, 4, plain, first_epoch=9, measure=ERROR)
    progress.on_epoch_begin(9)
    for last in (3, 7, 11):
        now += 1.0
        progress.on_train_batch_end(last, {"loss": 1.0})
    drawn = console(terminal=False)
    drawn.print(progress)
    assert " 16 images/s" in text(drawn)
    progress.on_epoch_end(9, {"loss": 1e-5, "images_per_second": 1234.5})
    assert text(plain).startswith("epoch 10/12  loss 1e-05   1,234 images/s  ")


def test_another_tasks_measure_has_its_name_in_the_line():
    plain = console(terminal=False)
    measure = Measure(name="mean_iou", title="Mean IoU", better="higher")
    progress = Progress(3, 12, 4, plain, measure=measure)
    progress.on_epoch_begin(0)
    logs = {"loss": 0.5, "mean_iou": 0.25, "error": 0.9, "val_loss": 0.75, "val_mean_iou": 0.125}
    progress.on_epoch_end(0, logs)
    assert "loss 0.5000 mean_iou 25.00%  val 0.7500 12.50%" in text(plain)


def test_a_command_of_a_notebooks_cell_draws_no_bar(monkeypatch):
    """`!kerascnn train` is told to be a terminal, but each drawing would stay as a line."""
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    cell = console(terminal=True)
    small_fit(Progress(2, 8, 8, cell, measure=ERROR))
    assert "\x1b[2K" not in cell.file.getvalue()
    assert text(cell).count("epoch") == 2


@pytest.mark.parametrize("epochs", [9, 99, 300, 2000])
@pytest.mark.parametrize("loss", [0.1234, 1e-9, 123456.7])
def test_no_epochs_line_is_longer_than_the_terminal_is_wide(epochs, loss, monkeypatch):
    """The most a training may have: 12,345,678 images/s, epochs of hours, errors of 100%."""
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    for width in (80, 100, 120):
        plain = Console(file=io.StringIO(), width=width, color_system=None)
        progress = Progress(epochs, 10, 50, plain, measure=ERROR)
        for rate, seconds in ((6_789.0, 1.2), (12_345.0, 12.3), (12_345_678.0, 12_345.6)):
            logs = {"loss": loss, "error": 1.0, "val_loss": loss, "val_error": 0.1234}
            progress.on_epoch_begin(epochs - 1)
            now += seconds
            progress.on_epoch_end(epochs - 1, {**logs, "images_per_second": rate})
            line = text(plain).splitlines()[-1]
            assert len(line) <= width
            assert line.startswith(f"epoch {epochs}/{epochs}  loss ")
            assert "12.34%" in line
            if width == 120:
                assert "val loss" in line
                assert "images/s" in line


def test_display_stops_when_training_fails():
    """An open live display would keep the cursor hidden and swallow what is printed next."""
    terminal = console(terminal=True)
    progress = Progress(1, 1, 1, terminal, measure=ERROR)
    progress.on_train_begin()
    assert "\x1b[?25l" in terminal.file.getvalue(), "the cursor is hidden"
    progress.close()
    progress.close()
    assert terminal.file.getvalue().count("\x1b[?25h") == 1, "and shown again, once"


def test_training_thread_never_reads_a_value():
    """Reading one waits for the device; the drawing thread may, the training thread must not."""

    read = []

    class Lazy:
        def __float__(self):
            read.append(threading.current_thread())
            return 0.25

    progress = Progress(1, 2, 1, console(terminal=True), measure=ERROR)
    progress.on_train_begin()
    progress.on_epoch_begin(0)
    progress.on_train_batch_end(0, {"loss": Lazy(), "accuracy": Lazy()})
    while not read:  # the drawing thread wakes up a few times in a second
        time.sleep(0.01)
    assert threading.main_thread() not in read
    progress.close()


def test_a_notebooks_bar_is_drawn_a_few_times_in_a_second_with_the_time_left(monkeypatch):
    """Two epochs of 10 steps of 0.1 s: at once, and then not before 0.25 s have passed."""
    now, drawn = 100.0, []
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    shown = types.ModuleType("IPython.display")
    shown.display = shown.update_display = lambda content, **_: drawn.append(content["text/plain"])
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    notebook = Console(force_jupyter=True)
    progress = Progress(2, 10, 50, notebook, measure=ERROR)
    for epoch in range(2):
        progress.on_epoch_begin(epoch)
        for step in range(10):
            now += 0.1
            progress.on_train_batch_end(step, {"loss": 0.25, "error": 0.125})
        progress.on_epoch_end(epoch, {"loss": 0.5})
    progress.close()
    bars = [text.splitlines()[-2] for text in drawn if text.count("\n") and "━" in text]
    assert [(bar[:10], bar.count("━"), bar[51:]) for bar in bars] == [
        ("epoch 1/2 ", 4, ""),  # the rate is known from the second call on
        ("epoch 1/2 ", 16, "0:00:02 left"),
        ("epoch 1/2 ", 28, "0:00:01 left"),
        ("epoch 1/2 ", 40, "0:00:01 left"),
        ("epoch 2/2 ", 12, "0:00:01 left"),
        ("epoch 2/2 ", 24, "0:00:00 left"),
        ("epoch 2/2 ", 36, "0:00:00 left"),
    ]
    assert [line[:23] for line in drawn[-1].splitlines()] == [
        "epoch 1/2  loss 0.5000 ",
        "epoch 2/2  loss 0.5000 ",
    ]
