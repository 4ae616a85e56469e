"""The page of a run: how it was trained, what it is worth, what it sees, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn.errors import KerascnnError
from kerascnn.reports.page import Code, Page, Part, Picture, Section, Table, Text
from kerascnn.reports.reporter import Asked, Reporter
from kerascnn.runs.config import FILE, RunConfig, plain
from kerascnn.runs.run import Run
from kerascnn.tasks.measure import HELD, TEST

if TYPE_CHECKING:
    import keras

ABOUT = ("source", "unstated", "notes", "network", "name")  # fields that describe a recipe
COMMAND = ("kerascnn", "__main__.py")  # what the command line is called as


def page(path: Path, asked: Asked) -> Page:
    """The page of a run, as far as the run has come.

    Raises:
        RunError: its config is damaged, or no installed package knows what it was trained for.
    """
    run = Run.open(path)
    config, model = run.config, _model(run)
    trained = not isinstance(model, str)
    answered = _answers(run, model, asked) if trained else [Section("Model", [Text(model)])]
    return Page(
        title=f"{config.name} on {config.data.source}",
        lead=_lead(run),
        sections=[
            Section("Summary", [Table(_summary(run))]),
            Section("Training", _curves(run)),
            *answered,
            Section("Network", _network(model) if trained else []),
            Section("Recipe", _recipe(config)),
            Section("Data", [Table(_data(config))]),
            Section("Do it again", _again(run)),
        ],
    )


def _model(run: Run) -> Any:
    """The trained model; or why there is none."""
    try:
        return run.model()
    except KerascnnError as error:
        return str(error)


def _answers(run: Run, model: keras.Model, asked: Asked) -> list[Section]:
    from kerascnn.reports.answers import answers

    return answers(run, model, asked)


def _figures(run: Run) -> Mapping[str, Any]:
    """The final ones, or those of the last epoch."""
    return run.metrics if run.finished else (run.history or [{}])[-1]


def _lead(run: Run) -> str:
    main, figures = run.task.main, _figures(run)
    for part, images in ((TEST, "test"), (HELD, "validation")):
        if (value := main.of(figures, part)) is not None:
            said = f"{main.title} on the {images} images: {main.written(value)}."
            return said if run.finished else f"{said} Training has not come to its end."
    return "Training has come to its end." if run.finished else "Training has not come to its end."


def _summary(run: Run) -> list[tuple[str, str]]:
    config, figures, main = run.config, _figures(run), run.task.main
    shape = "×".join(map(str, config.input_shape))
    rows = [
        ("run", str(run.path)),
        ("network", config.name),
        ("task", config.task),
        ("data", config.data.source),
        ("images", f"{shape}, {config.classes:,} classes"),
        ("created", config.created),
    ]
    for part, images in ((TEST, "test"), (HELD, "validation"), ("", "training")):
        if (value := main.of(figures, part)) is not None:
            rows.append((f"{main.title}, {images} images", main.written(value)))
    if params := figures.get("trainable_params"):
        rows.append(("trainable parameters", f"{params:,}"))
    if (seconds := figures.get("train_seconds")) is not None:
        rows.append(("seconds of training", f"{seconds:,.0f}"))
    if run.finished and figures.get("epoch"):
        rows.append(("epoch of the model", str(figures["epoch"])))
    return rows


def _curves(run: Run) -> list[Part]:
    from kerascnn.watching.curves import picture

    rows, main = run.history, run.task.main
    if not rows:
        return [Text("No epoch is complete.")]
    held = run.metrics.get("epoch") if run.finished else None
    figure = picture(rows, measure=main, held=held if isinstance(held, int) else None)
    last = [
        f"{name} {main.written(value)}"
        for part, name in (("", "training"), (HELD, "validation"))
        if (value := main.of(rows[-1], part)) is not None
    ]
    alt = f"Loss, {main.title} and learning rate over {len(rows)} epochs; last: {', '.join(last)}."
    return [Picture.of(figure, alt)]


def _network(model: keras.Model) -> list[Part]:
    from kerascnn.drawing.networks import draw
    from kerascnn.profiles import TITLES
    from kerascnn.profiling import profile

    parts: list[Part] = []
    makers: tuple[Callable[[], Part], ...] = (
        lambda: Picture.of(draw(model), f"The layers of {model.name} as volumes, in order."),
        lambda: Table(profile(model).rows(), TITLES, "All layers", closed=True),
    )
    for made in makers:
        try:
            parts.append(made())
        except KerascnnError as error:
            parts.append(Text(f"Not shown: {error}"))
    return parts


def _recipe(config: RunConfig) -> list[Part]:
    """The recipe's fields, with the reasons that it gives for them."""
    recipe = config.recipe
    fields = {name: value for name, value in plain(recipe).items() if name not in ABOUT}
    rows = [(name.replace("_", " "), value) for name, value in _flat(fields)]
    about = [f"Recipe: {recipe.name or 'of its own'}."]
    if recipe.source:
        about.append(f"Source: {recipe.source}.")
    return [Text(" ".join(about)), Table(rows)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values in rows; what isn't set is left out."""
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}: ")
        elif value not in (None, "", [], False):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((prefix + name, shown))
    return rows


def _data(config: RunConfig) -> list[tuple[str, str]]:
    data, names = config.data, config.named_classes
    rows = [("source", data.source)]
    rows += [(f"{split} images", f"{size:,}") for split, size in data.sizes.items()]
    return [
        *rows,
        ("classes", ", ".join(names)),
        ("size of the images", "×".join(map(str, config.canvas))),
        ("split rule", data.split_rule or "the source's own"),
        ("fingerprint", data.fingerprint),
    ]


def _again(run: Run) -> list[Part]:
    """The command of the training, as config.json has it, those of the figures, and versions."""
    config, name = run.config, shlex.quote(str(run.path))
    lines = []
    if config.command:
        first, *words = config.command
        called = "kerascnn" if Path(first).name in COMMAND else f"python {shlex.quote(first)}"
        lines.append(" ".join([called, *map(shlex.quote, words)]))
    lines += [f"kerascnn evaluate {name}", f"kerascnn report {name} --save report.html"]
    rows = [*config.versions.items(), ("seed", config.seed), ("precision", config.precision)]
    rows.append(("strategy", config.strategy))
    if config.git:
        rows += [(f"git {key}", value) for key, value in config.git.items()]
    return [Code("\n".join(lines)), Table(rows, caption="Versions and settings")]


RUN = Reporter(name=FILE, page=page)
