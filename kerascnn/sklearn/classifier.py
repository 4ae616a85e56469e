"""Classifier: a network that scikit-learn trains, compares, searches and keeps."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from kerascnn import catalogue
from kerascnn.architecture import Architecture
from kerascnn.console import Console
from kerascnn.data import ArraySplit, Dataset
from kerascnn.data.fitting import Shape, fit
from kerascnn.errors import ArgumentError
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes.recipe import Recipe
from kerascnn.sklearn.pixels import images_of, range_of, shape_of
from kerascnn.tasks.task import find
from kerascnn.training.trainer import train

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        'kerascnn.sklearn needs scikit-learn 1.6 or newer: pip install "kerascnn[sklearn]".'
    ) from error

SAMPLES = "scikit-learn"  # the data's name in the run's config
SEEDS = 2**31


class Classifier(ClassifierMixin, BaseEstimator):
    """A classifier of images for `cross_val_score`, `GridSearchCV`, pipelines and pickling.

    `fit` trains as `kerascnn.train` does, by a recipe, with the network's own preprocessing, and
    leaves no run directory behind. Images are `[n, height, width, channels]`, `[n, height, width]`
    or rows of numbers. They become 8-bit images, the network's size included: see `image_shape`
    and `value_range`. A fitted classifier is pickled with its weights; like any pickle, load it
    from whom you trust only.

    Args:
        network: an architecture's name, or an Architecture.
        arguments: its own, such as `{"widths": (4, 8)}`.
        input_shape: `(height, width, channels)` of its input; default: the native one.
        image_shape: `(height, width, channels)` of rows of numbers; default: a square, gray or
            with 3 channels.
        value_range: `(black, white)`, the numbers that are these; default: (0, 255) of uint8, of
            others the least and the greatest that are trained on.
        recipe: a Recipe, or what `kerascnn train --recipe` takes; default: the network's own.
        epochs, batch_size, learning_rate: instead of the recipe's, as `kerascnn.train` takes them.
        weights: trained ones to start from, as `kerascnn.train` takes them.
        validation_fraction: share of the samples, of each class, that is held out to choose the
            best epoch, where the recipe does (`keep`, `early_stopping`, `schedule="plateau"`).
        strategy, precision: as `kerascnn.train` takes them.
        random_state: of everything random, the same for the same number; None: other each time.
        verbose: whether to show the training.

    Attributes:
        classes_: the labels, in the order of `predict_proba`'s columns.
        model_: the trained keras.Model, with softmax.
        config_: how it was trained, as a run's `kerascnn.Run.config`.
        image_shape_, value_range_: what the samples were taken for.
        n_features_in_: length of the second axis, as scikit-learn has it.
    """

    def __init__(
        self,
        network: str | Architecture = "lenet5",
        *,
        arguments: Mapping[str, Any] | None = None,
        input_shape: Shape | None = None,
        image_shape: Shape | None = None,
        value_range: tuple[float, float] | None = None,
        recipe: str | Recipe | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weights: str | Path | None = None,
        validation_fraction: float = 0.0,
        strategy: str = "auto",
        precision: str = "float32",
        random_state: Any = 0,
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.arguments = arguments
        self.input_shape = input_shape
        self.image_shape = image_shape
        self.value_range = value_range
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weights = weights
        self.validation_fraction = validation_fraction
        self.strategy = strategy
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's names
        """Train anew.

        Args:
            X: images or rows of numbers, see the class.
            y: a label of any type for each, `[n]`.

        Raises:
            ArgumentError, DataError: see `kerascnn.train`; both are a ValueError.
        """
        samples, labels = validate_data(self, X, y, ensure_2d=True, allow_nd=True)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ArgumentError(
                "A classifier needs samples of 2 classes at least. Received: "
                f"{len(samples)} sample(s) of 1 class."
            )
        self.image_shape_ = shape_of(samples, self.image_shape)
        self.value_range_ = range_of(samples, self.value_range)
        random = check_random_state(self.random_state)
        recipe = self._recipe()
        adapted = None if isinstance(self.recipe, Recipe) else "auto"
        data = self._dataset(self._images(samples), numbers, recipe, random)
        with tempfile.TemporaryDirectory() as folder:
            run = train(
                self._architecture(),
                data,
                arguments=self.arguments,
                input_shape=self.input_shape,
                recipe=recipe,
                epochs=adapted if self.epochs is None else self.epochs,
                batch_size=adapted if self.batch_size is None else self.batch_size,
                learning_rate=self.learning_rate,
                weights=self.weights,
                strategy=self.strategy,
                precision=self.precision,
                seed=int(random.randint(SEEDS)),
                run=Path(folder) / "run",
                record=False,
                console=Console(quiet=not self.verbose),
            )
            self.model_, self.config_ = run.model(), run.config
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """The probability of each class of `classes_`, `[n, classes]`.

        Raises:
            ArgumentError: the samples are of another shape than those that were trained on.
        """
        check_is_fitted(self)
        samples = validate_data(self, X, ensure_2d=True, allow_nd=True, reset=False)
        if shape_of(samples, self.image_shape) != self.image_shape_:
            raise ArgumentError(
                f"The classifier was trained on images of {self.image_shape_}. Received: an array "
                f"{list(samples.shape)}."
            )
        images, _ = fit(self._images(samples), self.config_.canvas)
        task = find(self.config_.task)
        return task.predict(self.model_, self.config_, images, batch_size=task.batch)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The likeliest label of each sample, `[n]`."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]

    def _architecture(self) -> Architecture:
        return catalogue.get(self.network) if isinstance(self.network, str) else self.network

    def _recipe(self) -> Recipe:
        """The recipe that is meant, whose name says it."""
        if isinstance(self.recipe, Recipe):
            return self.recipe
        return recipe_book.choose(self.recipe, self._architecture())

    def _images(self, samples: np.ndarray) -> np.ndarray:
        return images_of(samples, self.image_shape_, self.value_range_)

    def _dataset(
        self, images: np.ndarray, labels: np.ndarray, recipe: Recipe, random: Any
    ) -> Dataset:
        """The images in the network's size, and some of them held out, as `kerascnn.train` takes.

        Args:
            images: uint8 `[n, height, width, channels]`.
            labels: places in `classes_`, `[n]`.
            recipe: whose crops need larger images.
            random: a NumPy RandomState, which chooses what is held out.
        """
        network = self._architecture().network(self.arguments, input_shape=self.input_shape)
        height, width, channels = network.input_shape
        if not (height and width):  # which no architecture leaves open unless asked to
            raise ArgumentError(f"input_shape must have a size. Received: {network.input_shape}.")
        canvas = recipe.augmentation.canvas_shape((height, width, channels))
        chosen = np.arange(len(images))
        held = chosen[:0]
        if self.validation_fraction:
            chosen, held = train_test_split(
                chosen, test_size=self.validation_fraction, stratify=labels, random_state=random
            )
        images, _ = fit(images, canvas)
        parts: dict[str, Any] = {
            name: ArraySplit(images[index], labels[index].astype("int32"))
            for name, index in {"train": chosen, "validation": held, "test": chosen[:0]}.items()
        }
        hashed = hashlib.sha256(repr(images.shape).encode())
        for array in (images, labels, held):
            hashed.update(np.ascontiguousarray(array).data)
        return Dataset(
            name=SAMPLES,
            classes=len(self.classes_),
            class_names=tuple(map(str, self.classes_)),
            image_shape=canvas,
            licence="yours",
            notes=(),
            left_out=(),
            fingerprint=hashed.hexdigest(),
            **parts,
        )
