"""A recipe's own loss: a class of Keras losses, or where to import it from, "package.module:Name".

Whose name may be imported: see `kerascnn.recipes.trusted`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from kerascnn.errors import ArgumentError
from kerascnn.files import shortened
from kerascnn.recipes.recipe import Recipe

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


def make_loss(recipe: Recipe, classes: int, *, from_logits: bool) -> Callable[[Any, Any], Any]:
    """`loss(labels, scores) -> [batch]`: the recipe's own, or cross-entropy.

    Args:
        recipe: its `loss` and `label_smoothing`.
        classes: number of classes.
        from_logits: whether the scores are logits or probabilities.

    Raises:
        ArgumentError: the recipe's own loss needs logits, or is the name of one.
    """
    import keras
    from keras import ops

    if recipe.loss is not None:
        if not from_logits:
            raise ArgumentError("The recipe's loss needs logits. Received: a softmax output.")
        if isinstance(recipe.loss, str):
            raise ArgumentError(
                "The recipe's loss must be a class; kerascnn.recipes.losses.load imports one from "
                f"its place. Received: {recipe.loss!r}."
            )
        return recipe.loss().call
    if not recipe.label_smoothing:
        return lambda labels, scores: keras.losses.sparse_categorical_crossentropy(
            labels, scores, from_logits=from_logits
        )

    def smoothed(labels: Any, scores: Any) -> Any:
        targets = ops.one_hot(ops.cast(labels, "int32"), classes, dtype=scores.dtype)
        return keras.losses.categorical_crossentropy(
            targets, scores, from_logits=from_logits, label_smoothing=recipe.label_smoothing
        )

    return smoothed
