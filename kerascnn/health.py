"""Which plugins are broken, found out without importing them into this process.

One child process imports the targets; the verdicts are remembered, so that the next
`kerascnn list` starts no child. A verdict is asked for anew when the distribution's version or its
module changes, or when anything is installed or removed (a missing dependency may have arrived).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path

from kerascnn import cache, registry
from kerascnn.registry import Entry

OK = ""
TIME_LIMIT = 120.0  # seconds for one child; TensorFlow alone takes ten on a slow disk


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


def survey(group: str, kind: type, *, pattern: str = "*", provider: str | None = None) -> list[Row]:
    """The names of a group with their state of health; other packages' are tried in a child.

    Args:
        group, pattern, provider: see `kerascnn.registry.names`.
        kind: what an entry must give.
    """
    known = registry.entries(group)
    claims = [c for name in registry.names(group, pattern, provider) for c in known[name]]
    foreign = [entry for entry in claims if entry.point and entry.provider != registry.OURS]
    causes = _causes(foreign, group, kind)
    return [_row(group, entry, known[entry.name], causes.get(entry, OK)) for entry in claims]


def _row(group: str, entry: Entry, claims: tuple[Entry, ...], cause: str) -> Row:
    if len(claims) > 1:
        return Row(entry, "conflict", registry.conflict(group, claims))
    if cause:
        return Row(entry, "broken", registry.broken(group, entry, cause))
    return Row(entry)


def _causes(entries: Sequence[Entry], group: str, kind: type) -> dict[Entry, str]:
    """Why each entry can't be used; the empty string for those that can."""
    if not entries:
        return {}
    remembered = _read()
    unknown = [entry for entry in entries if _key(entry) not in remembered]
    fresh = _import_elsewhere(unknown, group, kind)
    verdicts = {e: fresh[e] if e in fresh else remembered[_key(e)] for e in entries}
    if fresh:
        _write({**remembered, **{_key(entry): cause for entry, cause in verdicts.items()}})
    return verdicts


def _import_elsewhere(entries: list[Entry], group: str, kind: type) -> dict[Entry, str]:
    """Import the targets in a child process; one that kills the child is charged alone."""
    verdicts: dict[Entry, str] = {}
    while pending := [entry for entry in entries if entry not in verdicts]:
        points = [(entry.name, entry.target, group) for entry in pending]
        wanted = f"{kind.__module__}:{kind.__qualname__}"
        command = [sys.executable, "-m", __name__, wanted, json.dumps(points)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        try:
            child = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT
            )
            output, end = child.stdout, f"its import ended Python with status {child.returncode}"
        except subprocess.TimeoutExpired as late:
            output = (late.stdout or b"").decode(errors="replace")
            end = f"its import took more than {TIME_LIMIT:g} s"
        lines = [line for line in output.splitlines() if line.startswith(_MARK)]
        for entry, line in zip(pending, lines):
            verdicts[entry] = json.loads(line.removeprefix(_MARK))
        if len(lines) < len(pending):
            verdicts[pending[len(lines)]] = end
    return verdicts


_MARK = "kerascnn.health: "  # tells our lines from what a plugin prints


def _child(wanted: str, points: list[list[str]]) -> None:
    kind: type = EntryPoint("", wanted, "").load()
    for name, target, group in points:
        try:
            registry.open_point(EntryPoint(name, target, group), kind)
            cause = OK
        except (Exception, SystemExit) as error:
            cause = registry.describe(error)
        print("\n" + _MARK + json.dumps(cause), flush=True)


def _key(entry: Entry) -> str:
    """What a verdict depends on."""
    parts = (entry.name, entry.provider, entry.version, entry.target, _modified(entry.target))
    return " ".join(map(str, parts))


def _modified(target: str) -> int:
    """When the target's module file was last changed; finds it without importing its parents."""
    first, *rest = target.partition(":")[0].split(".")
    try:
        spec, name = importlib.util.find_spec(first), first
        for part in rest:
            name = f"{name}.{part}"
            spec = spec and PathFinder.find_spec(name, spec.submodule_search_locations)
        return os.stat(spec.origin).st_mtime_ns if spec and spec.origin else 0
    except (OSError, ValueError):
        return 0


def _installed() -> str:
    """A hash that changes when a distribution arrives in or leaves a directory of sys.path."""
    places = [(path, os.stat(path).st_mtime_ns) for path in sys.path if os.path.isdir(path)]
    return _hash((sys.version, places))


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _file() -> Path:
    return cache.directory() / f"plugins-{_hash((sys.executable, sys.path))}.json"


def _read() -> dict[str, str]:
    try:
        saved = json.loads(_file().read_text())
        return saved["verdicts"] if saved["installed"] == _installed() else {}
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: ask again
        return {}


def _write(verdicts: dict[str, str]) -> None:
    with contextlib.suppress(OSError):  # a read-only home: the next list asks again
        saved = {"installed": _installed(), "verdicts": verdicts}
        cache.write(_file(), json.dumps(saved, indent=1).encode())


if __name__ == "__main__":
    _child(sys.argv[1], json.loads(sys.argv[2]))
