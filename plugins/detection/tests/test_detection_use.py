"""A run from the command line: what it is worth, what it finds, why, and as a file."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app
from kerascnn.errors import ExportError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Some epochs, as what finds nothing can't be told from what is broken."""
    home = tmp_path_factory.mktemp("found")
    kerascnn.train(
        "yolo_tiny",
        "digit_scenes?size=32&digits=1&train=160&validation=8&test=12",
        run=home / "run",
        arguments={"widths": (8, 16), "tail": (16,), "head": "conv", "norm": "batch"},
        input_shape=(32, 32, 3),
        recipe=kerascnn.Recipe(epochs=4, batch_size=16, learning_rate=0.003, clip_norm=1.0),
    )
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (48, 90, 3)).astype("uint8")).save(home / "a.png")
    return SimpleNamespace(path=home / "run", photo=home / "a.png", home=home)


def call(*arguments):
    ended = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "80"})
    if ended.exception:
        raise ended.exception
    return ended.stdout


def test_an_evaluation_tells_what_training_has_logged(run):
    """The photos have the network's shape, so that they are seen as training has seen them."""
    found = json.loads(call("evaluate", run.path, "--json"))
    assert found["images"] == 12
    logged = json.loads((run.path / "metrics.json").read_text())
    assert found["ap50"] == pytest.approx(logged["test_ap50"], abs=1e-6)
    assert "AP50" in call("evaluate", run.path)


def test_boxes_come_in_cocos_format_and_as_pictures(run):
    found = json.loads(call("predict", run.path, run.photo, "--json", "--least-score", 0))
    assert found
    for one in found:
        x, y, width, height = one["bbox"]
        assert 0 <= x <= x + width <= 90.01
        assert 0 <= y <= y + height <= 48.01
    call("evaluate", run.path, "--save", run.home / "found.json")
    judged = json.loads((run.home / "found.json").read_text())
    assert {one["image_id"] for one in judged} <= set(range(12))
    assert all(one["category"] == str(one["category_id"]) for one in judged)
    call("predict", run.path, run.photo, "--save", run.home / "pictures")
    assert (run.home / "pictures" / "a.png").exists()


def test_a_box_is_explained(run):
    given = ("--class", "3", "--method", "grad_cam,saliency", "--maps", 0, "--json")
    (found,) = json.loads(call("explain", run.path, run.photo, *given))
    assert found["explained"]["name"] == "3"
    assert set(found["methods"]) == {"grad_cam", "saliency"}


def test_a_file_finds_the_same_boxes_and_one_of_other_weights_is_refused(run, monkeypatch):
    path = run.home / "served"
    found = json.loads(
        call("export", run.path, "--format", "savedmodel", "--output", path, "--json")
    )
    assert found["difference"] < 1e-4
    from kerascnn.exporting import writers

    whole = writers.WRITERS["savedmodel"]

    def other(model, place):
        layer = model.get_layer("cells")
        weights = layer.get_weights()
        layer.set_weights([weight * 0.98 for weight in weights])
        whole(model, place)
        layer.set_weights(weights)

    monkeypatch.setitem(writers.WRITERS, "savedmodel", other)
    with pytest.raises(ExportError, match="of the range of its boxes"):
        call("export", run.path, "--format", "savedmodel", "--output", run.home / "other")
