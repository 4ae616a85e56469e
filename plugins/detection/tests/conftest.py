"""Two logical CPU devices stand in for two GPUs; goldens that other people's code has made.

How they were made is in the note of each json.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import kerascnn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

GOLDENS = Path(__file__).parent / "goldens"


def pytest_configure(config):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    if not tf.config.get_logical_device_configuration(cpu):
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )


@pytest.fixture(scope="session")
def two_devices():
    """One MirroredStrategy over two logical CPUs."""
    return kerascnn.resolve_strategy("mirrored:2")


@pytest.fixture(scope="session")
def golden():
    """`golden(name)`: facts, and arrays by their names."""

    def read(name):
        facts = json.loads((GOLDENS / f"{name}.json").read_text("utf-8"))
        with np.load(GOLDENS / f"{name}.npz") as arrays:
            return facts, dict(arrays)

    return read


@pytest.fixture(scope="session")
def case(golden):
    """`case(name, **of_it)`: the one case of a golden that has these values, and the arrays."""

    def find(name, /, **of_it):
        facts, arrays = golden(name)
        (one,) = [c for c in facts["cases"] if all(c[key] == v for key, v in of_it.items())]
        return one, arrays

    return find


@pytest.fixture(scope="session")
def darknet(case):
    """`darknet(name)`: a case, its arrays, its truth, and what makes our map of its vectors."""
    from kerascnn_detection.cells import Truth

    def read(name):
        one, arrays = case("darknet-yolov1", name=name)
        side, boxes, classes = one["S"], one["B"], one["classes"]
        cells = side**2

        def output_of(flat):
            """All classes, all confidences, all boxes; as the paper's map."""
            scores, confidence, corners = np.split(
                flat, [cells * classes, cells * (classes + boxes)], 1
            )
            each = [corners.reshape(-1, cells, boxes, 4), confidence.reshape(-1, cells, boxes, 1)]
            each = np.concatenate(each, axis=-1).reshape(-1, cells, boxes * 5)
            output = np.concatenate([each, scores.reshape(-1, cells, classes)], axis=-1)
            return output.reshape(-1, side, side, boxes * 5 + classes)

        given = arrays[f"{name}_truth"].reshape(-1, side, side, 5 + classes)
        there, names, corners = np.split(given, [1, 1 + classes], axis=-1)
        truth = Truth(present=there[..., 0] > 0, boxes=corners, classes=names)
        return one, arrays, truth, output_of

    return read
