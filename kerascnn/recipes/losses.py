"""A recipe's own loss: a class of Keras losses, or where to import it from, "package.module:Name".

Importing a module runs it, so a name is imported only where somebody trains and has said it: in a
recipe of theirs, or again when a run goes on. What a run's config.json names is text, unless an
installed architecture or recipe has the same loss.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from kerascnn import registry
from kerascnn.errors import ArgumentError, KerascnnError, RunError
from kerascnn.files import shortened

Loss = Callable[[], Any]


def path_of(loss: Loss | str) -> str:
    """Where a class can be imported from, as config.json holds it."""
    return loss if isinstance(loss, str) else f"{loss.__module__}:{loss.__qualname__}"


def check(text: str) -> None:
    """Refuse what can't be the place of a loss; imports nothing.

    Raises:
        ArgumentError: it has another form, or is of Python's own library.
    """
    legal = re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*", text)
    if not legal or re.split(r"[.:]", text)[0] in sys.stdlib_module_names - {"__main__"}:
        raise ArgumentError(
            'loss must be the place of a class of Keras losses, such as "package.module:Name". '
            f"Received: {shortened(text)}."
        )


def load(text: str) -> Loss:
    """Import a class of losses; only for a text that the one who trains has given.

    Raises:
        ArgumentError: there is nothing, or no class of Keras losses, behind it.
    """
    import keras

    check(text)
    module, _, name = text.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise ArgumentError(
            f"The loss {text} can't be imported ({type(error).__name__}: {error})."
        ) from error
    if not (isinstance(found, type) and issubclass(found, keras.losses.Loss)):
        raise ArgumentError(
            f"loss must be a class of Keras losses (keras.losses.Loss). Received: {text}, which "
            f"is {'another class' if isinstance(found, type) else f'a {type(found).__name__}'}."
        )
    return found


def known(text: str, architecture: str | None) -> Loss | None:
    """The class behind a text, if an installed architecture or recipe has this loss.

    Args:
        text: as config.json holds it.
        architecture: the name of the run's.
    """
    for loss in _installed(architecture):
        if loss is not None and path_of(loss) == text:
            return load(loss) if isinstance(loss, str) else loss
    return None


def _installed(architecture: str | None) -> Iterator[Loss | str | None]:
    """Of the architecture, then of all installed recipes; broken plugins have none."""
    from kerascnn.recipes import book as recipe_book

    if architecture in registry.list_architectures():
        recipe = registry.get(str(architecture)).recipe
        yield recipe.loss if recipe else None
    for name in recipe_book.names():
        try:
            yield recipe_book.get(name).loss
        except KerascnnError:
            continue


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
