"""The names of ImageNet's 1000 classes."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np

from kerascnn.errors import ArgumentError
from kerascnn.weights import download

CLASSES = "class_index.json"
CLASSES_URL = (
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
)
CLASSES_DIGEST = "md5:c2c37ea517e94d9795004a39431a14cb"


@functools.cache
def class_names() -> tuple[tuple[str, str], ...]:
    """WordNet id and English name of each class; fetched once and kept in the cache.

    Raises:
        WeightsError: they can't be fetched.
    """
    with download.folder("imagenet", CLASSES) as folder:
        path = folder / CLASSES
        if not path.exists():
            with download.alone_in(folder):
                download.fetch(
                    CLASSES_URL, path, digest=CLASSES_DIGEST, instead=f"save it as {path}"
                )
        index = json.loads(path.read_text())
    return tuple((index[str(number)][0], index[str(number)][1]) for number in range(len(index)))


def decode_predictions(predictions: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """The likeliest classes of each image: WordNet id, name and score, best first.

    Args:
        predictions: `[batch, 1000]`.
        top: how many classes of each image.

    Raises:
        ArgumentError: not 1000 classes.
        WeightsError: the names can't be fetched.
    """
    scores = np.asarray(predictions)
    if scores.ndim != 2 or scores.shape[1] != 1000:
        raise ArgumentError(
            f"predictions must be [batch, 1000], ImageNet's classes. Received: {scores.shape}."
        )
    names = class_names()
    best = np.argsort(-scores, axis=1)[:, :top]
    return [[(*names[k], float(row[k])) for k in order] for row, order in zip(scores, best)]
