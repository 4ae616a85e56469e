"""Anchors against those that the authors' file lists, and against torchvision's."""

import numpy as np
import pytest
from kerascnn_detection.anchors import Anchors

# In the comment at the top of the authors' generate_anchors.py: pixels from 1, the last included.
LISTED = """
 -83  -39  100   56
-175  -87  192  104
-359 -183  376  200
 -55  -55   72   72
-119 -119  136  136
-247 -247  264  264
 -35  -79   52   96
 -79 -167   96  184
-167 -343  184  360
"""


def test_the_papers_anchors_are_those_that_their_code_lists():
    x1, y1, x2, y2 = np.array(LISTED.split(), float).reshape(9, 4).T
    edges = np.stack([x1 - 1, y1 - 1, x2, y2], axis=1)
    np.testing.assert_array_equal(Anchors.papers().cell, edges)


def test_the_papers_anchors_are_centred_at_the_middle_of_a_cell():
    cell = np.array(Anchors.papers().cell)
    np.testing.assert_array_equal((cell[:, :2] + cell[:, 2:]) / 2, np.full((9, 2), 7.5 + 0.5))
    moved = Anchors.papers().over(3, 4, (16, 16)).numpy().reshape(3, 4, 9, 4)
    np.testing.assert_array_equal(moved[2, 3], np.add(cell, [48, 32, 48, 32]))


@pytest.mark.parametrize("name", ["paper_vgg_odd", "small", "two_levels_other_ratios"])
def test_torchvisions_anchors_are_its_own(case, name):
    one, arrays = case("torchvision-anchors", name=name)
    found = []
    maps = zip(one["sizes"], one["aspect_ratios"], one["maps"], one["strides"])
    for number, (sizes, ratios, map_size, strides) in enumerate(maps):
        anchors = Anchors.torchvision(sizes, ratios)
        np.testing.assert_array_equal(anchors.cell, arrays[f"{name}_cell{number}"])
        assert len(anchors) == one["per_location"][number]
        found.append(anchors.over(*map_size, strides))
    np.testing.assert_array_equal(np.concatenate(found), arrays[name])
