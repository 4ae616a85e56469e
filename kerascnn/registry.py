"""Finds architectures, datasets and commands through entry points, and imports none of them.

Ours are declared in our own pyproject.toml like anyone's: one entry point for each name a user
types. Listing names reads metadata only; `get` imports the one module behind the name.
"""

from __future__ import annotations

import difflib
import fnmatch
import functools
import re
import sys
import warnings
from collections import defaultdict
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from kerascnn.errors import (
    BrokenPluginError,
    DuplicateNameError,
    NotInstalledError,
    UnknownNameError,
)

if TYPE_CHECKING:
    import keras

    from kerascnn.architecture import Architecture

ARCHITECTURES = "kerascnn.architectures"
DATASETS = "kerascnn.datasets"
COMMANDS = "kerascnn.commands"
RECIPES = "kerascnn.recipes"
BENCHMARKS = "kerascnn.benchmarks"
SAVING = "kerascnn.saving"  # modules that register with Keras what saved models may name
OURS = "kerascnn"
NOTEBOOK = "registered at run time"


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


def _points(group: str) -> list[metadata.EntryPoint]:
    """The entry points of a group, of every distribution whose metadata can be read."""
    return [point for points in _readable() for point in points if point.group == group]


@functools.cache
def _readable() -> tuple[tuple[metadata.EntryPoint, ...], ...]:
    """Entry points by distribution. One that can't be read is named in a warning, and passed over.

    Of two distributions with one name the first on `sys.path` counts, as for importing.
    """
    found: dict[str, tuple[metadata.EntryPoint, ...]] = {}
    for distribution in metadata.distributions():
        place = getattr(distribution, "_path", "a place that is not known")
        try:
            points = [p for p in distribution.entry_points if p.group.startswith(f"{OURS}.")]
            if not points:
                continue  # its name and version are in another file, which takes a while to read
            name, _ = distribution.name, distribution.version
            if not isinstance(name, str):
                raise ValueError("its metadata has no name")
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), tuple(points))
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
    for point in _points(group):
        dist = point.dist
        provider, version = (dist.name, dist.version) if dist else ("unknown distribution", "")
        found[point.name].append(Entry(point.name, point.value, provider, version, point))
    return {
        name: tuple(sorted(claims, key=lambda entry: entry.origin))
        for name, claims in found.items()
    }


def in_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers as numbers: resnet18, resnet101, resnet101v2."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


_registered: dict[str, Architecture] = {}


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
    if group == ARCHITECTURES:
        for name, architecture in _registered.items():
            target = f"{architecture.build.__module__}:{name}"
            found[name] = (Entry(name, target, NOTEBOOK, "", None),)
    return {name: found[name] for name in sorted(found, key=in_order)}


def load(group: str, name: str) -> Any:
    """The object behind a name of a group.

    Raises:
        UnknownNameError: nobody offers the name; the nearest names are suggested.
        DuplicateNameError: several distributions offer it.
        BrokenPluginError: its import failed, or gave something else than the group is for.
    """
    known = entries(group)
    kind = group.rsplit(".", 1)[1].removesuffix("s")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if near:
            hint = f"Did you mean {' or '.join(near)}?"
        elif group == ARCHITECTURES:
            hint = "See `kerascnn list`."
        else:
            hint = f"Known: {', '.join(known)}."
        raise UnknownNameError(f"There is no {kind} {name!r}. {hint}")
    if len(known[name]) > 1:
        raise DuplicateNameError(_conflict(kind, known[name]))
    return _load_entry(known[name][0], kind)


def _load_entry(entry: Entry, kind: str) -> Any:
    if entry.point is None:
        return _registered[entry.name]
    try:
        return open_point(entry.point)
    except (Exception, SystemExit) as error:  # a module that exits ends itself, not us
        raise BrokenPluginError(_broken(kind, entry, describe(error))) from error


def open_point(point: metadata.EntryPoint) -> Any:
    """The object behind an entry point.

    Raises:
        TypeError, ValueError: it is not what the group is for.
        Exception: whatever the import raises.
    """
    found = point.load()
    if point.group == ARCHITECTURES:
        from kerascnn.architecture import Architecture

        if not isinstance(found, Architecture):
            raise TypeError(
                f"it must be a kerascnn.Architecture. Received: {found!r} ({type(found).__name__})"
            )
        if found.name != point.name:
            raise ValueError(
                f"the architecture calls itself {found.name!r}, its entry point {point.name!r}; "
                "both names must be the same"
            )
    return found


