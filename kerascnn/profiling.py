"""What each layer of a model costs and sees: parameters, MACs, activations, receptive fields.

Works on any functional keras.Model: ours, keras.applications' or a user's. Nothing is run and no
weight is read: the graph's shapes are enough.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import keras
import ml_dtypes  # noqa: F401 (teaches NumPy bfloat16)
import numpy as np
from keras import layers

from kerascnn.blocks import sides
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import Call, calls, functional, is_model

if TYPE_CHECKING:
    from rich.table import Table

Shape = tuple[Any, ...]


@dataclass(frozen=True)
class Window:
    """One axis of a layer's sliding window.

    Attributes:
        size: extent in input pixels, dilation included.
        stride: step in input pixels; below 1 where the layer enlarges the map. Its units then
            read from different places between two pixels: size and before hold for all of them.
        before: how far the first unit's window begins in front of the first pixel.
    """

    size: Fraction
    stride: Fraction
    before: Fraction


@dataclass(frozen=True)
class ReceptiveField:
    """The input pixels that one unit of a map can see, for each spatial axis.

    Attributes:
        size: extent of the field, in input pixels.
        stride: distance between the fields of neighbours; a fraction where the map is larger than
            the input.
        start: the first pixel that the first unit sees; negative inside the padding.
    """

    size: tuple[int, ...]
    stride: tuple[float, ...]
    start: tuple[int, ...]

    def through(self, windows: Sequence[Window]) -> ReceptiveField:
        """The field of a unit behind a layer with these windows."""
        axes = []
        for size, stride, start, window in zip(self.size, self.stride, self.start, windows):
            step = Fraction(stride)
            first = start - window.before * step
            end = math.ceil(first + size + (window.size - 1) * step)
            axes.append((end - math.floor(first), _number(step * window.stride), math.floor(first)))
        sizes, strides, starts = zip(*axes)
        return ReceptiveField(sizes, strides, starts)

    def __or__(self, other: ReceptiveField) -> ReceptiveField | None:
        """The union, where maps are added or concatenated; None if their strides differ."""
        if self.stride != other.stride:
            return None
        starts = tuple(map(min, self.start, other.start))
        ends = (max(a + n, b + m) for a, n, b, m in zip(*self._span(), *other._span()))
        return ReceptiveField(
            tuple(end - start for end, start in zip(ends, starts)), self.stride, starts
        )

    def _span(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.start, self.size

    def __str__(self) -> str:
        return f"{_axes(self.size)} / {_axes(self.stride)}"


@dataclass(frozen=True, kw_only=True)
class LayerProfile:
    """One call of a layer. Shapes are without the batch; amounts are for one image.

    Attributes:
        name: the layer's name; behind a prefix "model/" in a nested model, with "#2" at the end
            for the second call of a shared layer.
        kind: its class.
        inputs: the names of the calls (or inputs) it reads.
        input_shapes, output_shapes: one for each input and output.
        kernel, strides, dilation: for each spatial axis; empty without a window.
        padding: zeros (before, after) on each spatial axis, whether asked for by number or "same".
        groups: into how many the channels are divided.
        params: trainable parameters; a shared layer's are counted at its first call.
        other_params: those that aren't trained, such as BatchNorm's moving statistics.
        macs: multiply-adds of convolutions and dense layers; None where they aren't known.
        activation_bytes: size of the outputs.
        stride: distance between neighbouring units in input pixels, for each spatial axis; None
            for vectors.
        receptive_field: None where a unit sees the whole image, or it isn't known.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    input_shapes: tuple[Shape, ...] = ()
    output_shapes: tuple[Shape, ...] = ()
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: tuple[tuple[int, int], ...] = ()
    groups: int = 1
    params: int = 0
    other_params: int = 0
    macs: int | None = 0
    activation_bytes: int = 0
    stride: tuple[float, ...] | None = None
    receptive_field: ReceptiveField | None = None

    @property
    def output_shape(self) -> Shape:
        """The first output's shape."""
        return self.output_shapes[0]


