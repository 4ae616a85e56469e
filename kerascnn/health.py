"""Which plugins are broken, and what the others' networks are for, without importing them here.

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
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path

from kerascnn import cache, registry
from kerascnn.registry import Entry

TIME_LIMIT = 120.0  # seconds for one child; TensorFlow alone takes ten on a slow disk


@dataclass(frozen=True)
class Verdict:
    """What the import of an entry's module told.

    Attributes:
        cause: why the entry can't be used; "": it can.
        task: what it is for; "": not known, or it has none.
    """

    cause: str = ""
    task: str = ""


@dataclass(frozen=True)
class Row:
    """One line of `kerascnn list`.

    Attributes:
        entry: the name and who offers it.
        task: what the network is made for; "": not known, because it is broken.
        status: "ok", "broken" (its import fails) or "conflict" (another offers the same name).
        explanation: what is wrong, and with which distribution.
    """

    entry: Entry
    task: str = ""
    status: str = "ok"
    explanation: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        entry = self.entry
        names = {"name": entry.name, "provider": entry.provider, "version": entry.version}
        state = {"status": self.status, "explanation": self.explanation}
        return {**names, "task": self.task, **state}


def survey(group: str, kind: type, *, pattern: str = "*", provider: str | None = None) -> list[Row]:
    """The names of a group with their state of health; other packages' are tried in a child.

    Ours are well, and their task is the default: tests see to both.

    Args:
        group, pattern, provider: see `kerascnn.registry.names`.
        kind: what an entry must give.
    """
    known = registry.entries(group)
    claims = [c for name in registry.names(group, pattern, provider) for c in known[name]]
    foreign = [entry for entry in claims if entry.point and entry.provider != registry.OURS]
    found = _verdicts(foreign, group, kind)
    for entry in claims:
        if entry not in found:
            ours = entry.point is not None
            found[entry] = _verdict_on(kind if ours else registry.load(group, entry.name, kind))
    return [_row(group, entry, known[entry.name], found[entry]) for entry in claims]


def _row(group: str, entry: Entry, claims: tuple[Entry, ...], verdict: Verdict) -> Row:
    if len(claims) > 1:
        return Row(entry, verdict.task, "conflict", registry.conflict(group, claims))
    if verdict.cause:
        broken = registry.broken(group, entry, verdict.cause)
        return Row(entry, verdict.task, "broken", broken)
    return Row(entry, verdict.task)


def _verdict_on(found: object) -> Verdict:
    """That on what can be used; on a kind, that on one of which nothing else is said."""
    return Verdict(task=getattr(found, "task", ""))


def _verdicts(entries: Sequence[Entry], group: str, kind: type) -> dict[Entry, Verdict]:
    if not entries:
        return {}
    remembered = _read()
    unknown = [entry for entry in entries if _key(entry) not in remembered]
    fresh = _import_elsewhere(unknown, group, kind)
    verdicts = {e: fresh[e] if e in fresh else remembered[_key(e)] for e in entries}
    if fresh:
        _write({**remembered, **{_key(entry): verdict for entry, verdict in verdicts.items()}})
    return verdicts


def _import_elsewhere(entries: list[Entry], group: str, kind: type) -> dict[Entry, Verdict]:
    """Import the targets in a child process; one that kills the child is charged alone."""
    verdicts: dict[Entry, Verdict] = {}
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
            verdicts[entry] = Verdict(**json.loads(line.removeprefix(_MARK)))
        if len(lines) < len(pending):
            verdicts[pending[len(lines)]] = Verdict(end)
    return verdicts


_MARK = "kerascnn.health: "  # tells our lines from what a plugin prints


def _child(wanted: str, points: list[list[str]]) -> None:
    kind: type = EntryPoint("", wanted, "").load()
    for name, target, group in points:
        try:
            verdict = _verdict_on(registry.open_point(EntryPoint(name, target, group), kind))
        except (Exception, SystemExit) as error:
            verdict = Verdict(registry.describe(error))
        print("\n" + _MARK + json.dumps(asdict(verdict)), flush=True)


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


def _read() -> dict[str, Verdict]:
    try:
        saved = json.loads(_file().read_text())
        if saved["installed"] != _installed():
            return {}
        return {key: Verdict(**verdict) for key, verdict in saved["verdicts"].items()}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # none yet, or damaged: ask again
        return {}


def _write(verdicts: dict[str, Verdict]) -> None:
    with contextlib.suppress(OSError):  # a read-only home: the next list asks again
        plain = {key: asdict(verdict) for key, verdict in verdicts.items()}
        saved = {"installed": _installed(), "verdicts": plain}
        cache.write(_file(), json.dumps(saved, indent=1).encode())


if __name__ == "__main__":
    _child(sys.argv[1], json.loads(sys.argv[2]))
