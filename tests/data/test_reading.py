"""Image files read in their own size, for networks that take any."""

import numpy as np
import pytest
from PIL import Image

from kerascnn.data.files import Found
from kerascnn.data.reading import AHEAD, read_files, read_whole


@pytest.fixture
def photos(tmp_path):
    """Files of several sizes, and one that is none."""
    rng = np.random.default_rng(0)
    for number, size in enumerate([(5, 7), (40, 3), (6, 6)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3)).astype("uint8")).save(
            tmp_path / f"{number}.png"
        )
    (tmp_path / "bad.png").write_bytes(b"nothing")
    return tmp_path


def test_photos_keep_their_size_and_get_the_channels_that_are_wanted(photos):
    found = list(read_whole([Found(str(photos / f"{n}.png")) for n in range(3)], 1))
    assert [photo.pixels.shape for photo in found] == [(5, 7, 1), (40, 3, 1), (6, 6, 1)]
    assert {photo.changes for photo in found} == {("converted from colour to grey",)}
    (colour,) = read_whole([Found(str(photos / "0.png"))], 3)
    assert colour.changes == ()
    with Image.open(photos / "0.png") as image:
        np.testing.assert_array_equal(colour.pixels, np.asarray(image))


def test_a_file_that_cant_be_read_says_so_and_the_next_comes(photos):
    files = [Found(str(photos / name)) for name in ("bad.png", "0.png")]
    bad, good = read_whole(files, 3)
    assert bad.pixels is None
    assert "bad.png can't be read" in bad.error
    assert good.error == ""


def test_no_more_files_are_taken_than_will_be_read_soon(photos):
    taken = []

    def files():
        for number in range(10):
            taken.append(number)
            yield Found(str(photos / "0.png"))

    coming = read_whole(files(), 3)
    next(coming)
    assert len(taken) == 1 + AHEAD


def test_bytes_that_are_at_hand_are_read_and_the_path_only_names_them(photos):
    content = (photos / "0.png").read_bytes()
    (whole,) = read_whole([Found("nowhere", content=content)], 1)
    (expected,) = read_whole([Found(str(photos / "0.png"))], 1)
    np.testing.assert_array_equal(whole.pixels, expected.pixels)
    ((fitted,),) = read_files([Found("nowhere", content=content)], (8, 8, 1), batch_size=1)
    assert (fitted.path, fitted.pixels.shape) == ("nowhere", (8, 8, 1))
    (bad,) = read_whole([Found("nowhere", content=b"")], 1)
    assert bad.error.startswith("nowhere can't be read")
