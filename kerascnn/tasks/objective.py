"""Objective: what a training minimises and counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a training minimises and counts, made by a task for a recipe and a model's outputs.

    All functions but `figures` and `judged` are TensorFlow's: `targets` is a batch of what
    `kerascnn.data.Targets.element` says, `outputs` the list of the model's outputs.

    Attributes:
        losses: named parts of each image's loss, `[batch]` each, factors included; the loss is
            their sum.
        minimised: what is minimised in place of the loss, `[batch]`: with class weights, which
            what is reported doesn't have. None: the loss.
        parts: those of the parts that are logged beside the loss, as "loss_PART".
        size: how many numbers `sums` has.
        sums: float64 `[size]`, which add up over batches, replicas and workers. Images that are
            not `real`, bool `[batch]`, only fill up a batch and count nothing.
        figures: from the sums of an epoch, and the number of its images, to the measures.
        details: what an evaluation says beside the measures, of JSON, from the sums.
        answers: `[batch, ...]` for measures that need all answers at once; None: there are none.
        judged: from the answers to all images, `[images, ...]`, in any order, to such measures.
    """

    losses: Callable[[Any, list[Any]], Mapping[str, Any]]
    size: int
    sums: Callable[[Any, list[Any], Any], Any]
    figures: Callable[[np.ndarray, float], Mapping[str, float]]
    minimised: Callable[[Any, list[Any]], Any] | None = None
    parts: tuple[str, ...] = ()
    details: Callable[[np.ndarray], Mapping[str, Any]] | None = None
    answers: Callable[[Any, list[Any]], Any] | None = None
    judged: Callable[[np.ndarray], Mapping[str, float]] | None = None

    def loss(self, targets: Any, outputs: list[Any]) -> Any:
        """The loss of each image, `[batch]`."""
        import tensorflow as tf

        return tf.add_n(list(self.losses(targets, outputs).values()))
