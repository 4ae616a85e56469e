"""A run: the directory that training leaves behind, and what can be done with it.

config.json     everything needed to do it again
model.keras     the trained model, with its classifier activation
metrics.json    final figures
images.npy      which images were on which side: see kerascnn.runs.sides
history.csv     one line for each epoch
curves.png      the same as a picture
train/          TensorBoard's logs of the training images, and
validation/     of the others; so called because it calls logs by their folders
explain/        pictures of what the last layers have learned, if that was asked for
checkpoints/    the last two epochs, or the place within one where it was ended, to resume from
epochs/         models with the weights of the epochs that were to be kept
.training       locked while a process trains here
"""

from __future__ import annotations

import functools
import html
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn import catalogue, tables
from kerascnn.architecture import Architecture
from kerascnn.errors import ArgumentError, KerascnnError, RunError
from kerascnn.recipes.recipe import ASKED_PRECISIONS, check_precision
from kerascnn.runs import epochs
from kerascnn.runs.config import RunConfig
from kerascnn.runs.models import load_model
from kerascnn.runs.results import read_history, read_metrics
from kerascnn.tasks.measure import Measure, logged
from kerascnn.tasks.task import Task, find
from kerascnn.words import listed

if TYPE_CHECKING:
    import keras
    import numpy as np

    from kerascnn.data import Dataset
    from kerascnn.network import Network
    from kerascnn.precision import Chosen
    from kerascnn.recipes.recipe import Protocol


LARGEST_PICTURE = 2**21  # bytes of curves.png that a notebook shows


