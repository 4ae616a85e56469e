"""The models in a run directory: the trained one, and the one that a user's training began with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn.errors import RunError, WeightsError
from kerascnn.files import open_regular, parse_json, read_text

if TYPE_CHECKING:
    import keras

LARGEST_GRAPH = 2**26  # bytes of model.json: a layer has about 1,500
MOST_LAYERS = 20_000
MOST_WEIGHTS = 2**32  # 16 GiB in float32, before any optimizer's


def load_model(path: Path, run: Path) -> keras.Model:
    """Load a run's .keras file.

    Args:
        path: the file.
        run: the run directory, out of which no link is followed.

    Raises:
        RunError: the file is missing or damaged.
    """
    import kerascnn.layers  # noqa: F401  (registers our layers with Keras)
    from kerascnn.keras_internals import allow_deep_graphs
    from kerascnn.weights import model_file

    allow_deep_graphs()
    if not path.exists():
        raise RunError(
            f"{path} is missing: training has not come to its end. "
            f"Go on with `kerascnn train --resume {run}`."
        )
    try:
        open_regular(path, inside=run).close()
        return model_file.load(path)
    except WeightsError as error:
        raise RunError(str(error)) from error
    except OSError as error:
        raise RunError(f"{path} can't be read: {error.strerror}.") from error


def load_graph(run: Path) -> keras.Model:
    """The untrained keras.Model that a run without an architecture was started with.

    Nothing in model.json is executed: Keras refuses lambdas, and imports no module but its own. It
    is built without values first, so that no memory is taken that only the file speaks of.

    Raises:
        RunError: the file is missing or damaged, needs what Keras refuses, or describes more than
            anyone trains.
    """
    import keras

    from kerascnn.keras_internals import without_values
    from kerascnn.weights import model_file

    path = run / "model.json"
    text = read_text(path, error=RunError, limit=LARGEST_GRAPH, inside=run)
    try:
        described = parse_json(text)
        if acting := model_file.foreign(described):  # before Keras opens what they name
            raise TypeError(f"layers that run code or open files: {', '.join(acting)}")
        if (layers := _count_layers(described)) > MOST_LAYERS:
            raise ValueError(f"expected at most {MOST_LAYERS:,} layers. Received: {layers:,}")
        with without_values():
            found = keras.saving.deserialize_keras_object(described, safe_mode=True)
            if not isinstance(found, keras.Model):
                raise TypeError(f"expected a model. Received: {type(found).__name__}")
            weights = sum(math.prod(variable.shape) for variable in found.weights)
        if weights > MOST_WEIGHTS:
            raise ValueError(f"expected at most {MOST_WEIGHTS:,} weights. Received: {weights:,}")
        # Keras has taken parts out of the description while it read it.
        return keras.saving.deserialize_keras_object(parse_json(text), safe_mode=True)
    except Exception as error:
        raise RunError(
            f"{path} can't be loaded: {type(error).__name__}: {str(error)[:500]}"
        ) from error


def _count_layers(described: Any) -> int:
    """Of a model's description, and of the models in it."""
    count, waiting = 0, [described]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            layers = value.get("layers")
            count += len(layers) if isinstance(layers, list) else 0
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return count
