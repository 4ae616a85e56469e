"""Colours of classes, and masks and boxes drawn over images."""

import numpy as np
import pytest

from kerascnn import overlays, pictures
from kerascnn.data import ABSENT, VOID, Boxes, Masks

NAMES = ("background", "cat", "dog")
PHOTO = np.full((20, 30, 3), 100, "uint8")
MASK = np.zeros((20, 30), "uint8")
MASK[5:15, 5:15] = 1
MASK[5:15, 20:25] = 2


def test_the_colours_of_21_classes_are_vocs():
    # Of the devkit's VOClabelcolormap: background, aeroplane, bicycle, person, tvmonitor, void.
    expected = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    found = overlays.voc_colours()
    assert {place: tuple(found[place].tolist()) for place in expected} == expected
    np.testing.assert_array_equal(overlays.palette(["a"] * 21), found[:21])
    assert tuple(found[VOID].tolist()) == overlays.UNKNOWN


@pytest.mark.parametrize("count", [2, 8, 60, 255])
def test_all_classes_have_colours_of_their_own(count):
    names = ["x", "background", *map(str, range(count - 2))]
    found = [tuple(color) for color in overlays.palette(names).tolist()]
    assert len({*found, overlays.UNKNOWN}) == count + 1
    assert found[1] == (0, 0, 0)


def test_an_overlay_leaves_the_background_and_has_full_colour_on_edges():
    found = overlays.overlay(PHOTO, MASK, NAMES)
    cat = overlays.palette(NAMES)[1]
    assert (found[0] == 100).all()
    assert (found[[5, 14], [5, 14]] == cat).all(), "on all sides"
    np.testing.assert_allclose(found[10, 10], 0.4 * 100 + 0.6 * cat, atol=0.5)


def test_masks_are_drawn_over_images_and_their_draws_with_a_legend():
    masks = MASK[None]
    shifted = np.roll(masks, 3, axis=2)
    shifted[:, :, :3] = VOID
    figure = overlays.augmented(
        PHOTO[None],
        [PHOTO[None]],
        ["a.jpg"],
        draw=Masks.draw,
        targets=[masks, shifted],
        class_names=NAMES,
    )
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*NAMES, "unknown"]
    *photos, first, second = figure.axes[0].images
    places = [[*image.get_extent()] for image in (*photos, first, second)]
    assert places[:2] == places[2:]
    for image, mask in ((first, masks[0]), (second, shifted[0])):
        colour, over = np.split(image.get_array(), [3], axis=2)
        shown = over * colour + (1 - over) * PHOTO / 255
        np.testing.assert_allclose(shown, overlays.overlay(PHOTO, mask, NAMES) / 255, atol=1 / 255)


def test_boxes_are_drawn_where_they_are_with_names():
    boxes = np.array([[[3, 4, 15, 10, 1, 0], [0, 0, 30, 20, 2, 1], [0, 0, 0, 0, ABSENT, 0]]])
    figure = overlays.augmented(
        PHOTO[None],
        [PHOTO[None]],
        ["a.jpg"],
        draw=Boxes.draw,
        targets=[boxes, boxes + 0.0],
        class_names=NAMES,
    )
    (axes,) = figure.axes
    first = [patch for patch in axes.patches if patch.get_linewidth() == 1.5]
    assert len(first) == 4
    np.testing.assert_allclose(first[0].get_bbox().bounds, [3 / 30, 4 / 30, 12 / 30, 6 / 30])
    assert first[2].get_x() == pytest.approx(1.12 + 3 / 30), "on the second picture"
    assert [patch.get_linestyle() for patch in first[:2]] == ["-", ":"]
    assert [text.get_text() for text in axes.texts].count("cat") == 2
    assert pictures.pixels(figure).ndim == 3


def test_found_boxes_have_their_scores_and_dashed_ones_no_names():
    (axes,) = pictures.figure_of(2, 2).subplots(1, 1, squeeze=False)[0]
    boxes = np.array([[2, 3, 12, 13, 1, 0.25], [0, 0, 0, 0, ABSENT, 0]], "float32")
    overlays.boxes_on(axes, boxes, NAMES, scored=True)
    overlays.boxes_on(axes, boxes, NAMES, dashed=True, named=False)
    assert [text.get_text() for text in axes.texts] == ["cat 0.25"]
    assert [patch.get_linestyle() for patch in axes.patches] == ["-", "--"]
