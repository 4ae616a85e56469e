"""`kerascnn train`: from a name and a data source to a run directory."""

from __future__ import annotations

import json as json_
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.options import (
    complete_architecture,
    complete_logger,
    complete_recipe,
    complete_run,
    complete_source,
    parse_network,
    parse_numbers,
    parse_shape,
    parse_steps,
)
from kerascnn.errors import ArgumentError

if TYPE_CHECKING:
    from kerascnn.architecture import Architecture
    from kerascnn.recipes.recipe import Recipe
    from kerascnn.training.earlier import Earlier


# What --continue leaves to the run; and --from, which takes its data from elsewhere.
CONTINUED = ("data", "set_", "input_shape", "weights", "seed")
STARTED = ("weights",)
# What --lr-find has no use for, and what has no use without it.
NOT_FOUND = ("run", "overwrite", "keep", "keep_epochs", "patience", "explain", "log", "profile")
FOUND = ("lr_steps", "lr_range", "save")
# What may stand beside --config or --from-trial.
AGAIN = ("config", "from_trial", "run", "overwrite", "loss")


def train(
    context: typer.Context,
    name: str | None = typer.Argument(
        None, help="An architecture; see `kerascnn list`.", autocompletion=complete_architecture
    ),
    data: str = typer.Option(
        "mnist5k",
        help="mnist5k, cifar10, folder:PATH, npz:PATH ... See `kerascnn data`.",
        autocompletion=complete_source,
    ),
    set_: list[str] = typer.Option(
        [], "--set", help="An argument of the architecture, such as widths=12,32. Repeatable."
    ),
    input_shape: str | None = typer.Option(
        None, help="Such as 64x64x3; default: the architecture's native input."
    ),
    recipe: str | None = typer.Option(
        None,
        help="How to train: small (the default, ours; with --weights or --from it is finetune), "
        "paper (as the network's paper did), a name of `kerascnn recipes`, or a .toml or .json "
        "file.",
        autocompletion=complete_recipe,
    ),
    with_: list[str] = typer.Option(
        [],
        "--with",
        help="A field of the recipe, such as augmentation.flip=false or evaluation.views=10-crop; "
        "`kerascnn recipes NAME --json` shows all. Repeatable.",
    ),
    weights: str | None = typer.Option(
        None,
        help="Start from imagenet, imagenet:PUBLISHER, a file of weights or another run; "
        "backbone:... starts the backbone alone.",
    ),
    epochs: str | None = typer.Option(
        None,
        metavar="N|+N",
        help="Instead of the recipe's, as all that follow; default: more where there are few "
        "images. With --continue +20 are 20 more, and 50 are 50 with those that the run has.",
    ),
    batch_size: int | None = typer.Option(
        None,
        help="Images in one step, over all replicas; default: fewer than the recipe's where "
        "there are few images.",
    ),
    learning_rate: float | None = typer.Option(None, help="At the end of the warm-up."),
    warmup_epochs: float | None = typer.Option(None, help="Epochs of linear growth from zero."),
    weight_decay: float | None = typer.Option(None, help="On what the recipe decays."),
    label_smoothing: float | None = typer.Option(None, help="The share spread over all classes."),
    dropout: float | None = typer.Option(None, help="Instead of the architecture's own."),
    clip_norm: float | None = typer.Option(None, help="Largest norm of the whole gradient."),
    accumulation: int | None = typer.Option(None, help="Steps whose gradients are averaged."),
    ema: float | None = typer.Option(None, help="Decay of a moving average of the weights."),
    loss: str | None = typer.Option(
        None,
        metavar="MODULE:NAME",
        help="A class of Keras losses of your own, which is imported; also with --resume and "
        "--config, which import nothing that a run names.",
    ),
    keep: str | None = typer.Option(
        None,
        metavar="last|best|best:MEASURE",
        help="Which epoch is evaluated and saved. Best is by the task's main measure of the "
        "validation images, such as val_error, or by val_loss, error, loss.",
    ),
    patience: int | None = typer.Option(
        None, help="End after so many epochs without improvement of that measure."
    ),
    class_weight: str | None = typer.Option(
        None,
        metavar="balanced|rooted|W,W,...",
        help="Factors on the loss of each class in training; measures are never weighted.",
    ),
    balance: bool = typer.Option(
        False, "--balance", help="Draw from all classes equally often in training."
    ),
    strategy: str | None = typer.Option(
        None,
        help="auto (the default: all GPUs if several), none, mirrored, mirrored:N or multiworker.",
    ),
    precision: str | None = typer.Option(
        None, help="float32 (the default), mixed_bfloat16, mixed_float16 or float64."
    ),
    jit: bool | None = typer.Option(
        None, "--jit/--no-jit", help="XLA; default: on a single GPU only."
    ),
    memory_efficient: bool = typer.Option(
        False,
        "--memory-efficient",
        help="Compute a DenseNet's concatenations twice instead of keeping them: two fifths less "
        "memory, a seventh more time.",
    ),
    seed: int | None = typer.Option(
        None, help="Of weights, data order, dropout and augmentation; default: 0."
    ),
    run: Path | None = typer.Option(None, help="The run directory; default: runs/NAME-DATA-TIME."),
    overwrite: bool = typer.Option(False, help="Delete an earlier run in that directory."),
    resume: Path | None = typer.Option(
        None, help="Go on with this run; takes no other options.", autocompletion=complete_run
    ),
    continue_: Path | None = typer.Option(
        None,
        "--continue",
        metavar="RUN",
        help="Go on from a finished run, as a new one: its network, data, weights and recipe, "
        "with a new schedule; default: as many epochs again.",
        autocompletion=complete_run,
    ),
    from_: Path | None = typer.Option(
        None,
        "--from",
        metavar="RUN",
        help="Start with the network and weights of a finished run on other --data; a new "
        "classifier where the classes are others.",
        autocompletion=complete_run,
    ),
    config: Path | None = typer.Option(
        None,
        help="Train again what this run trained. With --run only.",
        autocompletion=complete_run,
    ),
    from_trial: Path | None = typer.Option(
        None, help="Train again a trial of a search: STUDY/0003. With --run only."
    ),
    skip_corrupt: bool = typer.Option(False, help="Leave unreadable images out, and list them."),
    profile: str | None = typer.Option(
        None,
        metavar="FIRST:END",
        help="Trace these steps with TensorFlow's profiler, such as 20:30; shown by "
        "`kerascnn board` where the package xprof is installed.",
    ),
    keep_epochs: str | None = typer.Option(
        None,
        metavar="EPOCH,EPOCH,...",
        help="Also keep the weights of these epochs, such as 1,2,5,10; 0: before training. Each "
        "takes as much room as the model.",
    ),
    explain: bool = typer.Option(
        False,
        "--explain",
        help="Draw in the end what the last layers respond to, into explain/ of the run: up to "
        "about a minute.",
    ),
    log: list[str] = typer.Option(
        [],
        help="Another tool that each epoch is logged to, where its own settings say: mlflow, "
        "wandb. Repeatable.",
        autocompletion=complete_logger,
    ),
    lr_find: bool = typer.Option(
        False,
        "--lr-find",
        help="Train no network: let the learning rate grow, suggest one, and draw what happened.",
    ),
    lr_steps: int = typer.Option(100, help="Updates of --lr-find."),
    lr_range: str = typer.Option(
        "1e-6:10", metavar="LOWEST:HIGHEST", help="The first and the last rate of --lr-find."
    ),
    save: Path | None = typer.Option(
        None, help="The picture of --lr-find, such as rates.png; default: runs/NAME-DATA-TIME.png."
    ),
    json: bool = typer.Option(False, "--json", help="Print the final metrics as JSON only."),
) -> None:
    """Train a network and leave a run directory: model, metrics, curves, TensorBoard logs."""
    begun = (name, resume, continue_, from_, config, from_trial)
    if sum(given is not None for given in begun) != 1:
        raise ArgumentError(
            "Pass either the name of an architecture, as in `kerascnn train lenet5 --data "
            "mnist5k`, or --resume RUN, or --continue RUN, or --from RUN --data OTHER, or --config "
            "RUN, or --from-trial STUDY/ID."
        )
    if from_trial is not None:
        config = _trial(from_trial)
    _refuse_ignored(context, resume, config)
    _refuse_unfound(context, lr_find)
    from kerascnn import catalogue
    from kerascnn.recipes import book as recipe_book
    from kerascnn.recipes.recipe import IN_EPOCHS
    from kerascnn.runs.epochs import checked as check_kept
    from kerascnn.training import earlier

    if old := earlier.find(continue_, from_):
        _refuse_of_run(context, old)
    # Before TensorFlow is loaded: a misspelt name is answered at once.
    changes = {
        "epochs": earlier.count(epochs, old),
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "warmup_epochs": warmup_epochs,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "dropout": dropout,
        "clip_norm": clip_norm,
        "accumulation": accumulation,
        "ema": ema,
        "loss": loss,
        "keep": keep,
        "early_stopping": patience,
        "balance": balance or None,
        **recipe_book.settings([f"class_weight={class_weight}"] if class_weight else []),
    }
    architecture = catalogue.get(name) if name else old.run.architecture() if old else None
    chosen = None
    if old and old.same_data and recipe is None:
        chosen = _changed(old.recipe(loss), changes, with_)
    elif architecture:
        chosen = _recipe(architecture, recipe, changes, with_, old.weights if old else weights)
    elif old:
        raise ArgumentError(
            f"{old.run.path} trained a keras.Model of its own, which has no recipes: "
            "kerascnn.train(from_=..., recipe=...) in Python takes one."
        )
    stated = {key for key, value in changes.items() if value is not None}
    stated |= recipe_book.settings(with_).keys()
    fixed = chosen is not None and recipe_book.is_fixed(recipe, chosen)
    fixed = fixed or bool(old and old.same_data and recipe is None)  # as the run had it
    batch_given = fixed or "batch_size" in stated
    epochs_given = fixed or bool(stated.intersection(IN_EPOCHS))
    rate_given = "learning_rate" in stated
    network = parse_network(name, set_, input_shape=input_shape) if name else None
    arguments = architecture.space.read(set_, what="--set") if old and architecture else None
    traced = parse_steps(profile) if profile else None
    what = "epochs with commas between them, such as 1,2,5; 0 is before training"
    kept = parse_numbers("--keep-epochs", keep_epochs, what) if keep_epochs is not None else ()
    if chosen is not None:
        check_kept(kept, chosen.epochs)

    from kerascnn.console import Console

    console = Console(stderr=json)
    if lr_find:
        from kerascnn.runs.config import default_path
        from kerascnn.training.range_test import find_rate
        from kerascnn.writing import PICTURES, check_save

        if save:
            check_save(save, PICTURES)
        lowest, highest = _rates(lr_range)
        label = old.config if old else None
        rates = find_rate(
            network,
            None if old and old.same_data else data,
            continue_=continue_,
            from_=from_,
            arguments=arguments or None,
            input_shape=parse_shape(input_shape) if old else None,
            recipe=chosen,
            batch_size=None if batch_given else "auto",
            weights=weights,
            strategy=strategy,
            precision=precision,
            jit=jit,
            memory_efficient=memory_efficient,
            seed=seed,
            skip_corrupt=skip_corrupt,
            steps=lr_steps,
            lowest=lowest,
            highest=highest,
            save=save or default_path(label.name if label else str(name), data).with_suffix(".png"),
            console=console,
        )
        if json:
            typer.echo(json_.dumps(rates.as_json(), indent=2))
        return
    from kerascnn.distribution import strategies
    from kerascnn.recipes.recipe import KEEP_BEST
    from kerascnn.tasks.measure import TEST
    from kerascnn.training import trainer

    if resume is not None:
        found = trainer.resume(resume, loss=loss, console=console, profile=traced)
    elif config is not None:
        found = trainer.repeat(config, run=run, overwrite=overwrite, loss=loss, console=console)
    else:
        found = trainer.train(
            network,
            None if old and old.same_data else data,
            continue_=continue_,
            from_=from_,
            arguments=arguments or None,
            input_shape=parse_shape(input_shape) if old else None,
            recipe=chosen,
            epochs=None if epochs_given else "auto",
            batch_size=None if batch_given else "auto",
            learning_rate=chosen.learning_rate if chosen and rate_given else None,
            weights=weights,
            strategy=strategy,
            precision=precision,
            jit=jit,
            memory_efficient=memory_efficient,
            seed=seed,
            run=run,
            overwrite=overwrite,
            skip_corrupt=skip_corrupt,
            console=console,
            profile=traced,
            keep_epochs=kept,
            explain=explain,
            log=log,
        )
    if not strategies.is_chief():
        return  # the chief has written the run, and reports it
    metrics = found.metrics
    if json:
        typer.echo(json_.dumps({"run": str(found.path), **metrics}, indent=2))
        return
    main = found.task.main
    if (value := main.of(metrics, TEST)) is not None:
        epoch = metrics.get("epoch")
        best = found.config.recipe.keep == KEEP_BEST
        which = f" of epoch {epoch}" if epoch and (best or epoch < metrics["epochs"]) else ""
        words = main.name.replace("_", " ")
        console.print(f"Test {words}{which} [bold]{main.written(value)}[/]", highlight=False)
    trainer.sayer(console)(f"Model, figures, curves.png and TensorBoard logs are in {found.path}.")


