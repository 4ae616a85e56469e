"""Finds what has a name through entry points: architectures, datasets, tasks, recipes, commands.

Ours are declared in our own pyproject.toml like anyone's: one entry point for each name a user
types. Listing names reads metadata only; `load` imports the one module behind the name.
"""

from __future__ import annotations

import difflib
import fnmatch
import functools
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeVar, cast

from kerascnn.errors import (
    BrokenPluginError,
    DuplicateNameError,
    IncompatibleKerasError,
    NotInstalledError,
    UnknownNameError,
)

ARCHITECTURES = "kerascnn.architectures"
DATASETS = "kerascnn.datasets"
COMMANDS = "kerascnn.commands"
TASKS = "kerascnn.tasks"
RECIPES = "kerascnn.recipes"
BENCHMARKS = "kerascnn.benchmarks"
LOGGERS = "kerascnn.loggers"
REPORTS = "kerascnn.reports"
SAVING = "kerascnn.saving"  # modules that register with Keras what saved models may name
OURS = "kerascnn"
NOTEBOOK = "registered at run time"

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Entry:
    """One name, and the distribution that offers it."""

    name: str
    target: str
    provider: str
    version: str
    point: metadata.EntryPoint | None

    @property
    def origin(self) -> str:
        """Distribution and version, as error messages name them."""
        return f"{self.provider} {self.version}".strip()


@functools.cache
def _readable() -> tuple[tuple[str, str, tuple[metadata.EntryPoint, ...]], ...]:
    """Name, version and entry points of each distribution that has some.

    One that can't be read is named in a warning, and passed over.

    Of two distributions with one name the first on `sys.path` counts, as for importing.
    """
    found: dict[str, tuple[str, str, tuple[metadata.EntryPoint, ...]]] = {}
    for distribution in metadata.distributions():
        place = getattr(distribution, "_path", "a place that is not known")
        try:
            points = [p for p in distribution.entry_points if p.group.startswith(f"{OURS}.")]
            if not points:
                continue  # its name and version are in another file, which takes a while to read
            name, version = distribution.name, distribution.version  # parsed anew each time
            if not isinstance(name, str):
                raise ValueError("its metadata has no name")
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), (name, version, tuple(points)))
        except Exception as error:  # whatever the files hold that say what is installed
            if _matters(place):
                warnings.warn(
                    f"What is installed in {place} can't be read ({describe(error)}), so its "
                    "networks and commands are missing. Install that distribution again.",
                    stacklevel=2,
                )
    return tuple(found.values())


def _matters(place: Any) -> bool:
    """Whether a distribution's entry points say, or can't be read to say, that it is a plugin."""
    try:
        return "kerascnn" in (place / "entry_points.txt").read_text(errors="replace")
    except (OSError, TypeError, AttributeError):
        return "kerascnn" in str(place)


