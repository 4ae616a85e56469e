"""Colours of classes, pictures of masks, and what is written of them."""

import io
import json

import numpy as np
import pytest
from kerascnn_segmentation import pictures, writing
from kerascnn_segmentation.task import SEGMENTATION
from kerascnn_segmentation.writing import Folder, Outlined
from PIL import Image

from kerascnn import overlays
from kerascnn.console import Console
from kerascnn.data import VOID
from kerascnn.errors import ArgumentError

NAMES = ("background", "cat", "dog")


@pytest.fixture
def answer():
    mask = np.zeros((20, 30), "uint8")
    mask[5:15, 5:15] = 1
    mask[5:15, 20:25] = 2
    return Outlined(mask, np.full((20, 30, 3), 100, "uint8"))


def test_an_answer_is_shown_as_shares_of_the_pixels_and_a_picture(answer):
    shown = SEGMENTATION.shown(answer, NAMES)
    assert [name for name, _ in shown.classes] == ["background", "cat", "dog"]
    assert [share for _, share in shown.classes] == pytest.approx([450 / 600, 100 / 600, 50 / 600])
    assert shown.picture.axes[0].images


def test_samples_show_the_middle_that_a_network_answers_for(answer):
    images, masks = answer.photo[None], answer.mask[None]
    figure = pictures.samples(images, masks, masks[:, 2:18, 5:25], NAMES)
    image, truth, given, errors = (picture.get_array() for picture in figure.axes[0].images)
    assert image.shape == truth.shape == given.shape == (16, 20, 3)
    np.testing.assert_array_equal(truth, given)
    assert len(np.unique(errors.reshape(-1, 3), axis=0)) == 1
    assert figure.axes[0].get_title("left").endswith("100.0%")


def test_what_nobody_knows_is_no_error(answer):
    masks = np.where(answer.mask == 2, VOID, answer.mask)[None]
    figure = pictures.samples(answer.photo[None], masks, np.zeros_like(masks), NAMES)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown[-1] == f"{100 / 550:.1%} wrong"


def test_the_bars_are_the_ious_and_say_which_classes_are_not_there():
    figure = pictures.overlaps(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), NAMES)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.8, 0]
    assert [text.get_text() for text in axes.texts] == ["75.0%", "80.0%", "not there"]


def test_a_photo_of_any_size_becomes_a_picture_that_fits_a_screen():
    mask = np.zeros((40, 3000), "uint8")
    figure = pictures.found_in(np.zeros((40, 3000, 1), "uint8"), mask, NAMES, "x" * 500)
    width, height = figure.get_size_inches() * figure.dpi
    assert width <= pictures.LARGEST
    assert height < 400


def test_areas_come_largest_first_and_add_up(answer):
    found = writing.areas(answer.mask, NAMES)
    assert [(one["name"], one["pixels"]) for one in found] == [
        ("background", 450),
        ("cat", 100),
        ("dog", 50),
    ]
    assert sum(one["share"] for one in found) == pytest.approx(1)
    assert json.loads(json.dumps(writing.as_object("a.jpg", answer, NAMES)))["height"] == 20


def test_the_terminal_shows_the_largest_areas_and_counts_the_others(answer):
    console = Console(file=io.StringIO(), width=80)
    writing.show(console, "a.jpg", answer, NAMES, top=2)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "a.jpg  20×30"
    assert [line.split()[0] for line in lines[1:3]] == ["75.00%", "16.67%"]
    assert lines[3].strip() == "and 1 more"


def test_a_folder_gets_masks_colours_and_overlays_and_no_photo_overwrites_another(answer, tmp_path):
    folder = Folder(tmp_path / "found", NAMES)
    for path in ("one/a.jpg", "two/A.png", "a-2.jpg"):
        folder.write(path, answer)
    written = sorted(path.relative_to(tmp_path / "found") for path in tmp_path.rglob("*.png"))
    assert [str(path) for path in written] == [
        f"{part}/{name}.png"
        for part in ("colours", "masks", "overlays")
        for name in ("A-2", "a-2-2", "a")
    ]
    with Image.open(tmp_path / "found" / "masks" / "a.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), answer.mask)
        expected = overlays.coloured(answer.mask, overlays.palette(NAMES))
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected)
    with Image.open(tmp_path / "found" / "colours" / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_a_folder_that_cant_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "a.png", tmp_path / "not" / "there"):
        with pytest.raises(ArgumentError, match="--save must be"):
            writing.check_folder(path)
    writing.check_folder(tmp_path / "new")
    writing.check_folder(tmp_path)


@pytest.mark.parametrize("part", ["masks", "colours", "overlays"])
def test_a_folder_that_has_masks_is_refused(tmp_path, part):
    """It may be the user's own: a source `masks:PATH` has such a folder, too."""
    (tmp_path / part).mkdir()
    writing.check_folder(tmp_path)
    (tmp_path / part / "street.png").touch()
    with pytest.raises(ArgumentError, match=rf"none is replaced.*in which there is {part}\."):
        writing.check_folder(tmp_path)
