"""Which points of a space can be trials, and what is said of them before anything is built."""

import random

import pytest
from kerascnn_tuning import Plan
from kerascnn_tuning.problem import Problem

from kerascnn.errors import ArgumentError


def plan(**changes):
    return Plan(architecture="lenet5", **changes)


def test_the_budget_is_exact_before_anything_is_built():
    limit = 30_000
    problem = Problem.of(plan(max_params=limit))
    rng = random.Random(0)
    verdicts = set()
    for _ in range(50):
        values = {p.name: p.draw(rng) for p in problem.space.scalars()}
        arguments = problem.configuration(values).arguments
        refused = problem.refusal(values)
        verdicts.add(refused is None)
        assert (refused is None) == (problem.network(arguments).cost().params <= limit)
    assert verdicts == {True, False}
    assert 0 < problem.share_allowed(50) < 1


def test_what_does_not_fit_into_the_input_is_refused():
    problem = Problem.of(plan(input_shape=(16, 16, 1)))
    assert "too small" in problem.refusal({"kernels_1": 7})
    assert problem.refusal({"kernels_1": 5}) is None


def test_memory_grows_with_the_batch():
    problem = Problem.of(plan(max_memory=20_000_000))
    assert problem.refusal({"batch_size": 128}) is None
    assert "bytes" in problem.refusal({"batch_size": 256, "widths_1": 64, "widths_2": 64})


def test_the_size_counts_no_values_without_an_effect():
    """Naïve Inception modules have no reductions, so their widths are no other configurations."""
    widths = ("conv_1x1", "reduce_3x3", "conv_3x3", "reduce_5x5", "conv_5x5", "pool_proj")
    plan = Plan(
        architecture="googlenet_bn",
        only=("reduce",),
        start={"depths": (1, 1), **dict.fromkeys(widths, (8, 8))},
        choose={"reduce_3x3": (4, 8, 16), "reduce": (True, False)},
    )
    assert Problem.of(plan).space.size() == 2 * 3 * 3
    assert Problem.of(plan).size() == 3 * 3 + 1


def test_a_trials_value_for_a_parameter_that_is_gone_is_refused_not_dropped():
    with pytest.raises(ArgumentError, match="value for kernel, which the space of lenet5 doesn't"):
        Problem.of(plan()).configuration({"kernel": 7})
    hyperband = {"tuner/epochs": 3, "tuner/bracket": 0}
    assert Problem.of(plan()).configuration(hyperband).arguments["kernels"] == (5, 5)
