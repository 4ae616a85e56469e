"""Settings for all tests: two logical CPU devices stand in for two GPUs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import gzip
import json
from pathlib import Path

import pytest

FACTS = Path(__file__).parent / "facts" / "facts.json.gz"


@pytest.fixture(scope="session")
def facts():
    """The papers' layer lists and counts, by our names; see tests/facts/README.md."""
    with gzip.open(FACTS) as file:
        return json.load(file)


@pytest.fixture(scope="session")
def two_devices():
    """One MirroredStrategy over two logical CPUs, shared: a second strategy object breaks fit."""
    from kerascnn.training import strategies

    return strategies.resolve("mirrored:2")


def pytest_configure(config):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
