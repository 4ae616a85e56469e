"""What `kerascnn evaluate` prints and writes is what `Run.evaluate` found."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn.cli import app
from kerascnn.errors import ArgumentError
from kerascnn.tasks.classification import figures
from kerascnn.tasks.classification.task import CLASSIFICATION

NAMES = ["across", "down", "plain"]


def call(*arguments):
    given = [str(argument) for argument in arguments]
    ended = CliRunner().invoke(app, ["evaluate", *given], env={"COLUMNS": "80"})
    if ended.exception:
        raise ended.exception
    return ended


def found(matrix, names, **changes):
    """As `Run.evaluate` returns it, counted here once more."""
    matrix = np.array(matrix)
    classes = []
    for one, name in enumerate(names):
        right, images, taken = (
            int(matrix[one, one]),
            int(matrix[one].sum()),
            int(matrix[:, one].sum()),
        )
        precision = right / taken if taken else None
        recall = right / images if images else None
        f1 = 2 * right / (images + taken) if images else None
        row = {"name": name, "support": images, "predicted": taken, "precision": precision}
        classes.append(row | {"recall": recall, "f1": f1})
    total = int(matrix.sum())
    return {
        "data": "folder:new",
        "split": "test",
        "images": total,
        "trained_on": 0,
        "protocol": {},
        "loss": 0.5,
        "cross_entropy": 0.5,
        "error": 1 - float(np.trace(matrix)) / total,
        "classes": classes,
        "confusion": matrix.tolist(),
        **changes,
    }


@pytest.fixture
def others(tmp_path, draw):
    for kind in NAMES:
        draw(tmp_path / "others", kind, range(500, 505))
    Image.open(tmp_path / "others" / "down" / "500.png").save(tmp_path / "others/plain/x.png")
    return tmp_path / "others"


def test_the_command_tells_what_run_evaluate_finds(striped_run, others, tmp_path):
    """In JSON, in a table and in a picture; the mistake is a stripe among the plain ones."""
    save = tmp_path / "found.csv"
    ended = call(striped_run.path, "--data", f"folder:{others}", "--json", "--save", save)
    told = json.loads(ended.stdout)
    expected = striped_run.evaluate(f"folder:{others}", echo=None)
    assert {**told, "loss": 0, "cross_entropy": 0} == {**expected, "loss": 0, "cross_entropy": 0}
    assert told["confusion"] == [[5, 0, 0], [0, 5, 0], [0, 1, 5]]
    with open(save, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == NAMES
    for row, one, counts in zip(rows, told["classes"], told["confusion"]):
        assert [int(row[f"predicted {name}"]) for name in NAMES] == counts
        assert [int(row["support"]), int(row["predicted"])] == [one["support"], one["predicted"]]
        assert [float(row[key]) for key in figures.FIGURES] == [one[key] for key in figures.FIGURES]
    picture = tmp_path / "found.png"
    shown = call(striped_run.path, "--data", f"folder:{others}", "--save", picture).stdout
    assert "all 16 images: error 6.25%, loss" in shown
    assert "plain cross-entropy" in shown
    assert "Most often mistaken: plain for down 1×." in shown
    assert f"Saved: {picture}" in shown
    assert Image.open(picture).size[0] > 200


def test_a_precision_is_compared_with_float32_in_a_sentence(striped_run, others):
    asked = ("--data", f"folder:{others}", "--precision", "mixed_bfloat16")
    shown = call(striped_run.path, *asked).stdout
    assert "mixed_bfloat16: Top-1 error 6.25% (6.25% in float32)" in shown
    assert "is float32's for 100.00% of images" in shown


def test_splits_and_top_k_can_be_asked_for(striped_run):
    sizes = striped_run.config.data.sizes
    told = json.loads(call(striped_run.path, "--split", "all", "--top", 2, "--json").stdout)
    assert (told["images"], told["trained_on"]) == (180, sizes["train"])
    assert told["top2_error"] <= told["error"]
    for wrong in (["--split", "dev"], ["--top", 3], ["--save", "found.txt"],
        ["--save", "nowhere/found.csv"]):  # fmt: skip
        with pytest.raises(ArgumentError, match=f"Received: {wrong[1]}|Received: '{wrong[1]}'"):
            call(striped_run.path, *wrong)


def lines(told, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    figures.show(told, "")
    return capsys.readouterr().out.splitlines()


def test_what_is_not_defined_is_a_dash(capsys, monkeypatch):
    shown = lines(found([[3, 1, 0], [0, 0, 0], [0, 0, 0]], "abc"), capsys, monkeypatch)
    assert shown[0] == "folder:new test, 4 images: error 25.00%, loss 0.5000"
    assert [line.split() for line in shown[1:5]] == [
        ["class", "images", "predicted", "precision", "recall", "F1"],
        ["a", "4", "3", "100.00%", "75.00%", "85.71%"],
        ["b", "0", "1", "0.00%", "–", "–"],
        ["c", "0", "0", "–", "–", "–"],
    ]


def test_of_many_classes_the_worst_are_shown(capsys, monkeypatch):
    matrix = np.diag(np.full(40, 100))
    matrix[7] = matrix[7] // 2
    matrix[7, 30] = 50
    names = [f"n{number:08}_a_name_of_many_words_{number}" for number in range(40)]
    shown = lines(found(matrix, names), capsys, monkeypatch)
    assert max(map(len, shown[1:-1])) <= 80
    assert shown[2].startswith("n00000007_")
    assert "10 of 40 classes, the lowest F1; all classes: --json, --save NAME.csv" in shown
    assert shown[-1] == f"Most often mistaken: {names[7]} for {names[30]} 50×."


def test_names_are_no_markup_and_no_placeholders(capsys, monkeypatch, tmp_path):
    names = ["[red]x[/]", "a\nb", ":cat:", "<confusion>", "caf\udce9", "=1+1"]
    told = found(np.diag(range(1, 7)), names)
    shown = "\n".join(lines(told, capsys, monkeypatch))
    for name in ("[red]x[/]", r"a\nb", ":cat:", "<confusion>", r"caf\xe9"):
        assert name in shown
    assert json.loads(CLASSIFICATION.as_json(told)) == json.loads(json.dumps(told))
    figures.save(told, tmp_path / "found.csv")
    with open(tmp_path / "found.csv", encoding="utf-8", errors="surrogateescape", newline="") as f:
        assert [row["class"] for row in csv.DictReader(f)] == names
    figures.save(told, tmp_path / "found.png")


def test_without_a_matrix_the_figures_are_written_and_a_picture_is_refused(tmp_path):
    told = found(np.diag(range(1, 4)), NAMES, confusion=None)
    assert json.loads(CLASSIFICATION.as_json(told))["confusion"] is None
    figures.save(told, tmp_path / "found.csv")
    header = (tmp_path / "found.csv").read_text().splitlines()[0]
    assert header == "class,support,predicted,precision,recall,f1"
    with pytest.raises(ArgumentError, match="a picture of 3 classes can't be read"):
        figures.save(told, tmp_path / "found.png")
