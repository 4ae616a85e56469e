"""Optimizers and schedules do what the papers' formulas say, computed here in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascnn.distribution import replicas
from kerascnn.recipes.losses import make_loss
from kerascnn.recipes.recipe import Recipe
from kerascnn.tasks.classification import ERROR
from kerascnn.tasks.classification.counting import counted
from kerascnn.tasks.measure import Measure
from kerascnn.training.engine import Engine
from kerascnn.training.optimizers import (
    follow_history,
    make_optimizer,
    make_schedule,
    plateau_scale,
)

RATE, DECAY = 0.1, 0.05


@pytest.fixture(autouse=True)
def double_precision():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def linear_model():
    """`x @ kernel + bias` into two classes."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(2, bias_initializer="ones")(inputs))


def gradients(kernel, bias, x, labels):
    scores = x @ kernel + bias
    share = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    share[np.arange(len(x)), labels] -= 1
    return x.T @ share / len(x), share.mean(0)


def trained(recipe, steps=4):
    """Weights after some steps of the engine on one batch, and the batch and first weights."""
    model = linear_model()
    start = model.get_weights()
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(6, 3)), rng.integers(0, 2, 6)
    engine = Engine(
        model,
        strategy=tf.distribute.get_strategy(),
        objective=counted(make_loss(recipe, 2, from_logits=True)),
        optimizer=make_optimizer(recipe, 10, model, "float64"),
    )
    data = tf.data.Dataset.from_tensors((x, labels.astype("int32"))).repeat()
    engine.update(iter(data), steps)
    return model.get_weights(), start, x, labels


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decay_on", ["kernels", "all"])
def test_l2_is_the_decay_of_the_papers(nesterov, decay_on):
    """AlexNet: v <- 0.9 v - 0.0005 rate w - rate gradient; w <- w + v. Momentum sees the decay."""
    recipe = Recipe(
        optimizer="sgd",
        learning_rate=RATE,
        schedule="constant",
        nesterov=nesterov,
        weight_decay=DECAY,
        decay="l2",
        decay_on=decay_on,
    )
    found, (kernel, bias), x, labels = trained(recipe)
    speed = [np.zeros_like(kernel), np.zeros_like(bias)]
    for _ in range(4):
        steps = []
        for index, (w, g) in enumerate(zip((kernel, bias), gradients(kernel, bias, x, labels))):
            factor = DECAY if index == 0 or decay_on == "all" else 0
            push = -RATE * (g + factor * w)
            speed[index] = 0.9 * speed[index] + push
            steps.append(0.9 * speed[index] + push if nesterov else speed[index])
        kernel, bias = kernel + steps[0], bias + steps[1]
    np.testing.assert_allclose(found[0], kernel, rtol=1e-6)  # the rate itself is a float32
    np.testing.assert_allclose(found[1], bias, rtol=1e-6)


def test_decoupled_decay_is_beside_the_gradient():
    recipe = Recipe(
        optimizer="sgd", learning_rate=RATE, schedule="constant", momentum=0.0, weight_decay=DECAY
    )
    found, (kernel, bias), x, labels = trained(recipe, steps=1)
    g_kernel, g_bias = gradients(kernel, bias, x, labels)
    np.testing.assert_allclose(found[0], kernel * (1 - RATE * DECAY) - RATE * g_kernel, rtol=1e-6)
    np.testing.assert_allclose(found[1], bias - RATE * g_bias, rtol=1e-6)


def test_training_a_model_again_does_not_add_a_second_penalty():
    model = linear_model()
    recipe = Recipe(weight_decay=DECAY, decay="l2")
    make_optimizer(recipe, 1, model, "float64")
    once = float(model.losses[0])
    make_optimizer(recipe, 1, model, "float64")
    assert float(sum(model.losses)) == pytest.approx(once)
    make_optimizer(Recipe(), 1, model, "float64")
    assert not model.losses


def test_filters_stay_below_zfnets_limit():
    """Every filter's root mean square, over height, width and channels, after each step."""
    inputs = keras.Input((5, 5, 2))
    x = keras.layers.Conv2D(3, 3, kernel_initializer=keras.initializers.RandomNormal(0, 0.4))(
        inputs
    )
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    recipe = Recipe(optimizer="sgd", learning_rate=1e-9, schedule="constant", filter_rms=0.1)
    optimizer = make_optimizer(recipe, 1, model, "float64")
    before = model.get_weights()[0]
    optimizer.apply([tf.zeros(v.shape, v.dtype) for v in model.trainable_variables])
    after = model.get_weights()[0]
    rms = np.sqrt((before**2).mean((0, 1, 2)))
    assert (rms > 0.1).all()
    np.testing.assert_allclose(after, before * 0.1 / rms, rtol=1e-6)


STEPS = 10  # in an epoch


def rates(recipe, count):
    schedule = make_schedule(recipe, STEPS)
    return [float(schedule(step)) if callable(schedule) else schedule for step in range(count)]


def test_step_schedule_changes_with_the_first_step_of_the_epoch():
    recipe = Recipe(learning_rate=1.0, schedule="step", steps=((2, 0.1), (3.5, 0.01)))
    expected = [1.0] * 20 + [0.1] * 15 + [0.01] * 5
    np.testing.assert_allclose(rates(recipe, 40), expected, rtol=1e-6)


