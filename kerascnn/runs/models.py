"""The models in a run directory: the trained one, and the one that a user's training began with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kerascnn.errors import RunError, WeightsError
from kerascnn.files import open_regular, parse_json, read_text

if TYPE_CHECKING:
    import keras

LARGEST_GRAPH = 2**26  # bytes of model.json: a layer has about 1,500


def load_model(path: Path) -> keras.Model:
    """Load a run's .keras file.

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
            f"Go on with `kerascnn train --resume {path.parent}`."
        )
    try:
        open_regular(path, inside=path.parent).close()
        return model_file.load(path)
    except WeightsError as error:
        raise RunError(str(error)) from error
    except OSError as error:
        raise RunError(f"{path} can't be read: {error.strerror}.") from error


def load_graph(run: Path) -> keras.Model:
    """The untrained keras.Model that a run without an architecture was started with.

    Nothing in model.json is executed: Keras refuses lambdas, and imports no module but its own.

    Raises:
        RunError: the file is missing or damaged, or needs what Keras refuses.
    """
    import keras

    from kerascnn.weights import model_file

    path = run / "model.json"
    text = read_text(path, error=RunError, limit=LARGEST_GRAPH, inside=run)
    try:
        described = parse_json(text)
        if acting := model_file.foreign(described):  # before Keras opens what they name
            raise TypeError(f"layers that run code or open files: {', '.join(acting)}")
        found = keras.saving.deserialize_keras_object(described, safe_mode=True)
        if not isinstance(found, keras.Model):
            raise TypeError(f"expected a model. Received: {type(found).__name__}")
    except Exception as error:
        raise RunError(
            f"{path} can't be loaded: {type(error).__name__}: {str(error)[:500]}"
        ) from error
    return found
