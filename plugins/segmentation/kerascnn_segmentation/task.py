"""Segmentation: each pixel of an image has a class.

A network for it answers with a map of scores, float32 `[batch, height, width, classes]`, as large
as its input or, where it doesn't pad, for the input's middle. Masks are uint8; pixels of `VOID`
are neither learned nor judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kerascnn import Recipe, Task
from kerascnn.data import VOID, Masks, Targets
from kerascnn.errors import ArgumentError, DataError
from kerascnn.tasks import Measure, Objective, Prediction, Seen, Shown, Writers

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from kerascnn.data import Split
    from kerascnn.tasks import Sight

OWN, TRAINED = "own", "trained"
SIZES = (OWN, TRAINED)
"""How large an image is looked at: as it is, or scaled as training has scaled its images."""
BATCH = 4  # images of the trained size in one step of prediction, unless told otherwise


class Segmentation(Task):
    """Each pixel has a class; an answer is a mask, uint8 `[height, width]`."""

    name = "segmentation"
    help = "each pixel has a class"
    targets: ClassVar[type[Targets]] = Masks
    measures = (
        Measure(name="mean_iou", title="Mean IoU", better="higher"),
        Measure(name="pixel_accuracy", title="Pixel accuracy", better="higher"),
        Measure(name="mean_accuracy", title="Mean accuracy", better="higher"),
        Measure(name="frequency_weighted_iou", title="Frequency-weighted IoU", better="higher"),
    )
    losses: ClassVar[tuple[str, ...]] = tuple(
        f"kerascnn_segmentation.losses:{name}"
        for name in ("CrossEntropy", "BorderCrossEntropy", "Dice", "DiceCrossEntropy")
    )
    batch: ClassVar[int] = 8
    asked: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "evaluate": ("size",),
        "predict": ("size", "top"),
    }

    # --- What a network for it answers ------------------------------------------------------

    def check_model(self, model: keras.Model, classes: int) -> None:
        """Refuse a model whose first output is no map of scores for so many classes."""
        for output in model.outputs:
            if len(output.shape) != 4 or output.shape[-1] != classes:
                raise ArgumentError(
                    "A network for segmentation must answer with maps [batch, height, width, "
                    f"{classes}], a score of each class for each pixel. Received a model whose "
                    f"output is {tuple(output.shape)}."
                )
        self.scores(model)

    def check_data(self, class_names: Sequence[str], source: str) -> None:
        """Refuse one class, which needs no learning, and more than a mask's pixels can name."""
        if not 2 <= len(class_names) <= VOID:
            raise DataError(
                f"{source}: segmentation needs 2 to {VOID} classes, the background among them. "
                f"Received: {len(class_names)}."
            )

    def random_targets(
        self, generator: np.random.Generator, *, scores: keras.Model, classes: int, count: int
    ) -> np.ndarray:
        """Masks in patches of 4×4 pixels, some of them unknown: uint8 `[count, height, width]`."""
        height, width = scores.outputs[0].shape[1:3]
        small = generator.integers(0, classes + 1, (count, -(-height // 4), -(-width // 4)))
        masks = np.where(small == classes, VOID, small).astype("uint8")
        return masks.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]

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
        """The mean loss of an image's pixels; a confusion matrix of pixels.

        It is cross-entropy, or the recipe's own: one of `kerascnn_segmentation.losses`, or another
        Keras loss on masks and logits that gives `[batch]`. Auxiliary heads count with the
        recipe's factor. What is reported has no class weights, but the border weights of U-Net's.
        """
        from kerascnn_segmentation.counting import counted

        return counted(
            recipe,
            outputs=len(scores.outputs),
            classes=classes,
            from_logits=from_logits,
            class_weight=class_weight,
        )

    # --- What a trained network is worth ----------------------------------------------------

    def check_asked(self, what: str, options: Mapping[str, Any], classes: int) -> None:
        """See `Task.check_asked`; `size` is one of `SIZES`."""
        super().check_asked(what, options, classes)
        if (size := options.get("size", OWN)) not in SIZES:
            raise ArgumentError(f"size must be one of {', '.join(SIZES)}. Received: {size!r}.")

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
        """The loss, the measures, the figures of each class, and the confusion matrix of pixels.

        With the option `size="own"` images are looked at in their own size, and judged by their
        masks as they are stored; the loss is not defined then.
        """
        from kerascnn_segmentation import answering, measures

        if options.get("size", TRAINED) == OWN:
            scores, _ = self.scores(model)
            found = answering.judged(scores, sight, images, batch_size=batch_size)
        else:
            found = super().evaluate(
                model,
                sight,
                images,
                recipe=recipe,
                options={},
                batch_size=batch_size,
                say=say,
            )
        matrix = np.array(found["confusion"])
        found["classes"] = measures.per_class(matrix, sight.named_classes)
        return found

    def show(self, found: Mapping[str, Any], sight: Sight) -> None:
        """Print the measures, and the figures of each class."""
        from kerascnn_segmentation import figures

        figures.show(found, self.measures)

    def check_save(self, path: Path) -> None:
        """Refuse what is neither a table, NAME.csv, nor a picture of the classes, NAME.png."""
        from kerascnn.writing import check_save
        from kerascnn_segmentation import figures

        check_save(path, figures.FORMATS)

    def save(self, found: Mapping[str, Any], path: Path) -> None:
        """Write the classes' figures and the confusion matrix, or a picture of them."""
        from kerascnn_segmentation import figures

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
        """The mask of one file after the other, in the file's own size; see `writing.Outlined`.

        A photo is looked at in its own size; with the option `size="trained"` scaled as training
        has scaled its images.
        """
        from kerascnn_segmentation.answering import predicted

        scores, _ = self.scores(model)
        size = options.get("size", OWN)
        return predicted(scores, sight, files, size=size, batch_size=batch_size or BATCH)

    def shown(self, answer: Any, class_names: Sequence[str]) -> Shown:
        """The share of each class, and the photo under their colours."""
        from kerascnn_segmentation import pictures, writing

        areas = writing.areas(answer.mask, class_names)
        picture = pictures.found_in(answer.photo, answer.mask, class_names)
        return Shown(tuple((one["name"], one["share"]) for one in areas), picture)

    def writers(self, class_names: tuple[str, ...], options: Mapping[str, Any]) -> Writers:
        """The area of each class for people and JSON; masks, colours and overlays in a folder."""
        from kerascnn_segmentation import writing

        return writing.writers(class_names, options.get("top", writing.TOP))

    # --- What is shown and served of it -----------------------------------------------------

    def pictures(self, seen: Seen) -> Mapping[str, Figure]:
        """Samples with their errors, the images with the most of them, and IoU by class."""
        from kerascnn_segmentation import pictures

        return pictures.drawn(seen)

    def served(self, model: keras.Model) -> keras.Model:
        """The main output, for images of any size that the network's maps allow."""
        import keras

        from kerascnn import any_size

        whole = any_size(model)
        return keras.Model(whole.inputs[0], whole.outputs[0], name=model.name)


SEGMENTATION = Segmentation()
