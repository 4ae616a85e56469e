"""Between two calls of the engine: of how many steps the next one is, and whether there is one.

All workers do the same, or all of them hang: each step is a collective.
"""

from __future__ import annotations

import signal

from kerascnn.distribution.signals import Request, Stopped
from kerascnn.distribution.workers import Workers

# How long Python leaves the device alone: short enough for a live display, long enough to be free.
SECONDS_A_CALL = 0.25


class Pace:
    """What the workers agree on before each call.

    Args:
        workers: all of them.
        request: what a signal asks this process for.
    """

    def __init__(self, workers: Workers, request: Request) -> None:
        self._workers, self._request = workers, request

    def agree(self, count: int = 1, *, ended: bool = False) -> tuple[int, bool]:
        """The mean of what the workers pass as `count`, and whether any of them has `ended`.

        Raises:
            Stopped: a signal asks one of them to end; on all workers.
        """
        asked = self._request.number
        mine = [count, asked == signal.SIGTERM, asked == signal.SIGINT, ended]
        counts, terminated, interrupted, ends = self._workers.sum(mine)
        if terminated or interrupted:
            raise Stopped(signal.SIGTERM if terminated else signal.SIGINT)
        return max(1, int(counts) // self._workers.count), bool(ends)


def following(size: int, seconds: float) -> int:
    """Of how many steps the next call should be, after one of `size` steps."""
    return max(1, min(4 * size, int(SECONDS_A_CALL * size / seconds)))
