"""Named feature maps, feature extractors, and networks whose dense head slides over the map.

All of it is read off the graph and its layers' names, so it works as well on a model that was
saved and loaded, on one without its classifier, and on keras.applications' models.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from kerascnn.errors import ArgumentError
from kerascnn.graphs import single
from kerascnn.keras_internals import Call, calls, functional, is_model, leaf_layers
from kerascnn.profiles import LayerProfile, bottlenecks
from kerascnn.profiling import profile
from kerascnn.receptive_fields import ReceptiveField
from kerascnn.windows import FORMAT

# Where a model leaves its input size open, any size will do that every network accepts.
ANY_SIZE = 512


@dataclass(frozen=True)
class Endpoint:
    """A feature map that others build upon.

    Attributes:
        layer: the name of the layer that produces it.
        stride: input pixels between neighbouring units.
        channels: number of maps.
        receptive_field: None where a unit sees the whole image.
    """

    layer: str
    stride: int
    channels: int
    receptive_field: ReceptiveField | None


def endpoints(model: keras.Model) -> dict[str, Endpoint]:
    """The maps `C1`, `C2`, ... and the pooling layers `pool1`, ... of a network.

    `Ck` is the last map of stride 2^k, through which everything behind it is computed: ResNet-50's
    C4 is `conv4_block6_out`, VGG-16's `block5_conv3`. A pooling layer is called `poolN` after the
    number in its name, so that VGG-16's `pool4` is `block4_pool`, also of stride 16.

    Args:
        model: a functional model; its main output is the first one.

    Raises:
        ArgumentError: the model has no graph.
    """
    measured = profile(model, _open_sizes(model))
    features = itertools.takewhile(
        lambda layer: not _HEAD.fullmatch(_own_name(layer)), bottlenecks(measured)
    )
    maps = [layer for layer in features if _is_map(layer)]
    found: dict[str, Endpoint] = {}
    deepest = 1
    for layer in maps:
        stride = _stride(layer)
        if stride < deepest:  # a decoder begins
            break
        deepest = stride
        if stride > 1 and math.log2(stride).is_integer() and layer.kind not in _NO_FEATURES:
            found[f"C{int(math.log2(stride))}"] = _endpoint(layer)
    pools = {_pool_name(layer.name): _endpoint(layer) for layer in maps if _halves(model, layer)}
    return found | pools


# The layers of a classifier, whose scores may be maps too: NiN's, and what convolutionalize makes;
# and the numbers of a grid's cells, which a detector makes boxes of.
_HEAD = re.compile(r"(?:avg|max)_pool|fc\d+|logits|predictions|cells")
_SCORES = re.compile(r"score|(?:\w+_)?logits")
# They change no value, or only where the map ends.
_NO_FEATURES = {
    *("ZeroPadding2D", "MultiplePadding", "Cropping2D", "Cropping"),
    *("Dropout", "SpatialDropout2D", "Identity"),
}


MAP = re.compile(r"C\d+")
"""The names of endpoints that aren't named after a pooling layer, which they may be, too."""


def encoder(model: keras.Model) -> dict[int, str]:
    """The last layers of each stride, 2 and more, on the way down of a network that goes up again.

    For networks whose answer is a map, and which look back at maps of the way down, so that not all
    goes through these: U-Net's `bottom_conv2_relu` has stride 16. The way ends where a map of
    scores or the head of a classifier begins, as in `endpoints`, or a stride is smaller than the
    one before.

    Returns:
        Stride → layer, the finest first; of a network whose answer is no map, or one as coarse as
        its coarsest, nothing.

    Raises:
        ArgumentError: the model has no graph.
    """
    measured = profile(model, _open_sizes(model))
    answer = measured[measured.outputs[0]]
    needed, stack = set(), [measured.outputs[0]]
    while stack:
        if (name := stack.pop()) not in needed:
            needed.add(name)
            stack += measured[name].inputs
    found: dict[int, str] = {}
    deepest = 1
    for layer in measured.layers:
        if layer.name not in needed or not _is_map(layer):
            continue
        if _HEAD.fullmatch(_own_name(layer)) or _SCORES.match(_own_name(layer)):
            break
        stride = _stride(layer)
        if stride < deepest:
            break
        deepest = stride
        if stride > 1 and layer.kind not in _NO_FEATURES:
            found[stride] = layer.name
    goes_up = len(answer.output_shape) == 3 and not (_is_map(answer) and _stride(answer) >= deepest)
    return found if goes_up else {}


