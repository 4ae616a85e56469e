"""The vocabulary of `blocks` once more, as arithmetic: shapes, parameters and multiply-adds.

Called with a `Sketch` in place of a tensor, the functions of `kerascnn.blocks` come here: each has
its twin below, with the same arguments, and adds to one bill. Milliseconds, where Keras takes a
second; and seconds less where Keras needn't be imported. A family's own functions get their twins
with `twin`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerascnn import blocks
from kerascnn.errors import ArgumentError, InputSizeError, KerascnnError
from kerascnn.graphs import calls_to
from kerascnn.profiles import Facts, Profile, Rows
from kerascnn.receptive_fields import Shape, Window, interpolated, plain, slid, transposed
from kerascnn.windows import (
    Padding,
    extent,
    pooled,
    require_dilation,
    require_transposed,
    same_padding,
    sampled_first,
    sides,
)

Slid = Callable[[], Sequence[Window] | None]
"""What a unit reads on each axis, once it is asked for; see `ReceptiveField.through`."""


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
class Call:
    """The layer that a sketch came from.

    Attributes:
        inputs: what it reads; of some, as `blocks.crop`, the first alone for its values.
        read: how many it reads for their values.
        facts: what a profile says of it.
        room: whether it has an activation of its own, which does nothing so far.
        readers: how many layers read what it gives.
    """

    inputs: tuple[Sketch, ...]
    read: int
    facts: Callable[[], Facts]
    room: bool = False
    readers: int = 0


@dataclass(slots=True)
class Sketch:
    """A tensor's shape, `(None, height, width, channels)` or `(None, units)`, and the bill.

    Attributes:
        images: how many images of the batch are made of each of the network's own, where windows
            are looked at one by one: a layer that makes another number has `images(input_shape)`.
        call: where it came from; None: it is an input.
    """

    shape: tuple[Any, ...]
    ledger: Ledger = field(compare=False)
    images: int = 1
    call: Call | None = field(default=None, compare=False, repr=False)

    def after(
        self,
        name: str,
        *shape: int,
        kind: str,
        others: Sequence[Sketch] = (),
        read: int | None = None,
        window: dict[str, Any] | None = None,
        sliding: Slid | None = None,
        trained: tuple[Shape, ...] = (),
        fixed: tuple[Shape, ...] = (),
        macs: int | None = 0,
        groups: int = 1,
        activation: str = "",
        rate: float = 0.0,
        room: bool = False,
        again: bool = False,
    ) -> Sketch:
        """The sketch of the output of the layer `name`, once its costs are noted.

        Args:
            name: the layer's.
            *shape: the output's, without the batch.
            kind: the layer's class.
            others: what it reads besides this.
            read: how many of all these it reads for their values; None: all.
            window: what slides over the map, as `window_of` gives it.
            sliding: what a unit reads; None: what the window says, or where there is none, what
                lies at its own place.
            trained, fixed: the shapes of its weights.
            macs: its multiply-adds; None: they aren't known.
            groups, activation, rate: see `LayerProfile`.
            room: it has an activation of its own, which does nothing so far.
            again: it was called before, so that its weights are known.
        """

        def facts() -> Facts:
            return Facts(
                name=name,
                kind=kind,
                groups=groups,
                activation=activation,
                rate=rate,
                window=window or {},
                sliding=sliding() if sliding else slid(window) if window else (),
                trained=trained,
                fixed=fixed,
                macs=macs,
                size=_FLOAT * math.prod(shape),
            )

        params = 0 if again else sum(map(math.prod, trained))
        call = Call((self, *others), read or 1 + len(others), facts, room)
        return self._noted(name, shape, call, params, macs or 0, kept=kind not in _PADDING)

    def _noted(
        self, name: str, shape: Shape, call: Call, params: int, macs: int, *, kept: bool = True
    ) -> Sketch:
        ledger = self.ledger
        ledger.params += params
        ledger.macs += macs * self.images
        ledger.activations += math.prod(shape) * self.images * kept
        for one in call.inputs:
            if one.call:
                one.call.readers += 1
        output = ledger.outputs[name] = Sketch((None, *shape), ledger, self.images, call)
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


_FLOAT = 4  # bytes
_PADDING = ("ZeroPadding2D",)


def everything() -> None:
    """For `Sketch.after`: a unit sees all that the layer reads."""
    return None


def window_of(
    kernel: int,
    strides: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: int = 1,
) -> dict[str, Any]:
    """A square window as profiles have it; `padding` at the top, bottom, left and right."""
    top, bottom, left, right = padding
    return {
        "kernel": (kernel, kernel),
        "strides": (strides, strides),
        "dilation": (dilation, dilation),
        "padding": ((top, bottom), (left, right)),
    }


# --- A network ------------------------------------------------------------------------------


def drawn(build: Callable[[Sketch], Any], shape: tuple[int, int, int]) -> tuple[Sketch, Any] | None:
    """A sketch of an image, and what `build` makes of it; None where that can't be sketched.

    Raises:
        KerascnnError: whatever a block says of its arguments and its map.
    """
    image = Sketch((None, *shape), Ledger())
    try:
        with _unnoticed():
            return image, build(image)
    except KerascnnError:
        raise
    except Exception:
        # A plugin's builder may use keras.layers directly, which fails on a sketch in any way it
        # likes. What is wrong with the builder itself goes wrong in the real build again.
        return None


@contextlib.contextmanager
def _unnoticed() -> Iterator[None]:
    """Layers that aren't blocks are made, and built to be counted: no values, no trace.

    While Keras isn't imported, there is nothing to leave a trace in.
    """
    if "keras" not in sys.modules:
        yield
        return
    from kerascnn.keras_internals import without_values

    with without_values():
        yield


def activated(logits: Any, activation: str) -> Any:
    """As `kerascnn.heads.activated`: the activation on the logits of a sketched network."""
    if not isinstance(logits, (list, tuple)):
        return _activated(logits, activation, "predictions")
    names = ["predictions"] + [f"aux{i}_predictions" for i in range(1, len(logits))]
    return [_activated(one, activation, name) for one, name in zip(logits, names)]


def _activated(logits: Sketch, activation: str, name: str) -> Sketch:
    call = logits.call
    if call is None or not call.room or call.readers:
        return logits.after(name, *logits.shape[1:], kind="ScoreActivation", activation=activation)
    facts = call.facts
    call.facts = lambda: dataclasses.replace(facts(), activation=activation)
    return logits


def profiled(name: str, image: Sketch, outputs: Any) -> Profile:
    """The profile of a sketched network, in float32, as `kerascnn.profile` gives the built one's.

    Args:
        name: the network's.
        image: its input.
        outputs: a sketch, or a list whose first is the main one.
    """
    ends = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    rows = Rows()
    values = {id(image): rows.source(image, "input", _FLOAT * math.prod(image.shape[1:]))}
    counted: set[str] = set()
    for tensor in calls_to(ends, lambda one: (one, one.call.inputs, (one,)), known=[image]):
        call = tensor.call
        facts = call.facts()
        if facts.name in counted:
            facts = dataclasses.replace(facts, trained=(), fixed=())
        counted.add(facts.name)
        inputs = [values[id(one)] for one in call.inputs[: call.read]]
        (values[id(tensor)],) = rows.call(facts, inputs, [tensor])
    return Profile(name, tuple(rows.rows), tuple(values[id(end)].source for end in ends))


# --- The words ------------------------------------------------------------------------------


def twin(function: Any) -> Callable[[Callable[..., Any]], None]:
    """What a function of `blocks`, or a family's own, does with sketches.

    The ledger keeps how it was called. The function is a `functools.singledispatch`.
    """

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


@twin(blocks.apply)
def _(x: Sketch, layer: Any, *others: Sketch) -> Sketch:
    from kerascnn.keras_internals import without_values
    from kerascnn.layers import has_room
    from kerascnn.profiling import facts

    given = [one.shape for one in (x, *others)] if others else x.shape
    shape = layer.compute_output_shape(given)
    if any(size is not None and size < 1 for size in shape):
        raise InputSizeError(f"{layer.name}: a map of {x.shape[1]}×{x.shape[2]} is too small.")
    with without_values():
        layer.build(given)
    params = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
    macs = layer.macs(given) if hasattr(layer, "macs") else 0
    behind = shape[1:]
    read = getattr(layer, "maps_read", 1 + len(others))
    size = _FLOAT * math.prod(behind)
    call = Call(
        (x, *others),
        read,
        lambda: facts(layer, x.shape[1:], [behind], name=layer.name, size=size),
        has_room(layer),
    )
    if hasattr(layer, "images"):
        x = Sketch(x.shape, x.ledger, layer.images(x.shape))
    return x._noted(layer.name, behind, call, params, macs)


@twin(blocks.conv)
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
    if sampled_first(kernel, strides, x.shape[-1] // groups):
        x, strides = blocks.max_pool(x, 1, strides=strides, name=f"{name}_sample"), 1
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
    zeros = sides(padding, span)
    if any(zeros) and not (strides == 1 and zeros == sides("same", span)):
        x = _padded(x, zeros, f"{name}_pad")
        zeros = (0, 0, 0, 0)
    weights = (kernel, kernel, channels // groups, filters)
    return x.after(
        name,
        height,
        width,
        filters,
        kind="Conv2D" if groups == 1 else "GroupedConv2D",
        window=window_of(kernel, strides, zeros, dilation),
        groups=groups,
        trained=(weights, (filters,)) if use_bias else (weights,),
        macs=math.prod(weights) * height * width,
        room=True,
    )


def _padded(x: Sketch, zeros: tuple[int, int, int, int], name: str) -> Sketch:
    """Zeros at the top, bottom, left and right."""
    top, bottom, left, right = zeros
    _, height, width, channels = x.shape
    return x.after(
        name,
        height + top + bottom,
        width + left + right,
        channels,
        kind="ZeroPadding2D",
        window=window_of(1, padding=zeros),
    )


@twin(blocks.zero_pad)
def _(x: Sketch, amount: int, *, name: str) -> Sketch:
    return _padded(x, (amount,) * 4, name)


@twin(blocks.conv_each)
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
    found = []
    for number, one in enumerate((x, *others)):
        height, width = one.windows(name, kernel, 1, "same")
        weights = (kernel, kernel, one.shape[3], filters)
        one.ledger.kernels[name] = (kernel, min(one.shape[1:3]))
        sketch = one.after(
            name,
            height,
            width,
            filters,
            kind="Conv2D",
            window=window_of(kernel, padding=sides("same", kernel)),
            trained=(weights, (filters,)),
            macs=math.prod(weights) * height * width,
            activation=kind or "",
            again=number > 0,
        )
        found.append(sketch)
    return found


@twin(blocks.conv_transpose)
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
    weights = (kernel, kernel, filters, channels)
    more = kernel - strides if padding == "valid" else 0
    zeros = (0, 0, 0, 0)
    if padding == "same":
        rows, columns = (same_padding(size, kernel, strides) for size in (height, width))
        zeros = (*rows, *columns)
    return x.after(
        name,
        height * strides + more,
        width * strides + more,
        filters,
        kind="Conv2DTranspose",
        window=window_of(kernel, strides, zeros),
        sliding=lambda: [transposed(kernel, strides, str(padding))] * 2,
        trained=(weights, (filters,)) if use_bias else (weights,),
        macs=math.prod(weights) * height * width,  # each pixel is multiplied with the whole kernel
        room=True,
    )


@twin(blocks.batch_norm)
def _(x: Sketch, *, name: str, epsilon: float = 1e-5, momentum: float = 0.9) -> Sketch:
    each = x.shape[-1:]
    return x.after(
        name, *x.shape[1:], kind="BatchNormalization", trained=(each, each), fixed=(each, each)
    )


@twin(blocks.lrn)
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
    return x.after(name, *x.shape[1:], kind="LocalResponseNormalization")


@twin(blocks.activation)
def _(x: Sketch, kind: Any, *, name: str, dtype: str | None = None) -> Sketch:
    said = kind if isinstance(kind, str) else getattr(kind, "__name__", type(kind).__name__)
    said = "" if said == "linear" else said
    return x.after(name, *x.shape[1:], kind="Activation", activation=said)


@twin(blocks.dropout)
def _(x: Sketch, rate: float, *, name: str) -> Sketch:
    return x.after(name, *x.shape[1:], kind="Dropout", rate=rate) if rate else x


@twin(blocks.max_pool)
def _(
    x: Sketch,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Sketch:
    return _pooled(x, size, name, strides or size, padding, ceil, "Max")


@twin(blocks.avg_pool)
def _(
    x: Sketch,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Sketch:
    return _pooled(x, size, name, strides or size, padding, ceil, "Average")


def _pooled(
    x: Sketch, size: int, name: str, strides: int, padding: Padding, ceil: bool, kind: str
) -> Sketch:
    return x.after(
        name,
        *x.windows(name, size, strides, padding, ceil=ceil),
        x.shape[3],
        kind=f"{kind}Pooling{'' if ceil or padding != 'valid' else '2D'}",
        window=window_of(size, strides, sides(padding, size)),
    )


@twin(blocks.grid_pool)
def _(x: Sketch, grid: int, *, name: str) -> Sketch:
    if x.shape[1:3] == (grid, grid):
        return x
    return x.after(name, grid, grid, x.shape[3], kind="GridPooling", sliding=everything)


@twin(blocks.global_avg_pool)
def _(x: Sketch, *, name: str = "avg_pool", dtype: str | None = None) -> Sketch:
    return x.after(name, x.shape[3], kind="GlobalAveragePooling2D", sliding=everything)


@twin(blocks.flatten)
def _(x: Sketch, *, name: str = "flatten") -> Sketch:
    return x.after(name, math.prod(x.shape[1:]), kind="Flatten", sliding=everything)


@twin(blocks.dense)
def _(x: Sketch, units: int, *, name: str, use_bias: bool = True) -> Sketch:
    _, *rows, channels = x.shape
    return x.after(
        name,
        *rows,
        units,
        kind="Dense",
        trained=((channels, units), (units,)) if use_bias else ((channels, units),),
        macs=channels * units * math.prod(rows),
        room=True,
    )


@twin(blocks.logits)
def _(
    x: Sketch, classes: int, *, name: str = "logits", initializer: Any = "glorot_uniform"
) -> Sketch:
    return blocks.dense(x, classes, name=name)


@twin(blocks.add)
def _(x: Sketch, *others: Sketch, name: str, dtype: str | None = None) -> Sketch:
    shapes = {tensor.shape for tensor in (x, *others)}
    if len(shapes) > 1:
        raise ArgumentError(f"{name}: maps of different shapes can't be added: {sorted(shapes)}.")
    return x.after(name, *x.shape[1:], kind="Add", others=others)


@twin(blocks.concat)
def _(x: Sketch, *others: Sketch, name: str) -> Sketch:
    maps = (x, *others)
    if len({tensor.shape[1:-1] for tensor in maps}) > 1:
        raise ArgumentError(
            f"{name}: maps of different sizes can't be concatenated: {[m.shape for m in maps]}."
        )
    channels = sum(tensor.shape[-1] for tensor in maps)
    return x.after(name, *x.shape[1:-1], channels, kind="Concatenate", others=others)


@twin(blocks.padded_identity)
def _(x: Sketch, filters: int, strides: int, *, name: str) -> Sketch:
    rows, columns = (-(-size // strides) for size in x.shape[1:3])
    return x.after(
        name, rows, columns, filters, kind="PaddedIdentity", window=window_of(1, strides)
    )


@twin(blocks.resize)
def _(x: Sketch, like: Sketch, *, name: str, dtype: str | None = None) -> Sketch:
    sizes = list(zip(x.shape[1:3], like.shape[1:3]))
    return x.after(
        name,
        *like.shape[1:3],
        x.shape[3],
        kind="BilinearResizing",
        others=[like],
        read=1,
        sliding=lambda: [interpolated(size, wanted) for size, wanted in sizes],
    )


@twin(blocks.upsample)
def _(
    x: Sketch, factor: int, *, name: str, learned: bool = False, dtype: str | None = None
) -> Sketch:
    kernel = 2 * factor
    if learned:
        return blocks.conv_transpose(
            x, x.shape[3], kernel, strides=factor, use_bias=False, name=name
        )
    rows, columns = ((size + 1) * factor for size in x.shape[1:3])
    return x.after(
        name,
        rows,
        columns,
        x.shape[3],
        kind="BilinearUpsampling",
        sliding=lambda: [transposed(kernel, factor, "valid")] * 2,
    )


@twin(blocks.pad_to_multiple)
def _(x: Sketch, multiple: int, *, name: str) -> Sketch:
    rows, columns = (size + -size % multiple for size in x.shape[1:3])
    return x.after(name, rows, columns, x.shape[3], kind="MultiplePadding")


@twin(blocks.crop)
def _(
    x: Sketch, like: Sketch, *, offset: int | None = None, name: str, dtype: str | None = None
) -> Sketch:
    starts = []
    for size, wanted in zip(x.shape[1:3], like.shape[1:3]):
        if wanted + (offset or 0) > size:
            raise InputSizeError(
                f"{name}: {like.shape[1]}×{like.shape[2]} can't be cut out of a map of "
                f"{x.shape[1]}×{x.shape[2]}, {offset or 0} from its corner."
            )
        starts.append((size - wanted) // 2 if offset is None else offset)
    return x.after(
        name,
        *like.shape[1:3],
        x.shape[3],
        kind="Cropping",
        others=[like],
        read=1,
        sliding=lambda: [plain(1, 1, -start) for start in starts],
    )


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
