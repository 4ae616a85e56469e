"""Whole trainings on the bundled digits, as users run them, against peers in the same call.

Every contestant runs in a fresh process of its own, in turn (A B A B ...), so that neither profits
from what the other has warmed up and both see the same noise of the machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerascnn.bench.processes import answer
from kerascnn.errors import ArgumentError


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
    task = {"name": name, "batch_size": batch_size, "epochs": epochs}
    with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
        arrays = f"{folder}/digits.npz"
        _in_process("write", {"name": name, "arrays": arrays})
        for _ in range(rounds):
            for who in contestants:
                given = {} if who == "kerascnn" else {"arrays": arrays}
                results[who].append(_timed(who, {**task, **given}))
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


def _timed(who: str, task: Mapping[str, Any]) -> dict[str, float]:
    started = time.time()
    row = _in_process(who, task)
    marks, images = row["marks"], row["images"]
    later = marks[-1] - marks[1]
    return {
        "first_step": row["first_step"] - started,
        "images_per_second": images * (len(marks) - 2) / later,
        "with_first_epoch": images * (len(marks) - 1) / (marks[-1] - marks[0]),
    }


def _in_process(who: str, task: Mapping[str, Any]) -> Any:
    """What one of `WORK` returns in a fresh process."""
    words = json.dumps({"who": who, **task})
    return answer("kerascnn.bench.digits", words, what=f"The benchmark of {who}")


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


def _keras(name: str, batch_size: int, epochs: int, arrays: str) -> dict[str, Any]:
    """What a Keras user writes: compile, and fit on arrays with validation data."""
    from kerascnn import catalogue
    from kerascnn.recipes import trusted
    from kerascnn.recipes.losses import make_loss
    from kerascnn.recipes.recipe import Recipe

    architecture = catalogue.get(name)
    images, labels, *validation = _read(arrays)
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
        validation_data=tuple(validation),
        verbose=0,
        callbacks=[watch],
    )
    return {"marks": watch.marks, "first_step": watch.first_step, "images": size}


def _pytorch(name: str, batch_size: int, epochs: int, arrays: str) -> dict[str, Any]:
    """PyTorch's usual loop on LeNet-5, data already in tensors, on the first GPU if there is one.

    TensorFlow must stay out of this process: some builds of the two don't bear each other.
    """
    import torch
    from torch import nn

    if name != "lenet5":
        raise ArgumentError(f"The PyTorch loop is written for lenet5. Received: {name!r}.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels, held_images, held_labels = _read(arrays)
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    ).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    x, held = (
        torch.from_numpy(part.transpose(0, 3, 1, 2)).contiguous().to(device)
        for part in (images, held_images)
    )
    y, held_y = (torch.from_numpy(part).long().to(device) for part in (labels, held_labels))
    size = len(x) // batch_size * batch_size
    marks, first_step = [time.time()], 0.0
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))[:size].to(device)
        for part in order.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(model(x[part]), y[part])
            loss.backward()
            optimizer.step()
            first_step = first_step or time.time()
        model.eval()
        with torch.no_grad():
            (model(held).argmax(1) == held_y).float().mean().item()
        marks.append(time.time())
    return {"marks": marks, "first_step": first_step, "images": size}


def _write(name: str, arrays: str) -> None:
    """Training and validation digits as a file of arrays: float32 in [0, 1], and int32 labels."""
    import numpy as np

    from kerascnn import catalogue
    from kerascnn.data import load

    shape = catalogue.get(name).card.input_shape
    dataset = load("mnist5k", input_shape=shape, echo=None)
    parts = []
    for split in (dataset.train, dataset.validation):
        images, labels = next(split.batches(split.size).as_numpy_iterator())
        parts += [images.astype(np.float32) / 255, labels]
    np.savez(arrays, *parts)


def _read(arrays: str) -> list[Any]:
    """Images and labels for training, and for validation."""
    import numpy as np

    with np.load(arrays) as file:
        return [file[name] for name in file.files]


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
WORK = {**CONTESTANTS, "write": _write}

if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    work: Any = WORK[task.pop("who")]
    print(json.dumps(work(**task)))