def test_step_schedule_may_begin_low():
    """ResNet-1001 on CIFAR: a tenth for the first 400 iterations."""
    recipe = Recipe(learning_rate=1.0, schedule="step", steps=((0, 0.1), (1, 1.0), (2, 0.1)))
    expected = [0.1] * 10 + [1.0] * 10 + [0.1] * 5
    np.testing.assert_allclose(rates(recipe, 25), expected, rtol=1e-6)


def test_exponential_schedule_is_googlenets():
    """Down by 4% every 8 epochs."""
    recipe = Recipe(learning_rate=1.0, schedule="exponential", factor=0.96, every=8)
    found = rates(recipe, 161)
    np.testing.assert_allclose([found[79], found[80], found[160]], [1, 0.96, 0.96**2], rtol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "step", "exponential", "cosine"])
def test_warm_up_is_linear_for_every_schedule(schedule):
    recipe = Recipe(
        learning_rate=1.0, schedule=schedule, warmup_epochs=2, steps=((3, 0.1),), every=3, epochs=5
    )
    found = rates(recipe, 30)
    np.testing.assert_allclose(np.diff(found[:20]), 1 / 20, rtol=1e-3)
    assert found[20] == pytest.approx(1, abs=1e-3)


def rows(*errors):
    return [{"error": 0.0, "val_error": error} for error in errors]


def test_plateau_divides_after_the_patience_and_not_more_often_than_said():
    recipe = Recipe(schedule="plateau", patience=2, reductions=2)
    assert plateau_scale(recipe, rows(0.5, 0.4, 0.4), ERROR) == 1
    assert plateau_scale(recipe, rows(0.5, 0.4, 0.4, 0.45), ERROR) == pytest.approx(0.1)
    assert plateau_scale(recipe, rows(0.5, 0.4, 0.4, 0.45, 0.3, 0.3), ERROR) == pytest.approx(0.1)
    assert plateau_scale(recipe, rows(*[0.4] * 20), ERROR) == pytest.approx(0.01)


def test_plateau_looks_at_the_training_error_where_there_is_no_validation():
    recipe = Recipe(schedule="plateau", patience=1)
    assert plateau_scale(recipe, [{"error": 0.4}, {"error": 0.3}], ERROR) == 1
    assert plateau_scale(recipe, [{"error": 0.4}, {"error": 0.4}], ERROR) == pytest.approx(0.1)


def test_plateau_of_what_is_better_the_higher_and_not_known_in_each_epoch():
    recipe = Recipe(schedule="plateau", patience=1)
    measure = Measure(name="mean_iou", title="Mean IoU", better="higher")
    rising = [{"val_mean_iou": 0.1}, {"val_mean_iou": 0.2}]
    assert plateau_scale(recipe, rising, measure) == 1
    assert plateau_scale(recipe, rising[::-1], measure) == pytest.approx(0.1)
    assert plateau_scale(recipe, [{"mean_iou": 0.1}, {}], measure) == pytest.approx(0.1)


def test_the_optimizer_follows_the_plateau():
    recipe = Recipe(learning_rate=0.5, schedule="plateau", patience=1, warmup_epochs=2)
    optimizer = make_optimizer(recipe, STEPS, linear_model(), "float64")
    follow_history(optimizer, recipe, [], ERROR)
    assert float(optimizer.learning_rate) == pytest.approx(0.125)  # the mean of 0 to a half
    follow_history(optimizer, recipe, rows(0.5, 0.5, 0.4), ERROR)
    assert float(optimizer.learning_rate) == pytest.approx(0.05)


@pytest.mark.parametrize("schedule", ["step", "plateau"])
def test_two_replicas_train_as_one_device(two_devices, schedule):
    """The penalty counts once, the limit on filters and the rate are those of both replicas."""
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(16, 6, 6, 2)), rng.integers(0, 3, 16).astype("int32")
    recipe = Recipe(
        optimizer="sgd",
        learning_rate=0.5,
        nesterov=True,
        schedule=schedule,
        steps=((1, 0.1),),
        patience=1,
        weight_decay=0.1,
        decay="l2",
        filter_rms=0.08,
        clip_norm=1.0,
    )
    weights = []
    for strategy in (tf.distribute.get_strategy(), two_devices):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            inputs = keras.Input((6, 6, 2))
            own = keras.regularizers.L2(0.01)
            x = keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer=own)(inputs)
            x = keras.layers.GlobalAveragePooling2D()(x)
            model = keras.Model(inputs, keras.layers.Dense(3)(x))
            optimizer = make_optimizer(recipe, 2, model, "float64")
        replicas.make_replicas_agree(model, strategy)
        engine = Engine(
            model,
            strategy=strategy,
            objective=counted(make_loss(recipe, 3, from_logits=True)),
            optimizer=optimizer,
            clip_norm=recipe.clip_norm,
        )
        data = tf.data.Dataset.from_tensors((images, labels)).unbatch().batch(16).repeat()
        batches = iter(engine.distribute(data))
        for epoch in range(3):
            follow_history(optimizer, recipe, rows(0.5, 0.5)[:epoch], ERROR)
            engine.update(batches, 2)
        weights.append(model.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-10)
    kernel = weights[0][0]
    assert np.sqrt((kernel**2).mean((0, 1, 2))).max() == pytest.approx(0.08, rel=1e-6)
