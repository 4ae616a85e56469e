"""What each layer of a network costs and sees, as data: parameters, MACs, activations, fields.

`kerascnn.profiling` makes it of any functional `keras.Model`, `kerascnn.sketch` of a network that
isn't built.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from kerascnn.receptive_fields import ReceptiveField, Shape, Window, axes_text, union
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
        activation: the name of the activation in it; "" where it has none.
        rate: of a dropout.
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
    activation: str = ""
    rate: float = 0.0

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


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of one call of a layer by itself, wherever in a network it stands.

    Attributes:
        name, kind, groups, activation, rate: see `LayerProfile`.
        window: its `kernel`, `strides`, `dilation` and `padding`; none where it doesn't slide.
        sliding: for each axis what a unit reads; see `ReceptiveField.through`.
        trained, fixed: the shapes of its weights, none where they were counted at another call.
        macs: for one of the images that it reads; None: not known.
        size: bytes of its outputs, for one of the images that it makes.
        images: how many images it makes of each of the network's own; None: as many as it reads.
    """

    name: str
    kind: str
    groups: int = 1
    activation: str = ""
    rate: float = 0.0
    window: dict[str, Any] = dataclasses.field(default_factory=dict)
    sliding: Sequence[Window] | None = ()
    trained: tuple[Shape, ...] = ()
    fixed: tuple[Shape, ...] = ()
    macs: int | None = 0
    size: int = 0
    images: int | None = None


@dataclass(frozen=True)
class Value:
    """A tensor with known sizes: the call it comes from, and what its units see.

    `local` is the field without what comes in through vectors, as in squeeze-and-excitation: it
    keeps the stride where `field` is None because a unit sees the whole image. `images` is how many
    images of the batch are made of each of the model's own, as where windows are looked at one by
    one.
    """

    tensor: Any
    source: str
    field: ReceptiveField | None
    local: ReceptiveField | None
    images: int = 1

    @property
    def shape(self) -> Shape:
        """Without the batch."""
        return tuple(self.tensor.shape[1:])


class Rows:
    """The rows of a profile, call by call."""

    def __init__(self) -> None:
        self.rows: list[LayerProfile] = []
        self.calls: dict[str, int] = defaultdict(int)

    def source(self, tensor: Any, name: str, size: int) -> Value:
        """An input of the whole network, of so many bytes: each pixel sees itself."""
        shape = tuple(tensor.shape[1:])
        axes = max(len(shape) - 1, 0)
        field = ReceptiveField((1,) * axes, (1,) * axes, (0,) * axes) if axes else None
        self.rows.append(
            LayerProfile(
                name=name,
                kind="Input",
                output_shapes=(shape,),
                activation_bytes=size,
                stride=field.stride if field else None,
                receptive_field=field,
            )
        )
        return Value(tensor, name, field, field)

    def call(self, facts: Facts, inputs: Sequence[Value], outputs: Sequence[Any]) -> list[Value]:
        """Add a row for one call, and say what its outputs are."""
        name = self.named(facts.name)
        local = union(value.local for value in inputs if value.local)
        local = local and local.through(facts.sliding)
        seen = None
        if local and all(value.field for value in inputs):
            seen = union(value.field for value in inputs)
            seen = seen and seen.through(facts.sliding)
        images = max((value.images for value in inputs), default=1)
        made = images if facts.images is None else facts.images
        matrices = tuple(s for s in (*facts.trained, *facts.fixed) if len(s) > 1)
        self.rows.append(
            LayerProfile(
                name=name,
                kind=facts.kind,
                inputs=tuple(value.source for value in inputs),
                input_shapes=tuple(value.shape for value in inputs),
                output_shapes=tuple(tuple(tensor.shape[1:]) for tensor in outputs),
                **facts.window,
                groups=facts.groups,
                params=sum(map(math.prod, facts.trained)),
                other_params=sum(map(math.prod, facts.fixed)),
                weights=sum(map(math.prod, matrices)),
                weight_shapes=matrices,
                macs=None if facts.macs is None else facts.macs * images,
                activation_bytes=facts.size * made,
                stride=local.stride if local else None,
                receptive_field=seen,
                images=made,
                activation=facts.activation,
                rate=facts.rate,
            )
        )
        return [Value(tensor, name, seen, local, made) for tensor in outputs]

    def named(self, name: str) -> str:
        """The name of a call: the second one of a layer has "#2" at its end."""
        self.calls[name] += 1
        return name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"


def bottlenecks(measured: Profile) -> list[LayerProfile]:
    """The calls that every path from the input to the first output goes through, in order."""
    rows = {layer.name: layer for layer in measured.layers}
    needed, stack = set(), [measured.outputs[0]]
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack += rows[name].inputs
    order = [layer for layer in measured.layers if layer.name in needed]
    place = {layer.name: index for index, layer in enumerate(order)}
    last_reader = {place[name]: place[layer.name] for layer in order for name in layer.inputs}
    found, reach = [], 0
    for index, layer in enumerate(order):
        if reach <= index:  # no call reads past this one
            found.append(layer)
        reach = max(reach, last_reader.get(index, 0))
    return found


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
