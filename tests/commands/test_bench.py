"""`kerascnn bench`, as a user calls it, with contestants that are quick to make."""

import json

import pytest
from typer.testing import CliRunner

from kerascnn import catalogue
from kerascnn.bench import networks
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, InputSizeError, KerascnnError


def run(*arguments):
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100"})
    if result.exception:
        raise result.exception
    return result.stdout


def test_inference_of_lenet_is_raced_against_the_matrix_product():
    asked = ("--rounds", "1", "--batch-size", "3", "--json")
    both = ("--precision", "float32", "--precision", "mixed_bfloat16")
    found = json.loads(run("bench", "infer", "lenet5", *asked, *both))
    row, half = found["rows"]
    assert (row["precision"], half["precision"]) == ("float32", "mixed_bfloat16")
    assert (row["network"], row["contestant"], row["ratio"]) == ("lenet5", "kerascnn", 1.0)
    assert half["ratio"] == pytest.approx(row["images_per_second"] / half["images_per_second"])
    assert (found["batch_size"], found["rounds"]) == (3, 1)
    assert 0 < row["slowest"] <= row["images_per_second"] <= row["fastest"]
    assert 0 < row["share_of_peak"] < 1
    assert row["peak_memory"] > 100 * 2**20  # TensorFlow alone holds more


def test_the_row_is_arithmetic(monkeypatch):
    """Ratio and share of the peak, from round numbers."""
    from kerascnn.bench.rounds import SIDE, Measured

    macs = catalogue.get("lenet5").cost((40, 48, 1)).macs

    def race(contestants, *, rounds, warm_up):
        assert [c.arguments["input_shape"] for c in contestants[1:]] == [(40, 48, 1)] * 2
        peak = Measured("peak", 2 * SIDE**3 / 1e9, 1, 1, 1, 1)  # 1e9 operations a second
        ours = Measured("kerascnn", 0.5, 0.4, 0.8, 9.0, 2**20)
        theirs = Measured("other", 1.0, 1.0, 1.0, 9.0, 2**20)
        return [peak, ours, theirs]

    monkeypatch.setattr(networks, "race", race)
    ours, theirs = networks.measure(
        "kerascnn.bench.training",
        "lenet5",
        batch_size=4,
        rounds=1,
        against=(),
        passes=3,
        input_shape=(40, 48, 1),
        precisions=("float32", "mixed_bfloat16"),
    )
    assert (ours.precision, theirs.precision) == ("float32", "mixed_bfloat16")
    assert (ours.images_per_second, ours.slowest, ours.fastest) == (8, 5, 10)
    assert (ours.ratio, theirs.ratio) == (1, 2)
    assert ours.share_of_peak == pytest.approx(8 * 6 * macs / 1e9)


def test_the_table_names_every_contestant(monkeypatch):
    def rows(module, name, **rest):
        return [
            networks.Row(name, who, 12.34, 10.0, 15.0, ratio, 7.0, 2**30, 0.5)
            for who, ratio in (("kerascnn", 1.0), ("keras.applications, no XLA", 1.23))
        ]

    monkeypatch.setattr(networks, "measure", rows)
    shown = run("bench", "train", "resnet50", "vgg16")
    for text in ("resnet50", "vgg16", "keras.applications, no XLA", "10.0–15.0", "1.23", "50%"):
        assert text in shown


def test_wrong_names_are_refused_before_anything_is_measured():
    with pytest.raises(KerascnnError, match="resnet51"):
        run("bench", "infer", "lenet5", "resnet51")
    with pytest.raises(ArgumentError, match="caffe"):
        run("bench", "infer", "lenet5", "--against", "caffe")
    with pytest.raises(ArgumentError, match="Received: 'half'"):
        run("bench", "train", "lenet5", "--precision", "half")
    with pytest.raises(ArgumentError, match="--input-shape must be HEIGHTxWIDTHxCHANNELS"):
        run("bench", "infer", "lenet5", "--input-shape", "32")
    with pytest.raises(InputSizeError, match="Smallest legal"):
        run("bench", "infer", "lenet5", "--input-shape", "8x8x1")


@pytest.mark.slow
def test_recording_is_timed_on_whole_trainings():
    words = ("--set", "widths=2,4", "--epochs", "1", "--rounds", "1", "--json")
    recorded, plain = json.loads(run("bench", "record", "lenet5", *words))["rows"]
    assert (recorded["name"], plain["name"]) == ("recorded", "unrecorded")
    assert recorded["seconds"] > 0 < plain["seconds"]
