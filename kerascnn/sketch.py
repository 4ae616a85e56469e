"""The vocabulary of `blocks` once more, as arithmetic: shapes, parameters and multiply-adds.

Called with a `Sketch` in place of a tensor, the functions of `kerascnn.blocks` come here: each has
its twin below, with the same arguments, and adds to one bill. Milliseconds, where Keras takes a
second.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kerascnn import blocks
from kerascnn.errors import ArgumentError, InputSizeError
from kerascnn.windows import (
    Padding,
    extent,
    pooled,
    require_dilation,
    require_transposed,
    sides,
)


@dataclass
class Ledger:
    """What the layers of one sketch have cost so far.

    Attributes:
        params, macs, activations: see `Cost`.
        outputs: of every layer, by its name.
        kernels: each convolution's side, dilation included, and the smaller side of the map it
            reads, by name.
        marks: what stood in the ledger behind each layer: the three numbers, and how many kernels.
        calls: of the functions below, each with its arguments and what it gave.
    """

    params: int = 0
    macs: int = 0
    activations: int = 0
    outputs: dict[str, Sketch] = field(default_factory=dict)
    kernels: dict[str, tuple[int, int]] = field(default_factory=dict)
    marks: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    calls: list[tuple[Callable[..., Any], tuple, dict, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Sketch:
    """A tensor's shape, `(None, height, width, channels)` or `(None, units)`, and the bill.

    Attributes:
        images: how many images of the batch are made of each of the network's own, where windows
            are looked at one by one: a layer that makes another number has `images(input_shape)`.
    """

    shape: tuple[Any, ...]
    ledger: Ledger = field(compare=False)
    images: int = 1

    def after(self, name: str, *shape: int, params: int = 0, macs: int = 0) -> Sketch:
        """The sketch of the output of the layer `name`, once its costs are noted."""
        ledger = self.ledger
        ledger.params += params
        ledger.macs += macs * self.images
        ledger.activations += math.prod(shape) * self.images
        output = ledger.outputs[name] = Sketch((None, *shape), ledger, self.images)
        numbers = (ledger.params, ledger.macs, ledger.activations)
        ledger.marks[name] = (*numbers, len(ledger.kernels))
        return output

    def windows(
        self, name: str, kernel: int, stride: int, padding: Padding, *, ceil: bool = False
    ) -> tuple[int, int]:
        """Height and width after sliding a window over the map.

        Raises:
            InputSizeError: the window is larger than the padded map, or the map can't be halved.
        """
        top, bottom, left, right = sides(padding, kernel)
        sizes = []
        for size, before, after in zip(self.shape[1:3], (top, left), (bottom, right)):
            assert size is not None
            count = pooled(size, kernel, stride, before, after, ceil=ceil)
            if size + before + after < kernel or count < 1:
                raise InputSizeError(
                    f"{name}: a {kernel}×{kernel} window does not fit into a map of "
                    f"{self.shape[1]}×{self.shape[2]}."
                )
            if stride > 1 and size < 2:
                raise InputSizeError(f"{name}: a map of 1 pixel can't be halved once more.")
            sizes.append(count)
        return sizes[0], sizes[1]


def _twin(function: Any) -> Callable[[Callable[..., Any]], None]:
    """What a function of `blocks` does with sketches; the ledger keeps how it was called."""

    def register(sketched: Callable[..., Any]) -> None:
        @functools.wraps(sketched)
        def kept(x: Sketch, *others: Any, **options: Any) -> Any:
            calls = x.ledger.calls
            before = len(calls)
            found = sketched(x, *others, **options)
            calls[before:] = [(kept, (x, *others), options, found)]  # not what it has called itself
            return found

        function.register(Sketch, kept)

    return register


@_twin(blocks.apply)
def _(x: Sketch, layer: Any, *others: Sketch) -> Sketch:
    given = [one.shape for one in (x, *others)] if others else x.shape
    shape = layer.compute_output_shape(given)
    if any(size is not None and size < 1 for size in shape):
        raise InputSizeError(f"{layer.name}: a map of {x.shape[1]}×{x.shape[2]} is too small.")
    layer.build(given)
    params = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
    macs = layer.macs(given) if hasattr(layer, "macs") else 0
    if hasattr(layer, "images"):
        x = Sketch(x.shape, x.ledger, layer.images(x.shape))
    return x.after(layer.name, *shape[1:], params=params, macs=macs)


@_twin(blocks.conv)
def _(
    x: Sketch,
    filters: int,
    kernel: int,
    *,
    name: str,
    strides: int = 1,
    padding: Padding = "same",
    dilation: int = 1,
    groups: int = 1,
    use_bias: bool = True,
    initializer: str = "glorot_uniform",
    dtype: str | None = None,
) -> Sketch:
    require_dilation(name, strides, dilation)
    span = extent(kernel, dilation)
    height, width = x.windows(name, span, strides, padding)
    _, *sides_, channels = x.shape
    x.ledger.kernels[name] = (span, min(sides_))
    assert channels is not None
    if channels % groups or filters % groups:
        raise ArgumentError(
            f"{name}: {groups} groups must divide the channels. "
            f"Received: {channels} channels in, {filters} out."
        )
    kernels = kernel * kernel * (channels // groups) * filters
    return x.after(
        name,
        height,
        width,
        filters,
        params=kernels + filters * use_bias,
        macs=kernels * height * width,
    )


@_twin(blocks.conv_each)
def _(
    x: Sketch,
    *others: Sketch,
    filters: int,
    kernel: int,
    name: str,
    kind: str | None = None,
    initializer: Any = "glorot_uniform",
    dtype: str | None = None,
) -> list[Sketch]:
    found = [blocks.conv(x, filters, kernel, name=name)]
    params = x.ledger.params  # of all: the weights are the same
    for other in others:
        found.append(blocks.conv(other, filters, kernel, name=name))
        x.ledger.params = params
    return found


@_twin(blocks.conv_transpose)
def _(
    x: Sketch,
    filters: int,
    kernel: int,
    *,
    name: str,
    strides: int,
    padding: Padding = "valid",
    use_bias: bool = True,
    initializer: Any = "glorot_uniform",
    dtype: str | None = None,
) -> Sketch:
    require_transposed(name, kernel, strides, padding)
    _, height, width, channels = x.shape
    kernels = kernel * kernel * channels * filters
    more = kernel - strides if padding == "valid" else 0
    return x.after(
        name,
        height * strides + more,
        width * strides + more,
        filters,
        params=kernels + filters * use_bias,
        macs=kernels * height * width,  # each pixel is multiplied with the whole kernel
    )


@_twin(blocks.batch_norm)
def _(x: Sketch, *, name: str, epsilon: float = 1e-5, momentum: float = 0.9) -> Sketch:
    return x.after(name, *x.shape[1:], params=2 * x.shape[-1])


@_twin(blocks.lrn)
def _(
    x: Sketch,
    *,
    name: str,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    divide_alpha: bool = False,
) -> Sketch:
    return x.after(name, *x.shape[1:])


@_twin(blocks.activation)
def _(x: Sketch, kind: Any, *, name: str, dtype: str | None = None) -> Sketch:
    return x.after(name, *x.shape[1:])


@_twin(blocks.dropout)
def _(x: Sketch, rate: float, *, name: str) -> Sketch:
    return x.after(name, *x.shape[1:]) if rate else x


@_twin(blocks.max_pool)
def _(
    x: Sketch,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Sketch:
    return x.after(name, *x.windows(name, size, strides or size, padding, ceil=ceil), x.shape[3])


@_twin(blocks.avg_pool)
def _(
    x: Sketch,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Sketch:
    return x.after(name, *x.windows(name, size, strides or size, padding, ceil=ceil), x.shape[3])


@_twin(blocks.grid_pool)
def _(x: Sketch, grid: int, *, name: str) -> Sketch:
    return x.after(name, grid, grid, x.shape[3])


@_twin(blocks.global_avg_pool)
def _(x: Sketch, *, name: str = "avg_pool", dtype: str | None = None) -> Sketch:
    return x.after(name, x.shape[3])


@_twin(blocks.flatten)
def _(x: Sketch, *, name: str = "flatten") -> Sketch:
    return x.after(name, x.shape[1] * x.shape[2] * x.shape[3])


@_twin(blocks.dense)
def _(x: Sketch, units: int, *, name: str, use_bias: bool = True) -> Sketch:
    _, *rows, channels = x.shape
    kernels = channels * units
    params = kernels + units * use_bias
    return x.after(name, *rows, units, params=params, macs=kernels * math.prod(rows))


@_twin(blocks.logits)
def _(
    x: Sketch, classes: int, *, name: str = "logits", initializer: Any = "glorot_uniform"
) -> Sketch:
    return blocks.dense(x, classes, name=name)


@_twin(blocks.add)
def _(x: Sketch, *others: Sketch, name: str, dtype: str | None = None) -> Sketch:
    shapes = {tensor.shape for tensor in (x, *others)}
    if len(shapes) > 1:
        raise ArgumentError(f"{name}: maps of different shapes can't be added: {sorted(shapes)}.")
    return x.after(name, *x.shape[1:])


@_twin(blocks.concat)
def _(x: Sketch, *others: Sketch, name: str) -> Sketch:
    maps = (x, *others)
    if len({tensor.shape[1:-1] for tensor in maps}) > 1:
        raise ArgumentError(
            f"{name}: maps of different sizes can't be concatenated: {[m.shape for m in maps]}."
        )
    return x.after(name, *x.shape[1:-1], sum(tensor.shape[-1] for tensor in maps))


@_twin(blocks.resize)
def _(x: Sketch, like: Sketch, *, name: str, dtype: str | None = None) -> Sketch:
    return x.after(name, *like.shape[1:3], x.shape[3])


@_twin(blocks.crop)
def _(
    x: Sketch, like: Sketch, *, offset: int | None = None, name: str, dtype: str | None = None
) -> Sketch:
    for size, wanted in zip(x.shape[1:3], like.shape[1:3]):
        if wanted + (offset or 0) > size:
            raise InputSizeError(
                f"{name}: {like.shape[1]}×{like.shape[2]} can't be cut out of a map of "
                f"{x.shape[1]}×{x.shape[2]}, {offset or 0} from its corner."
            )
    return x.after(name, *like.shape[1:3], x.shape[3])


@blocks.tensor_at.register
def _(x: Sketch, name: str) -> Sketch:
    return x.ledger.outputs[name]


@blocks.cut.register
def _(x: Sketch, name: str) -> Sketch:
    ledger = x.ledger
    ledger.params, ledger.macs, ledger.activations, kernels = ledger.marks[name]
    ledger.kernels = dict(list(ledger.kernels.items())[:kernels])
    return ledger.outputs[name]


@blocks.behind.register
def _(x: Sketch, name: str, other: Sketch) -> Sketch:
    calls, start = x.ledger.calls, x.ledger.outputs[name]
    first, last = (
        next(n for n, (*_, found) in enumerate(calls) if found is tensor) for tensor in (start, x)
    )
    values = {id(start): other}
    for function, given, options, found in calls[first + 1 : last + 1]:
        values[id(found)] = function(*(values.get(id(one), one) for one in given), **options)
    return values[id(x)]
