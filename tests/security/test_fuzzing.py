"""Damaged and hostile files of every kind: read, or refused in one message that names the file.

The figures: `python tests/security/fuzzing.py --files 40`, or this test with `-s`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "fuzzing.py"


def fuzzed(*options):
    """The figures of each kind, printed as a table; all failures."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *options], stdout=subprocess.PIPE, text=True, check=True
    )
    found = json.loads(done.stdout)
    print(f"\n{'':18}   tried  refused    read")
    for kind, figures in found.items():
        print(f"{kind:18}", *(f"{figures[name]:7}" for name in ("tried", "refused", "read")))
    total = [sum(one[name] for one in found.values()) for name in ("tried", "refused", "read")]
    print(f"{'all':18}", *(f"{number:7}" for number in total))
    return [failure for figures in found.values() for failure in figures["failed"]]


@pytest.mark.slow
def test_every_damaged_file_is_read_or_refused_by_its_name():
    assert fuzzed("--files", "30", "--seed", "1") == []
