"""Races between real processes."""

import pytest

from kerascnn.bench.rounds import Contestant, race
from kerascnn.errors import KerascnnError

CONTESTANTS = '''
import os, sys, time

def noted(name, path, seconds=0.0):
    """Writes its name at each step, so that the order of the turns can be read afterwards."""
    print("libraries print", flush=True)
    def step():
        time.sleep(seconds)
        with open(path, "a") as file:
            file.write(name)
    return step

def hungry():
    block = bytearray(200 * 2**20)
    return lambda: block[:: 4096].count(0)

def meeting(name, other, folder):
    """Is ready when the other has begun, too."""
    open(f"{folder}/{name}", "w").close()
    for _ in range(600):
        if os.path.exists(f"{folder}/{other}"):
            return lambda: None
        time.sleep(0.05)
    raise RuntimeError("alone")

def shot():
    import signal
    print("WARNING: All log messages before absl::InitializeLog() is called", file=sys.stderr)
    print("I0000 00:00:1795804961.492261    7320 port.cc:153] Hello.", file=sys.stderr)
    print("2026-11-27 18:00:00.1: I tensorflow/core/util/port.cc:153] Hello.", file=sys.stderr)
    print("out of coal", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)

def dying():
    def step():
        if os.environ.pop("ALIVE", None) is None:
            raise RuntimeError("out of coal")
    os.environ["ALIVE"] = "1"
    return step
'''


@pytest.fixture
def contestants(tmp_path, monkeypatch):
    """A function that makes contestants of the module above."""
    (tmp_path / "contestants_of_a_test.py").write_text(CONTESTANTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda make, **arguments: Contestant(
        str(arguments.get("name", make)), f"contestants_of_a_test:{make}", arguments
    )


def test_contestants_take_turns_after_all_are_ready(contestants, tmp_path):
    path = tmp_path / "turns"
    pair = [contestants("noted", name=name, path=str(path)) for name in "AB"]
    race(pair, rounds=3, warm_up=2)
    assert path.read_text() == "AB" + "AB" * 2 + "AB" * 3


def test_times_and_memory_are_the_contestants_own(contestants, tmp_path):
    path = str(tmp_path / "turns")
    slow, hungry = race(
        [contestants("noted", name="slow", path=path, seconds=0.2), contestants("hungry")],
        rounds=3,
    )
    assert (slow.name, hungry.name) == ("slow", "hungry")
    assert 0.2 <= slow.fastest <= slow.seconds <= slow.slowest
    assert slow.first_step >= 0.2
    assert hungry.peak_memory >= 200 * 2**20 > slow.peak_memory


@pytest.mark.parametrize(
    ("make", "said"), [("dying", "out of coal"), ("missing", "has no attribute 'missing'")]
)
def test_a_contestant_that_fails_says_why(contestants, make, said):
    with pytest.raises(KerascnnError, match=said):
        race([contestants(make)], rounds=1)


def test_contestants_start_together_where_asked(contestants, tmp_path):
    """Each of these waits for the other, and fails if nobody comes."""
    pair = [
        contestants("meeting", name=name, other=other, folder=str(tmp_path))
        for name, other in ("AB", "BA")
    ]
    assert [found.name for found in race(pair, rounds=1, together=True)] == ["A", "B"]


def test_others_race_without_one_that_fails(contestants, tmp_path):
    told = []
    path = str(tmp_path / "turns")
    found = race(
        [contestants("missing"), contestants("noted", name="A", path=path)],
        rounds=1,
        failed=told.append,
    )
    assert [measured.name for measured in found] == ["A"]
    assert "missing" in told[0]


def test_an_end_by_a_signal_is_named_and_greetings_are_left_out(contestants):
    with pytest.raises(KerascnnError) as caught:
        race([contestants("shot")], rounds=1)
    said = str(caught.value)
    assert said == "The benchmark of shot was ended by SIGSEGV:\nout of coal"
