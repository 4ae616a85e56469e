"""Processes that end others: real ones, killed as machines and people kill them."""

import os
import signal
import subprocess
import sys
import time

import pytest

WATCHED = """
import signal, sys, time
from kerascnn.distribution.watchdog import at_most, follow_launcher
{}
print("ready", flush=True)
time.sleep(60)
"""
# Starts a worker as `kerascnn launch` does, says its process number, and waits.
LAUNCHER = """
import os, subprocess, sys, time
worker = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1]],
    env={**os.environ, "KERASCNN_LAUNCHED": "1"},
    stdin=subprocess.PIPE,
    start_new_session=True,
)
print(worker.pid, flush=True)
time.sleep(60)
"""


def lines_after(launcher, number):
    """What is printed until everybody who has this output has ended; `number` kills first."""
    os.kill(launcher.pid, number)
    printed, _ = launcher.communicate(timeout=30)
    return printed


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-c", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def follow(first="", seconds=30):
    """A launcher and its worker, which is ready."""
    worker = WATCHED.format(f"{first}\nfollow_launcher({seconds}, 'The launcher is gone.')")
    launcher = start(LAUNCHER, worker)
    number = int(launcher.stdout.readline())
    assert launcher.stdout.readline() == "ready\n"
    return launcher, number


def test_a_worker_ends_with_its_launcher():
    """Killed by SIGKILL the launcher can't hand anything on."""
    note = "def note(*_):\n    print('saved')\n    sys.exit()\nsignal.signal(signal.SIGTERM, note)"
    launcher, _ = follow(note)
    assert lines_after(launcher, signal.SIGKILL) == "The launcher is gone.\nsaved\n"


def test_a_worker_that_is_deaf_to_signals_is_killed():
    """As while TensorFlow connects the workers."""
    launcher, _ = follow("signal.signal(signal.SIGTERM, signal.SIG_IGN)", seconds=2)
    assert lines_after(launcher, signal.SIGKILL) == "The launcher is gone.\n"


def test_a_worker_that_ends_first_ends_without_a_word():
    launcher, worker = follow()
    os.kill(worker, signal.SIGKILL)
    time.sleep(0.2)
    assert lines_after(launcher, signal.SIGKILL) == ""


def test_who_was_not_launched_follows_nobody(monkeypatch):
    """Standard input is somebody else's then: at its end nothing happens."""
    monkeypatch.delenv("KERASCNN_LAUNCHED", raising=False)
    code = WATCHED.format("follow_launcher(30, 'x')").replace("60", "1")
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("block", "status", "printed"),
    [
        ("with at_most(30, 'Too long.'): pass\nprint('in time')\nsys.exit()", 0, "in time\n"),
        ("with at_most(0.2, 'Too long.'): time.sleep(60)", -signal.SIGKILL, "Too long.\n"),
    ],
)
def test_a_block_has_so_much_time(block, status, printed):
    watched = start(WATCHED.format(block))
    assert watched.communicate(timeout=30)[0] == printed
    assert watched.returncode == status
