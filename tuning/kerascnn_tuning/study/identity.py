"""What has a say in a trial's result, as data that two processes, or two days, can compare.

A study keeps it in study.json. A search that goes on, and every worker before its first trial,
computes it anew: with other data, code or versions its trials could not be compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import json
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import kerascnn
from kerascnn import Recipe
from kerascnn.errors import KerascnnError
from kerascnn_tuning.problem import Problem

if TYPE_CHECKING:
    from kerascnn.data import Dataset

VERSIONS = ("kerascnn", "kerascnn-tuning", "keras", "tensorflow")
"""Of these a difference counts; the others are kept for the reader."""
COMPARED = ("space", "fingerprint", "data", "recipe", "network", "code", "versions")
PROSE = ("source", "notes", "unstated", "network")
"""Fields of a recipe that don't change what is trained."""
POINTS = 8
DIGITS = 12
BUILDERS = ("kerascnn.applications", "kerascnn.blocks", "kerascnn.layers", "kerascnn.windows")
TRAINING = tuple(
    f"kerascnn.{room}" for room in ("data", "distribution", "recipes", "runs", "training")
)


def identity(problem: Problem, dataset: Dataset) -> dict[str, Any]:
    """Everything that a trial's result follows from, beside the plan and the hyperparameters.

    Returns:
        Values that JSON can hold, in the groups of `COMPARED`.
    """
    found = {
        "space": described(problem),
        "fingerprint": problem.space.fingerprint(),
        "data": {
            "fingerprint": dataset.fingerprint,
            "classes": dataset.classes,
            "image_shape": dataset.image_shape,
            "images": [s.size for s in (dataset.train, dataset.validation, dataset.test)],
        },
        "recipe": _recipe(problem.recipe),
        "network": _network(problem),
        "code": _code(problem),
        "versions": {
            **kerascnn.versions(),
            "keras-tuner": version("keras-tuner"),
            "kerascnn-tuning": version("kerascnn-tuning"),
        },
    }
    return json.loads(json.dumps(found))


def described(problem: Problem) -> dict[str, str]:
    """Parameter → what is searched of it."""
    return {p.name: repr(p.searched_values() or p.search) for p in problem.space.scalars()}


def differences(
    then: Mapping[str, Any], now: Mapping[str, Any], *, words: tuple[str, str] = ("then", "now")
) -> list[str]:
    """In what two identities differ, by name; groups that the older one doesn't have are left out.

    Args:
        then: of the study.
        now: of this process.
        words: how the two are called in the answer.
    """
    found = []
    for group in COMPARED:
        if group not in then or group == "fingerprint":
            continue
        old, new = _flat(then[group]), _flat(now[group])
        for name in sorted({*old, *new}):
            if group == "versions" and name not in VERSIONS:
                continue
            values = (_short(old.get(name, "absent")), _short(new.get(name, "absent")))
            # A value that an older version of this package didn't keep says nothing.
            kept = name in old or group in ("space", "code")
            if kept and old.get(name) != new.get(name):
                label = _label(group, name)
                found.append(f"{label}: {values[0]} {words[0]}, {values[1]} {words[1]}")
    if not found and "fingerprint" in then and then["fingerprint"] != now["fingerprint"]:
        found.append("the declaration of the space")
    return found


def _label(group: str, name: str) -> str:
    if group in ("space", "versions"):
        return name
    return f"the code of {name}" if group == "code" else f"{group}.{name}"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, with names such as `augmentation.rotation`."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:DIGITS]}" if len(text) == 64 and text.isalnum() else text


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGITS]


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """What is trained by it; a loss of its own as the name of its class."""
    found = {name: value for name, value in asdict(recipe).items() if name not in PROSE}
    if recipe.loss is not None and not isinstance(recipe.loss, str):
        found["loss"] = f"{recipe.loss.__module__}:{recipe.loss.__qualname__}"
    return found


def _network(problem: Problem) -> dict[str, Any]:
    """What the architecture's code makes of the defaults and of a few other points."""
    rng = random.Random(0)
    points = [{p.name: p.draw(rng) for p in problem.space.scalars()} for _ in range(POINTS)]
    default = problem.configuration({}).arguments
    return {
        "input_shape": problem.input_shape,
        "default_parameters": _costs(problem, {})[0],
        "default_macs": _costs(problem, {})[1],
        "default_layers": _layers(problem, default),
        "other_points": _digest(*(str(_costs(problem, values)) for values in points)),
    }


def _costs(problem: Problem, values: Mapping[str, Any]) -> tuple[Any, ...]:
    try:
        cost = problem.network(problem.configuration(values).arguments).cost()
    except KerascnnError:
        return ("can't be built",) * 3
    return cost.params, cost.macs, cost.activations


def _layers(problem: Problem, arguments: Mapping[str, Any]) -> str:
    """A digest of the network's layers and their settings, built without making its weights."""
    import keras

    with keras.StatelessScope():
        try:
            model = problem.network(arguments).model(classifier_activation=None)
        except KerascnnError:
            return "can't be built"
    return _digest(json.dumps(_without_addresses(json.loads(model.to_json())), sort_keys=True))


def _without_addresses(value: Any) -> Any:
    if isinstance(value, dict):
        items = value.items()
        return {k: _without_addresses(v) for k, v in items if k != "shared_object_id"}
    return [_without_addresses(v) for v in value] if isinstance(value, list) else value


def _code(problem: Problem) -> dict[str, str]:
    """Module → a digest of its source, for the network's modules; and how it is trained."""
    for name in (*BUILDERS[1:], *TRAINING):
        importlib.import_module(name)  # whatever this process happens to have used so far
    functions = (problem.architecture.build, problem.architecture.head, problem.recipe.loss)
    names = {str(getattr(f, "__module__", "")) for f in functions if callable(f)}
    own = {name.partition(".")[0] for name in names} - {"", "kerascnn", "builtins", "functools"}
    found = {
        name: _digest(text)
        for name in sorted(_reached({*names, *BUILDERS[1:]}, (*BUILDERS, *own)))
        if (text := _source(sys.modules[name])) is not None
    }
    for package in TRAINING:
        directory = Path(sys.modules[package].__path__[0])
        files = sorted(directory.rglob("*.py"))
        found[package] = _digest(*(f"{f.relative_to(directory)}\n{_text(f)}" for f in files))
    return found


def _reached(names: set[str], packages: tuple[str, ...]) -> set[str]:
    """The modules of these packages that the named ones import, one from the other."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        known = any(name == package or name.startswith(f"{package}.") for package in packages)
        if name in found or name not in sys.modules or not known:
            continue
        found.add(name)
        waiting |= set(_named(sys.modules[name]))
    return found


def _named(module: ModuleType) -> Iterator[str]:
    """The modules of what a module's names stand for."""
    for value in list(vars(module).values()):
        if not isinstance(value, ModuleType):
            yield str(getattr(value, "__module__", None) or "")
        # A package has the submodules that anybody has imported: that says nothing about it.
        elif not (hasattr(module, "__path__") and value.__name__.startswith(module.__name__)):
            yield value.__name__


def _source(module: ModuleType) -> str | None:
    """A module's text; None for what was typed into a notebook, or has no source."""
    with contextlib.suppress(OSError, TypeError):
        if module.__name__ != "__main__" and (file := inspect.getsourcefile(module)):
            return _text(Path(file))
    return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").replace("\r\n", "\n")
