"""What a trained model says about images: evaluation and prediction of a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import Dataset, explain, load
from kerascnn.errors import ArgumentError, DataError
from kerascnn.preprocessing import preprocess
from kerascnn.training.config import preprocessing_from, recipe_from
from kerascnn.training.engine import Engine, filled
from kerascnn.training.optimizers import make_loss
from kerascnn.training.run import Run


def evaluate_run(
    run: Run,
    data: str | Dataset | None,
    *,
    batch_size: int,
    echo: Callable[[str], None] | None,
) -> dict[str, Any]:
    """See `Run.evaluate`."""
    config = run.config
    dataset = load_for(
        data or config["data"]["source"],
        tuple(config["input_shape"]),
        config["seed"],
        config["data"]["skip_corrupt"],
        echo if echo and data else lambda line: None,
    )
    if dataset.classes != config["classes"]:
        raise DataError(
            f"{dataset.name} has {dataset.classes} classes, the run {run.path} was trained on "
            f"{config['classes']}."
        )
    name, split = next(
        (name, part)
        for name, part in (
            ("test", dataset.test),
            ("validation", dataset.validation),
            ("train", dataset.train),
        )
        if part.size
    )
    model = run.model()
    scores, is_logits = scores_of(model)
    loss = make_loss(recipe_from(config["recipe"]), dataset.classes, from_logits=is_logits)
    engine = Engine(
        scores,
        strategy=tf.distribute.get_strategy(),
        loss=loss,
        loss_weights=(1.0, *[0.0] * (len(scores.outputs) - 1)),
    )
    prepare = preprocess_with(config["preprocessing"])
    batches = filled(split.batches(batch_size).map(lambda x, y: (prepare(x), y)), batch_size)
    with readable_errors():
        found = engine.evaluate(iter(batches), math.ceil(split.size / batch_size))
    return {
        "data": dataset.name,
        "split": name,
        "images": int(found.images),
        "loss": found.mean_loss,
        "error": found.error,
    }


def predict_run(run: Run, images: np.ndarray, *, batch_size: int) -> np.ndarray:
    """See `Run.predict`."""
    config = run.config
    expected = tuple(config["input_shape"])
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != expected:
        raise ArgumentError(
            f"images must be [batch, {', '.join(map(str, expected))}]. Received: {images.shape}."
        )
    model = run.model()
    prepare = preprocess_with(config["preprocessing"])
    parts = []
    for start in range(0, len(images), batch_size):
        outputs = model(prepare(images[start : start + batch_size]), training=False)
        main = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
        parts.append(keras.ops.convert_to_numpy(main))
    return np.concatenate(parts) if parts else np.zeros((0, config["classes"]), "float32")


def scores_of(model: keras.Model) -> tuple[keras.Model, bool]:
    """The model without a final softmax layer, and whether its outputs are logits.

    Training on logits is exact where a softmax has rounded to 0 or 1.

    Raises:
        ArgumentError: an output is neither logits nor a softmax.
    """
    outputs, kinds = [], set()
    for tensor in model.outputs:
        layer = tensor._keras_history.operation
        kind = getattr(getattr(layer, "activation", None), "__name__", "linear")
        if isinstance(layer, keras.layers.Activation) and kind == "softmax":
            outputs.append(layer.input)
            kind = "linear"
        else:
            outputs.append(tensor)
        kinds.add("softmax" if isinstance(layer, keras.layers.Softmax) else kind)
    if kinds not in ({"linear"}, {"softmax"}):
        raise ArgumentError(
            "Training for classification needs outputs that are all logits or all softmax. "
            f"Received a model whose outputs end in: {', '.join(sorted(kinds))}."
        )
    return keras.Model(model.inputs, outputs, name=model.name), kinds == {"linear"}


def preprocess_with(stored: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The preprocessing that a run's config describes, as a function on batches of pixels."""
    preprocessing = preprocessing_from(stored)
    dtype = keras.config.floatx()
    return lambda images: tf.cast(preprocess(images, preprocessing), dtype)


def load_for(
    data: str | Dataset,
    shape: tuple[int, int, int],
    seed: int,
    skip_corrupt: bool,
    say: Callable[[str], None],
) -> Dataset:
    """The data, loaded for a network of this input shape.

    Raises:
        ArgumentError: a Dataset that delivers images of another shape.
    """
    if isinstance(data, str):
        data = load(data, input_shape=shape, seed=seed, skip_corrupt=skip_corrupt, echo=say)
    if tuple(data.image_shape) != tuple(shape):
        raise ArgumentError(
            f"The network takes images of {shape}, the Dataset {data.name} delivers "
            f"{data.image_shape}. Load it with input_shape={shape}."
        )
    return data


@contextlib.contextmanager
def readable_errors() -> Iterator[None]:
    """Turn a data pipeline's error from deep inside TensorFlow into the message behind it."""
    try:
        yield
    except tf.errors.OpError as error:
        if message := explain(error):
            raise DataError(message) from None
        raise
