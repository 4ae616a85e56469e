"""The callbacks of a training: what the terminal and TensorBoard show, and the user's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.console import sayer
from kerascnn.data import Split
from kerascnn.distribution import replicas, strategies
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import MEASURES, Recipe, monitored
from kerascnn.runs.config import RunConfig, plain
from kerascnn.runs.forward import preparation
from kerascnn.training.batches import evaluation_batch
from kerascnn.watching.board import Judged, TensorBoardLogs
from kerascnn.watching.profiler import Profiler
from kerascnn.watching.progress import Progress
from kerascnn.watching.statistics import Probe

if TYPE_CHECKING:
    from kerascnn.training.loop import Training

SAMPLES = 24  # images in TensorBoard's grid of predictions, and in that of the worst
PROBED = 32  # images on which the layers are measured, at most
CONFUSED = 5_000  # images in the confusion matrix while training, at most


# Keras's callbacks that can't do here what they do elsewhere, and what to use instead.
REFUSED = {
    "BackupAndRestore": "a run has checkpoints of its own, from which "
    "`kerascnn train --resume RUN` (kerascnn.resume) goes on bit for bit",
    "SwapEMAWeights": "averages are the recipe's: --ema 0.999 (Recipe(ema=0.999)), which "
    "evaluation and the saved model then use",
}
SETS_THE_RATE = ("ReduceLROnPlateau", "LearningRateScheduler")
# These write a file: on several machines only the chief has them.
WRITES = ("ModelCheckpoint", "CSVLogger", "TensorBoard")


def check(callbacks: Any, recipe: Recipe) -> list[keras.callbacks.Callback]:
    """Refuse, before anything is trained, callbacks that can't work.

    Args:
        callbacks: a sequence of them, a single one, or None, as Keras's `fit` takes them.
        recipe: what will be trained by.

    Raises:
        ArgumentError: names the callback, and what to do instead.
    """
    found = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    found = [] if callbacks is None else found
    for callback in found:
        name = type(callback).__name__
        if not isinstance(callback, keras.callbacks.Callback):
            raise ArgumentError(
                f"callbacks must be keras.callbacks.Callback objects. Received: {callback!r}."
            )
        for refused, instead in REFUSED.items():
            if _is_a(callback, refused):
                raise ArgumentError(f"The callback {name} can't be used here: {instead}.")
        if any(_is_a(callback, kind) for kind in SETS_THE_RATE) and _scheduled(recipe):
            raise ArgumentError(_two_masters(name, recipe))
    return found


def _is_a(callback: Any, name: str) -> bool:
    kind = getattr(keras.callbacks, name, None)
    return kind is not None and isinstance(callback, kind)


def _scheduled(recipe: Recipe) -> bool:
    """Whether the recipe itself sets the learning rate again and again."""
    return recipe.schedule != "constant" or recipe.warmup_epochs > 0


def _two_masters(name: str, recipe: Recipe) -> str:
    schedule = f"schedule {recipe.schedule!r}"
    if recipe.warmup_epochs:
        schedule += f" with {recipe.warmup_epochs:g} epochs of warm-up"
    return (
        f"The callback {name} sets the learning rate, which the recipe's {schedule} sets too. Let "
        'the callback do it alone with Recipe(schedule="constant", warmup_epochs=0) '
        "(--with schedule=constant), or leave it out: schedules are constant, cosine, step, "
        "exponential and plateau."
    )


class Given:
    """The user's callbacks, told one by one what happens in a training.

    Their `model` is the one that is saved, with its classifier activation. What they see of it is
    what is evaluated: at the end of an epoch the averaged weights, if there are. A weight that
    they change stays changed.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], training: Training) -> None:
        self._training = training
        self._plateau = training.recipe.schedule == "plateau"
        chief = training.workers.chief
        self.callbacks = [
            callback
            for callback in callbacks
            if chief or not any(_is_a(callback, kind) for kind in WRITES)
        ]
        training.model.stop_training = False
        steps = {"epochs": training.recipe.epochs, "steps": training.batching.updates}
        with self._in_view("set_model"):
            for callback in self.callbacks:
                _know_direction(callback)
                callback.set_params({**steps, "verbose": 0})
                callback.set_model(training.model)

    def tell(self, hook: str, *numbers: int, logs: dict[str, Any] | None = None) -> None:
        """Call a method such as `on_epoch_begin` of each.

        Args:
            hook: the method's name.
            numbers: of the epoch or the batch, where the method has one.
            logs: one for all, so that a callback sees what those before it have added.
        """
        if not self.callbacks:
            return
        logs = {} if logs is None else logs
        with self._in_view(hook):
            for callback in self.callbacks:
                self._call(callback, hook, *numbers, logs)

    def end(self, logs: Mapping[str, Any]) -> Exception | None:
        """Call `on_train_end` of each, in any case; the first error, if there was one."""
        failed: Exception | None = None
        with self._in_view("on_train_end"):
            for callback in self.callbacks:
                try:
                    self._call(callback, "on_train_end", dict(logs))
                except Exception as error:
                    failed = failed or error
        return failed

    @contextlib.contextmanager
    def _in_view(self, hook: str) -> Iterator[None]:
        """The model with its optimizer, as a compiled one; fit to be saved; with its averages."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_with_optimizer(self._training.model, self._training.optimizer))
            if strategies.distributed(self._training.strategy):
                stack.enter_context(replicas.portable(self._training.model))
            if hook in ("on_epoch_end", "on_train_end"):
                stack.enter_context(self._training.engine.shown())
            yield

    def _call(self, callback: keras.callbacks.Callback, hook: str, *arguments: Any) -> None:
        """One method of one callback.

        Raises:
            ArgumentError: it has set the learning rate under a schedule; `check` can know that of
                Keras's own callbacks only.
        """
        rate = self._training.learning_rate() if self._plateau else 0.0
        message = _two_masters(type(callback).__name__, self._training.recipe)
        try:
            getattr(callback, hook)(*arguments)
        except TypeError as error:  # Keras's, of an optimizer that has a schedule
            if "learning rate" not in str(error) or "settable" not in str(error):
                raise
            raise ArgumentError(message) from error
        if self._plateau and self._training.learning_rate() != rate:
            raise ArgumentError(message)


@contextlib.contextmanager
def _with_optimizer(model: Any, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Let a model have this optimizer for a while."""
    before = getattr(model, "optimizer", None)
    model.optimizer = optimizer
    try:
        yield
    finally:
        if before is None:
            del model.optimizer
        else:
            model.optimizer = before


