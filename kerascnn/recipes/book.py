"""Recipes by name or from a file, and a recipe with some of its fields changed.

Names are entry points of the group `kerascnn.recipes`; ours are in `kerascnn.recipes.papers`.
Light: neither Keras nor TensorFlow is loaded.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn import registry
from kerascnn.errors import ArgumentError, UnknownNameError
from kerascnn.files import read_json, read_toml, shortened
from kerascnn.recipes import losses
from kerascnn.recipes.recipe import SCHEDULED, Recipe

if TYPE_CHECKING:
    from kerascnn.architecture import Architecture
    from kerascnn.network import Network

# `--recipe`: the network's own recipe, ours, and that of its paper.
SMALL, PAPER = "small", "paper"
SUFFIXES = (".toml", ".json")


def names() -> list[str]:
    """All installed recipes, in order; imports none of them."""
    return list(registry.entries(registry.RECIPES))


def get(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    return registry.load(registry.RECIPES, name, Recipe)


def find(choice: str) -> Recipe:
    """A recipe by name, or from a file that ends in .toml or .json; see `read`.

    Raises:
        UnknownNameError: no recipe has the name; the nearest names are suggested.
        ArgumentError: the file is missing, no TOML or JSON, or a field is unknown or illegal.
    """
    if choice.endswith(SUFFIXES):
        return read(Path(choice))
    try:
        return get(choice)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} A file of your own must end in .toml or .json.") from None


def own(network: Architecture | Network) -> Recipe:
    """A network's own recipe, ours."""
    return replace(network.recipe or Recipe(), name=SMALL)


def default(network: Architecture | Network, finetuning: str = "") -> Recipe:
    """What a network is trained by if nothing is said.

    A network whose own recipe mirrors no images is for what must not be mirrored, such as digits.

    Args:
        network: what is trained.
        finetuning: the recipe for trained weights, if it starts from these and its task has one.
    """
    mine = own(network)
    if not finetuning:
        return mine
    found = get(finetuning)
    mirrored = found.augmentation.flip and mine.augmentation.flip
    changes = replace(found.augmentation, flip=mirrored)
    return replace(found, name=finetuning, augmentation=changes)


def choose(choice: str | None, network: Architecture, finetuning: str = "") -> Recipe:
    """What `--recipe CHOICE` means for a network; the recipe's `name` says it.

    Args:
        choice: "small": the network's own, ours; "paper": that of the network's paper; as `find`
            takes it; or None: see `default`.
        network: what is trained.
        finetuning: see `default`.

    Raises:
        UnknownNameError: no recipe has the name, or the network's paper has none here.
        ArgumentError: see `find`.
    """
    if choice is None:
        return default(network, finetuning)
    if choice == SMALL:
        return own(network)
    if choice == PAPER:
        if network.paper_recipe is None:
            raise UnknownNameError(
                f"No recipe here is of the paper of {network.name}. Its own recipe, ours, is "
                f"--recipe {SMALL}; others: {', '.join(names())}."
            )
        choice = network.paper_recipe
    return replace(find(choice), name=choice)


def is_fixed(choice: str | None, recipe: Recipe) -> bool:
    """Whether somebody has said how large a batch is, and how many epochs there are.

    Args:
        choice: of `--recipe`: a file is the user's.
        recipe: what it chose; one that was published with a network is its paper's.
    """
    return bool(recipe.network) or str(choice).endswith(SUFFIXES)


def read(path: Path) -> Recipe:
    """A recipe from a file of fields; a field `base` names the recipe that they change.

        base = "alexnet"
        epochs = 30
        [augmentation]
        lighting = 0.0

    Raises:
        ArgumentError: the file is missing, no TOML or JSON, or a field is unknown or illegal.
    """
    reader = read_json if path.suffix == ".json" else read_toml
    values = reader(path, error=ArgumentError, what="The recipe")
    if not isinstance(values, dict):
        raise ArgumentError(
            f"The recipe {path} must be a table of fields. Received: {type(values).__name__}."
        )
    base = values.pop("base", None)
    if base is not None and (not isinstance(base, str) or base.endswith(SUFFIXES)):
        raise ArgumentError(
            f"The recipe {path}: base must be the name of an installed recipe. "
            f"Received: {shortened(base)}."
        )
    try:
        recipe = asked(get(base) if base is not None else Recipe(), values)
        if isinstance(recipe.loss, str):
            losses.check(recipe.loss)
        return recipe
    except (ArgumentError, UnknownNameError) as error:
        raise type(error)(f"The recipe {path}: {error}") from None


def settings(assignments: Sequence[str]) -> dict[str, Any]:
    """`["epochs=3", "augmentation.flip=true"]` → `{"epochs": 3, "augmentation": {"flip": True}}`.

    Values are Python's literals; commas make a sequence, `none` is None, anything else is text.

    Raises:
        ArgumentError: an assignment has no `=`.
    """
    found: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key or not text:
            raise ArgumentError(f"--with must be field=value. Received: {assignment!r}.")
        *outer, last = key.strip().split(".")
        table = found
        for name in outer:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ArgumentError(f"--with: {name} is given twice. Received: {assignment!r}.")
        table[last] = _literal(text.strip())
    return found


def _literal(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if "," in text:
            return tuple(_literal(part.strip()) for part in text.split(",") if part.strip())
        return text


def override(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with these fields, each of the type that the field has.

    Args:
        recipe: what to change; stays as it is.
        values: by name of the field; a mapping for `augmentation` and `evaluation`.

    Raises:
        ArgumentError: a field is unknown, with the nearest names, or a value is illegal.
    """
    return _override(recipe, values, "")


def asked(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """`override` for what a person has written: a field that would change nothing is refused.

    Raises:
        ArgumentError: see `override`; or a field is of a schedule that the recipe doesn't have.
    """
    found = override(recipe, values)
    for name, schedules in SCHEDULED.items():
        if name in values and found.schedule not in schedules:
            if getattr(found, name) == getattr(recipe, name):
                continue  # a whole recipe, as `kerascnn recipes NAME --json` prints it
            stop = " To end early: early_stopping (--patience)." if name == "patience" else ""
            raise ArgumentError(
                f"{name} belongs to the schedule {' or '.join(schedules)}, and the recipe's is "
                f"{found.schedule}: it would change nothing.{stop} Received: {values[name]!r}."
            )
    return found


def _override(value: Any, changes: Mapping[str, Any], prefix: str) -> Any:
    known = [field.name for field in fields(value)]
    found = {}
    for name, new in changes.items():
        path = prefix + name
        if name not in known:
            raise ArgumentError(_unknown(path, value, prefix))
        old = getattr(value, name)
        if is_dataclass(old):
            if not isinstance(new, Mapping):
                inner = ", ".join(f"{path}.{field.name}" for field in fields(old))
                raise ArgumentError(f"{path} has fields of its own: {inner}. Received: {new!r}.")
            found[name] = _override(old, new, f"{path}.")
            continue
        found[name] = new
    return replace(value, **found)


def _unknown(path: str, value: Any, prefix: str) -> str:
    """The message for a field that isn't there: `flip` may be meant as `augmentation.flip`."""
    known = [prefix + field.name for field in fields(value)]
    nested = [
        f"{prefix}{outer.name}.{inner.name}"
        for outer in fields(value)
        if is_dataclass(table := getattr(value, outer.name))
        for inner in fields(table)
    ]
    near = [name for name in nested if name.endswith(f".{path}")]
    near += difflib.get_close_matches(path, known + nested, n=2, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Fields: {', '.join(known)}."
    return f"A recipe has no field {shortened(path)}. {hint}"
