"""From a name and a data source to a run directory, and on from where a run stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.text import Text

from kerascnn import registry
from kerascnn.architecture import Architecture, Preprocessing
from kerascnn.data import Dataset, Split
from kerascnn.errors import ArgumentError, DataError, RunError, StrategyError, TrainingError
from kerascnn.training import checkpoints, strategies
from kerascnn.training.augmentation import augment
from kerascnn.training.board import TensorBoardLogs
from kerascnn.training.config import (
    default_path,
    git_state,
    plain,
    recipe_from,
    tupled,
    versions,
)
from kerascnn.training.engine import Engine, Totals, filled
from kerascnn.training.files import replacing, write_json, write_text
from kerascnn.training.inference import load_for, preprocess_with, readable_errors, scores_of
from kerascnn.training.optimizers import make_loss, make_optimizer
from kerascnn.training.pictures import curves
from kerascnn.training.progress import Progress
from kerascnn.training.recipes import Recipe
from kerascnn.training.run import Run, write_history

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "float64")
# How long Python leaves the device alone: short enough for a live display, long enough to be free.
SECONDS_A_CALL = 0.25
SAMPLES = 24  # images in TensorBoard's grid of predictions
CONFUSED = 5_000  # images in the confusion matrix while training, at most


def train(
    network: str | Architecture | keras.Model,
    data: str | Dataset,
    *,
    arguments: Mapping[str, Any] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    recipe: Recipe | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    strategy: str = "auto",
    precision: str = "float32",
    jit: bool | None = None,
    seed: int = 0,
    run: str | Path | None = None,
    overwrite: bool = False,
    skip_corrupt: bool = False,
    record: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    console: Console | None = None,
) -> Run:
    """Train a network and leave a run directory.

    Args:
        network: an architecture's name, an Architecture, or a functional keras.Model with one
            output of class scores (or several, the main one first).
        data: a source such as "mnist5k" or "folder:PATH" (see `kerascnn.data.load`), or a Dataset.
        arguments: the architecture's own arguments, such as `{"widths": (12, 32)}`.
        input_shape: `(height, width, channels)`; default: the architecture's native one. Images
            of another shape are padded, resized or converted, with a note.
        recipe: how to train; default: the architecture's.
        epochs, batch_size, learning_rate: replace the recipe's.
        strategy: "auto", "none", "mirrored" or "mirrored:N".
        precision: "float32", "mixed_bfloat16", "mixed_float16" or "float64".
        jit: compile the step with XLA; default: on a single GPU only, as it is slower on CPUs.
        seed: of the weights, the order of the data, dropout and augmentation.
        run: the run directory; default: `runs/NAME-DATA-TIME`.
        overwrite: whether an earlier run in that directory may be deleted.
        skip_corrupt: leave unreadable images out instead of stopping.
        record: also write checkpoints, curves and TensorBoard logs. One of many trials of a
            search can do without; if it stops, it can't be resumed.
        callbacks: further Keras callbacks; their batch methods are called every few steps.
        console: where messages and progress go; default: standard output. `Console(quiet=True)`
            is silent.

    Returns:
        The finished run.

    Raises:
        ArgumentError, DataError, StrategyError, RunError: see their messages.
        TrainingError: the loss is not finite.
        KeyboardInterrupt: after the model has been saved, if the user interrupts.
    """
    architecture = registry.get(network) if isinstance(network, str) else network
    values = dict(arguments or {})
    if isinstance(architecture, Architecture):
        name, model_json = architecture.name, None
        architecture.space.validate(values, owner=name)
        shape: Any = tuple(input_shape or architecture.card.input_shape)
        preprocessing = architecture.card.preprocessing
        recipe = recipe or architecture.recipe or Recipe()
    else:
        if values or input_shape:
            raise ArgumentError(
                "arguments and input_shape belong to an architecture; the keras.Model you pass "
                "is built already."
            )
        shape = _image_shape(architecture)
        name, model_json = architecture.name, architecture.to_json()
        preprocessing = Preprocessing()
        recipe = recipe or Recipe()
    recipe = dataclasses.replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        batch_size=recipe.batch_size if batch_size is None else batch_size,
        learning_rate=recipe.learning_rate if learning_rate is None else learning_rate,
    )
    _check_settings(recipe, precision)
    if isinstance(architecture, Architecture):
        architecture.cost(shape, **values)  # refuses an input that is too small
    if not isinstance(data, (str, Dataset)):
        raise ArgumentError(
            'data must be a source such as "mnist5k" or "npz:PATH", or a Dataset, as '
            f"kerascnn.data.load returns it. Received: {type(data).__name__}."
        )
    source = data if isinstance(data, str) else data.name
    path = Path(run) if run else default_path(name, source)
    console = console or Console()
    _refuse_directory(path, overwrite)  # before minutes are spent on reading data
    # Before the data pipeline starts TensorFlow's devices.
    _refuse_combinations(strategies.resolve(strategy), precision, jit)
    dataset = load_for(data, shape, seed, skip_corrupt, sayer(console))
    if isinstance(architecture, keras.Model):
        _check_scores(architecture, dataset.classes)
    config = {
        "kerascnn_run": 1,
        "name": name,
        "architecture": None if model_json else {"name": name, "arguments": values},
        "input_shape": list(dataset.image_shape),
        "classes": dataset.classes,
        "class_names": list(dataset.class_names),
        "preprocessing": plain(preprocessing),
        "data": {
            "source": source,
            "fingerprint": dataset.fingerprint,
            "skip_corrupt": skip_corrupt,
            "sizes": {k: getattr(dataset, k).size for k in ("train", "validation", "test")},
        },
        "recipe": plain(recipe),
        "strategy": strategy,
        "precision": precision,
        "jit": jit,
        "seed": seed,
        "versions": versions(),
        "git": git_state(),
        "command": sys.argv,
        "created": datetime.now().isoformat(timespec="seconds"),
    }
    _prepare_directory(path, overwrite)
    if model_json:
        write_text(path / "model.json", model_json)
    write_json(path / "config.json", config)
    return _execute(
        Run(path),
        network=architecture,
        dataset=dataset,
        callbacks=callbacks,
        console=console,
        record=record,
    )


def repeat(
    path: str | Path,
    *,
    run: str | Path | None = None,
    overwrite: bool = False,
    console: Console | None = None,
) -> Run:
    """Train again, from the beginning, what the config.json of a run or of a trial describes.

    Args:
        path: a run directory, or its config.json.
        run: the new run directory; default: `runs/NAME-DATA-TIME`.
        overwrite: whether an earlier run in that directory may be deleted.
        console: where messages and progress go.

    Raises:
        RunError: there is no config.json, it describes a keras.Model, or the data has changed.
    """
    path = Path(path)
    config = Run.open(path.parent if path.name == "config.json" else path).config
    if config["architecture"] is None:
        raise RunError(f"{path} trained a keras.Model of its own; pass it to kerascnn.train again.")
    console = console or Console()
    strategies.resolve(config["strategy"])
    stored, shape = config["data"], tuple(config["input_shape"])
    dataset = load_for(
        stored["source"], shape, config["seed"], stored["skip_corrupt"], sayer(console)
    )
    if dataset.fingerprint != stored["fingerprint"]:
        raise RunError(
            f"The data {stored['source']} has changed since {path} was written, so the same "
            "result can't be expected. Train with `kerascnn train NAME --data ...` instead."
        )
    return train(
        config["architecture"]["name"],
        dataset,
        arguments=tupled(config["architecture"]["arguments"]),
        input_shape=shape,
        recipe=recipe_from(config["recipe"]),
        strategy=config["strategy"],
        precision=config["precision"],
        jit=config["jit"],
        seed=config["seed"],
        run=run,
        overwrite=overwrite,
        skip_corrupt=stored["skip_corrupt"],
        console=console,
    )


def resume(
    path: str | Path,
    *,
    data: Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    console: Console | None = None,
) -> Run:
    """Go on with a run from its last completed epoch, bit for bit as if it had not stopped.

    Args:
        path: the run directory.
        data: the Dataset, if the run was started with one that no source names.
        callbacks: further Keras callbacks.
        console: where messages and progress go.

    Raises:
        RunError: no run directory, the data has changed since, or the run is finished.
    """
    run = Run.open(path)
    config = run.config
    console = console or Console()
    if run.finished:
        raise RunError(
            f"The run {run.path} is finished after {config['recipe']['epochs']} epochs. "
            "Start a new one with `kerascnn train`."
        )
    strategies.resolve(config["strategy"])
    stored = config["data"]
    dataset = load_for(
        data or stored["source"],
        tuple(config["input_shape"]),
        config["seed"],
        stored["skip_corrupt"],
        sayer(console),
    )
    if dataset.fingerprint != stored["fingerprint"]:
        raise RunError(
            f"The data {stored['source']} has changed since the run {run.path} was started, so it "
            "can't go on as if it had not stopped. Start a new run."
        )
    network: Any
    if config["architecture"] is None:
        network = keras.models.model_from_json((run.path / "model.json").read_text("utf-8"))
    else:
        network = registry.get(config["architecture"]["name"])
    return _execute(run, network=network, dataset=dataset, callbacks=callbacks, console=console)


def _execute(
    run: Run,
    *,
    network: Architecture | keras.Model,
    dataset: Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
    console: Console,
    record: bool = True,
) -> Run:
    """Train as the run's config says, from its last checkpoint if it has one."""
    config = run.config
    recipe = recipe_from(config["recipe"])
    say, strategy = sayer(console), strategies.resolve(config["strategy"])
    _refuse_combinations(strategy, config["precision"], config["jit"])
    batch_size = _global_batch(recipe.batch_size, dataset.train.size, strategy, say)
    steps = dataset.train.size // batch_size
    if left := dataset.train.size % batch_size:
        say(
            f"Each epoch trains on {steps * batch_size:,} of {dataset.train.size:,} images: the "
            f"last {left} of its order don't fill a batch of {batch_size}."
        )
    keras.utils.set_random_seed(config["seed"])
    with _precision(config["precision"]), strategy.scope():
        model = _build(network, config, strategy)
        scores, is_logits = scores_of(model)
        optimizer = make_optimizer(recipe, steps, scores, config["precision"])
        loss = make_loss(recipe, dataset.classes, from_logits=is_logits)
        scores.compile(optimizer=optimizer)
    strategies.make_replicas_agree(scores, strategy)
    say(
        f"{config['name']}, {_trainable(model):,} parameters: {recipe.epochs} epochs of "
        f"{steps} × {batch_size} images, {strategies.describe(strategy)}. Run: {run.path}"
    )
    with _precision(config["precision"]):
        trainer = _Trainer(
            run=run,
            config=config,
            recipe=recipe,
            dataset=dataset,
            model=model,
            scores=scores,
            optimizer=optimizer,
            strategy=strategy,
            batch_size=batch_size,
            steps=steps,
            engine=Engine(
                scores,
                strategy=strategy,
                loss=loss,
                loss_weights=(1.0, *[recipe.auxiliary_weight] * (len(scores.outputs) - 1)),
                optimizer=optimizer,
                clip_norm=recipe.clip_norm,
                jit=_use_jit(config["jit"], strategy),
            ),
            is_logits=is_logits,
            console=console,
            record=record,
        )
        trainer.fit(callbacks)
    return run


