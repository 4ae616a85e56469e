"""`kerascnn board` serves logs by their runs' names, with loss and error on top."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest
import tensorflow as tf

from kerascnn.commands.board import first_page, measures, serve
from kerascnn.errors import ArgumentError, RunError

PARTS = ("train", "validation")
RUNS = [f"lenet5-{number}" for number in range(1, 6)]
TAGS = ("activation_std/conv1", "error", "loss")  # TensorBoard's own order is the alphabet's


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What TensorBoard and the command read of five runs."""
    root = tmp_path_factory.mktemp("runs")
    for name in RUNS:
        for part in PARTS:
            with tf.summary.create_file_writer(str(root / name / part)).as_default(step=1):
                for tag in TAGS:
                    tf.summary.scalar(tag, 0.5)
        (root / name / "config.json").touch()
        (root / name / "history.csv").write_text("epoch,loss,error,val_loss,val_error\n")
    return root


def names_at(address):
    """What TensorBoard calls the logs, once it has read them."""
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(f"{address}data/runs", timeout=30) as answer:
            if found := json.load(answer):
                return found
        assert time.monotonic() < deadline, "TensorBoard found no logs"
        time.sleep(0.2)


def test_the_command_serves_each_run_by_its_name_until_it_is_interrupted(runs):
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
        address, _, page = json.loads(printed)["address"].partition("?")
        assert re.fullmatch(r"http://localhost:\d+/", address)
        assert page.endswith("#timeseries")
        assert names_at(address) == [f"{run}/{part}" for run in RUNS for part in PARTS]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_logs_of_a_single_run_have_its_name_too(runs):
    address, _, _ = serve(runs / RUNS[0], port=0).partition("?")
    assert names_at(address) == [f"{RUNS[0]}/{part}" for part in PARTS]


def test_a_name_that_tensorboard_would_take_apart_is_left_to_its_folders(runs, tmp_path):
    copy = shutil.copytree(runs / RUNS[0], tmp_path / "a,b")
    address, _, _ = serve(copy, port=0).partition("?")
    assert names_at(address) == list(PARTS)


def asked(page):
    """What an address asks of TensorBoard."""
    query, _, dashboard = page.removeprefix("?").partition("#")
    assert dashboard == "timeseries"
    return dict(urllib.parse.parse_qsl(query))


def test_the_first_measures_are_on_top():
    found = asked(first_page(["loss", "error", "a", "b", "c"], entries=2))
    assert [pin["tag"] for pin in json.loads(found["pinnedCards"])] == ["loss", "error", "a", "b"]
    assert found["smoothing"] == "0"


def test_each_log_has_a_colour_of_its_own_or_each_run_where_there_are_too_many():
    assert "runColorGroup" not in asked(first_page([], entries=6))
    pattern = asked(first_page([], entries=10))["runColorGroup"].removeprefix("regex:")
    groups = {re.search(pattern, f"{run}/{part}")[1] for run in RUNS for part in PARTS}
    assert groups == set(RUNS)


def test_what_is_on_top_is_what_the_runs_have_measured(tmp_path):
    assert measures(tmp_path) == ["loss", "error"], "nothing yet"
    for name, header in {
        "a": "epoch,loss,val_loss,val_mean_iou",
        "b": "epoch,loss,val_loss,val_ap",
        "damaged": "epoch,epoch,val_x",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text(header + "\n")
    assert measures(tmp_path) == ["loss", "mean_iou", "ap"]


@pytest.mark.slow
def test_the_page_opens_on_loss_and_error_in_five_colours(runs, browser):
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    address = serve(runs, port=0)
    names_at(address.partition("?")[0])
    page.goto(address)
    cards = page.locator("metrics-pinned-view card-view")
    cards.nth(1).wait_for(timeout=60_000)
    assert [cards.nth(place).inner_text().split()[0] for place in (0, 1)] == ["loss", "error"]
    rows = page.locator("runs-data-table tb-data-table-content-row")
    rows.nth(9).wait_for(timeout=60_000)
    colours = {}
    for row in rows.all():
        run = row.inner_text().split()[0].partition("/")[0]
        swatch = row.locator("button.run-color-swatch, .run-color-swatch")
        colours.setdefault(run, set()).add(
            swatch.evaluate("it => getComputedStyle(it).backgroundColor")
        )
    assert list(colours) == RUNS
    assert all(len(found) == 1 for found in colours.values()), "a run's logs have one colour"
    assert len(set.union(*colours.values())) == len(RUNS)


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
