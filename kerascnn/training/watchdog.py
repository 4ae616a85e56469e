"""A time limit on what can't be interrupted from within.

While TensorFlow waits for the other workers it holds Python's lock: no thread, no signal handler
of this process runs. So another process waits, and ends this one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# Reads until this process closes the pipe, by saying so or by ending.
_GUARD = """
import os, select, signal, sys
parent, seconds, message = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
signal.signal(signal.SIGINT, signal.SIG_IGN)
if not select.select([sys.stdin], [], [], seconds)[0] and os.getppid() == parent:
    print(message, file=sys.stderr, flush=True)
    os.kill(parent, signal.SIGKILL)
"""


@contextlib.contextmanager
def at_most(seconds: float, message: str) -> Iterator[None]:
    """Kill this process, after `message` on stderr, unless the block ends within `seconds`."""
    command = [sys.executable, "-S", "-E", "-c", _GUARD, str(os.getpid()), str(seconds), message]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as guard:
        try:
            yield
        finally:
            assert guard.stdin is not None
            guard.stdin.close()
