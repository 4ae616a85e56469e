"""The last step of R-CNN and SPPNet: linear SVMs and ridge regression in the place of two layers.

Fine-tuning leaves a softmax and codes of boxes. The authors put one SVM for each class on fc7,
trained on the objects themselves against all windows that overlap little with them, and a ridge
regression of each class on pool5 (R-CNN, section 2.3, appendices B and C). Both are linear, so
they are weights of the layers `cls_score` and `bbox_pred`, and the network's form stays what it is;
a class's score is its margin then, by the sigmoid.

There are too many windows of background to keep. SVMs begin with those of the first images; of the
others only those are added that they find hard, and they are trained anew whenever there are enough
of these, while easy ones are dropped. So two passes over the images are enough, and the memory is
that of what is hard.

This needs scikit-learn: `pip install "kerascnn-detection[svm]"`. The command is `kerascnn svm`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError

if TYPE_CHECKING:
    import keras

NEVER = -100.0  # the margin of a class that nothing is known of

Batches = Callable[[], Iterable[tuple[Any, np.ndarray]]]
"""Makes a pass: the network's input and objects, `[batch, most, 6]`, of one batch after the other.
"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The authors' numbers, of `rcnn_train.m` and `rcnn_train_bbox_regressor.m`.

    Attributes:
        cost: of the SVMs, C.
        positive: weight of a positive example.
        tolerance: of their optimization; liblinear's own, which the authors leave as it is.
        bias: the value of the feature whose weight is the bias.
        norm: the mean norm that features are scaled to.
        measured: images that the mean norm is measured on.
        negative: a window that overlaps less than this with all objects of a class is none of it.
        added: hard windows of a class after which its SVM is trained anew.
        hard: a window of background is hard with a larger margin than this.
        easy: it is dropped with a smaller one.
        near: boxes are regressed from windows that overlap more than this with their object.
        most_near: of so many windows of a class, the first ones.
        ridge: the weight of the regression's squared weights.
    """

    cost: float = 1e-3
    positive: float = 2.0
    tolerance: float = 0.1
    bias: float = 10.0
    norm: float = 20.0
    measured: int = 200
    negative: float = 0.3
    added: int = 2000
    hard: float = -1.0001
    easy: float = -1.2
    near: float = 0.6
    most_near: int = 10_000
    ridge: float = 1000.0


def fit(
    model: keras.Model,
    batches: Batches,
    settings: Settings = Settings(),
    *,
    say: Callable[[str], None] = lambda line: None,
) -> keras.Model:
    """The network with SVMs and ridge regression in its two last layers.

    Args:
        model: an R-CNN or SPPNet, fine-tuned.
        batches: is called for each of two passes over the training images.
        settings: the authors'.
        say: is called with how far it has come.

    Returns:
        A new model of the same form. A class without an object is found nowhere.

    Raises:
        ArgumentError: scikit-learn isn't installed, or the model has no such layers.
    """
    import keras

    _require_sklearn()
    reader = _Reader(model)
    kept = [_Kept() for _ in range(model.get_layer("cls_score").units - 1)]
    norms: list[tuple[float, float]] = []
    for seen in reader.images(batches()):
        _keep(seen, kept, settings)
        if len(norms) < settings.measured and len(seen.boxes):
            norms.append((_norm(seen.hidden), _norm(seen.pooled)))
    scales = settings.norm / np.maximum(np.mean(norms or [(1.0, 1.0)], axis=0), 1e-6)
    say(f"{sum(len(one.hidden) for one in kept):,} objects of {len(kept)} classes.")
    svms = [_SVM(settings, _stacked(one.hidden, reader.units[0]) * scales[0]) for one in kept]
    for seen in reader.images(batches()):
        overlaps = seen.overlaps()
        for label, svm in enumerate(svms):
            of_class = overlaps[:, seen.objects[:, 4] == label]
            far = of_class.max(axis=1, initial=0.0) < settings.negative
            svm.look(seen.hidden[far] * scales[0])
    for svm in svms:
        svm.train()
    say(f"{sum(svm.seen for svm in svms):,} windows of background, {_hard(svms):,} of them hard.")
    boxes = [_regressed(one, settings, reader.units[1], scales[1]) for one in kept]
    fitted = keras.models.clone_model(model)
    fitted.set_weights(model.get_weights())
    put = fitted.get_layer
    put("cls_score").set_weights(_of_scores(svms, reader.units[0], scales[0]))
    put("bbox_pred").set_weights(_of_boxes(boxes, reader.units[1], reader.finder.lesson.weights))
    return _judged_by_margins(fitted)


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ArgumentError(
            "SVMs and ridge regression need scikit-learn. Received: an environment without it. "
            'Install it with: pip install "kerascnn-detection[svm]".'
        ) from error


def _judged_by_margins(model: keras.Model) -> keras.Model:
    """The same network, whose answer takes scores to be margins."""
    import keras

    from kerascnn_detection.stages import MARGINS, Detections, finder_of

    finder = finder_of(model, Detections)
    answers = Detections.from_config({**finder.get_config(), "scores": MARGINS})
    return keras.Model(model.inputs[0], answers(finder.input), name=model.name)


# --- What the two layers see -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """An image: its windows, and behind them the objects that are learned.

    Attributes:
        boxes: float32 `[n, 4]`.
        labels: of objects; `ABSENT` of windows, int `[n]`.
        hidden, pooled: what the two layers read of each, float32 `[n, units]`.
        objects: float32 `[objects, 6]`, difficult ones among them.
    """

    boxes: np.ndarray
    labels: np.ndarray
    hidden: np.ndarray
    pooled: np.ndarray
    objects: np.ndarray

    def overlaps(self) -> np.ndarray:
        """IoU of each window with each object, `[n, objects]`."""
        from kerascnn_detection import boxes

        return np.asarray(boxes.iou(self.boxes, self.objects[:, :4]))


class _Reader:
    """A network up to its two last layers.

    Attributes:
        finder: its `kerascnn_detection.stages.Detections`.
        units: that the two layers read.

    Raises:
        ArgumentError: it has no such layers.
    """

    def __init__(self, model: keras.Model) -> None:
        import keras

        from kerascnn import blocks
        from kerascnn_detection.stages import Detections, finder_of

        names = [layer.name for layer in model.layers]
        if missing := [n for n in ("proposals", "cls_score", "bbox_pred") if n not in names]:
            raise ArgumentError(
                "SVMs and ridge regression take the place of the layers cls_score and bbox_pred "
                f"of an R-CNN or SPPNet. Received: {model.name}, without {' and '.join(missing)}."
            )
        self.finder = finder_of(model, Detections)
        image, rows = model.inputs[0], self.finder.input[2]
        ends = [model.get_layer(name).input for name in ("cls_score", "bbox_pred")]
        self.units = tuple(end.shape[-1] for end in ends)
        inputs = [keras.Input(image.shape[1:]), keras.Input((None, rows.shape[-1]))]
        self._features = keras.Model(inputs, blocks.repeat(ends, [image, rows], inputs))
        self._windows = keras.Model(image, rows)

    def images(self, batches: Iterable[tuple[Any, Any]]) -> Iterator[_Seen]:
        """What is seen of one image after the other."""
        from keras import ops

        for images, targets in batches:
            objects = np.asarray(targets)
            windows = np.asarray(self._windows(images, training=False))
            learned = np.where(objects[..., 5:] == 0, objects, [0, 0, 0, 0, ABSENT, 0])
            rows = np.concatenate([windows, learned], axis=1).astype("float32")
            inputs = [ops.convert_to_tensor(images), ops.convert_to_tensor(rows)]
            found = (np.asarray(x, "float32") for x in self._features(inputs, training=False))
            for row, hidden, pooled, every in zip(rows, *found, objects):
                there = row[:, 4] != ABSENT
                labels = np.where(np.arange(len(row)) < windows.shape[1], ABSENT, row[:, 4])
                yield _Seen(
                    boxes=row[there, :4],
                    labels=labels[there].astype("int32"),
                    hidden=hidden[there],
                    pooled=pooled[there],
                    objects=every[every[:, 4] != ABSENT],
                )


@dataclass(frozen=True)
class _Kept:
    """What is kept of a class, of each image `[n, ...]`.

    Attributes:
        hidden: of its objects.
        pooled, codes: of windows near one, and the way to it.
    """

    hidden: list[np.ndarray] = field(default_factory=list)
    pooled: list[np.ndarray] = field(default_factory=list)
    codes: list[np.ndarray] = field(default_factory=list)


def _keep(seen: _Seen, kept: list[_Kept], settings: Settings) -> None:
    """Keep what an image has of each class."""
    from kerascnn_detection import boxes

    objects = seen.objects[seen.objects[:, 5] == 0]
    if not len(objects):
        return
    overlaps = np.asarray(boxes.iou(seen.boxes, objects[:, :4]))
    nearest, near = overlaps.argmax(axis=1), overlaps.max(axis=1) > settings.near
    codes = np.asarray(boxes.encode(objects[nearest, :4], seen.boxes))
    for label, one in enumerate(kept):
        one.hidden.extend(seen.hidden[seen.labels == label])
        those = near & (objects[nearest, 4] == label)
        room = settings.most_near - len(one.codes)
        one.pooled.extend(seen.pooled[those][:room])
        one.codes.extend(codes[those][:room])


def _norm(features: np.ndarray) -> float:
    return float(np.linalg.norm(features, axis=1).mean())


def _stacked(rows: list[np.ndarray], units: int) -> np.ndarray:
    return np.stack(rows) if rows else np.zeros((0, units), "float32")


# --- What takes their place --------------------------------------------------------------------


class _SVM:
    """A class against the background, trained anew when it finds enough that is hard.

    Attributes:
        kernel, bias: of scaled features; without an example nothing is of the class.
        seen: windows of background that it was shown.
    """

    def __init__(self, settings: Settings, positives: np.ndarray) -> None:
        self.settings = settings
        self.positives = positives
        self.negatives = positives[:0]
        self.kernel: np.ndarray = np.zeros(positives.shape[1], "float32")
        self.bias = NEVER
        self.seen = self._trained = 0

    def look(self, background: np.ndarray) -> None:
        """Keep what is hard of this; all, as long as it knows no background."""
        first = not self.seen
        self.seen += len(background)
        if not first:
            background = background[self._margins(background) > self.settings.hard]
        self.negatives = np.concatenate([self.negatives, background])
        if first or len(self.negatives) - self._trained > self.settings.added:
            self.train()

    def train(self) -> None:
        """Separate the class from what is kept, and keep what is not easy then."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        if not len(self.positives) or not len(self.negatives):
            return
        svm = LinearSVC(
            loss="hinge",
            C=self.settings.cost,
            class_weight={1: self.settings.positive},
            intercept_scaling=self.settings.bias,
            dual=True,
            random_state=0,
            tol=self.settings.tolerance,
        )
        examples = np.concatenate([self.positives, self.negatives])
        sides = np.arange(len(examples)) < len(self.positives)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            svm.fit(examples, sides.astype("int32"))
        self.kernel = svm.coef_[0].astype("float32")
        self.bias = float(svm.intercept_[0])
        self.negatives = self.negatives[self._margins(self.negatives) >= self.settings.easy]
        self._trained = len(self.negatives)

    def _margins(self, features: np.ndarray) -> np.ndarray:
        return features @ self.kernel + self.bias


