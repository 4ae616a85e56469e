"""Checks of what an architecture declares: its card, its costs, its arguments and their space."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from kerascnn.architecture import Architecture
from kerascnn.checks.case import CLASSES, Case, finite_logits, legal_side, same
from kerascnn.checks.suite import DEEP, SkipCheck, check, quick_up_to
from kerascnn.errors import ArgumentError, InputSizeError

if TYPE_CHECKING:
    import keras

POINTS = 3  # random points of the search space
# A point of the search space beyond these is counted, not run.
LARGEST_PARAMS, LARGEST_MACS, LARGEST_DEPTH = 20_000_000, 500_000_000, 400


@check
def check_card(case: Case) -> None:
    """Parameters, multiply-adds and smallest input on the card are those of the built model."""
    from kerascnn.profiling import profile

    card = case.architecture.card
    if card.params is not None or card.macs is not None:
        native = case.build(values=False, input_shape=card.input_shape, classes=card.classes)
        found = profile(native)
        for name, stated in (("params", card.params), ("macs", card.macs)):
            if stated is not None:
                same(f"card.{name}", stated, getattr(found, name))
    if card.smallest_input is not None:
        least = case.smallest_features
        same("card.smallest_input", card.smallest_input, (least, least))


@check
def check_cost(case: Case) -> None:
    """`cost` is exact: it gives the built model's parameters and multiply-adds."""
    _check_cost(case.architecture, case.outline, {})


@check
def check_profile(case: Case) -> None:
    """`Network.profile` says of every layer what it says of the built model's."""
    from kerascnn.profiling import profile

    model = case.build(values=False, classifier_activation="softmax")
    built = profile(model)
    reckoned = replace(case.network, input_shape=model.input_shape[1:]).profile()
    for found, expected in zip(reckoned.layers, built.layers):
        if found != expected:
            both = asdict(found), asdict(expected)
            differing = {
                k: tuple(row[k] for row in both)
                for k in both[0]
                if len({repr(row[k]) for row in both}) > 1
            }
            raise AssertionError(f"{expected.name}: reckoned and built differ: {differing}")
    same("profile", len(reckoned.layers), len(built.layers))
    same("the profile's outputs", reckoned.outputs, built.outputs)


@check
def check_smallest_input(case: Case) -> None:
    """One pixel less than the smallest input is refused, naming it; the smallest works."""
    for top, least in ((True, case.smallest), (False, case.smallest_features)):
        shape = (least, least, case.channels)
        model = case.build(values=False, include_top=top, input_shape=shape)
        assert None not in model.output_shape[1:], f"unknown output shape {model.output_shape}"
        if least == 1:
            continue
        shape = (least - 1, least - 1, case.channels)
        message = _refusal(case.architecture, include_top=top, input_shape=shape)
        assert f"{least}×{least}" in message, f"the message omits {least}×{least}: {message}"


@check
def check_arguments(case: Case) -> None:
    """An unknown argument lists the legal ones; a wrong value says what was expected."""
    architecture = case.architecture
    space = architecture.space
    message = _refusal(architecture, no_such_argument=1)
    for param in space:
        assert param.name in message, f"the message omits {param.name}: {message}"
        about_value = _refusal(architecture, **{param.name: object()})
        assert param.name in about_value, f"{param.name} isn't named: {about_value}"
        assert "Received:" in about_value, f"{param.name}: {about_value}"


@check
def check_space_corners(case: Case) -> None:
    """Every end of every searched range gives a legal network or a refusal that says why."""
    legal = 0
    for point in _ends(case.architecture):
        legal += _counted(case, point) is not None
    if not any(p.search for p in case.architecture.space):
        raise SkipCheck("it has no searched arguments")
    assert legal, "not one end of the search space can be built"


@check
@quick_up_to(DEEP)
def check_space_points(case: Case) -> None:
    """The lowest and the highest corner and random points build, count right, and run."""
    space = case.architecture.space
    if not any(p.search for p in space):
        raise SkipCheck("it has no searched arguments")
    rng = random.Random(0)
    points = [*_opposite_corners(case.architecture)]
    points += [space.sample(rng) for _ in range(POINTS)]
    for point in points:
        side = _counted(case, point)
        if side is None:
            continue
        shape = (side, side, case.channels)
        cost = case.architecture.cost(input_shape=shape, classes=CLASSES, **point)
        # What is too large to run at leisure is built without values and counted.
        small = cost.params < LARGEST_PARAMS and cost.macs < LARGEST_MACS
        model = case.build(fresh=True, values=small, input_shape=shape, **point)
        _check_cost(case.architecture, model, point)
        if small and len(model.layers) < LARGEST_DEPTH:
            finite_logits(model, case.images(side)[:2], modes=(False,))


def _check_cost(architecture: Architecture, model: keras.Model, point: Mapping[str, Any]) -> None:
    from kerascnn.profiling import profile

    shape = model.input_shape[1:]
    reckoned = architecture.cost(input_shape=shape, classes=CLASSES, **point)
    found = profile(model)
    same(f"cost{point or ''}", (reckoned.params, reckoned.macs), (found.params, found.macs))


def _refusal(architecture: Architecture, **arguments: Any) -> str:
    try:
        architecture(**arguments)
    except ArgumentError as error:  # InputSizeError is one, too
        return str(error)
    raise AssertionError(f"accepted: {arguments}")


def _ends(architecture: Architecture) -> Iterator[dict[str, Any]]:
    """One scalar at a time at each end of its range, or at each of its values."""
    for scalar in architecture.space.scalars():
        for value in _extremes(scalar):
            yield architecture.space.assemble({scalar.name: value})


def _opposite_corners(architecture: Architecture) -> Iterator[dict[str, Any]]:
    """All scalars at the low end, and all at the high end."""
    for end in (0, -1):
        scalars = architecture.space.scalars()
        yield architecture.space.assemble({s.name: _extremes(s)[end] for s in scalars})


def _extremes(scalar: Any) -> Sequence[Any]:
    values = scalar.searched_values()
    if values is None:
        return (scalar.search.low, scalar.search.high)
    if isinstance(scalar.search, tuple):
        return values
    return tuple(type(scalar.default)(value) for value in (values[0], values[-1]))


def _counted(case: Case, point: Mapping[str, Any]) -> int | None:
    """A side at which this point of the space can be built; None if a rule forbids the point."""
    try:
        network = case.architecture.network(point, classes=CLASSES)
        try:
            return legal_side(network, case.side)
        except InputSizeError:  # to look for the smallest is many times the work
            return legal_side(network, network.smallest_input())
    except ArgumentError:  # by a rule, or because no input is large enough
        return None
