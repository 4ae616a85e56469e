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

from kerascnn import data
from kerascnn.data import Split
from kerascnn.features import feature_extractor
from kerascnn.runs.forward import preparation
from kerascnn.runs.run import Run
from kerascnn.watching import pictures

SHUFFLES = 10_000
BATCH = 250
IMAGES = 1_000  # of the training images, for the mean of each map


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


def alone(model: keras.Model, tower: int, inputs: np.ndarray) -> keras.Model:
    """The network with one tower's maps as they are, and the other's at their mean, from conv3 on.

    conv3 is the first layer that sees both towers. A map that is at its mean everywhere adds the
    same number to all of conv3's, so its weights go and the bias takes their place.
    """
    means = feature_extractor(model, ["pool2"])(inputs)
    means = np.asarray(means).mean(axis=(0, 1, 2))
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    conv3 = copy.get_layer("conv3")
    kernel, bias = (weight.numpy() for weight in (conv3.kernel, conv3.bias))
    other = np.split(np.arange(len(means)), 2)[1 - tower]
    bias = bias + np.einsum("yxio,i->o", kernel[:, :, other], means[other])
    kernel[:, :, other] = 0
    conv3.kernel.assign(kernel)
    conv3.bias.assign(bias)
    return copy


def errors(model: keras.Model, inputs: np.ndarray, labels: np.ndarray) -> list[float]:
    """Of the digits in brightness, which come first, and of those in colour."""
    parts = np.array_split(inputs, -(-len(inputs) // BATCH))
    answers = np.concatenate([np.asarray(model(part, training=False)) for part in parts])
    wrong = answers.argmax(axis=-1) != labels
    return [float(half.mean()) for half in np.split(wrong, 2)]


def seen(run: Run, train: Split, test: Split) -> Towers:
    """All of it, of one run."""
    prepare, model = preparation(run.config), run.model()
    some = prepare(arrays(train, IMAGES)[0]).numpy()
    images, labels = arrays(test, test.size)
    inputs = prepare(images).numpy()
    kernel = pictures.first_convolution(model).kernel.numpy()
    colour = colour_share(kernel)
    models = [model, *(alone(model, tower, some) for tower in (0, 1))]
    return Towers(
        kernel=kernel,
        colour=colour,
        chance=chance(colour),
        errors=np.array([errors(each, inputs, labels) for each in models]),
    )


def arrays(split: Split, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, evenly spaced."""
    chosen = np.linspace(0, split.size - 1, count).astype(int)
    images, labels = zip(*(split.example(int(index)) for index in chosen))
    return np.stack(images), np.array(labels)


def report(found: Mapping[str, Sequence[Run]], picture: Path | None) -> str:
    """A table in Markdown, one line for each network; the first label's filters as a picture."""
    config = next(iter(found.values()))[0].config
    dataset = data.load(config.data.source, input_shape=config.input_shape, echo=None)
    looked = {
        label: [seen(run, dataset.train, dataset.test) for run in runs]
        for label, runs in found.items()
    }
    if picture is not None:
        figure(next(iter(looked.values()))).savefig(picture, facecolor=pictures.PAPER)
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
    drawing = Figure(figsize=size, dpi=100, layout="constrained", facecolor=pictures.PAPER)
    axes = drawing.add_subplot()
    axes.set_axis_off()
    for seed, towers in enumerate(found):
        top = seed * (rows * down + 0.75)
        for tower, share in enumerate(towers.colour.reshape(2, -1)):
            left = tower * (columns * down + gap)
            title = f"Seed {seed}, tower {tower + 1}: {share.mean():.0%} of the weights is colour"
            axes.text(left, top - 0.12, title, fontsize=8, color=pictures.INK, va="bottom")
            for place, index in enumerate(tower * count + np.argsort(share)):
                weights = towers.kernel[..., index]
                shown = np.clip(0.5 + 0.5 * weights / np.abs(weights).max(), 0, 1)
                x, y = left + place % columns * down, top + place // columns * down
                axes.imshow(shown, extent=(x, x + 1, y + 1, y), interpolation="nearest")
                axes.add_patch(
                    Rectangle((x, y), 1, 1, fill=False, edgecolor=pictures.GRID, linewidth=0.6)
                )
    axes.set_xlim(-0.06, width)
    axes.set_ylim(height - 0.6, -0.7)
    return drawing
