"""What a run keeps of its images: small, exact, and a stranger's is refused in one message."""

import io
import os
from dataclasses import replace

import numpy as np
import pytest

from kerascnn.data import SPLITS, ReadSplit, joined, load
from kerascnn.errors import RunError
from kerascnn.runs import sides


def test_an_image_takes_21_bytes(striped_run, photos):
    size = (striped_run.path / sides.FILE).stat().st_size
    assert size == 192 + 180 * 21  # NumPy's header is a multiple of 64 bytes
    found = sides.read(striped_run.path)
    assert found is not None
    assert found.sizes() == striped_run.config.data.sizes
    data = load(f"folder:{photos}", input_shape=(32, 32, 1), echo=None)
    assert found.named(data.train, "train").tolist() == list(range(data.train.size))
    assert found.named(data.train, "test").size == 0
    assert found.trained(data.train) == data.train.size
    assert found.trained(data.test) == 0


def test_a_file_of_another_size_is_another_image(tmp_path, draw):
    """In its place, or under its name."""
    draw(tmp_path / "a", "plain", range(10))
    draw(tmp_path / "a", "down", range(10))
    data = load(f"folder:{tmp_path / 'a'}", input_shape=(32, 32, 1), echo=None)
    (tmp_path / "run").mkdir()
    sides.write(tmp_path / "run", data)
    first = os.fsdecode(data.train.names[0])
    with open(tmp_path / "a" / first, "ab") as file:
        file.write(b"more")
    again = load(f"folder:{tmp_path / 'a'}", input_shape=(32, 32, 1), echo=None)
    kept = sides.read(tmp_path / "run")
    assert kept.trained(again.train) == data.train.size - 1
    assert kept.named(again.train, "train").size == data.train.size
    assert kept.changes(again.train, "train").resized == (1, 1)


def test_images_without_names_are_not_taken_for_each_other(tmp_path):
    """Positions are no names: each split has a first image."""
    data = load("mnist5k", echo=None)
    first = ReadSplit(lambda position: data.train.example(position)[0], np.zeros(9), (28, 28, 1))
    sides.write(tmp_path, replace(data, train=first, validation=first, test=first))
    kept = sides.read(tmp_path)
    assert kept.sizes() == dict.fromkeys(SPLITS, 9)
    for split in (first, first.take(np.arange(5)), joined([first, first])):
        assert kept.trained(split) == 0
        assert kept.named(split, "test").size == 0


def header(text, size=118):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def whole(rows):
    file = io.BytesIO()
    np.save(file, rows)
    return file.getvalue()


GOOD = np.zeros(3, sides.ROW)
HUGE = repr({"descr": sides.ROW.descr, "fortran_order": False, "shape": (10**15,)}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing",
        whole(GOOD)[:-1],
        whole(GOOD) + b"x",
        whole(GOOD.reshape(3, 1)),
        whole(np.zeros(5, "uint64")),
        whole(np.array([{}, None], object)),
        header(HUGE + b"\n"),
        header(b"{" * 400 + b"\n"),
        header(b"__import__('os').abort()\n"),
        b"PK\x03\x04" + bytes(100),
        whole(np.full(3, 255, "u1").view("u1").repeat(21).view(sides.ROW)),
    ],
)
def test_a_damaged_file_is_one_message(tmp_path, content):
    (tmp_path / sides.FILE).write_bytes(content)
    with pytest.raises(RunError, match=r"images\.npy is damaged: .*isn't known which images"):
        sides.read(tmp_path)


def test_neither_a_link_nor_a_fifo_is_read(tmp_path):
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir):
        make(tmp_path / sides.FILE)
        with pytest.raises(RunError, match=r"images\.npy is damaged"):
            sides.read(tmp_path)
        if (tmp_path / sides.FILE).is_dir():
            continue
        (tmp_path / sides.FILE).unlink()


def test_numbers_are_found_among_others():
    found = sides._find(np.array([5, 7, 1, 9, 0]), np.array([9, 5, 3, 1]))
    assert found.tolist() == [1, -1, 3, 0, -1]
    assert sides._find(np.array([1]), np.array([])).tolist() == [-1]
