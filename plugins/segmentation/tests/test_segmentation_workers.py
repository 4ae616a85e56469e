"""Two real workers: they train as one device does, and count the same pixels."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_segmentation import measures
from kerascnn_segmentation.task import SEGMENTATION
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app
from kerascnn.distribution.cluster import Cluster
from kerascnn.distribution.launching import free_ports

NAMES = [measure.name for measure in SEGMENTATION.measures]
PROGRAM = Path(__file__).with_name("judging.py")
# 5 and 7 images: with evaluation's 8 to a batch, one worker has some to judge and the other none.
TRAIN = [
    *("train", "unet_same", "--data", "digit_scenes?size=32&train=16&validation=5&test=7"),
    *("--set", "depth=1", "--set", "width=4", "--set", "dropout=0", "--input-shape", "32x32x3"),
    *("--epochs", "1", "--batch-size", "4", "--precision", "float64"),
]


def load_judging():
    spec = importlib.util.spec_from_file_location("judging", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training by two workers, as `kerascnn launch` starts them, and by one device."""
    folder = tmp_path_factory.mktemp("workers")
    launch = ["-m", "kerascnn", "launch", "-n", "2", *TRAIN, "--run", str(folder / "two")]
    launched = subprocess.Popen(
        [sys.executable, *launch], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        words = [*TRAIN, "--strategy", "none", "--run", str(folder / "one")]
        alone = CliRunner().invoke(app, words)
        assert alone.exit_code == 0, alone.output
        printed, _ = launched.communicate(timeout=300)
        assert launched.returncode == 0, printed[-3000:]
    finally:
        launched.kill()
        launched.wait()
    assert "2 workers" in printed
    return kerascnn.Run.open(folder / "two"), kerascnn.Run.open(folder / "one")


@pytest.mark.slow
def test_two_workers_train_as_one_device_does(runs):
    two, one = runs
    assert len(two.history) == 1
    for row, expected in zip(two.history, one.history, strict=True):
        figures = [f"{part}{name}" for part in ("", "val_") for name in ("loss", *NAMES)]
        for name in figures:
            assert row[name] == pytest.approx(expected[name], rel=1e-9), name
    for name in ("loss", *NAMES):
        assert two.metrics[f"test_{name}"] == pytest.approx(one.metrics[f"test_{name}"], rel=1e-9)
    for ours, theirs in zip(two.model().weights, one.model().weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=1e-9)


@pytest.mark.slow
def test_two_workers_count_each_pixel_once(runs, tmp_path):
    """The confusion matrices of the same weights, on one device, on two and by two workers."""
    two, _ = runs
    addresses = tuple(f"localhost:{port}" for port in free_ports(2))
    workers = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(two.path), str(tmp_path / "worker")],
            env={**os.environ, "TF_CONFIG": Cluster(addresses, index).tf_config},
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        judging = load_judging()
        one = judging.confusions(two.path, tf.distribute.get_strategy())
        mirrored = judging.confusions(two.path, kerascnn.resolve_strategy("mirrored:2"))
        for worker in workers:
            _, errors = worker.communicate(timeout=300)
            assert worker.returncode == 0, errors[-3000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    for split, images in (("validation", 5), ("test", 7)):
        matrix = one[split]
        assert matrix.sum() == images * 32 * 32, "no pixel of the scenes is unknown"
        np.testing.assert_array_equal(mirrored[split], matrix)
        for index in range(2):
            with np.load(tmp_path / f"worker-{index}.npz") as found:
                np.testing.assert_array_equal(found[split], matrix)
        found = two.evaluate(split=split, echo=None)
        np.testing.assert_array_equal(found["confusion"], matrix)
        assert found["classes"] == measures.per_class(matrix, two.config.class_names)
        trained = two.metrics if split == "test" else two.history[-1]
        prefix = "test_" if split == "test" else "val_"
        figures = measures.figures(matrix)
        assert {name: trained[prefix + name] for name in figures} == pytest.approx(figures)
