"""`kerascnn bench gpu` without a GPU: what is planned, told and shown."""

import json

import pytest
from typer.testing import CliRunner

from kerascnn.bench import gpu, gpu_parts
from kerascnn.bench.gpu import PLAN, Race
from kerascnn.bench.rounds import Measured
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, KerascnnError

CARD = {"card": "Card of a test", "what": "", "difference": 0.0, "allowed": 0.0}
ONE = Race("train", "resnet50", 64, "float32")


def run(*arguments):
    result = CliRunner().invoke(app, ["bench", "gpu", *arguments], env={"COLUMNS": "80"})
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture
def raced(monkeypatch):
    """Races that give round numbers, the second of them a minute after the first."""
    clock = iter([0.0, 0.0, 60.0, 60.0, 120.0, 120.0])
    monkeypatch.setattr(gpu.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        gpu,
        "race",
        lambda contestants, **rest: [
            Measured(one.name, 2.0, 1.0, 4.0, 30.0, 0, 2**30) for one in contestants
        ],
    )


def test_races_are_run_until_the_time_is_up(raced):
    told = []
    found = list(gpu.run([ONE] * 3, against=["keras"], rounds=1, seconds=150, tell=told.append))
    assert len(found) == 2
    assert told[-1] == "Not run, as the time was up: train resnet50, batch 64, float32."
    row = found[0][0]
    each = gpu.UPDATES * 64
    assert (row.images_per_second, row.slowest, row.fastest) == (each / 2, each / 4, each)
    assert [row.contestant for row in found[0]] == [
        *("kerascnn, XLA", "kerascnn, no XLA", "keras fit, XLA", "keras fit, no XLA"),
    ]


def test_every_contestant_of_the_plan_is_a_function():
    for one in PLAN:
        for contestant in one.contestants(["keras", "torchvision"]):
            module, _, function = contestant.make.partition(":")
            assert module == gpu.__name__
            assert callable(getattr(gpu, function))


def test_without_a_gpu_one_line_says_so(monkeypatch):
    monkeypatch.setattr(gpu_parts, "part", lambda name: [])
    with pytest.raises(KerascnnError, match="sees no GPU here"):
        run()


def test_an_unknown_part_is_refused():
    with pytest.raises(ArgumentError, match="Received: 'speed'"):
        run("--part", "speed")


@pytest.fixture
def parts(monkeypatch):
    """What the processes of a GPU would have found."""
    known = {
        "device": [CARD],
        "checks": [{"what": "outputs of lenet5", "difference": 1.2e-7, "allowed": 1e-4}],
        "resumed": [{"what": "weights of lenet5", "difference": 0.0, "allowed": 0.0}],
        "reading": [{"precision": "float32", "images_per_second": 1234.5, "waiting": 0.25}],
    }
    monkeypatch.setattr(gpu_parts, "part", known.__getitem__)
    rows = [gpu.Row(*("train", "resnet50", 64, "float32", "kerascnn, XLA"), 3456, 3e3, 4e3, 9, 1)]
    monkeypatch.setattr(gpu, "run", lambda *arguments, **rest: iter([rows]))


def test_all_that_was_found_is_shown(parts):
    shown = run()
    for text in ("Card of a test", "outputs of lenet5", "1.2e-07", "kerascnn, XLA", "3,456"):
        assert text in shown
    assert "float32: 1,234 images/s, and 25% of the time it waits" in " ".join(shown.split())


def test_json_says_where_and_with_what(parts, tmp_path):
    found = json.loads(run("--json", "--save", str(tmp_path / "gpu.json")))
    assert (found["card"], found["rows"][0]["images_per_second"]) == ("Card of a test", 3456)
    assert found["versions"]["tensorflow"]
    assert [check["what"] for check in found["checks"]] == [
        "outputs of lenet5",
        "weights of lenet5",
    ]
    assert json.loads((tmp_path / "gpu.json").read_text()) == found


def test_a_wrong_result_ends_in_an_error(parts, monkeypatch):
    wrong = [{"what": "outputs of vgg16", "difference": 0.1, "allowed": 1e-4}]
    monkeypatch.setattr(gpu_parts, "part", lambda name: {"checks": wrong}.get(name, []) or [CARD])
    with pytest.raises(KerascnnError, match="not the processor's: outputs of vgg16"):
        run("--json", "--part", "checks")


def test_only_the_parts_asked_for_are_run(parts):
    found = json.loads(run("--json", "--part", "checks"))
    assert (len(found["checks"]), found["reading"], found["rows"]) == (2, [], [])