@dataclasses.dataclass
class _Trainer:
    """One training in progress."""

    run: Run
    config: dict[str, Any]
    recipe: Recipe
    dataset: Dataset
    model: keras.Model
    scores: keras.Model
    optimizer: keras.optimizers.Optimizer
    strategy: tf.distribute.Strategy
    batch_size: int
    steps: int
    engine: Engine
    is_logits: bool
    console: Console
    record: bool

    def fit(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Train to the last epoch, evaluate on the test split, save."""
        directory = self.run.path / "checkpoints"
        first = checkpoints.restore(directory, self.scores, self.optimizer)
        if first:
            sayer(self.console)(f"Going on after epoch {first} of {self.recipe.epochs}.")
        elif self.record:
            checkpoints.save(directory, 0, self.scores, self.optimizer)
        rows = self.run.history[:first]
        progress, chain = self._callbacks(callbacks, first)
        chain.on_train_begin()
        try:
            with readable_errors():
                self._epochs(first, rows, chain)
                metrics = self._finish(rows)
        except KeyboardInterrupt:
            done = len(rows)
            self._save({"interrupted": True, "epochs": done})
            sayer(self.console)(
                f"Interrupted after {done} complete epochs. The model as it is was saved in "
                f"{self.run.path}. Go on with `kerascnn train --resume {self.run.path}`."
            )
            raise
        finally:
            progress.close()
        chain.on_train_end({k: v for k, v in metrics.items() if isinstance(v, float)})

    def _epochs(
        self, first: int, rows: list[dict[str, float]], chain: keras.callbacks.CallbackList
    ) -> None:
        batches = iter(self.engine.distribute(self._training_batches(first)))
        validation = self._repeated(self.dataset.validation)
        for epoch in range(first, self.recipe.epochs):
            chain.on_epoch_begin(epoch)
            started = time.perf_counter()
            totals = self._one_epoch(epoch, batches, chain)
            seconds = time.perf_counter() - started
            row = {
                "epoch": epoch + 1,
                "loss": totals.mean_loss,
                "error": totals.error,
                "learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
                "images_per_second": totals.images / seconds,
                "seconds": seconds,
            }
            if validation is not None:
                chain.on_test_begin()
                found = self.engine.evaluate(*validation)
                row |= {"val_loss": found.mean_loss, "val_error": found.error}
                chain.on_test_end()
            rows.append(row)
            # The history first: a crash in between leaves a line too many, which resuming drops.
            write_history(self.run.path / "history.csv", rows)
            if self.record:
                directory = self.run.path / "checkpoints"
                checkpoints.save(directory, epoch + 1, self.scores, self.optimizer)
            chain.on_epoch_end(epoch, {k: v for k, v in row.items() if k != "epoch"})
            if self.scores.stop_training:
                break

    def _one_epoch(
        self, epoch: int, batches: Iterator[Any], chain: keras.callbacks.CallbackList
    ) -> Totals:
        """All steps of an epoch, in calls of about `SECONDS_A_CALL`."""
        totals, done, count = Totals(), 0, 1
        while done < self.steps:
            chain.on_train_batch_begin(done)
            started = time.perf_counter()
            new = self.engine.train(batches, min(count, self.steps - done))
            if new.bad_step >= 0:
                self._stop_for_bad_loss(epoch, done + new.bad_step)
            totals += new
            done += min(count, self.steps - done)
            each = (time.perf_counter() - started) / count
            count = max(1, min(4 * count, int(SECONDS_A_CALL / each)))
            chain.on_train_batch_end(done - 1, {"loss": totals.mean_loss, "error": totals.error})
            if self.scores.stop_training:
                break
        return totals

    def _stop_for_bad_loss(self, epoch: int, step: int) -> None:
        rate = float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))
        raise TrainingError(
            f"The loss is not a number at step {step + 1} of epoch {epoch + 1}, with a learning "
            f"rate of {rate:.3g}. Try a tenth of the recipe's (--learning-rate "
            f"{self.recipe.learning_rate / 10:.3g}), a limit on the gradient (--clip-norm 1), or a "
            f"longer warm-up. The state before this epoch is in {self.run.path / 'checkpoints'}."
        )

    def _training_batches(self, first: int) -> tf.data.Dataset:
        seed, augmentation = self.config["seed"], self.recipe.augmentation
        prepare = preprocess_with(self.config["preprocessing"])

        def ready(images: Any, labels: Any, index: Any, epoch: Any) -> tuple[Any, Any]:
            changed = augment(images, index, epoch, seed=seed, augmentation=augmentation)
            return prepare(changed), labels

        return self.dataset.train.batches(
            self.batch_size,
            seed=seed,
            first_epoch=first,
            epochs=self.recipe.epochs,
            drop_remainder=True,
            with_index=True,
        ).map(ready, num_parallel_calls=tf.data.AUTOTUNE)

    def _repeated(self, split: Split) -> tuple[Iterator[Any], int] | None:
        """An endless iterator over a split, and the steps of one pass; None if it is empty.

        A new iterator for each epoch would cost half a second under a strategy.
        """
        if not split.size:
            return None
        batch = _evaluation_batch(self.batch_size)
        prepare = preprocess_with(self.config["preprocessing"])
        batches = filled(split.batches(batch, epochs=None).map(lambda x, y: (prepare(x), y)), batch)
        return iter(self.engine.distribute(batches)), math.ceil(split.size / batch)

    def _finish(self, rows: list[dict[str, float]]) -> dict[str, Any]:
        metrics: dict[str, Any] = {
            "epochs": len(rows),
            "train_seconds": sum(row["seconds"] for row in rows),
            "trainable_params": _trainable(self.model),
        }
        if rows:
            metrics |= {k: v for k, v in rows[-1].items() if "loss" in k or "error" in k}
        test = self._repeated(self.dataset.test)
        if test is not None:
            found = self.engine.evaluate(*test)
            metrics |= {"test_loss": found.mean_loss, "test_error": found.error}
        self._save(metrics)
        if rows and self.record:
            with replacing(self.run.path / "curves.png") as temporary:
                curves(rows, temporary)
        return metrics

    def _save(self, metrics: dict[str, Any]) -> None:
        strategies.as_single_device(self.scores)
        with replacing(self.run.path / "model.keras") as temporary:
            self.model.save(temporary)
        write_json(self.run.path / "metrics.json", metrics)

    def _callbacks(
        self, extra: Sequence[keras.callbacks.Callback], first: int
    ) -> tuple[Progress, keras.callbacks.CallbackList]:
        progress = Progress(
            epochs=self.recipe.epochs,
            steps=self.steps,
            batch_size=self.batch_size,
            console=self.console,
            first_epoch=first,
        )
        logs = [self._tensorboard(first)] if self.record else []
        return progress, keras.callbacks.CallbackList([progress, *logs, *extra], model=self.scores)

    def _tensorboard(self, first: int) -> TensorBoardLogs:
        held = self.dataset.validation if self.dataset.validation.size else self.dataset.train
        chosen = np.linspace(0, held.size - 1, min(SAMPLES, held.size)).astype(int)
        examples = [held.example(int(index)) for index in chosen]
        images = np.stack([image for image, _ in examples])
        arguments = (self.config["architecture"] or {}).get("arguments", {})
        return TensorBoardLogs(
            directory=self.run.path / "tensorboard",
            class_names=self.dataset.class_names,
            images=images,
            inputs=preprocess_with(self.config["preprocessing"])(images).numpy(),
            labels=np.array([label for _, label in examples]),
            hparams={
                "network": self.config["name"],
                "seed": self.config["seed"],
                "recipe": self.config["recipe"],
                **arguments,
            },
            epochs=self.recipe.epochs,
            first_epoch=first,
            evaluate_arrays=lambda: self._labels_and_predictions(held),
            logits=self.is_logits,
        )

    def _labels_and_predictions(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """Of all images of a split, or of the first `CONFUSED` in a fixed random order."""
        prepare = preprocess_with(self.config["preprocessing"])
        batch = _evaluation_batch(self.batch_size)
        labels, predicted = [], []
        for images, truth in split.batches(batch, seed=0).take(-(-CONFUSED // batch)):
            labels.append(truth.numpy())
            predicted.append(self.engine.logits(prepare(images)).argmax(-1))
        return np.concatenate(labels), np.concatenate(predicted)


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    before, floatx = keras.config.dtype_policy(), keras.config.floatx()
    try:
        if name == "float64":
            keras.config.set_floatx("float64")
        keras.config.set_dtype_policy(name)
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(before)


def _build(
    network: Architecture | keras.Model, config: dict[str, Any], strategy: tf.distribute.Strategy
) -> keras.Model:
    if isinstance(network, keras.Model):
        return strategies.under(network, strategy)
    values = tupled(config["architecture"]["arguments"])
    return network(input_shape=tuple(config["input_shape"]), classes=config["classes"], **values)


def sayer(console: Console) -> Callable[[str], None]:
    """Prints lines as they are: a path may look like Rich's markup, or like an emoji's `:ok:`."""
    return lambda line: console.print(Text(line), soft_wrap=True)


def _trainable(model: keras.Model) -> int:
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def _image_shape(model: object) -> tuple[int, int, int]:
    """Of the one input of a user's model.

    Raises:
        ArgumentError: it is no model, not built yet, or takes something else than images.
    """
    shape = getattr(model, "input_shape", None) if getattr(model, "built", False) else None
    if not isinstance(model, keras.Model) or not isinstance(shape, tuple) or len(shape) != 4:
        raise ArgumentError(
            "network must be an architecture's name, an Architecture, or a built keras.Model that "
            "takes images [batch, height, width, channels]. Received: "
            f"{type(model).__name__}{f' with input {shape}' if shape else ''}."
        )
    return shape[1:]


def _check_scores(model: keras.Model, classes: int) -> None:
    if model.outputs[0].shape[-1] != classes:
        raise ArgumentError(
            f"The data has {classes} classes. Received a model whose output is "
            f"{model.outputs[0].shape}."
        )
    scores_of(model)  # refuses what are neither logits nor probabilities


def _check_settings(recipe: Recipe, precision: str) -> None:
    if precision not in PRECISIONS:
        raise ArgumentError(
            f"precision must be one of {', '.join(PRECISIONS)}. Received: {precision!r}."
        )
    for name in ("epochs", "batch_size", "learning_rate"):
        if getattr(recipe, name) <= 0:
            raise ArgumentError(f"{name} must be positive. Received: {getattr(recipe, name)!r}.")


def _global_batch(
    wanted: int, images: int, strategy: tf.distribute.Strategy, say: Callable[[str], None]
) -> int:
    """The largest batch up to `wanted` that all replicas share equally."""
    replicas = strategy.num_replicas_in_sync
    batch = min(wanted, images) // replicas * replicas
    if not batch:
        raise DataError(
            f"{images} training images can't be shared between {replicas} replicas. "
            "Use --strategy none."
        )
    if batch != wanted:
        why = f"{images} training images" if images < wanted else f"{replicas} replicas"
        say(f"The global batch is {batch} instead of {wanted}, because of {why}.")
    return batch


def _evaluation_batch(training_batch: int) -> int:
    """Without gradients there is room for twice as many images."""
    return 2 * training_batch


def _refuse_combinations(
    strategy: tf.distribute.Strategy, precision: str, jit: bool | None
) -> None:
    if jit and isinstance(strategy, tf.distribute.MirroredStrategy):
        raise StrategyError(
            "XLA (jit) can't be combined with MirroredStrategy: the compiled step would need "
            "variables of another device. Use jit with --strategy none."
        )
    if precision == "mixed_float16" and strategy.num_replicas_in_sync > 1:
        raise StrategyError(
            "precision mixed_float16 can't be combined with several replicas: the check for "
            "overflow sees the first replica only, and one overflow on another destroys the "
            "weights. Use mixed_bfloat16."
        )


def _use_jit(wanted: bool | None, strategy: tf.distribute.Strategy) -> bool:
    if wanted is None:
        distributed = isinstance(strategy, tf.distribute.MirroredStrategy)
        return bool(tf.config.list_physical_devices("GPU")) and not distributed
    return wanted


def _refuse_directory(path: Path, overwrite: bool) -> None:
    """Refuse what is no directory, or holds an earlier run or anything else.

    Raises:
        RunError: the message says what can be done.
    """
    if path.is_dir() and any(path.iterdir()):
        if not (path / "config.json").is_file():
            raise RunError(f"{path} is not empty and no run directory. Choose another with --run.")
        if not overwrite:
            raise RunError(
                f"{path} holds an earlier run. Choose another directory with --run, go on with "
                f"`kerascnn train --resume {path}`, or pass --overwrite."
            )
    elif path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; --run needs a directory.")


def _prepare_directory(path: Path, overwrite: bool) -> None:
    """Make an empty directory; delete an earlier run only when told to.

    Raises:
        RunError: see `_refuse_directory`.
    """
    _refuse_directory(path, overwrite)
    if path.is_dir() and any(path.iterdir()):
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
