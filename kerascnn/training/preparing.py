"""What is asked of a training, checked and put together before anything is trained."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import keras

from kerascnn import catalogue
from kerascnn.architecture import Architecture
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset, load_for
from kerascnn.data.augmentation import refuse_strays, with_components
from kerascnn.distribution import strategies
from kerascnn.errors import ArgumentError, RunError
from kerascnn.network import Network
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes import trusted
from kerascnn.recipes.recipe import MIXES, Recipe, check_precision
from kerascnn.runs import epochs as kept
from kerascnn.runs import sides
from kerascnn.runs.config import (
    VERSION,
    RunConfig,
    StartedFrom,
    TrainedOn,
    check_seed,
    default_path,
    git_state,
    versions,
)
from kerascnn.runs.directory import prepare_directory, refuse_directory
from kerascnn.runs.run import Run
from kerascnn.tasks.task import Task
from kerascnn.tasks.task import find as find_task
from kerascnn.training import earlier
from kerascnn.training.assembly import Assembly
from kerascnn.training.callbacks import check as check_callbacks
from kerascnn.training.earlier import Earlier
from kerascnn.training.keeping import require_monitored
from kerascnn.training.place import Place
from kerascnn.training.settings import batching
from kerascnn.training.sizing import Free, sized
from kerascnn.training.starting import described, expected_by
from kerascnn.training.subject import Subject, checked
from kerascnn.watching.loggers import find as find_loggers
from kerascnn.words import listed
from kerascnn.writing import write_text


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a training is asked for: the arguments of `train`, which says what they mean."""

    network: str | Architecture | Network | keras.Model | None = None
    data: str | Dataset | None = None
    continue_: str | Path | Run | None = None
    from_: str | Path | Run | None = None
    arguments: Mapping[str, Any] | None = None
    input_shape: tuple[int, int, int] | None = None
    recipe: Recipe | None = None
    epochs: int | str | None = None
    batch_size: int | str | None = None
    learning_rate: float | None = None
    keep: str | None = None
    patience: int | None = None
    weights: str | Path | None = None
    strategy: str | None = None
    precision: str | None = None
    jit: bool | None = None
    memory_efficient: bool = False
    seed: int | None = None
    run: str | Path | None = None
    overwrite: bool = False
    skip_corrupt: bool = False
    record: bool = True
    profile: tuple[int, int] | None = None
    keep_epochs: Sequence[int] = ()
    explain: bool = False
    log: Sequence[str] = ()
    callbacks: Sequence[keras.callbacks.Callback] = ()
    console: Console | None = None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is trained and how: what was asked, checked, with what follows from it.

    Attributes:
        asked: with what a run that it goes on from has.
        old: that run.
        subject: what is trained; once the data is read, for its classes.
        recipe: by what; once the data is read, fitted to it.
        free: what of the recipe may follow the images.
        start: the trained weights that it starts from.
        data: what it is trained on, not read yet.
        source: its name.
        path: the run directory.
        strategy, precision, seed, keep_epochs, log, callbacks, console: as `train` takes them.
        chosen: what of the recipe followed from the images, and why.
    """

    asked: Asked
    old: Earlier | None
    subject: Subject
    recipe: Recipe
    free: Free
    start: StartedFrom | None
    data: str | Dataset
    source: str
    path: Path
    strategy: str
    precision: str
    seed: int
    keep_epochs: tuple[int, ...]
    log: tuple[str, ...]
    callbacks: Sequence[keras.callbacks.Callback]
    console: Console
    chosen: tuple[str, ...] = ()


def assembled(asked: Asked) -> tuple[Assembly, Callable[[], None]]:
    """What trains, put together and not begun; and what makes its run directory.

    Raises:
        ArgumentError, DataError, StrategyError, RunError, WeightsError: see `train`.
    """
    plan = _planned(asked)  # what is cheap to check is checked before any data is read
    # The strategy comes before the data, whose pipeline starts TensorFlow's devices.
    place = Place.made(plan.strategy, plan.asked.jit, plan.console)
    path = Path(place.workers.text_of_chief(str(plan.path)))  # a default one has the time in it
    dataset = _read(plan, place)
    plan = _fitted(plan, dataset, place)
    config = _config(plan, dataset)
    place.require_same(config)
    assembly = Assembly(
        run=Run.made(path, config),
        config=config,
        network=plan.subject.network,
        dataset=dataset,
        callbacks=plan.callbacks,
        console=place.console,
        record=asked.record,
        profile=asked.profile,
    )

    def prepare() -> None:
        if place.workers.chief:
            _make_directory(assembly, overwrite=asked.overwrite)

    return assembly, prepare


def _planned(asked: Asked) -> _Plan:
    """The plan of what is asked, with all refused that no data is needed for.

    Raises:
        ArgumentError, RunError, WeightsError: see `train`.
    """
    _require_tensorflow()
    old = earlier.find(asked.continue_, asked.from_)
    if old is not None:
        asked = _going_on(asked, old)
    found = catalogue.get(asked.network) if isinstance(asked.network, str) else asked.network
    recipe = _recipe(asked, found, old)
    subject = checked(found, asked.arguments, asked.input_shape, recipe.dropout)
    precision, seed = asked.precision or "float32", asked.seed or 0
    check_precision(precision)
    check_seed(seed)
    recipe = dataclasses.replace(recipe, monitor=subject.task.monitor(recipe.monitor))
    _refuse_mixing(recipe, subject.task)
    keep_epochs = kept.checked(asked.keep_epochs, recipe.epochs)
    callbacks = check_callbacks(asked.callbacks, recipe)
    log = tuple(find_loggers(asked.log))
    subject, start = _with_weights(subject, asked.weights)
    data = _require_data(asked.data)
    source = data if isinstance(data, str) else data.name
    path = Path(asked.run) if asked.run else default_path(subject.name, source)
    refuse_directory(path, asked.overwrite)
    console = asked.console or Console()
    say = sayer(console if strategies.is_chief() else Console(quiet=True))
    return _Plan(
        asked=asked,
        old=old,
        subject=subject,
        recipe=dataclasses.replace(recipe, loss=trusted.own(recipe, say)),
        free=_free(asked),
        start=start,
        data=data,
        source=source,
        path=path,
        strategy=asked.strategy or "auto",
        precision=precision,
        seed=seed,
        keep_epochs=keep_epochs,
        log=log,
        callbacks=callbacks,
        console=console,
    )


def _require_tensorflow() -> None:
    """Refuse Keras's other backends.

    Raises:
        ArgumentError: says what to set.
    """
    if keras.backend.backend() != "tensorflow":
        raise ArgumentError(
            "kerascnn.train needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow. "
            f"Received: {keras.backend.backend()}."
        )


def _going_on(asked: Asked, old: Earlier) -> Asked:
    """What is asked; what isn't said is as the run has it that it goes on from.

    Raises:
        ArgumentError: what belongs to that run was given.
        RunError: its network or its loss can't be built from what is installed, or is damaged.
    """
    old.refuse({"network": asked.network, "weights": asked.weights})
    if old.same_data:
        given = asked.data if isinstance(asked.data, str) else None
        old.refuse(
            {
                "data": given,
                "arguments": asked.arguments,
                "input_shape": asked.input_shape,
                "seed": asked.seed,
            }
        )
        asked = dataclasses.replace(
            asked,
            recipe=asked.recipe or old.recipe(),
            data=old.config.data.source if asked.data is None else asked.data,
        )
    network, arguments, input_shape = old.network(asked.arguments, asked.input_shape)
    was = old.config
    return dataclasses.replace(
        asked,
        network=network,
        arguments=arguments,
        input_shape=input_shape,
        weights=old.weights,
        strategy=asked.strategy or was.strategy,
        precision=asked.precision or was.precision,
        jit=was.jit if asked.jit is None else asked.jit,
        memory_efficient=asked.memory_efficient or was.memory_efficient,
        seed=was.seed if asked.seed is None else asked.seed,
        skip_corrupt=asked.skip_corrupt or was.data.skip_corrupt,
        explain=asked.explain or was.explain,
        log=asked.log or was.log,
    )


def _recipe(asked: Asked, found: object, old: Earlier | None) -> Recipe:
    """The recipe that is asked for, or what is trained's own, with the fields that are given.

    Raises:
        ArgumentError: one of them is illegal.
    """
    fields: dict[str, Any] = {
        "epochs": earlier.count(_given(asked.epochs), old),
        "batch_size": _given(asked.batch_size),
        "learning_rate": asked.learning_rate,
        "keep": asked.keep,
        "early_stopping": asked.patience,
    }
    recipe = asked.recipe or _own_recipe(found, trained=bool(asked.weights))
    given = {name: value for name, value in fields.items() if value is not None}
    return dataclasses.replace(recipe, **given)


def _own_recipe(found: object, *, trained: bool) -> Recipe:
    """What a network is trained by if nothing is said.

    Args:
        found: what is trained.
        trained: whether it starts from trained weights.
    """
    if not isinstance(found, (Architecture, Network)):
        return Recipe()
    return recipe_book.default(found, find_task(found.task).finetuning if trained else "")


def _free(asked: Asked) -> Free:
    """What of the recipe may follow the images."""
    return Free(
        batch=_is_free(asked.batch_size, asked.recipe),
        rate=asked.learning_rate is None,
        epochs=_is_free(asked.epochs, asked.recipe),
    )


def _is_free(value: int | str | None, recipe: Recipe | None) -> bool:
    """Whether a number may follow the images."""
    return value == "auto" or (value is None and recipe is None)


def _given(value: int | str | None) -> int | str | None:
    """The number itself, if one was given."""
    return None if value == "auto" else value


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


def _with_weights(
    subject: Subject, weights: str | Path | None
) -> tuple[Subject, StartedFrom | None]:
    """What is trained, seeing images as trained weights expect them; and these.

    Raises:
        WeightsError, RunError: there are none, or the run that they are of is damaged.
    """
    if not weights:
        return subject, None
    if not isinstance(subject.network, Network):
        return subject, described(weights)
    start = described(weights, subject.network.sources(str(weights)))
    expected = expected_by(start, subject.network)
    return dataclasses.replace(subject, preprocessing=expected), start


def _require_data(data: object) -> str | Dataset:
    """The data, which must have been given as what data can be.

    Raises:
        ArgumentError: says what it can be.
    """
    if not isinstance(data, (str, Dataset)):
        raise ArgumentError(
            'data must be a source such as "mnist5k" or "npz:PATH", or a Dataset, as '
            f"kerascnn.data.load returns it. Received: {type(data).__name__}."
        )
    return data


def _read(plan: _Plan, place: Place) -> Dataset:
    """The data as the recipe's canvas; of a Dataset whose images are smaller, these.

    Raises:
        DataError: it can't be read.
        RunError: it isn't what the run that this one goes on from was trained on.
    """
    old, data = plan.old, plan.data
    if old and old.same_data:
        dataset = same_data(old.run, data if isinstance(data, Dataset) else None, place.console)
        if dataset.image_shape == _canvas(plan):
            return dataset
    return load_for(
        data,
        _canvas(plan),
        seed=plan.seed,
        skip_corrupt=plan.asked.skip_corrupt,
        echo=place.say,
        target=plan.subject.task.targets.kind,
    )


def _canvas(plan: _Plan) -> tuple[int, int, int]:
    """The images that crops are cut from; of a Dataset they may be as large as the crops."""
    data, shape = plan.data, plan.subject.shape
    if isinstance(data, Dataset) and data.image_shape == shape:
        return shape
    return plan.recipe.augmentation.canvas_shape(shape)


def same_data(run: Run, data: Dataset | None, console: Console) -> Dataset:
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


def _fitted(plan: _Plan, dataset: Dataset, place: Place) -> _Plan:
    """The plan with what follows from the images: their colours and classes, batch and epochs.

    Raises:
        DataError, ArgumentError: they can't be trained on in this way.
    """
    augmentation = with_components(plan.recipe.augmentation, dataset.train)
    recipe = dataclasses.replace(plan.recipe, augmentation=augmentation)
    replicas = place.strategy.num_replicas_in_sync
    recipe, chosen = sized(recipe, dataset.train.size, replicas, plan.free)
    for note in chosen:
        place.say(note)
    _require_images(dataset, plan.subject.task, recipe, plan.source, place)
    subject, start = plan.subject.of(dataset.classes), plan.start
    if plan.old and start:
        start = plan.old.start(start, subject.network, dataset.class_names)
    return dataclasses.replace(plan, recipe=recipe, chosen=chosen, subject=subject, start=start)


def _require_images(
    dataset: Dataset, task: Task, recipe: Recipe, source: str, place: Place
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


def _config(plan: _Plan, dataset: Dataset) -> RunConfig:
    """All that is needed to train it again."""
    asked, subject = plan.asked, plan.subject
    return RunConfig(
        kerascnn_run=VERSION,
        task=subject.task.name,
        name=subject.name,
        architecture=subject.trained,
        input_shape=subject.shape,
        classes=dataset.classes,
        class_names=dataset.class_names,
        preprocessing=subject.preprocessing,
        data=TrainedOn(
            source=plan.source,
            image_shape=dataset.image_shape,
            fingerprint=dataset.fingerprint,
            split_rule=dataset.split_rule,
            skip_corrupt=asked.skip_corrupt,
            sizes={name: split.size for name, split in dataset.splits.items()},
        ),
        recipe=plan.recipe,
        chosen=plan.chosen,
        weights=plan.start,
        predecessor=plan.old.predecessor() if plan.old else None,
        strategy=plan.strategy,
        precision=plan.precision,
        jit=asked.jit,
        memory_efficient=asked.memory_efficient,
        seed=plan.seed,
        keep_epochs=plan.keep_epochs,
        explain=asked.explain,
        log=plan.log,
        versions=versions(),
        git=git_state(),
        command=tuple(sys.argv),
        created=datetime.now().isoformat(timespec="seconds"),
    )


def _make_directory(assembly: Assembly, *, overwrite: bool) -> None:
    """Make the run directory with what a resumed training needs."""
    path, network = assembly.run.path, assembly.network
    prepare_directory(path, overwrite)
    if isinstance(network, keras.Model):
        write_text(path / "model.json", network.to_json())
    assembly.config.write(path)
    sides.write(path, assembly.dataset)
