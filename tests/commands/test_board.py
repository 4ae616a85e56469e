"""`kerascnn board` serves real logs, with loss, error and health on its first dashboard."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import keras
import numpy as np
import pytest

from kerascnn.commands.board import serve
from kerascnn.errors import ArgumentError, RunError
from kerascnn.tasks.classification.task import CLASSIFICATION
from kerascnn.watching.board import LAYOUT, TensorBoardLogs
from kerascnn.watching.statistics import Probe


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Logs of one epoch."""
    root = tmp_path_factory.mktemp("runs")
    model = keras.Sequential(
        [keras.Input([4, 4, 1]), keras.layers.Flatten(), keras.layers.ReLU(), keras.layers.Dense(2)]
    )
    logs = TensorBoardLogs(
        directory=root / "run" / "tensorboard",
        inputs=np.zeros([1, 4, 4, 1], "float32"),
        measures=CLASSIFICATION.measures,
        name="run",
        hparams={},
        epochs=1,
        probe=Probe(
            model,
            inputs=np.ones([2, 4, 4, 1], "float32"),
            targets=np.zeros(2, int),
            loss=lambda labels, outputs: keras.ops.sum(outputs[0], axis=-1),
        ),
    )
    logs.set_model(model)
    logs.on_train_begin()
    logs.on_epoch_begin(0)
    logs.on_train_batch_begin(0)
    logs.on_train_batch_end(0)
    speed = {"learning_rate": 0.1, "images_per_second": 9.0, "seconds": 2.0, "input_wait": 0.1}
    logs.on_epoch_end(0, {"loss": 1.5, "error": 0.25, "val_loss": 1.25, "val_error": 0.5} | speed)
    logs.on_train_end({})
    return root


def ask(address, path, **query):
    url = f"{address}data/plugin/custom_scalars/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def test_the_command_serves_the_layout_and_every_chart_has_values(runs):
    command = "from kerascnn.cli import main; main()"
    words = ["board", str(runs), "--port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *words],
        stdout=subprocess.PIPE,
        text=True,
        # A test run in the background would hand on that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        printed = process.stdout.readline()
        process.stdout.close()
        where = json.loads(printed)["address"]
        address, dashboard = where.split("#")
        assert re.fullmatch(r"http://localhost:\d+/", address)
        assert dashboard.startswith("custom_scalars")
        deadline = time.monotonic() + 60
        while not (layout := ask(address, "layout")):
            assert time.monotonic() < deadline, "TensorBoard found no layout"
            time.sleep(0.2)
        charts = {
            part["title"]: {c["title"]: c["multiline"]["tag"][0] for c in part["chart"]}
            for part in layout["category"]
        }
        learning = charts["Learning"]
        assert learning == LAYOUT["Learning"] | {"Top-1 error": "^error$"}
        assert {**charts, "Learning": LAYOUT["Learning"]} == LAYOUT
        assert list(charts) == ["Learning", "Health", "Layers", "Speed"]
        run = "run/tensorboard"
        for tag in (tag for part in charts.values() for tag in part.values()):
            found = ask(address, "scalars", run=f"{run}/train", tag=tag)
            tags = list(found["tag_to_events"])
            if tag.endswith("$"):
                assert tags == [tag.strip("^$")]
            else:  # of each layer, or device
                assert tags
                assert all(name.startswith(tag.strip("^")) for name in tags)
        found = ask(address, "scalars", run=f"{run}/validation", tag="^loss$")["tag_to_events"]
        assert [value for _, _, value in found["loss"]] == [1.25]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_no_directory_and_no_logs(tmp_path):
    with pytest.raises(RunError, match="no directory"):
        serve(tmp_path / "nothing")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunError, match="no TensorBoard logs"):
        serve(tmp_path)


def test_a_port_in_use_is_told(runs):
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ArgumentError, match=f"Port {port} of localhost is in use"):
            serve(runs, port=port)
