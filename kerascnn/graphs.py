"""The calls that lead to tensors, in the order of a reader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Made = TypeVar("Made")


def calls_to(
    outputs: Iterable[Any],
    made: Callable[[Any], tuple[Made, Iterable[Any], Iterable[Any]]],
    known: Iterable[Any] = (),
) -> list[Made]:
    """Every call that leads to these tensors, each once and after those it needs.

    A branch is finished before the next one begins, in the order in which a merging layer lists
    them.

    Args:
        outputs: the tensors.
        made: a tensor → its call, all that the call reads, and all that it gives.
        known: tensors behind which nothing is looked at.
    """
    seen = {id(tensor) for tensor in known}
    order: list[Made] = []
    stack = [(tensor, False) for tensor in reversed(list(outputs))]
    while stack:
        tensor, ready = stack.pop()
        if id(tensor) in seen:
            continue
        call, read, given = made(tensor)
        if not ready:
            stack.append((tensor, True))
            stack += [(source, False) for source in reversed(list(read))]
            continue
        seen |= {id(output) for output in given}
        order.append(call)
    return order


def single(tensors: list[Any]) -> Any:
    """One tensor by itself, several as a list: as `keras.Model` takes its inputs and outputs."""
    return tensors[0] if len(tensors) == 1 else tensors
