"""A damaged checkpoint is never trained on: it is named, and the one before it is used."""

import io

import numpy as np
import pytest
from rich.console import Console

from kerascnn.errors import RunError
from kerascnn.training.state import State
from kerascnn.training.trainer import resume


def contents(path):
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def rewritten(path, **changes):
    arrays = contents(path) | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


def first(path, prefix="model"):
    return next(key for key in contents(path) if key.startswith(prefix))


def nan(path):
    key = first(path)
    bad = contents(path)[key].copy()
    bad.flat[0] = np.nan
    rewritten(path, **{key: bad})


def position(*numbers):
    return lambda path: rewritten(path, position=np.array(numbers, "float64"))


def another(change):
    return lambda path: rewritten(path, **{first(path): change(contents(path)[first(path)])})


DAMAGE = {
    "nan": nan,
    "infinite slot": lambda path: rewritten(
        path, **{(k := first(path, "optimizer/00002")): np.full_like(contents(path)[k], np.inf)}
    ),
    "dtype": another(lambda array: array.astype("float64")),
    "complex": another(lambda array: array.astype("complex64")),
    "shape": another(lambda array: array[None]),
    "missing": lambda path: rewritten(path, **{first(path): None}),
    "more": lambda path: rewritten(path, extra=np.zeros(3)),
    "pickle": lambda path: rewritten(path, extra=np.array([{}], dtype=object)),
    "absurd epoch": position(10**9, 0, 1, 0, 0, 0, 0, -1),
    "negative epoch": position(-1, 0, 1, 0, 0, 0, 0, -1),
    "half an epoch": position(1.5, 0, 1, 0, 0, 0, 0, -1),
    "no epoch": position(np.nan, 0, 1, 0, 0, 0, 0, -1),
    "endless epoch": position(np.inf, 0, 1, 0, 0, 0, 0, -1),
    "absurd update": position(2, 10**6, 1, 0, 0, 0, 0, -1),
    "short position": position(2, 0),
    "no position": lambda path: rewritten(path, position=None),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "flipped": lambda path: path.write_bytes(
        (b := path.read_bytes())[: len(b) // 2] + bytes([b[len(b) // 2] ^ 1]) + b[len(b) // 2 + 1 :]
    ),
    "empty": lambda path: path.write_bytes(b""),
}


def going_on(path):
    console = Console(file=io.StringIO(), width=300)
    run = resume(path, console=console)
    return run, console.file.getvalue()


@pytest.fixture
def open_run(copy):
    """Its newest checkpoint is of epoch 2, the one before of epoch 1; it wants a third."""
    text = (copy / "config.json").read_text().replace('"epochs": 2', '"epochs": 3')
    (copy / "config.json").write_text(text)
    (copy / "metrics.json").unlink()
    return copy


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(open_run, kind, monkeypatch):
    class StopError(Exception):
        pass

    def stop(state, restore=State.restore):
        restore(state)
        raise StopError

    monkeypatch.setattr(State, "restore", stop)
    newest = open_run / "checkpoints" / "epoch-00002.npz"
    DAMAGE[kind](newest)
    console = Console(file=io.StringIO(), width=300)
    with pytest.raises(StopError):
        resume(open_run, console=console)
    said = console.file.getvalue().replace("\n", " ")
    assert f"The checkpoint {newest} can't be used" in said
    assert "goes on from the one before, epoch-00001.npz" in said
    assert "Going on after epoch 1 of 3" in said


def test_training_from_the_older_one_puts_the_damaged_one_aside(open_run):
    newest = open_run / "checkpoints" / "epoch-00002.npz"
    strange = open_run / "checkpoints" / "epoch-99999.npz"
    strange.write_bytes(newest.read_bytes())
    nan(newest)
    run, said = going_on(open_run)
    assert said.count("can't be used") == 2
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    found = sorted(path.name for path in strange.parent.iterdir())
    assert found == ["damaged-epoch-99999.npz", "epoch-00002.npz", "epoch-00003.npz"]


def test_without_a_usable_checkpoint_or_its_history_the_run_does_not_go_on(open_run):
    history = (open_run / "history.csv").read_text()
    (open_run / "history.csv").write_text(history.splitlines()[0] + "\n")
    with pytest.raises(RunError, match=r"history\.csv ends after 0 epochs.*made after 2"):
        going_on(open_run)
    (open_run / "history.csv").write_text(history)
    for path in (open_run / "checkpoints").iterdir():
        nan(path)
    with pytest.raises(RunError, match=r"epoch-00002\.npz can't be used.*Nor can 1 older"):
        going_on(open_run)
