"""Where a training happens: on which devices and machines, and which of these speaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from kerascnn.console import Console, sayer
from kerascnn.distribution import strategies
from kerascnn.distribution.workers import Workers
from kerascnn.runs.config import RunConfig, plain
from kerascnn.training.settings import refuse_jit


@dataclass(frozen=True)
class Place:
    """Where a training happens.

    Attributes:
        strategy: TensorFlow's.
        workers: of the strategy.
        console: where this one's messages and progress go.
    """

    strategy: tf.distribute.Strategy
    workers: Workers
    console: Console

    @classmethod
    def made(cls, strategy: str, jit: bool | None, console: Console) -> Place:
        """With the strategy of this name; of its workers only the chief speaks.

        Raises:
            StrategyError: it can't be had, or not with XLA.
        """
        found = strategies.resolve_strategy(strategy)
        refuse_jit(found, jit)
        workers = Workers(found)
        return cls(found, workers, console if workers.chief else Console(quiet=True))

    @property
    def say(self) -> Callable[[str], None]:
        """Called with what the user should know."""
        return sayer(self.console)

    def require_same(self, config: RunConfig) -> None:
        """Refuse workers that were told different things, or that found other data.

        Raises:
            StrategyError: on all workers.
        """
        own = ("command", "created", "git")  # may differ
        told = {key: value for key, value in plain(config).items() if key not in own}
        self.workers.require_same("What is trained", json.dumps(told, sort_keys=True).encode())
