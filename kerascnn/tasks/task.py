"""Task: what images are labelled with, and what answers are worth. Everything else is the same.

Loop, resuming, strategies, run directory, TensorBoard, evaluation, prediction, export, checks and
search know a task only through this. An entry point of the group `kerascnn.tasks` names one
object, and `Architecture.task` names the entry point:

    [project.entry-points."kerascnn.tasks"]
    segmentation = "my_package.task:SEGMENTATION"
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kerascnn import registry
from kerascnn.console import Console
from kerascnn.data.files import Found
from kerascnn.data.targets import Targets
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import MEASURES, RARITY, Recipe
from kerascnn.tasks.comparison import Comparison
from kerascnn.tasks.measure import HELD, Measure
from kerascnn.tasks.objective import Objective
from kerascnn.tasks.prediction import BATCH, Prediction, Shown, Writers
from kerascnn.tasks.sight import Sight
from kerascnn.words import listed, printable

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from kerascnn.data.splits import Split

LOSS = "loss"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a network answers now, while it trains: for TensorBoard's pictures.

    Attributes:
        class_names: of the classes.
        images: some validation images, as they are delivered, uint8 `[n, height, width, channels]`.
        targets: theirs, `[n, ...]`.
        outputs: the network's first output for them, `[n, ...]`.
        more: many images, targets and first outputs, batch by batch, in a fixed random order.
        are_logits: whether outputs are logits, not probabilities.
    """

    class_names: tuple[str, ...]
    images: np.ndarray
    targets: np.ndarray
    outputs: np.ndarray
    more: Callable[[], Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]]
    are_logits: bool = True


