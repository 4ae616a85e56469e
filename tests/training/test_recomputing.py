"""Dense connections that are computed twice give what those give that are kept."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascnn
from kerascnn import catalogue
from kerascnn.console import Console
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import maker
from kerascnn.training.recomputing import recomputed

SMALL = {"depths": (2, 3), "kernels": (3, 3), "growth_rate": 4, "stem_width": 6}
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(6, 32, 32, 3)), np.arange(6)


@pytest.fixture
def float64():
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[1])
    keras.config.set_dtype_policy(before[0])


def densenet(**changes):
    """A small DenseNet whose normalization has moved away from its start."""
    keras.utils.set_random_seed(0)
    model = catalogue.create(
        "densenet121",
        input_shape=(32, 32, 3),
        classifier_activation=None,
        **{**SMALL, **changes},
    )
    for weight in model.weights:
        weight.assign(weight.numpy() + 0.1 * RNG.normal(size=weight.shape) ** 2)
    return model


def update(model, weights_of, *, jit):
    """Loss, gradients and what normalization remembers after a training step; as it was after."""
    before = [weight.numpy() for weight in weights_of.weights]

    @tf.function(jit_compile=jit, autograph=False)
    def step():
        with tf.GradientTape() as tape:
            scores = model(IMAGES, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(LABELS, scores, from_logits=True)
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, [v.value for v in weights_of.trainable_variables])

    loss, gradients = step()
    kept = [weight.numpy() for weight in weights_of.non_trainable_variables]
    for weight, value in zip(weights_of.weights, before):
        weight.assign(value)
    return [loss.numpy(), *(one.numpy() for one in gradients), *kept]


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize("jit", [False, True])
def test_loss_gradients_and_averages_are_the_same(float64, jit, bottleneck):
    model = densenet(bottleneck=bottleneck)
    found = update(recomputed(model), model, jit=jit)
    for one, other in zip(found, update(model, model, jit=jit), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_answers_are_the_same(float64):
    model = densenet()
    np.testing.assert_allclose(recomputed(model)(IMAGES), model(IMAGES), rtol=1e-12)


def test_every_layer_that_reads_a_concatenation_is_recomputed():
    """In each block all layers but the first, and the transition between the blocks."""
    model = densenet(bottleneck=False)
    found = recomputed(model)
    convolutions = [
        part.name
        for layer in found.layers
        for part in getattr(layer, "parts", ())
        if isinstance(part, keras.layers.Conv2D)
    ]
    assert convolutions == [
        *("conv2_block2_2_conv", "pool2_conv"),
        *("conv3_block2_2_conv", "conv3_block3_2_conv"),
    ]
    assert maker(found.outputs[0]).name == maker(model.outputs[0]).name


def test_no_variable_is_new():
    model = densenet()
    ids = {id(variable) for variable in model.variables}
    assert {id(variable) for variable in recomputed(model).variables} == ids


@pytest.mark.parametrize("name", ["lenet5", "googlenet_bn"])
def test_a_network_without_dense_connections_is_refused(name):
    with pytest.raises(ArgumentError, match="no concatenation in it is read by another one"):
        recomputed(catalogue.create(name))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["none", "mirrored:2"])
def test_a_training_ends_with_the_same_weights(tmp_path, strategy):
    """To float64's digits; and it can be resumed from what was written."""
    digits = RNG.integers(0, 256, (400, 28, 28), "uint8")
    np.savez(tmp_path / "digits.npz", images=digits, labels=np.arange(400) % 10)
    ends = []
    for memory_efficient in (False, True):
        run = kerascnn.train(
            "densenet121",
            f"npz:{tmp_path / 'digits.npz'}",
            arguments=SMALL,
            input_shape=(32, 32, 3),
            epochs=1,
            batch_size=80,
            strategy=strategy,
            precision="float64",
            memory_efficient=memory_efficient,
            run=tmp_path / str(memory_efficient),
            console=Console(quiet=True),
        )
        assert run.config.memory_efficient is memory_efficient
        ends.append(run.model().get_weights())
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
