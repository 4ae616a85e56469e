"""What each layer of a model costs and sees: parameters, MACs, activations, receptive fields.

Works on any functional keras.Model: ours, keras.applications' or a user's. Nothing is run and no
weight is read: the graph's shapes are enough.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import keras
import ml_dtypes  # noqa: F401 (teaches NumPy bfloat16)
import numpy as np
from keras import layers

from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import Call, calls, functional, is_model
from kerascnn.receptive_fields import (
    TRANSPOSED,
    ReceptiveField,
    Shape,
    axes_text,
    channel_axis,
    geometry,
    spatial,
    through_layer,
    union,
)
from kerascnn.tables import Name, html, text

if TYPE_CHECKING:
    from rich.table import Table

EXACT: Callable[[int], str] = "{:,}".format
"""How counts are written: every digit."""


@dataclass(frozen=True, kw_only=True)
class LayerProfile:
    """One call of a layer. Shapes are without the batch; amounts are for one image.

    Attributes:
        name: the layer's name; behind a prefix "model/" in a nested model, with "#2" at the end
            for the second call of a shared layer.
        kind: its class.
        inputs: the names of the calls (or inputs) it reads; not that of a map that says how large
            the output is, and no more.
        input_shapes, output_shapes: one for each input and output.
        kernel, strides, dilation: for each spatial axis; empty without a window.
        padding: zeros (before, after) on each spatial axis, whether asked for by number or "same".
        groups: into how many the channels are divided.
        params: trainable parameters; a shared layer's are counted at its first call.
        other_params: those that aren't trained, such as BatchNorm's moving statistics.
        weights: of all these the ones in kernels and matrices: without biases, and without the
            scales and statistics of a normalization.
        weight_shapes: the shapes of the kernels and matrices, `(height, width, in, out)` and
            `(in, out)`; `in` is that of one group.
        macs: multiply-adds of convolutions and dense layers; None where they aren't known.
        activation_bytes: size of the outputs.
        stride: distance between neighbouring units in input pixels, for each spatial axis; None
            for vectors.
        receptive_field: None where a unit sees the whole image, or it isn't known.
        images: how many the outputs are of, for each image: others than 1 where windows are looked
            at one by one.
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
    weights: int = 0
    weight_shapes: tuple[Shape, ...] = ()
    macs: int | None = 0
    activation_bytes: int = 0
    stride: tuple[float, ...] | None = None
    receptive_field: ReceptiveField | None = None
    images: int = 1

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
    def weights(self) -> int:
        """Parameters in kernels and matrices: without biases and scales."""
        return sum(layer.weights for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image; layers in `uncounted` are left out."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def convolutions(self) -> list[LayerProfile]:
        """The layers whose weights are kernels."""
        return [layer for layer in self.layers if layer.weights and layer.kernel]

    @property
    def dense(self) -> list[LayerProfile]:
        """The layers whose weights are matrices."""
        return [layer for layer in self.layers if layer.weights and not layer.kernel]

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

    def table(self, *, write: Callable[[int], str] = EXACT) -> Table:
        """A Rich table with one row for each layer, and the totals.

        Args:
            write: how counts are written; `kerascnn.words.rounded` gives "61.7 K".
        """
        from rich.table import Table

        table = Table(
            title=self.model, box=None, show_footer=True, header_style="bold", pad_edge=False
        )
        table.add_column(TITLES[0], "total")
        for title, footer in zip(TITLES[1:], self._totals(write)):
            table.add_column(title, footer, justify="right", no_wrap=True)
        for name, *cells in (_cells(layer, write) for layer in self.layers):
            table.add_row(Name(name), *cells)
        return table

    def weight_table(self, *, write: Callable[[int], str] = EXACT) -> Table:
        """A Rich table with the layers that have parameters: weights apart from biases.

        Below them the sums of convolutions and of dense layers; each with its share of all.

        Args:
            write: how counts are written; `kerascnn.words.rounded` gives "61.7 K".
        """
        from rich.table import Table

        table = Table(title=self.model, box=None, header_style="bold", pad_edge=False)
        table.add_column("layer")
        for title in ("shape", "weights", "share", "biases, scales", "MACs", "share"):
            table.add_column(title, justify="right", no_wrap=title != "biases, scales")
        counted = [layer for layer in self.layers if layer.params + layer.other_params]
        kinds = {
            "convolutions": self.convolutions,
            "dense layers": self.dense,
            "others": [layer for layer in counted if not layer.weights],
        }
        for layer in counted:
            shapes = ", ".join("×".join(map(str, shape)) for shape in layer.weight_shapes)
            table.add_row(Name(layer.name), shapes, *self._shares([layer], write))
        table.add_section()
        for kind, members in kinds.items():
            if members:
                table.add_row(kind, "", *self._shares(members, write))
        table.add_row("total", "", *self._shares(counted, write), style="bold")
        return table

    def _shares(self, layers: list[LayerProfile], write: Callable[[int], str]) -> tuple[str, ...]:
        """Weights, their share, the other parameters, MACs, their share."""
        weights = sum(layer.weights for layer in layers)
        others = sum(layer.params + layer.other_params for layer in layers) - weights
        macs = sum(layer.macs or 0 for layer in layers)

        def both(count: int, whole: int) -> tuple[str, str]:
            return (write(count), f"{count / whole:.1%}") if count else ("", "")

        weight_cells, mac_cells = both(weights, self.weights), both(macs, self.macs)
        return (*weight_cells, write(others) if others else "", *mac_cells)

    def _totals(self, write: Callable[[int], str] = EXACT) -> tuple[str, ...]:
        return ("", "", write(self.params + self.other_params), write(self.macs), "")

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

    def __str__(self) -> str:
        """The table as text."""
        return text(self.table(), TEXT_WIDTH)

    def _repr_html_(self) -> str:
        """The table as notebooks show it."""
        return f"<b>{escape(self.model)}</b>" + html(TITLES, self.rows(), numbers=TITLES[1:])

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of the table below `TITLES`: of each layer, and at the end the totals."""
        return [*map(_cells, self.layers), ("total", *self._totals())]

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1)

    def to_csv(self) -> str:
        """One line for each layer: shapes as "32×32×1", other tuples with spaces, "3 3"."""
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
    keeps the stride where `field` is None because a unit sees the whole image. `images` is how many
    images of the batch are made of each of the model's own, as where windows are looked at one by
    one: a layer that makes another number of them has `images(input_shape)`.
    """

    tensor: Any
    source: str
    field: ReceptiveField | None
    local: ReceptiveField | None
    images: int = 1

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
        inputs = inputs[: getattr(layer, "maps_read", len(inputs))]
        shape, out_shape = inputs[0].shape, tuple(outputs[0].shape[1:])
        window = geometry(layer, shape)
        local = union(value.local for value in inputs if value.local)
        local = local and through_layer(layer, local, inputs[0].shape, out_shape, window)
        seen = None
        if local and all(value.field for value in inputs):
            seen = union(value.field for value in inputs)
            seen = seen and through_layer(layer, seen, inputs[0].shape, out_shape, window)
        images = max((value.images for value in inputs), default=1)
        made = layer.images((None, *shape)) if hasattr(layer, "images") else images
        macs = _macs(layer, shape, out_shape)
        first = id(layer) not in self.counted
        matrices = _matrices(layer) if first else ()
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
                weights=sum(map(math.prod, matrices)),
                weight_shapes=matrices,
                macs=None if macs is None else macs * images,
                activation_bytes=sum(map(_bytes, outputs)) * made,
                stride=local.stride if local else None,
                receptive_field=seen,
                images=made,
            )
        )
        return [_Value(tensor, name, seen, local, made) for tensor in outputs]

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


