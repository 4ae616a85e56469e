"""Pooling and alignment of regions, against torchvision's and SPPNet's authors' code.

And what a layer must do wherever it runs: compiled, on replicas, in half precision, in files.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.regions import RoIAlign, RoIPool, SpatialPyramidPooling

import kerascnn
from kerascnn.errors import ArgumentError

LAYERS = {
    "roi_pool": lambda **options: RoIPool((3, 2), stride=4, **options),
    "roi_align": lambda **options: RoIAlign((3, 2), stride=4, **options),
    "as_many_samples_as_cells": lambda **options: RoIAlign((3, 2), stride=4, samples=0, **options),
    "pyramid": lambda **options: SpatialPyramidPooling((2, 1), stride=4, offset=1.5, **options),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def of_torchvision(op, options):
    """The layer that torchvision calls by these options."""
    size, stride = tuple(options["output"]), 1 / options["spatial_scale"]
    if op == "roi_pool":
        return RoIPool(size, stride=stride)
    samples = max(0, options["sampling_ratio"])
    return RoIAlign(size, stride=stride, samples=samples, aligned=options["aligned"])


def on_each_image(maps, rois):
    """Its lists of boxes, with the number of their image, as a batch; and their places in it."""
    boxes = np.stack([rois[:, 1:]] * len(maps))
    return [maps, boxes], (rois[:, 0].astype(int), np.arange(len(rois)))


def last(maps):
    return np.moveaxis(maps, 1, -1)


@pytest.mark.parametrize("op", ["roi_pool", "roi_align"])
def test_regions_are_torchvisions(golden, op):
    """Boxes beyond the map, without area and turned around among them."""
    facts, arrays = golden("torchvision-roi")
    cases = [c for c in facts["cases"] if c["op"] == op]
    assert len(cases) > 6
    for one in cases:
        inputs, places = on_each_image(last(arrays["features_nchw"]), arrays[one["rois"]])
        found = of_torchvision(op, one)(inputs).numpy()[places]
        tolerance = 0 if op == "roi_pool" else 1e-5
        np.testing.assert_allclose(
            found, last(arrays[one["key"]]), rtol=0, atol=tolerance, err_msg=one["key"]
        )


@pytest.mark.parametrize("op", ["roi_pool", "roi_align"])
@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_are_torchvisions(case, op, compiled):
    one, arrays = case("torchvision-roi-gradients", op=op)
    name = op.removeprefix("roi_")
    maps = last(arrays["features_nchw"])
    (_, boxes), places = on_each_image(maps, arrays[f"{name}_rois"])
    layer = of_torchvision(op, one)
    upstream = np.zeros((len(maps), *last(arrays[f"{name}_upstream"]).shape), "float32")
    upstream[places] = last(arrays[f"{name}_upstream"])

    @tf.function(jit_compile=compiled)
    def gradient(maps):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            total = tf.reduce_sum(layer([maps, boxes]) * upstream)
        return tape.gradient(total, maps)

    found = gradient(tf.convert_to_tensor(maps))
    np.testing.assert_allclose(found, last(arrays[f"{name}_grad"]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["paper_settings", "plain", "repo_subsample", "4321"])
def test_the_pyramid_is_that_of_sppnets_authors(case, name):
    one, arrays = case("spp_net-pooling", name=name)
    boxes = arrays[f"{name}_boxes"] - [1, 1, 0, 0]  # pixels from 1, the last included
    layer = SpatialPyramidPooling(
        tuple(one["divs"]), stride=one["step"], offset0=one["offset0"], offset=one["offset"]
    )
    found = layer([arrays["features_hwc"][None], boxes[None].astype("float32")]).numpy()[0]
    grids = np.split(found, np.cumsum(np.square(one["divs"]))[:-1], axis=1)
    flat = [grid.transpose(0, 2, 1).reshape(len(boxes), -1) for grid in grids]
    np.testing.assert_array_equal(np.concatenate(flat, axis=1), arrays[f"{name}_pooled"])


def some_inputs(dtype="float32"):
    rng = np.random.default_rng(0)
    corners = rng.uniform(-4, 30, (2, 5, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 30, (2, 5, 2))], axis=-1)
    return [rng.normal(size=(2, 9, 7, 3)).astype(dtype), boxes.astype("float32")]


@every_layer
def test_the_gradient_is_the_slope(make):
    """Against finite differences, in float64."""
    maps, boxes = some_inputs("float64")
    layer = make(dtype="float64")
    variable = tf.Variable(maps)
    weights = np.random.default_rng(1).normal(size=layer([maps, boxes]).shape)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer([variable, boxes]) * weights)
    found = tf.convert_to_tensor(tape.gradient(total, variable)).numpy()
    direction = np.random.default_rng(2).normal(size=maps.shape)
    up, down = (
        np.sum(layer([maps + sign * 1e-6 * direction, boxes]) * weights) for sign in (1, -1)
    )
    np.testing.assert_allclose(np.sum(found * direction), (up - down) / 2e-6, rtol=1e-6)


@every_layer
@pytest.mark.parametrize("stride", [pytest.param(4, marks=pytest.mark.slow), 12])
def test_corners_on_borders_of_cells_are_read_alike_in_graphs(make, stride):
    """There divisions are made otherwise, and a part of 2 cells was one of 2.0000002."""
    rng = np.random.default_rng(6)
    corners = rng.integers(0, 8, (2, 40, 2)) * (stride // 2)
    sides = rng.integers(1, 14, (2, 40, 2)) * (stride // 2)
    boxes = np.concatenate([corners, corners + sides], axis=-1).astype("float32")
    maps, _ = some_inputs()
    layer = make()
    layer.stride = stride
    in_graph = tf.function(lambda boxes: layer([maps, boxes]))
    np.testing.assert_allclose(in_graph(boxes), layer([maps, boxes]), atol=1e-5)


@every_layer
def test_boxes_have_no_gradient(make):
    maps, boxes = some_inputs()
    variable = tf.Variable(boxes)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(make()([maps, variable]))
    assert tape.gradient(total, variable) is None


@every_layer
@pytest.mark.parametrize(
    "policy", [pytest.param("mixed_float16", marks=pytest.mark.slow), "mixed_bfloat16"]
)
def test_half_precision_keeps_boxes_exact(make, policy):
    """A corner at 1,000.5 pixels has no number in float16: boxes must not be rounded to it."""
    maps, boxes = some_inputs()
    maps = np.pad(maps, ((0, 0), (300, 0), (300, 0), (0, 0)))
    boxes = boxes + 1200.0
    found = make(dtype=policy)([maps, boxes])
    assert keras.backend.standardize_dtype(found.dtype) == policy.removeprefix("mixed_")
    expected = make()([maps, boxes])
    np.testing.assert_allclose(keras.ops.cast(found, "float32"), expected, rtol=0.02, atol=0.02)


@pytest.fixture(scope="module")
def model():
    """A small network with all of them, as heads have them."""
    maps, boxes = keras.Input((9, 7, 3), name="maps"), keras.Input((5, 4), name="boxes")
    found = [
        keras.layers.Dense(4, name=f"fc_{name}")(
            keras.layers.Reshape((5, -1))(make(name=name)([maps, boxes]))
        )
        for name, make in LAYERS.items()
    ]
    return keras.Model([maps, boxes], keras.layers.Concatenate()(found))


def test_a_saved_model_is_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    twin = kerascnn.load_model(tmp_path / "model.keras")
    for name in LAYERS:
        assert twin.get_layer(name).get_config() == model.get_layer(name).get_config()
    inputs = some_inputs()
    np.testing.assert_array_equal(twin(inputs), model(inputs))


@pytest.mark.slow
def test_an_exported_model_is_the_same(model, tmp_path):
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    inputs = some_inputs()
    np.testing.assert_allclose(served.serve(inputs), model(inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_step_on_two_replicas_is_that_on_one(model, two_devices):
    """Of the gradients, added up over the replicas; compiled."""
    maps, boxes = some_inputs()
    with two_devices.scope():
        twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())

    def gradients(network, *inputs):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(network(list(inputs)) ** 2)
        return tape.gradient(total, [one.value for one in network.trainable_variables])

    parts = [
        two_devices.experimental_distribute_values_from_function(
            lambda context, part=part: tf.constant(part[context.replica_id_in_sync_group :][:1])
        )
        for part in (maps, boxes)
    ]

    @tf.function
    def step(*parts):
        each = two_devices.run(lambda *inputs: gradients(twin, *inputs), args=parts)
        return two_devices.reduce("SUM", each, axis=None)

    for found, expected in zip(step(*parts), gradients(model, maps, boxes)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["roi_pool", "pyramid"])
def test_a_map_of_unknown_size_is_refused(name):
    with pytest.raises(ArgumentError, match="height and width must be known"):
        LAYERS[name](name="pool")([keras.Input((None, 7, 3)), keras.Input((5, 4))])


def test_alignment_takes_maps_of_any_size():
    layer = LAYERS["roi_align"]()
    maps, boxes = keras.Input((None, None, 3)), keras.Input((None, 4))
    model = keras.Model([maps, boxes], layer([maps, boxes]))
    assert model.output_shape == (None, None, 3, 2, 3)
    inputs = some_inputs()
    np.testing.assert_array_equal(model(inputs), layer(inputs))


def test_of_several_scales_a_box_is_pooled_from_that_where_it_is_nearest_to_a_classifiers_image():
    random = np.random.default_rng(3)
    maps = [random.normal(size=(1, side, side, 2)).astype("float32") for side in (20, 40)]
    boxes = np.array([[[0, 0, 224, 224], [16, 32, 112, 144], [0, 0, 300, 320]]], "float32")
    layer = SpatialPyramidPooling((3, 1), stride=16, scales=(1.0, 2.0))
    found = layer([*maps, boxes]).numpy()
    alone = SpatialPyramidPooling((3, 1), stride=16)
    np.testing.assert_array_equal(found[:, [0, 2]], alone([maps[0], boxes[:, [0, 2]]]))
    np.testing.assert_array_equal(found[:, 1:2], alone([maps[1], 2 * boxes[:, 1:2]]))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_to_frozen_maps_no_gradient_goes_in_training(frozen, training):
    """Otherwise, as where a network is explained, it goes through."""
    maps, boxes = tf.ones((1, 4, 4, 1)), tf.constant([[[0.0, 0, 16, 16]]])
    layer = SpatialPyramidPooling((1,), stride=4, frozen=frozen)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        total = tf.reduce_sum(layer([maps, boxes], training=training))
    assert (tape.gradient(total, maps) is None) == (frozen and training)


def test_a_layer_of_several_scales_is_in_files(tmp_path):
    inputs = [keras.Input((8, 8, 2)), keras.Input((16, 16, 2)), keras.Input((3, 4))]
    layer = SpatialPyramidPooling((2,), stride=4, scales=(1.0, 2.0), frozen=True)
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert (again.scales, again.frozen, again.maps_read) == ((1.0, 2.0), True, 2)
