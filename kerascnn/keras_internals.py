"""Every private hook of Keras that kerascnn relies on, in one place, checked when imported.

Keras has no public way to walk a functional graph call by call, nor to build a model whose
variables have shapes and no values. Both live here, so that a new version of Keras breaks one
file, with one clear message, and not the results.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import inspect
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kerascnn.errors import ArgumentError, IncompatibleKerasError
from kerascnn.graphs import calls_to

try:
    from keras.src.backend.common import global_state
    from keras.src.models.functional import Functional
    from keras.src.ops.core import Cast
    from keras.src.ops.nn import Softmax
    from keras.src.ops.node import Node
    from keras.src.ops.symbolic_arguments import SymbolicArguments
    from keras.src.saving import serialization_lib

    _REQUIRED = (
        (global_state, "get_global_attribute"),
        (global_state, "set_global_attribute"),
        (serialization_lib, "_retrieve_class_or_fn"),
        (Node, "input_tensors"),
        (Node, "output_tensors"),
        (SymbolicArguments, "fill_in"),
        (Functional, "inputs"),
        (keras.KerasTensor, "shape"),
        (keras.Variable, "_deferred_initialize"),
        (keras.Layer, "_flatten_layers"),
    )
    for _owner, _attribute in _REQUIRED:
        getattr(_owner, _attribute)
    with keras.StatelessScope(initialize_variables=False):
        pass
except (ImportError, AttributeError, TypeError) as error:
    raise IncompatibleKerasError(
        f"kerascnn reads the graph of Keras models through internals that Keras "
        f"{keras.__version__} no longer has ({error}). Install the Keras that kerascnn declares: "
        "pip install --upgrade kerascnn."
    ) from error


def allow_deep_graphs() -> None:
    """Raise Python's limit on recursion to what Keras needs for the deepest of our networks.

    Keras follows a graph by recursion, one call for each layer in a row: DenseNet-264 has a
    thousand, ResNet-1202 three thousand six hundred, and Python's limit is one thousand. The limit
    stays raised, because whoever has built or loaded such a model goes on to copy it or to take
    it apart with Keras's own functions; it belongs to the process, not to one thread.
    """
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))


def before_lookup(prepare: Callable[[Any], None]) -> None:
    """Call `prepare(config)` whenever Keras looks for the class or function that a config names.

    The outermost config comes first, with all that is inside.
    """
    look_up = serialization_lib._retrieve_class_or_fn

    @functools.wraps(look_up)
    def prepared(*args: Any, full_config: Any, **kwargs: Any) -> Any:
        prepare(full_config)
        return look_up(*args, full_config=full_config, **kwargs)

    serialization_lib._retrieve_class_or_fn = prepared


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation in a functional graph.

    Attributes:
        operation: the layer, the nested model, or the `keras.ops` operation.
        inputs, outputs: its symbolic tensors.
        node: Keras's record of the call.
    """

    operation: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    node: Any

    def repeat(
        self, operation: Any, known: dict[int, Any], *, training: bool | None = None
    ) -> list[Any]:
        """The outputs of another layer called in the same way.

        Args:
            operation: the layer.
            known: input's id → tensor.
            training: as a model tells all its layers; None: what each does if it isn't told, which
                is augmenting for layers that augment.
        """
        args, kwargs = self.node.arguments.fill_in(known)
        if training is not None and "training" in inspect.signature(operation.call).parameters:
            kwargs = {**kwargs, "training": training}
        return keras.tree.flatten(operation(*args, **kwargs))

    def infer(self, known: dict[int, Any]) -> list[Any]:
        """Outputs of other shapes: `known` maps each input's id to a KerasTensor of its shape."""
        return self.repeat(self.operation.compute_output_spec, known)


def functional(model: Any) -> Any:
    """The functional graph of a model: itself, or the one inside a built Sequential.

    Raises:
        ArgumentError: it has none, or isn't built yet.
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = model._functional
    if isinstance(model, Functional):
        return model
    way = "write it with keras.Model(inputs, outputs)"
    if isinstance(model, keras.Sequential):
        way = "build it first, with a keras.Input as its first element or by calling it on data"
    raise ArgumentError(
        f"{getattr(model, 'name', 'model')}: only a functional keras.Model has a graph that can "
        f"be read; {way}. Received: {type(model).__name__}."
    )


def is_model(operation: Any) -> bool:
    """Whether an operation of a graph is a model with a graph of its own."""
    return isinstance(operation, (Functional, keras.Sequential))


def is_softmax(operation: Any) -> bool:
    """Whether it is `keras.layers.Softmax` or `keras.ops.softmax`; both have an `axis`."""
    return isinstance(operation, (keras.layers.Softmax, Softmax))


def is_cast(operation: Any) -> bool:
    """Whether it is `keras.ops.cast`."""
    return isinstance(operation, Cast)


def maker(tensor: Any) -> Any:
    """The layer or operation that gives a symbolic tensor."""
    return tensor._keras_history.operation


def sole_maker(tensor: Any) -> Any:
    """The operation that gives a symbolic tensor, if it gives no other and nobody reads it yet."""
    operation = maker(tensor)
    alone = len(operation._inbound_nodes) == 1 and not operation._outbound_nodes
    return operation if alone and len(operation._inbound_nodes[0].output_tensors) == 1 else None


def leaf_layers(model: Any) -> list[Any]:
    """A model's layers in their order, those of nested models in place of the models."""
    found: list[Any] = []
    for layer in model.layers:
        found += leaf_layers(layer) if is_model(layer) else [layer]
    return found


