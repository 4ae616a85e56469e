"""The guides run from their first cell to the last, as they are, in a real kernel."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

GUIDES = sorted(Path(__file__).parent.glob("*.ipynb"))
LARGEST = 1_000_000  # bytes of a guide with its pictures


def by_name(path):
    return path.stem


def shown(notebook):
    """All text that the cells have put out."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join(texts)


def test_there_are_three():
    assert [path.stem for path in GUIDES] == ["paper", "photos", "search"]


@pytest.mark.parametrize("path", GUIDES, ids=by_name)
def test_its_outputs_are_stored_with_pictures_and_without_errors(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = [output for cell in code for output in cell.outputs]
    assert not [output for output in kinds if output.output_type == "error"]
    assert any("image/png" in output.get("data", {}) for output in kinds)
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize("path", GUIDES, ids=by_name)
def test_it_shows_no_folder_of_who_made_it(path):
    assert not re.findall(r"(?:/home|/root|/tmp|/work|/Users)/\S*", shown(nbformat.read(path, 4)))


@pytest.mark.parametrize("path", GUIDES, ids=by_name)
def test_its_links_lead_somewhere(path):
    notebook = nbformat.read(path, as_version=4)
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", texts)
    assert not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.slow
@pytest.mark.parametrize("path", GUIDES, ids=by_name)
def test_it_runs_from_the_first_cell_to_the_last(path, tmp_path, monkeypatch):
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    monkeypatch.delenv("PYTHONPATH", raising=False)  # a reader has all packages: see tests/lean
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and re.search("^!", cell.source, re.M):
            cell.source += "\nassert _exit_code == 0"  # a command that fails ends no cell
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_name="python3", timeout=1200, resources=resources).execute()
