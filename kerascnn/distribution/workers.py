"""What the workers of one job decide together. Alone, a process agrees with itself at no cost.

Each of these is a collective: all workers call it, in the same order, or all of them hang.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from kerascnn.errors import StrategyError, WorkerError

# What TensorFlow raises on a worker when another one is gone.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)


class Workers:
    """The workers that a strategy spans.

    Attributes:
        count: how many, 1 without MultiWorkerMirroredStrategy.
        index: which of them this process is.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.count, self.index = 1, 0
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            self.count = len(resolver.cluster_spec().as_dict()["worker"])
            self.index = resolver.task_id
        self._sum = tf.function(self._reduce, reduce_retracing=True)

    @property
    def chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.index == 0

    def sum(self, values: Any) -> np.ndarray:
        """The sum of all workers' float64 arrays; whole numbers up to 2^53 are exact."""
        values = np.asarray(values, "float64")
        return values if self.count == 1 else self._sum(tf.constant(values)).numpy()

    def require_same(self, what: str, value: bytes) -> None:
        """Refuse to go on if `value` isn't the same on all workers.

        Raises:
            StrategyError: on all workers; it begins with `what`.
        """
        digest = hashlib.sha256(value).digest()[:24]
        numbers = np.frombuffer(digest, "uint16").astype("float64")
        # Equal numbers have no variance: n Σx² = (Σx)².
        total, squares = self.sum([numbers, numbers**2])
        if np.any(self.count * squares != total**2):
            raise StrategyError(
                f"{what} must be the same on all {self.count} workers, and differs. Start every "
                "worker with the same command, the same data and one shared run directory."
            )

    def text_of_chief(self, text: str) -> str:
        """The chief's text, on all workers; at most 4096 bytes."""
        data = np.zeros(4096)
        encoded = text.encode()
        data[: len(encoded)] = list(encoded)
        if self.count == 1:
            return text
        sent = self.sum(data if self.chief else np.zeros_like(data))
        return bytes(sent.astype("uint8")).rstrip(b"\0").decode()

    def meet(self) -> None:
        """Wait until all workers are here."""
        self.sum([0.0])

    @contextlib.contextmanager
    def losses(self, advice: str) -> Iterator[None]:
        """Say in one message that another worker was lost.

        Raises:
            WorkerError: it ends with `advice`.
        """
        try:
            yield
        except LOST as error:
            if self.count == 1:
                raise
            raise WorkerError(
                f"Worker {self.index} of {self.count} stops: another worker has ended or doesn't "
                f"answer ({type(error).__name__}). {advice}"
            ) from None

    @tf.autograph.experimental.do_not_convert
    def _reduce(self, values: Any) -> Any:
        each = self._strategy.num_replicas_in_sync // self.count

        def once() -> Any:
            """The worker's values on its first replica, zeros on its others."""
            context = tf.distribute.get_replica_context()
            first = tf.equal(context.replica_id_in_sync_group % each, 0)
            return tf.where(first, values, tf.zeros_like(values))

        replicas = self._strategy.run(once)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, replicas, axis=None)
