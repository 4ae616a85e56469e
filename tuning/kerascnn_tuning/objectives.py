"""What a trial reports, and which way each figure is better: the task's measures, costs, times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kerascnn
from kerascnn import tasks
from kerascnn.errors import ArgumentError
from kerascnn.tasks import HELD, TEST
from kerascnn_tuning.values import refuse_doubles

if TYPE_CHECKING:  # to list commands must not load what tasks need
    from kerascnn.tasks import Measure, Task

MAIN = "main"
"""Stands for the main measure of the network's task, on the validation images."""
COSTS = ("params", "macs", "latency", "seconds")
"""What is known once a trial has ended; the others are known after each epoch."""


def task_of(architecture: str) -> Task:
    """What a registered network is trained for.

    Raises:
        UnknownNameError: there is no such architecture.
    """
    return tasks.find(kerascnn.get(architecture).task)


def reported(task: Task) -> dict[str, Measure]:
    """Name → measure of all that trials and finals report, what guides a search best first."""
    found = [*task.measures, tasks.Measure(name="loss", title="Loss", share=False)]
    costs = {name: tasks.Measure(name=name, title=name, share=False) for name in COSTS}
    parts = {part + one.name: one for part in (HELD, "", TEST) for one in found}
    return parts | costs


def chosen(names: tuple[str, ...], task: Task) -> tuple[str, ...]:
    """The objectives of these names.

    Raises:
        ArgumentError: there are none, one is not among what a trial reports, or one is there twice.
    """
    legal = [name for name in reported(task) if not name.startswith(TEST)]
    named = tuple(HELD + task.main.name if name == MAIN else name for name in names)
    unknown = [str(name) for name in named if name not in legal]
    if unknown or not named:
        raise ArgumentError(
            f"An objective must be one of {', '.join(legal)}, or {MAIN}, which is "
            f"{HELD}{task.main.name}. Received: {', '.join(unknown) or 'none'}."
        )
    refuse_doubles(named, "objectives")
    return named