def _matrices(layer: Any) -> tuple[Shape, ...]:
    """The shapes of a layer's kernels and matrices; biases, scales and statistics are vectors."""
    shapes = (tuple(weight.shape) for weight in getattr(layer, "weights", ()))
    return tuple(shape for shape in shapes if len(shape) > 1)


# --- Multiply-adds ---------------------------------------------------------------------------

_CONV = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)


def _macs(layer: Any, shape: Shape, out_shape: Shape) -> int | None:
    """Multiply-adds for one image; 0 for a layer without a convolution or matrix product."""
    if hasattr(layer, "macs"):
        return layer.macs((None, *shape))
    if isinstance(layer, layers.Dense):
        return math.prod(shape) * layer.units
    if isinstance(layer, (*_CONV, *_DEPTHWISE, *_SEPARABLE, *TRANSPOSED)):
        return _convolution_macs(layer, shape, out_shape)
    # Norms and scales have vectors; a matrix that isn't known here is worth a note.
    matrices = [w for w in getattr(layer, "trainable_weights", ()) if len(w.shape) > 1]
    return None if matrices else 0


def _convolution_macs(layer: Any, shape: Shape, out_shape: Shape) -> int:
    window = math.prod(layer.kernel_size)
    channels = shape[channel_axis(layer)]
    pixels = math.prod(spatial(layer, out_shape))
    if isinstance(layer, _DEPTHWISE):
        return window * channels * layer.depth_multiplier * pixels
    if isinstance(layer, _SEPARABLE):
        deep = channels * layer.depth_multiplier
        return (window * deep + deep * layer.filters) * pixels
    if isinstance(layer, TRANSPOSED):  # each input pixel is multiplied with the whole kernel
        return window * channels * layer.filters * math.prod(spatial(layer, shape))
    return window * (channels // layer.groups) * layer.filters * pixels


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

TITLES = ("layer", "output", "kernel", "parameters", "MACs", "field/stride")
TEXT_WIDTH = 100  # columns of a profile that is printed


def _cells(layer: LayerProfile, write: Callable[[int], str] = EXACT) -> tuple[str, ...]:
    """A layer's row, under `TITLES`."""
    params = layer.params + layer.other_params
    return (
        layer.name,
        "×".join(map(str, layer.output_shape)),
        _window_text(layer),
        write(params) if params else "",
        "unknown" if layer.macs is None else write(layer.macs) if layer.macs else "",
        str(layer.receptive_field or ""),
    )


def _window_text(layer: LayerProfile) -> str:
    if not layer.kernel or layer.kind.startswith("ZeroPadding"):
        return ""
    text = "×".join(map(str, layer.kernel))
    text += f" / {axes_text(layer.strides)}" if set(layer.strides) != {1} else ""
    text += f" dilated {axes_text(layer.dilation)}" if set(layer.dilation) != {1} else ""
    return text + (f" in {layer.groups} groups" if layer.groups > 1 else "")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return " ".join(
            "×".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value
        )
    return value
