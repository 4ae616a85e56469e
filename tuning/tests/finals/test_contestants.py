"""What finals compare with: the default, made narrower where the budget asks for it."""

import pytest
from kerascnn_tuning import Plan, search
from kerascnn_tuning.finals.contestants import DEFAULT, contestants, default_within
from kerascnn_tuning.problem import Problem
from search_steps import QUIET

import kerascnn


@pytest.mark.parametrize(
    ("name", "budget"),
    [
        ("lenet5", {"max_params": 50_000}),
        ("resnet20_cifar", {"max_macs": 10_000_000}),
        ("googlenet", {"max_params": 1_000_000}),
        ("densenet40_k12_cifar", {"max_params": 500_000}),
    ],
)
def test_the_default_is_made_no_narrower_than_the_budget_asks_for(name, budget):
    problem = Problem.of(Plan(architecture=name, **budget))
    found, note = default_within(problem)
    usual = kerascnn.get(name).space.defaults()
    scalars = {
        element.name: value
        for param in kerascnn.get(name).space
        for element, value in zip(
            param.elements(),
            found.arguments[param.name] if param.per_stage else [found.arguments[param.name]],
        )
    }
    assert problem.refusal(scalars) is None
    changed = {key for key in usual if found.arguments[key] != usual[key]}
    assert changed
    assert all("width" in key or key in _WIDTHS for key in changed), changed
    assert "over the budget" in note
    factor = float(note.rstrip(".").rpartition(" ")[2])
    wider = {
        key: value
        if key not in changed
        else tuple(round(x * (factor + 0.005)) for x in value)
        if isinstance(value, tuple)
        else round(value * (factor + 0.005))
        for key, value in usual.items()
    }
    cost = problem.network(wider).cost()
    limits = (
        (cost.params, "max_params"),
        (cost.macs, "max_macs"),
        (problem.memory(cost, found.training["batch_size"]), "max_memory"),
    )
    assert any(value > budget[key] for value, key in limits if key in budget)


_WIDTHS = (
    *("hidden", "growth_rate", "conv_1x1", "reduce_3x3"),
    *("conv_3x3", "reduce_5x5", "conv_5x5", "pool_proj"),
)


def test_the_default_keeps_what_the_plan_fixes_and_ignores_what_it_chooses():
    problem = Problem.of(
        Plan(
            architecture="lenet5",
            max_params=50_000,
            fix={"widths": (6, 16), "learning_rate": 0.01},
            choose={"kernels": (3, 7), "batch_size": (8, 16)},
        )
    )
    found, _ = default_within(problem)
    assert found.arguments["widths"] == (6, 16)
    assert found.arguments["kernels"] == (5, 5)
    assert found.arguments["hidden"] < (120, 84)
    assert found.training["learning_rate"] == 0.01
    assert found.training["batch_size"] == kerascnn.get("lenet5").recipe.batch_size


def test_a_default_within_the_budget_is_left_alone_and_an_impossible_one_left_out():
    found, note = default_within(Problem.of(Plan(architecture="lenet5", max_params=70_000)))
    assert found.arguments == kerascnn.get("lenet5").space.defaults()
    assert "as they are" in note
    found, note = default_within(Problem.of(Plan(architecture="lenet5", max_params=10)))
    assert found is None
    assert "no default to compare with" in note


def test_a_trial_that_is_the_default_is_no_finalist(tmp_path, tiny, data):
    """It would be trained twice from the same seeds, and be "0.00 points better"."""
    plan = tiny(tuner="grid", only=("kernels",), choose={"kernels": (3, 5)}, max_trials=4)
    study = search(plan, directory=tmp_path / "study", dataset=data, console=QUIET)
    found, notes = contestants(study, 4)
    default = found[0].configuration
    assert [one.name for one in found].count(DEFAULT) == 1
    assert all(one.configuration != default for one in found[1:])
    same = [row.id for row in study.leaderboard if row.arguments == default.arguments]
    assert notes[1] == f"Trial {same[0]} is the default, and is trained as that alone."
    assert len(found) == 1 + len(study.leaderboard) - 1
