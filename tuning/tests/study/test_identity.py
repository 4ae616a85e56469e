"""A search goes on with the same plan, code, data and versions alone; differences are named."""

import dataclasses
import inspect

import pytest
from kerascnn_tuning import Plan, search
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.study import identity
from search_steps import QUIET, SETTINGS

import kerascnn
from kerascnn.data import load


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choose": {"widths": (2, 3)}}, r"widths_1: \(2, 3, 4\) then, \(2, 3\) now"),
        ({"tuner": "bayesian"}, "tuner: random then, bayesian now"),
        ({"max_params": 300}, "max_params: None then, 300 now"),
    ],
)
def test_a_changed_search_is_refused_and_the_difference_named(study, data, changes, message):
    # Stock: ignored without a word.
    with pytest.raises(StudyError, match=message):
        search(Plan(**{**SETTINGS, **changes}), directory=study.path, dataset=data, console=QUIET)


def test_a_study_goes_on_with_the_same_code_data_and_versions_alone(study, data, monkeypatch):
    # Another code's default gave 29,624 parameters where the leaderboard said 61,706.
    def go_on():
        search(Plan(**SETTINGS), directory=study.path, dataset=data, console=QUIET)

    def differ(message, change):
        with monkeypatch.context() as patched:
            change(patched)
            with pytest.raises(StudyError, match=message):
                go_on()

    original = kerascnn.get("lenet5")

    def another(build=original.build, **changes):
        changed = dataclasses.replace(original, build=build, **changes)
        return lambda patched: patched.setattr("kerascnn.catalogue.get", lambda name: changed)

    def plain_tanh(inputs, **arguments):
        return original.build(inputs, **{**arguments, "activation": "relu"})

    def wider(inputs, **arguments):
        return original.build(inputs, **{**arguments, "widths": (9, 9)})

    for function in (plain_tanh, wider):
        function.__signature__ = inspect.signature(original.build)
    differ("network.default_layers", another(plain_tanh))
    differ("network.default_parameters: .* then, .* now", another(wider))
    recipe = dataclasses.replace(original.recipe, momentum=0.123)
    differ("recipe.momentum: .* then, 0.123 now", another(recipe=recipe))
    differ(
        "the code of kerascnn.applications.lenet: .* then",
        lambda patched: patched.setattr(identity, "_source", lambda module: "x = 1"),
    )
    differ(
        "tensorflow: .* then, 2.99.0 now",
        lambda patched: patched.setattr(
            kerascnn, "versions", lambda: {"kerascnn": "9", "tensorflow": "2.99.0"}, raising=False
        ),
    )
    go_on()


def test_an_older_study_is_compared_as_far_as_it_says(study):
    now = study.content
    old = {k: now[k] for k in ("space", "fingerprint", "versions")}
    old["data"] = {k: now["data"][k] for k in ("fingerprint", "classes")}
    assert identity.differences(old, now) == []
    old["data"]["fingerprint"] = "1dadc8" + "0" * 58
    assert len(identity.differences(old, now)) == 1


def test_other_data_is_refused_by_name(study, data):
    other = load("mnist5k", input_shape=(16, 16, 1), seed=1, echo=None)
    other = dataclasses.replace(other, fingerprint="5183f4" + "0" * 58)
    with pytest.raises(StudyError, match=r"data\.fingerprint: \w+ then, 5183f4000000 now"):
        search(Plan(**SETTINGS), directory=study.path, dataset=other, console=QUIET)
