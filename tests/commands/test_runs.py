"""`kerascnn runs`: every run is listed, whatever its state; a diff shows differences only."""

import io
import json
import os
import re
import subprocess
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from kerascnn import registry
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, RunError
from kerascnn.tasks.measure import Measure
from kerascnn.tasks.task import Task
from kerascnn.training.trainer import train


def call(*words, width=140):
    result = CliRunner().invoke(app, ["runs", *map(str, words)], env={"COLUMNS": str(width)})
    if result.exception:
        raise result.exception
    return result.stdout


def listed(*words):
    return {row["run"]: row for row in json.loads(call(*words, "--json"))}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Two real runs, one in a sub-directory; copies of one in other states; and other files."""
    root = tmp_path_factory.mktemp("runs")
    small = {"arguments": {"widths": (2, 4), "hidden": (8,)}, "batch_size": 700, "epochs": 1}
    quiet = Console(file=io.StringIO())
    train("lenet5", "mnist5k", **small, run=root / "first", console=quiet, record=False)
    changed = small | {"arguments": {"widths": (3, 4), "hidden": (8,)}, "learning_rate": 0.01}
    run = root / "more" / "second"
    train("lenet5", "mnist5k", **changed, seed=1, run=run, console=quiet, record=False)
    config = (root / "first" / "config.json").read_text()
    history = (root / "first" / "history.csv").read_text()
    for name, files in {
        "open": {"config.json": config, "history.csv": history},
        "stopped": {"config.json": config, "metrics.json": '{"interrupted": true, "epochs": 0}'},
        "bad_json": {"config.json": config[:50]},
        "bad_config": {"config.json": '{"name": 3}'},
        "bad_list": {"config.json": "[]"},
        "bad_metrics": {"config.json": config, "metrics.json": "[1]"},
        "bad_history": {"config.json": config, "history.csv": "epoch,loss\n1,abc\n"},
        "bad_nothing": {"model.keras": ""},
        "notes": {"readme.txt": "no run"},
    }.items():
        (root / name).mkdir()
        for file, text in files.items():
            (root / name / file).write_text(text)
    return root


def test_every_run_is_listed_with_its_state(directory):
    rows = listed(directory)
    bad = {name for name in rows if rows[name]["state"] == "damaged"}
    assert bad == {
        *("bad_json", "bad_config", "bad_list", "bad_metrics", "bad_history", "bad_nothing")
    }
    assert all(rows[name]["reason"] for name in bad)
    states = {name: row["state"] for name, row in rows.items() if name not in bad}
    assert states == {
        "first": "finished",
        "more/second": "finished",
        "open": "dead",
        "stopped": "interrupted",
    }
    metrics = json.loads((directory / "first" / "metrics.json").read_text())
    first = rows["first"]
    assert (first["error"], first["params"]) == (metrics["test_error"], metrics["trainable_params"])
    assert (first["name"], first["data"], first["epochs"], first["of"]) == (
        "lenet5",
        "mnist5k",
        1,
        1,
    )
    assert rows["open"]["epochs"] == 1
    assert rows["open"]["silent"] >= 0


IOU = Measure(name="mean_iou", title="Mean IoU", better="higher")


class Outlining(Task):
    """Another task, of which runs are read alone."""

    name = "outlining"
    measures = (IOU, Measure(name="pixel_accuracy", title="Pixel accuracy", better="higher"))


@pytest.fixture
def outlined(directory, tmp_path, monkeypatch):
    """Three runs of that task and one of a task that isn't installed, beside a classifier's."""
    monkeypatch.setattr(registry, "_added", {registry.TASKS: {"outlining": Outlining()}})
    config = json.loads((directory / "first" / "config.json").read_text())
    for name, task, figures in (
        ("good", "outlining", {"test_mean_iou": 0.75, "val_mean_iou": 0.5}),
        ("bad", "outlining", {"test_mean_iou": 0.25, "val_mean_iou": 0.125}),
        ("best", "outlining", {"test_mean_iou": 0.875}),
        ("lost", "counting", {"test_misses": 3.5}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({**config, "task": task}))
        (tmp_path / name / "metrics.json").write_text(json.dumps({"epochs": 1, **figures}))
    for file in ("config.json", "metrics.json"):
        (tmp_path / "named").mkdir(exist_ok=True)
        (tmp_path / "named" / file).write_text((directory / "first" / file).read_text())
    return tmp_path


def test_runs_show_the_main_measure_of_their_task(outlined):
    rows = listed(outlined)
    assert {name: row["measure"] for name, row in rows.items()} == {
        **dict.fromkeys(("good", "bad", "best"), "mean_iou"),
        "named": "error",
        "lost": None,
    }
    assert (rows["good"]["result"], rows["good"]["val_result"]) == (0.75, 0.5)
    assert rows["named"]["result"] == rows["named"]["error"]
    assert rows["good"]["error"] is None
    assert rows["lost"]["state"] == "finished", "its figures can be read all the same"
    shown = call(outlined)
    assert "mean_iou 75.00%" in shown
    assert re.search(r" error \d+\.\d\d%", shown)
    assert "outlining" in shown
    alone = call(outlined, "--filter", "task=outlining").splitlines()
    assert "mean_iou" in alone[0]
    assert "75.00%" in "".join(alone[1:])
    assert "mean_iou" not in "".join(alone[1:])


def test_the_best_result_comes_first_whichever_way_is_better(outlined, directory):
    only = ("--filter", "task=outlining", "--sort", "result")
    assert list(listed(outlined, *only)) == ["best", "good", "bad"]
    assert list(listed(outlined, *only, "--reverse")) == ["bad", "good", "best"]
    errors = [row["error"] for row in listed(directory, "--sort", "result").values()]
    known = [error for error in errors if error is not None]
    assert known == sorted(known)
    assert len(known) == 2
    assert list(listed(outlined, "--sort", "result"))[-1] == "lost"
    assert set(listed(outlined, "--filter", "result>50%", "--filter", "measure=mean_iou")) == {
        *("best", "good")
    }


def test_the_table_has_a_line_for_each_and_fits_the_terminal(directory):
    for width in (80, 140):
        lines = call(directory, width=width).splitlines()
        assert all(len(line) <= width for line in lines)
        text = "\n".join(lines)
        for part in ("first", "more/second", "damaged", "dead", "has written nothing"):
            assert part in text
    assert "strategy" in call(directory, width=140)


def test_sort_and_filter(directory):
    finished = ("--filter", "state=finished")
    rows = list(listed(directory, *finished, "--sort", "params").values())
    assert [row["params"] for row in rows] == sorted(row["params"] for row in rows)
    back = list(listed(directory, *finished, "--sort", "params", "--reverse").values())
    assert back == rows[::-1]
    assert list(listed(directory, "--filter", "run=more/*", *finished)) == ["more/second"]
    limit = f"params>{rows[0]['params']}"
    assert list(listed(directory, "--filter", limit)) == [rows[1]["run"]]
    assert set(listed(directory, "--filter", "error<=100%")) == {"first", "more/second"}
    assert "No run of 10 passes the filters" in call(directory, "--filter", "error<0")
    # What isn't known is at the end, in either direction.
    for words in ((), ("--reverse",)):
        assert list(listed(directory, "--sort", "error", *words).values())[-1]["error"] is None


@pytest.mark.parametrize(
    "words",
    [("--sort", "loss"), ("--filter", "loss<1"), ("--filter", "error"), ("--filter", "error<x")],
)
def test_what_cannot_be_understood_is_refused(directory, words):
    with pytest.raises(ArgumentError, match="Received"):
        call(directory, *words)


def test_no_directory_and_no_run(tmp_path):
    with pytest.raises(RunError, match="no directory"):
        call(tmp_path / "nothing")
    assert "No run in" in call(tmp_path)


def test_diff_shows_differences_only(directory):
    pair = (directory / "first", directory / "more" / "second")
    found = json.loads(call("diff", *pair, "--json"))
    assert found["settings"] == {
        "architecture.arguments.widths": [[2, 4], [3, 4]],
        "recipe.learning_rate": [0.003, 0.01],
        "seed": [0, 1],
    }
    assert "test_loss" in found["results"]
    assert found["results"]["trainable_params"][0] < found["results"]["trainable_params"][1]
    shown = call("diff", *pair)
    assert "recipe.learning_rate" in shown
    assert "fingerprint" not in shown


def test_diff_of_a_run_with_itself_and_with_an_open_one(directory):
    first = directory / "first"
    found = json.loads(call("diff", first, first, "--json"))
    assert found["settings"] == found["results"] == {}
    assert call("diff", first, first).count("no difference") == 2
    results = json.loads(call("diff", first, directory / "open", "--json"))["results"]
    assert results["test_error"][1] is None
    assert "val_error" not in results  # of the last epoch: the same in both
    with pytest.raises(RunError, match="damaged"):
        call("diff", first, directory / "bad_json")


def test_it_needs_no_tensorflow(directory):
    """A task is light: what computes is imported when it computes."""
    code = (
        "import sys; from kerascnn.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    for words in ([str(directory)], ["diff", str(directory / "first"), str(directory / "open")]):
        command = [sys.executable, "-c", code, "runs", *words]
        ended = subprocess.run(command, env=os.environ, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
