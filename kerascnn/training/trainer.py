"""From a name and a data source to a run directory, and on from where a run stopped."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerascnn import catalogue
from kerascnn.architecture import Architecture
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset, load_for
from kerascnn.data.augmentation import refuse_strays, with_components
from kerascnn.distribution import strategies
from kerascnn.distribution.workers import Workers
from kerascnn.errors import ArgumentError, RunError
from kerascnn.network import Network
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes import trusted
from kerascnn.recipes.recipe import MIXES, PRECISIONS, Recipe, check_precision
from kerascnn.runs import epochs as kept
from kerascnn.runs import sides
from kerascnn.runs.config import (
    VERSION,
    RunConfig,
    TrainedOn,
    check_seed,
    default_path,
    git_state,
    plain,
    versions,
)
from kerascnn.runs.directory import prepare_directory, refuse_directory
from kerascnn.runs.models import load_graph
from kerascnn.runs.run import Run
from kerascnn.tasks.task import Task
from kerascnn.tasks.task import find as find_task
from kerascnn.training import earlier
from kerascnn.training.assembly import Assembly
from kerascnn.training.callbacks import check as check_callbacks
from kerascnn.training.keeping import require_monitored
from kerascnn.training.settings import (
    batching,
    refuse_jit,
)
from kerascnn.training.sizing import Free, sized
from kerascnn.training.starting import described, expected_by, require_same
from kerascnn.training.subject import checked
from kerascnn.watching.loggers import find as find_loggers
from kerascnn.words import listed
from kerascnn.writing import write_text

__all__ = ["PRECISIONS", "repeat", "resume", "sayer", "train"]


def train(
    network: str | Architecture | Network | keras.Model | None = None,
    data: str | Dataset | None = None,
    *,
    continue_: str | Path | Run | None = None,
    from_: str | Path | Run | None = None,
    arguments: Mapping[str, Any] | None = None,
    input_shape: tuple[int, int, int] | None = None,
    recipe: Recipe | None = None,
    epochs: int | str | None = None,
    batch_size: int | str | None = None,
    learning_rate: float | None = None,
    keep: str | None = None,
    patience: int | None = None,
    weights: str | Path | None = None,
    strategy: str | None = None,
    precision: str | None = None,
    jit: bool | None = None,
    memory_efficient: bool = False,
    seed: int | None = None,
    run: str | Path | None = None,
    overwrite: bool = False,
    skip_corrupt: bool = False,
    record: bool = True,
    profile: tuple[int, int] | None = None,
    keep_epochs: Sequence[int] = (),
    explain: bool = False,
    log: Sequence[str] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
    console: Console | None = None,
) -> Run:
    """Train a network and leave a run directory.

    Args:
        network: an architecture's name, an Architecture, a Network (its classes are the data's),
            or a functional keras.Model with one output of class scores (or several, the main one
            first).
        data: a source such as "mnist5k" or "folder:PATH" (see `kerascnn.data.load`), or a Dataset.
        continue_: a finished run to go on from instead of both: its network, data, weights and
            recipe, with a schedule and an optimizer that begin anew. What is given here changes
            the recipe. `epochs="+20"` are 20 more, `epochs=50` are 50 with those that it has;
            default: as many again. Data that has no source is passed again.
        from_: a finished run to start from instead of a network, on other data: its network and
            weights. Layers whose size follows from the classes start anew if these are others.
            With both, what isn't given of strategy, precision, jit, memory_efficient, seed,
            skip_corrupt, explain and log is the run's.
        arguments: the architecture's own arguments, such as `{"widths": (12, 32)}`.
        input_shape: `(height, width, channels)`; default: the architecture's native one. Images
            of another shape are padded, resized or converted, with a note.
        recipe: how to train; default: the architecture's, or with `weights` the one that its task
            has for trained weights (of classification `finetune`).
        epochs, batch_size, learning_rate: replace the recipe's. "auto" is the recipe's where there
            are enough images; see `kerascnn.training.sizing.sized` for what it is of few. The
            learning rate, if it isn't given, follows the batch. Without a recipe both are "auto".
        keep: which epoch's weights are evaluated and saved, "last", "best" (by the validation
            error) or "best:val_loss" (see `Recipe.monitor`); default: the recipe's.
        patience: end when what epochs are compared by has not improved for so many of them;
            default: the recipe's `early_stopping`.
        weights: trained weights to start from: "imagenet", "imagenet:PUBLISHER", a file or a run
            directory; None: the recipe's or the architecture's first weights.
        strategy: "auto", "none", "mirrored", "mirrored:N" or "multiworker"; see
            `kerascnn.resolve_strategy`. On several machines every worker calls this alike and has
            its share of each batch; one of them, the chief, writes.
        precision: "float32", "mixed_bfloat16", "mixed_float16" or "float64".
        jit: compile the step with XLA; default: on a single GPU only, as it is slower on CPUs.
        memory_efficient: compute the concatenations of a DenseNet's blocks twice in training
            instead of keeping them: about half the memory, for about a tenth more time.
        seed: of the weights, the order of the data, dropout and augmentation.
        run: the run directory; default: `runs/NAME-DATA-TIME`.
        overwrite: whether an earlier run in that directory may be deleted.
        skip_corrupt: leave unreadable images out instead of stopping.
        record: also write checkpoints, curves and TensorBoard logs. One of many trials of a
            search can do without; if it stops, it can't be resumed.
        profile: first step to trace with TensorFlow's profiler and the one after the last, counted
            from 0 at the start of the run.
        keep_epochs: epochs after which the weights are kept as a model beside the run, such as
            (0, 1, 5); 0: before training. They are those that the epoch is evaluated with. See
            `Run.kept_epochs` and `Run.model`.
        explain: draw in the end what the maps of the last layers respond to, as figure 2 of Zeiler
            and Fergus (2014), into `explain/` of the run, and show it in TensorBoard. It takes up
            to about a minute.
        log: other tools that each epoch is logged to, "mlflow" or "wandb", or another package's
            entry points of `kerascnn.loggers`. They write where their own settings say, on the
            chief alone; a resumed run goes on as the same run there.
        callbacks: further Keras callbacks; their batch methods are called every few steps. Their
            `model` is the one that is saved. At the end they come before evaluation and saving,
            which see what they have left. On several machines they run on every worker, but those
            of Keras that write files on the chief alone. What they remember isn't in checkpoints.
        console: where messages and progress go; default: standard output. `Console(quiet=True)`
            is silent.

    Returns:
        The finished run.

    Raises:
        ArgumentError, DataError, StrategyError, RunError, WeightsError: see their messages.
        TrainingError: the loss is not finite.
        KeyboardInterrupt: after the state has been saved, if the user interrupts.
        Terminated: the same after SIGTERM; a SystemExit with the status 143.
        WorkerError: another worker has ended or doesn't answer.
    """
    assembly, prepare = assembled(
        network,
        data,
        continue_=continue_,
        from_=from_,
        arguments=arguments,
        input_shape=input_shape,
        recipe=recipe,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        keep=keep,
        patience=patience,
        weights=weights,
        strategy=strategy,
        precision=precision,
        jit=jit,
        memory_efficient=memory_efficient,
        seed=seed,
        run=run,
        overwrite=overwrite,
        skip_corrupt=skip_corrupt,
        record=record,
        profile=profile,
        keep_epochs=keep_epochs,
        explain=explain,
        log=log,
        callbacks=callbacks,
        console=console,
    )
    assembly.carry_out(prepare)
    return assembly.run


def assembled(
    network: str | Architecture | Network | keras.Model | None,
    data: str | Dataset | None,
    *,
    continue_: str | Path | Run | None,
    from_: str | Path | Run | None,
    arguments: Mapping[str, Any] | None,
    input_shape: tuple[int, int, int] | None,
    recipe: Recipe | None,
    epochs: int | str | None,
    batch_size: int | str | None,
    learning_rate: float | None,
    keep: str | None,
    patience: int | None,
    weights: str | Path | None,
    strategy: str | None,
    precision: str | None,
    jit: bool | None,
    memory_efficient: bool,
    seed: int | None,
    run: str | Path | None,
    overwrite: bool,
    skip_corrupt: bool,
    record: bool,
    profile: tuple[int, int] | None,
    keep_epochs: Sequence[int],
    explain: bool,
    log: Sequence[str],
    callbacks: Sequence[keras.callbacks.Callback],
    console: Console | None,
) -> tuple[Assembly, Callable[[], None]]:
    """What trains, put together and not begun; and what makes its run directory.

    Args, Raises: see `train`.
    """
    # What is cheap to check is checked before any data is read.
    if keras.backend.backend() != "tensorflow":
        raise ArgumentError(
            "kerascnn.train needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow. "
            f"Received: {keras.backend.backend()}."
        )
    console = console or Console()
    old = earlier.find(continue_, from_)
    trained = bool(weights) or old is not None
    if old is not None:
        old.refuse({"network": network, "weights": weights})
        if old.same_data:
            built = {"arguments": arguments, "input_shape": input_shape, "seed": seed}
            old.refuse({"data": data if isinstance(data, str) else None, **built})
            recipe = recipe or old.recipe()
            data = old.config.data.source if data is None else data
        found, arguments, input_shape = old.network(arguments, input_shape)
        weights, was = old.weights, old.config
        strategy, precision = strategy or was.strategy, precision or was.precision
        jit = was.jit if jit is None else jit
        memory_efficient = memory_efficient or was.memory_efficient
        seed = was.seed if seed is None else seed
        skip_corrupt, explain = skip_corrupt or was.data.skip_corrupt, explain or was.explain
        log = log or was.log
    else:
        found = catalogue.get(network) if isinstance(network, str) else network
    strategy, precision, seed = strategy or "auto", precision or "float32", seed or 0
    free = Free(
        batch=_is_free(batch_size, recipe),
        rate=learning_rate is None,
        epochs=_is_free(epochs, recipe),
    )
    epochs = earlier.count(_given(epochs), old)
    recipe = _changed(
        recipe or _own_recipe(found, trained=trained),
        epochs=epochs,
        batch_size=_given(batch_size),
        learning_rate=learning_rate,
        keep=keep,
        early_stopping=patience,
    )
    subject = checked(found, arguments, input_shape, recipe.dropout)
    check_precision(precision)
    check_seed(seed)
    task = subject.task
    recipe = dataclasses.replace(recipe, monitor=task.monitor(recipe.monitor))
    _refuse_mixing(recipe, task)
    keep_epochs = kept.checked(keep_epochs, recipe.epochs)
    callbacks = check_callbacks(callbacks, recipe)
    log = tuple(find_loggers(log))
    start = None
    if weights and isinstance(subject.network, Network):
        start = described(weights, subject.network.sources(str(weights)))
        expected = expected_by(start, subject.network)
        subject = dataclasses.replace(subject, preprocessing=expected)
    elif weights:
        start = described(weights)
    if not isinstance(data, (str, Dataset)):
        raise ArgumentError(
            'data must be a source such as "mnist5k" or "npz:PATH", or a Dataset, as '
            f"kerascnn.data.load returns it. Received: {type(data).__name__}."
        )
    source = data if isinstance(data, str) else data.name
    path = Path(run) if run else default_path(subject.name, source)
    refuse_directory(path, overwrite)
    say = sayer(console if strategies.is_chief() else Console(quiet=True))
    recipe = dataclasses.replace(recipe, loss=trusted.own(recipe, say))

    place = _place(strategy, jit, console)  # before the data pipeline starts TensorFlow's devices
    path = Path(place.workers.text_of_chief(str(path)))  # a default one has the time in it
    if old and old.same_data:
        dataset = _same_data(old.run, data if isinstance(data, Dataset) else None, place.console)
    if not (old and old.same_data) or dataset.image_shape != _canvas(data, recipe, subject.shape):
        dataset = _load(data, task, recipe, subject.shape, seed, skip_corrupt, place)
    recipe, chosen = _fitted(recipe, dataset, place, free)
    _require_images(dataset, task, recipe, source, place)
    subject = subject.of(dataset.classes)
    if old and start:
        start = old.start(start, subject.network, dataset.class_names)

    config = RunConfig(
        kerascnn_run=VERSION,
        task=task.name,
        name=subject.name,
        architecture=subject.trained,
        input_shape=subject.shape,
        classes=dataset.classes,
        class_names=dataset.class_names,
        preprocessing=subject.preprocessing,
        data=TrainedOn(
            source=source,
            image_shape=dataset.image_shape,
            fingerprint=dataset.fingerprint,
            split_rule=dataset.split_rule,
            skip_corrupt=skip_corrupt,
            sizes={name: split.size for name, split in dataset.splits.items()},
        ),
        recipe=recipe,
        chosen=chosen,
        weights=start,
        predecessor=old.predecessor() if old else None,
        strategy=strategy,
        precision=precision,
        jit=jit,
        memory_efficient=memory_efficient,
        seed=seed,
        keep_epochs=keep_epochs,
        explain=explain,
        log=log,
        versions=versions(),
        git=git_state(),
        command=tuple(sys.argv),
        created=datetime.now().isoformat(timespec="seconds"),
    )

    def prepare() -> None:
        if place.workers.chief:
            prepare_directory(path, overwrite)
            if isinstance(subject.network, keras.Model):
                write_text(path / "model.json", subject.network.to_json())
            config.write(path)
            sides.write(path, dataset)

    _require_same_settings(place.workers, config)
    assembly = Assembly(
        run=Run.made(path, config),
        config=config,
        network=subject.network,
        dataset=dataset,
        callbacks=callbacks,
        console=place.console,
        record=record,
        profile=profile,
    )
    return assembly, prepare


def repeat(
    path: str | Path,
    *,
    run: str | Path | None = None,
    overwrite: bool = False,
    loss: Callable[[], Any] | str | None = None,
    console: Console | None = None,
) -> Run:
    """Train again, from the beginning, what the config.json of a run or of a trial describes.

    Args:
        path: a run directory, or its config.json.
        run: the new run directory; default: `runs/NAME-DATA-TIME`.
        overwrite: whether an earlier run in that directory may be deleted.
        loss: see `resume`.
        console: where messages and progress go.

    Raises:
        RunError: there is no config.json, it describes a keras.Model, or the data has changed.
    """
    path = Path(path)
    old = Run.open(path.parent if path.name == "config.json" else path)
    config = old.config
    if config.architecture is None:
        raise RunError(f"{path} trained a keras.Model of its own; pass it to kerascnn.train again.")
    console = console or Console()
    name = config.architecture.name
    own = trusted.again(config.recipe.loss, loss, name, old.path)
    strategies.resolve_strategy(config.strategy)
    before = config.predecessor.run if config.predecessor else None
    weights = _same_weights(config)
    return train(
        name if before is None else None,
        _same_data(old, None, console),
        from_=before,
        arguments=config.architecture.arguments,
        input_shape=config.input_shape,
        recipe=dataclasses.replace(config.recipe, loss=own),
        weights=weights if before is None else None,
        strategy=config.strategy,
        precision=config.precision,
        jit=config.jit,
        memory_efficient=config.memory_efficient,
        seed=config.seed,
        run=run,
        overwrite=overwrite,
        skip_corrupt=config.data.skip_corrupt,
        keep_epochs=config.keep_epochs,
        explain=config.explain,
        log=config.log,
        console=console,
    )


def resume(
    path: str | Path,
    *,
    data: Dataset | None = None,
    loss: Callable[[], Any] | str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    console: Console | None = None,
    profile: tuple[int, int] | None = None,
) -> Run:
    """Go on with a run from its last checkpoint, bit for bit as if it had not stopped.

    Args:
        path: the run directory.
        data: the Dataset, if the run was started with one that no source names.
        loss: the recipe's own, if it has one that no installed package offers: a run's files may
            come from a stranger, so what they name is not imported.
        callbacks: further Keras callbacks.
        console: where messages and progress go.
        profile: see `train`.

    Raises:
        RunError: no run directory, the data has changed since, or the run is finished.
    """
    run = Run.open(path)
    config = run.config
    if run.finished:
        raise RunError(
            f"The run {run.path} is finished after {run.metrics.get('epochs')} epochs. "
            "Start a new one with `kerascnn train`."
        )
    name = config.architecture.name if config.architecture else None
    own = trusted.again(config.recipe.loss, loss, name, run.path)
    config = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, loss=own))
    callbacks = check_callbacks(callbacks, config.recipe)
    find_loggers(config.log)
    place = _place(config.strategy, config.jit, console or Console())
    _require_same_settings(place.workers, config)
    Assembly(
        run=run,
        config=config,
        network=_network_of(run),
        dataset=_same_data(run, data, place.console),
        callbacks=callbacks,
        console=place.console,
        profile=profile,
    ).carry_out()
    return run


def _network_of(run: Run) -> Network | keras.Model:
    """What a run trains.

    Raises:
        RunError, ArgumentError: it can't be built from what is installed, or is damaged.
    """
    return run.network() or load_graph(run.path)


def _require_same_settings(workers: Workers, config: RunConfig) -> None:
    """Refuse workers that were told different things, or that found other data.

    Raises:
        StrategyError: on all workers.
    """
    own = ("command", "created", "git")  # may differ
    told = {key: value for key, value in plain(config).items() if key not in own}
    workers.require_same("What is trained", json.dumps(told, sort_keys=True).encode())


def _same_data(run: Run, data: Dataset | None, console: Console) -> Dataset:
    """The data that a run was trained on.

    Raises:
        RunError: it has changed since.
    """
    config, stored = run.config, run.config.data
    dataset = load_for(
        data or stored.source,
        config.canvas,
        seed=config.seed,
        skip_corrupt=stored.skip_corrupt,
        echo=sayer(console),
        target=run.task.targets.kind,
    )
    if dataset.fingerprint != stored.fingerprint:
        if dataset.split_rule and stored.split_rule is None:
            raise RunError(
                f"The run {run.path} was started by an older kerascnn, which took the validation "
                f"and test images of {stored.source} by another rule, so training on would mix "
                "them with others. Start a new run with `kerascnn train NAME --data ...`."
            )
        classes = ""
        if dataset.class_names != config.class_names:
            now, then = (listed(map(repr, c)) for c in (dataset.class_names, config.class_names))
            classes = f" Its classes are {now}; they were {then}."
        raise RunError(
            f"The data {stored.source} has changed since the run {run.path} was started, so "
            f"the same result can't be expected.{classes} Start a new run with "
            "`kerascnn train NAME --data ...`."
        )
    return dataset


def _same_weights(config: RunConfig) -> str | None:
    """The trained weights that a run started from.

    Raises:
        RunError, WeightsError: their file has changed since, or is gone.
    """
    if not config.weights:
        return None
    require_same(config.weights)
    return config.weights.source


def _own_recipe(found: object, *, trained: bool) -> Recipe:
    """What a network is trained by if nothing is said.

    Args:
        found: what is trained.
        trained: whether it starts from trained weights.
    """
    if not isinstance(found, (Architecture, Network)):
        return Recipe()
    return recipe_book.default(found, find_task(found.task).finetuning if trained else "")


def _is_free(value: int | str | None, recipe: Recipe | None) -> bool:
    """Whether a number may follow the images."""
    return value == "auto" or (value is None and recipe is None)


def _given(value: int | str | None) -> int | str | None:
    """The number itself, if one was given."""
    return None if value == "auto" else value


def _changed(recipe: Recipe, **fields: Any) -> Recipe:
    """The recipe with those of the fields that are not None."""
    given = {name: value for name, value in fields.items() if value is not None}
    return dataclasses.replace(recipe, **given)


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a training happens: its strategy, the workers of that, and what this one may say."""

    strategy: tf.distribute.Strategy
    workers: Workers
    console: Console

    @property
    def say(self) -> Callable[[str], None]:
        return sayer(self.console)


