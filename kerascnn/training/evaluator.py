"""What the network is worth while it trains, and at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from kerascnn.data import Dataset
from kerascnn.distribution.workers import Workers
from kerascnn.runs.position import Totals
from kerascnn.tasks.measure import HELD, TEST
from kerascnn.tasks.sight import Sight
from kerascnn.training.batches import evaluation_batches
from kerascnn.training.engine import Engine
from kerascnn.training.pace import Pace, following

PREFIXES = {"validation": HELD, "test": TEST}


class Evaluator:
    """Loss and measures over a split, each image once, with the averaged weights if there are.

    Args:
        engine: evaluates.
        dataset: its splits.
        sight: how the network sees images.
        training_batch: images in a batch of training, over all replicas.
        workers, pace: of the training.
    """

    def __init__(
        self,
        engine: Engine,
        dataset: Dataset,
        sight: Sight,
        *,
        training_batch: int,
        workers: Workers,
        pace: Pace,
    ) -> None:
        self._engine, self._splits, self._sight = engine, dataset.splits, sight
        self._training_batch, self._workers, self._pace = training_batch, workers, pace
        self._passes: dict[str, tuple[Iterator[Any], int]] = {}

    def __contains__(self, split: str) -> bool:
        return bool(self._splits[split].size)

    def __call__(self, split: str) -> dict[str, float]:
        """Such as `{"val_loss": 0.1, "val_error": 0.02}`; of a split without images nothing."""
        if split not in self:
            return {}
        batches, steps = self._batches(split)
        engine, judged = self._engine, self._engine.judged
        totals, done, count = Totals(sums=(0.0,) * engine.counts), 0, 1
        answers: list[np.ndarray] = []
        with engine.averaged():
            while done < steps:
                count, _ = self._pace.agree(count)
                size, began = min(count, steps - done), time.perf_counter()
                if judged:
                    new, found = engine.judge(batches, size)
                    answers.append(found)
                else:
                    new = engine.evaluate(batches, size)
                totals += new
                done += size
                count = following(size, time.perf_counter() - began)
        figures = engine.figures(totals)
        if judged:
            figures |= judged(np.concatenate(answers))
        return {PREFIXES[split] + name: value for name, value in figures.items()}

    def _batches(self, name: str) -> tuple[Iterator[Any], int]:
        """An endless iterator over a split, and the steps of one pass.

        It is made once: a new one for each epoch would cost half a second under a strategy.
        """
        if name not in self._passes:
            data, steps = evaluation_batches(
                self._splits[name],
                self._sight,
                training_batch=self._training_batch,
                workers=self._workers,
            )
            self._passes[name] = iter(self._engine.distribute(data)), steps
        return self._passes[name]
