"""The page of a real run, also of one that is damaged, unfinished or a stranger's."""

import io
import json
import re
import shutil
from base64 import b64decode

import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn import reports
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, RunError
from kerascnn.runs.run import Run


def call(*words):
    result = CliRunner().invoke(app, ["report", *map(str, words)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def saved(striped_run, tmp_path_factory):
    """The run's page, as the command line writes it."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    call(striped_run.path, "--save", path, "--explain", "2")
    return path.read_text(encoding="utf-8")


@pytest.fixture
def copy(striped_run, tmp_path):
    return shutil.copytree(striped_run.path, tmp_path / "copy")


def sections(text):
    return re.findall(r"<h2 id=[^>]*>(.*?)</h2>", text)


def test_a_run_s_page_has_all_its_sections(saved, striped_run):
    assert sections(saved) == [
        *("Summary", "Training", "Results", "Images", "Explanations"),
        *("Network", "Recipe", "Data", "Do it again"),
    ]
    error = f"{striped_run.metrics['test_error']:.2%}"
    assert f"Top-1 error on the test images: {error}." in saved
    for kind in ("across", "down", "plain"):
        assert f'<th scope="row">{kind}</th>' in saved
    assert f"kerascnn evaluate {striped_run.path}" in saved


def test_its_pictures_are_there_small_and_have_words(saved):
    found = re.findall(r'<img alt="([^"]+)"[^>]*base64,([^"]+)"', saved)
    # Curves; samples, worst, best and confusion; two explanations; the network.
    assert len(found) == 1 + 4 + 2 + 1
    for _, data in found:
        with Image.open(io.BytesIO(b64decode(data))) as image:
            assert image.format == "WEBP"
    assert len(saved) < 3e6


def test_the_figures_are_those_of_an_evaluation(saved, striped_run):
    found = striped_run.evaluate(echo=None)
    for one in found["classes"]:
        cells = re.search(rf'<th scope="row">{one["name"]}</th>(.*?)</tr>', saved)[1]
        numbers = re.findall(">([^<]+)</td>", cells)
        assert numbers[:2] == [str(one["support"]), str(one["predicted"])]
        assert numbers[2:] == [f"{one[key]:.2%}" for key in ("precision", "recall", "f1")]


def test_where_the_images_are_gone_the_rest_is_shown(copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    config["data"]["source"] = f"folder:{tmp_path / 'gone'}"
    (copy / "config.json").write_text(json.dumps(config))
    text = reports.report(copy, echo=None).html()
    assert "could not be evaluated" in text
    assert "Explanations" not in sections(text)
    assert {"Training", "Network", "Recipe"} <= set(sections(text))


def test_other_data_may_stand_for_them(copy, photos, tmp_path):
    moved = shutil.copytree(photos, tmp_path / "moved")
    text = reports.report(copy, data=f"folder:{moved}", explain=0, echo=None).html()
    assert f"folder:{moved}" in text
    assert "Explanations" not in sections(text)


def test_a_training_that_has_not_ended_shows_its_curves(copy):
    for name in ("metrics.json", "model.keras"):
        (copy / name).unlink()
    text = reports.report(copy, echo=None).html()
    assert "Training has not come to its end" in text
    assert sections(text) == ["Summary", "Training", "Model", "Recipe", "Data", "Do it again"]


def test_names_of_a_stranger_s_classes_are_text(copy):
    config = json.loads((copy / "config.json").read_text())
    config["class_names"] = ["<script>alert(1)</script>", 'down" onload="x', "plain"]
    config["command"] = ["kerascnn", "train", "<b>; rm -rf ~"]
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "model.keras").unlink()
    text = reports.report(copy, echo=None).html()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert ' onload="' not in text
    assert "kerascnn train &#x27;&lt;b&gt;; rm -rf ~&#x27;" in text


def test_what_can_t_be_reported_is_refused(tmp_path, striped_run):
    with pytest.raises(RunError, match="There is no directory"):
        call(tmp_path / "none")
    with pytest.raises(RunError, match=r"can't be reported: expected .*config\.json"):
        call(tmp_path)
    with pytest.raises(ArgumentError, match=r"ends in \.html"):
        call(striped_run.path, "--save", tmp_path / "page.pdf")


def test_json_says_where_it_is(striped_run, tmp_path, monkeypatch):
    run = shutil.copytree(striped_run.path, tmp_path / "run")
    (run / "model.keras").unlink()
    monkeypatch.chdir(tmp_path)
    found = json.loads(call(run, "--json"))
    assert found == {"path": "report.html", "bytes": (tmp_path / "report.html").stat().st_size}
    assert Run.open(run).path == run
