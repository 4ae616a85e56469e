"""Text files of strangers: one message that names the file, in bounded time and memory."""

import json
import os
from pathlib import Path

import pytest

from kerascnn import files
from kerascnn.errors import ArgumentError, DataError, KerascnnError, RunError
from kerascnn.recipes import book as recipe_book
from kerascnn.runs.results import read_history
from kerascnn.tasks.classification import ERROR

CASES = Path(__file__).parent / "cases"


READERS = (files.read_text, files.read_json, files.read_toml, files.read_csv)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "missing", "nul", "latin", "huge"])
def test_what_is_no_small_text_file_is_refused_at_once(tmp_path, read, kind):
    path = tmp_path / "file"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    elif kind == "nul":
        path.write_bytes(b'{"a": "\0"}')
    elif kind == "latin":
        path.write_bytes(b'a = "\xe9"')
    elif kind == "huge":  # sparse: a terabyte that needs no space
        with open(path, "wb") as file:
            file.truncate(2**40)
    with pytest.raises(RunError, match="file"):
        read(path, error=RunError)


def test_a_link_out_of_the_run_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "run" / "config.json").symlink_to("../secret")
    with pytest.raises(RunError, match=r"config\.json can't be read: it is a link out of"):
        files.read_json(tmp_path / "run/config.json", error=RunError, inside=tmp_path / "run")
    (tmp_path / "run" / "metrics.json").symlink_to("inner")
    (tmp_path / "run" / "inner").write_text("{}")
    found = files.read_json(tmp_path / "run/metrics.json", error=RunError, inside=tmp_path / "run")
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**6,
        '{"a":' * 10**5,
        "[" + "[]," * 10**6 + "[]]",
        "1" * 10**5,
        "9" * 30,
        "1e999",
        "NaN",
        "-Infinity",
        '{"a": 1, "a": 2}',
        r'"\u0000"',
        r'"\ud800"',
        '"' + '\\"' * 10**5,
        "",
        "{}{}",
    ],
    ids=lambda text: text[:8],
)
def test_json_has_nothing_that_python_would_choke_on(text):
    with pytest.raises(ValueError, match=r"\w"):
        files.parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 10**5,
        "a = nan",
        "a = 1e999",
        "a = " + "9" * 4000,
        "a = " + "9" * 10**5,
        "a." * 10**5 + "b = 1",
        '"x" . ' * 10**4 + "b = 1",
        "a = 1\na = 2",
        'a = "\\u0000"',
    ],
    ids=lambda text: text[:8],
)
def test_toml_has_nothing_that_python_would_choke_on(text):
    with pytest.raises(ValueError, match=r"\w"):
        files.parse_toml(text)


def test_ordinary_texts_are_read():
    values = {"a": [1, 2.5, None, True, "ü {[("], "b": {"c": -1e-9}}
    assert files.parse_json(json.dumps(values)) == values
    notes = 'notes = "one.two.three. And so on [see below]."\nsteps = [[1, 0.1], [2, 0.01]]'
    assert files.parse_toml(notes)["steps"] == [[1, 0.1], [2, 0.01]]


@pytest.mark.parametrize("path", sorted(CASES.glob("history-*")), ids=lambda path: path.name)
def test_a_damaged_history_is_never_used(path):
    with pytest.raises(RunError, match=path.name):
        read_history(path, (ERROR,))


@pytest.mark.parametrize("path", sorted(CASES.glob("recipe-*")), ids=lambda path: path.name)
def test_a_damaged_recipe_is_refused_by_name(path):
    with pytest.raises(ArgumentError, match=path.name):
        recipe_book.read(path)


@pytest.mark.parametrize("path", sorted(CASES.glob("study-*")), ids=lambda path: path.name)
def test_a_damaged_study_is_refused_by_name(path):
    plan = pytest.importorskip("kerascnn_tuning.plan")
    with pytest.raises(KerascnnError, match=path.name):
        plan.Plan.read(path)


HOSTILE_TABLES = {
    "columns twice": "path,path,label\n0.png,1.png,a\n",
    "nul": "path,label\n0\0.png,a\n",
    "long line": "path,label\n" + "x" * 2**20 + ",a\n",
    "long header": "path," * 10**6 + "label\n",
    "open quote": 'path,label\n"' + "x\n" * 10**6,
    "label beyond": "path,label\nmake,--3\n",
    "huge label": "path,label\nmake," + "9" * 5000 + "\n",
    "binary": "\x01\x02\x03",
}


@pytest.mark.parametrize("name", HOSTILE_TABLES)
def test_a_hostile_table_of_images_is_refused_by_name(tmp_path, name):
    from kerascnn.data import load

    (tmp_path / "make").write_bytes(b"no image")
    (tmp_path / "table.csv").write_text(HOSTILE_TABLES[name])
    with pytest.raises(DataError, match=r"table\.csv|make"):
        load(f"csv:{tmp_path / 'table.csv'}")


@pytest.mark.parametrize("place", ["table.csv", "0.png"])
@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_a_table_that_is_no_file_or_lists_none_is_refused(tmp_path, place, kind):
    from kerascnn.data import load

    (tmp_path / "table.csv").write_text("path,label\n0.png,a\n")
    path = tmp_path / place
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(DataError, match=place):
        load(f"csv:{tmp_path / 'table.csv'}")


def test_a_mark_of_byte_order_is_no_part_of_the_text(tmp_path):
    """Editors on Windows begin a file with it."""
    (tmp_path / "mine.toml").write_text("epochs = 3\n", encoding="utf-8-sig")
    assert recipe_book.read(tmp_path / "mine.toml").epochs == 3
    (tmp_path / "mine.json").write_text('{"epochs": 3}', encoding="utf-8-sig")
    assert recipe_book.read(tmp_path / "mine.json").epochs == 3
