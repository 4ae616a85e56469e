"""Which class of a run is which class of some data: by name, never by position."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from kerascnn.data.labels import Labels
from kerascnn.data.targets import Targets, many
from kerascnn.errors import DataError
from kerascnn.words import counted, listed

UNKNOWN = -1


def matched(trained: Sequence[str], found: Sequence[str]) -> np.ndarray:
    """For each class of the data its number among the run's, int32 `[found]`; -1: unknown.

    Names are equal if they are the same text, however accents are encoded in it: file systems
    differ in that. If all names on both sides are whole numbers, equal numbers are equal names, so
    that "07" is "7". Nothing else is taken for equal, "Cat" and "cat" neither.

    Args:
        trained: the run's class names.
        found: the data's.
    """
    key = _key([*trained, *found])
    known = {key(name): number for number, name in enumerate(trained)}
    if len(known) < len(set(trained)) or len(set(map(key, found))) < len(set(found)):
        known, key = {name: number for number, name in enumerate(trained)}, str
    return np.array([known.get(key(name), UNKNOWN) for name in found], "int32")


def _key(names: Sequence[str]) -> Callable[[str], Hashable]:
    """What is equal for equal names."""
    if all(name.isdecimal() and name.isascii() for name in names):
        return lambda name: name.lstrip("0") or "0"
    return lambda name: unicodedata.normalize("NFC", name)


def match(
    trained: Sequence[str], found: Sequence[str], targets: Targets, *, run: str, data: str
) -> np.ndarray:
    """`matched`, where the run knows every class that is there.

    Args:
        trained: the run's class names.
        found: the data's.
        targets: with classes among `found`.
        run, data: how messages call them.

    Raises:
        DataError: targets are of classes that the run doesn't know. Of masks every class of the
            data counts as there: to look for them would be to read all.
    """
    numbers = matched(trained, found)
    unknown = np.flatnonzero(targets.used(len(found)) & (numbers == UNKNOWN))
    if unknown.size:
        names = [found[label] for label in unknown.tolist()]
        what = "images" if targets.kind == Labels.kind else many(targets.kind)
        raise DataError(
            f"{data} has {what} of {counted(len(names), 'class', 'classes')} that the run {run} "
            f"doesn't know: {listed(map(repr, names), 50)}. It knows {listed(map(repr, trained))}. "
            f"{_advice(trained, names)}"
        )
    return numbers


def _advice(trained: Sequence[str], unknown: Sequence[str]) -> str:
    alike = {name.casefold().strip(): name for name in trained}
    for name in unknown:
        if other := alike.get(name.casefold().strip()):
            return f"Is {name!r} {other!r}? Names must be the same."
    if all(map(str.isdecimal, unknown)):
        return "If these are numbers of the run's classes, give the data the names (class_names)."
    if all(map(str.isdecimal, trained)):
        return "The run's classes have no names but numbers: give the data's classes these."
    return "Rename the classes that are the same, and leave the others out."
