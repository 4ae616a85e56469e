"""What each part of a network and of its recipe is worth: the same training without it.

What can be left out isn't listed here: a family's space says it (`Param.off`), and so does the
recipe (`kerascnn.recipes.recipe.OFF` and `CHANGES`).
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import keras

from kerascnn import catalogue
from kerascnn.architecture import Architecture
from kerascnn.console import Console
from kerascnn.distribution.names import check_strategy
from kerascnn.errors import ArgumentError, RunError
from kerascnn.files import read_json
from kerascnn.network import Network
from kerascnn.pictures import dress, figure_of
from kerascnn.recipes.recipe import CHANGES, OFF, Augmentation, Recipe
from kerascnn.runs.config import plain
from kerascnn.runs.run import Run
from kerascnn.style import INK, TRAIN, VALIDATION
from kerascnn.tasks.measure import TEST, Measure
from kerascnn.tasks.task import find
from kerascnn.training import trainer
from kerascnn.words import counted, did_you_mean
from kerascnn.writing import write_figure, write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

PLAN, FIGURES, PICTURE = "plan.json", "ablation.csv", "ablation.png"
WHOLE = "with all"


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something that a training can do without.

    Attributes:
        name: an argument's or a field's: "norm", "augmentation.flip".
        other: what it may be called, too: "lrn", "flip"; "": nothing.
        was: what it is now.
        becomes: what it is without it.
        arguments: of the network, that change.
        recipe: fields of the recipe that change.
    """

    name: str
    other: str = ""
    was: Any
    becomes: Any
    arguments: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return self.other or self.name


def parts(network: Network, recipe: Recipe) -> tuple[Part, ...]:
    """What a network and its recipe can do without, as they are.

    Args:
        network: with its arguments.
        recipe: how it is trained.
    """
    return (*_of_network(network, recipe), *_of_recipe(recipe))


def _of_network(network: Network, recipe: Recipe) -> Iterator[Part]:
    values = network.arguments
    for param in network.space:
        idle = param.when and values[param.when[0]] not in param.when[1]
        if param.off is None or idle:
            continue
        now, off = values[param.name], param.off
        arguments: dict[str, Any] = {}
        changes: dict[str, Any] = {}
        if param.name == "dropout" and recipe.dropout is not None:
            now, changes = recipe.dropout, {"dropout": 0.0}
        else:
            off = (off,) * len(now) if param.per_stage else off
            arguments = {param.name: off}
        if now != off:
            other = param.idea or (now if isinstance(now, str) else "")
            yield Part(
                name=param.name,
                other=other,
                was=now,
                becomes=off,
                arguments=arguments,
                recipe=changes,
            )


def _of_recipe(recipe: Recipe) -> Iterator[Part]:
    for name, changes in OFF.items():
        now = getattr(recipe, name)
        idle = name in ("momentum", "nesterov") and recipe.optimizer != "sgd"
        if now != changes[name] and not idle:
            yield Part(name=name, was=now, becomes=changes[name], recipe=changes)
    none, now = Augmentation(), recipe.augmentation
    changed = [name for name in CHANGES if getattr(now, name) != getattr(none, name)]
    if changed:
        yield Part(
            name="augmentation",
            was=", ".join(changed),
            becomes="none",
            recipe={"augmentation": none},
        )
    for name in changed:
        was, off = getattr(now, name), getattr(none, name)
        left = {"augmentation": replace(now, **{name: off})}
        yield Part(name=f"augmentation.{name}", other=name, was=was, becomes=off, recipe=left)