def _open_sizes(model: Any) -> list[tuple[Any, ...]]:
    shapes = [tensor.shape[1:] for tensor in functional(model).inputs]
    return [tuple(ANY_SIZE if size is None else size for size in shape) for shape in shapes]


def _is_map(layer: LayerProfile) -> bool:
    """Whether units lie on a grid of the image's whole pixels, equal in height and width."""
    stride = layer.stride
    return bool(
        layer.images == 1
        and stride
        and len(stride) == 2
        and stride[0] == stride[1]
        and float(stride[0]).is_integer()
    )


def _stride(layer: LayerProfile) -> int:
    assert layer.stride is not None
    return int(layer.stride[0])


def _endpoint(layer: LayerProfile) -> Endpoint:
    return Endpoint(layer.name, _stride(layer), layer.output_shape[-1], layer.receptive_field)


def _halves(model: Any, layer: LayerProfile) -> bool:
    """Whether it is a pooling layer with a stride, and doesn't just pick a convolution's pixels."""
    if layer.kind == "Input" or not layer.strides or max(layer.strides) < 2:
        return False
    if layer.kernel and max(layer.kernel) == 1:
        return False
    *places, name = layer.name.partition("#")[0].split("/")
    for place in places:
        model = functional(model).get_layer(place)
    return hasattr(functional(model).get_layer(name), "pool_size")


def _own_name(layer: LayerProfile) -> str:
    """Without the names of the models that it lies in."""
    return layer.name.rpartition("/")[2]


def _pool_name(layer: str) -> str:
    match = re.search(r"(?:block(\d+)_pool|pool(\d+)(?:_pool)?)$", layer)
    return f"pool{match[1] or match[2]}" if match else layer


def feature_extractor(model: keras.Model, names: str | Sequence[str]) -> keras.Model:
    """A model with the same input and weights whose outputs are feature maps.

    Args:
        model: a functional model. Nested ones are taken apart: their layers are called
            "MODEL/LAYER", and "LAYER" where that is unique.
        names: endpoints such as "C3", or layer names. A string gives one output, a sequence a
            list of outputs in its order.

    Raises:
        ArgumentError: a name is unknown; the message lists the legal ones.
    """
    known = endpoints(model)
    if not names:
        raise ArgumentError(
            f"{model.name}: name at least one feature map. Endpoints: {', '.join(known)}. "
            f"Received: {names!r}."
        )
    graph = functional(model)
    tensors = _outputs_by_name(graph)
    legal = known.keys() | tensors.keys()

    def tensor(name: str) -> Any:
        layer = known[name].layer if name in known else name
        if layer not in tensors:
            raise ArgumentError(
                f"{model.name} has no feature map {name!r}. Endpoints: {', '.join(known)}; or the "
                f"name of one of its {len(legal) - len(known)} layers, such as "
                f"{', '.join(list(tensors)[-3:])}. Received: {names!r}."
            )
        return tensors[layer]

    outputs = tensor(names) if isinstance(names, str) else [tensor(name) for name in names]
    return keras.Model(single(graph.inputs), outputs, name=f"{model.name}_features")


def _outputs_by_name(graph: Any) -> dict[str, Any]:
    """The first output of each layer, also of those in nested models, as this model computes it."""
    found: dict[str, Any] = {}
    short: dict[str, list[str]] = {}
    times: Counter[str] = Counter()
    for place, call, outputs in _taken_apart(graph, {}, ""):
        name = f"{place}{call.operation.name}"
        times[name] += 1
        if times[name] > 1:  # as `profile` names the second call of a shared layer
            name = f"{name}#{times[name]}"
        found[name] = outputs[0]
        short.setdefault(name.rpartition("/")[2], []).append(name)
    unique = {name: found[places[0]] for name, places in short.items() if len(places) == 1}
    return unique | found


