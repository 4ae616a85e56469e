"""The conformance suite: what every architecture must do, ours and a plugin's alike.

    kerascnn check resnet18                      # on the command line
    check_architecture("resnet18")               # raises, naming every check that failed

    @parametrize_with_checks(["my_net"])         # one pytest case for each check
    def test_conformance(architecture, check):
        check(architecture)

Each check is one small function whose docstring says what it protects: in `structure` what a model
is made of, in `numerics` what it computes, in `declared` what its card and its space promise.
Networks are checked whole but at small inputs; what needs shapes and counts only is built without
values.
"""

from kerascnn.checks import structure, numerics, declared  # noqa: F401, I001 - the suite's order
from kerascnn.checks.case import Case
from kerascnn.checks.suite import (
    Outcome,
    SkipCheck,
    check_architecture,
    names,
    parametrize_with_checks,
    require_known,
    run_check,
    run_checks,
)

__all__ = [
    "Case",
    "Outcome",
    "SkipCheck",
    "check_architecture",
    "names",
    "parametrize_with_checks",
    "require_known",
    "run_check",
    "run_checks",
]