@functools.cache
def _installed(group: str) -> dict[str, tuple[Entry, ...]]:
    """All entries of a group, by name; more than one entry under a name is a conflict."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for provider, version, points in _readable():
        for point in points:
            if point.group == group:
                found[point.name].append(Entry(point.name, point.value, provider, version, point))
    return {
        name: tuple(sorted(claims, key=lambda entry: entry.origin))
        for name, claims in found.items()
    }


def in_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers as numbers: resnet18, resnet101, resnet101v2."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


_added: dict[str, dict[str, object]] = {}  # group → name → what `add` was given


def refresh() -> None:
    """Forget what was found, so that a distribution installed since then is seen."""
    _readable.cache_clear()
    _installed.cache_clear()


def entries(group: str) -> dict[str, tuple[Entry, ...]]:
    """Every name of a group with the entries that claim it, without importing any of them.

    Raises:
        NotInstalledError: not even kerascnn's own entry points were found.
    """
    found = dict(_installed(group))
    if not any(e.provider == OURS for claims in _installed(ARCHITECTURES).values() for e in claims):
        raise NotInstalledError(
            "No entry points of kerascnn were found: it is imported from a source tree that is "
            "not installed. Install it with `pip install kerascnn`, or `pip install -e .` in a "
            "checkout."
        )
    for name in _added.get(group, ()):
        found[name] = (Entry(name, "", NOTEBOOK, "", None),)
    return {name: found[name] for name in sorted(found, key=in_order)}


def names(group: str, pattern: str = "*", provider: str | None = None) -> list[str]:
    """The names of a group, in order; imports nothing.

    Args:
        group: such as `ARCHITECTURES`.
        pattern: shell wildcards, such as `"resnet*"`.
        provider: only those that this distribution offers, such as `"kerascnn"`.
    """
    return [
        name
        for name, claims in entries(group).items()
        if fnmatch.fnmatchcase(name, pattern)
        and (provider is None or provider in {entry.provider for entry in claims})
    ]


def load(group: str, name: str, kind: type[Kind]) -> Kind:
    """The object behind a name of a group; imports the one module that defines it.

    Args:
        group: such as `ARCHITECTURES`.
        name: one of `names(group)`.
        kind: of which class it must be.

    Raises:
        UnknownNameError: nobody offers it; near names are suggested.
        DuplicateNameError: several distributions offer it.
        BrokenPluginError: its import failed, or gave something else than the group is for.
    """
    known = entries(group)
    if name not in known:
        raise UnknownNameError(unknown(group, name, known))
    if len(known[name]) > 1:
        raise DuplicateNameError(conflict(group, known[name]))
    entry = known[name][0]
    if entry.point is None:
        return cast(Kind, _added[group][name])
    try:
        return open_point(entry.point, kind)
    except IncompatibleKerasError:  # which is no fault of the entry's
        raise
    except (Exception, SystemExit) as error:  # a module that exits ends itself, not us
        raise BrokenPluginError(broken(group, entry, describe(error))) from error


def open_point(point: metadata.EntryPoint, kind: type[Kind]) -> Kind:
    """The object behind an entry point.

    Raises:
        TypeError, ValueError: it is not of this kind, or has another name than its entry point.
        Exception: whatever the import raises.
    """
    found = point.load()
    if not isinstance(found, kind):
        raise TypeError(
            f"it must be a kerascnn {kind.__name__}. Received: {found!r} ({type(found).__name__})"
        )
    own = getattr(found, "name", None) or point.name
    if kind is not object and own != point.name:
        raise ValueError(
            f"the {singular(point.group)} calls itself {own!r}, its entry point {point.name!r}; "
            "both names must be the same"
        )
    return found


def singular(group: str) -> str:
    """What one of a group is called: "architecture"."""
    return group.rsplit(".", 1)[1].removesuffix("s")


def describe(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, SystemExit):
        return f"its import ended Python with status {error.code}"
    return f"{type(error).__name__}: {error}"


def unknown(group: str, name: str, known: Collection[str]) -> str:
    """What to say of a name that is none of those known."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif group == ARCHITECTURES:
        hint = "See `kerascnn list`."
    else:
        hint = f"Known: {', '.join(known)}."
    return f"There is no {singular(group)} {name!r}. {hint}"


def broken(group: str, entry: Entry, cause: str) -> str:
    """What to say of an entry that can't be used."""
    return (
        f"The {singular(group)} {entry.name!r} of {entry.origin} is broken ({entry.target}): "
        f"{cause.rstrip('.')}. Update or uninstall {entry.provider}."
    )


def conflict(group: str, claims: tuple[Entry, ...]) -> str:
    """What to say of a name that several distributions offer."""
    origins = " and ".join(entry.origin for entry in claims)
    return (
        f"The {singular(group)} name {claims[0].name!r} is claimed by {origins}. "
        "Uninstall one of them."
    )


def imported(group: str, name: str) -> object | None:
    """What a distribution offers under a name, if its module has been imported already."""
    claims = _installed(group).get(name, ())
    if len(claims) != 1 or (point := claims[0].point) is None:
        return None
    return getattr(sys.modules.get(point.module), point.attr or "", None)


def add(group: str, name: str, found: object) -> None:
    """Add a name for this process, or replace what was added under it before.

    Raises:
        DuplicateNameError: an installed distribution has the name.
    """
    if name in _installed(group):
        kind, owner = singular(group), _installed(group)[name][0].origin
        raise DuplicateNameError(f"The {kind} name {name!r} is taken by {owner}; choose another.")
    _added.setdefault(group, {})[name] = found
