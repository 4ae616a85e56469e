"""Training in a real notebook kernel: one output that changes, and no page of log lines."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

CELL = """
import kerascnn
run = kerascnn.train(
    "lenet5", "mnist5k", arguments={{"widths": (2, 4), "hidden": (8,)}}, batch_size=125,
    epochs=30, run={path!r}, record=False,
)
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Of the cell, and how often any output was changed."""
    path = str(tmp_path_factory.mktemp("runs") / "run")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.format(path=path))])
    changes = []

    class Client(NotebookClient):
        def process_message(self, message, cell, cell_index):
            if message["msg_type"] == "update_display_data":
                changes.append(message["content"]["data"]["text/plain"])
            return super().process_message(message, cell, cell_index)

    Client(notebook, kernel_name="python3", timeout=300).execute()
    return notebook.cells[0].outputs, changes


def test_all_epochs_are_in_one_output_that_is_written_anew(outputs):
    found, changes = outputs
    shown = [o for o in found if "epoch" in o.get("data", {}).get("text/plain", "")]
    epochs = [o for o in shown if re.search(r"^epoch", o.data["text/plain"], re.M)]
    assert len(epochs) == 1
    text = epochs[0].data["text/plain"]
    lines = text.splitlines()
    assert lines[0] == "... 5 epochs before"
    assert [line.split()[1] for line in lines[1:]] == [f"{n}/30" for n in range(6, 31)]
    assert "━" not in text, "the bar is gone at the end"
    assert any("━" in change and "left" in change for change in changes)
    assert len(found) < 8, "messages beside it are few"
    assert "<pre" in epochs[0].data["text/html"]


def test_tensorflows_greetings_are_kept_back(outputs):
    found, _ = outputs
    assert [o for o in found if o.output_type == "stream" and o.name == "stderr"] == []
    assert "oneDNN" not in str(found)
