"""`kerascnn train`: from a name and a data source to a run directory."""

from __future__ import annotations

import json as json_
from pathlib import Path

import typer

from kerascnn.cli import complete_architecture
from kerascnn.commands.options import parse_arguments, parse_shape
from kerascnn.errors import ArgumentError


def train(
    context: typer.Context,
    name: str | None = typer.Argument(
        None, help="An architecture; see `kerascnn list`.", autocompletion=complete_architecture
    ),
    data: str = typer.Option(
        "mnist5k", help="mnist5k, cifar10, folder:PATH, npz:PATH ... See `kerascnn data`."
    ),
    set_: list[str] = typer.Option(
        [], "--set", help="An argument of the architecture, such as widths=12,32. Repeatable."
    ),
    input_shape: str | None = typer.Option(
        None, help="Such as 64x64x3; default: the architecture's native input."
    ),
    epochs: int | None = typer.Option(None, help="Instead of the recipe's."),
    batch_size: int | None = typer.Option(None, help="Over all replicas, instead of the recipe's."),
    learning_rate: float | None = typer.Option(None, help="Instead of the recipe's."),
    clip_norm: float | None = typer.Option(None, help="Largest norm of the whole gradient."),
    strategy: str = typer.Option(
        "auto", help="auto (all GPUs if several), none, mirrored, or mirrored:N."
    ),
    precision: str = typer.Option("float32", help="float32, mixed_bfloat16, mixed_float16."),
    jit: bool | None = typer.Option(
        None, "--jit/--no-jit", help="XLA; default: on a single GPU only."
    ),
    seed: int = typer.Option(0, help="Of weights, data order, dropout and augmentation."),
    run: Path | None = typer.Option(None, help="The run directory; default: runs/NAME-DATA-TIME."),
    overwrite: bool = typer.Option(False, help="Delete an earlier run in that directory."),
    resume: Path | None = typer.Option(None, help="Go on with this run; takes no other options."),
    config: Path | None = typer.Option(
        None, help="Train again what this run, or trial of a search, trained. With --run only."
    ),
    skip_corrupt: bool = typer.Option(False, help="Leave unreadable images out, and list them."),
    json: bool = typer.Option(False, "--json", help="Print the final metrics as JSON only."),
) -> None:
    """Train a network and leave a run directory: model, metrics, curves, TensorBoard logs."""
    if sum(given is not None for given in (name, resume, config)) != 1:
        raise ArgumentError(
            "Pass either the name of an architecture, as in `kerascnn train lenet5 --data "
            "mnist5k`, or --resume RUN, or --config RUN."
        )
    _refuse_ignored(context, resume, config)
    from kerascnn import registry

    # Before TensorFlow is loaded: a misspelt name is answered at once.
    recipe = registry.get(name).recipe if name else None
    arguments = parse_arguments(name, set_) if name else {}
    shape = parse_shape(input_shape)

    import dataclasses

    from rich.console import Console

    from kerascnn.training import strategies, trainer

    console = Console(stderr=json)
    if resume is not None:
        found = trainer.resume(resume, console=console)
    elif config is not None:
        found = trainer.repeat(config, run=run, overwrite=overwrite, console=console)
    else:
        assert name is not None
        if clip_norm is not None and recipe is not None:
            recipe = dataclasses.replace(recipe, clip_norm=clip_norm)
        found = trainer.train(
            name,
            data,
            arguments=arguments,
            input_shape=shape,
            recipe=recipe,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            strategy=strategy,
            precision=precision,
            jit=jit,
            seed=seed,
            run=run,
            overwrite=overwrite,
            skip_corrupt=skip_corrupt,
            console=console,
        )
    if not strategies.is_chief():
        return  # the chief has written the run, and reports it
    metrics = found.metrics
    if json:
        typer.echo(json_.dumps({"run": str(found.path), **metrics}, indent=2))
        return
    if "test_error" in metrics:
        console.print(f"Test error [bold]{metrics['test_error']:.2%}[/]", highlight=False)
    trainer.sayer(console)(f"Model, figures, curves.png and TensorBoard logs are in {found.path}.")


def _refuse_ignored(context: typer.Context, resume: Path | None, config: Path | None) -> None:
    """A run that goes on, or is done again, has its settings: others must not be passed over."""
    if resume is None and config is None:
        return
    allowed = {"resume", "json"} if resume else {"config", "run", "overwrite", "json"}
    given = [
        f"--{key.strip('_').replace('_', '-')}"
        for key in context.params
        if key not in allowed
        and (source := context.get_parameter_source(key)) is not None
        and source.name != "DEFAULT"
    ]
    if given:
        raise ArgumentError(
            f"{'--resume' if resume else '--config'} takes its settings from config.json. "
            f"Received: {', '.join(given)}."
        )