@dataclass(frozen=True)
class Profile:
    """A model, call by call in the order of its graph, and its totals.

    Attributes:
        model: its name.
        layers: the calls; inputs come first.
        outputs: the names of the calls that produce the model's outputs.
    """

    model: str
    layers: tuple[LayerProfile, ...]
    outputs: tuple[str, ...]

    def __getitem__(self, name: str) -> LayerProfile:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"{self.model} has no layer {name!r}.")

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(layer.params for layer in self.layers)

    @property
    def other_params(self) -> int:
        """Parameters that aren't trained."""
        return sum(layer.other_params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image; layers in `uncounted` are left out."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Layers with matrices among their weights whose MACs aren't known."""
        return tuple(layer.name for layer in self.layers if layer.macs is None)

    @property
    def largest_field(self) -> ReceptiveField | None:
        """The largest field of a convolution, where that isn't the whole image."""
        fields = [layer.receptive_field for layer in self.layers if layer.macs]
        return max(filter(None, fields), key=lambda field: field.size, default=None)

    @property
    def activation_bytes(self) -> int:
        """Size of all outputs of all layers for one image."""
        return sum(layer.activation_bytes for layer in self.layers)

    def peak_memory(self, batch_size: int = 1, *, training: bool = False) -> int:
        """The most bytes of activations alive at one moment, by the graph's order.

        Inference frees a map after its last reader. Training keeps each map until its own layer's
        backward step, and the gradient of a map from its last reader's backward step until then.
        Weights, optimizer state and the work space of kernels are not included, and nothing is
        done in place: real figures differ, ratios between networks hold.
        """
        return batch_size * _peak(_lifetimes(self, training))

    def table(self) -> Table:
        """A Rich table with one row for each layer, and the totals."""
        from rich.table import Table

        table = Table(title=self.model, box=None, show_footer=True, header_style="bold")
        table.add_column("layer", "total", overflow="fold")
        for column, footer in (
            ("output", ""),
            ("kernel", ""),
            ("parameters", f"{self.params + self.other_params:,}"),
            ("MACs", f"{self.macs:,}"),
            ("field / stride", ""),
        ):
            table.add_column(column, footer, justify="right")
        for layer in self.layers:
            params = layer.params + layer.other_params
            table.add_row(
                layer.name,
                "×".join(map(str, layer.output_shape)),
                _window_text(layer),
                f"{params:,}" if params else "",
                "unknown" if layer.macs is None else f"{layer.macs:,}" if layer.macs else "",
                str(layer.receptive_field or ""),
            )
        return table

    def to_dict(self) -> dict[str, Any]:
        """Totals and layers as plain values."""
        return {
            "model": self.model,
            "params": self.params,
            "other_params": self.other_params,
            "macs": self.macs,
            "uncounted": self.uncounted,
            "activation_bytes": self.activation_bytes,
            "peak_bytes_inference": self.peak_memory(),
            "peak_bytes_training": self.peak_memory(training=True),
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
        }

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1)

    def to_csv(self) -> str:
        """One line for each layer; tuples are written as in the table, "3×3"."""
        out = io.StringIO()
        names = [field.name for field in dataclasses.fields(LayerProfile)][:-1]
        field = ("field_size", "field_stride", "field_start")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*names, *field])
        for layer in self.layers:
            seen = layer.receptive_field
            row = [_cell(getattr(layer, name)) for name in names]
            row += [_cell(v) for v in (seen.size, seen.stride, seen.start)] if seen else [""] * 3
            writer.writerow(row)
        return out.getvalue()


def profile(model: keras.Model, input_shape: Any = None) -> Profile:
    """Count what each layer of a functional model costs, and follow its receptive field.

    Args:
        model: any functional `keras.Model`, or a built Sequential; models nested in it are taken
            apart.
        input_shape: without the batch, `(height, width, channels)`, where the model leaves a size
            open; a list of shapes for several inputs.

    Raises:
        ArgumentError: the model has no graph, or a size is unknown and not given.
    """
    graph = functional(model)
    walk = _Walk()
    sources = {
        id(tensor): walk.source(tensor, shape)
        for tensor, shape in zip(graph.inputs, _input_shapes(graph, input_shape))
    }
    values = walk.model(graph, sources, prefix="")
    outputs = tuple(values[id(tensor)].source for tensor in graph.outputs)
    return Profile(model.name, tuple(walk.rows), outputs)


def _input_shapes(graph: Any, given: Any) -> list[Shape]:
    symbolic = [tuple(tensor.shape[1:]) for tensor in graph.inputs]
    if given is None:
        shapes = symbolic
    elif given and isinstance(given[0], (list, tuple)):
        shapes = [tuple(shape) for shape in given]
    else:
        shapes = [tuple(given)]
    fit = len(shapes) == len(symbolic) and all(
        len(shape) == len(expected)
        and all(size is not None and like in (None, size) for size, like in zip(shape, expected))
        for shape, expected in zip(shapes, symbolic)
    )
    if not fit:
        raise ArgumentError(
            f"{graph.name}: pass input_shape without the batch, all sizes known, for the model's "
            f"input {symbolic[0] if len(symbolic) == 1 else symbolic}. Received: {given!r}."
        )
    return shapes


