"""Images a second from a folder of JPEG files: our pipeline against keras.utils' and Keras layers.

Both read, decode, scale the shorter side to 256, take a random crop of 224×224 and mirror half of
the images, as AlexNet's paper does, in batches of 64 in a new order.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerascnn.bench.rounds import Contestant, Step, race

SIZE = (375, 500)  # height and width of the files: the median of ImageNet's
CANVAS, CROP, BATCH = 256, 224, 64
QUALITY = 90
# A photograph's amplitudes fall with the frequency: cells across the image, and their contrast.
OCTAVES = ((4, 90), (16, 45), (64, 20), (180, 9))
GRAIN = 5  # standard deviation of the sensor's noise, in grey levels


@dataclass(frozen=True)
class Reading:
    """What one pipeline did.

    Attributes:
        name: whose.
        images_per_second, slowest, fastest: of a pass over all files: median and extremes.
        ratio: of its median to the rival's.
        first_step: seconds until a fresh process has made its first pass, imports included.
        peak_memory: most bytes of memory that the process ever held.
    """

    name: str
    images_per_second: float
    slowest: float
    fastest: float
    ratio: float
    first_step: float
    peak_memory: int


def measure(*, images: int = 512, rounds: int = 5) -> list[Reading]:
    """Let both read the same new folder, in turn, each in a process of its own.

    Args:
        images: files in the folder.
        rounds: passes over it that count; one before them doesn't.
    """
    with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
        write_photographs(Path(folder), images)
        contestants = [
            Contestant("kerascnn", "kerascnn.bench.data:ours", {"folder": folder}),
            Contestant("keras.utils and layers", "kerascnn.bench.data:keras", {"folder": folder}),
        ]
        found = race(contestants, rounds=rounds)
    rival = found[1].seconds
    return [
        Reading(
            name=one.name,
            images_per_second=images / one.seconds,
            slowest=images / one.slowest,
            fastest=images / one.fastest,
            ratio=rival / one.seconds,
            first_step=one.first_step,
            peak_memory=one.peak_memory,
        )
        for one in found
    ]


def write_photographs(folder: Path, count: int) -> None:
    """JPEG files like photographs, of about 60 kB, in two classes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / ("even", "odd")[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        _photograph(rng).save(path, quality=QUALITY)


def _photograph(rng: np.random.Generator) -> Image.Image:
    height, width = SIZE
    total = 128 + GRAIN * rng.standard_normal((height, width, 1), "float32")
    total = np.repeat(total, 3, axis=2)
    for cells, contrast in OCTAVES:
        for channel in range(3):
            noise = rng.standard_normal((cells * height // width, cells), "float32")
            smooth = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
            total[..., channel] += contrast * np.asarray(smooth)
    return Image.fromarray(np.clip(total, 0, 255).astype("uint8"))


def ours(folder: str) -> Step:
    """A pass of `kerascnn.data` and our augmentation."""
    import tensorflow as tf

    from kerascnn.data import load
    from kerascnn.data.augmentation import augment, crops
    from kerascnn.recipes.recipe import Augmentation

    size, canvas = (CROP, CROP), (CANVAS, CANVAS)
    shape = (*canvas, 3)
    split = load(f"folder:{folder}", input_shape=shape, validation=0, test=0, echo=None).train
    recipe = Augmentation(canvas=CANVAS / CROP, flip=True)
    cut, rest = crops(recipe, seed=0, canvas=canvas, size=size)
    data = split.batches(BATCH, seed=0, with_index=True, crops=cut).map(
        lambda images, labels, index, epoch: (
            augment(images, index, epoch, seed=0, augmentation=rest, size=size),
            labels,
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return _pass(data)


def keras(folder: str) -> Step:
    """A pass of `image_dataset_from_directory`, RandomCrop and RandomFlip."""
    import tensorflow as tf
    from keras import layers, utils

    data = utils.image_dataset_from_directory(
        folder,
        image_size=(CANVAS, CANVAS),
        crop_to_aspect_ratio=True,
        batch_size=BATCH,
        seed=0,
        verbose=False,
    )
    crop = layers.RandomCrop(CROP, CROP, seed=0, data_format="channels_last")
    flip = layers.RandomFlip("horizontal", seed=0, data_format="channels_last")
    data = data.map(
        lambda images, labels: (flip(crop(images, training=True), training=True), labels),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return _pass(data.prefetch(tf.data.AUTOTUNE))


def _pass(data: Any) -> Step:
    def step() -> None:
        for _ in data:
            pass

    return step