def chosen(names: Sequence[str], known: Sequence[Part], owner: str) -> tuple[Part, ...]:
    """The parts of these names, each once.

    Raises:
        ArgumentError: there is no such part; the message lists those that there are.
    """
    found: dict[str, Part] = {}
    for name in names:
        part = next((part for part in known if name in (part.name, part.other)), None)
        if part is None:
            labels = [part.label for part in known]
            all_names = [*labels, *(part.name for part in known)]
            raise ArgumentError(
                f"{owner} has no {name} to leave out.{did_you_mean(name, all_names)} "
                f"It can do without: {', '.join(labels) or 'nothing'}. Received: {name!r}."
            )
        found[part.name] = part
    return tuple(found.values())


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the runs without a part came to.

    Attributes:
        part: what was left out; None: nothing.
        values: the main measure of the test images, by seed.
    """

    part: Part | None
    values: Mapping[int, float]

    @property
    def label(self) -> str:
        """What it is called in tables and pictures."""
        return f"without {self.part.label}" if self.part else WHOLE


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """The results, those of the whole first; all have the same seeds.

    Attributes:
        directory: where runs, table and picture are.
        measure: the task's main one, by which they are compared.
        outcomes: one for each part, and one for the whole.
    """

    directory: Path
    measure: Measure
    outcomes: tuple[Outcome, ...]

    def differences(self, outcome: Outcome) -> list[float]:
        """By how much it is more than the whole, seed by seed."""
        whole = self.outcomes[0].values
        return [value - whole[seed] for seed, value in outcome.values.items()]

    def table(self) -> Table:
        """A Rich table: the median over the seeds, their range, and what leaving out changes."""
        from rich.table import Table

        title = f"{self.measure.title} on the test images, {self.measure.better} is better"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("", no_wrap=True)
        points = "points" if self.measure.share else "change"
        for heading in ("median", "range", points, "range", "seeds"):
            table.add_column(heading, justify="right")
        for outcome in self.outcomes:
            changes = self.differences(outcome) if outcome.part else []
            table.add_row(
                outcome.label,
                *self._spread(list(outcome.values.values()), self.measure.written),
                *self._spread(changes, self._signed),
                str(len(outcome.values)),
            )
        return table

    def _spread(self, values: Sequence[float], write: Any) -> tuple[str, str]:
        if not values:
            return "", ""
        return write(median(values)), f"{write(min(values))} to {write(max(values))}"

    def _signed(self, value: float) -> str:
        return f"{100 * value:+.2f}" if self.measure.share else f"{value:+,.4g}"

    def to_csv(self) -> str:
        """A line for each run: what was left out, seed, the measure, and its change."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["without", "seed", self.measure.name, "change", "run"])
        whole = self.outcomes[0].values
        for outcome in self.outcomes:
            name = outcome.part.name if outcome.part else ""
            for seed, value in outcome.values.items():
                change = round(value - whole[seed], 9) if outcome.part else ""
                writer.writerow([name, seed, value, change, _place(outcome.part, seed)])
        return out.getvalue()

    def picture(self) -> Figure:
        """A line for each part: a dot for each seed, a stroke at their median."""
        figure = figure_of(7.2, 1.3 + 0.38 * len(self.outcomes))
        axes = figure.add_subplot()
        factor = 100 if self.measure.share else 1
        whole = [value * factor for value in self.outcomes[0].values.values()]
        axes.axvspan(min(whole), max(whole), color=TRAIN, alpha=0.12, linewidth=0)
        axes.axvline(median(whole), color=TRAIN, linewidth=1)
        for row, outcome in enumerate(self.outcomes):
            values = [value * factor for value in outcome.values.values()]
            colour = VALIDATION if outcome.part else TRAIN
            axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.6, markersize=5)
            axes.plot([median(values)], [row], "|", color=INK, markersize=16, markeredgewidth=2)
        unit = " in %" if self.measure.share else ""
        xlabel = f"{self.measure.title}{unit}, test images; stroke: median, band: {WHOLE}"
        dress(axes, "What each part is worth", xlabel=xlabel)
        axes.set_yticks(range(len(self.outcomes)), [outcome.label for outcome in self.outcomes])
        axes.set_ylim(len(self.outcomes) - 0.5, -0.5)
        axes.margins(x=0.08)
        return figure


def ablate(
    network: str | Architecture | Network,
    data: str,
    *,
    what: Sequence[str],
    seeds: int = 3,
    recipe: Recipe | None = None,
    batch_size: int | str | None = "auto",
    strategy: str = "auto",
    directory: str | Path | None = None,
    console: Console | None = None,
) -> Ablation:
    """Train a network with everything, and without one part after the other; each seed alike.

    Every run is that of `kerascnn.train`. Finished ones are kept, one that was ended goes on, so
    the same call completes what was killed; more parts and more seeds may be asked for later.

    Args:
        network: an architecture's name, an Architecture, or a Network.
        data: a source such as "mnist5k".
        what: the names of the parts to leave out, each for itself; see `parts`.
        seeds: of each, so many: 0, 1, 2 ...
        recipe: how to train; default: the architecture's.
        batch_size: as `kerascnn.train` takes it.
        strategy: the same; not "multiworker".
        directory: for runs, ablation.csv and ablation.png; default: `runs/ablations/NAME-DATA`.
        console: where messages and progress go.

    Raises:
        ArgumentError: a part is unknown, or something else is illegal.
        RunError: the directory holds something else, or the ablation of other settings.
    """
    console = console or Console()
    whole = _network(network)
    recipe = recipe or whole.recipe or Recipe()
    if strategy == "multiworker":
        raise ArgumentError(
            "An ablation trains one run after the other, on one machine: expected a strategy for "
            "that, such as mirrored. Received: 'multiworker'."
        )
    check_strategy(strategy)
    if seeds < 1:
        raise ArgumentError(f"seeds must be 1 or more. Received: {seeds}.")
    left_out: tuple[Part | None, ...] = (None, *chosen(what, parts(whole, recipe), whole.name))
    plan = [(_without(part, whole, recipe), part) for part in left_out]  # refused before training
    place = Path(directory or Path("runs") / "ablations" / f"{whole.name}-{_file_name(data)}")
    _claim(place, {"data": data, "batch_size": batch_size, **_described(whole, recipe)})
    measure = find(whole.task).main
    runs = [(part, seed, place / _place(part, seed)) for part in left_out for seed in range(seeds)]
    _announce(console, left_out, runs)
    values: dict[str, dict[int, float]] = {}
    for number, (part, seed, path) in enumerate(runs, start=1):
        without, changed = next(made for made, known in plan if known is part)
        label = f"without {part.label}" if part else WHOLE
        if not _finished(path):
            console.print(
                f"[bold]{number} of {len(runs)}[/]: {label}, seed {seed}", highlight=False
            )
            _train(path, without, data, changed, batch_size, strategy, seed, console)
        value = measure.of(Run.open(path).metrics, TEST)
        if value is None:
            raise RunError(f"{path} has no {TEST}{measure.name}: the data has no test images.")
        values.setdefault(_place(part, None), {})[seed] = value
    found = Ablation(
        directory=place,
        measure=measure,
        outcomes=tuple(Outcome(part=part, values=values[_place(part, None)]) for part in left_out),
    )
    write_text(place / FIGURES, found.to_csv())
    write_figure(found.picture(), place / PICTURE)
    return found


