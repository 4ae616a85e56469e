"""`kerascnn draw`, as a user calls it."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn.cli import app
from kerascnn.errors import ArgumentError, DataError, RunError, UnknownNameError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(app, ["draw", *map(str, arguments)], env={"COLUMNS": "80"})
    if result.exception:
        raise result.exception
    return result.output


def test_without_save_the_picture_has_the_network_s_name_and_lies_here(home):
    assert run("lenet5").splitlines()[0] == "Wrote lenet5.png"
    with Image.open(home / "lenet5.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("name", "begins"), [("n.png", b"\x89PNG"), ("n.SVG", b"<?xml"), ("n.pdf", b"%PDF")]
)
def test_the_ending_says_which_format(home, name, begins):
    run("lenet5", "--save", name)
    assert (home / name).read_bytes().startswith(begins)


def test_the_same_drawing_has_the_same_bytes(home):
    run("lenet5", "--save", "a.svg")
    run("lenet5", "--save", "b.svg")
    assert (home / "a.svg").read_bytes() == (home / "b.svg").read_bytes()


def test_json_is_what_was_asked_for(home):
    found = json.loads(run("lenet5", "--set", "widths=8,24", "--input-shape", "40x48x3", "--json"))
    assert found["path"] == "lenet5.png"
    assert [stage["name"] for stage in found["stages"]][:2] == ["input", "conv1"]
    assert found["stages"][0]["shape"] == [40, 48, 3]
    assert found["stages"][1]["convolutional"] == (5 * 5 * 3 + 1) * 8


def test_fields_are_drawn_over_a_photo(home):
    Image.fromarray(np.zeros((50, 70, 3), "uint8")).save("photo.jpg")
    found = json.loads(run("lenet5", "photo.jpg", "--field", "C1,conv1", "--json"))
    assert found["path"] == "lenet5-field.png"
    assert [field["receptive_field"]["size"] for field in found["fields"]] == [[14, 14], [5, 5]]
    assert (home / "lenet5-field.png").exists()


def test_a_run_is_drawn_as_it_was_trained(home, striped_run):
    found = json.loads(run(striped_run.path, "--json"))
    assert found["path"] == f"{striped_run.path.name}.png"
    widths = [stage["shape"][-1] for stage in found["stages"] if stage["kind"] == "conv"]
    assert widths == [4, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--save", "net.gif"), r"\.png, \.svg or \.pdf.*net\.gif"),
        (("--save", "nowhere/net.png"), "folder that exists"),
        (("--save", "folder.png"), "is a folder"),
        (("photo.jpg",), "--field"),
        (("missing.jpg", "--field", "C1"), "must be an image file. Received: missing.jpg"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_built(home, monkeypatch, arguments, message):
    (home / "folder.png").mkdir()
    monkeypatch.setattr("kerascnn.drawing.networks.model_of", lambda _: pytest.fail("it was built"))
    with pytest.raises(ArgumentError, match=message):
        run("lenet5", *arguments)
    assert [path.name for path in home.iterdir()] == ["folder.png"]


def test_mistakes_about_the_network_are_explained(home):
    with pytest.raises(UnknownNameError, match="Did you mean lenet5"):
        run("lenet")
    with pytest.raises(ArgumentError, match=r"C9 is no feature map.*C1, C2, pool1, pool2"):
        run("lenet5", "--field", "C9")
    with pytest.raises(RunError, match="no run directory"):
        run("./nowhere")
    (home / "bad.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        run("lenet5", "bad.jpg", "--field", "C1")
    assert sorted(path.name for path in home.iterdir()) == ["bad.jpg"]


@pytest.mark.parametrize("command", ["draw", "info", "export", "explain"])
def test_what_a_run_has_already_is_refused_by_one_message(striped_run, command):
    more = {"export": ["--format", "keras"], "explain": ["photo.jpg"]}.get(command, [])
    given = [command, str(striped_run.path), *more, "--classes", "5", "--set", "hidden=4"]
    refused = CliRunner().invoke(app, given).exception
    assert isinstance(refused, ArgumentError)
    assert f"{striped_run.path} is a run, whose model is complete: --" in str(refused)
    assert {"--set", "--classes"} == set(str(refused).partition("Received: ")[2][:-1].split(", "))
