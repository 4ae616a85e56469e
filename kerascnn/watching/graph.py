"""A network as TensorBoard's graph: a node for each call of a layer, folded by stage and block."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from kerascnn.profiling import profile

# "conv2_block1_1_conv" is of stage "conv2" and block "conv2_block1", "inception_3a_pool" of
# "inception_3" and "inception_3a", "fpn_c2" of "fpn".
_STAGE = re.compile(r"[a-zA-Z]+(_?\d+)?")
_BLOCK = re.compile(r"[a-zA-Z]+_?\d+([a-z](?=_)|[a-z]?_[a-z]+\d+)(?=_|$)")


def layer_graph(model: keras.Model, input_shape: tuple[int | None, ...]) -> Any:
    """The calls of a functional model's layers.

    TensorFlow's own graph, of operations, has some ten nodes for each layer, and is one closed box
    at first.

    Args:
        model: a functional one, or a built Sequential.
        input_shape: without the batch, for a model that takes images of any size.

    Returns:
        A `GraphDef`, for `tf.summary.graph`.
    """
    layers = profile(model, input_shape).layers
    paths = folded(layer.name for layer in layers)
    graph = tf.compat.v1.GraphDef()
    for layer in layers:
        node = graph.node.add(name=paths[layer.name], op=layer.kind)
        node.input.extend(paths[name] for name in layer.inputs)
        for shape in layer.output_shapes:  # TensorBoard writes it on the edges
            known = tf.TensorShape((None, *shape)).as_proto()
            node.attr["_output_shapes"].list.shape.append(known)
        for about in ("kernel", "strides", "params", "macs"):
            if value := getattr(layer, about):
                node.attr[about].s = str(value).encode()
    return graph


def folded(names: Iterable[str]) -> dict[str, str]:
    """Each layer's name → the same behind those of its stage and block, which TensorBoard folds.

    `conv2_block1_1_conv` is `conv2/conv2_block1/conv2_block1_1_conv`; a stage of one layer isn't
    named.
    """
    places = {name: _places(name) for name in names}
    size = Counter(place for found in places.values() for place in found)
    paths = {}
    for name, found in places.items():
        *models, own = name.split("/")
        shared = [place.rpartition("/")[2] for place in found if size[place] > 1 and place != name]
        paths[name] = "/".join([*models, *shared, own]).replace("#", "_call")
    return paths


def _places(name: str) -> list[str]:
    """A layer's stage and block, in the model that it is in; a layer may be a stage itself."""
    models, slash, own = name.rpartition("/")
    found = (pattern.match(own) for pattern in (_STAGE, _BLOCK))
    return list(dict.fromkeys(models + slash + place[0] for place in found if place))
