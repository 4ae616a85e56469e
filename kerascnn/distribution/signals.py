"""SIGTERM and Ctrl-C: asked to end, a training does so after the step that it is in."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Request:
    """What this process was asked for: the number of a signal, or 0."""

    number: int = 0


class Stopped(Exception):  # noqa: N818 (no error: the user, or the machine's owner, wanted it)
    """Training ends here because a signal asked for it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    def outcome(self) -> BaseException:
        """What the caller of the training gets to see."""
        return Terminated() if self.number == signal.SIGTERM else KeyboardInterrupt()


class Terminated(SystemExit):
    """Training has ended cleanly because of SIGTERM; as an exit status that is 143."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@contextlib.contextmanager
def requests() -> Iterator[Request]:
    """Note SIGTERM and the first SIGINT instead of dying of them; a second SIGINT interrupts.

    Python allows handlers in the main thread only; elsewhere nothing is noted.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: Any) -> None:
        if number == signal.SIGINT and request.number:
            raise KeyboardInterrupt
        request.number = number

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
