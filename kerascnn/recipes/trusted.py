"""Which loss of its own a run may be trained or judged with.

Importing a module runs it, so a loss is imported only where somebody trains and has said it: in a
recipe of theirs, or again when a run goes on. What a run's config.json names is text, unless an
installed architecture, recipe or task has the same loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kerascnn import catalogue, registry
from kerascnn.errors import ArgumentError, KerascnnError, RunError
from kerascnn.files import shortened
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes.losses import Loss, load, path_of
from kerascnn.recipes.recipe import Recipe


def own(recipe: Recipe, say: Callable[[str], None]) -> Loss | None:
    """The loss of a recipe that is trained; where it is imported from its place, that is said.

    Raises:
        ArgumentError: nothing like that is there.
    """
    if recipe.loss is None or not isinstance(recipe.loss, str):
        return recipe.loss
    if (found := known(recipe.loss, recipe.network)) is not None:
        return found
    say(f"The recipe's loss is imported: {recipe.loss}.")
    return load(recipe.loss)


def known(text: str, architecture: str | None) -> Loss | None:
    """The class behind a text, if an installed architecture, recipe or task has this loss.

    Args:
        text: as config.json holds it.
        architecture: the name of the run's.
    """
    for loss in _installed(architecture):
        if loss is not None and path_of(loss) == text:
            return load(loss) if isinstance(loss, str) else loss
    return None


def _installed(architecture: str | None) -> Iterator[Loss | str | None]:
    """Of the architecture, then of all installed recipes and tasks; broken plugins have none."""
    if architecture in catalogue.list_architectures():
        recipe = catalogue.get(str(architecture)).recipe
        yield recipe.loss if recipe else None
    for name in recipe_book.names():
        try:
            yield recipe_book.get(name).loss
        except KerascnnError:
            continue
    for name in registry.names(registry.TASKS):
        try:
            task: Any = registry.load(registry.TASKS, name, object)
        except KerascnnError:
            continue
        yield from task.losses


def again(
    stored: Loss | str | None, given: Loss | str | None, architecture: str | None, run: object
) -> Loss | None:
    """The loss that a run goes on with.

    Args:
        stored: of the run's config.json.
        given: by the one who trains; None: not given.
        architecture: the name of the run's.
        run: its directory, for the message.

    Raises:
        RunError: the run has a loss of its own, and it was not given.
        ArgumentError: one was given that can't be used, or to a run that has none.
    """
    if stored is None:
        if given is not None:
            raise ArgumentError(
                f"The run {run} was trained with cross-entropy. Received: the loss "
                f"{path_of(given)}."
            )
        return None
    if given is not None:
        return load(given) if isinstance(given, str) else given
    place = path_of(stored)
    if (found := known(place, architecture)) is not None:
        return found
    raise RunError(
        f"The run {run} was trained with a loss of its own, {shortened(place)}. What a run names "
        "is not imported unasked, as its files may come from a stranger. If you know it, pass it "
        f"again: `kerascnn train --resume {run} --loss package.module:Name` (or --config), or "
        "kerascnn.resume(run, loss=Name)."
    )
