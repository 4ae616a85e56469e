"""The learning-rate range test: a growing rate, a bounded number of steps, a suggestion."""

import dataclasses
import json
import math

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, StrategyError
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.training.range_test import RateRange, Smoothing

QUIET = Console(quiet=True)
RECIPE = Recipe(
    optimizer="sgd", batch_size=16, warmup_epochs=2, augmentation=Augmentation(shift=0.1)
)
SMALL = {"widths": (4, 8), "hidden": (16,), "activation": "relu"}


@pytest.fixture(scope="module")
def found(photos, tmp_path_factory):
    """Of a network that learns stripes, and where its picture is."""
    picture = tmp_path_factory.mktemp("rates") / "deep" / "rates.png"
    rates = kerascnn.find_rate(
        "lenet5",
        f"folder:{photos}",
        arguments=SMALL,
        recipe=RECIPE,
        steps=60,
        lowest=1e-4,
        highest=1e4,
        save=picture,
        console=QUIET,
    )
    return rates, picture


def test_the_rate_grows_by_a_factor_and_the_test_ends_when_the_loss_breaks_out(found):
    rates, picture = found
    assert rates.diverged
    assert len(rates.rates) == len(rates.losses) == len(rates.smoothed) < 60
    assert rates.rates[0] == 1e-4
    factor = (1e4 / 1e-4) ** (1 / 59)
    steps = [b / a for a, b in zip(rates.rates, rates.rates[1:])]
    assert steps == pytest.approx([factor] * len(steps))
    assert all(map(math.isfinite, rates.losses))
    assert (rates.batch_size, rates.used) == (16, RECIPE.learning_rate)
    with Image.open(picture) as image:
        assert image.format == "PNG"
    assert not list(picture.parent.rglob("config.json")), "no run is left"


def test_the_suggestion_is_a_tenth_of_where_the_loss_is_lowest(found):
    rates, _ = found
    place = rates.smoothed.index(min(rates.smoothed))
    assert rates.lowest == rates.rates[place]
    assert rates.suggestion == pytest.approx(rates.lowest / 10, rel=0.05)
    assert f"--learning-rate {rates.suggestion:g}" in rates.verdict
    assert "lowest" in rates.verdict


def test_the_first_steps_are_those_of_a_training_with_that_rate(found, photos, tmp_path):
    """The same weights, batch and augmentation: at a rate near 0 the first losses are equal."""
    run = kerascnn.train(
        "lenet5",
        f"folder:{photos}",
        arguments=SMALL,
        recipe=dataclasses.replace(
            RECIPE, batch_size=144, epochs=1, learning_rate=1e-9, warmup_epochs=0
        ),
        run=tmp_path / "run",
        record=False,
        console=QUIET,
    )
    assert found[0].smoothed[8] == pytest.approx(run.history[0]["loss"], rel=0.2)


def test_where_nothing_is_learned_nothing_is_suggested():
    flat = RateRange(
        rates=(0.1, 1.0), losses=(2.0, 2.0), smoothed=(2.0, 2.0), diverged=False, batch_size=1,
        used=0.1,
    )  # fmt: skip
    assert flat.suggestion is None
    assert "No rate is suggested" in flat.verdict
    assert json.loads(json.dumps(flat.as_json()))["suggestion"] is None
    flat.figure()


def test_the_smoothed_loss_is_a_mean_without_a_bias_to_zero():
    same = Smoothing()
    assert [same.add(2.0) for _ in range(3)] == pytest.approx([2, 2, 2])
    rising = Smoothing()
    assert [rising.add(loss) for loss in (1.0, 2.0)] == pytest.approx([1, (0.9 * 1 + 2) / 1.9])
    assert not rising.broke_out
    rising.add(30.0)
    assert rising.broke_out


@pytest.mark.parametrize("options", [{"steps": 5}, {"lowest": 0}, {"lowest": 2, "highest": 1}])
def test_illegal_ends_are_refused(options):
    with pytest.raises(ArgumentError):
        kerascnn.find_rate("lenet5", "mnist5k", console=QUIET, **options)


def call(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lr-find", "--run", "x", "--keep-epochs", "1"], "--run, --keep-epochs"),
        (["--lr-steps", "20"], "--lr-find is missing"),
        (["--lr-find", "--lr-range", "fast"], "such as 1e-6:10"),
    ],
)
def test_options_without_effect_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        call("train", "lenet5", *options)


def test_from_the_command_line(photos, striped_run, tmp_path):
    """Of a run that goes on, too; JSON and nothing else on stdout."""
    shown = call(
        *("train", "--continue", striped_run.path, "--lr-find", "--lr-steps", 10, "--json"),
        *("--save", tmp_path / "rates.svg"),
    )
    found = json.loads(shown)
    assert len(found["rates"]) <= 10
    assert (tmp_path / "rates.svg").read_text().startswith("<?xml")
    with pytest.raises(StrategyError, match="multiworker"):
        call("train", "lenet5", "--lr-find", "--strategy", "multiworker")
