"""Weights & Biases: as WANDB_PROJECT, WANDB_ENTITY and WANDB_MODE say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerascnn.watching.loggers import Logged, Logger, Opening


class _Run:
    """A run of wandb."""

    def __init__(self, run: Any) -> None:
        self.identity, self._run = str(run.id), run

    def measure(self, values: Mapping[str, float], epoch: int) -> None:
        self._run.log({**values, "epoch": epoch})

    def keep(self, files: Sequence[Path]) -> None:
        import wandb

        artifact = wandb.Artifact(f"run-{self.identity}", type="kerascnn-run")
        for path in files:
            artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def end(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


def _open(opening: Opening) -> Logged:
    import wandb

    run = wandb.init(
        id=opening.identity,
        name=opening.name,
        resume="allow",
        config=dict(opening.parameters),
        settings=wandb.Settings(silent=True),
    )
    return _Run(run)


WANDB = Logger(package="wandb", install="kerascnn[wandb]", open=_open)
