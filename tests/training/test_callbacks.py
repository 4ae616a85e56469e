"""What a real training writes for TensorBoard is true, and writing it changes nothing."""

import io

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerascnn.training.trainer import train


def one_update_an_epoch(path, **options):
    """Two epochs of one batch with all images: checkpoints are one update apart."""
    return train(
        "lenet5",
        "mnist5k",
        arguments={"activation": "relu", "widths": (2, 4), "hidden": (8,)},
        batch_size=3500,
        epochs=2,
        run=path,
        console=Console(file=io.StringIO()),
        **options,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return one_update_an_epoch(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def scalars(run):
    """Tag → {step: value}, of the training."""
    events = EventAccumulator(str(run.path / "train"), {"tensors": 0}).Reload()
    return {
        tag: {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}
        for tag in events.Tags()["tensors"]
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
    }


def test_update_ratios_are_those_between_two_checkpoints(run, scalars):
    paths = sorted((run.path / "checkpoints").iterdir())
    before, after = (dict(np.load(path)) for path in paths)
    assert [path.stem for path in paths] == ["epoch-00001", "epoch-00002"]
    kernels = [key for key in before if key.startswith("model/") and key.endswith("/kernel")]
    ratios = [np.linalg.norm(after[k] - before[k]) / np.linalg.norm(before[k]) for k in kernels]
    found = [values[2] for tag, values in scalars.items() if tag.startswith("update_ratio/")]
    assert len(found) == len(kernels) == 4
    assert sorted(found) == pytest.approx(sorted(ratios), rel=1e-4)


def test_speed_and_memory_are_written_in_each_epoch(run, scalars):
    for tag in ("images_per_second", "step_milliseconds", "input_wait", "peak_memory/process"):
        assert list(scalars[tag]) == [1, 2]
    for row in run.history:
        step = row["epoch"]
        assert scalars["step_milliseconds"][step] == pytest.approx(1000 * row["seconds"])
        assert scalars["input_wait"][step] == pytest.approx(row["input_wait"])
        assert 0 < row["input_wait"] < 1
    assert all(0.1 < size < 100 for size in scalars["peak_memory/process"].values())


def test_weights_are_the_same_bits_without_the_logs(run, tmp_path):
    without = one_update_an_epoch(tmp_path / "without", record=False)
    for one, other in zip(run.model().weights, without.model().weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
