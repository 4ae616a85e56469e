"""`kerascnn svm`: the last step of R-CNN and SPPNet, from a run to a run."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer


def svm(
    run: Path = typer.Argument(help="The directory of a trained rcnn or sppnet."),
    new: Path = typer.Option(..., "--run", help="The directory of the run that is made."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Delete an earlier run there."),
    batch_size: int = typer.Option(8, min=1, help="Images in one step; decides no result."),
) -> None:
    """Put SVMs and ridge regression in the place of a trained R-CNN's or SPPNet's last layers.

    They are fitted to the run's training images. What is made is a run as well, for `kerascnn
    evaluate` and `kerascnn predict`.
    """
    from kerascnn import Run
    from kerascnn_detection.svm import Settings, fit

    started, tuned = time.perf_counter(), Run.open(run)
    model, settings = tuned.model(), Settings()
    say = functools.partial(typer.echo, err=True)

    def batches() -> Iterator[tuple[Any, Any]]:
        return tuned.batches("train", batch_size=batch_size, echo=None)

    fitted = fit(model, batches, settings, say=say)
    seconds = time.perf_counter() - started
    metrics = {"svm": asdict(settings), "train_seconds": seconds}
    made = tuned.derive(new, fitted, metrics, overwrite=overwrite)
    say(f"Fitted in {seconds:.0f} s: {made.path}")
