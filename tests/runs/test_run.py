"""A run as an object: from a path or a text, and as notebooks show it."""

import io
import shutil

import numpy as np
import pytest
from rich.console import Console

import kerascnn
from kerascnn.errors import RunError
from kerascnn.runs.run import Run
from kerascnn.training.trainer import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A real one."""
    path = tmp_path_factory.mktemp("runs") / "<first>"
    small = {"arguments": {"widths": (2, 4), "hidden": (8,)}, "batch_size": 700, "epochs": 1}
    return train("lenet5", "mnist5k", **small, run=path, console=Console(file=io.StringIO()))


def test_a_run_is_made_from_text_too(tmp_path):
    assert kerascnn.Run(str(tmp_path)) == Run(tmp_path)
    assert kerascnn.Run(str(tmp_path)).path == tmp_path


def test_notebooks_show_figures_and_curves(run):
    shown = run._repr_html_()
    assert f"{run.metrics['test_error']:.2%}" in shown
    assert "&lt;first&gt;" in shown
    assert "<first>" not in shown
    assert 'src="data:image/png;base64,iVBORw0KGgo' in shown


def test_notebooks_show_how_far_an_open_run_has_come(run, tmp_path):
    for name in ("config.json", "history.csv"):
        shutil.copy(run.path / name, tmp_path)
    shown = Run(tmp_path)._repr_html_()
    assert "has not come to its end" in shown
    assert f"{run.history[-1]['val_error']:.2%}" in shown


def test_notebooks_show_what_is_damaged(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert "config.json" in Run(tmp_path)._repr_html_()


def test_its_images_come_as_the_network_sees_them(run):
    model, config = run.model(), run.config
    batches = list(run.batches("validation", batch_size=300, echo=None))
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    assert images.shape == (config.data.sizes["validation"], *config.input_shape)
    wrong = model.predict(images, verbose=0).argmax(axis=1) != labels
    assert wrong.mean() == pytest.approx(run.history[-1]["val_error"])


def test_a_run_with_another_model_is_evaluated_on_the_same_images(run, tmp_path):
    model = run.model()
    for weights in model.trainable_variables:
        weights.assign(weights * 0)
    made = run.derive(tmp_path / "made", model, {"zeros": True})
    assert made.metrics == {"derived_from": str(run.path), "zeros": True}
    mine, theirs = (one.evaluate(echo=None) for one in (run, made))
    assert mine["images"] == theirs["images"]
    assert (mine["trained_on"], theirs["trained_on"]) == (0, 0)
    assert theirs["error"] > mine["error"]
    with pytest.raises(RunError, match="holds an earlier run"):
        run.derive(tmp_path / "made", model, {})
    made = run.derive(tmp_path / "made", run.model(), {}, overwrite=True)
    assert made.evaluate(echo=None)["error"] == mine["error"]
