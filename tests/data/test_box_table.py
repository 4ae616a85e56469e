"""Tables of objects in boxes: the header decides, each row is an object, a wrong one is named."""

import functools

import annotated
import numpy as np
import pytest
from PIL import Image

from kerascnn import data
from kerascnn.errors import DataError

load = functools.partial(data.load, echo=None, input_shape=(20, 30, 3), validation=0, test=0)


@pytest.fixture
def table(tmp_path):
    """Writes a table beside three images of 20×30, `photos/N.png`."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(annotated.noise(number, (20, 30))).save(tmp_path / f"photos/{number}.png")

    def write(text):
        (tmp_path / "list.csv").write_text(text, encoding="utf-8")
        return f"csv:{tmp_path / 'list.csv'}"

    return write


@pytest.mark.parametrize(
    "header",
    [
        "file,x1,y1,x2,y2,label",
        "path,x1,y1,x2,y2,class",
        "filename,xmin,ymin,xmax,ymax,class",
        "image,xmin,ymin,xmax,ymax,label",
    ],
)
def test_each_row_is_an_object_of_its_image(table, header):
    first = "photos/0.png,1,2,30.5,20,dog\nphotos/1.png,,,,,\n./photos/0.png, 0,0 ,5,5.25,cat\n"
    found = load(table(f"{header}\n{first}"), target="boxes")
    assert found.class_names == ("cat", "dog")
    targets = found.train.targets
    assert targets.checked(0).tolist() == [[1, 2, 30.5, 20, 1, 0], [0, 0, 5, 5.25, 0, 0]]
    assert targets.checked(1).shape == (0, 6)
    np.testing.assert_array_equal(found.train.original(0), annotated.noise(0, (20, 30)))


def test_columns_may_be_in_any_order_and_others_are_passed_over(table):
    text = (
        "split,score,y2,x2,y1,x1,label,file\nval,1,9,8,2,1,7,photos/0.png\ntrain,,,,,,,photos/1.png"
    )
    found = load(
        table(f"{text}\n,,9,9,0,0,10,photos/2.png".replace("\n,,9", "\ntrain,,9")), target="boxes"
    )
    assert found.class_names == ("7", "10")
    assert found.validation.targets.checked(0).tolist() == [[1, 2, 8, 9, 0, 0]]
    assert (found.train.size, found.validation.size) == (2, 1)


def test_a_label_is_that_of_images_with_one_class(table):
    rows = [f"photos/{image}.png,0,0,5,5,{label}" for image, label in ("0b", "0b", "1a", "1b")]
    found = load(table("\n".join(["file,x1,y1,x2,y2,label", *rows])))
    assert (found.train.labels.tolist(), list(found.train.names)) == ([1], [b"photos/0.png"])
    assert found.notes[0].startswith("1 of 2 train images are left out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\nphotos/0.png,a",
            r"line 1: expected the columns of a table of boxes, file, x1",
        ),
        ("file,x1,y1,x2,label\n", "line 1: expected the columns of a table of boxes"),
        ("file,x1,y1,x2,y2,y2,label\n", "line 1: a column is there twice"),
        ("file,x1,y1,x2,y2,label\n", "no line below its header"),
        ("file,x1,y1,x2,y2,label\nphotos/0.png,,,,,\n", r"no object; name the classes as in csv:"),
        ("file,x1,y1,x2,y2,label\n,1,1,2,2,a\n", "line 2: the file is empty"),
        ("file,x1,y1,x2,y2,label\nphotos/0.png,1,1,2\n", "line 2: it has fewer fields"),
        (
            "file,x1,y1,x2,y2,label\nphotos/0.png,1,1,2,,a\n",
            r"photos/0\.png: line 2: expected the box's corners in pixels. Received: '1, 1, 2, '",
        ),
        (
            "file,x1,y1,x2,y2,label\nphotos/0.png,1,1,nan,2,a\n",
            "line 2: expected the box's corners",
        ),
        (
            "file,x1,y1,x2,y2,label\nphotos/0.png,1,1,9e9,2,a\n",
            "line 2: expected the box's corners",
        ),
        (
            "file,x1,y1,x2,y2,label\nphotos/0.png,1,1,2,2,\nphotos/0.png,1,1,2,2,a\n",
            "line 2: the label is empty",
        ),
        (
            "file,x1,y1,x2,y2,label\nphotos/0.png,1,1,2,2,a\nphotos/0.png,,,,,\n",
            "line 3: 'photos/0.png' is there a second time, with and without an object",
        ),
        ("file,x1,y1,x2,y2,label\nphotos/9.png,1,1,2,2,a\n", r"line 2: there is no file .*9\.png"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(table, text, message):
    with pytest.raises(DataError, match=r"list\.csv.*" + message):
        load(table(text), target="boxes")


def test_classes_are_named_for_boxes_alone(table):
    with pytest.raises(DataError, match=r"has no boxes; \?classes= is for tables that have"):
        load(table("path,label\nphotos/0.png,a\n") + "?classes=a")


def test_a_check_takes_what_the_header_has(table):
    assert data.check(table("path,label\nphotos/0.png,a\n")).target == "label"
    report = data.check(table("file,x1,y1,x2,y2,label\nphotos/0.png,0,0,3,4,a\n") + "?range=0:9")
    assert (report.target, report.counts["train"]) == ("boxes", {"a": 1})
