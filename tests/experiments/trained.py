"""The trained network that some of the questions look into, and images that it has not seen.

It is AlexNet's row of `results.toml`, seed 0, in `runs/experiments/results`; where that run isn't
there yet, it is trained first, in about half a minute.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from run import HERE, rows, train

from kerascnn.data import load
from kerascnn.tasks.forward import preparation

RUNS = Path("runs/experiments/results")


@dataclass(frozen=True)
class Trained:
    """A network and the test images.

    Attributes:
        model: a `keras.Model`.
        pixels: `[images, height, width, channels]`, 0..255.
        images: the same as the network takes them.
        labels: `[images]`.
    """

    model: Any
    pixels: np.ndarray
    images: np.ndarray
    labels: np.ndarray


def trained(count: int) -> Trained:
    """The network with the first `count` test images."""
    experiment = tomllib.loads((HERE / "results.toml").read_text(encoding="utf-8"))
    row = next(row for row in rows(experiment, RUNS) if row.label == "AlexNet")
    row = replace(row, runs=row.runs[:1])
    train(row)
    run = row.runs[0]
    data = load(experiment["data"], input_shape=run.config.input_shape, echo=None)
    pixels, labels = next(iter(data.test.batches(count)))
    images = preparation(run.config)(pixels)
    return Trained(run.model(), *(np.asarray(part) for part in (pixels, images, labels)))