@dataclass(frozen=True)
class _Value:
    """A tensor with known sizes: the call it comes from, and what its units see.

    `local` is the field without what comes in through vectors, as in squeeze-and-excitation: it
    keeps the stride where `field` is None because a unit sees the whole image.
    """

    tensor: Any
    source: str
    field: ReceptiveField | None
    local: ReceptiveField | None

    @property
    def shape(self) -> Shape:
        return tuple(self.tensor.shape[1:])


class _Walk:
    """One pass over a graph; `rows` grows by one row for each call."""

    def __init__(self) -> None:
        self.rows: list[LayerProfile] = []
        self.calls: dict[str, int] = defaultdict(int)
        self.counted: set[int] = set()

    def source(self, tensor: Any, shape: Shape) -> _Value:
        """An input of the whole model: each pixel sees itself."""
        name = getattr(tensor, "name", "input")
        axes = max(len(shape) - 1, 0)
        field = ReceptiveField((1,) * axes, (1,) * axes, (0,) * axes) if axes else None
        known = keras.KerasTensor((tensor.shape[0], *shape), tensor.dtype)
        self.rows.append(
            LayerProfile(
                name=name,
                kind="Input",
                output_shapes=(shape,),
                activation_bytes=_bytes(known),
                stride=field.stride if field else None,
                receptive_field=field,
            )
        )
        return _Value(known, name, field, field)

    def model(self, graph: Any, values: dict[int, _Value], prefix: str) -> dict[int, _Value]:
        """Walk through a model whose inputs have these values."""
        for call in calls(graph):
            inputs = [values[id(tensor)] for tensor in call.inputs]
            if is_model(call.operation):
                inner = functional(call.operation)
                bound = {id(t): value for t, value in zip(inner.inputs, inputs)}
                found = self.model(inner, bound, f"{prefix}{call.operation.name}/")
                outputs = [found[id(tensor)] for tensor in inner.outputs]
            else:
                outputs = self.layer(call, inputs, prefix)
            values |= {id(tensor): value for tensor, value in zip(call.outputs, outputs)}
        return values

    def layer(self, call: Call, inputs: list[_Value], prefix: str) -> list[_Value]:
        """Add a row for one call of a layer or operation."""
        layer = call.operation
        name = self._name(prefix + layer.name)
        outputs = _known_outputs(call, inputs)
        if not inputs:  # a constant: nothing of the image is seen
            return [_Value(tensor, name, None, None) for tensor in outputs]
        shape, out_shape = inputs[0].shape, tuple(outputs[0].shape[1:])
        window = _geometry(layer, shape)
        local = _union(value.local for value in inputs if value.local)
        local = local and _through(layer, local, inputs[0].shape, out_shape, window)
        seen = None
        if local and all(value.field for value in inputs):
            seen = _union(value.field for value in inputs)
            seen = seen and _through(layer, seen, inputs[0].shape, out_shape, window)
        first = id(layer) not in self.counted
        self.counted.add(id(layer))
        self.rows.append(
            LayerProfile(
                name=name,
                kind=type(layer).__name__,
                inputs=tuple(value.source for value in inputs),
                input_shapes=tuple(value.shape for value in inputs),
                output_shapes=tuple(tuple(tensor.shape[1:]) for tensor in outputs),
                **(window or {}),
                groups=getattr(layer, "groups", 1),
                params=_count(layer, "trainable_weights") if first else 0,
                other_params=_count(layer, "non_trainable_weights") if first else 0,
                macs=_macs(layer, shape, out_shape),
                activation_bytes=sum(map(_bytes, outputs)),
                stride=local.stride if local else None,
                receptive_field=seen,
            )
        )
        return [_Value(tensor, name, seen, local) for tensor in outputs]

    def _name(self, name: str) -> str:
        self.calls[name] += 1
        return name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"


def _known_outputs(call: Call, inputs: list[_Value]) -> list[Any]:
    """The call's outputs with the sizes that follow from the known inputs."""
    stored = [tuple(tensor.shape[1:]) for tensor in call.inputs]
    if stored == [value.shape for value in inputs]:
        return list(call.outputs)
    return call.infer({id(t): value.tensor for t, value in zip(call.inputs, inputs)})