@dataclass(frozen=True, init=False)
class Run:
    """A run directory.

    Attributes:
        path: the directory.
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path))

    def _repr_html_(self) -> str:
        """The figures and the curves as notebooks show them."""
        title = f"<b>{html.escape(str(self.path))}</b>"
        try:
            config, finished = self.config, self.finished
            metrics = self.metrics if finished else (self.history or [{}])[-1]
            rows = [("network", config.name), ("data", config.data.source)]
            if before := config.predecessor:
                rows.append(("after", f"{before.run}: {before.epochs} epochs on {before.data}"))
        except KerascnnError as error:
            return f"{title}: {html.escape(str(error))}"
        for name, value in metrics.items():
            rows.append((name.replace("_", " "), figure(value, logged(name, self.measures))))
        state = "" if finished else ": training has not come to its end"
        return title + state + tables.html(("", ""), rows) + self._curves()

    def _curves(self) -> str:
        path = self.path / "curves.png"
        if not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
            return ""
        return tables.picture(path.read_bytes(), "curves")

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in a directory.

        Raises:
            RunError: it isn't a run directory.
        """
        run = cls(Path(path))
        if not run.path.is_dir():
            raise RunError(f"There is no run directory {run.path}.")
        if not (run.path / "config.json").is_file():
            raise RunError(f"{run.path} is no run directory: it has no config.json.")
        return run

    @classmethod
    def made(cls, path: Path, config: RunConfig) -> Run:
        """The run that is being made with this config, which need not be read again."""
        run = cls(path)
        run.__dict__["config"] = config
        return run

    @functools.cached_property
    def config(self) -> RunConfig:
        """What was trained on what, and how: `run.config.recipe.epochs`. It is read once.

        Raises:
            RunError: it is damaged.
        """
        return RunConfig.read(self.path)

    @property
    def metrics(self) -> dict[str, Any]:
        """The final figures; a classifier's `test_error` is a share in [0, 1].

        Raises:
            RunError: they are damaged, or training has not come to its end.
        """
        return read_metrics(self.path, self.measures)

    @property
    def history(self) -> list[dict[str, float]]:
        """One row for each epoch.

        Raises:
            RunError: the file is damaged.
        """
        return read_history(self.path / "history.csv", self.measures)

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        return (self.path / "metrics.json").is_file() and not self.metrics.get("interrupted")

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """The epochs whose weights the run has kept so far: see `keep_epochs` of `kerascnn.train`.

        0 means the weights before training.
        """
        return epochs.kept(self.path)

    def model(
        self,
        epoch: int | None = None,
        *,
        precision: str | None = None,
        echo: Callable[[str], None] | None = print,
    ) -> keras.Model:
        """The trained model, or what it was after an epoch.

        Args:
            epoch: one of `kept_epochs`; None: the trained model.
            precision: what it computes in, one of `kerascnn.PRECISIONS`, or "auto": bfloat16 where
                that is quick on this machine, and near enough; see `kerascnn.with_precision`. None:
                as it was trained.
            echo: is called with what "auto" is, and where this machine has no instructions for the
                precision; None: silent.

        Raises:
            ArgumentError: there is no such precision.
            RunError: training has not come to its end, the epoch was not kept, or the file is
                damaged, or takes other images or knows other classes than config.json says.
        """
        if precision is not None:
            check_precision(precision, ASKED_PRECISIONS)
        path = self.path / "model.keras" if epoch is None else self._kept(epoch)
        self.architecture()  # its module registers its layers
        model = load_model(path, self.path)
        shape, classes = self.config.input_shape, self.config.classes
        given = [tuple(one.shape[1:]) for one in model.inputs]
        try:
            if given != [shape]:
                raise ArgumentError(f"expected a model of {shape}. Received: one of {given}.")
            self.task.check_model(model, classes)
        except ArgumentError as error:
            raise RunError(f"{path} doesn't fit {self.path / 'config.json'}: {error}") from None
        if precision is None:
            return model
        return self._in_precision(model, precision, echo or (lambda line: None)).model

    def _in_precision(
        self, model: keras.Model, precision: str, say: Callable[[str], None]
    ) -> Chosen:
        """The run's model in another precision; what should be known of it is said."""
        from kerascnn.precision import chosen

        found = chosen(
            model,
            precision,
            network=self.network(),
            size=self.config.input_shape[:2],
            comparison=self.task.comparison(model),
        )
        if found.why:
            say(found.why)
        return found

    @property
    def task(self) -> Task:
        """What was trained for.

        Raises:
            RunError: no installed package offers it.
        """
        try:
            return find(self.config.task)
        except KerascnnError as error:
            raise RunError(f"{self.path / 'config.json'}: {error}") from error

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The task's, the main one first; none where it isn't known, isn't installed or is broken.

        So figures can be read where nothing else can be done with the run.
        """
        try:
            return find(self.config.task).measures
        except KerascnnError:
            return ()

    def _kept(self, epoch: int) -> Path:
        """The file of an epoch that was kept.

        Raises:
            RunError: it was not.
        """
        if epoch in (kept := self.kept_epochs):
            return epochs.file_of(self.path, epoch)
        has = f"It has epochs {listed(map(str, kept))}." if kept else "It has kept none."
        raise RunError(
            f"The run {self.path} has not kept the weights of epoch {epoch}. {has} Train with "
            f"`--keep-epochs {epoch}` to keep them."
        )

    def architecture(self) -> Architecture | None:
        """The registered architecture that was trained; None: a keras.Model of the user's own.

        Raises:
            RunError: no installed package offers it.
        """
        stored = self.config.architecture
        try:
            return catalogue.get(stored.name) if stored else None
        except KerascnnError as error:
            raise RunError(f"{self.path / 'config.json'}: {error}") from error

    def network(self) -> Network | None:
        """The network with the arguments that was trained; None: a keras.Model of the user's own.

        Raises:
            RunError: no installed package offers it.
            ArgumentError: its architecture doesn't take what config.json says.
        """
        config, architecture = self.config, self.architecture()
        if architecture is None or config.architecture is None:
            return None
        return architecture.network(
            config.architecture.arguments, input_shape=config.input_shape, classes=config.classes
        )

    def evaluate(
        self,
        data: str | Dataset | None = None,
        *,
        split: str | None = None,
        batch_size: int | None = None,
        echo: Callable[[str], None] | None = print,
        protocol: Protocol | None = None,
        top: int | None = None,
        size: str | None = None,
        precision: str | None = None,
    ) -> dict[str, Any]:
        """Loss, errors and each class's figures, every image counted once.

        Args:
            data: a source or a Dataset; default: the data the run was trained on. Its classes are
                the run's where their names are the same, in whatever order; it may lack some.
            split: "train", "validation", "test" or "all". Of the run's own data that are the images
                which were on this side when it was trained, as far as they are still there; what
                has changed is said. Default: "test", without test images "validation" or "train";
                of another source its own test split, or all of a source without a split.
            batch_size: images in one step; has no effect on the result. None: as many as the task
                likes.
            echo: is called with each note: on how another source's images are changed to fit (of
                the run's own data, training has said it), on what has changed, on images that the
                run was trained on, and on classes without an image. None: silent.
            protocol: the views of each image whose predictions are averaged; default: the
                middle, as in training.
            top: report how often an image's class is not among so many likeliest; default: 5
                where there are more classes.
            size: of networks that take any: "own", images as they are stored, or "trained" (the
                default), as training has seen them.
            precision: what the network computes in, see `model`. The answers are compared with
                those in float32.

        Returns:
            A dictionary that JSON can hold. The first three points are the same for all tasks; the
            others are a classifier's, in place of which other tasks have their own measures:

            - "data", "split", "images", "protocol": what was evaluated, and how;
            - "trained_on": how many of the images the run was trained on, as far as they have the
              same name and size, or the same pixels; None: the run is too old to know;
            - with `precision`: "precision", what the network computed in; "in_float32", loss and
              measures in float32; and "agreement", the share of images whose likeliest class is the
              same in both, in [0, 1], or None where answers aren't classes;
            - "loss": the training's, averaged over the images; under a protocol of several views,
              cross-entropy;
            - "cross_entropy": without label smoothing, in nats;
            - "error": share of images with a wrong top-1 prediction, in [0, 1], and
              "top5_error", or with another number;
            - "classes": of each class, in the run's order, "name", "support" (its images),
              "predicted" (images taken for it), "precision", "recall" and "f1" in [0, 1]; None
              where one isn't defined: see `kerascnn.tasks.classification.measures.per_class`;
            - "confusion": how many images of each class (rows) were taken for each (columns);
              None with more than 1,000 classes.

        Raises:
            DataError: the data can't be read, has no image of the split, or has images of classes
                that the run doesn't know.
            RunError: training has not come to its end, or the model answers with no numbers.
            ArgumentError: `top` is not below the number of classes, the protocol doesn't fit, or
                there is no such precision.
        """
        from kerascnn.runs.choosing import choose
        from kerascnn.runs.evaluation import evaluate, figures

        config, say = self.config, echo or (lambda line: None)
        asked = {"protocol": protocol, "top": top, "size": size}
        options = {name: value for name, value in asked.items() if value is not None}
        self.task.check_asked("evaluate", options, config.classes)
        if precision is not None:
            check_precision(precision, ASKED_PRECISIONS)
        chosen = choose(self.path, config, data, split, say, target=self.task.targets.kind)
        model = self.model()
        evaluated = functools.partial(
            evaluate,
            self.task,
            config=config,
            chosen=chosen,
            options=options,
            batch_size=batch_size or self.task.batch,
        )
        if precision is None:
            return evaluated(model, say=say)
        from kerascnn.precision import with_precision

        found = self._in_precision(model, precision, say)
        exact = with_precision(model, "float32", network=self.network())
        return {
            **evaluated(found.model, say=say),
            "precision": found.precision,
            "in_float32": figures(self.task, evaluated(exact, say=lambda line: None)),
            "agreement": self.task.agreement(found.model, exact, config, chosen.images),
        }

    def batches(
        self,
        split: str = "train",
        *,
        batch_size: int | None = None,
        echo: Callable[[str], None] | None = print,
    ) -> Iterator[tuple[Any, Any]]:
        """What the network sees of the images that were on a side when it was trained, in order.

        Args:
            split: "train", "validation", "test" or "all".
            batch_size: images in one step; None: as many as the task likes.
            echo: is called with what has changed; None: silent.

        Yields:
            The network's input, the middle of each image, `[batch, height, width, channels]`, and
            the targets of that, whose classes are numbered as the run's.

        Raises:
            DataError: the data can't be read, or has no such image.
        """
        from kerascnn.runs.choosing import choose
        from kerascnn.tasks.forward import middle_of_targets, preparation

        say, kind = echo or (lambda line: None), self.task.targets
        chosen = choose(self.path, self.config, None, split, say, target=kind.kind)
        prepare, cut = preparation(self.config), middle_of_targets(kind, self.config)
        for images, targets in chosen.images.batches(batch_size or self.task.batch):
            yield prepare(images), cut(images, targets)

    def derive(
        self,
        path: str | os.PathLike[str],
        model: keras.Model,
        metrics: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> Run:
        """A run of its own with another model, made of this one's: of the same images and config.

        Args:
            path: its directory.
            model: answers as this one's does.
            metrics: what was done, and what it is worth: of JSON. This run's own figures aren't
                the other model's.
            overwrite: delete an earlier run there.

        Raises:
            RunError: the directory is not empty.
            ArgumentError: the model doesn't answer for the run's classes.
        """
        import shutil

        from kerascnn.runs import sides
        from kerascnn.runs.directory import alive, prepare_directory
        from kerascnn.writing import replacing, write_json

        self.task.check_model(model, self.config.classes)
        made = Run(path)
        prepare_directory(made.path, overwrite)
        with alive(made.path):
            self.config.write(made.path)
            if sides.read(self.path) is not None:
                shutil.copyfile(self.path / sides.FILE, made.path / sides.FILE)
            with replacing(made.path / "model.keras") as temporary:
                model.save(temporary)
            write_json(made.path / "metrics.json", {"derived_from": str(self.path), **metrics})
        return made

    def predict(
        self,
        images: np.ndarray,
        *,
        batch_size: int | None = None,
        precision: str | None = None,
        echo: Callable[[str], None] | None = print,
    ) -> np.ndarray:
        """What the network answers for images `[batch, height, width, channels]`.

        A classifier's answers are class probabilities, `[batch, classes]`; what others are, their
        task says.

        Args:
            images: pixels in [0, 255] of the network's size and channels, or of the canvas that
                training cut its crops from, whose middle is taken; preprocessing is done here.
            batch_size: images in one step; None: as many as the task likes.
            precision, echo: see `model`. None, the default, is exact.
        """
        model = self.model(precision=precision, echo=echo)
        batch_size = batch_size or self.task.batch
        return self.task.predict(model, self.config, images, batch_size=batch_size)


def figure(value: Any, measure: Measure | None = None) -> str:
    """A value of metrics.json or of the history for people."""
    if measure and isinstance(value, (int, float)):
        return measure.written(value)
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
