"""Search the declared space of any kerascnn architecture with KerasTuner, under a budget.

The story of a search: who calls whom.

`commands`   `kerascnn tune` makes a `Plan` of `options` or of a study file, and calls the search.
`plan`       A `Plan` is what decides a search, as data: space, budget, tuner, trials.
`problem`    `Problem.of` looks up what it names, and says of any point of the `space` what the
             network would be, what it costs, and why it can't be a trial.
`searching`  `search_on` loads the data, begins the `Study`, makes the oracle, and starts to work.
`study`      `Study.begin` writes study.json, or refuses to go on with another search, other data or
             other code, as `study.identity` tells them apart.
`warm_start` takes over from another study what lies in this space.
`oracles`    `make_oracle` gives KerasTuner's oracle of that tuner; `Proposing` keeps its proposals
             new and within the budget, `Guarded` its state safe, and `internals` knows its hooks.
`working`    `work` asks the oracle for a trial, has it run, reports, and asks for the next one.
`trials`     `Runner` trains it with `kerascnn.train`, from each seed; a `Pruner` may end it early.
`display`    shows, as the oracle's listener, which trials run and which are best.
`study`      `study.report` writes leaderboard, pictures and best/ of what the trials left behind.
`finals`     `run_finals` trains the best again, beside the default; `Finals` says what holds.
`printing`   shows the outcome, and the command ends.

On many machines `remote.machines` does what `searching` does here: a `Chief` serves the oracle, and
each worker works with a `Client` in the oracle's place. `HyperModel` is for those who bring a tuner
of their own.

Importing this package loads neither Keras nor KerasTuner: names are resolved when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import kerascnn  # noqa: F401 - so that Keras finds what saved models name
from kerascnn.imports import lazy

if TYPE_CHECKING:
    from kerascnn_tuning.finals.running import run_finals
    from kerascnn_tuning.hypermodel import HyperModel
    from kerascnn_tuning.plan import Plan
    from kerascnn_tuning.searching import search
    from kerascnn_tuning.study.study import Study

_PUBLIC = {
    "HyperModel": "hypermodel",
    "Plan": "plan",
    "Study": "study.study",
    "run_finals": "finals.running",
    "search": "searching",
}

__all__ = ["HyperModel", "Plan", "Study", "run_finals", "search"]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    __getattr__ = lazy(__name__, {n: f"{__name__}.{home}" for n, home in _PUBLIC.items()})


def __dir__() -> list[str]:
    return sorted(__all__)
