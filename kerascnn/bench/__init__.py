"""Measurements of speed and memory against peers, always as ratios within one call.

`rounds` runs contestants in turn, each in a process of its own; every other module is one
measurement: `infer`, `training`, `building`, `imports`, `data`, and `digits` for whole trainings.

What other packages need that announce a benchmark under `kerascnn.benchmarks` can be imported from
here.
"""

from kerascnn.bench.machine import as_json
from kerascnn.bench.processes import answer, ended

__all__ = ["answer", "as_json", "ended"]
