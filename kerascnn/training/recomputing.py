"""Less memory for dense connections: what can be had from its inputs again isn't kept.

In training, a DenseNet keeps for its gradients each concatenation of a block and what normalization
and activation make of it. The maps grow with the layer's number, so together they grow with the
square of the depth. Computed once more when the gradient needs them, they cost a seventh more time,
and memory that grows with the depth (Pleiss et al., Memory-Efficient Implementation of
DenseNets, 2017).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from kerascnn.errors import ArgumentError
from kerascnn.graphs import single
from kerascnn.keras_internals import Call, calls

# What may stand between a concatenation and its convolution: the same each time it is computed.
_REPEATABLE = (layers.BatchNormalization, layers.Activation, layers.ReLU)


def recomputed(model: keras.Model) -> keras.Model:
    """A functional model of the same layers and results, without what dense blocks concatenate.

    Args:
        model: functional; its variables are used, not copied.

    Raises:
        ArgumentError: no concatenation in it is read by another one, as those of a DenseNet are.
    """
    found = calls(model)
    readers = Counter(id(tensor) for call in found for tensor in call.inputs)
    maker = {id(tensor): call for call in found for tensor in call.outputs}
    dense = _dense(found)
    chains = {
        id(chain[-1].outputs[0]): chain
        for call in found
        if (chain := _chain(call, maker, dense, readers))
    }
    if not chains:
        raise ArgumentError(
            f"memory_efficient saves what the concatenations of dense blocks take. {model.name} "
            "has none: no concatenation in it is read by another one, as in a DenseNet. Leave it "
            "out, or use fewer images in a batch (accumulation)."
        )
    inside = {id(call.outputs[0]) for chain in chains.values() for call in chain[:-1]}
    known = {id(tensor): tensor for tensor in model.inputs}
    parts: dict[int, list[Any]] = {}  # a concatenation's id → the maps that it is made of
    for call in found:
        output = id(call.outputs[0])
        if output in dense:
            each = (parts.get(id(tensor)) or [known[id(tensor)]] for tensor in call.inputs)
            parts[output] = [part for group in each for part in group]
        elif output in chains:
            chain = chains[output]
            maps = parts[id(chain[0].inputs[0])]
            known[output] = _Recomputed([link.operation for link in chain], call.outputs[0])(maps)
        elif output not in inside:
            for tensor in call.inputs:
                if id(tensor) not in known:
                    known[id(tensor)] = layers.Concatenate()(parts[id(tensor)])
            made = call.repeat(call.operation, known)
            known |= {id(tensor): new for tensor, new in zip(call.outputs, made, strict=True)}
    return keras.Model(single(model.inputs), single([known[id(t)] for t in model.outputs]))


def _dense(found: Sequence[Call]) -> set[int]:
    """The ids of concatenations of maps that read others or are read by others."""
    joined = {id(call.outputs[0]): call for call in found if _joins_maps(call.operation)}
    inner = {id(tensor) for call in joined.values() for tensor in call.inputs} & joined.keys()
    outer = {
        output
        for output, call in joined.items()
        if any(id(tensor) in joined for tensor in call.inputs)
    }
    return inner | outer


def _joins_maps(operation: Any) -> bool:
    return isinstance(operation, layers.Concatenate) and operation.axis in (-1, 3)


def _chain(
    call: Call, maker: dict[int, Call], dense: set[int], readers: Counter[int]
) -> list[Call]:
    """Normalization, activation and convolution of a dense concatenation; [] if it is none."""
    if not isinstance(call.operation, layers.Conv2D):
        return []
    chain = [call]
    while len(chain[0].inputs) == 1 and id(chain[0].inputs[0]) not in dense:
        before = maker.get(id(chain[0].inputs[0]))
        alone = readers[id(chain[0].inputs[0])] == 1
        if before is None or not alone or not isinstance(before.operation, _REPEATABLE):
            return []
        chain.insert(0, before)
    return chain if len(chain) > 1 else []


class _Recomputed(keras.layers.Layer):
    """Concatenation and the layers behind it, which TensorFlow computes twice in training."""

    def __init__(self, parts: Sequence[Any], output: Any) -> None:
        super().__init__(dtype=parts[0].dtype_policy)
        self.parts = list(parts)
        self._output = output
        self.built = True

    def compute_output_spec(self, maps: Any, training: bool | None = None) -> Any:
        return keras.KerasTensor(self._output.shape, self._output.dtype)

    def call(self, maps: Any, training: bool | None = None) -> Any:
        if not training:
            return self._through(maps, training)
        begun: list[bool] = []

        def once(*maps: Any) -> Any:
            # The second time, for the gradient: the averages of normalization have moved already.
            scope = keras.StatelessScope() if begun else contextlib.nullcontext()
            begun.append(True)
            with scope:
                return self._through(maps, training)

        return tf.recompute_grad(once)(*maps)

    def _through(self, maps: Any, training: bool | None) -> Any:
        x = ops.concatenate(list(maps), axis=-1)
        for part in self.parts:
            told = {"training": training} if isinstance(part, layers.BatchNormalization) else {}
            x = part(x, **told)
        return x
