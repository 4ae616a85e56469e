"""The optimizer as something to search: each has learning rates of its own."""

import pytest
from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem

import kerascnn
from kerascnn.errors import ArgumentError


def plan(**changes):
    settings = {"architecture": "lenet5", "choose": {"optimizer": ("sgd", "adamw")}}
    return Plan(**{**settings, **changes})


def test_each_optimizer_has_its_own_range_around_its_own_rate():
    problem = Problem.of(plan())
    own = kerascnn.get("lenet5").recipe  # Adam's, which AdamW takes over
    hps = {hp.name: hp for hp in problem.hyperparameters().space}
    assert "learning_rate" not in hps
    sgd, adamw = hps["learning_rate_sgd"], hps["learning_rate_adamw"]
    assert (adamw.min_value, adamw.max_value) == pytest.approx(
        (own.learning_rate / 10, own.learning_rate * 10)
    )
    assert (sgd.min_value, sgd.max_value) == pytest.approx((0.003, 0.3))
    assert sgd.min_value > own.learning_rate / 10
    assert "learning_rate_adam" not in hps


def test_a_trial_trains_with_the_rate_of_its_optimizer(tmp_path):
    problem = Problem.of(
        plan(
            only=("optimizer", "learning_rate"),
            range={"learning_rate_sgd": (0.05, 0.2), "learning_rate_adamw": (1e-4, 1e-3)},
            max_trials=12,
        )
    )
    oracle = make_oracle(problem, tmp_path / "oracle")
    ranges = {"sgd": (0.05, 0.2), "adamw": (1e-4, 1e-3)}
    drawn = set()
    for _ in range(12):
        trial = oracle.create_trial("w")
        values = trial.hyperparameters.values
        optimizer = values["optimizer"]
        assert set(values) == {"optimizer", f"learning_rate_{optimizer}"}
        recipe = problem.recipe.changed(problem.configuration(values).training)
        low, high = ranges[optimizer]
        assert recipe.optimizer == optimizer
        assert low <= recipe.learning_rate <= high
        oracle.update_trial(trial.trial_id, {"val_error": 0.5})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        drawn.add(optimizer)
    assert drawn == {"sgd", "adamw"}


@pytest.mark.parametrize(
    "changes",
    [
        {"fix": {"learning_rate": 0.1}},
        {"range": {"learning_rate": (0.1, 0.2)}},
        {"start": {"learning_rate": 0.1}},
        {"choose": {"optimizer": ("sgd", "adam"), "learning_rate": (0.1, 0.2)}},
    ],
)
def test_a_rate_that_belongs_to_no_optimizer_is_refused(changes):
    with pytest.raises(ArgumentError, match=r"Expected learning_rate_sgd or learning_rate_adam"):
        Problem.of(plan(**changes))


@pytest.mark.parametrize("chosen", [("sgd", "lion"), ("lion",), "sgd"])
def test_an_unknown_optimizer_is_refused(chosen):
    with pytest.raises(ArgumentError, match="optimizer"):
        Problem.of(plan(choose={"optimizer": chosen}))


def test_where_the_optimizer_is_given_there_is_one_rate():
    problem = Problem.of(plan(choose={}, fix={"optimizer": "sgd", "learning_rate": 0.2}))
    recipe = problem.recipe.changed(problem.configuration({}).training)
    assert (recipe.optimizer, recipe.learning_rate) == ("sgd", 0.2)
    problem = Problem.of(plan(choose={"optimizer": ("sgd",)}))
    assert "learning_rate" in {hp.name for hp in problem.hyperparameters().space}