def _hard(svms: list[_SVM]) -> int:
    return sum(len(svm.negatives) for svm in svms)


def _of_scores(svms: list[_SVM], units: int, scale: float) -> list[np.ndarray]:
    """Kernel and biases of `cls_score`; those of the background are 0."""
    kernels = [np.zeros(units), *(svm.kernel * scale for svm in svms)]
    biases = [0.0, *(svm.bias for svm in svms)]
    return [np.stack(kernels, axis=1).astype("float32"), np.array(biases, "float32")]


def _regressed(
    kept: _Kept, settings: Settings, units: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of a class the kernel `[units, 4]` and biases `[4]`: from features to codes.

    The authors' regression is of codes that are centred and made uncorrelated, and their bias is a
    feature like others: a 1 whose weight is made small, too.
    """
    from sklearn.linear_model import Ridge

    if not kept.codes:
        return np.zeros((units, 4)), np.zeros(4)
    features = _stacked(kept.pooled, units).astype("float64") * scale
    features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    codes = np.stack(kept.codes).astype("float64")
    middle = codes.mean(axis=0)
    codes = codes - middle
    values, vectors = np.linalg.eigh(codes.T @ codes / len(codes))
    spread = np.sqrt(values + 0.001)
    whitened = codes @ (vectors / spread @ vectors.T)
    ridge = Ridge(alpha=settings.ridge, fit_intercept=False, solver="cholesky")
    kernel = ridge.fit(features, whitened).coef_.T @ (vectors * spread @ vectors.T)
    return kernel[:-1] * scale, kernel[-1] + middle


def _of_boxes(
    each: list[tuple[np.ndarray, np.ndarray]], units: int, weights: Sequence[float]
) -> list[np.ndarray]:
    """Kernel and biases of `bbox_pred`, whose codes have these weights; the background's are 0."""
    kernels = [np.zeros((units, 4)), *(kernel * weights for kernel, _ in each)]
    biases = [np.zeros(4), *(bias * weights for _, bias in each)]
    return [np.concatenate(part, axis=-1).astype("float32") for part in (kernels, biases)]