def _bytes(tensor: Any) -> int:
    return math.prod(tensor.shape[1:]) * np.dtype(tensor.dtype).itemsize


def _count(layer: Any, kind: str) -> int:
    return sum(math.prod(weight.shape) for weight in getattr(layer, kind, ()))


# --- Multiply-adds ---------------------------------------------------------------------------

_CONV = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


def _macs(layer: Any, shape: Shape, out_shape: Shape) -> int | None:
    """Multiply-adds for one image; 0 for a layer without a convolution or matrix product."""
    if hasattr(layer, "macs"):
        return layer.macs((None, *shape))
    if isinstance(layer, layers.Dense):
        return math.prod(shape) * layer.units
    if isinstance(layer, (*_CONV, *_DEPTHWISE, *_SEPARABLE, *_TRANSPOSED)):
        return _convolution_macs(layer, shape, out_shape)
    # Norms and scales have vectors; a matrix that isn't known here is worth a note.
    matrices = [w for w in getattr(layer, "trainable_weights", ()) if len(w.shape) > 1]
    return None if matrices else 0


def _convolution_macs(layer: Any, shape: Shape, out_shape: Shape) -> int:
    window = math.prod(layer.kernel_size)
    channels = shape[_channel_axis(layer)]
    pixels = math.prod(_spatial(layer, out_shape))
    if isinstance(layer, _DEPTHWISE):
        return window * channels * layer.depth_multiplier * pixels
    if isinstance(layer, _SEPARABLE):
        deep = channels * layer.depth_multiplier
        return (window * deep + deep * layer.filters) * pixels
    if isinstance(layer, _TRANSPOSED):  # each input pixel is multiplied with the whole kernel
        return window * channels * layer.filters * math.prod(_spatial(layer, shape))
    return window * (channels // layer.groups) * layer.filters * pixels


# --- Windows and receptive fields ------------------------------------------------------------

# Every unit of their output depends on every unit of their input.
_GLOBAL = (layers.MultiHeadAttention, layers.Attention, layers.RNN, layers.Flatten)


def _channel_axis(layer: Any) -> int:
    return 0 if getattr(layer, "data_format", None) == "channels_first" else -1


def _spatial(layer: Any, shape: Shape) -> Shape:
    return shape[1:] if _channel_axis(layer) == 0 else shape[:-1]


def _geometry(layer: Any, shape: Shape) -> dict[str, Any] | None:
    """Kernel, strides, dilation and padding of a layer with a sliding window, else None.

    Read from attributes named as Keras's: `kernel_size` or `pool_size`, `strides`,
    `dilation_rate`, and `padding`, which may also be the numbers of `kerascnn.blocks.Padding`. A
    layer of one's own that has them is understood too; with `strides` alone it skips pixels.
    """
    if isinstance(layer, (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)):
        amounts = layer.padding if isinstance(layer.padding[0], tuple) else (layer.padding,)
        one = (1,) * len(amounts)
        return {"kernel": one, "strides": one, "dilation": one, "padding": tuple(amounts)}
    sizes = _spatial(layer, shape)
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if not sizes or (size is None and not hasattr(layer, "strides")):
        return None

    def axes(value: Any) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, (list, tuple)) else (value,) * len(sizes)

    kernel, dilation = axes(size or 1), axes(getattr(layer, "dilation_rate", 1))
    strides = axes(getattr(layer, "strides", None) or 1)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    padding = getattr(layer, "padding", "valid")
    if padding == "same":
        pads = tuple(_same(n, k, s) for n, k, s in zip(sizes, extents, strides))
    elif padding == "valid":
        pads = ((0, 0),) * len(sizes)
    else:
        top, bottom, left, right = sides(padding, extents[0])
        pads = ((top, bottom), (left, right))
    return {"kernel": kernel, "strides": strides, "dilation": dilation, "padding": pads}


