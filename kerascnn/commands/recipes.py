"""`kerascnn recipes`: how the papers trained their networks, and how to train today."""

from __future__ import annotations

import json as json_
from typing import TYPE_CHECKING, Any

import typer

from kerascnn.commands.options import complete_architecture, complete_recipe
from kerascnn.errors import ArgumentError, BrokenPluginError, DuplicateNameError
from kerascnn.recipes.recipe import MIXES

if TYPE_CHECKING:
    from kerascnn.console import Console
    from kerascnn.recipes.recipe import Augmentation, Protocol, Recipe


def recipes(
    name: str | None = typer.Argument(
        None,
        help="A recipe, a .toml or .json file of yours, or, with --for, small or paper.",
        autocompletion=complete_recipe,
    ),
    network: str | None = typer.Option(
        None,
        "--for",
        help="A network: `small` is then its own recipe, `paper` its paper's.",
        autocompletion=complete_architecture,
    ),
    json: bool = typer.Option(False, "--json", help="Machine-readable output."),
) -> None:
    """List the recipes of `kerascnn train --recipe`, or show everything about one."""
    from kerascnn.recipes import book as recipe_book

    if network:
        name, chosen = _for_network(name, network)
    else:
        _refuse_without_network(name)
        chosen = {name: recipe_book.find(name)} if name else _all()
    if json:
        found = {key: _as_dict(recipe) for key, recipe in chosen.items()}
        typer.echo(json_.dumps(found[name] if name else found, indent=2))
        return
    from kerascnn.console import Console

    console = Console(highlight=False, emoji=False)
    if name:
        _details(name, chosen[name], network or chosen[name].network, console)
    else:
        _table(chosen, console)


def _for_network(name: str | None, network: str) -> tuple[str, dict[str, Recipe]]:
    """What `kerascnn train NETWORK --recipe NAME` takes, under the name that it prints.

    Raises:
        UnknownNameError, ArgumentError: a name is wrong.
    """
    from kerascnn import catalogue
    from kerascnn.recipes import book as recipe_book

    recipe = recipe_book.choose(name, catalogue.get(network))
    return recipe.name, {recipe.name: recipe}


def _all() -> dict[str, Recipe]:
    """Every recipe that can be used; of the others a warning says why not."""
    from kerascnn.console import print_error
    from kerascnn.recipes import book as recipe_book

    found = {}
    for name in recipe_book.names():
        try:
            found[name] = recipe_book.get(name)
        except (BrokenPluginError, DuplicateNameError) as error:
            print_error("Warning", str(error), style="yellow")
    return found


def _tasks() -> dict[str, str]:
    """Network → what it is made for, without importing any; "": not known."""
    from kerascnn import health
    from kerascnn.architecture import Architecture
    from kerascnn.registry import ARCHITECTURES

    return {row.entry.name: row.task for row in health.survey(ARCHITECTURES, Architecture)}


def _refuse_without_network(name: str | None) -> None:
    from kerascnn.recipes import book as recipe_book

    if name in (recipe_book.SMALL, recipe_book.PAPER):
        raise ArgumentError(
            f"{name} is another recipe for each network. Say for which, as in "
            f"`kerascnn recipes {name} --for resnet18`."
        )


def _as_dict(recipe: Recipe) -> dict[str, Any]:
    from kerascnn.runs.config import plain

    return plain(recipe)


ANY = "any"  # in place of a task or a network


def _table(chosen: dict[str, Recipe], console: Console) -> None:
    from rich.table import Table

    from kerascnn.tables import show

    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("from", max_width=23)
    table.add_column("optimizer", max_width=12)
    table.add_column("learning rate")
    table.add_column("epochs", justify="right")
    table.add_column("batch", justify="right")
    for task, recipes in _by_task(chosen).items():
        heading = "any network" if task == ANY else task or "a network that is missing"
        table.add_row(f"[dim]for {heading}[/]")
        for name, recipe in recipes.items():
            table.add_row(
                f"[bold]{name}[/]",
                _first(recipe.source),
                _optimizer(recipe),
                _schedule(recipe),
                str(recipe.epochs),
                str(recipe.batch_size),
            )
    show(console, table)
    for line in (
        "",
        "Augmentation, evaluation and all the rest: [bold]kerascnn recipes NAME[/].",
        "Without --recipe a network is trained by its own recipe, ours: [bold]small[/].",
        "[bold]--recipe paper[/] is the one above that belongs to the network's paper.",
        "Both: [bold]kerascnn recipes small --for alexnet[/] (or paper).",
    ):
        console.print(line)


