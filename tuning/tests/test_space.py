"""The space of a search: what architecture and recipe declare, narrowed by a plan."""

import pytest
from kerascnn_tuning import Plan
from kerascnn_tuning.problem import Problem
from kerascnn_tuning.space import is_searched, joint_space

import kerascnn
from kerascnn import Recipe
from kerascnn.errors import ArgumentError


def plan(**changes):
    return Plan(architecture="lenet5", **changes)


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


def test_a_search_can_depart_from_another_number_of_stages():
    problem = Problem.of(plan(start={"widths": (4, 8, 8)}, choose={"kernels": (3, 5)}))
    assert problem.configuration({}).arguments["widths"] == (4, 8, 8)
    assert {"widths_1", "widths_2", "widths_3"} <= {h.name for h in problem.hyperparameters().space}
    with pytest.raises(ArgumentError, match="widths must be"):
        Problem.of(plan(start={"widths": (0,)}))


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
