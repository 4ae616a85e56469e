"""A plan says everything; a typo or an illegal value is an error before the first trial."""

import pytest
from kerascnn_tuning.plan import Plan

from kerascnn.errors import ArgumentError, KerascnnError


def plan(**changes):
    return Plan(architecture="lenet5", **changes)


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
        ('architecture = "lene5"', "There is no architecture 'lene5'. Did you mean lenet5"),
        ('architecture = "lenet5"\nmax_parms = 3', "unknown max_parms. Did you mean max_params"),
        ("epochs = 3", "architecture is missing"),
    ],
)
def test_a_bad_study_file_is_refused_by_name(tmp_path, text, message):
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(KerascnnError, match=f"(?s)study.toml.*{message}"):
        Plan.read(file)
