"""`kerascnn predict` on many files: each has its row, in order, whatever its name; bad ones too."""

import csv
import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn.cli import app
from kerascnn.errors import ArgumentError, DataError

NAMES = [
    b"a,b.png",
    b"caf\xe9.png",
    b"new\nline.png",
    b'q"uote.png',
    b"r\rr.png",
    b"x:cat:[red].png",
]


def call(*arguments, stdin=b""):
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, ["predict", *given], input=stdin, env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images with names that need care, of three classes."""
    root = tmp_path_factory.mktemp("new")
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        pixels = rng.integers(0, 255, (32, 32)).astype("uint8") // (number + 1)
        with open(os.path.join(os.fsencode(root), name), "wb") as file:
            Image.fromarray(pixels).save(file, "PNG")
    return root


def expected(run, root):
    """Of each file, by `Run.predict`."""
    pixels = []
    for name in NAMES:
        with Image.open(io.BytesIO(open(os.path.join(os.fsencode(root), name), "rb").read())) as i:
            pixels.append(np.asarray(i)[..., None])
    names = np.array(run.config.class_names)
    for likely in run.predict(np.stack(pixels)):
        order = np.argsort(-likely, kind="stable")
        yield names[order].tolist(), likely[order]


def test_csv_and_json_lines_have_what_run_predict_says(striped_run, files, tmp_path):
    """Bytes of the names included, and as many digits as there are; in batches of any size."""
    for suffix, batch in ((".csv", 4), (".jsonl", 32)):
        path = tmp_path / f"found{suffix}"
        ended = call(striped_run.path, files, "--save", path, "--batch-size", batch, "--top", 9)
        assert ended.exit_code == 0, ended.exception
        assert ended.stdout == ""
        assert "Predictions of 6 images" in ended.stderr
    with open(tmp_path / "found.csv", encoding="utf-8", errors="surrogateescape", newline="") as f:
        rows = list(csv.DictReader(f))
    lines = (tmp_path / "found.jsonl").read_text("utf-8").splitlines()
    answers = list(expected(striped_run, files))
    assert len(rows) == len(lines) == len(answers)
    for row, line, name, (classes, likely) in zip(rows, map(json.loads, lines), NAMES, answers):
        place = os.path.join(os.fsencode(files), name)
        assert os.fsencode(row["image"]) == os.fsencode(line["image"]) == place
        assert [row[f"class_{n}"] for n in (1, 2, 3)] == classes
        assert [one["name"] for one in line["classes"]] == classes
        found = [float(row[f"probability_{n}"]) for n in (1, 2, 3)]
        np.testing.assert_allclose(found, likely, rtol=1e-5)
        found = [one["probability"] for one in line["classes"]]
        np.testing.assert_allclose(found, likely, rtol=1e-5)


def test_predictions_in_another_precision_are_near_and_a_wrong_one_is_refused(striped_run, files):
    exact = json.loads(call(striped_run.path, files, "--json").stdout)
    asked = call(striped_run.path, files, "--json", "--precision", "mixed_bfloat16")
    for one, near in zip(exact, json.loads(asked.stdout), strict=True):
        likely, found = (each["classes"][0]["probability"] for each in (one, near))
        assert abs(likely - found) < 0.05
    assert exact != json.loads(asked.stdout)
    assert "Received: 'half'" in str(call(striped_run.path, files, "--precision", "half").exception)


def test_a_bad_file_is_named_and_the_others_are_done(striped_run, photos, tmp_path):
    bad = tmp_path / "bad:cat:.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    good = sorted((photos / "down").iterdir())[:70]
    names = [*good[:40], bad, *good[40:], tmp_path / "gone.png"]
    stdin = "\n".join(map(str, names)).encode()
    ended = call(striped_run.path, "-", "--save", tmp_path / "out.csv", stdin=stdin)
    assert isinstance(ended.exception, DataError)
    assert str(ended.exception) == f"2 of 62 images could not be read: {bad}, {names[-1]}."
    assert f"Warning: {bad} can't be read as an image: its content" in ended.stderr
    assert f"Warning: {names[-1]}: there is no such file" in ended.stderr
    with open(tmp_path / "out.csv", newline="") as file:
        found = [row["image"] for row in csv.DictReader(file)]
    assert found == [str(name) for name in names if name not in (bad, names[-1])]


def test_notes_are_said_once_with_their_number(striped_run, tmp_path):
    for number in range(3):
        colour = np.zeros((40, 50, 3), "uint8")
        Image.fromarray(colour).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").touch()
    ended = call(striped_run.path, tmp_path)
    assert ended.exit_code == 0
    assert ended.stderr.splitlines() == [
        "3 images are resized to 32×32.",
        "3 images are converted from colour to grey.",
        "1 file in the folders is no image, by the endings of the names.",
    ]
    assert ended.stdout.count("%") == 9


def test_names_on_the_terminal_are_one_line_each(striped_run, files):
    shown = call(striped_run.path, files, "--top", 1).stdout.splitlines()
    assert [line.rsplit("/", 1)[1] for line in shown[::2]] == [
        *("a,b.png", r"caf\xe9.png", r"new\nline.png", 'q"uote.png', r"r\rr.png"),
        "x:cat:[red].png",
    ]


def test_the_json_list_is_one_list_also_of_nothing(striped_run, files):
    found = json.loads(call(striped_run.path, files, "--json").stdout)
    assert [os.fsencode(one["image"]).rsplit(b"/", 1)[1] for one in found] == NAMES
    ended = call(striped_run.path, "nothing.png", "--json")
    assert json.loads(ended.stdout) == []
    assert "1 of 1 image could not be read: nothing.png." in str(ended.exception)
    ended = call(striped_run.path, "-", "--json")
    assert "no name came" in str(ended.exception)


def test_other_kinds_of_files_are_refused_first(striped_run):
    ended = call(striped_run.path, "nothing.png", "--save", "found.xlsx")
    assert isinstance(ended.exception, ArgumentError)
    assert "ends in .csv or .jsonl. Received: found.xlsx" in str(ended.exception)
    ended = call(striped_run.path, "nothing.png", "--save", "nowhere/found.csv")
    assert isinstance(ended.exception, ArgumentError)
    assert "must be in a folder that exists. Received: nowhere/found.csv" in str(ended.exception)


def test_options_for_other_tasks_are_refused(striped_run):
    ended = call(striped_run.path, "nothing.png", "--least-score", 0.5)
    assert isinstance(ended.exception, ArgumentError)
    assert "for classification can't be asked for least_score" in str(ended.exception)
