"""The picture of one photo, drawn from arrays of all shapes: nothing is cut off or covered."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from kerascnn.explain import pictures
from kerascnn.explain.methods import HEAT, PIXELS, SIGNED, STRENGTH
from kerascnn.explain.pictures import Layer, Panel, Said, StrongMap, picture

RNG = np.random.default_rng(0)


def panel(kind, shape):
    values = np.abs(RNG.normal(size=(4, 5))) if kind == HEAT else RNG.normal(size=shape[:2])
    if kind == PIXELS:
        values = RNG.normal(size=shape)
    words = "What can be seen here, in some words, and who has found it: Author et al., 2017"
    return Panel("A method at C5", words, kind, values, "least", "the most of all")


def layer(shape, field, count):
    top, left = shape[0] - field // 2, -field // 2
    one = StrongMap(
        channel=1234,
        value=0.000123456,
        unit=(0, 0),
        values=np.abs(RNG.normal(size=(3, 4))),
        field=(top, left, top + field, left + field),
        projection=RNG.normal(size=shape),
    )
    return Layer(
        "C4", ("a_layer_with_a_very_long_name", "512 of 3×4", "see 91 pixels"), [one] * count
    )


CASES = {
    "square": ((32, 32, 3), 5, 3, [9, 70]),
    "grey": ((28, 28, 1), 10, 3, [14, 16]),
    "wide": ((24, 96, 3), 5, 3, [9, 20, 500]),
    "tall": ((96, 24, 3), 5, 3, [9, 20, 500]),
    "four channels, many methods": ((40, 40, 4), 3, 9, [12]),
    "one class, no maps": ((32, 32, 3), 1, 1, []),
    "many classes and maps": ((64, 64, 3), 40, 2, [9, 9]),
}


def drawn(name):
    shape, classes, methods, fields = CASES[name]
    kinds = list(itertools.islice(itertools.cycle((HEAT, SIGNED, PIXELS, STRENGTH)), methods))
    said = [
        Said(f"a class with a name that is long, number {n}", 0.9 / (n + 1), n == 0)
        for n in range(classes)
    ]
    return picture(
        RNG.integers(0, 256, shape).astype("uint8"),
        said,
        [panel(kind, shape) for kind in kinds],
        [layer(shape, field, 11 if "maps" in name else 3) for field in fields[:4]],
        title="resnet18 says a class with a name that is long, number 0, which nobody expected",
        subtitle="a/path/of/many/folders/" * 5 + "photo.jpg",
    )


@pytest.mark.parametrize("name", CASES)
def test_words_and_pictures_are_on_the_page_and_cover_nothing(name):
    figure = drawn(name)
    canvas = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    (axes,) = figure.axes
    page = figure.bbox
    words = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
    images = [image.get_window_extent(renderer) for image in axes.images]
    assert len(images) > CASES[name][2]
    for box in (*words, *images):
        assert page.x0 <= box.x0 < box.x1 <= page.x1 + 1, box
        assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1, box
    for one, other in itertools.combinations([*words, *images], 2):
        shared = (
            min(one.x1, other.x1) - max(one.x0, other.x0),
            min(one.y1, other.y1) - max(one.y0, other.y0),
        )
        assert min(shared) < 2.5, (one, other)  # pixels, of 150 in an inch


def test_a_field_that_sticks_out_is_moved_into_the_image():
    assert pictures._window((-3, 5, 5, 13), (16, 16, 3)) == (0, 5, 8, 13)
    assert pictures._window((12, 12, 20, 20), (16, 16, 3)) == (8, 8, 16, 16)
    assert pictures._window((-9, 2, 30, 4), (16, 16, 3)) == (0, 2, 16, 4)