def all_layers(model: Any) -> list[Any]:
    """The model and every layer in it, those inside of nested models and of other layers, too."""
    return list(model._flatten_layers())


def calls_behind(model: Any, tensors: Iterable[Any]) -> list[Call]:
    """As `calls`, but only what lies between these tensors and the model's outputs."""
    return _trace(functional(model).outputs, known=tensors)


def calls(model: Any) -> list[Call]:
    """Every call between a functional model's inputs and outputs, each after those it needs.

    The order is that of a reader: a branch is finished before the next one begins, in the order
    in which the merging layer lists them.
    """
    model = functional(model)
    return _trace(model.outputs, known=model.inputs)


def _trace(outputs: Iterable[Any], known: Iterable[Any] = ()) -> list[Call]:
    """The calls that lead to these tensors, each once; nothing behind `known` is visited."""
    return [
        Call(node.operation, tuple(node.input_tensors), tuple(node.output_tensors), node)
        for node in calls_to(outputs, _node, known)
    ]


def _node(tensor: Any) -> tuple[Any, Iterable[Any], Iterable[Any]]:
    operation, index, _ = tensor._keras_history
    node = operation._inbound_nodes[index]
    return node, node.input_tensors, node.output_tensors


@contextlib.contextmanager
def calls_forgotten(model: Any) -> Iterator[None]:
    """Calls of a model's layers made inside leave no trace in the layers, which would pile up.

    What was read by `calls` inside stays good; a model built inside has no graph afterwards.
    """
    operations = _operations(model)
    before = [(len(o._inbound_nodes), len(o._outbound_nodes)) for o in operations]
    try:
        yield
    finally:
        for operation, (inbound, outbound) in zip(operations, before):
            del operation._inbound_nodes[inbound:]
            del operation._outbound_nodes[outbound:]


def _operations(model: Any) -> list[Any]:
    """All layers and operations of a model and of those inside, inputs and these models too."""
    found = [maker(tensor) for tensor in functional(model).inputs]
    for call in calls(model):
        found.append(call.operation)
        found += _operations(call.operation) if is_model(call.operation) else []
    return list({id(operation): operation for operation in found}.values())


def sources(tensor: Any) -> list[Any]:
    """The inputs that a symbolic tensor is computed from.

    `keras.utils.get_source_inputs` follows every path, and the paths through a network of
    branches double with each of them: GoogLeNet takes it 20 s, DenseNet for ever.
    """
    found = [output for call in _trace([tensor]) if not call.inputs for output in call.outputs]
    return found or [tensor]


def tensor_at(tensor: Any, name: str) -> Any:
    """The output of the layer of this name, on the way to a symbolic tensor.

    Raises:
        LookupError: there is none.
    """
    for call in _trace([tensor]):
        if call.operation.name == name:
            return call.outputs[0]
    raise LookupError(f"No layer {name!r} leads to {tensor.name!r}.")


def repeated(tensors: Sequence[Any], starts: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """What the layers between symbolic tensors, from `starts` to `tensors`, give on other ones.

    To make a `keras.Model` of tensors in the middle of a graph of which one is its input does harm:
    Keras then takes that input for a part of the new model, and the old one can't be saved.
    """
    values = {id(start): other for start, other in zip(starts, others, strict=True)}
    for call in _trace(tensors, known=starts):
        found = call.repeat(call.operation, values)
        values |= {id(old): new for old, new in zip(call.outputs, found)}
    return [values[id(tensor)] for tensor in tensors]


def moved(tensor: Any, start: Any, other: Any) -> Any:
    """What the layers between `start` and a symbolic tensor give on another one in its place.

    They forget how they were called before, so that `layer.output` is of the other one; `tensor` is
    of no use any more.
    """
    calls_here = _trace([tensor], known=[start])
    for call in calls_here:
        call.operation._inbound_nodes.remove(call.node)
        for source in call.inputs:
            maker(source)._outbound_nodes.remove(call.node)
    values = {id(start): other}
    for call in calls_here:
        values |= zip(map(id, call.outputs), call.repeat(call.operation, values))
    return values[id(tensor)]


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Models built inside have variables with shapes and without values: no memory, no time.

    They can be looked at and thrown away, not run. Afterwards Keras's list of variables that wait
    for a value, its counters of default layer names and the state of `random`, from which it draws
    default seeds, are what they were: a real model built next is the same as without this.
    """
    waiting = list(global_state.get_global_attribute("uninitialized_variables") or ())
    names = dict(global_state.get_global_attribute("object_name_uids") or {})
    seeds = random.getstate()
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        random.setstate(seeds)
        global_state.set_global_attribute("uninitialized_variables", waiting)
        counters = collections.defaultdict(int, names)
        global_state.set_global_attribute("object_name_uids", counters)


def with_values_later(build: Callable[[], Any], check: Callable[[Any], None]) -> Any:
    """What `build` makes, whose variables get their values when `check` has seen their shapes.

    Raises:
        Exception: whatever either of them raises; no variable has had a value then.
    """
    waiting = list(global_state.get_global_attribute("uninitialized_variables") or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            made = build()
        check(made)
        found = global_state.get_global_attribute("uninitialized_variables") or ()
        for variable in found[len(waiting) :]:
            variable._deferred_initialize()
    finally:
        global_state.set_global_attribute("uninitialized_variables", waiting)
    return made
