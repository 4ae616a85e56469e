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
from collections.abc import Iterable
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path

from kerascnn import cache, registry
from kerascnn.registry import Entry

OK = ""
TIME_LIMIT = 120.0  # seconds for one child; TensorFlow alone takes ten on a slow disk


def causes(entries: Iterable[Entry]) -> dict[Entry, str]:
    """Why each entry can't be used; the empty string for those that can."""
    entries = list(entries)
    if not entries:
        return {}
    remembered = _read()
    unknown = [entry for entry in entries if _key(entry) not in remembered]
    fresh = _import_elsewhere(unknown)
    verdicts = {e: fresh[e] if e in fresh else remembered[_key(e)] for e in entries}
    if fresh:
        _write({**remembered, **{_key(entry): cause for entry, cause in verdicts.items()}})
    return verdicts


def _import_elsewhere(entries: list[Entry]) -> dict[Entry, str]:
    """Import the targets in a child process; one that kills the child is charged alone."""
    verdicts: dict[Entry, str] = {}
    while pending := [entry for entry in entries if entry not in verdicts]:
        points = [(entry.name, entry.target, registry.ARCHITECTURES) for entry in pending]
        command = [sys.executable, "-m", __name__, json.dumps(points)]
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


def _child(points: list[list[str]]) -> None:
    for name, target, group in points:
        try:
            registry.open_point(EntryPoint(name, target, group))
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
    _child(json.loads(sys.argv[1]))
