"""The curves of a training that goes on are SVG of what is known so far."""

import math
from xml.etree import ElementTree

from kerascnn.tasks.classification import ERROR
from kerascnn.watching.live_curve import HIGH, MOST, TOP, live_curves


def lines(rows):
    picture = ElementTree.fromstring(live_curves(rows, ERROR))
    return [line.get("points").split() for line in picture.findall("{*}polyline")]


def row(epoch, **values):
    return {"epoch": epoch, "loss": 1 / epoch, "error": 0.5 / epoch, **values}


def test_one_epoch_is_no_curve():
    assert live_curves([row(1)], ERROR) == ""


def test_lines_go_from_the_highest_value_to_the_lowest():
    loss, error = lines([row(1), row(2), row(4)])
    assert len(loss) == len(error) == 3
    heights = [float(point.partition(",")[2]) for point in loss]
    assert (heights[0], heights[-1]) == (TOP, TOP + HIGH)
    assert heights == sorted(heights)


def test_what_is_no_number_is_left_out():
    found = lines([row(1, val_loss=2.0), row(2, val_loss=math.nan), row(3, val_loss=1.0)])
    assert [len(line) for line in found] == [3, 2, 3]


def test_of_many_epochs_some_are_drawn_and_the_last_always():
    rows = [row(epoch) for epoch in range(1, 5001)]
    (loss, _) = lines(rows)
    assert len(loss) <= MOST + 1
    assert loss[-1].endswith(f",{TOP + HIGH:.1f}")
