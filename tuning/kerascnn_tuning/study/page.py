"""The page of a study: `kerascnn report STUDY`."""

from __future__ import annotations

import shlex
from pathlib import Path

from kerascnn.errors import ArgumentError
from kerascnn.files import read_csv
from kerascnn.reports import Asked, Code, Page, Picture, Reporter, Section, Table, Text
from kerascnn.tasks import HELD, TEST
from kerascnn.words import counted
from kerascnn_tuning.errors import StudyError
from kerascnn_tuning.figures import figure
from kerascnn_tuning.study.study import Study


def page(path: Path, asked: Asked) -> Page:
    """The page of a study, as far as the search has come.

    Raises:
        StudyError: it is damaged.
        ArgumentError: data are given, on which no trial is evaluated anew.
    """
    if asked.data is not None:
        raise ArgumentError(
            "--data is for a run. A study's figures are those of its trials; report its best run: "
            f"`kerascnn report {shlex.quote(str(path / 'best'))}`. Received: {asked.data}."
        )
    study = Study.open(path)
    plan, rows = study.plan, study.leaderboard
    lead = f"{counted(len(rows), 'trial is', 'trials are')} complete."
    if rows:
        name = plan.objectives[0]
        best = figure(study.problem.measures[name], rows[0].metrics[name])
        lead = f"{lead} The best is {rows[0].id}, with {name} {best}."
    return Page(
        title=f"Search for {plan.architecture} on {plan.data}",
        lead=lead,
        sections=[
            Section("Summary", [Table(_summary(study))]),
            Section("Best trial", _best(study)),
            Section("Pictures", _pictures(study)),
            Section("Trials", _trials(study)),
            Section("Finals", _finals(study)),
            Section("Do it again", _again(study)),
        ],
    )


def _summary(study: Study) -> list[tuple[str, str]]:
    plan, states = study.plan, [row.status.lower() for row in study.trials]
    budget = {
        "parameters": plan.max_params,
        "multiply-adds": plan.max_macs,
        "bytes": plan.max_memory,
        "minutes": plan.max_minutes,
    }
    limits = [f"at most {value:,} {name}" for name, value in budget.items() if value is not None]
    return [
        ("study", str(study.path)),
        ("network", plan.architecture),
        ("data", plan.data),
        ("objectives", ", ".join(plan.objectives)),
        ("tuner", plan.tuner),
        ("budget", ", ".join(limits) or "none"),
        ("created", str(study.content.get("created", ""))),
        *((f"trials {state}", str(states.count(state))) for state in dict.fromkeys(states)),
    ]


def _best(study: Study) -> list[Table | Code]:
    rows = study.leaderboard
    if not rows:
        return []
    values = {**rows[0].arguments, **rows[0].training}
    named = [(name, str(value)) for name, value in values.items() if value is not None]
    return [
        Table(_metrics(study), ("metric", "value"), f"Trial {rows[0].id}"),
        Table(named, ("argument", "value"), "Arguments and recipe", closed=True),
        Code(f"kerascnn report {shlex.quote(str(study.path / 'best'))} --save best.html"),
    ]


def _metrics(study: Study) -> list[tuple[str, str]]:
    best, measures = study.leaderboard[0], study.problem.measures
    return [
        (name, figure(measures[name], value, best.spread.get(name)))
        for name, value in best.metrics.items()
        if name in measures
    ]


def _pictures(study: Study) -> list[Picture | Text]:
    from kerascnn_tuning.study import pictures
    from kerascnn_tuning.study.importance import FEWEST, importance_note, varied

    rows = study.leaderboard
    if not rows:
        return []
    y, x = study.axes[:2]
    front = ", ".join(row.id for row in study.front(rows, (y, x)))
    found: list[Picture | Text] = [
        Picture.of(
            pictures.pareto_picture(study, rows),
            f"{pictures.title(study, y)} over {pictures.title(study, x)}. Pareto front: {front}.",
            "All trials, and those that no other beats in both.",
        ),
        Picture.of(
            pictures.parallel_picture(study, rows),
            "Each trial's hyperparameters and score as a line.",
        ),
    ]
    if len(rows) >= FEWEST and varied(study, rows):
        alt = "How much of the score each hyperparameter explains, as bars."
        found.append(Picture.of(pictures.importance_picture(study, rows), alt))
    else:
        found.append(Text(importance_note(study, rows)))
    return found


def _trials(study: Study) -> list[Table]:
    """All trials, the best first; a column for each hyperparameter that differs."""
    from kerascnn_tuning.study.importance import varied

    best, every, measures = study.leaderboard, study.trials, study.problem.measures
    if not every:
        return []
    front, done = {row.id for row in study.pareto}, {row.id for row in best}
    main = study.plan.task.main.name
    names = list(dict.fromkeys([*study.plan.objectives, HELD + main, TEST + main, "params"]))
    differing = varied(study, every)
    cells = []
    for row in [*best, *(row for row in every if row.id not in done)]:
        figures = [
            figure(measures[name], row.metrics[name], row.spread.get(name))
            if name in row.metrics
            else "–"
            for name in names
        ]
        values = [_value(row.values.get(name)) for name in differing]
        reason = (row.reason or "").strip().partition("\n")[0]
        state = row.status.lower() + (f": {reason}" if reason else "")
        on_front = "yes" if row.id in front else ""
        cells.append([row.id, str(row.epochs), *figures, on_front, *values, state])
    header = ("trial", "epochs", *names, "Pareto", *differing, "state")
    return [Table(cells, header, "Trials, the best first")]


def _value(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finals(study: Study) -> list[Table]:
    tables = []
    for file in sorted((study.path / "finals").glob("*/finals.csv")):
        header, rows = read_csv(file, error=StudyError, inside=study.path)
        caption = f"{file.parent.name}: runs of the finalists and of the default"
        tables.append(Table(list(rows), header, caption))
    return tables


def _again(study: Study) -> list[Code | Table]:
    path = shlex.quote(str(study.path))
    lines = [f"kerascnn tune search --resume {path}", f"kerascnn report {path} --save report.html"]
    if rows := study.leaderboard:
        trial = shlex.quote(str(study.path / rows[0].id))
        lines.append(f"kerascnn train --from-trial {trial}")
    found = study.content.get("versions")
    versions = found.items() if isinstance(found, dict) else ()
    plan = study.plan
    kept = [("seed", plan.seed), ("epochs", plan.epochs), ("strategy", plan.strategy)]
    return [Code("\n".join(lines)), Table([*versions, *kept], caption="Versions and settings")]


STUDY = Reporter(name="study.json", page=page)
