"""How many processors this process may use."""

from __future__ import annotations

import os


def available() -> int:
    """Those that it may run on: in a container or under taskset fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # noqa: TID251
