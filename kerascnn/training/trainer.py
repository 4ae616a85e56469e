"""From a name and a data source to a run directory, and on from where a run stopped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kerascnn.architecture import Architecture
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset
from kerascnn.distribution import strategies
from kerascnn.errors import RunError
from kerascnn.network import Network
from kerascnn.recipes import trusted
from kerascnn.recipes.recipe import PRECISIONS, Recipe
from kerascnn.runs.config import RunConfig
from kerascnn.runs.models import load_graph
from kerascnn.runs.run import Run
from kerascnn.training.assembly import Assembly
from kerascnn.training.callbacks import check as check_callbacks
from kerascnn.training.place import Place
from kerascnn.training.preparing import Asked, assembled, same_data
from kerascnn.training.starting import require_same
from kerascnn.watching.loggers import find as find_loggers

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
            instead of keeping them: two fifths less memory, for a seventh more time.
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
        Asked(
            network=network,
            data=data,
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
    )
    assembly.carry_out(prepare)
    return assembly.run


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
        same_data(old, None, console),
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
    place = Place.made(config.strategy, config.jit, console or Console())
    place.require_same(config)
    Assembly(
        run=run,
        config=config,
        network=_network_of(run),
        dataset=same_data(run, data, place.console),
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


def _same_weights(config: RunConfig) -> str | None:
    """The trained weights that a run started from.

    Raises:
        RunError, WeightsError: their file has changed since, or is gone.
    """
    if not config.weights:
        return None
    require_same(config.weights)
    return config.weights.source
