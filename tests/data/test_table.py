"""Tables of images: every line is used as it says, and a wrong one is named by its number."""

import functools

import numpy as np
import pytest
from PIL import Image

from kerascnn import data
from kerascnn.data import arguments, checking
from kerascnn.errors import DataError

load = functools.partial(data.load, echo=None, validation=0, test=0)


@pytest.fixture
def table(tmp_path):
    """Writes a table beside ten grey images `photos/N.png` of brightness N."""
    (tmp_path / "photos").mkdir()
    for number in range(10):
        Image.new("L", (8, 8), number).save(tmp_path / "photos" / f"{number}.png")

    def write(text, name="list.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def seen(split, names):
    return [
        (names[label], int(image[0, 0, 0]))
        for image, label in map(split.example, range(split.size))
    ]


def test_classes_and_order(table):
    found = load("csv:" + table("label,path\ndog,photos/3.png\ncat,photos/1.png\n'x',photos/7.png"))
    assert found.class_names == ("'x'", "cat", "dog")
    assert seen(found.train, found.class_names) == [("dog", 3), ("cat", 1), ("'x'", 7)]


def test_splits_and_further_columns(table):
    lines = [f'photos/{n}.png,"{n % 2}, or so",x,{s}' for n, s in enumerate("ttttvvvsss")]
    text = "\n".join(lines).replace(",t", ",train").replace(",v", ",Val").replace(",s", ",testing")
    found = load("csv:" + table("\ufeffpath,label,extra,split\n" + text))
    parts = (found.train, found.validation, found.test)
    numbers = [[number for _, number in seen(part, found.class_names)] for part in parts]
    assert numbers == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert found.class_names == ("0, or so", "1, or so")


def test_whole_numbers_are_in_order_of_value(table):
    found = load("csv:" + table("path,label\nphotos/1.png,10\nphotos/2.png,9\nphotos/3.png,-1"))
    assert found.class_names == ("-1", "9", "10")


def test_labels_for_a_folder(table, tmp_path):
    file = table("path,label\n3.png,a\nphotos/../1.png,b\n", "labels.csv")
    found = load(f"folder:{tmp_path / 'photos'}?labels={file}")
    assert seen(found.train, found.class_names) == [("a", 3), ("b", 1)]
    report = checking.check(f"folder:{tmp_path / 'photos'}?labels={file}")
    assert report.counts == {"train": {"a": 1, "b": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the columns path and label.*Received: nothing"),
        ("file,label\n", "line 1: expected the columns path and label.*Received: file, label"),
        ("path,label\n", "no line below its header"),
        ("path,label\nphotos/1.png,a\nphotos/2.png\n", "line 3: it has fewer fields"),
        ("path,label\nphotos/1.png,a,b\n", "line 2: it has more fields"),
        ("path,label\nphotos/1.png, \n", "line 2: the label is empty"),
        ("path,label\n,a\n", "line 2: the path is empty"),
        ("path,label,split\nphotos/1.png,a,odd\n", "line 2: the split .*Received: 'odd'"),
        ("path,label\nphotos/1.png,a\nphotos/x.png,a\n", "line 3: there is no file .*x.png"),
        ("path,label\nphotos/1.png,a\n./photos/1.png,b\n", "line 3: .* a second time"),
        ("path,label,split\nphotos/1.png,a,test\n", "no training image, only 1 for test"),
        ('path,label\n"photos/1.png,a\n', "can't be read as a table"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(table, text, message):
    with pytest.raises(DataError, match=r"list\.csv.*" + message):
        load("csv:" + table(text))


def test_a_missing_table_and_other_encodings(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        load(f"csv:{tmp_path}/none.csv")
    (tmp_path / "latin.csv").write_bytes("path,label\nü.png,ä\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"can't be read as a table.*utf-8"):
        load(f"csv:{tmp_path}/latin.csv")


def test_many_files_are_not_looked_at_one_by_one(table, monkeypatch):
    monkeypatch.setattr("kerascnn.data.table.LOOKED_AT", 1)
    monkeypatch.setattr("kerascnn.data.encoded.VERIFY_LIMIT", 1)
    text = "path,label\nphotos/1.png,a\nphotos/missing.png,a\n"
    found = load("csv:" + table(text), input_shape=(8, 8, 1))
    assert np.array_equal(found.train.example(0)[0], np.full((8, 8, 1), 1))
    with pytest.raises(DataError, match=r"missing\.png can't be read"):
        found.train.example(1)


@pytest.mark.parametrize(
    ("argument", "path", "options"),
    [
        ("a/b", "a/b", {}),
        ("train-?????-of-?", "train-?????-of-?", {}),
        ("x-??.rec?image=a/b&label=c", "x-??.rec", {"image": "a/b", "label": "c"}),
        ("C:/x?label=", "C:/x", {"label": ""}),
    ],
)
def test_options_behind_a_path(argument, path, options):
    assert arguments.parsed(argument, "image", "label") == (path, options)


def test_an_unknown_option_is_refused():
    with pytest.raises(DataError, match=r"Unknown option 'labes'; known: labels"):
        arguments.parsed("photos?labes=x.csv", "labels")
