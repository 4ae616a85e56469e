"""What LeNet-5 as published has besides the usual blocks, and the same as arithmetic.

`lenet_layers` has the layers. Each function has its twin for sketches behind it, so that the
network's figures are known without Keras. Section numbers are the paper's.
"""

from __future__ import annotations

import warnings
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from kerascnn import blocks
from kerascnn.applications.lenet_tables import C3_TABLE, DIGIT_CODES
from kerascnn.imports import Later
from kerascnn.sketch import Sketch, twin, window_of

if TYPE_CHECKING:
    from kerascnn.applications import lenet_layers
else:
    lenet_layers = Later("kerascnn.applications.lenet_layers")


@singledispatch
def squash(x: Any, *, name: str) -> Any:
    """The scaled tanh that follows every layer (appendix A)."""
    return blocks.activation(x, lenet_layers.scaled_tanh, name=f"{name}_squash")


@twin(squash)
def _(x: Sketch, *, name: str) -> Sketch:
    return blocks.activation(x, "scaled_tanh", name=f"{name}_squash")


@singledispatch
def subsample(x: Any, *, name: str) -> Any:
    """The sum of each 2×2 window, times a coefficient, plus a bias, for each map (II.B)."""
    return blocks.apply(x, lenet_layers.TrainableSubsampling(name=name))


@twin(subsample)
def _(x: Sketch, *, name: str) -> Sketch:
    rows, columns = x.windows(name, 2, 2, "valid")
    maps = x.shape[3]
    each = ((maps,), (maps,))
    return x.after(
        name, rows, columns, maps, kind="TrainableSubsampling", window=window_of(2, 2), trained=each
    )


@singledispatch
def table_conv(x: Any, kernel: int, *, name: str) -> Any:
    """A convolution in which each map sees those of its row in `C3_TABLE` alone."""
    return blocks.apply(x, lenet_layers.TableConv2D(C3_TABLE, kernel, name=name))


@twin(table_conv)
def _(x: Sketch, kernel: int, *, name: str) -> Sketch:
    rows, columns = x.windows(name, kernel, 1, "valid")
    kernels = sum(map(len, C3_TABLE))
    return x.after(
        name,
        rows,
        columns,
        len(C3_TABLE),
        kind="TableConv2D",
        window=window_of(kernel),
        trained=((kernels, kernel, kernel), (len(C3_TABLE),)),
        macs=kernels * kernel * kernel * rows * columns,
    )


@singledispatch
def radial_basis(x: Any, classes: int, *, name: str) -> Any:
    """Minus the squared distance to each class's code: the bitmaps, of the ten digits alone."""
    if classes != len(DIGIT_CODES):
        warnings.warn(
            f"lenet5_1998 has fixed RBF codes for the ten digits only: the codes of these "
            f"{classes} classes are trainable and start at random ±1.",
            stacklevel=6,
        )
    layer = lenet_layers.RadialBasis(classes, dtype=blocks.head_dtype(), name=name)
    return blocks.apply(x, layer)


@twin(radial_basis)
def _(x: Sketch, classes: int, *, name: str) -> Sketch:
    codes = ((classes, x.shape[1]),)
    if classes == len(DIGIT_CODES):
        return x.after(name, classes, kind="RadialBasis", fixed=codes, room=True)
    return x.after(name, classes, kind="RadialBasis", trained=codes, macs=None, room=True)
