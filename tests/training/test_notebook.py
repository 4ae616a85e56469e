"""Training in a real notebook kernel: one output that changes, and no page of log lines."""

import re
from xml.etree import ElementTree

import nbformat
import pytest
from nbclient import NotebookClient

from kerascnn.runs.run import Run

CELL = """
import kerascnn
run = kerascnn.train(
    "lenet5", "mnist5k", arguments={{"widths": (2, 4), "hidden": (8,)}}, batch_size=500,
    epochs=30, run={path!r}, record=False,
)
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Of the cell, in the end; and all that any of them has said before."""
    path = str(tmp_path_factory.mktemp("runs") / "run")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.format(path=path))])
    changes = []

    class Client(NotebookClient):
        def process_message(self, message, cell, cell_index):
            if message["msg_type"] in ("display_data", "update_display_data"):
                changes.append(message["content"]["data"].get("text/plain", ""))
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
    # After the first call of updates; in a fast epoch there may be no other drawing of a bar.
    assert any(change.startswith("epoch  1/30 ━") for change in changes)
    assert len(found) < 8, "messages beside it are few"
    assert "<pre" in epochs[0].data["text/html"]


def test_curves_go_on_above_the_lines(outputs):
    """One picture of both sides, which a browser can read as XML."""
    found, _ = outputs
    (shown,) = [
        o.data["text/html"] for o in found if "<svg" in o.get("data", {}).get("text/html", "")
    ]
    picture = ElementTree.fromstring(re.search("<svg.*?</svg>", shown, re.DOTALL)[0])
    lines = picture.findall("{*}polyline")
    assert len(lines) == 4  # loss and error, of training and of validation
    assert all(len(line.get("points").split()) == 30 for line in lines)
    assert "Epoch 30: Loss " in picture.get("aria-label")


INTERRUPTED = """
import os, signal, threading, time
import kerascnn

def interrupt():  # as Kernel > Interrupt does, once an epoch is complete
    while not os.path.exists({path!r} + "/history.csv"):
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
kerascnn.train(
    "lenet5", "mnist5k", arguments={{"widths": (2, 4), "hidden": (8,)}}, batch_size=125,
    epochs=2000, run={path!r},
)
"""


@pytest.mark.slow
def test_an_interrupted_kernel_saves_and_the_notebook_goes_on(tmp_path):
    """Kernel > Interrupt: the run has its state and figures, and the next cell shows them."""
    cells = [
        INTERRUPTED.format(path=str(tmp_path / "run")),
        f"kerascnn.Run({str(tmp_path / 'run')!r})",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    NotebookClient(notebook, kernel_name="python3", timeout=300, allow_errors=True).execute()
    training, shown = notebook.cells
    assert [o.ename for o in training.outputs if o.output_type == "error"] == ["KeyboardInterrupt"]
    run = Run.open(tmp_path / "run")
    assert 0 < len(run.history) < 2000
    assert list((run.path / "checkpoints").iterdir())
    (answer,) = [o.data["text/html"] for o in shown.outputs if "data" in o]
    assert "training has not come to its end" in answer
    assert "<table>" in answer


def test_tensorflows_greetings_are_kept_back(outputs):
    found, _ = outputs
    assert [o for o in found if o.output_type == "stream" and o.name == "stderr"] == []
    assert "oneDNN" not in str(found)
