"""First weights as papers state them: a recipe's patterns, applied to a built model.

A recipe's `initialization` is a sequence of `(pattern, how)`. A pattern has shell wildcards and is
matched with a variable's layer and name, such as "conv2/bias"; the first that matches decides.
`how` is "zeros", "ones", "normal:STD", "uniform:LIMIT", "uniform_fan_in:A" (within ±A / fan-in,
LeNet-5's), or an initializer of Keras without arguments, such as "he_normal".
"""

from __future__ import annotations

import fnmatch
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import keras

from kerascnn.errors import ArgumentError


def initialize(model: keras.Model, patterns: Sequence[tuple[str, str]], seed: int) -> None:
    """Give the trainable variables that a pattern matches new values.

    Each depends on the seed and its own name only, so another network's other layers, or
    another order, change nothing.

    Args:
        model: a built model.
        patterns: a recipe's `initialization`.
        seed: the run's seed.

    Raises:
        ArgumentError: nothing is called `how`.
    """
    for variable in model.trainable_variables:
        name = "/".join(variable.path.split("/")[-2:])
        how = next((how for pattern, how in patterns if fnmatch.fnmatchcase(name, pattern)), None)
        if how is not None:
            digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
            own_seed = int.from_bytes(digest[:4], "big") >> 1
            initializer = _initializer(how, variable.shape, own_seed)
            variable.assign(initializer(variable.shape, dtype=variable.dtype))


def _initializer(how: str, shape: tuple[int, ...], seed: int) -> Any:
    kind, colon, text = how.partition(":")
    try:
        if kind == "normal":
            return keras.initializers.RandomNormal(0.0, float(text), seed=seed)
        if kind in ("uniform", "uniform_fan_in"):
            limit = float(text) / (math.prod(shape[:-1]) if kind == "uniform_fan_in" else 1)
            return keras.initializers.RandomUniform(-limit, limit, seed=seed)
        if colon:
            raise ValueError
        found = keras.initializers.get(kind)
        config = found.get_config()
        return type(found).from_config(config | ({"seed": seed} if "seed" in config else {}))
    except (TypeError, ValueError):
        raise ArgumentError(
            "initialization must name zeros, ones, normal:STD, uniform:LIMIT, uniform_fan_in:A or "
            f"an initializer of Keras such as he_normal. Received: {how!r}."
        ) from None
