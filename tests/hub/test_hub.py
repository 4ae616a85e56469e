"""Runs go to the Hugging Face hub and come back, and what strangers have put there does no harm.

The hub is a server on this machine, spoken to by the hub's own client.
"""

import json
import shutil

import numpy as np
import pytest
from hub_server import running
from huggingface_hub import ModelCard
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, RunError, WeightsError

REPOSITORY = "ann/stripes"


@pytest.fixture(scope="module")
def hub():
    with running() as found:
        yield found


@pytest.fixture(autouse=True)
def here(hub, tmp_path, monkeypatch):
    """The hub is this one, and the cache is empty."""
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def pushed(hub, striped_run):
    """The address that the push of a run gives, commit included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_TOKEN", "hf_test")
        return kerascnn.push(striped_run, REPOSITORY, licence="apache-2.0")


def files(hub, repository=REPOSITORY):
    return hub.commits[repository][-1][1]


def test_a_run_comes_back_as_it_was(pushed, striped_run):
    said = []
    found = kerascnn.load(f"hf://{REPOSITORY}", echo=said.append)
    images = np.random.default_rng(0).integers(256, size=(4, 32, 32, 1)).astype("uint8")
    assert np.array_equal(found.predict(images), striped_run.predict(images))
    assert found.metrics == striped_run.metrics
    assert found.config.class_names == ("across", "down", "plain")
    commit = pushed.partition("@")[2]
    assert said == [f"hf://{REPOSITORY} is the commit {commit}."]
    stored = json.loads((found.path / "hub.json").read_text())
    assert stored == {"repository": REPOSITORY, "commit": commit}


def test_a_commit_that_was_fetched_needs_no_hub(pushed, hub, monkeypatch):
    first = kerascnn.load(pushed, echo=None)
    asked = len(hub.asked)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert kerascnn.load(pushed, echo=None) == first
    assert len(hub.asked) == asked


def test_a_revision_is_kept_though_the_branch_goes_on(pushed, hub):
    old = kerascnn.load(f"hf://{REPOSITORY}", echo=None)
    hub.commit(REPOSITORY, {"metrics.json": b'{"test_error": 0.5}'})
    try:
        assert kerascnn.load(f"hf://{REPOSITORY}", echo=None).metrics == {"test_error": 0.5}
        assert kerascnn.load(pushed, echo=None) == old
    finally:
        hub.commits[REPOSITORY].pop()


def test_nothing_of_this_machine_is_uploaded(pushed, hub, photos):
    told = files(hub)
    assert set(told) == {"README.md", "config.json", "metrics.json", "model.safetensors"}
    config = json.loads(told["config.json"])
    assert config["data"]["source"] == f"folder:{photos.name}"
    assert (config["command"], config["git"]) == ([], None)
    assert str(photos.parent).encode() not in b"".join(told.values())


def test_nothing_of_this_machine_is_told_of_the_run_before(hub, striped_run, tmp_path):
    path = shutil.copytree(striped_run.path, tmp_path / "later")
    config = json.loads((path / "config.json").read_text())
    config["predecessor"] = {"run": "/home/ann/runs/first", "data": "folder:/home/ann/pets?n=3",
                             "epochs": 2}  # fmt: skip
    (path / "config.json").write_text(json.dumps(config))
    kerascnn.push(kerascnn.Run.open(path), "ann/later")
    told = files(hub, "ann/later")
    found = json.loads(told["config.json"])["predecessor"]
    assert found == {"run": "first", "data": "folder:pets", "epochs": 2}
    assert b"/home/ann" not in b"".join(told.values())


def test_the_card_is_read_by_the_hub(pushed, hub, striped_run):
    card = ModelCard(files(hub)["README.md"].decode())
    assert card.data.license == "apache-2.0"
    assert (card.data.library_name, card.data.pipeline_tag) == ("keras", "image-classification")
    (result,) = card.data.eval_results
    expected = 1 - striped_run.metrics["test_error"]
    assert (result.metric_type, result.metric_value) == ("accuracy", pytest.approx(expected))
    assert f"kerascnn pull hf://{REPOSITORY}" in card.text
    assert f'kerascnn.load("hf://{REPOSITORY}")' in card.text


def test_from_the_command_line(hub, striped_run, tmp_path):
    told = CliRunner().invoke(app, ["push", str(striped_run.path), "ann/by-hand"])
    assert told.exit_code == 0, told.output
    commit = hub.commits["ann/by-hand"][-1][0]
    assert f"Uploaded as hf://ann/by-hand@{commit}" in told.output
    assert "no licence" in told.output
    run = tmp_path / "run"
    told = CliRunner().invoke(app, ["pull", "hf://ann/by-hand", "--run", str(run)])
    assert told.exit_code == 0, told.output
    assert kerascnn.Run.open(run).metrics == striped_run.metrics


def strange(hub, **changed):
    """A repository with some files changed; None: without them."""
    names = {"config": "config.json", "weights": "model.safetensors", "model": "model.keras"}
    content = dict(files(hub)) | {names[key]: value for key, value in changed.items()}
    name = f"bob/{len(hub.commits)}"
    hub.commit(name, {key: value for key, value in content.items() if value is not None})
    return f"hf://{name}"


def config_with(hub, **changed):
    return json.dumps(json.loads(files(hub)["config.json"]) | changed).encode()


def test_what_is_no_run_is_refused(pushed, hub):
    with pytest.raises(RunError, match=r"no model\.safetensors.*pickles are not read"):
        kerascnn.load(strange(hub, weights=None, model=b"PK"), echo=None)
    wrong = {
        "damaged": {"config": b"{"},
        "names no architecture": {"config": config_with(hub, architecture=None)},
        "no_such_net": {
            "config": config_with(hub, architecture={"name": "no_such_net", "arguments": {}})
        },
        r"bytes at least, and model\.safetensors has": {
            "config": config_with(
                hub, architecture={"name": "vgg16", "arguments": {}}, input_shape=[64, 64, 1]
            )
        },
        "doesn't fit the network.*": {
            "config": config_with(hub, classes=2, class_names=["a", "b"])
        },
        r"model\.safetensors": {"weights": b"\x80\x04." + bytes(60_000)},
    }
    for message, changed in wrong.items():
        address = strange(hub, **changed)
        with pytest.raises((RunError, WeightsError), match=message) as caught:
            kerascnn.load(address, echo=None)
        assert str(caught.value).startswith(address)
        assert ".pulling-" not in str(caught.value)


def test_a_refusal_leaves_nothing(pushed, hub, tmp_path):
    with pytest.raises(RunError):
        kerascnn.load(strange(hub, config=b"{"), run=tmp_path / "run", echo=None)
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.rglob(".pulling-*"))


@pytest.mark.parametrize("address", ["stripes", "hf://a/../b", "https://x/y/z", "hf://a/b@c d"])
def test_what_is_no_address_is_said(address):
    with pytest.raises(ArgumentError, match="hf://OWNER/NAME"):
        kerascnn.load(address)


def test_a_hub_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RunError, match="hf://ann/none can't be fetched: "):
        kerascnn.load("hf://ann/none", echo=None)


def test_a_repository_that_is_not_there_is_named():
    with pytest.raises(RunError, match=r"hf://ann/none can't be fetched: .*HF_TOKEN"):
        kerascnn.load("hf://ann/none", echo=None)


def test_an_unfinished_run_is_not_pushed(striped_run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(striped_run.path, path)
    (path / "metrics.json").unlink()
    with pytest.raises(RunError, match="--resume"):
        kerascnn.push(kerascnn.Run(path), "ann/other")
