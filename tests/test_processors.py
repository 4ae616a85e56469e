"""How many processors there are for a process is what it may use, not what the machine has."""

import os
import subprocess
import sys

import pytest

from kerascnn import processors

COUNT = "from kerascnn import processors; print(processors.available())"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_that_is_kept_to_one_processor_has_one():
    allowed = min(os.sched_getaffinity(0))
    shown = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{allowed}]); {COUNT}"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "1\n"


def test_there_is_at_least_one():
    assert 1 <= processors.available() <= (os.cpu_count() or 1)  # noqa: TID251
