"""A plan says everything; a typo or an illegal value is an error before the first trial."""

import random

import pytest
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.space import is_searched, joint_space
from kerascnn_tuning.values import parse_count

import kerascnn
from kerascnn import Recipe
from kerascnn.errors import ArgumentError


def plan(**changes):
    return Plan(architecture="lenet5", **changes)


@pytest.mark.parametrize(
    ("text", "value"), [("500k", 500_000), ("1.5M", 1_500_000), ("2GB", 2 * 10**9), ("7", 7)]
)
def test_counts_with_units(text, value):
    assert parse_count(text, "--max-params") == value


@pytest.mark.parametrize("text", ["", "k", "-5", "many", "0"])
def test_a_count_that_is_none_is_refused(text):
    with pytest.raises(ArgumentError, match="--max-params"):
        parse_count(text, "--max-params")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuner": "magic"}, "tuner must be one of"),
        ({"objectives": ("accuracy",)}, "objective must be one of"),
        ({"max_trials": 0}, "max_trials must be at least 1"),
    ],
)
def test_illegal_settings_are_refused(changes, message):
    with pytest.raises(ArgumentError, match=message):
        plan(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fix": {"kernal": 5}}, "no argument 'kernal'. Did you mean kernels"),
        ({"fix": {"kernels": 99}}, "kernels must be"),
        ({"fix": {"kernels": "5"}}, "kernels must be"),
        ({"choose": {"kernels": (3, 99)}}, "kernels must be"),
        ({"range": {"dropout": (0.0, 2.0)}}, "dropout must be"),
        ({"only": ("widhts",)}, "no argument 'widhts'. Did you mean widths"),
        ({"only": ("optimizer",)}, "no values for 'optimizer'"),
    ],
)
def test_a_typo_or_an_illegal_value_is_refused(changes, message):
    with pytest.raises(ArgumentError, match=message):
        Problem.of(plan(**changes))


def test_only_leaves_everything_else_at_its_default():
    problem = Problem.of(plan(only=("kernels",), choose={"batch_size": (64, 128)}))
    searched = {p.name for p in problem.space.scalars() if is_searched(p)}
    assert searched == {"kernels_1", "kernels_2", "batch_size"}
    assert {hp.name for hp in problem.hyperparameters().space} == searched


def test_a_study_file_is_read(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(
        'architecture = "lenet5"\nmax_params = "20k"\nonly = ["widths"]\n'
        "[fix]\nwidths = [4, 8, 8]\n[choose]\nkernels = [3, 5]\n"
    )
    found = Plan.read(file)
    assert found.max_params == 20_000
    assert found.fix == {"widths": (4, 8, 8)}
    assert found.choose == {"kernels": (3, 5)}
    assert Plan.from_dict(found.to_dict(), owner="copy") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("architecture = ", "can't be read"),
        ('architecture = "lenet5"\nmax_parms = 3', "unknown max_parms"),
        ("epochs = 3", "architecture is missing"),
    ],
)
def test_a_bad_study_file_is_refused_by_name(tmp_path, text, message):
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(ArgumentError, match=f"(?s)study.toml.*{message}"):
        Plan.read(file)


def test_the_recipe_declares_its_hyperparameters_and_takes_them():
    recipe = kerascnn.get("lenet5").recipe
    space = recipe.space()
    assert recipe.changed(space.defaults()) == recipe
    changed = recipe.changed({"learning_rate": 0.01, "batch_size": 32, "augmentation": 0.5})
    assert (changed.learning_rate, changed.batch_size) == (0.01, 32)
    assert changed.augmentation.rotation == recipe.augmentation.rotation / 2
    with pytest.raises(ArgumentError, match="optimizer must be"):
        recipe.changed({"optimizer": "adamax"})


@pytest.mark.parametrize("name", ["lenet5", "googlenet", "resnet50", "densenet121", "vgg16"])
def test_every_family_joins_its_recipe_and_registers_in_full(name):
    architecture = kerascnn.get(name)
    problem = Problem.of(Plan(architecture=name))
    joint_space(architecture, Recipe())
    searched = [p.name for p in problem.space.scalars() if is_searched(p)]
    registered = {hp.name for hp in problem.hyperparameters().space}
    inactive = set(searched) - registered
    # Only children of a parent that is fixed to another value may be left out.
    assert all(
        problem.space[next(p.name for p in problem.space if name.startswith(p.name))].when
        for name in inactive
    )
    assert registered


def test_conditional_parameters_are_absent_where_they_have_no_effect():
    problem = Problem.of(Plan(architecture="densenet121"))
    hp = problem.hyperparameters()
    child = next(h for h in hp.space if h.name == "bottleneck_ratio")
    hp.values["bottleneck"] = False
    assert not hp.is_active(child)
    hp.values["bottleneck"] = True
    assert hp.is_active(child)


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


def test_a_search_can_depart_from_another_number_of_stages():
    problem = Problem.of(plan(start={"widths": (4, 8, 8)}, choose={"kernels": (3, 5)}))
    assert problem.configuration({}).arguments["widths"] == (4, 8, 8)
    assert {"widths_1", "widths_2", "widths_3"} <= {h.name for h in problem.hyperparameters().space}
    with pytest.raises(ArgumentError, match="widths must be"):
        Problem.of(plan(start={"widths": (0,)}))


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


def test_a_plan_that_says_kernel_searches_the_kernels_of_all_stages(tmp_path):
    """The argument was one number once; study files of that time still begin a search."""
    file = tmp_path / "study.toml"
    file.write_text(
        'architecture = "lenet5"\nonly = ["kernel"]\n[choose]\nkernel = [3, 7]\n'
        "[start]\nwidths = [4, 8, 8]\n"
    )
    problem = Problem.of(Plan.read(file))
    searched = {hp.name: list(hp.values) for hp in problem.hyperparameters().space}
    assert searched == {f"kernels_{stage}": [3, 7] for stage in (1, 2, 3)}
    fixed = Problem.of(plan(fix={"kernel": 3}, choose={"batch_size": (64, 128)}))
    assert fixed.configuration({}).arguments["kernels"] == (3, 3)


def test_a_trials_value_for_a_parameter_that_is_gone_is_refused_not_dropped():
    with pytest.raises(ArgumentError, match="value for kernel, which the space of lenet5 doesn't"):
        Problem.of(plan()).configuration({"kernel": 7})
    hyperband = {"tuner/epochs": 3, "tuner/bracket": 0}
    assert Problem.of(plan()).configuration(hyperband).arguments["kernels"] == (5, 5)