def _taken_apart(
    graph: Any, known: dict[int, Any], place: str
) -> Iterator[tuple[str, Call, list[Any]]]:
    """Every call of a model and of those nested in it, its place, and its outputs.

    A nested model was built upon an input of its own, and its layers' outputs belong to that. They
    are called again here, upon what the model around them computes.
    """
    for call in calls(graph):
        if is_model(call.operation):
            inner = functional(call.operation)
            mine = {
                id(t): known.get(id(given), given) for t, given in zip(inner.inputs, call.inputs)
            }
            yield from _taken_apart(inner, mine, f"{place}{call.operation.name}/")
            outputs = [mine[id(tensor)] for tensor in inner.outputs]
            known |= {id(old): new for old, new in zip(call.outputs, outputs)}
        elif any(id(tensor) in known for tensor in call.inputs):
            outputs = call.repeat(call.operation, {id(t): known.get(id(t), t) for t in call.inputs})
            known |= {id(old): new for old, new in zip(call.outputs, outputs)}
        else:
            outputs = list(call.outputs)
        yield place, call, outputs


def flattened(model: keras.Model) -> keras.Model:
    """The same model without nested ones: their layers, with the same weights, in one graph.

    Raises:
        ArgumentError: two of its layers have one name, or it has no graph.
    """
    graph = functional(model)
    if not any(is_model(call.operation) for call in calls(graph)):
        return model
    known: dict[int, Any] = {}
    names = [layer.name for layer in leaf_layers(graph) if not isinstance(layer, layers.InputLayer)]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ArgumentError(
            f"{model.name}: its nested models can't be put into one graph, since a layer's name "
            f"must be its own there. Received: {names.count(doubled[0])} called {doubled[0]!r}."
        )
    for _ in _taken_apart(graph, known, ""):
        pass
    outputs = [known.get(id(tensor), tensor) for tensor in graph.outputs]
    return keras.Model(single(graph.inputs), single(outputs), name=model.name)


def convolutionalize(model: keras.Model) -> keras.Model:
    """The same network with its dense head written as convolutions, for inputs of any size.

    The first dense layer behind a flattened map of height h and width w becomes a valid h×w
    convolution, the following ones 1×1 convolutions. Global average (or maximum) pooling becomes
    pooling over windows of the native map's size at every position. So `[batch, height, width,
    classes]` comes out, 1×1 at the native size with the model's own outputs, larger at larger
    inputs: at each position the scores of the window of native size that begins there (up to what
    padding does at borders). A softmax runs over the channels.

    Args:
        model: a functional model with a classifier, built at a known size. Left as it is: the
            result has its own copy of the weights and the same layer names. Nested models are
            taken apart.

    Raises:
        ArgumentError: there is no head, the native size is unknown, or the head has layers that
            can't slide.
    """
    model = flattened(model)
    graph = functional(model)
    copies: dict[int, Any] = {}
    tensors = {id(tensor): _any_size(tensor) for tensor in graph.inputs}
    inputs = list(tensors.values())
    # What is a vector in the model and a map here → how much of the map the vector was made of.
    windows: dict[int, tuple[int, int]] = {}
    for call in calls(graph):
        layer, source = call.operation, call.inputs[0]
        window = windows.get(id(source))
        if isinstance(layer, layers.Flatten):
            outputs = [tensors[id(source)]]
            window = window or _native_size(model, source)
        else:
            if id(layer) not in copies:
                copies[id(layer)] = _counterpart(model, layer, source, window)
            outputs = call.repeat(copies[id(layer)], tensors)
            if isinstance(layer, _GLOBAL_POOLING) or (window and isinstance(layer, layers.Dense)):
                window = (1, 1)
        tensors |= {id(old): new for old, new in zip(call.outputs, outputs)}
        if window:
            windows |= {id(old): window for old in call.outputs}
    if not windows:
        raise ArgumentError(
            f"{model.name} has no head to turn into convolutions: it neither flattens its map nor "
            "pools all of it. Build it with include_top=True."
        )
    for call in calls(graph):
        if _is_layer(call.operation) and (copy := copies.get(id(call.operation))):
            for old, new in zip(call.operation.weights, copy.weights):
                new.assign(ops.reshape(old, new.shape))  # flattening is row by row, as kernels are
    outputs = [tensors[id(tensor)] for tensor in graph.outputs]
    return keras.Model(single(inputs), single(outputs), name=model.name)


