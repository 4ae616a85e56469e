"""The first task: each image has one label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kerascnn.data.labels import Labels
from kerascnn.errors import ArgumentError, DataError
from kerascnn.recipes.recipe import Protocol, Recipe
from kerascnn.tasks.classification import ERROR
from kerascnn.tasks.objective import Objective
from kerascnn.tasks.prediction import Shown, Writers
from kerascnn.tasks.sight import Sight
from kerascnn.tasks.task import Say, Seen, Task

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from kerascnn.data.splits import Split


TOP = 5  # top-5 errors are reported where there are more than five classes


class Classification(Task):
    """Each image has one label, an answer is a probability of each class, `[classes]`."""

    name = "classification"
    help = "each image has one label"
    targets = Labels
    measures = (ERROR,)
    mixes = True
    finetuning = "finetune"
    asked = MappingProxyType({"evaluate": ("protocol", "top"), "predict": ("top",)})

    def check_asked(self, what: str, options: Mapping[str, Any], classes: int) -> None:
        """See `Task.check_asked`; there must be more classes than `top` in an evaluation."""
        super().check_asked(what, options, classes)
        top = options.get("top")
        if what == "evaluate" and top is not None and not 0 < top < classes:
            raise ArgumentError(
                f"top must be at least 1 and less than the run's {classes} classes. "
                f"Received: {top}."
            )

    def check_data(self, class_names: Sequence[str], source: str) -> None:
        """See `Task.check_data`: there must be two classes to tell apart."""
        if len(class_names) < 2:
            raise DataError(
                f"{source}: training needs images of at least 2 classes. Received: "
                f"{', '.join(class_names)} only."
            )

    def random_targets(
        self, generator: np.random.Generator, *, scores: keras.Model, classes: int, count: int
    ) -> np.ndarray:
        """Labels, int32 `[count]`."""
        return generator.integers(0, classes, count).astype("int32")

    def objective(
        self,
        recipe: Recipe,
        *,
        scores: keras.Model,
        classes: int,
        from_logits: bool,
        class_weight: Sequence[float] | None = None,
    ) -> Objective:
        """Cross-entropy or the recipe's own loss, auxiliary heads with its factor; top-1 errors."""
        from kerascnn.recipes.losses import make_loss
        from kerascnn.tasks.classification.counting import counted

        return counted(
            make_loss(recipe, classes, from_logits=from_logits),
            factors=(1.0, *[recipe.auxiliary_weight] * (len(scores.outputs) - 1)),
            class_weight=class_weight,
        )

    def evaluate(
        self,
        model: keras.Model,
        sight: Sight,
        images: Split,
        *,
        recipe: Recipe,
        options: Mapping[str, Any],
        batch_size: int,
        say: Say,
    ) -> dict[str, Any]:
        """Losses, errors and each class's figures; see `kerascnn.Run.evaluate`."""
        from kerascnn.tasks.classification.evaluation import evaluate

        return evaluate(
            model,
            sight,
            images,
            recipe=recipe,
            protocol=options.get("protocol", Protocol()),
            top=options.get("top", TOP if sight.classes > TOP else None),
            batch_size=batch_size,
            say=say,
        )

    def agreement(
        self, model: keras.Model, other: keras.Model, sight: Sight, images: Split
    ) -> float | None:
        """The share of images whose likeliest class is the same."""
        from kerascnn.data import readable_errors
        from kerascnn.tasks.forward import outputs, preparation

        prepare, batch = preparation(sight), self.batch
        with readable_errors(images):
            ours, theirs = (outputs(one, images, prepare, batch) for one in (model, other))
            same = sum(int((a.argmax(-1) == b.argmax(-1)).sum()) for a, b in zip(ours, theirs))
        return same / images.size

    def show(self, found: Mapping[str, Any], sight: Sight) -> None:
        """Print the summary, the classes and the most frequent mistakes."""
        from kerascnn.tasks.classification import figures

        figures.show(found, figures.described(found["protocol"], min(sight.input_shape[:2])))

    def check_save(self, path: Path) -> None:
        """Refuse what is neither a table, NAME.csv, nor a picture of the matrix, NAME.png."""
        from kerascnn.tasks.classification import figures
        from kerascnn.writing import check_save

        check_save(path, figures.FORMATS)

    def save(self, found: Mapping[str, Any], path: Path) -> None:
        """Write the classes' figures and the confusion matrix, or the picture of it."""
        from kerascnn.tasks.classification import figures

        figures.save(found, path)

    def shown(self, answer: Any, class_names: Sequence[str]) -> Shown:
        """The likeliest classes."""
        from kerascnn.tasks.classification.predictions import likeliest

        found = likeliest(answer, class_names, TOP)
        return Shown(tuple((name, float(probability)) for name, probability in found))

    def writers(self, class_names: tuple[str, ...], options: Mapping[str, Any]) -> Writers:
        """The likeliest classes of each image, with bars for people."""
        from kerascnn.tasks.classification.predictions import writers

        return writers(class_names, **options)

    def pictures(self, seen: Seen) -> Mapping[str, Figure]:
        """Samples, the images with the highest and the lowest losses, and the confusion matrix."""
        from kerascnn.tasks.classification.mistakes import drawn

        return drawn(seen)


CLASSIFICATION = Classification()
