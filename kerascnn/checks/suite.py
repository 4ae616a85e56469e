"""The list of checks, and running it."""

from __future__ import annotations

import functools
import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerascnn import catalogue
from kerascnn.architecture import Architecture
from kerascnn.checks.case import Case
from kerascnn.errors import ArgumentError

# Beyond these numbers of layers `quick` leaves out what is slow: XLA, files, other precisions, two
# replicas, other sizes and channels; then everything that runs the network.
DEEP, VERY_DEEP = 100, 700
# Beyond this number (ResNets of 1,001 and 1,202 layers have 3,000 and more in Keras) the former are
# left out unless `full` asks for them: XLA alone compiles for the better part of an hour.
ENORMOUS = 2000


class SkipCheck(Exception):  # noqa: N818 - no error: what the check needs isn't there
    """Raised by a check that has nothing to look at; the message says why."""


Check = Callable[[Case], None]
_checks: dict[str, Check] = {}
_quick_limit: dict[str, int] = {}


def check(function: Check) -> Check:
    """Add a function to the suite; its name without `check_` is what users see."""
    _checks[function.__name__.removeprefix("check_")] = function
    return function


def quick_up_to(layers: int) -> Callable[[Check], Check]:
    """Leave a check out for networks with more layers when the suite is run with `quick=True`."""

    def limited(function: Check) -> Check:
        _quick_limit[function.__name__.removeprefix("check_")] = layers
        return function

    return limited


def names() -> list[str]:
    """The names of all checks, in the order in which they run."""
    return list(_checks)


@dataclass(frozen=True)
class Outcome:
    """What became of one check.

    Attributes:
        architecture, check: names.
        status: "ok", "failed", "expected failure" or "skipped".
        reason: why, where the status isn't "ok".
        seconds: how long it took.
    """

    architecture: str
    check: str
    status: str
    reason: str = ""
    seconds: float = 0.0


def run_checks(
    architecture: str | Architecture,
    *,
    expected_failures: Mapping[str, str] | None = None,
    quick: bool = False,
    full: bool = False,
) -> Iterator[Outcome]:
    """Run the suite, yielding each outcome as it comes.

    Args:
        architecture: a name from `list_architectures()`, or the architecture itself.
        expected_failures: check → the reason why it is expected to fail; one that passes
            nevertheless has failed.
        quick: leave out the slow checks of deep networks; see `DEEP`.
        full: leave out nothing, not even of a thousand layers; see `ENORMOUS`.

    Raises:
        ArgumentError: a name in `expected_failures` is no check.
    """
    expected = require_known(expected_failures or {})
    case = _case(architecture)
    gc.collect()  # the last case's models are cycles that hold gigabytes
    for name in _checks:
        start = time.perf_counter()
        status, reason = _judge(name, case, quick, full)
        if name in expected and status != "skipped":
            failed = status == "failed"
            status = "expected failure" if failed else "failed"
            reason = ("" if failed else "passes, but was expected to fail: ") + expected[name]
        seconds = time.perf_counter() - start
        yield Outcome(case.architecture.name, name, status, reason, seconds)


def _judge(name: str, case: Case, quick: bool, full: bool) -> tuple[str, str]:
    try:
        run_check(name, case, quick=quick, full=full)
    except SkipCheck as skip:
        return "skipped", str(skip)
    except Exception as error:  # a crash in the architecture is a failed check, too
        kind = "" if type(error) is AssertionError else f"{type(error).__name__}: "
        return "failed", f"{kind}{error}"
    return "ok", ""


def run_check(name: str, case: Case, *, quick: bool = False, full: bool = False) -> None:
    """Run one check on a case.

    Raises:
        SkipCheck: it doesn't apply.
        AssertionError: it failed.
    """
    import keras

    limit = _limit(name, quick, full)
    if case.layers > limit:
        raise SkipCheck(f"slow, and the network has more than {limit:,} layers")
    keras.utils.set_random_seed(0)
    _checks[name](case)


def _limit(name: str, quick: bool, full: bool) -> float:
    """The number of layers up to which a check is run."""
    limit = _quick_limit.get(name, math.inf)
    if quick and not full:
        return limit
    return ENORMOUS if limit <= DEEP and not full else math.inf


def check_architecture(
    architecture: str | Architecture,
    *,
    expected_failures: Mapping[str, str] | None = None,
    quick: bool = False,
    full: bool = False,
) -> list[Outcome]:
    """Run the whole suite; see `run_checks` for the arguments.

    Raises:
        AssertionError: naming every check that failed, with its reason.
    """
    outcomes = list(
        run_checks(architecture, expected_failures=expected_failures, quick=quick, full=full)
    )
    failed = [f"{o.check}: {o.reason}" for o in outcomes if o.status == "failed"]
    if failed:
        name = outcomes[0].architecture
        raise AssertionError("\n".join([f"{name}: {len(failed)} checks failed", *failed]))
    return outcomes


def parametrize_with_checks(
    architectures: Sequence[str | Architecture],
    *,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    quick: bool = False,
    full: bool = False,
) -> Any:
    """A pytest decorator: one case for each architecture and check.

        @parametrize_with_checks(["my_net"], expected_failures={"my_net": {"xla": "why"}})
        def test_conformance(architecture, check):
            check(architecture)

    Args:
        architectures: names, or the architectures themselves.
        expected_failures: architecture's name → check → reason. These cases become strict
            `xfail`s: one that passes fails the test, so that the list stays true.
        quick, full: see `run_checks`.
    """
    import pytest

    expected_failures = expected_failures or {}
    cases = []
    for architecture in architectures:
        name = architecture if isinstance(architecture, str) else architecture.name
        expected = require_known(expected_failures.get(name, {}))
        for each in _checks:
            marks = []
            if each in expected:
                marks.append(pytest.mark.xfail(reason=expected[each], strict=True))
            check_ = functools.partial(_check_in_pytest, each, quick=quick, full=full)
            cases.append(pytest.param(architecture, check_, marks=marks, id=f"{name}-{each}"))
    return pytest.mark.parametrize(("architecture", "check"), cases)


def _check_in_pytest(
    name: str, architecture: str | Architecture, *, quick: bool, full: bool
) -> None:
    import pytest

    try:
        run_check(name, _case(architecture), quick=quick, full=full)
    except SkipCheck as skip:
        pytest.skip(str(skip))


@functools.lru_cache(maxsize=1)
def _case(architecture: str | Architecture) -> Case:
    """The case of an architecture; only the latest is kept, with its models."""
    gc.collect()  # models are cyclic garbage, and Python does not see how large they are
    if isinstance(architecture, str):
        architecture = catalogue.get(architecture)
    return Case(architecture)


def require_known(expected: Mapping[str, str]) -> Mapping[str, str]:
    """The same mapping from checks to reasons.

    Raises:
        ArgumentError: a name is no check.
    """
    for name in expected:
        if name not in _checks:
            raise ArgumentError(f"There is no check {name!r}. Checks: {', '.join(_checks)}.")
    return expected