def _recipe(
    network: Architecture,
    choice: str | None,
    changes: dict[str, Any],
    assignments: list[str],
    weights: str | None = None,
) -> Recipe:
    """The recipe that the options describe.

    Args:
        network: what is trained.
        choice: of `--recipe`.
        changes: fields with options of their own; None: not given.
        assignments: of `--with`.
        weights: of `--weights`.

    Raises:
        UnknownNameError, ArgumentError: a name, a field or a value is wrong.
    """
    from kerascnn.recipes import book as recipe_book
    from kerascnn.tasks import task

    finetuning = task.find(network.task).finetuning if weights else ""
    return _changed(recipe_book.choose(choice, network, finetuning), changes, assignments)


def _changed(base: Recipe, changes: dict[str, Any], assignments: list[str]) -> Recipe:
    """The recipe with what options and `--with` say.

    Raises:
        UnknownNameError, ArgumentError: a field or a value is wrong.
    """
    from kerascnn.recipes import book as recipe_book

    given = {key: value for key, value in changes.items() if value is not None}
    settings = recipe_book.settings(assignments)
    options = {"early_stopping": "--patience"}
    for key in given.keys() & settings.keys():
        option = options.get(key, f"--{key.replace('_', '-')}")
        raise ArgumentError(f"{key} is given twice. Received: {option} and --with {key}=.")
    if "monitor" in settings and ":" in str(given.get("keep", "")):
        raise ArgumentError(
            f"What epochs are compared by is given twice. Received: --keep {given['keep']} and "
            f"--with monitor={settings['monitor']}."
        )
    return recipe_book.asked(base, settings | given)


