"""Whole trainings on the bundled digits, as users run them, against peers in the same call.

Every contestant runs in a fresh process of its own, in turn (A B A B ...), so that neither profits
from what the other has warmed up and both see the same noise of the machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kerascnn.errors import ArgumentError, KerascnnError


@dataclass(frozen=True)
class Training:
    """What one contestant did; medians over rounds.

    Attributes:
        name: who.
        images_per_second: over all epochs but the first.
        with_first_epoch: over all epochs, the compilation of the first one included.
        first_step: seconds from the start of the process to the end of the first step.
        spread: smallest and largest images per second.
    """

    name: str
    images_per_second: float
    with_first_epoch: float
    first_step: float
    spread: tuple[float, float]


def measure(
    name: str, *, batch_size: int, epochs: int, rounds: int, contestants: Sequence[str]
) -> list[Training]:
    """Time training of `name` on the bundled digits, ours first.

    Args:
        name: an architecture.
        batch_size, epochs: of each training.
        rounds: fresh processes for each contestant.
        contestants: names of `CONTESTANTS`.
    """
    results: dict[str, list[dict[str, float]]] = {who: [] for who in contestants}
    for _ in range(rounds):
        for who in contestants:
            results[who].append(_in_process(who, name, batch_size, epochs))
    return [_summary(who, rows) for who, rows in results.items()]


def _summary(who: str, rows: list[dict[str, float]]) -> Training:
    speeds = [row["images_per_second"] for row in rows]
    return Training(
        name=who,
        images_per_second=statistics.median(speeds),
        with_first_epoch=statistics.median(row["with_first_epoch"] for row in rows),
        first_step=statistics.median(row["first_step"] for row in rows),
        spread=(min(speeds), max(speeds)),
    )


def _in_process(who: str, name: str, batch_size: int, epochs: int) -> dict[str, float]:
    task = json.dumps({"who": who, "name": name, "batch_size": batch_size, "epochs": epochs})
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "kerascnn.bench.digits", task],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if done.returncode:
        raise KerascnnError(f"The benchmark of {who} failed:\n{done.stderr[-2000:]}")
    row = json.loads(done.stdout.splitlines()[-1])
    marks = row["marks"]
    images = row["images"]
    later = marks[-1] - marks[1]
    return {
        "first_step": row["first_step"] - started,
        "images_per_second": images * (len(marks) - 2) / later,
        "with_first_epoch": images * (len(marks) - 1) / (marks[-1] - marks[0]),
    }


def _ours(name: str, batch_size: int, epochs: int) -> dict[str, Any]:
    """`kerascnn.train` as users call it: with validation, checkpoints, curves and TensorBoard."""
    import tempfile

    from kerascnn import catalogue
    from kerascnn.console import Console
    from kerascnn.recipes.recipe import Recipe
    from kerascnn.training import trainer

    watch = _watch()
    loss = (catalogue.get(name).recipe or Recipe()).loss
    recipe = Recipe(optimizer="adam", batch_size=batch_size, epochs=epochs, loss=loss)
    with tempfile.TemporaryDirectory() as directory:
        run = trainer.train(
            name,
            "mnist5k",
            recipe=recipe,
            run=f"{directory}/run",
            callbacks=[watch],
            console=Console(quiet=True),
        )
        size = run.config.data.sizes["train"] // batch_size * batch_size
    return {"marks": watch.marks, "first_step": watch.first_step, "images": size}


def _keras(name: str, batch_size: int, epochs: int) -> dict[str, Any]:
    """What a Keras user writes: compile, and fit on arrays with validation data."""
    from kerascnn import catalogue
    from kerascnn.recipes import trusted
    from kerascnn.recipes.losses import make_loss
    from kerascnn.recipes.recipe import Recipe

    architecture = catalogue.get(name)
    (images, labels), validation = _digits(architecture.card.input_shape)
    model = architecture(classifier_activation=None)
    own = trusted.own(architecture.recipe or Recipe(), lambda _: None)
    recipe = Recipe(loss=own)
    model.compile(
        optimizer="adam",
        loss=make_loss(recipe, architecture.card.classes, from_logits=True),
        metrics=["accuracy"],
    )
    watch = _watch()
    size = len(images) // batch_size * batch_size
    model.fit(
        images[:size],
        labels[:size],
        batch_size=batch_size,
        epochs=epochs,
        validation_data=validation,
        verbose=0,
        callbacks=[watch],
    )
    return {"marks": watch.marks, "first_step": watch.first_step, "images": size}


def _pytorch(name: str, batch_size: int, epochs: int) -> dict[str, Any]:
    """PyTorch's usual loop on LeNet-5, data already in tensors."""
    import torch
    from torch import nn

    if name != "lenet5":
        raise ArgumentError(f"The PyTorch loop is written for lenet5. Received: {name!r}.")
    (images, labels), (held_images, held_labels) = _digits((32, 32, 1))
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.from_numpy(images.transpose(0, 3, 1, 2)).contiguous(), torch.from_numpy(labels)
    held = torch.from_numpy(held_images.transpose(0, 3, 1, 2)).contiguous()
    size = len(x) // batch_size * batch_size
    marks, first_step = [time.time()], 0.0
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))[:size]
        for part in order.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(model(x[part]), y[part].long())
            loss.backward()
            optimizer.step()
            first_step = first_step or time.time()
        model.eval()
        with torch.no_grad():
            (model(held).argmax(1) == torch.from_numpy(held_labels)).float().mean().item()
        marks.append(time.time())
    return {"marks": marks, "first_step": first_step, "images": size}


def _digits(shape: tuple[int, int, int]) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Training and validation digits as arrays: float32 in [0, 1], and int32 labels."""
    import numpy as np

    from kerascnn.data import load

    dataset = load("mnist5k", input_shape=shape, echo=None)
    training, validation = (
        next(split.batches(split.size).as_numpy_iterator())
        for split in (dataset.train, dataset.validation)
    )
    return (
        (training[0].astype(np.float32) / 255, training[1]),
        (validation[0].astype(np.float32) / 255, validation[1]),
    )


def _watch() -> Any:
    """A callback that notes the start of training, the first step and each epoch's end."""
    import keras

    class Watch(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.marks: list[float] = []
            self.first_step = 0.0

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if not self.marks:
                self.marks.append(time.time())

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.first_step = self.first_step or time.time()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.marks.append(time.time())

    return Watch()


CONTESTANTS = {"kerascnn": _ours, "keras fit": _keras, "pytorch": _pytorch}

if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    contestant = CONTESTANTS[task.pop("who")]
    print(json.dumps(contestant(**task)))
