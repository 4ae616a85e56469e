"""What each of AlexNet's two towers learned: filters of the first layer; what it reads alone.

What `run.py` prints and draws of an experiment with `look = "towers"`, whose data are those of
`coloured_digits.py`. A network of one tower is measured in the same way, as if its first and second
half of the maps were two: what differs between them is chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import keras
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from kerascnn import data, pictures, style
from kerascnn.data import Split
from kerascnn.features import feature_extractor
from kerascnn.runs.run import Run
from kerascnn.tasks.forward import preparation

SHUFFLES = 10_000


@dataclass(frozen=True)
class Towers:
    """What was seen of one network.

    Attributes:
        kernel: of the first layer, `[height, width, 3, filters]`.
        colour: of each filter, the share of colour in it, in [0, 1].
        chance: how often halves drawn at random differ as much in their mean colour.
        errors: `[3, 2]` in [0, 1]: of the whole network, the first and the second tower alone, on
            digits in brightness and on digits in colour.
    """

    kernel: np.ndarray
    colour: np.ndarray
    chance: float
    errors: np.ndarray


def colour_share(kernel: np.ndarray) -> np.ndarray:
    """Of each filter of `[height, width, 3, filters]`, how much of its energy is colour.

    Brightness is the mean of red, green and blue; colour is what is left of the weights without it.
    0 is a grey filter, 1 one that sees no brightness, and 2/3 the mean of random weights.
    """
    colour = kernel - kernel.mean(axis=2, keepdims=True)
    return (colour**2).sum(axis=(0, 1, 2)) / (kernel**2).sum(axis=(0, 1, 2))


def chance(values: np.ndarray, shuffles: int = SHUFFLES, seed: int = 0) -> float:
    """How often two random halves have means as far apart as the first and the second half."""
    rng = np.random.default_rng(seed)
    halves = rng.permuted(np.tile(values, (shuffles, 1)), axis=1).reshape(shuffles, 2, -1)
    first, second = values.reshape(2, -1).mean(axis=1)
    means = halves.mean(axis=2)
    return float(np.mean(np.abs(means[:, 0] - means[:, 1]) >= abs(first - second) - 1e-12))


def answers(model: keras.Model, inputs: np.ndarray, alone: int | None = None) -> np.ndarray:
    """Probabilities `[n, classes]`, of the whole network or with one tower alone.

    Alone: the other tower's maps of pool2 are at their mean over the inputs, each everywhere at its
    own. conv3, which comes next, is the first layer that sees both towers.
    """
    maps = np.asarray(feature_extractor(model, ["pool2"])(inputs)).copy()
    if alone is not None:
        other = np.split(np.arange(maps.shape[-1]), 2)[1 - alone]
        maps[..., other] = maps[..., other].mean(axis=(0, 1, 2))
    found = maps
    names = [layer.name for layer in model.layers]
    for layer in model.layers[names.index("pool2") + 1 :]:  # AlexNet is a chain
        found = layer(found)
    return np.asarray(found)


def errors(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    """Of the digits in brightness, which come first, and of those in colour."""
    wrong = probabilities.argmax(axis=-1) != labels
    return [float(half.mean()) for half in np.split(wrong, 2)]


def seen(run: Run, test: Split) -> Towers:
    """All of it, of one run."""
    model = run.model()
    images, labels = zip(*(test.example(index) for index in range(test.size)))
    inputs = preparation(run.config)(np.stack(images)).numpy()
    kernel = pictures.first_convolution(model).kernel.numpy()
    colour = colour_share(kernel)
    return Towers(
        kernel=kernel,
        colour=colour,
        chance=chance(colour),
        errors=np.array(
            [errors(answers(model, inputs, alone), np.array(labels)) for alone in (None, 0, 1)]
        ),
    )


def report(found: Mapping[str, Sequence[Run]], picture: Path | None) -> str:
    """A table in Markdown, one line for each network; the first label's filters as a picture."""
    config = next(iter(found.values()))[0].config
    dataset = data.load(config.data.source, input_shape=config.input_shape, echo=None)
    looked = {label: [seen(run, dataset.test) for run in runs] for label, runs in found.items()}
    if picture is not None:
        figure(next(iter(looked.values()))).savefig(picture, facecolor=style.PAPER)
    lines = [
        "| network | seed | colour in the filters: first half | second half | by chance "
        "| error in brightness / in colour: whole | first half alone | second half alone |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for label, all_seeds in looked.items():
        for seed, towers in enumerate(all_seeds):
            means = towers.colour.reshape(2, -1).mean(axis=1)
            lines.append(
                f"| {label} | {seed} | {means[0]:.0%} | {means[1]:.0%} | {towers.chance:.3f} | "
                + " | ".join(f"{a:.0%} / {b:.0%}" for a, b in towers.errors)
                + " |"
            )
    for label, all_seeds in looked.items():
        gap = median(
            abs(float(np.subtract(*towers.colour.reshape(2, -1).mean(axis=1))))
            for towers in all_seeds
        )
        lines.append(f"\n{label}: the halves' colour differs by {gap:.0%} (median of the seeds).")
    return "\n".join(lines)


def figure(found: Sequence[Towers]) -> Figure:
    """The first layer's filters: a line for each network, the towers side by side.

    In each tower they stand in the order of their colour, the greyest first.
    """
    count = found[0].kernel.shape[-1] // 2
    columns = 8
    rows, gap, down = -(-count // columns), 0.6, 1.12
    width, height = 2 * columns * down + gap, (rows * down + 0.75) * len(found)
    cell = 0.5  # inches
    size = (width * cell + 0.3, height * cell + 0.2)
    drawing = Figure(figsize=size, dpi=100, layout="constrained", facecolor=style.PAPER)
    axes = drawing.add_subplot()
    axes.set_axis_off()
    for seed, towers in enumerate(found):
        top = seed * (rows * down + 0.75)
        for tower, share in enumerate(towers.colour.reshape(2, -1)):
            left = tower * (columns * down + gap)
            title = f"Seed {seed}, tower {tower + 1}: {share.mean():.0%} of the weights is colour"
            axes.text(left, top - 0.12, title, fontsize=8, color=style.INK, va="bottom")
            for place, index in enumerate(tower * count + np.argsort(share)):
                weights = towers.kernel[..., index]
                shown = np.clip(0.5 + 0.5 * weights / np.abs(weights).max(), 0, 1)
                x, y = left + place % columns * down, top + place // columns * down
                axes.imshow(shown, extent=(x, x + 1, y + 1, y), interpolation="nearest")
                axes.add_patch(
                    Rectangle((x, y), 1, 1, fill=False, edgecolor=style.GRID, linewidth=0.6)
                )
    axes.set_xlim(-0.06, width)
    axes.set_ylim(height - 0.6, -0.7)
    return drawing
