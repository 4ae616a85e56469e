"""The gradient's norm in each layer, at the first step and after training.

What `run.py` prints and draws of an experiment with `look = "gradients"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import keras
import numpy as np
from matplotlib.figure import Figure

from kerascnn import data, style
from kerascnn.heads import scores_of
from kerascnn.recipes.losses import make_loss
from kerascnn.runs.run import Run
from kerascnn.tasks.forward import preparation
from kerascnn.training.initialization import initialize
from kerascnn.watching.statistics import Probe

IMAGES = 512  # of the training images, evenly spaced, of whose mean loss the gradient is taken
TAG = "gradient_norm/"


def norms(model: keras.Model, run: Run, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Layer → norm of the gradient on its kernel, from the input to the logits."""
    scores, is_logits = scores_of(model)
    loss = make_loss(run.config.recipe, run.config.classes, from_logits=is_logits)
    probe = Probe(
        scores,
        inputs=preparation(run.config)(images).numpy(),
        labels=labels,
        loss=lambda labels, outputs: loss(labels, outputs[0]),
    )
    found = probe.measure().scalars
    return {tag.removeprefix(TAG): value for tag, value in found.items() if tag.startswith(TAG)}


def first_model(run: Run) -> keras.Model:
    """The network with the weights that the run started from: they follow from its seed."""
    config = run.config
    architecture = run.architecture()
    assert architecture is not None
    assert config.architecture is not None
    keras.utils.set_random_seed(config.seed)
    network = architecture.network(
        config.architecture.arguments, input_shape=config.input_shape, classes=config.classes
    )
    model = network.model()
    initialize(model, config.recipe.initialization, config.seed)
    return model


def report(found: Mapping[str, Sequence[Run]], picture: Path | None) -> str:
    """A table in Markdown: of each layer the median over the seeds, before and after training."""
    config = next(iter(found.values()))[0].config
    train = data.load(config.data.source, input_shape=config.input_shape, echo=None).train
    chosen = np.linspace(0, train.size - 1, IMAGES).astype(int)
    examples = [train.example(int(index)) for index in chosen]
    images, labels = np.stack([x for x, _ in examples]), np.array([y for _, y in examples])
    rows: dict[str, tuple[list[dict[str, float]], list[dict[str, float]]]] = {
        label: (
            [norms(first_model(run), run, images, labels) for run in runs],
            [norms(run.model(), run, images, labels) for run in runs],
        )
        for label, runs in found.items()
    }
    if picture is not None:
        figure(rows).savefig(picture, facecolor=style.PAPER)
    layers = list(next(iter(rows.values()))[0][0])
    lines = [
        f"| gradient's norm | | {' | '.join(layers)} | first : last |",
        f"|---|---|{'--:|' * len(layers)}--:|",
    ]
    for label, both in rows.items():
        for when, seeds in zip(("first step", "trained"), both):
            each = [median(seed[layer] for seed in seeds) for layer in layers]
            ratio = median(seed[layers[0]] / seed[layers[-1]] for seed in seeds)
            values = " | ".join(f"{value:.2g}" for value in each)
            lines.append(f"| {label} | {when} | {values} | {ratio:.2g} |")
    return "\n".join(lines)


def figure(rows: Mapping[str, tuple[list[dict[str, float]], list[dict[str, float]]]]) -> Figure:
    """Norms over the layers, on a scale of powers of ten: a line for each network and each seed."""
    drawing = Figure(figsize=(9.6, 4.0), dpi=100, layout="constrained", facecolor=style.PAPER)
    axes = drawing.subplots(1, 2, sharey=True)
    for side, title in enumerate(("At the first step", "After training")):
        for number, (label, both) in enumerate(rows.items()):
            for seed, values in enumerate(both[side]):
                axes[side].plot(
                    list(values.values()),
                    marker="o",
                    markersize=3.5,
                    color=f"C{number}",
                    linewidth=1.2,
                    label=label if seed == 0 else None,
                )
        names = [name.replace("_", "\n", 1) for name in both[side][0]]
        axes[side].set_xticks(range(len(names)), names)
        axes[side].set_yscale("log")
        axes[side].set_facecolor(style.PAPER)
        axes[side].set_title(title, **style.TITLE)
        axes[side].tick_params(which="both", colors=style.INK, labelsize=8)
        axes[side].grid(True, color=style.GRID, linewidth=0.6)
        axes[side].spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("Norm of the gradient", color=style.INK, fontsize=9)
    axes[0].legend(frameon=False, fontsize=8, labelcolor=style.INK)
    return drawing
