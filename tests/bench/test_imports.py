"""Commands are timed until they say something; one that fails has no time, and says why."""

import math

import pytest

from kerascnn import registry
from kerascnn.bench import imports
from kerascnn.errors import KerascnnError

ELSEWHERE = {"pull"}  # needs a hub


def test_every_command_of_ours_is_timed():
    entries = registry.entries(registry.COMMANDS)
    ours = {name for name, (entry, *_) in entries.items() if entry.provider == registry.OURS}
    timed = {typed.split()[0] for typed in (*imports.DESCRIBING, *imports.COMMANDS)}
    assert ours - ELSEWHERE == timed - {"--help"}


def test_time_runs_to_the_first_output_and_not_to_the_end():
    seconds = imports._run(["-u", "-c", "print('there'); import time; time.sleep(600)"])
    assert seconds < 300


def test_a_command_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(imports, "IMPORTS", {"python": ("-c", "pass")})
    monkeypatch.setattr(imports, "DESCRIBING", ("info nothing",))
    fast, failed = imports.measure(["lenet5"], rounds=1)
    assert fast.failure == ""
    assert math.isnan(failed.seconds)
    assert "There is no architecture 'nothing'" in failed.failure


def test_an_import_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(imports, "IMPORTS", {"wrong": ("-c", "import no_such_module")})
    with pytest.raises(KerascnnError, match="No module named 'no_such_module'"):
        imports.measure([], rounds=1)