def _know_direction(callback: Any) -> None:
    """Say what Keras finds out from compiled metrics: whether less of a measure is better."""
    monitor = str(getattr(callback, "monitor", None))
    if getattr(callback, "mode", None) == "auto" and monitor in MEASURES:
        metric, _ = monitored(monitor)
        callback.mode = "min" if metric == monitor else "max"


def progress(training: Training, first_epoch: int) -> Progress:
    """What the terminal shows."""
    return Progress(
        epochs=training.recipe.epochs,
        steps=training.batching.updates,
        batch_size=training.batching.images,
        console=training.console,
        first_epoch=first_epoch,
    )


def profiler(training: Training, steps: tuple[int, int]) -> Profiler:
    """A trace of some steps beside TensorBoard's logs."""
    say = sayer(training.console)
    return Profiler(training.run.path / "tensorboard", steps, training.batching.updates, say)


def close(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Let go of the terminal and of the profiler, however training has ended."""
    for callback in callbacks:
        if isinstance(callback, (Progress, Profiler)):
            callback.close()


def tensorboard(training: Training, first_epoch: int) -> TensorBoardLogs:
    """What TensorBoard shows, with some validation images as samples."""
    dataset = training.dataset
    held = dataset.validation if dataset.validation.size else dataset.train
    images, labels = _examples(held, SAMPLES)
    return TensorBoardLogs(
        directory=training.run.path / "tensorboard",
        class_names=dataset.class_names,
        images=images,
        inputs=preparation(training.config)(images).numpy(),
        labels=labels,
        name=training.run.path.as_posix(),
        hparams=_hparams(training.config),
        epochs=training.recipe.epochs,
        first_epoch=first_epoch,
        judge=lambda: _judged(training, held),
        probe=_probe(training),
        logits=training.is_logits,
    )


ABOUT = ("source", "unstated", "notes", "network")  # fields that describe a recipe


def _hparams(config: RunConfig) -> dict[str, Any]:
    """What runs are compared by; the numbers bring the first ones to the front of the table."""
    recipe = {key: value for key, value in plain(config.recipe).items() if key not in ABOUT}
    arguments = plain(config.architecture.arguments) if config.architecture else {}
    widths = [name for name in arguments if "width" in name or "growth" in name]
    return {
        "1 network": config.name,
        "2 learning rate": recipe.pop("learning_rate"),
        "3 batch size": recipe.pop("batch_size"),
        **{f"4 {name}": arguments.pop(name) for name in widths},
        **arguments,
        "data": config.data.source,
        "input_shape": plain(config.input_shape),
        "precision": config.precision,
        "recipe": recipe,
        "seed": config.seed,
    }


def _examples(split: Split, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `count` images, evenly spaced, and their labels."""
    chosen = np.linspace(0, split.size - 1, min(count, split.size)).astype(int)
    examples = [split.example(int(index)) for index in chosen]
    return np.stack([image for image, _ in examples]), np.array([label for _, label in examples])


def _probe(training: Training) -> Probe:
    """Training images as evaluation sees them: not changed at random, so that they stay the same.

    They are no more than each replica's part of a batch, which fits into its memory.
    """
    replicas = training.strategy.num_replicas_in_sync
    images, labels = _examples(
        training.dataset.train, min(PROBED, max(2, training.batching.size // replicas))
    )
    return Probe(
        training.scores,
        inputs=preparation(training.config)(images).numpy(),
        labels=labels,
        loss=training.engine.losses,
        scale=2.0**10 if training.config.precision == "mixed_float16" else 1.0,
    )


def _judged(training: Training, split: Split) -> Judged:
    """Of all images of a split, or of the first `CONFUSED` in a fixed random order."""
    prepare = preparation(training.config)
    batch = evaluation_batch(training.batching.size)
    labels, predicted = [], []
    worst: list[tuple[float, Any, Any, Any]] = []  # loss, image, label, probabilities
    with training.engine.averaged():
        for images, truth in split.batches(batch, seed=0).take(-(-CONFUSED // batch)):
            found = training.engine.logits(prepare(images)).astype("float32")
            chances = tf.nn.softmax(found).numpy() if training.is_logits else found
            labels.append(truth.numpy())
            predicted.append(chances.argmax(-1))
            losses = -np.log(np.maximum(chances[np.arange(len(found)), labels[-1]], 1e-30))
            high = np.argsort(-losses)[:SAMPLES]
            worst += [(losses[i], images[i].numpy(), labels[-1][i], chances[i]) for i in high]
            worst = sorted(worst, key=lambda one: -one[0])[:SAMPLES]
    _, pictures, truths, rows = zip(*worst)
    return Judged(
        labels=np.concatenate(labels),
        predictions=np.concatenate(predicted),
        worst_images=np.stack(pictures),
        worst_labels=np.stack(truths),
        worst_probabilities=np.stack(rows),
    )
