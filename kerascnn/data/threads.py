"""Threads that read images, and calls from TensorFlow's threads, which the interpreter awaits.

A pipeline goes on reading ahead while the interpreter is being torn down. A call that is running
then never gets Python's lock back, and the pipeline's end waits for it for ever.
"""

from __future__ import annotations

import atexit
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from kerascnn import processors

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

QUIET_SECONDS = 0.1  # without a call: the pipelines have read as far ahead as they may
LONGEST_SECONDS = 10.0

_lock = threading.Lock()
_running, _last = 0, 0.0


@functools.cache
def threads() -> ThreadPoolExecutor:
    """The threads that read images, one for each processor; made at the first use."""
    return ThreadPoolExecutor(processors.available(), thread_name_prefix="kerascnn-images")


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What the function makes of each item, in their order.

    Nothing, if the interpreter is ending: then nobody will see the batch that is being made.
    """
    try:
        return threads().map(function, items)
    except RuntimeError:
        return iter(())


def awaited(function: Callable[P, R]) -> Callable[P, R]:
    """The function, for `tf.numpy_function`: the interpreter's end waits for its calls."""

    @functools.wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        global _running, _last
        with _lock:
            _running += 1
        try:
            return function(*arguments, **keywords)
        finally:
            with _lock:
                _running -= 1
                _last = time.monotonic()

    return call


@atexit.register
def wait_for_calls() -> None:
    """Wait until the pipelines, of which nobody takes anything any more, have come to rest."""
    end = time.monotonic() + LONGEST_SECONDS
    while (now := time.monotonic()) < end and (_running or now - _last < QUIET_SECONDS):
        time.sleep(0.01)
