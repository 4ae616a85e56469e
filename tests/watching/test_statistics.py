"""Statistics of layers are those that NumPy computes from the network's own numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerascnn.applications.lenet import LeNet5
from kerascnn.watching.statistics import BINS, Probe, spread_maps


def squares(labels, outputs):
    """A loss with a gradient that is easy to write down."""
    return keras.ops.sum((outputs[0] - labels) ** 2, axis=-1) / 2


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    return generator.normal(size=(6, 4)).astype("float32"), generator.normal(size=(6, 3)).astype(
        "float32"
    )


@pytest.fixture
def tiny():
    """Two dense layers with a ReLU between, of which some units never fire."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, name="hidden", activation="relu", bias_initializer="ones")
    model = keras.Model(inputs, keras.layers.Dense(3, name="out")(hidden(inputs)))
    model.layers[1].bias.assign([1, -100, 0.5, -100, 0])
    return model


def test_gradients_activations_and_dead_units_as_numpy_computes_them(tiny, data):
    x, y = data
    (w1, b1), (w2, b2) = (layer.get_weights() for layer in tiny.layers[1:])
    found = Probe(tiny, inputs=x, targets=y, loss=squares).measure()

    hidden = np.maximum(x @ w1 + b1, 0)
    outputs = hidden @ w2 + b2
    slope = (outputs - y) / len(x)  # of the mean loss
    back = slope @ w2.T * (hidden > 0)
    gradients = {"out": hidden.T @ slope, "hidden": x.T @ back}
    whole = [*gradients.values(), slope.sum(0), back.sum(0)]
    expected = {
        "gradient_norm": np.sqrt(sum((g**2).sum() for g in whole)),
        "gradient_norm/hidden": np.linalg.norm(gradients["hidden"]),
        "gradient_norm/out": np.linalg.norm(gradients["out"]),
        "weights_mean/hidden": w1.mean(),
        "weights_std/hidden": w1.std(),
        "weights_mean/out": w2.mean(),
        "weights_std/out": w2.std(),
        "activation_mean/hidden": hidden.mean(),
        "activation_std/hidden": hidden.std(),
        "activation_mean/out": outputs.mean(),
        "activation_std/out": outputs.std(),
        "dead_relus/hidden": (hidden.max(axis=0) == 0).mean(),
        "dead_relus": (hidden.max(axis=0) == 0).mean(),
    }
    assert expected["dead_relus"] >= 0.4
    assert found.scalars == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for tag, values in {
        "weights/hidden": w1,
        "weights/out": w2,
        "gradients/hidden": gradients["hidden"],
        "gradients/out": gradients["out"],
        "activations/hidden": hidden,
        "activations/out": outputs,
    }.items():
        left, right, counts = found.histograms.pop(tag).T
        assert (left[0], right[-1]) == pytest.approx((values.min(), values.max()), rel=1e-4)
        assert len(counts) == BINS
        assert counts.sum() == values.size
        # A value on an edge may fall on either side in another arithmetic.
        exact, _ = np.histogram(values, bins=BINS, range=(left[0], right[-1]))
        assert abs(counts.cumsum() - exact.cumsum()).max() <= 1
    assert not found.histograms


def test_update_ratio_is_that_of_the_real_update(tiny, data):
    """Momentum and decay take part: what counts is how far the weights have moved."""
    x, y = data
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01)
    tiny.compile(optimizer, lambda truth, found: squares(truth, [found]))
    probe = Probe(tiny, inputs=x, targets=y, loss=squares)
    tiny.train_on_batch(x, y)
    before = [layer.kernel.numpy() for layer in tiny.layers[1:]]
    probe.remember()
    tiny.train_on_batch(x, y)
    ratios = probe.update_ratios()
    changes = [layer.kernel.numpy() - old for layer, old in zip(tiny.layers[1:], before)]
    norm = np.linalg.norm
    expected = {
        "update_ratio/hidden": norm(changes[0]) / norm(before[0]),
        "update_ratio/out": norm(changes[1]) / norm(before[1]),
        "update_ratio": np.hypot(*map(norm, changes)) / np.hypot(*map(norm, before)),
    }
    assert ratios == pytest.approx(expected, rel=1e-4)


