"""What a trained model says about images: evaluation and prediction of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import Dataset, Split, explain, load
from kerascnn.data.dataset import ArraySplit
from kerascnn.errors import ArgumentError, DataError
from kerascnn.heads import scores_of
from kerascnn.preprocessing import preprocess
from kerascnn.training import protocols
from kerascnn.training.augmentation import central
from kerascnn.training.config import plain, preprocessing_from, recipe_from
from kerascnn.training.optimizers import make_loss
from kerascnn.training.recipes import Protocol, Recipe
from kerascnn.training.run import Run


def evaluate_run(
    run: Run,
    data: str | Dataset | None,
    *,
    batch_size: int,
    echo: Callable[[str], None] | None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """See `Run.evaluate`."""
    config, protocol = run.config, protocol or Protocol()
    dataset = load_for(
        data or config["data"]["source"],
        canvas_shape(config),
        config["seed"],
        config["data"]["skip_corrupt"],
        echo if echo and data is not None else (lambda line: None),
    )
    if dataset.classes != config["classes"]:
        raise DataError(
            f"{dataset.name} has {dataset.classes} classes, the run {run.path} was trained on "
            f"{config['classes']}."
        )
    name = next(name for name in ("test", "validation", "train") if getattr(dataset, name).size)
    split = getattr(dataset, name)
    scores, is_logits = scores_of(run.model())
    with readable_errors():
        if protocol == Protocol():
            loss = make_loss(recipe_from(config["recipe"]), dataset.classes, from_logits=is_logits)
            outputs = _outputs(scores, split, preparation(config), batch_size)
        else:
            # Probabilities were averaged: of them, only the plain cross-entropy has a meaning.
            loss = make_loss(Recipe(), dataset.classes, from_logits=False)
            outputs = protocols.predict(
                scores,
                split,
                protocol,
                is_logits=is_logits,
                prepare=preprocess_with(config["preprocessing"]),
                size=tuple(config["input_shape"][:2]),
                batch_size=batch_size,
            )
    rank = protocols.rank(outputs, split.labels)
    losses = loss(tf.constant(split.labels), tf.constant(outputs))
    found = {
        "data": dataset.name,
        "split": name,
        "images": split.size,
        "protocol": plain(protocol),
        "loss": float(tf.reduce_mean(losses)),
        "error": float((rank > 0).mean()),
    }
    if dataset.classes > protocols.TOP:
        found["top5_error"] = float((rank >= protocols.TOP).mean())
    return found


# So many images are done before a graph would be ready: ResNet-50 takes 1 s for one, its graph 3.
FEW = 8


def _outputs(
    model: keras.Model, split: Split, prepare: Callable[[Any], Any], batch_size: int
) -> np.ndarray:
    """The model's first output for every image, in the split's order, `[n, classes]`."""

    def forward(images: Any) -> Any:
        outputs = model(prepare(images), training=False)
        return outputs[0] if isinstance(outputs, (list, tuple)) else outputs

    batches = split.batches(batch_size)
    if split.size > FEW:  # one graph for any number of images: the last batch may be smaller
        forward = tf.function(forward, input_signature=[batches.element_spec[0]])
    return np.concatenate([forward(images).numpy() for images, _ in batches])


def predict_run(run: Run, images: np.ndarray, *, batch_size: int) -> np.ndarray:
    """See `Run.predict`."""
    config = run.config
    accepted = dict.fromkeys((tuple(config["input_shape"]), canvas_shape(config)))
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] not in accepted:
        shapes = " or ".join(f"[batch, {', '.join(map(str, shape))}]" for shape in accepted)
        raise ArgumentError(f"images must be {shapes}. Received: {images.shape}.")
    if not len(images):
        return np.zeros((0, config["classes"]), "float32")
    split = ArraySplit(images, np.zeros(len(images)))
    return _outputs(run.model(), split, preparation(config), batch_size)


def preprocess_with(stored: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The preprocessing that a run's config describes, as a function on batches of pixels."""
    preprocessing = preprocessing_from(stored)
    dtype = keras.config.floatx()
    return lambda images: tf.cast(preprocess(images, preprocessing), dtype)


def preparation(config: Mapping[str, Any]) -> Callable[[Any], Any]:
    """From a batch of the canvas to the network's input: its middle, preprocessed.

    Images that are cropped already, as training images are, stay whole.

    Args:
        config: a run's.
    """
    size = tuple(config["input_shape"][:2])
    augmentation = recipe_from(config["recipe"]).augmentation
    prepare = preprocess_with(config["preprocessing"])

    def ready(images: Any) -> Any:
        whole = tuple(images.shape[1:3]) == size
        return prepare(images if whole else central(images, augmentation, size))

    return ready


def canvas_shape(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """`(height, width, channels)` of the images that a run's training was given."""
    height, width, channels = config["data"].get("image_shape", config["input_shape"])
    return height, width, channels


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