def _place(strategy: str, jit: bool | None, console: Console) -> _Place:
    """Make the strategy; of its workers only the chief speaks.

    Raises:
        StrategyError: it can't be had, or not with XLA.
    """
    found = strategies.resolve_strategy(strategy)
    refuse_jit(found, jit)
    workers = Workers(found)
    return _Place(found, workers, console if workers.chief else Console(quiet=True))


def _load(
    data: str | Dataset,
    task: Task,
    recipe: Recipe,
    shape: tuple[int, int, int],
    seed: int,
    skip_corrupt: bool,
    place: _Place,
) -> Dataset:
    """The data as the recipe's canvas; of a Dataset whose images are smaller, these."""
    return load_for(
        data,
        _canvas(data, recipe, shape),
        seed=seed,
        skip_corrupt=skip_corrupt,
        echo=place.say,
        target=task.targets.kind,
    )


def _canvas(
    data: str | Dataset, recipe: Recipe, shape: tuple[int, int, int]
) -> tuple[int, int, int]:
    """The images that crops are cut from; of a Dataset they may be as large as the crops."""
    if isinstance(data, Dataset) and data.image_shape == shape:
        return shape
    return recipe.augmentation.canvas_shape(shape)


def _fitted(
    recipe: Recipe, dataset: Dataset, place: _Place, free: Free
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with what follows from the images: their colours, batch and epochs if they may.

    Returns:
        The recipe, and what was chosen, and why.
    """
    augmentation = with_components(recipe.augmentation, dataset.train)
    recipe = dataclasses.replace(recipe, augmentation=augmentation)
    replicas = place.strategy.num_replicas_in_sync
    recipe, chosen = sized(recipe, dataset.train.size, replicas, free)
    for note in chosen:
        place.say(note)
    return recipe, chosen


def _refuse_mixing(recipe: Recipe, task: Task) -> None:
    """Refuse to mix images for a task that has no labels to share between them.

    Raises:
        ArgumentError: says what is to be left out of the recipe.
    """
    for name in MIXES if not task.mixes else ():
        if alpha := getattr(recipe.augmentation, name):
            raise ArgumentError(
                f"{name} makes one image of two, and shares their labels out; {task.name} has "
                f"none that can be shared. Leave it out: --with augmentation.{name}=0. "
                f"Received: {alpha:g}."
            )


def _require_images(
    dataset: Dataset, task: Task, recipe: Recipe, source: str, place: _Place
) -> None:
    """Refuse data that can't be trained on in this way.

    Raises:
        DataError: there are too few images or classes, or none for validation where it is needed.
        ArgumentError: there are not as many class weights as classes.
    """
    batching(recipe, dataset.train.size, place.strategy)
    if recipe.balance:
        dataset.train.labels  # noqa: B018 - refuses images that have none
    refuse_strays(recipe.augmentation, task.targets)
    task.class_weight(recipe, dataset.train.targets, dataset.class_names)
    require_monitored(recipe, dataset.validation.size, source)
    task.check_data(dataset.class_names, source)