class Task:
    """What a network is trained for.

    A subclass says its name, its targets and its measures, and defines `objective`; the rest has
    defaults that serve a network of one output.

    Attributes:
        name: as the entry point's.
        help: one line.
        targets: the kind of targets that it needs of the data.
        measures: what is logged beside the loss, as `Objective.figures` gives it. The first one
            decides: which epoch is best, when a schedule's plateau is reached, what a search
            looks for, how runs are sorted.
        losses: places of losses of its own that a recipe may name, "package.module:Name". A run's
            files may come from a stranger: what they name is imported only if somebody installed
            says so, too.
        unsearched: what a search leaves as a recipe has it, as the task's losses don't know it.
        mixes: whether `objective` takes the labels of images that were mixed from two, float32
            `[batch, 3]`: the image's own, its partner's, and the share of its own.
        finetuning: the name of the recipe by which a network is trained that starts from trained
            weights, unless another is asked for; "": by its own.
        batch: images in one step of an evaluation, unless told otherwise.
        asked: what an evaluation may be asked for beside data and split, and what a prediction.
    """

    name: ClassVar[str]
    help: ClassVar[str] = ""
    targets: ClassVar[type[Targets]]
    measures: ClassVar[tuple[Measure, ...]]
    losses: ClassVar[tuple[str, ...]] = ()
    unsearched: ClassVar[tuple[str, ...]] = ()
    mixes: ClassVar[bool] = False
    finetuning: ClassVar[str] = ""
    batch: ClassVar[int] = 256
    asked: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"evaluate": (), "predict": ()}
    )

    # --- What is measured -------------------------------------------------------------------

    @property
    def main(self) -> Measure:
        """The measure that decides."""
        return self.measures[0]

    def monitor(self, asked: str | None) -> str:
        """What epochs are compared by, as `kerascnn.recipes.recipe.monitored` reads it.

        Args:
            asked: a measure's name, "loss", either with "val_" before it; "max:NAME" or "min:NAME"
                of what a callback logs; None: the main measure of the validation images.

        Raises:
            ArgumentError: nothing of this name is logged.
        """
        if asked is None:
            asked = HELD + self.main.name
        known = {f"{part}{LOSS}": 1 for part in (HELD, "")}
        for part in (HELD, ""):
            known |= {f"{part}{one.name}": one.sign for one in self.measures}
            known |= {f"{part}{m.complement}": 1 for m in self.measures if m.complement}
        direction, colon, _ = asked.partition(":")
        if colon and direction in ("min", "max"):
            return asked
        if asked in known:
            if asked in MEASURES and known[asked] > 0:
                return asked
            return f"{'min' if known[asked] > 0 else 'max'}:{asked}"
        raise ArgumentError(
            f"monitor must be one of {', '.join(known)} for {self.name}, or say which way is "
            f"better of what a callback logs, as in max:val_f1 or min:NAME. Received: {asked!r}."
        )

    # --- What a network for it answers ------------------------------------------------------

    def scores(self, model: keras.Model) -> tuple[keras.Model, bool]:
        """What training works on: the model without the softmax at its ends.

        Returns:
            The scores' model, and whether its outputs are logits; see `kerascnn.heads.scores_of`.

        Raises:
            ArgumentError: an output is neither logits nor probabilities.
        """
        from kerascnn.heads import scores_of

        return scores_of(model)

    def training(self, scores: keras.Model) -> keras.Model:
        """The graph of a training step: of the same layers, with the same outputs and perhaps more.

        By default it is the scores' own. One that looks at the targets, as a detector does that
        learns from some of its windows, has three inputs: images, targets, and `[batch, 3]` int32,
        the run's seed, the epoch and the image's number in the data, of which whatever it draws
        is to be a pure function. So a run that resumes draws what it would have drawn, and an
        image's draw is the same on any number of replicas.

        Args:
            scores: as `scores` gives it.
        """
        return scores

    def check_model(self, model: keras.Model, classes: int) -> None:
        """Refuse a model that doesn't answer for so many classes.

        Raises:
            ArgumentError: says what it answers.
        """
        if model.outputs[0].shape[-1] != classes:
            raise ArgumentError(
                f"The data has {classes} classes. Received a model whose output is "
                f"{model.outputs[0].shape}."
            )
        self.scores(model)

    def check_data(self, class_names: Sequence[str], source: str) -> None:
        """Refuse classes that nothing can be learned from.

        Raises:
            DataError: says what is needed.
        """

    def random_targets(
        self, generator: np.random.Generator, *, scores: keras.Model, classes: int, count: int
    ) -> np.ndarray:
        """Targets that fit a model, for checks and benchmarks: `[count, ...]`.

        Args:
            generator: of random numbers.
            scores: as `scores` gives it, for images of a known size.
            classes: how many.
            count: how many targets.
        """
        raise NotImplementedError(f"{self.name} has no random_targets.")

    # --- What is learned --------------------------------------------------------------------

    def class_weight(
        self, recipe: Recipe, targets: Targets, class_names: Sequence[str]
    ) -> tuple[float, ...] | None:
        """The factor of each class in what is minimised, as the recipe's `class_weight` says.

        "balanced" is mean count / count of the class, of the classes that are there, and "rooted"
        its square root; in both the mean over all that was counted is 1.

        Args:
            recipe: its `class_weight`.
            targets: of the training images.
            class_names: of the classes.

        Returns:
            `[classes]`; None: all are 1.

        Raises:
            ArgumentError: there is not one factor for each class.
        """
        given, classes = recipe.class_weight, len(class_names)
        if given is None:
            return None
        if isinstance(given, str):
            counts = targets.counts(classes)
            weights = np.zeros(classes)
            there = counts > 0
            weights[there] = counts[there] ** -RARITY[given]
            weights[there] *= counts.sum() / (weights @ counts)
            return tuple(weights.tolist())
        if len(given) != classes:
            names = ", ".join(class_names[:20])
            more = ", ..." if classes > 20 else ""
            raise ArgumentError(
                f"class_weight must have one factor for each of the {classes} classes, in "
                f"this order: {names}{more}. Received {len(given)}: "
                f"{', '.join(f'{weight:g}' for weight in given)}."
            )
        return tuple(map(float, given))

    def objective(
        self,
        recipe: Recipe,
        *,
        scores: keras.Model,
        classes: int,
        from_logits: bool,
        class_weight: Sequence[float] | None = None,
    ) -> Objective:
        """What is minimised and counted.

        Args:
            recipe: its loss, label smoothing and weight of auxiliary heads.
            scores: as `scores` gives it; the first output is the main one. Losses are given its
                outputs, in training those of `training`.
            classes: how many.
            from_logits: whether they are logits, not probabilities.
            class_weight: see `class_weight`.

        Raises:
            ArgumentError: the recipe asks for what the task doesn't know.
        """
        raise NotImplementedError(f"{self.name} has no objective.")

    # --- What a trained network is worth ----------------------------------------------------

    def check_asked(self, what: str, options: Mapping[str, Any], classes: int) -> None:
        """Refuse what an evaluation or a prediction can't be asked for, before anything is read.

        Args:
            what: "evaluate" or "predict".
            options: what was asked for, by names.
            classes: that the network knows.

        Raises:
            ArgumentError: names it.
        """
        known = self.asked[what]
        if unknown := [name for name in options if name not in known]:
            can = f"It knows {listed(known)}." if known else "It has no options."
            raise ArgumentError(
                f"{what} of a network for {self.name} can't be asked for {listed(unknown)}. {can}"
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
        """What a trained model's answers are worth: of JSON, "loss" and the measures among it.

        Args:
            model: as it is saved.
            sight: how it sees images.
            images: with targets whose classes are numbered as the model's.
            recipe: the run's, with a loss that may be used.
            options: that `check_asked` lets pass.
            batch_size: images in one step.
            say: is called with what the user should know.

        Raises:
            RunError: the model answers with no numbers.
            DataError: an image can't be read.
        """
        from kerascnn.tasks.counting import counted_over

        scores, from_logits = self.scores(model)
        objective = self.objective(
            recipe, scores=scores, classes=sight.classes, from_logits=from_logits
        )
        return counted_over(objective, scores, sight, images, batch_size=batch_size)

    def agreement(
        self, model: keras.Model, other: keras.Model, sight: Sight, images: Split
    ) -> float | None:
        """The share of images for which two models give the same answer, in [0, 1].

        Args:
            model, other: as they are saved.
            sight: how they see images.
            images: each is seen once, its middle.

        Returns:
            None: answers aren't the same or not, as the boxes in an image aren't.
        """
        return None

    def show(self, found: Mapping[str, Any], sight: Sight) -> None:
        """Print what `kerascnn.Run.evaluate` returned."""
        parts = [f"{one.title} {one.written(found[one.name])}" for one in self.measures]
        parts.append(f"loss {found[LOSS]:.4f}")
        split = "" if found["split"] == "all" else f" {found['split']}"
        count = f"{found['images']:,} {'image' if found['images'] == 1 else 'images'}"
        line = f"{printable(found['data'])}{split}, {count}: {', '.join(parts)}"
        Console().print(line, markup=False, highlight=False, soft_wrap=True)

    def as_json(self, found: Mapping[str, Any]) -> str:
        """What `kerascnn.Run.evaluate` returned, indented; of tables each row on one line."""
        tables = {key: rows for key, rows in found.items() if rows and isinstance(rows, list)}
        rest = {key: value for key, value in found.items() if key not in tables}
        parts = [json.dumps(rest, indent=2)[:-2]]
        for key, rows in tables.items():
            lines = ",\n    ".join(json.dumps(row) for row in rows)
            parts.append(f'  "{key}": [\n    {lines}\n  ]')
        return ",\n".join(parts) + "\n}"

    def check_save(self, path: Path) -> None:
        """Refuse a file that an evaluation can't be saved to, before anything is computed.

        Raises:
            ArgumentError: says what can.
        """
        from kerascnn.writing import check_save

        check_save(path, (".json",))

    def save(self, found: Mapping[str, Any], path: Path) -> None:
        """Write what `kerascnn.Run.evaluate` returned to a file that `check_save` lets pass."""
        path.write_text(self.as_json(found) + "\n", encoding="utf-8")

    # --- What a trained network answers -----------------------------------------------------

    def predict(
        self, model: keras.Model, sight: Sight, images: np.ndarray, *, batch_size: int
    ) -> np.ndarray:
        """The first output for pixels `[batch, height, width, channels]`; see `Run.predict`.

        Raises:
            ArgumentError: the images have another shape.
        """
        from kerascnn.tasks.forward import predicted

        return predicted(model, sight, images, batch_size=batch_size)

    def predict_files(
        self,
        model: keras.Model,
        sight: Sight,
        files: Iterable[Found],
        *,
        options: Mapping[str, Any] = MappingProxyType({}),
        batch_size: int | None = None,
    ) -> Iterator[Prediction]:
        """What the network sees in one file after the other, in their order.

        Args:
            model: as it is saved.
            sight: how it sees images.
            files: no more are taken than will be read soon.
            options: that `check_asked` lets pass.
            batch_size: images in one step; None: as many as the task likes.

        Raises:
            RunError: the model's answers are not numbers.
        """
        from kerascnn.tasks.forward import predicted_files

        return predicted_files(model, sight, files, batch_size=batch_size or BATCH)

    def said(self, answer: Any, class_names: Sequence[str]) -> str:
        """An answer of `predict_files`, in a few words."""
        return " ".join(f"{value:.4g}" for value in np.ravel(answer)[:8])

    def shown(self, answer: Any, class_names: Sequence[str]) -> Shown:
        """An answer of `predict_files` as people see it; by default in a few words."""
        return Shown(((self.said(answer, class_names), 1.0),))

    def writers(self, class_names: tuple[str, ...], options: Mapping[str, Any]) -> Writers:
        """Where `kerascnn predict` puts answers.

        Args:
            class_names: of the classes.
            options: that `check_asked` lets pass.
        """
        from kerascnn.tasks.writing import plain_writers

        return plain_writers(lambda answer: self.said(answer, class_names))

    # --- What is shown and written of it ----------------------------------------------------

    def pictures(self, seen: Seen) -> Mapping[str, Figure]:
        """Tag → figure, for TensorBoard's validation images."""
        return {}

    def explained(self, model: keras.Model, classes: int) -> keras.Model:
        """What `kerascnn.explain` looks at: the model, with scores of the classes, or maps of them.

        Args:
            model: as it is saved.
            classes: how many.
        """
        return model

    # --- What is exported of it -------------------------------------------------------------

    def served(self, model: keras.Model) -> keras.Model:
        """What an exported file answers: by default what the model does."""
        return model

    def raw(self, model: keras.Model) -> keras.Model:
        """What an exported file answers if whoever runs it is to choose among what was found.

        Raises:
            ArgumentError: the network chooses nothing.
        """
        raise ArgumentError(
            "--raw is for networks that choose among what they find, such as boxes. Received: one "
            f"for {self.name}, whose answer is all there is."
        )

    def comparison(self, model: keras.Model) -> Comparison | None:
        """How an exported file is compared with the model; None: number by number.

        Args:
            model: what is exported: `served`, `raw`, or the model itself.
        """
        return None


def find(name: str) -> Task:
    """The task of a name.

    Raises:
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    return registry.load(registry.TASKS, name, Task)