def any_size(model: keras.Model) -> keras.Model:
    """The same network for inputs of any height and width that its maps allow.

    It consists of the model's own layers, so it has the same weights: what changes the one changes
    the other. It is for networks whose answer is a map; one that flattens its maps can't be had
    without `convolutionalize`.

    Args:
        model: functional, perhaps with models inside.

    Raises:
        ArgumentError: some layer needs to know how large its maps are.
    """
    graph = functional(flattened(model))
    tensors = {id(tensor): _any_size(tensor) for tensor in graph.inputs}
    inputs = list(tensors.values())
    for call in calls(graph):
        try:
            outputs = call.repeat(call.operation, tensors)
        except (ValueError, TypeError) as error:
            raise _needs_sizes(model, call.operation, str(error)) from None
        if any(new.shape[-1] != old.shape[-1] for old, new in zip(call.outputs, outputs)):
            raise _needs_sizes(model, call.operation, "It makes channels of them.")
        tensors |= {id(old): new for old, new in zip(call.outputs, outputs)}
    outputs = [tensors[id(tensor)] for tensor in graph.outputs]
    return keras.Model(single(inputs), single(outputs), name=model.name)


def _needs_sizes(model: Any, layer: Any, why: str) -> ArgumentError:
    return ArgumentError(
        f"{model.name} takes no inputs of any size: {layer.name} ({type(layer).__name__}) needs to "
        f"know how large its maps are. {why}"
    )


_GLOBAL_POOLING = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
_POINTWISE = (
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Softmax,
    layers.Dropout,
    layers.Identity,
)


def _any_size(tensor: Any) -> Any:
    return keras.Input((None, None, tensor.shape[-1]), dtype=tensor.dtype, name=tensor.name)


def _native_size(model: Any, tensor: Any) -> tuple[int, int]:
    height, width = tensor.shape[1:3]
    if height is None or width is None:
        raise ArgumentError(
            f"{model.name}: its input size is open, so its head has no window of its own. Build it "
            "with an input_shape such as (224, 224, 3)."
        )
    return height, width


def _counterpart(model: Any, layer: Any, source: Any, window: tuple[int, int] | None) -> Any:
    """The layer that does on maps what `layer` does; `window` is None in front of the head."""
    if isinstance(layer, _GLOBAL_POOLING):
        average = isinstance(layer, layers.GlobalAveragePooling2D)
        pooling = layers.AveragePooling2D if average else layers.MaxPooling2D
        size = _native_size(model, source)
        return pooling(size, 1, **FORMAT, name=layer.name, dtype=layer.dtype_policy)
    if window and isinstance(layer, layers.Dense):
        return _convolution(layer, window)
    per_channel = isinstance(layer, layers.BatchNormalization) and window == (1, 1)
    if window is None or per_channel or isinstance(layer, _POINTWISE):
        if isinstance(layer, keras.Model):  # of a class of its own
            raise ArgumentError(
                f"{model.name}: the nested model {layer.name} has no graph that could be taken "
                f"apart. Build it with keras.Model(inputs, outputs). Received: "
                f"{type(layer).__name__}."
            )
        return type(layer).from_config(layer.get_config()) if _is_layer(layer) else layer
    raise ArgumentError(
        f"{model.name}: {layer.name} ({type(layer).__name__}) can't slide over a map; behind the "
        "flattened or pooled map convolutionalize expects dense layers, activations, dropout, and "
        "batch normalization behind a dense layer."
    )


def _is_layer(operation: Any) -> bool:
    return isinstance(operation, keras.Layer)  # else an operation of keras.ops, without state


def _convolution(dense: Any, window: tuple[int, int]) -> Any:
    shared = (
        *("name", "trainable", "dtype", "activation", "use_bias", "kernel_initializer"),
        *("bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer"),
        *("kernel_constraint", "bias_constraint"),
    )
    config = dense.get_config()
    return layers.Conv2D.from_config(
        {
            "filters": dense.units,
            "kernel_size": window,
            **FORMAT,
            **{key: config[key] for key in shared if key in config},
        }
    )
