"""Checks of what a model is made of: the calls of keras.applications, names, endpoints."""

from __future__ import annotations

from kerascnn.checks.case import (
    BATCH,
    CLASSES,
    Case,
    as_list,
    before_pooling,
    close,
    layer_names,
    legal_side,
    same,
)
from kerascnn.checks.suite import DEEP, VERY_DEEP, SkipCheck, check, quick_up_to
from kerascnn.network import Network


@check
@quick_up_to(DEEP)
def check_channels(case: Case) -> None:
    """Any number of channels: 1 and 4 give the same features as the native number."""
    for channels in (1, 4):
        found = case.headless(channels, {1: "avg", 4: "max"}[channels])
        features = found(case.images(channels=channels))
        same("features", features.shape, (BATCH, case.features))


@check
@quick_up_to(DEEP)
def check_odd_sizes(case: Case) -> None:
    """Odd and oblong inputs, 123×123 too, run, and give the size that `cost` reckons with."""
    trunk = before_pooling(case.headless(1, "avg"))
    for height, width in _sizes(case.trunk):
        expected = case.feature_shape((height, width, 1))
        found = trunk(case.images(height, width, 1)[:1]).shape[1:]
        same(f"the feature map of a {height}×{width} input", found, expected)


@check
@quick_up_to(VERY_DEEP)
def check_any_size(case: Case) -> None:
    """Answering with a map, it takes any legal size, as a network does that is built for that size.

    The answer's size is the one that `cost` reckons with.
    """
    from kerascnn.features import any_size

    if not case.is_map:
        raise SkipCheck("its answer is no map")
    model = any_size(case.model)
    for height, width in _sizes(case.network):
        images = case.images(height, width)[:1]
        found = as_list(model(images, training=False))
        shapes = [tuple(output.shape[1:]) for output in found]
        expected = case.output_shapes((height, width, case.channels))
        same(f"the answer to a {height}×{width} input", shapes, expected)
    own = case.build(fresh=True, input_shape=images.shape[1:])
    own.set_weights(case.model.get_weights())
    close(f"a {height}×{width} input", found, own(images, training=False))


def _sizes(network: Network) -> list[tuple[int, int]]:
    """The smallest legal size, one that is oblong, and a larger one; odd where that is legal."""
    least = network.smallest_input()
    sides = [
        legal_side(network, side) for side in (least, least + 1, least + 6, max(123, least | 1))
    ]
    smallest, height, width, larger = sides
    return [(smallest, smallest), (height, width), (larger, larger)]


@check
@quick_up_to(VERY_DEEP)
def check_last_dimension(case: Case) -> None:
    """Without the classifier the number of feature maps is known, at unknown sizes too."""
    expected = (None, None, None, case.features)
    same("the output", before_pooling(case.headless(1, "avg")).output_shape, expected)


@check
@quick_up_to(VERY_DEEP)
def check_pooling(case: Case) -> None:
    """pooling="avg" and "max" are the mean and the maximum of the feature map."""
    from keras import ops

    for channels, kind, reduce in ((1, "avg", ops.mean), (4, "max", ops.max)):
        images = case.images(channels=channels)
        pooled = case.headless(channels, kind)
        features = before_pooling(pooled)(images)
        close(f"pooling={kind!r}", pooled(images), reduce(features, axis=(1, 2)))


@check
def check_input_tensor(case: Case) -> None:
    """Built upon someone's tensor, the model begins at that tensor's input and is the same."""
    import keras

    from kerascnn.keras_internals import without_values

    with without_values():
        start = keras.Input((case.side, case.side, case.channels), name="theirs")
        tensor = keras.layers.Rescaling(2.0, name="rescaled_by_them")(start)
    model = case.build(values=False, input_tensor=tensor, input_shape=None)
    same("inputs", [x.name for x in model.inputs], ["theirs"])
    theirs = {"theirs", "rescaled_by_them"}
    mine = [layer.name for layer in model.layers if layer.name not in theirs]
    same("layers", mine, layer_names(case.outline)[1:])


@check
def check_classifier_activation(case: Case) -> None:
    """The last layer on the way to each output has the activation, in float32; None leaves logits.

    So `model.layers[-1].activation = None` leaves the logits, and training finds them.
    """
    from kerascnn.keras_internals import maker

    if not case.network.scores:
        case.task.check_model(case.outline, CLASSES)
        raise SkipCheck("it answers with no scores, on which an activation could stand")
    softmax = case.build(values=False, classifier_activation="softmax")
    for output in softmax.outputs:
        layer = maker(output)
        same(f"activation of {layer.name}", layer.activation.__name__, "softmax")
        same(f"dtype of {layer.name}", layer.compute_dtype, "float32")
    same("whether the logits are found behind it", case.task.scores(softmax)[1], True)
    for model in (softmax, case.outline):
        case.task.check_model(model, CLASSES)
        for output in model.outputs:
            same("the classes of the output", output.shape[-1], CLASSES)


@check
def check_layer_names(case: Case) -> None:
    """Names are unique and the same in every build: weights and endpoints are found by them."""
    found = layer_names(case.outline)
    same("repeated layer names", sorted({n for n in found if found.count(n) > 1}), [])
    same("layer names of a second build", layer_names(case.another), found)


@check
def check_flat_graph(case: Case) -> None:
    """No model inside the model: Grad-CAM, feature extraction and surgery reach every layer."""
    from kerascnn.keras_internals import is_model

    same("models inside", [x.name for x in case.outline.layers if is_model(x)], [])


@check
def check_builds_share_nothing(case: Case) -> None:
    """Two builds have no layer and no variable in common."""
    one, two = case.outline, case.another
    same("layers in both", {id(x) for x in one.layers} & {id(x) for x in two.layers}, set())
    shared = {id(v) for v in one.variables} & {id(v) for v in two.variables}
    same("variables in both", shared, set())


@check
@quick_up_to(VERY_DEEP)
def check_endpoints(case: Case) -> None:
    """Each named endpoint has the stride and the channels it promises, on real inputs."""
    import keras

    from kerascnn.features import endpoints

    trunk = before_pooling(case.headless(1, "avg"))
    points = endpoints(trunk)
    if not points:
        raise SkipCheck("no map is halved, so there is no endpoint")
    maps = keras.Model(trunk.input, [trunk.get_layer(p.layer).output for p in points.values()])
    largest = max(point.stride for point in points.values())
    side = legal_side(case.trunk, max(case.smallest_features, 2 * largest))
    small = as_list(maps(case.images(side, side, 1)[:1]))
    large = as_list(maps(case.images(side + largest, side, 1)[:1]))
    for (name, point), one, other in zip(points.items(), small, large, strict=True):
        same(f"{name}: channels", one.shape[-1], point.channels)
        more = other.shape[1] - one.shape[1]
        same(f"{name}: rows for {largest} more pixels", more, largest // point.stride)
