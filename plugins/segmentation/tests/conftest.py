"""Two logical CPU devices stand in for two GPUs, and a small run that outlines squares."""

import contextlib

import numpy as np
import pytest
from rich.console import Console

NAMES = ("background", "light", "dark")


def pytest_configure(config):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    # Beside the tests of kerascnn it has been done, and TensorFlow may have begun.
    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )


def squares(count, seed, side=16):
    """Grey images with a light and a dark square, uint8 `[count, side, side, 1]`, and masks."""
    rng = np.random.default_rng(seed)
    images = rng.normal(120, 10, (count, side, side))
    masks = np.zeros((count, side, side), "uint8")
    for image, mask in zip(images, masks):
        for label, value in ((1, 220), (2, 30)):
            top, left = rng.integers(0, side - 6, 2)
            image[top : top + 6, left : left + 6] = value
            mask[top : top + 6, left : left + 6] = label
    masks[:, 0, :2] = 255
    return np.clip(images, 0, 255).astype("uint8")[..., None], masks


@pytest.fixture(scope="session")
def outlines():
    """32 images for training, 13 for validation, 8 for the test."""
    from kerascnn.data import ArraySplit, Dataset, Masks

    def split(count, seed):
        images, masks = squares(count, seed)
        return ArraySplit(images, Masks.of(masks, len(NAMES)))

    return Dataset(
        name="squares",
        classes=len(NAMES),
        class_names=NAMES,
        image_shape=(16, 16, 1),
        licence="none",
        notes=(),
        left_out=(),
        fingerprint="squares",
        train=split(32, 0),
        validation=split(13, 1),
        test=split(8, 2),
        target=Masks.kind,
    )


@pytest.fixture(scope="session")
def learn(outlines):
    """Train a small U-Net on `outlines`: `learn(path, ...)`."""
    import kerascnn
    from kerascnn import Augmentation, Recipe

    recipe = Recipe(
        epochs=16,  # from any seed it has learned them by then
        batch_size=4,
        learning_rate=0.01,
        optimizer="adam",
        class_weight="balanced",
        augmentation=Augmentation(shift=0.1, flip=True),
    )

    def learn(path, *, recipe=recipe, **options):
        return kerascnn.train(
            "unet_same",
            outlines,
            arguments={"depth": 1, "width": 8},
            input_shape=outlines.image_shape,
            recipe=recipe,
            run=path,
            console=Console(quiet=True),
            **options,
        )

    learn.recipe = recipe
    return learn


@pytest.fixture(scope="session")
def outlining(learn, tmp_path_factory):
    """A run that has learned them; tests must leave it alone."""
    return learn(tmp_path_factory.mktemp("runs") / "squares", record=False)
