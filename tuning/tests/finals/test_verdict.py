"""What may be said of finals: nothing that chance explains."""

import re

import pytest
from kerascnn_tuning.finals.contestants import DEFAULT, Contestant
from kerascnn_tuning.finals.verdict import TRAIN, Final, Finals, by_chance
from kerascnn_tuning.problem import Configuration

from kerascnn.tasks import find


def test_chance_is_that_of_the_seeds_and_of_the_images():
    """Student's t for 4 degrees of freedom is 2.776, the normal distribution's bound 1.96."""
    first, second = [0.04, 0.05, 0.06], [0.08, 0.09, 0.10]
    seeds = 2.776**2 * (0.01**2 / 3 + 0.01**2 / 3)
    images = 1.96**2 * (0.05 * 0.95 + 0.09 * 0.91) / 1000
    assert by_chance(first, second, 1000) == pytest.approx((seeds + images) ** 0.5, rel=1e-3)
    assert by_chance(first, first, 10**12) == pytest.approx(seeds**0.5, rel=1e-3)


def _finals(trials, default, seeds=3, images=1000):
    """Outcomes by name: (validation errors, test errors)."""
    sides = {DEFAULT: default, **trials}
    nothing = Configuration({}, {})
    return Finals(
        contestants=tuple(Contestant(name, nothing, 1, 1) for name in sides),
        runs=tuple(
            Final(name, TRAIN, seed, {"val_error": val[seed], "test_error": test[seed]}, None)
            for name, (val, test) in sides.items()
            for seed in range(seeds)
        ),
        objective="val_error",
        task=find("classification"),
        epochs=1,
        test_images=images,
        directory=None,
    )


GOOD, FAIR, POOR = [0.020, 0.021, 0.022], [0.045, 0.046, 0.047], [0.050, 0.051, 0.052]


@pytest.mark.parametrize(
    ("trial", "default", "words"),
    [
        (GOOD, POOR, "more than the .* that chance explains. The search has found something bett"),
        (FAIR, POOR, "0.50 points better, and up to .* can be chance. .* not shown"),
        (POOR, GOOD, "worse, more than the .* The search has found nothing better"),
        (POOR, FAIR, "0.50 points worse, and up to .* not shown"),
    ],
)
def test_only_what_is_beyond_chance_is_said_to_be_better(trial, default, words):
    assert re.search(words, _finals({"0001": (GOOD, trial)}, (GOOD, default)).verdict)


def test_the_winner_is_chosen_by_validation_not_by_the_test_images():
    found = _finals({"0001": (FAIR, GOOD), "0002": (GOOD, FAIR)}, (POOR, POOR))
    assert found.winner.name == "0002"
    assert "trial 0002 has 4.60% ± 0.10%" in found.verdict


def test_from_one_seed_nothing_is_said():
    found = _finals({"0001": (GOOD, GOOD)}, (POOR, POOR), seeds=1)
    assert "From one seed each nothing can be said" in found.verdict
