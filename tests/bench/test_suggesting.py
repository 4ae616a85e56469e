"""Suggestions: counted costs, a measured speed, and a command that trains just that."""

import itertools
import json
import shlex

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn.bench import suggesting
from kerascnn.bench.suggesting import (
    DESIGNS,
    Design,
    Speed,
    between,
    looked_at,
    seconds_for,
    suggest,
)
from kerascnn.cli import app
from kerascnn.commands.options import parse_network
from kerascnn.errors import ArgumentError, DataError

SMALL = (
    Design(name="lenet5", least=32, most=64),
    Design(
        name="vgg11_bn",
        least=32,
        most=224,
        arguments={"widths": (2, 4, 8, 8, 8), "hidden": (8, 8)},
    ),
)


@pytest.fixture(scope="module")
def found(photos):
    """Of small designs, so that measuring them takes little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suggesting, "DESIGNS", SMALL)
        patch.setattr(suggesting, "IMAGES", 32)
        yield suggest(f"folder:{photos}", minutes=1e6)


def test_the_images_are_looked_at(photos, tmp_path):
    found = looked_at(f"folder:{photos}")
    assert sum(found.images.values()) == 180
    assert sum(found.classes.values()) == found.images["train"]
    assert list(found.classes) == ["across", "down", "plain"]
    assert (found.channels, found.shorter) == (1, (32, 32, 32))
    assert found.reading > 0
    assert "grey" in found.sentence
    for number in range(6):
        kind = tmp_path / "ab"[number % 2]
        kind.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (50 + number, 90, 3), "uint8")
        Image.fromarray(pixels).save(kind / f"{number}.png")
    (tmp_path / "a" / "damaged.png").write_bytes(b"no image")
    found = looked_at(f"folder:{tmp_path}")
    assert found.channels == 3
    assert 50 <= found.shorter[0] <= found.shorter[2] <= 55


def test_costs_are_those_of_the_networks_and_the_most_that_fits_is_marked(found):
    macs = [one.macs for one in found.candidates]
    assert macs == sorted(macs)
    for one in found.candidates:
        words = shlex.split(one.command)
        options = dict(zip(words[3::2], words[4::2]))
        settings = [b for a, b in itertools.pairwise(words) if a == "--set"]
        network = parse_network(words[2], settings, input_shape=options["--input-shape"], classes=3)
        cost = network.cost()
        assert (cost.params, cost.macs) == (one.params, one.macs)
        assert network.input_shape == one.input_shape == (32, 32, 1)
    assert found.chosen == found.candidates[-1]
    assert {speed.name for speed in found.measured} == {"lenet5", "vgg11_bn"}
    assert all(speed.seconds > 0 for speed in found.measured)
    assert json.loads(json.dumps(found.as_json()))["chosen"]["command"] == found.chosen.command


def test_minutes_grow_with_epochs_images_and_the_measured_speed(found):
    photos, speeds = found.photos, found.measured
    images, held = photos.images["train"], photos.images["validation"]
    for one in found.candidates:
        step = seconds_for(one.macs, speeds)
        epoch = between(one.macs, speeds, lambda speed: speed.epoch)
        epoch += images * (step + photos.reading) + held * (step / 3 + photos.reading)
        start = between(one.macs, speeds, lambda speed: speed.start)
        assert one.minutes == pytest.approx((start + one.epochs * epoch) / 60)
        assert one.minutes > 0


def test_what_lies_between_two_measurements_is_between_them():
    first, last, faster = (
        Speed(name="a", input_shape=(1, 1, 1), macs=macs, seconds=seconds, epoch=epoch, start=0.0)
        for macs, seconds, epoch in ((100, 1.0, 1.0), (10_000, 10.0, 2.0), (10_000, 0.5, 3.0))
    )
    assert seconds_for(100, [first, last]) == 1
    assert seconds_for(10_000, [first, last]) == pytest.approx(10)
    assert seconds_for(1_000, [first, last]) == pytest.approx(10**0.5)
    assert seconds_for(200, [first]) == 2
    assert seconds_for(1_000, [first, faster]) == 1, "more work never takes less time"
    epochs = [between(m, [first, last], lambda speed: speed.epoch) for m in (10, 100, 1_000, 10**5)]
    assert epochs == pytest.approx([1, 1, 1.5, 2])
    assert between(1_000, [first], lambda speed: speed.epoch) == 1


def test_limits_that_nothing_meets_are_said(found, photos, monkeypatch):
    monkeypatch.setattr(suggesting, "DESIGNS", SMALL[:1])
    # To measure it once is enough.
    monkeypatch.setattr(suggesting, "_measured", lambda network: found.measured[0])
    words = ["suggest", "--data", f"folder:{photos}", "--minutes", "0.0001"]
    shown = CliRunner().invoke(app, [*words, "--max-params", "1k"], env={"COLUMNS": "100"}).output
    assert "None fits." in shown
    assert "params, minutes" in shown
    for wrong in (["--max-params", "many"], ["--max-params", "0"]):
        error = CliRunner().invoke(app, [*words, *wrong]).exception
        assert isinstance(error, ArgumentError)
        assert "such as 500k or 2M" in str(error)
    with pytest.raises(ArgumentError, match="positive"):
        suggest(f"folder:{photos}", minutes=0)


def test_other_targets_are_refused_by_name():
    with pytest.raises(DataError, match="digit_scenes has masks"):
        suggest("digit_scenes")


def test_each_design_can_be_built_in_the_sizes_that_it_suits():
    from kerascnn import catalogue

    for design in DESIGNS:
        for side in (design.least, design.most):
            network = catalogue.get(design.name).network(
                design.arguments, input_shape=(side, side, 3), classes=2
            )
            assert network.cost().params > 0
