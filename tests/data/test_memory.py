"""Memory grows by some bytes a file, not by an object a file."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

FEW, MANY = 1_000, 31_000
# Of each file: its name of 35 bytes, where that begins and ends, size, label, its place in its
# split and in the shuffled order. A list of paths would take 150 bytes, a list of tuples 300.
MOST = 200

MEASURE = """
import json, sys
import tensorflow as tf
from kerascnn.data import load

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

tf.constant(0)
load(f"folder:{sys.argv[1]}", input_shape=(8, 8, 3), echo=None)  # whatever is loaded only once
before = resident()
photos = load(f"folder:{sys.argv[2]}", input_shape=(8, 8, 3), echo=None)
batches = iter(photos.train.batches(16, seed=1))
sizes = [len(next(batches)[0]) for _ in range(3)]
print(json.dumps([photos.train.size, sizes, resident() - before]))
"""


def fill(root, count):
    """Links to one image, with names as long as ImageNet's."""
    root.mkdir()
    Image.new("RGB", (8, 8), "red").save(root / ".one.jpg")
    for group in range(10):
        (root / f"n{group:08}").mkdir()
        for number in range(count // 10):
            os.symlink("../.one.jpg", root / f"n{group:08}" / f"n{group:08}_{number:08}.JPEG")
    return root


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_for_each_file(tmp_path):
    """From listing to the first batches of a shuffled epoch, less what a small folder takes."""
    small, large = fill(tmp_path / "small", FEW), fill(tmp_path / "large", MANY)
    grown = []
    for root in (small, large):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, small, root],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "KERASCNN_CACHE": str(tmp_path / "cache")},
        )
        size, sizes, more = json.loads(done.stdout)
        assert sizes == [16] * 3
        grown.append((size, more))
    (few, little), (many, much) = grown
    assert many > 20_000
    assert (much - little) / (many - few) < MOST