def _trial(path: Path) -> Path:
    """The run directory of a trial STUDY/ID."""
    found = path.parent / "trials" / path.name
    if not (found / "config.json").is_file():
        raise ArgumentError(
            f"{path.parent} has no trial {path.name!r}. Expected STUDY/ID, such as "
            "studies/lenet5/0003; the ids are in STUDY/leaderboard.csv."
        )
    return found


def _refuse_ignored(context: typer.Context, resume: Path | None, config: Path | None) -> None:
    """A run that goes on, or is done again, has its settings: others must not be passed over."""
    if resume is None and config is None:
        return
    allowed = {"resume", "profile", "json", "loss"} if resume else {*AGAIN, "json"}
    if given := _given(context, [key for key in context.params if key not in allowed]):
        raise ArgumentError(
            f"{'--resume' if resume else '--config or --from-trial'} takes its settings from "
            f"config.json. Received: {', '.join(given)}."
        )


def _refuse_of_run(context: typer.Context, old: Earlier) -> None:
    """Refuse what a training that goes on has of its run, and one without its other data."""
    given = _given(context, CONTINUED if old.same_data else STARTED)
    old.refuse(dict.fromkeys(given, True))
    if not old.same_data and not _given(context, ["data"]):
        raise ArgumentError(
            f"--from {old.run.path} needs the other --data. To train on with the run's own: "
            f"kerascnn train --continue {old.run.path}"
        )


def _given(context: typer.Context, names: Iterable[str]) -> list[str]:
    """Those of the options that were typed, as they are typed."""
    return [
        f"--{name.strip('_').replace('_', '-')}"
        for name in names
        if (source := context.get_parameter_source(name)) is not None and source.name != "DEFAULT"
    ]


def _refuse_unfound(context: typer.Context, lr_find: bool) -> None:
    """Refuse what would have no effect with `--lr-find`, or without it."""
    if given := _given(context, NOT_FOUND if lr_find else FOUND):
        what = "makes no run, so it has no use for" if lr_find else "is missing; it alone has"
        raise ArgumentError(f"--lr-find {what} {', '.join(given)}. Received: {', '.join(given)}.")


def _rates(text: str) -> tuple[float, float]:
    """`"1e-6:10"` as numbers.

    Raises:
        ArgumentError: it isn't two numbers.
    """
    low, _, high = text.partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        raise ArgumentError(
            "--lr-range must be the lowest and the highest rate, such as 1e-6:10. "
            f"Received: {text!r}."
        ) from None
