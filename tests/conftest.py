"""Settings for all tests: two logical CPU devices stand in for two GPUs."""

import gc
import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")


from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

LEAN = Path(__file__).with_name("lean")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """A process that a test of the core starts finds no scikit-learn, which only searches need.

    Keras imports it where it is there, for a fifth of the time that a process takes to begin.
    pytest asks this of every test of its session, and tests of searches may be among them.
    """
    if not item.path.is_relative_to(LEAN.parent):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(LEAN), prepend=os.pathsep)
        return (yield)


def pytest_collection_finish():
    """What is there before the first test stays: the search for garbage need not look at it."""
    gc.freeze()


@pytest.fixture(scope="session")
def two_devices():
    """One MirroredStrategy over two logical CPUs, shared: a second strategy object breaks fit."""
    from kerascnn.distribution import strategies

    return strategies.resolve_strategy("mirrored:2")


def pytest_configure(config):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture
def browser():
    """A real Chromium; what needs it is left out where none is installed."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


# A run on real files: a stripe across, down or none, which a small network tells.
STRIPES = ("across", "down", "plain")
EACH = 60


def _stripes(kind, number):
    """Grey, uint8 [32, 32], with a stripe or without; no two are the same."""
    rng = np.random.default_rng([len(kind), number])
    image = np.full((32, 32), 60.0)
    edge = rng.integers(12, 20)
    if kind == "across":
        image[:edge] = 200
    if kind == "down":
        image[:, :edge] = 200
    return np.clip(image + rng.normal(0, 25, (32, 32)), 0, 255).astype("uint8")


def _draw(root, kind, numbers, name="{:03}.png"):
    """Files of a class in its folder below `root`."""
    (root / kind).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(_stripes(kind, number)).save(root / kind / name.format(number))


@pytest.fixture(scope="session")
def draw():
    """See `_draw`."""
    return _draw


@pytest.fixture(scope="session")
def photos(draw, tmp_path_factory):
    """What the run was trained on; tests must leave it alone."""
    root = tmp_path_factory.mktemp("photos")
    for kind in STRIPES:
        draw(root, kind, range(EACH))
    return root


@pytest.fixture(scope="session")
def striped_run(photos, tmp_path_factory):
    """A run that knows the classes of `photos`, and makes no mistake on others of them."""
    import kerascnn
    from kerascnn.recipes.recipe import Recipe

    return kerascnn.train(
        "lenet5",
        f"folder:{photos}",
        arguments={"widths": (4, 8), "hidden": (16,)},
        recipe=Recipe(epochs=4, batch_size=16, learning_rate=1e-2, label_smoothing=0.1),
        run=tmp_path_factory.mktemp("runs") / "stripes",
        record=False,
        keep_epochs=(1, 4),
        console=Console(quiet=True),
    )
