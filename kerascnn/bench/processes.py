"""Work in fresh processes: what they answer, and how they ended if they don't."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from kerascnn.errors import KerascnnError

GREETINGS = re.compile(r"^[IWE]\d{4} |^\d{4}-\d\d-\d\d .*: [IWE] |^WARNING: All log messages ")
"""How the lines begin that TensorFlow writes whatever happens."""

LAST_LINES = 12
"""Of what a failed process said."""

QUIET: Mapping[str, str] = {"TF_CPP_MIN_LOG_LEVEL": "3"}
"""TensorFlow's own messages are left out, unless the user has said otherwise."""


def answer(module: str, *words: str, what: str, environment: Mapping[str, str] = QUIET) -> Any:
    """What `python -m MODULE WORD...` prints as JSON in its last line.

    Args:
        module: of this package.
        words: its arguments.
        what: it does, for messages.
        environment: what the process has besides the user's.

    Raises:
        KerascnnError: it failed; with how it ended, and the last lines that it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        capture_output=True,
        text=True,
        env={**QUIET, **os.environ, **environment},
    )
    if done.returncode:
        raise KerascnnError(ended(what, done.returncode, done.stderr))
    return json.loads(done.stdout.splitlines()[-1])


def ended(what: str, code: int, said: str) -> str:
    """How a process ended that should not have: by which signal or code, and its last lines.

    Args:
        what: it did.
        code: of subprocess: negative after a signal.
        said: all that it wrote to its standard error.
    """
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    lines = [line for line in said.splitlines() if line.strip() and not GREETINGS.match(line)]
    last = "\n".join(lines[-LAST_LINES:]) or "It said nothing."
    return f"{what} {how}:\n{last}"