def _network(given: str | Architecture | Network) -> Network:
    if isinstance(given, Network):
        return given
    return (catalogue.get(given) if isinstance(given, str) else given).network({})


def _without(part: Part | None, network: Network, recipe: Recipe) -> tuple[Network, Recipe]:
    if part is None:
        return network, recipe
    return network.with_given(part.arguments), replace(recipe, **part.recipe)


def _place(part: Part | None, seed: int | None) -> str:
    """The name of a run's directory."""
    name = f"without-{part.name}" if part else "with-all"
    return name if seed is None else f"{name}-{seed}"


def _file_name(source: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in source).strip("-.")[:60]


def _described(network: Network, recipe: Recipe) -> dict[str, Any]:
    return {
        "network": network.name,
        "arguments": plain(network.arguments),
        "input_shape": list(network.input_shape),
        "recipe": plain(recipe),
    }


def _claim(place: Path, settings: dict[str, Any]) -> None:
    """Make the directory, or find that it is of these settings.

    Raises:
        RunError: it isn't.
    """
    settings = json.loads(json.dumps(settings))
    path = place / PLAN
    if not path.is_file():
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise RunError(
                f"{place} holds something else than an ablation. Choose another directory."
            )
        place.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        return
    known = read_json(path, what="The plan of an ablation", error=RunError)
    if not isinstance(known, dict):
        raise RunError(f"{path} is damaged: expected an object. Choose another directory.")
    if differing := [name for name in settings if known.get(name) != settings[name]]:
        raise RunError(
            f"{place} holds an ablation of other settings: {', '.join(differing)}. Choose another "
            "directory, or ask for the same."
        )


def _announce(
    console: Console, left_out: Sequence[Part | None], runs: Sequence[tuple[Any, int, Path]]
) -> None:
    kept = sum(_finished(path) for *_, path in runs)
    seeds = len(runs) // len(left_out)
    each = f", {counted(seeds, 'seed', 'seeds')} each"
    console.print(
        f"{counted(len(runs), 'run', 'runs')}{each}: {kept} finished, {len(runs) - kept} to do."
    )
    console.print(f"  {WHOLE}")
    for part in filter(None, left_out):
        text = f"  without {part.label}: {part.name} {written(part.was)} → {written(part.becomes)}"
        console.print(text, markup=False, highlight=False)


def written(value: Any) -> str:
    """A value for people."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _finished(path: Path) -> bool:
    return (path / "config.json").is_file() and Run.open(path).finished


def _train(
    path: Path,
    network: Network,
    data: str,
    recipe: Recipe,
    batch_size: int | str | None,
    strategy: str,
    seed: int,
    console: Console,
) -> None:
    """Train a run, or go on with one that was ended."""
    if (path / "config.json").is_file():
        trainer.resume(path, loss=recipe.loss, console=console)
    else:
        if path.is_dir():  # killed before there was anything to go on with
            shutil.rmtree(path)
        trainer.train(
            network,
            data,
            recipe=recipe,
            batch_size=batch_size,
            strategy=strategy,
            seed=seed,
            run=path,
            console=console,
        )
    keras.backend.clear_session()