def stateful():
    """Dropout and batch normalization, both of which change state in a training step."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="bn", synchronized=True)(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.Dropout(0.5, seed=3)(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="out")(keras.layers.Flatten()(x)))


def images():
    return np.random.default_rng(4).normal(1, 2, (6, 8, 8, 3)).astype("float32")


def test_a_measurement_changes_nothing():
    """So that a run with TensorBoard's logs ends with the same bits as one without."""
    model = stateful()
    before = [variable.numpy() for variable in model.variables]
    probe = Probe(model, inputs=images(), targets=np.zeros((6, 3), "float32"), loss=squares)
    first, second = probe.measure().scalars, probe.measure().scalars
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    assert first == second, "the same weights, the same figures"


def test_batch_normalization_and_dropout_are_at_work_as_in_training():
    model = stateful()
    probe = Probe(model, inputs=images(), targets=np.zeros((6, 3), "float32"), loss=squares)
    found = probe.measure().scalars
    normal = keras.Model(model.input, model.get_layer("relu").output)(images(), training=True)
    assert found["activation_mean/relu"] == pytest.approx(float(np.mean(normal)), rel=1e-4)


def test_under_a_strategy_the_figures_are_those_of_one_device(two_devices):
    alone = stateful()
    with two_devices.scope():
        mirrored = stateful()
    figures = []
    for model in (alone, mirrored):
        probe = Probe(model, inputs=images(), targets=np.zeros((6, 3), "float32"), loss=squares)
        probe.remember()
        model.get_layer("conv").kernel.assign(1.5 * model.get_layer("conv").kernel.numpy())
        figures.append({**probe.measure().scalars, **probe.update_ratios()})
    assert figures[0]["update_ratio/conv"] == pytest.approx(0.5)
    assert figures[1] == pytest.approx(figures[0], rel=1e-5)


def test_float16_gradients_survive_with_a_scale():
    """A gradient of 1e-8 is zero in float16; scaled by 2^10 it is not."""
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(2, name="out", dtype="mixed_float16")
    model = keras.Model(inputs, layer(inputs))
    x = np.ones((1, 4), "float32")

    def tiny_loss(labels, outputs):
        return keras.ops.sum(keras.ops.cast(outputs[0], "float32"), axis=-1) * 1e-8

    norms = [
        Probe(model, inputs=x, targets=np.zeros(1), loss=tiny_loss, scale=scale).measure()
        for scale in (1.0, 2.0**10)
    ]
    lost, kept = (found.scalars["gradient_norm/out"] for found in norms)
    assert lost == 0
    assert kept == pytest.approx(1e-8 * np.sqrt(8), rel=0.05)


def test_values_that_are_not_finite_do_not_end_a_training(tiny, data):
    tiny.layers[1].kernel.assign(np.full((4, 5), np.nan))
    found = Probe(tiny, inputs=data[0], targets=data[1], loss=squares).measure()
    assert np.isnan(found.scalars["weights_mean/hidden"])
    assert found.histograms["weights/hidden"][:, 2].sum() == 20


def test_tensorboard_reads_what_is_written(tiny, data, tmp_path):
    found = Probe(tiny, inputs=data[0], targets=data[1], loss=squares).measure()
    with tf.summary.create_file_writer(str(tmp_path)).as_default(step=7):
        tf.summary.experimental.write_raw_pb(found.summary())
    events = EventAccumulator(str(tmp_path)).Reload()
    read = {}
    for tag in events.Tags()["tensors"]:
        (event,) = events.Tensors(tag)
        assert event.step == 7
        kind = events.SummaryMetadata(tag).plugin_data.plugin_name
        read[kind, tag] = tf.make_ndarray(event.tensor_proto)
    expected = {("scalars", tag): value for tag, value in found.scalars.items()}
    expected |= {("histograms", tag): value for tag, value in found.histograms.items()}
    assert read.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(read[key], value, rtol=1e-6)


def test_a_layer_that_is_called_twice_and_a_nested_model_are_no_obstacle(data):
    inputs = keras.Input((4,))
    inner_inputs = keras.Input((4,))
    shared = keras.layers.Dense(4, name="shared")
    inner = keras.Model(inner_inputs, keras.layers.Dense(4, activation="relu")(inner_inputs))
    x = shared(inner(shared(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(3, name="out")(x))
    found = Probe(model, inputs=data[0], targets=data[1], loss=squares).measure().scalars
    assert "activation_std/out" in found
    assert sum(tag.startswith("gradient_norm/") for tag in found) == 3


def test_feature_maps_are_of_activations_from_the_first_to_the_last():
    model = LeNet5(activation="relu")
    assert list(spread_maps(model, 3)) == ["conv1_relu", "conv2_relu"]
    assert list(spread_maps(model, 1)) == ["conv1_relu"]