def _by_task(chosen: dict[str, Recipe]) -> dict[str, dict[str, Recipe]]:
    """Task → its recipes by name; at the end those of unknown networks, and of no certain one."""
    tasks = {**_tasks(), "": ANY}
    found: dict[str, dict[str, Recipe]] = {}
    for name, recipe in chosen.items():
        found.setdefault(tasks.get(recipe.network, ""), {})[name] = recipe
    return {task: found[task] for task in sorted(found, key=lambda t: (t == ANY, t == "", t))}


def _details(name: str, recipe: Recipe, network: str, console: Console) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from kerascnn.recipes import book as recipe_book

    console.print(f"[bold]{name}[/]")
    if recipe.network and name != recipe_book.SMALL:
        console.print(
            f"  As published for {recipe.network}: `kerascnn train {recipe.network} --recipe "
            "paper`.\n  Without --recipe that is trained by another one, ours: small.",
            highlight=False,
        )
    table = Table.grid(padding=(0, 2))
    rows = {
        "Source": recipe.source or "none given",
        "Task": _tasks().get(network, "") if network else ANY,
        "Network": recipe.network or ANY,
        "Optimizer": _optimizer(recipe),
        "Weight decay": _decay(recipe),
        "Schedule": _schedule(recipe),
        "Batch size": f"{recipe.batch_size}"
        + (f", {recipe.accumulation} accumulated" if recipe.accumulation > 1 else ""),
        "Epochs": str(recipe.epochs),
        "Augmentation": _augmentation(recipe.augmentation),
        "Evaluation": _evaluation(recipe.evaluation),
        "Dropout": "the architecture's" if recipe.dropout is None else f"{recipe.dropout:g}",
        "Initialization": ", ".join(f"{who} {how}" for who, how in recipe.initialization)
        or "the architecture's",
        **_extras(recipe),
        "Not stated": f"{', '.join(recipe.unstated)}: ours" if recipe.unstated else "",
    }
    for key, value in rows.items():
        if value:
            table.add_row(Text(key, "dim"), Text(value))
    console.print(Padding(table, (0, 0, 0, 2)))
    for note in recipe.notes:
        console.print(Padding(Text(f"• {note}"), (0, 0, 0, 2)))
    _results(recipe, console)


def _results(recipe: Recipe, console: Console) -> None:
    """What the paper reached with its network, from the architecture's card."""
    from rich.padding import Padding
    from rich.table import Table

    from kerascnn import catalogue

    if recipe.network not in catalogue.list_architectures():
        return
    results = catalogue.get(recipe.network).card.results
    table = Table("data", "protocol", "metric", "value", box=None)
    for result in results:
        values = result.value if isinstance(result.value, tuple) else (result.value,)
        value = "/".join(f"{value:g}" for value in values)
        table.add_row(result.dataset, result.protocol, result.metric, value)
    if results:
        console.print(f"\nPublished for {recipe.network}:")
        console.print(Padding(table, (0, 0, 0, 1)))


def _optimizer(recipe: Recipe) -> str:
    if recipe.optimizer != "sgd":
        return recipe.optimizer
    kind = "Nesterov " if recipe.nesterov else ""
    return f"SGD {kind}{recipe.momentum:g}" if recipe.momentum else "SGD"


def _decay(recipe: Recipe) -> str:
    if not recipe.weight_decay:
        return "none"
    kind = "added to the gradient" if recipe.decay == "l2" else "decoupled"
    return f"{recipe.weight_decay:g}, {kind}, on {recipe.decay_on}"


