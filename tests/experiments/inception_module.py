"""Counts what the 1×1 reductions of GoogLeNet's inception modules save.

    python tests/experiments/inception_module.py

Each module of table 1 (Szegedy et al., 2014) on the map that it reads there: "naive" without its
reductions, as in figure 2a, and with them, as in figure 2b. A naive module's pooling puts out as
many maps as it reads; in the whole network, the last row, the next modules have to read them all.
"""

from __future__ import annotations

import answers
import keras

from kerascnn import profile
from kerascnn.applications import inception
from kerascnn.applications.googlenet import TABLE_1, GoogLeNet, module
from kerascnn.keras_internals import without_values
from kerascnn.profiles import Profile

UNIT = inception.conv_unit("none", "conv-bn-act", "relu", True, 1e-5, 0.9)


def alone(name: str, shape: tuple[int, ...], *, reduce: bool) -> Profile:
    """One module of table 1 on a map of this shape."""
    with without_values():
        inputs = keras.Input(shape)
        outputs = module(inputs, TABLE_1[name], UNIT, name, reduce=reduce)
        return profile(keras.Model(inputs, outputs))


def network(*, reduce: bool) -> Profile:
    """The whole network."""
    with without_values():
        return profile(GoogLeNet(reduce=reduce))


def row(name: str, shape: tuple[int, ...], naive: Profile, reduced: Profile) -> answers.Row:
    """Weights, multiply-adds and maps that are put out."""
    return {
        "module": name,
        "reads": shape,
        "naive_weights": naive.weights,
        "reduced_weights": reduced.weights,
        "naive_macs": naive.macs,
        "reduced_macs": reduced.macs,
        "naive_maps": maps(naive),
        "reduced_maps": maps(reduced),
    }


def maps(measured: Profile) -> int:
    """How many maps the last concatenation has."""
    return [layer for layer in measured.layers if layer.kind == "Concatenate"][-1].output_shape[-1]


def rows() -> list[answers.Row]:
    """A row for each module on its own, and one for the network."""
    naive, reduced = network(reduce=False), network(reduce=True)
    shapes = {name: reduced[f"inception_{name}_1x1"].input_shapes[0] for name in TABLE_1}
    found = [
        row(name, shape, alone(name, shape, reduce=False), alone(name, shape, reduce=True))
        for name, shape in shapes.items()
    ]
    return [*found, row("network", reduced.layers[0].output_shape, naive, reduced)]


if __name__ == "__main__":
    answers.show(rows(), as_json=answers.parser(__doc__).parse_args().json)
