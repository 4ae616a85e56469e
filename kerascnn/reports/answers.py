"""What a run answers for images: figures of each class, samples, the worst, the best, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.data import Split
from kerascnn.errors import KerascnnError
from kerascnn.explain.explaining import explanation
from kerascnn.reports.page import Part, Picture, Section, Table, Text
from kerascnn.reports.reporter import Asked
from kerascnn.runs.choosing import Chosen, choose
from kerascnn.runs.evaluation import evaluate
from kerascnn.runs.run import Run
from kerascnn.tasks.forward import forward, middle, middle_of_targets, preparation
from kerascnn.tasks.measure import Measure
from kerascnn.tasks.task import LOSS, Seen, Task
from kerascnn.words import counted, printable

SAMPLES = 24  # images whose answers are shown
RANKED = 2_000  # among which the worst and the best are looked for
TITLES = {"iou": "IoU", "ap50": "AP50", "ap75": "AP75", "ap50_11": "AP50, 11 points", "f1": "F1"}
SEEN = {
    "samples": "Some images, evenly spaced, with what the network answers.",
    "worst": "The images that the network is most wrong about.",
    "best": "The images that the network is most right about.",
    "confusion_matrix": "How many images of each class (rows) are taken for each (columns).",
    "iou": "Each class's intersection over union.",
    "ap": "Each class's average precision.",
}


def answers(run: Run, model: keras.Model, asked: Asked) -> list[Section]:
    """The sections on what the run answers; where its images can't be read, why.

    Args:
        run: finished.
        model: the run's.
        asked: what it is evaluated on, and how many images are explained.
    """
    notes: list[str] = []
    task, config = run.task, run.config
    try:
        chosen = choose(run.path, config, asked.data, None, notes.append, target=task.targets.kind)
        asked.say(f"Evaluating {counted(chosen.images.size, 'image', 'images')}.")
        found = evaluate(
            task, model, config, chosen, options={}, batch_size=task.batch, say=notes.append
        )
        seen = _seen(task, run, model, chosen.images)
        pictures = [
            Picture.of(figure, f"{SEEN.get(tag, tag)} {_alt(found, task)}", SEEN.get(tag, tag))
            for tag, figure in sorted(task.pictures(seen).items(), key=lambda one: _place(one[0]))
        ]
    except KerascnnError as error:
        return [Section("Results", [Text(f"The run could not be evaluated: {error}")])]
    return [
        Section("Results", [*_figures(found, chosen, task), *map(Text, notes)]),
        Section("Images", pictures),
        Section("Explanations", _explained(run, model, seen.images, asked)),
    ]


def _place(tag: str) -> int:
    return list(SEEN).index(tag) if tag in SEEN else len(SEEN)


def _alt(found: Mapping[str, Any], task: Task) -> str:
    return f"{task.main.title} of all: {_written(task.main, found[task.main.name])}."


def _figures(found: Mapping[str, Any], chosen: Chosen, task: Task) -> list[Part]:
    """The measures, and those of each class; the names of its columns are the task's own."""
    many = counted(chosen.images.size, "image", "images")
    rows = [(one.title, _written(one, found[one.name])) for one in task.measures]
    if found.get(LOSS) is not None:
        rows.append(("Loss", f"{found[LOSS]:.4g}"))
    parts: list[Part] = [Table(rows, caption=f"{chosen.data}, {chosen.split}: {many}")]
    if classes := found.get("classes"):
        curves = {name for one in classes for name, value in one.items() if isinstance(value, list)}
        names = [name for name in classes[0] if name != "name" and name not in curves]
        header = ["class", *(TITLES.get(name, name.replace("_", " ")) for name in names)]
        cells = [[one["name"], *(_share(one[name]) for name in names)] for one in classes]
        parts.append(Table(cells, header, "Figures of each class"))
    return parts


def _written(measure: Measure, value: float | None) -> str:
    """A figure, which is not defined where nothing is to be found."""
    return "–" if value is None or math.isnan(value) else measure.written(value)


def _share(value: Any) -> str:
    """A count with its thousands, or a share in percent."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.2%}" if isinstance(value, float) else f"{value:,}"


def _seen(task: Task, run: Run, model: keras.Model, images: Split) -> Seen:
    """What the task's pictures are made of."""
    config = run.config
    cut, follow = middle(config), middle_of_targets(task.targets, config)
    scores, are_logits = task.scores(model)
    spec = tf.TensorSpec((None, *images.image_shape), tf.uint8)
    network = forward(scores, preparation(config), spec)

    def answered(some: Split) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for shown, theirs in some.batches(task.batch):
            pixels, targets = np.asarray(cut(shown)), np.asarray(follow(shown, theirs))
            yield pixels, targets, network(shown)

    few = [*answered(images.take(_evenly(images.size, SAMPLES)))]
    shown, targets, outputs = (np.concatenate(column) for column in zip(*few))
    ranked = images.take(_evenly(images.size, RANKED))
    return Seen(
        class_names=tuple(map(printable, config.named_classes)),
        images=shown,
        targets=targets,
        outputs=outputs,
        more=lambda: answered(ranked),
        are_logits=are_logits,
    )


def _evenly(size: int, count: int) -> np.ndarray:
    return np.linspace(0, size - 1, min(count, size)).astype(int)


def _explained(run: Run, model: keras.Model, images: np.ndarray, asked: Asked) -> list[Part]:
    """Why the network says what it says about some of the samples."""
    config, parts = run.config, list[Part]()
    chosen = _evenly(len(images), asked.explain)
    if not len(chosen):
        return parts
    asked.say(f"Explaining {counted(len(chosen), 'image', 'images')}.")
    try:
        explained = run.task.explained(model, config.classes)
        for number, image in zip(chosen + 1, images[chosen]):
            one = explanation(
                explained,
                np.clip(np.rint(image), 0, 255).astype("uint8"),
                preprocessing=config.preprocessing,
                class_names=config.named_classes,
                maps=0,
                name=f"image {number} of the samples",
                network=config.name,
            )
            why = f"Where in image {number} the evidence for {one.class_names[one.target]} is."
            parts.append(Picture.of(one.figure(), why))
    except KerascnnError as error:
        parts.append(Text(f"Not explained: {error}"))
    return parts