def _schedule(recipe: Recipe) -> str:
    rate = f"{recipe.learning_rate:g}"
    found = {
        "constant": rate,
        "cosine": f"{rate}, cosine to 0",
        "step": f"{rate}, " + ", ".join(f"×{f:g} at {epoch:g}" for epoch, f in recipe.steps),
        "exponential": f"{rate}, ×{recipe.factor:g} every {recipe.every:.3g} epochs",
        "plateau": f"{rate}, ×{recipe.factor:g} on plateaus, {recipe.reductions} times",
    }[recipe.schedule]
    warmup = f", {recipe.warmup_epochs:g} epochs of warm-up" if recipe.warmup_epochs else ""
    return found + warmup


def _augmentation(changes: Augmentation) -> str:
    parts = []
    if changes.area:
        low, high = changes.area
        parts.append(f"crops of {low:.0%} to {high:.0%} of the area")
    elif changes.resize:
        low, high = changes.resize
        parts.append(f"crops at {low:.2f} to {high:.2f} times the input")
    elif changes.canvas > 1:
        parts.append(f"crops from {changes.canvas:.2f} times the input")
    if changes.pad:
        parts.append(f"crops after padding by {changes.pad:.3g} of the side")
    if changes.flip:
        parts.append("flips")
    moves = ("shift", "rotation", "zoom", "shear", "elastic")
    for name in (*moves, "brightness", "contrast", "saturation"):
        if value := getattr(changes, name):
            parts.append(f"{name} {value:g}")
    if changes.border == "mirror":
        parts.append("mirrored borders")
    if changes.lighting:
        parts.append(f"PCA colours {changes.lighting:g}")
    if changes.randaugment:
        parts.append(f"RandAugment {changes.randaugment}×{changes.magnitude:g}")
    if changes.erase:
        parts.append(f"erasing {changes.erase:g}")
    for name in MIXES:
        if alpha := getattr(changes, name):
            parts.append(f"{name} {alpha:g}")
    return ", ".join(parts) or "none"


def _evaluation(protocol: Protocol) -> str:
    scales = f" at {len(protocol.resize)} scales" if len(protocol.resize) > 1 else ""
    return f"{protocol.views}{scales}{', mirrored too' if protocol.flip else ''}"


def _extras(recipe: Recipe) -> dict[str, str]:
    """Fields that only some recipes use."""
    from kerascnn.recipes import losses

    return {
        "Loss": losses.path_of(recipe.loss).rpartition(":")[2] if recipe.loss else "",
        "Label smoothing": f"{recipe.label_smoothing:g}" if recipe.label_smoothing else "",
        "Gradient": f"norm at most {recipe.clip_norm:g}" if recipe.clip_norm else "",
        "Averaging": f"of weights, decay {recipe.ema:g}" if recipe.ema else "",
        "Kept": f"the best epoch by {recipe.monitor}" if recipe.keep == "best" else "",
        "Ends early": f"after {recipe.early_stopping} epochs without better {recipe.monitor}"
        if recipe.early_stopping
        else "",
        "Class weights": str(recipe.class_weight or ""),
        "Balance": "all classes equally often" if recipe.balance else "",
        "Frozen": f"all but the classifier, {recipe.freeze_epochs} epochs"
        if recipe.freeze_epochs
        else "",
        "Thawed": f"a stage every {recipe.thaw_epochs} epochs" if recipe.thaw_epochs else "",
        "Trunk": f"{recipe.trunk_rate:g} of the rate" if recipe.trunk_rate < 1 else "",
        "Filters": f"root mean square at most {recipe.filter_rms:g}" if recipe.filter_rms else "",
    }


def _first(source: str) -> str:
    """`He, Zhang, Ren, Sun, 2015 (arXiv:...)` → `He et al., 2015`, for the table."""
    words = source.split(",")
    year = next((word.strip()[:4] for word in words if word.strip()[:4].isdecimal()), "")
    if not year or words[0].startswith("ours"):
        return words[0].split(" for ")[0].split(" of ")[0]
    first = words[0].removesuffix(" et al.")
    return f"{first} et al., {year}"
