"""What networks are trained for: the contract, `Task`, and classification, the first of them.

- `task`: Task, which says what images are labelled with and what answers are worth; `find` gives
  the one of a name;
- `measure`: Measure, a figure that says what answers are worth; HELD and TEST stand before the name
  of one that is of the validation or the test images;
- `objective`: Objective, what a training minimises and counts; `counting` counts it over a split;
- `sight`: Sight, how a network sees images; `forward` gets its answers to any number of them;
- `prediction` and `writing`: what it sees in files, and where that goes;
- `classification`: each image has one label.

Importing this package loads neither Keras nor TensorFlow: names are resolved when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerascnn.imports import lazy

if TYPE_CHECKING:
    from kerascnn.tasks.comparison import Comparison
    from kerascnn.tasks.measure import HELD, TEST, Measure
    from kerascnn.tasks.objective import Objective
    from kerascnn.tasks.prediction import Prediction, Shown, Writers
    from kerascnn.tasks.sight import Sight
    from kerascnn.tasks.task import Seen, Task, find
    from kerascnn.tasks.writing import json_lines, json_list, json_objects, plain_writers, written

_PUBLIC = {
    "Task": "task",
    "find": "task",
    "Seen": "task",
    "Measure": "measure",
    "Comparison": "comparison",
    "HELD": "measure",
    "TEST": "measure",
    "Objective": "objective",
    "Prediction": "prediction",
    "Shown": "prediction",
    "Writers": "prediction",
    "Sight": "sight",
    "json_list": "writing",
    "json_lines": "writing",
    "json_objects": "writing",
    "plain_writers": "writing",
    "written": "writing",
}

__all__ = [
    "HELD",
    "TEST",
    "Comparison",
    "Measure",
    "Objective",
    "Prediction",
    "Seen",
    "Shown",
    "Sight",
    "Task",
    "Writers",
    "find",
    "json_lines",
    "json_list",
    "json_objects",
    "plain_writers",
    "written",
]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    __getattr__ = lazy(__name__, {n: f"{__name__}.{home}" for n, home in _PUBLIC.items()})


def __dir__() -> list[str]:
    return sorted(__all__)
