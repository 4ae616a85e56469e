"""Detection: what is in an image, and where.

A network for it answers with rows, float32 `[batch, most, 6]`: x1, y1, x2, y2 in pixels of its
input, the label and the score of each box, the best first; the label is `ABSENT` in rows without
one. It decodes and suppresses itself, so what is saved or exported answers with boxes, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kerascnn import Recipe, Task
from kerascnn.data import ABSENT, Boxes, Targets
from kerascnn.errors import ArgumentError
from kerascnn.tasks import Comparison, Measure, Objective, Prediction, Seen, Shown, Writers

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from kerascnn.data import Split
    from kerascnn.tasks import Sight

BATCH = 4  # photos in one step of prediction, unless told otherwise


class Detection(Task):
    """Objects in boxes, each with a class; an answer is boxes with their classes and scores."""

    name = "detection"
    help = "objects in boxes, each with a class"
    targets: ClassVar[type[Targets]] = Boxes
    measures = (
        Measure(name="ap50", title="AP50", better="higher"),
        Measure(name="ap75", title="AP75", better="higher"),
    )
    unsearched: ClassVar[tuple[str, ...]] = ("label_smoothing",)
    batch: ClassVar[int] = 8
    asked: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "evaluate": (),
        "predict": ("least_score", "top"),
    }

    # --- What a network for it answers ------------------------------------------------------

    def scores(self, model: keras.Model) -> tuple[keras.Model, bool]:
        """The network with what losses are made of behind its answer."""
        from kerascnn_detection.counting import scores_of

        return scores_of(model), True

    def training(self, scores: keras.Model) -> keras.Model:
        """Of a two-stage network one whose head sees a sample of proposals and objects."""
        from kerascnn_detection.counting import taught

        return taught(scores)

    def check_model(self, model: keras.Model, classes: int) -> None:
        """Refuse a model that doesn't make boxes of so many classes."""
        from kerascnn_detection.counting import classes_of
        from kerascnn_detection.stages import Finder, finder_of

        if (found := classes_of(finder_of(model, Finder))) != classes:
            raise ArgumentError(
                f"The data has {classes} classes. Received a model that tells {found} apart."
            )

    def random_targets(
        self, generator: np.random.Generator, *, scores: keras.Model, classes: int, count: int
    ) -> np.ndarray:
        """Up to three objects in each image, none in the first: float32 `[count, 3, 6]`."""
        size = np.array(scores.inputs[0].shape[2:0:-1], "float32")
        low, high = np.sort(generator.uniform(0, 1, (2, count, 3, 2)), axis=0)
        corners = np.concatenate([low * size / 2, (1 + high) * size / 2], axis=-1)
        labels = generator.integers(0, classes, (count, 3, 1))
        labels[np.arange(3) >= np.arange(count)[:, None]] = ABSENT
        found = np.concatenate([corners, labels, np.zeros_like(labels)], axis=-1)
        return np.where(labels == ABSENT, [0, 0, 0, 0, ABSENT, 0], found).astype("float32")

    # --- What is learned --------------------------------------------------------------------

    def objective(
        self,
        recipe: Recipe,
        *,
        scores: keras.Model,
        classes: int,
        from_logits: bool,
        class_weight: Sequence[float] | None = None,
    ) -> Objective:
        """The losses of the network's paper, by part; average precision at IoUs of .5 and .75.

        Difficult objects and crowds aren't learned. Precision is VOC's, an area under the curve,
        in the network's own pixels.
        """
        from kerascnn_detection.counting import counted

        return counted(recipe, scores=scores, classes=classes, class_weight=class_weight)

    # --- What a trained network is worth ----------------------------------------------------

    def check_asked(self, what: str, options: Mapping[str, Any], classes: int) -> None:
        """See `Task.check_asked`; `least_score` is a number, and `top` a whole one from 1."""
        super().check_asked(what, options, classes)
        if not math.isfinite(least := options.get("least_score", 0)):
            raise ArgumentError(f"least_score must be a number. Received: {least!r}.")
        if (top := options.get("top", 1)) < 1:
            raise ArgumentError(f"top must be at least 1. Received: {top!r}.")

    def evaluate(
        self,
        model: keras.Model,
        sight: Sight,
        images: Split,
        *,
        recipe: Recipe,
        options: Mapping[str, Any],
        batch_size: int,
        say: Callable[[str], None],
    ) -> dict[str, Any]:
        """VOC's and COCO's figures of all boxes in the images' own pixels, and those of each class.

        Each image is looked at as a whole, see `kerascnn_detection.answering`, and judged by its
        boxes as they are stored; the loss is not defined then.
        """
        from kerascnn_detection import answering

        scores, _ = self.scores(model)
        return answering.judged(scores, sight, images, batch_size=batch_size)

    def show(self, found: Mapping[str, Any], sight: Sight) -> None:
        """Print the measures, a bar for the AP of each class, and COCO's figures."""
        from kerascnn_detection import figures

        figures.show(found, self.measures)

    def as_json(self, found: Mapping[str, Any]) -> str:
        """See `Task.as_json`; without the boxes, of which there are many: `--save NAME.json`."""
        return super().as_json({key: found[key] for key in found if key != "results"})

    def check_save(self, path: Path) -> None:
        """Refuse what is no table, NAME.csv, no picture of curves, NAME.png, nor NAME.json."""
        from kerascnn.writing import check_save
        from kerascnn_detection import figures

        check_save(path, figures.FORMATS)

    def save(self, found: Mapping[str, Any], path: Path) -> None:
        """Write the classes' figures, their curves of precision by recall, or COCO's results."""
        from kerascnn_detection import figures

        figures.save(found, path)

    # --- What a trained network answers -----------------------------------------------------

    def predict_files(
        self,
        model: keras.Model,
        sight: Sight,
        files: Iterable[Any],
        *,
        options: Mapping[str, Any] = MappingProxyType({}),
        batch_size: int | None = None,
    ) -> Iterator[Prediction]:
        """The boxes in one file after the other, in its own pixels; see `writing.Detected`."""
        from kerascnn_detection.answering import predicted

        scores, _ = self.scores(model)
        return predicted(scores, sight, files, options=options, batch_size=batch_size or BATCH)

    def shown(self, answer: Any, class_names: Sequence[str]) -> Shown:
        """The boxes that are sure enough, by their scores, and the photo with them."""
        from kerascnn_detection import pictures
        from kerascnn_detection.writing import LEAST_SCORE

        rows = answer.rows[answer.rows[:, 5] >= LEAST_SCORE]
        picture = pictures.found_in(answer.photo, rows, class_names)
        found = ((class_names[int(row[4])], float(row[5])) for row in rows)
        return Shown(tuple(found), picture)

    def writers(self, class_names: tuple[str, ...], options: Mapping[str, Any]) -> Writers:
        """A table for people, COCO's results as JSON, pictures in a folder."""
        from kerascnn_detection.writing import writers

        return writers(class_names, **options)

    # --- What is shown and exported of it ---------------------------------------------------

    def pictures(self, seen: Seen) -> Mapping[str, Figure]:
        """Samples with their errors, the images with the most of them, and AP by class."""
        from kerascnn_detection import pictures

        return pictures.drawn(seen)

    def explained(self, model: keras.Model, classes: int) -> keras.Model:
        """The best score of each class."""
        from kerascnn_detection.explaining import explained

        return explained(model, classes)

    def raw(self, model: keras.Model) -> keras.Model:
        """What the network's last layer makes boxes of; see `kerascnn_detection.exporting.raw`."""
        from kerascnn_detection import exporting
        from kerascnn_detection.stages import Finder, finder_of

        return exporting.raw(model, finder_of(model, Finder))

    def comparison(self, model: keras.Model) -> Comparison | None:
        """Boxes, or proposals with what is said of each, wherever they stand; cells one by one."""
        from kerascnn_detection import exporting

        return exporting.comparison(model)


DETECTION = Detection()
