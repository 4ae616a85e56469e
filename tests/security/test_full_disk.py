"""A full disk is one message, whoever was writing."""

import shutil
import subprocess
import sys

import pytest

SMALL = "lenet5 --set widths=2,4 --set hidden=8, --epochs 3 --batch-size 700"
TINY = """
mount -t tmpfs -o size=$1 tmpfs "$2"
shift 2
"$@"
"""


def on_a_disk(kilobytes, place, *words):
    """A command of ours with a file system of so many kB at `place`: its output and status."""
    place.mkdir(exist_ok=True)
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", TINY, "sh", f"{kilobytes}k", str(place), sys.executable,
         "-m", "kerascnn", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=place.parent,
    )  # fmt: skip


def mounts():
    found = shutil.which("unshare")
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return found and subprocess.run(words, capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(not mounts(), reason="needs a file system of its own")


def slow(*formats):
    return [pytest.param(format, marks=pytest.mark.slow) for format in formats]


def check(done):
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout
    assert done.stdout.count("Error: ") == 1
    assert "No space left on device" in done.stdout


@needs_mounts
def test_training_says_that_the_disk_is_full(tmp_path):
    check(on_a_disk(300, tmp_path / "disk", "train", *SMALL.split(), "--run", "disk/run"))


@pytest.mark.slow
@needs_mounts
def test_training_says_that_the_disk_is_full_wherever_it_is(tmp_path):
    """At each size another writer meets it: a checkpoint, the model, TensorBoard's logs."""
    for kilobytes in (4, 20, 120, 240, 420, 540):
        words = ("train", *SMALL.split(), "--run", "disk/run")
        done = on_a_disk(kilobytes, tmp_path / "disk", *words)
        if done.returncode:
            check(done)


@needs_mounts
@pytest.mark.parametrize("format", ["savedmodel", *slow("keras", "weights")])
def test_exporting_says_that_the_disk_is_full(trained, tmp_path, format):
    words = ("export", trained.path, "--format", format, "--output", "disk/model")
    check(on_a_disk(8, tmp_path / "disk", *words))
