"""A sheet shows the maps, patches and projections that were found, and says what is missing."""

import dataclasses

import numpy as np
import pytest

from kerascnn import explain
from kerascnn.errors import ArgumentError
from kerascnn.pictures import GRID, pixels

MAPS, SHOWN, K = 12, 6, 9


@pytest.fixture(scope="module")
def found():
    """White patches, as the unit of map 5 never fires and that of map 3 for two images only."""
    rng = np.random.default_rng(0)
    values = np.sort(rng.random((MAPS, K)).astype("float32"), axis=1)[:, ::-1] + 1
    values[5], values[3, 2:] = 0, 0
    shapes = [[(5, 5, 3)] * 7 + [(2, 5, 3), (5, 1, 3)]] * SHOWN
    zeros = np.zeros((MAPS, K), "int64")
    return explain.TopPatches(
        layer="C3",
        method="deconvnet",
        values=values,
        index=zeros,
        position=np.stack([zeros] * 2, axis=-1),
        box=np.stack([zeros] * 4, axis=-1),
        field=None,
        image_shape=(20, 20, 3),
        channels=np.arange(SHOWN) + 1,
        patches=tuple(tuple(np.full(s, 255, "uint8") for s in row) for row in shapes),
        projections=tuple(tuple(np.ones(s, "float32") for s in row) for row in shapes),
    )


def texts(figure):
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]


def test_a_sheet_names_layer_maps_and_strongest_values(found):
    figure = explain.sheet(found)
    title, what, *maps = texts(figure)
    assert title == "C3: 6 of 12 feature maps"
    assert what == "left the 9 strongest patches, right: projected by deconvnet"
    expected = [f"max {found.values[channel, 0]:.3g}" for channel in found.channels]
    expected[4] = "never fires"
    assert maps[::2] == [f"map {channel}" for channel in found.channels]
    assert maps[1::2] == expected
    assert len(figure.axes[0].images) == 2 * SHOWN


def test_rows_columns_and_title_are_as_asked_for(found):
    figure = explain.sheet(found, rows=2, columns=2, title="what it sees")
    assert texts(figure)[0] == "what it sees"
    assert texts(figure)[2::2] == ["map 1", "map 2", "map 3", "map 4"]
    lefts = [image.get_extent()[0] for image in figure.axes[0].images]
    assert lefts[:4] == lefts[4:] == sorted(lefts[:4])


def test_patches_stand_in_the_order_of_reading_and_projections_beside_them(found):
    light = np.arange(K) * 20 + 60
    patches = tuple(np.full((4, 4, 1), value, "uint8") for value in light)
    projections = tuple(np.full((4, 4, 1), value, "float32") for value in [-1] * 8 + [0])
    one = dataclasses.replace(
        found, channels=np.array([1]), patches=(patches,), projections=(projections,)
    )
    left, right = (image.get_array() for image in explain.sheet(one).axes[0].images)
    places = [(row, column) for row in (20, 120, 250) for column in (20, 120, 250)]
    assert [int(left[place][0]) for place in places] == light.tolist()
    # Each projection has its own scale: the most negative is black, zero is grey.
    assert [int(right[place][0]) for place in places] == [0] * 8 + [128]


def test_where_a_unit_does_not_fire_the_place_is_empty(found):
    empty = bytes.fromhex(GRID[1:])
    for slot, lit in ((0, 9), (2, 2), (4, 0)):
        for image in explain.sheet(found).axes[0].images[2 * slot : 2 * slot + 2]:
            array = image.get_array()
            centres = [bytes(array[y, x]) for y in (48, 148, 248) for x in (48, 148, 248)]
            assert centres.count(empty) == 9 - lit


def test_patches_of_other_types_and_channels_than_pixels_are_shown_in_their_range(found):
    patches = tuple(np.full((3, 3, 5), value, "float32") for value in range(-4, 5))
    projections = tuple(np.zeros((3, 3, 5), "float32") for _ in range(K))
    one = dataclasses.replace(
        found, channels=np.array([1]), patches=(patches,), projections=(projections,)
    )
    left, right = (image.get_array() for image in explain.sheet(one).axes[0].images)
    assert (left[48, 48].tolist(), left[248, 248].tolist()) == ([0] * 3, [255] * 3)
    assert right[48, 48].tolist() == [128] * 3


def test_no_text_leaves_the_sheet_or_meets_another(found):
    for columns, k in ((1, 9), (4, 1), (6, 9)):
        rows = found.patches, found.projections
        patches, projections = (tuple(row[:k] for row in part) for part in rows)
        some = dataclasses.replace(
            found, values=found.values[:, :k], patches=patches, projections=projections
        )
        figure = explain.sheet(some, columns=columns)
        pixels(figure)  # draws it
        for text in [*figure.texts, *figure.axes[0].texts]:
            box = text.get_window_extent()
            assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1, text.get_text()
            assert 0 <= box.y0 <= box.y1 <= figure.bbox.y1, text.get_text()
        captions = [text.get_window_extent() for text in figure.axes[0].texts]
        for number, one in enumerate(captions):
            assert not any(one.overlaps(other) for other in captions[number + 1 :])


@pytest.mark.parametrize("arguments", [{"rows": 0}, {"columns": -1}])
def test_a_sheet_has_at_least_one_row_and_column(found, arguments):
    with pytest.raises(ArgumentError, match="at least 1"):
        explain.sheet(found, **arguments)


def test_a_sheet_of_no_map_is_refused(found):
    nothing = dataclasses.replace(found, channels=np.arange(0), patches=(), projections=())
    with pytest.raises(ArgumentError, match="at least one map"):
        explain.sheet(nothing)
