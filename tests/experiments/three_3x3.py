"""Counts three 3×3 convolutions against one 7×7, and two against one 5×5.

    python tests/experiments/three_3x3.py --channels 256 --side 56

All read and put out the same number of maps, each followed by a ReLU (VGG: Simonyan and Zisserman,
2015, section 2.3). What training makes of it: three-3x3-or-one-7x7.toml.
"""

from __future__ import annotations

import answers
import keras

from kerascnn import blocks, profile
from kerascnn.keras_internals import without_values

STACKS = {
    "one 7×7": (7,),
    "three 3×3": (3, 3, 3),
    "one 5×5": (5,),
    "two 3×3": (3, 3),
}


def row(name: str, kernels: tuple[int, ...], channels: int, side: int) -> answers.Row:
    """What convolutions with these kernels, one behind the other, cost and see."""
    with without_values():
        x = inputs = keras.Input((side, side, channels))
        for number, kernel in enumerate(kernels):
            x = blocks.conv(x, channels, kernel, name=f"conv{number}")
            x = blocks.activation(x, "relu", name=f"relu{number}")
        measured = profile(keras.Model(inputs, x))
    field = measured.largest_field
    assert field
    return {
        "convolutions": name,
        "weights": measured.weights,
        "macs": measured.macs,
        "receptive_field": field.size,
        "relus": len(kernels),
    }


def rows(channels: int, side: int) -> list[answers.Row]:
    """A row for each stack."""
    return [row(name, kernels, channels, side) for name, kernels in STACKS.items()]


if __name__ == "__main__":
    parser = answers.parser(__doc__)
    parser.add_argument("--channels", type=int, default=256, help="Maps in and out.")
    parser.add_argument("--side", type=int, default=56, help="Height and width of the maps.")
    given = parser.parse_args()
    answers.show(rows(given.channels, given.side), as_json=given.json)
