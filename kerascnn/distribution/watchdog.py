"""Other processes that watch this one, and end it where it can't do so itself.

While TensorFlow waits for the other workers it holds Python's lock: no thread, no signal handler
of this process runs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

LAUNCHED = "KERASCNN_LAUNCHED"  # set for a worker whose standard input its launcher keeps open

# TensorFlow swallows SIGTERM while it connects the workers, so it is sent again.
REPEAT = 2.0  # seconds

# Each waits, on its standard input, for the watched process to say that it is done, or to end.
# What is sent to a whole group of processes is for the others.
_BEGIN = """
import os, select, signal, sys
for number in signal.SIGINT, signal.SIGTERM:
    signal.signal(number, signal.SIG_IGN)
watched, seconds, message = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]

def done(seconds):
    return bool(select.select([sys.stdin], [], [], seconds)[0]) or os.getppid() != watched

def say():
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:  # who has read it is gone
        pass
"""

_LIMIT = """
if not done(seconds):
    say()
    os.kill(watched, signal.SIGKILL)
"""

# The launcher writes nothing: its pipe can be read when it is closed, thus when the launcher ends.
_FOLLOW = f"""
REPEAT, launcher = {REPEAT}, int(sys.argv[4])
if sys.stdin not in select.select([sys.stdin, launcher], [], [])[0] and not done(0):
    say()
    for _ in range(round(seconds / REPEAT)):
        os.kill(watched, signal.SIGTERM)
        if done(REPEAT):
            sys.exit()
    os.kill(watched, signal.SIGKILL)
"""

_followers: list[subprocess.Popen[bytes]] = []


@contextlib.contextmanager
def at_most(seconds: float, message: str) -> Iterator[None]:
    """Kill this process, after `message` on stderr, unless the block ends within `seconds`."""
    with _start(_LIMIT, seconds, message) as guard:
        try:
            yield
        finally:
            assert guard.stdin is not None
            guard.stdin.close()


def follow_launcher(seconds: float, message: str) -> None:
    """From now on this process ends when its launcher does, however that ends.

    It gets SIGTERM, after `message` on stderr; if it is still there after `seconds`, SIGKILL.
    Without a launcher, see `LAUNCHED`, nothing happens.
    """
    # Taken out: other programs that this one starts have no launcher.
    if os.environ.pop(LAUNCHED, None):
        launcher = os.dup(0)
        _followers.append(_start(_FOLLOW, seconds, message, launcher))
        os.close(launcher)


def _start(program: str, seconds: float, message: str, *pipes: int) -> subprocess.Popen[bytes]:
    words = [str(os.getpid()), str(seconds), message, *map(str, pipes)]
    command = [sys.executable, "-S", "-E", "-c", _BEGIN + program, *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=pipes)