def describe(error: BaseException) -> str:
    """An exception in one line."""
    if isinstance(error, SystemExit):
        return f"its import ended Python with status {error.code}"
    return f"{type(error).__name__}: {error}"


def _broken(kind: str, entry: Entry, cause: str) -> str:
    return (
        f"The {kind} {entry.name!r} of {entry.origin} is broken ({entry.target}): "
        f"{cause.rstrip('.')}. Update or uninstall {entry.provider}."
    )


def _conflict(kind: str, claims: tuple[Entry, ...]) -> str:
    origins = " and ".join(entry.origin for entry in claims)
    return f"The {kind} name {claims[0].name!r} is claimed by {origins}. Uninstall one of them."


def list_architectures(pattern: str = "*", provider: str | None = None) -> list[str]:
    """Names of all installed and registered architectures, in order; imports none of them.

    Args:
        pattern: shell wildcards, such as `"resnet*"`.
        provider: only those that this distribution offers, such as `"kerascnn"`.
    """
    return [
        name
        for name, claims in entries(ARCHITECTURES).items()
        if fnmatch.fnmatchcase(name, pattern)
        and (provider is None or provider in {entry.provider for entry in claims})
    ]


@dataclass(frozen=True)
class Row:
    """One line of `kerascnn list`.

    Attributes:
        entry: the name and who offers it.
        status: "ok", "broken" (its import fails) or "conflict" (another offers the same name).
        explanation: what is wrong, and with which distribution.
    """

    entry: Entry
    status: str = "ok"
    explanation: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        entry = self.entry
        names = {"name": entry.name, "provider": entry.provider, "version": entry.version}
        return {**names, "status": self.status, "explanation": self.explanation}


def survey(pattern: str = "*", provider: str | None = None) -> list[Row]:
    """Architectures with their state of health; other packages' are tried in a child process.

    Args:
        pattern, provider: see `list_architectures`.
    """
    from kerascnn import health

    known = entries(ARCHITECTURES)
    claims = [claim for name in list_architectures(pattern, provider) for claim in known[name]]
    foreign = [entry for entry in claims if entry.point and entry.provider != OURS]
    causes = health.causes(foreign)
    return [_row(entry, known[entry.name], causes.get(entry, health.OK)) for entry in claims]


def _row(entry: Entry, claims: tuple[Entry, ...], cause: str) -> Row:
    if len(claims) > 1:
        return Row(entry, "conflict", _conflict("architecture", claims))
    if cause:
        return Row(entry, "broken", _broken("architecture", entry, cause))
    return Row(entry)


def get(name: str) -> Architecture:
    """The architecture of this name; imports the one module that defines it.

    Raises:
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `load`.
    """
    return load(ARCHITECTURES, name)


def installed(name: str) -> Architecture | None:
    """The architecture that a distribution offers under a name, if it has been imported already."""
    claims = entries(ARCHITECTURES).get(name, ())
    if len(claims) != 1 or (point := claims[0].point) is None:
        return None
    return getattr(sys.modules.get(point.module), point.attr or "", None)


def create(name: str, /, **arguments: Any) -> keras.Model:
    """Build the model of this name: `kerascnn.create("lenet5", classes=26, widths=(12, 32))`.

    Args:
        name: a name from `list_architectures()`.
        **arguments: those of keras.applications (`name` of the model among them) and the
            family's own; see `Architecture`.
    """
    return get(name)(**arguments)


def register(architecture: Architecture) -> Architecture:
    """Add an architecture for this process, for example in a notebook.

    Registering the same name again replaces what was registered before; a name that an installed
    distribution offers is refused.

    Raises:
        TypeError: not an Architecture.
        DuplicateNameError: an installed distribution already has the name.
    """
    from kerascnn.architecture import Architecture

    if not isinstance(architecture, Architecture):
        raise TypeError(
            "kerascnn.register expects a kerascnn.Architecture. "
            f"Received: {architecture!r} ({type(architecture).__name__})."
        )
    if architecture.name in _installed(ARCHITECTURES):
        owner = _installed(ARCHITECTURES)[architecture.name][0].origin
        raise DuplicateNameError(
            f"The architecture name {architecture.name!r} is taken by {owner}; "
            f'give yours another, for example with .variant("my_{architecture.name}").'
        )
    _registered[architecture.name] = architecture
    return architecture