def _same(size: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same": zeros for `ceil(size / stride)` windows, the odd one last."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _union(fields: Iterable[ReceptiveField | None]) -> ReceptiveField | None:
    """The field of maps that are added or concatenated; None without any, or if they clash."""
    found = list(fields)
    return functools.reduce(lambda a, b: a | b if a and b else None, found) if found else None


def _through(
    layer: Any,
    field: ReceptiveField,
    shape: Shape,
    out_shape: Shape,
    window: dict[str, Any] | None,
) -> ReceptiveField | None:
    """The field behind a layer; None where each unit sees everything, or it isn't known."""
    if isinstance(layer, _GLOBAL):
        return None
    axes = len(field.size)
    if isinstance(layer, (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)):
        cropped = layer.cropping if axes > 1 else (layer.cropping,)
        return field.through([_plain(1, 1, -before) for before, _ in cropped])
    if isinstance(layer, (layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D)):
        factors = layer.size if axes > 1 else (layer.size,)
        nearest = getattr(layer, "interpolation", "nearest") == "nearest"
        return field.through([_enlarged(factor, nearest) for factor in factors])
    if window is None:
        # Element-wise, or along the channels; a map of another size was made in an unknown way.
        same = _spatial(layer, out_shape) == _spatial(layer, shape)
        return field if same and len(out_shape) == axes + 1 else None
    spans = [(k - 1) * d + 1 for k, d in zip(window["kernel"], window["dilation"])]
    rows = list(zip(spans, window["strides"], window["padding"]))
    if isinstance(layer, _TRANSPOSED):
        return field.through([_transposed(k, s, layer.padding) for k, s, _ in rows])
    return field.through([_plain(k, s, before) for k, s, (before, _) in rows])


def _plain(size: int, stride: int, before: int) -> Window:
    return Window(Fraction(size), Fraction(stride), Fraction(before))


def _transposed(kernel: int, stride: int, padding: str) -> Window:
    """Unit `u` reads the pixels from `(u + before - kernel + 1) / stride` up, `kernel / stride`."""
    before = max(kernel - stride, 0) // 2 if padding == "same" else 0
    reach = Fraction(kernel - 1, stride)
    return Window(1 + reach, Fraction(1, stride), reach - Fraction(before, stride))


def _enlarged(factor: int, nearest: bool) -> Window:
    """Unit `u` reads pixel `u // factor`, or the two around `(u + 1/2) / factor - 1/2`."""
    step = Fraction(1, factor)
    if nearest:
        return Window(2 - step, step, 1 - step)
    return Window(3 - step, step, Fraction(3, 2) - step)


def _number(value: Fraction) -> float:
    return int(value) if value.denominator == 1 else float(value)


# --- Memory ----------------------------------------------------------------------------------

_VIEWS = {"Flatten", "Reshape", "Identity"}
_IDLE_IN_INFERENCE = {"Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout"}


def _lifetimes(profile: Profile, training: bool) -> Iterable[tuple[int, int, int]]:
    """(first step, last step, bytes) of every activation and gradient; one step for each call."""
    views = _VIEWS if training else _VIEWS | _IDLE_IN_INFERENCE
    owner: dict[str, int] = {}  # whose memory a call's output lies in
    last: dict[int, int] = {}
    for step, layer in enumerate(profile.layers):
        for name in layer.inputs:
            last[owner[name]] = step
        owner[layer.name] = owner[layer.inputs[0]] if layer.kind in views else step
        last.setdefault(owner[layer.name], step)
    steps = len(profile.layers)
    for name in profile.outputs:
        last[owner[name]] = steps - 1
    for step in set(owner.values()):
        size = profile.layers[step].activation_bytes
        if not training:
            yield step, last[step], size
            continue
        backward = 2 * steps - 1 - step
        yield step, backward, size
        if profile.layers[step].inputs:  # nobody asks for the gradient of the image
            yield 2 * steps - 1 - last[step], backward, size


def _peak(lifetimes: Iterable[tuple[int, int, int]]) -> int:
    changes: dict[int, int] = defaultdict(int)
    for first, last, size in lifetimes:
        changes[first] += size
        changes[last + 1] -= size
    peak = alive = 0
    for step in sorted(changes):
        alive += changes[step]
        peak = max(peak, alive)
    return peak


# --- Text ------------------------------------------------------------------------------------


def _axes(values: Sequence[float]) -> str:
    """One number where the axes agree, "1×7" where they don't."""
    distinct = values[:1] if len(set(values)) == 1 else values
    return "×".join(f"{value:g}" for value in distinct)


def _window_text(layer: LayerProfile) -> str:
    if not layer.kernel or layer.kind.startswith("ZeroPadding"):
        return ""
    text = "×".join(map(str, layer.kernel))
    text += f" / {_axes(layer.strides)}" if set(layer.strides) != {1} else ""
    text += f" dilated {_axes(layer.dilation)}" if set(layer.dilation) != {1} else ""
    return text + (f" in {layer.groups} groups" if layer.groups > 1 else "")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(
            "×".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value
        )
    return value
