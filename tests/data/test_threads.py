"""A program that ends while a pipeline reads ahead must end."""

import subprocess
import sys

from PIL import Image

PROGRAM = """
import sys
from kerascnn.data import load

split = load("folder:" + sys.argv[1], input_shape=(64, 64, 3), echo=None).train
batches = iter(split.batches(4, seed=1, epochs=None).prefetch(200))
next(batches)
print("last line")
"""


def test_the_interpreter_ends_while_images_are_being_read(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(20):
            image = Image.effect_noise((200, 200), 60).convert("RGB")
            image.save(tmp_path / label / f"{number}.jpg")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "last line\n"
