"""Polygons against the rule, pixel by pixel, and against pycocotools."""

import json
from pathlib import Path

import numpy as np
import pytest

from kerascnn.data.polygons import filled
from kerascnn.data.run_lengths import counts_of, decoded

POLYGONS = json.loads((Path(__file__).parent / "coco-masks.json").read_text())["polygons"]


def inside(points, x, y):
    """Whether a ray from the point to the right crosses the border an odd number of times."""
    odd = False
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, 1, axis=0)):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


def test_a_pixel_is_in_if_its_middle_is():
    rng = np.random.default_rng(0)
    for corners in (3, 4, 9):
        points = rng.uniform(-5, 25, (corners, 2))
        expected = [[inside(points, x + 0.5, y + 0.5) for x in range(17)] for y in range(20)]
        np.testing.assert_array_equal(filled(points, 20, 17), expected)


def test_a_rectangle_between_pixels_is_filled_to_its_edges():
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:7] = True
    box = np.array([[2, 1], [7, 1], [7, 4], [2, 4]], float)
    np.testing.assert_array_equal(filled(box, 6, 8), expected)
    np.testing.assert_array_equal(filled(box[::-1], 6, 8), expected)
    assert not filled(box + 20, 6, 8).any()
    assert not filled(box[:1], 6, 8).any()


def test_only_pixels_at_the_border_differ_from_pycocotools():
    differ = area = 0
    for one in POLYGONS:
        parts = one.get("polygons") or [one["polygon"]]
        found = np.zeros(one["size"], bool)
        for part in parts:
            found |= filled(np.array(part).reshape(-1, 2), *one["size"])
        theirs = decoded(counts_of(one["counts"]), *one["size"])
        height, width = theirs.shape
        around = np.pad(theirs, 1)
        shifted = [around[y : y + height, x : x + width] for y in range(3) for x in range(3)]
        border = np.any(shifted, axis=0) & ~np.all(shifted, axis=0)
        assert not ((found != theirs) & ~border).any()
        differ += (found != theirs).sum()
        area += theirs.sum()
    assert differ < 0.02 * area


def test_large_images_are_filled_in_bands(monkeypatch):
    points = np.random.default_rng(1).uniform(0, 40, (7, 2))
    whole = filled(points, 40, 40)
    monkeypatch.setattr("kerascnn.data.polygons.AT_ONCE", 500)
    np.testing.assert_array_equal(filled(points, 40, 40), whole)


def test_a_polygon_that_only_a_program_could_have_made_is_refused(monkeypatch):
    monkeypatch.setattr("kerascnn.data.polygons.AT_ONCE", 500)
    zigzag = np.array([[n % 7, 20 * (n % 2)] for n in range(100)], float)
    with pytest.raises(ValueError, match="100 corners crosses its rows too often"):
        filled(zigzag, 20, 20)
