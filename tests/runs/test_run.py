"""A run as an object: from a path or a text, and as notebooks show it."""

import io
import shutil

import pytest
from rich.console import Console

import kerascnn
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
