"""SIGTERM and Ctrl-C: asked to end, a training does so after the step that it is in."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

ENDS = (signal.SIGTERM, signal.SIGINT)  # what asks a process to end


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
def kept() -> Iterator[bool]:
    """Afterwards SIGTERM and SIGINT do what they did before; whether a handler can be set inside.

    Python allows that in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield False
        return
    before = {number: signal.getsignal(number) for number in ENDS}
    try:
        yield True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextlib.contextmanager
def handled(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Call `handler(number, frame)` on SIGTERM and SIGINT, where Python allows it, see `kept`."""
    with kept() as possible:
        for number in ENDS if possible else ():
            signal.signal(number, handler)
        yield


@contextlib.contextmanager
def requests() -> Iterator[Request]:
    """Note SIGTERM and the first SIGINT instead of dying of them; a second SIGINT interrupts."""
    request = Request()

    def note(number: int, frame: Any) -> None:
        if number == signal.SIGINT and request.number:
            raise KeyboardInterrupt
        request.number = number

    with handled(note):
        yield request
