"""Seconds of a training on the bundled digits, with and without what is recorded of it.

Recorded are checkpoints, curves and TensorBoard's logs, statistics of the layers and pictures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerascnn.bench.rounds import Contestant, Measured, Step, race


def measure(
    name: str, *, arguments: Mapping[str, Any], epochs: int, rounds: int
) -> tuple[Measured, Measured]:
    """Recorded and unrecorded trainings, in turn; each process's first one doesn't count."""
    task = {"name": name, "arguments": dict(arguments), "epochs": epochs}
    recorded, plain = (
        Contestant(label, "kerascnn.bench.recording:training", {**task, "record": record})
        for label, record in (("recorded", True), ("unrecorded", False))
    )
    first, second = race([recorded, plain], rounds=rounds, warm_up=0)
    return first, second


def training(name: str, arguments: dict[str, Any], epochs: int, record: bool) -> Step:
    """A whole training by the architecture's own recipe, on digits of 32×32×1."""
    import io

    import kerascnn
    from kerascnn.console import Console

    def step() -> None:
        with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
            kerascnn.train(
                name,
                "mnist5k",
                arguments=arguments,
                input_shape=(32, 32, 1),
                epochs=epochs,
                record=record,
                run=Path(folder) / "run",
                console=Console(file=io.StringIO()),
            )

    return step
