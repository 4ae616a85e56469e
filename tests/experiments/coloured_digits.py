"""Makes a data set that needs colour as well as brightness: digits on textured, coloured ground.

    python tests/experiments/coloured_digits.py runs/experiments/coloured-digits.npz

Each of the bundled digits twice, in the splits of mnist5k, 32×32 pixels in RGB. In a split's first
half digits differ from their ground in brightness alone; in the second half are the same digits
on other ground, from which they differ in colour alone. A network that sees no colours can read the
first half, one that sees nothing but colours the second. Brightness is the mean of red, green and
blue; colour is what is left of a pixel without it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerascnn import data
from kerascnn.data import Split

SIDE = 32
# An orthonormal basis of RGB: brightness, and two axes of colour.
BASIS = np.stack(
    [
        np.array([1, 1, 1]) / np.sqrt(3),
        np.array([1, -1, 0]) / np.sqrt(2),
        np.array([1, 1, -2]) / np.sqrt(6),
    ]
).astype("float32")
TEXTURE = 0.08  # standard deviation of the ground, along each axis of `BASIS`
CONTRAST = 0.4  # of ink on its ground, along brightness or along one direction of colour


def texture(rng: np.random.Generator, count: int) -> np.ndarray:
    """Clouds `[count, SIDE, SIDE, 3]` of standard deviation 1 on each of three axes.

    Their amplitude falls with the frequency, as in photographs.
    """
    down, across = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(down, across), 1 / SIDE)
    amplitude[0, 0] = 0  # a mean of zero
    noise = np.fft.rfft2(rng.normal(size=(count, SIDE, SIDE, 3)), axes=(1, 2))
    clouds = np.fft.irfft2(noise * amplitude[..., None], s=(SIDE, SIDE), axes=(1, 2))
    return clouds / clouds.std(axis=(1, 2), keepdims=True)


def drawn(ink: np.ndarray, direction: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Digits on textured ground.

    Args:
        ink: `[n, SIDE, SIDE]`, 0 is ground and 1 is ink.
        direction: `[n, 3]`, in which ink differs from ground, along the axes of `BASIS`.
        rng: of the texture.

    Returns:
        `[n, SIDE, SIDE, 3]`, uint8.
    """
    mark = CONTRAST * ink[..., None] * direction[:, None, None]
    pixels = 0.5 + (TEXTURE * texture(rng, len(ink)) + mark) @ BASIS
    return np.clip(np.rint(255 * pixels), 0, 255).astype("uint8")


def both(split: Split, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels: a split's digits in brightness, then the same digits in colour."""
    images, labels = zip(*(split.example(index) for index in range(split.size)))
    ink = np.pad(np.stack(images)[..., 0] / 255, ((0, 0), (2, 2), (2, 2)))
    none = np.zeros(len(ink))
    hue, brighter = rng.uniform(0, 2 * np.pi, len(ink)), rng.choice([-1.0, 1.0], len(ink))
    directions = (
        np.stack([brighter, none, none], axis=-1),
        np.stack([none, np.cos(hue), np.sin(hue)], axis=-1),
    )
    return (
        np.concatenate([drawn(ink, direction, rng) for direction in directions]),
        np.array([*labels, *labels], "uint8"),
    )


def arrays(seed: int = 0) -> Mapping[str, np.ndarray]:
    """The data set, as `npz:` reads it."""
    rng = np.random.default_rng(seed)
    digits = data.load("mnist5k", echo=None)
    found = {}
    for name, split in (
        ("train", digits.train),
        ("val", digits.validation),
        ("test", digits.test),
    ):
        found[f"x_{name}"], found[f"y_{name}"] = both(split, rng)
    return found


def main() -> None:
    """Write the data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path)
    path = parser.parse_args().path
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays())


if __name__ == "__main__":
    main()
