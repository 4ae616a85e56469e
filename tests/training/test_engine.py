"""The engine gives the same weights on one device and on two, whatever Keras does by itself."""

import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerascnn.distribution import replicas
from kerascnn.tasks.classification.counting import counted
from kerascnn.training.engine import Engine, filled

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(67, 8, 8, 3))
LABELS = RNG.integers(0, 5, size=67).astype("int32")


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # Keras has kept the first one it was asked for
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def cross_entropy(labels, logits):
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def two_headed():
    """BatchNorm, L2 and an auxiliary head: all that is easily counted twice."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, kernel_regularizer=keras.regularizers.L2(0.01))(inputs)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, [layers.Dense(5, name="main")(x), layers.Dense(5, name="aux")(x)])


def engine_for(
    strategy,
    clip_norm=None,
    optimizer=lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    slowness=1.0,
    jit=False,
):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = two_headed()
        made = optimizer()
        made.build(model.trainable_variables)
    replicas.make_replicas_agree(model, strategy)
    return Engine(
        model,
        strategy=strategy,
        objective=counted(cross_entropy, factors=(1.0, 0.3)),
        optimizer=made,
        clip_norm=clip_norm,
        slowed=model.layers[1].trainable_variables if slowness < 1 else (),
        slowness=slowness,
        jit=jit,
    )


def slowed_engine(strategy, rule, **options):
    """Its convolution learns at a tenth of the rate."""
    return engine_for(strategy, optimizer=lambda: RULES[rule](0.05), slowness=0.1, **options)


RULES = {
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "decay": lambda rate: keras.optimizers.SGD(rate, weight_decay=0.1),
    "adamw": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.1),
}


def batches(engine, count=67, *, repeat=False):
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES[:count], LABELS[:count]))
    if repeat:
        dataset = dataset.repeat().batch(16, drop_remainder=True)
    else:
        dataset = filled(dataset.batch(16), 16)
    return iter(engine.distribute(dataset))


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_twenty_steps_on_two_replicas_equal_one_device(float64, two_devices, clip_norm):
    """The gradient, its clipping and the statistics are those of the global batch."""
    weights = []
    for strategy in (tf.distribute.get_strategy(), two_devices):
        engine = engine_for(strategy, clip_norm)
        iterator = batches(engine, repeat=True)
        engine.update(iterator, 1)
        engine.update(iterator, 19)
        weights.append(engine.model.get_weights())
    initial = engine_for(tf.distribute.get_strategy()).model.get_weights()
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-10)
    moved = [np.abs(one - start).max() for one, start in zip(weights[0], initial)]
    assert max(moved) > 0.01, "training changed the weights"


def test_clipping_limits_the_update_of_the_global_batch(float64, two_devices):
    """Stock Keras clips each replica, which lets the sum exceed the limit."""
    engine = engine_for(two_devices, 0.01, optimizer=lambda: keras.optimizers.SGD(1.0))
    before = [v.numpy() for v in engine.model.trainable_variables]
    engine.update(batches(engine, repeat=True), 1)
    after = [v.numpy() for v in engine.model.trainable_variables]
    norm = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(after, before)))
    assert norm == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("count", [67, 17, 1])
def test_evaluation_counts_every_example_once(two_devices, count):
    """Also where the last batch, or the first, leaves a replica without an example."""
    for strategy in (tf.distribute.get_strategy(), two_devices):
        engine = engine_for(strategy)
        found = engine.evaluate(batches(engine, count), -(-count // 16))
        main, aux = engine.model(IMAGES[:count].astype("float32"), training=False)
        labels = LABELS[:count]
        expected = cross_entropy(labels, main) + 0.3 * cross_entropy(labels, aux)
        assert found.images == count
        assert found.sums[0] == np.sum(np.argmax(main, -1) == labels)
        assert found.loss == pytest.approx(float(np.sum(expected)), rel=1e-4)


@pytest.mark.parametrize("count", [67, 1])
def test_answers_to_all_images_are_gathered_from_all_replicas_each_once(two_devices, count):
    """For measures that need all answers at once; what fills up a batch gets none."""
    for strategy in (tf.distribute.get_strategy(), two_devices):
        engine = engine_for(strategy)
        engine.objective = replace(
            engine.objective,
            answers=lambda labels, outputs: tf.cast(labels, tf.float32)[:, None] + outputs[0],
        )
        totals, found = engine.judge(batches(engine, count), -(-count // 16))
        main, _ = engine.model(IMAGES[:count].astype("float32"), training=False)
        expected = LABELS[:count, None] + main.numpy()
        assert totals.images == count
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), rtol=1e-5)


def test_parts_of_the_loss_are_logged_under_their_names():
    engine = engine_for(tf.distribute.get_strategy())
    whole = engine.figures(engine.evaluate(batches(engine), 5))
    engine = engine_for(tf.distribute.get_strategy())
    engine.objective = replace(engine.objective, parts=("output1",))
    found = engine.figures(engine.evaluate(batches(engine), 5))
    _, aux = engine.model(IMAGES.astype("float32"), training=False)
    assert found["loss_output1"] == pytest.approx(float(np.mean(0.3 * cross_entropy(LABELS, aux))))
    assert {name: found[name] for name in whole} == pytest.approx(whole)


@pytest.mark.parametrize("rule", RULES)
def test_slowed_variables_learn_at_a_part_of_the_rate(float64, rule):
    """As with two optimizers of Keras, one for each part of the network."""
    engine = slowed_engine(tf.distribute.get_strategy(), rule)
    other = keras.models.clone_model(engine.model)
    other.set_weights(engine.model.get_weights())
    slow = other.layers[1].trainable_variables
    fast = other.trainable_variables[len(slow) :]
    rules = [RULES[rule](rate) for rate in (0.005, 0.05)]
    engine.update(batches(engine, repeat=True), 5)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).repeat().batch(16)
    for images, labels in data.take(5):
        with tf.GradientTape() as tape:
            outputs = other(images, training=True)
            each = cross_entropy(labels, outputs[0]) + 0.3 * cross_entropy(labels, outputs[1])
            loss = tf.reduce_mean(each) + sum(other.losses)
        values = [[v.value for v in part] for part in (slow, fast)]
        for own, part, gradients in zip(rules, (slow, fast), tape.gradient(loss, values)):
            own.apply_gradients(zip(gradients, part))
    for one, two in zip(engine.model.weights, other.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=0, atol=1e-12)


def test_a_step_compiled_with_xla_slows_variables_and_shares_labels_as_another(float64):
    labels = np.stack([LABELS, np.roll(LABELS, 1), RNG.random(67)], 1).astype("float32")
    mixed = tf.data.Dataset.from_tensor_slices((IMAGES, labels)).repeat().batch(16)
    weights = []
    for jit in (False, True):
        engine = slowed_engine(tf.distribute.get_strategy(), "momentum", jit=jit)
        engine.update(iter(engine.distribute(mixed)), 5)
        weights.append(engine.model.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-8)


def test_variables_are_slowed_alike_on_two_replicas(float64, two_devices):
    engines = [slowed_engine(s, "adamw") for s in (tf.distribute.get_strategy(), two_devices)]
    for engine in engines:
        engine.update(batches(engine, repeat=True), 10)
    for one, two in zip(*(engine.model.get_weights() for engine in engines), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-10)


def test_replicas_draw_different_dropout_masks(two_devices):
    """Stock Keras draws one mask for all replicas, half the randomness that was asked for."""
    with two_devices.scope():
        inputs = keras.Input((64,))
        model = keras.Model(inputs, layers.Dropout(0.5, seed=3)(inputs))
    replicas.make_replicas_agree(model, two_devices)
    ones = tf.ones((4, 64))
    run = tf.function(lambda: two_devices.run(lambda: model(ones, training=True)))
    first, second = two_devices.experimental_local_results(run())
    assert np.any(first.numpy() != second.numpy())


def test_a_loss_that_is_not_finite_is_reported_with_its_step():
    """The step's number within the call, so that the message can name it."""
    engine = engine_for(tf.distribute.get_strategy())
    images = np.array(IMAGES[:64], "float32")
    images[35] = np.nan
    dataset = tf.data.Dataset.from_tensor_slices((images, LABELS[:64])).batch(16)
    assert engine.update(iter(dataset), 4).bad_step == 2


def test_the_wait_for_input_is_that_of_the_dataset():
    """A pipeline that sleeps 0.02 s for each batch, in the thread that asks: 5 batches, 0.1 s."""

    def slow(number):
        time.sleep(0.02)
        return np.full((4, 3), number, "float32"), np.zeros(4, "int32")

    def batches(function):
        found = tf.data.Dataset.range(100).map(
            lambda number: tf.numpy_function(function, [number], (tf.float32, tf.int32))
        )
        shaped = found.map(lambda x, y: (tf.ensure_shape(x, [4, 3]), tf.ensure_shape(y, [4])))
        serial = tf.data.Options()  # else tf.data works ahead, and less than the sleep is waited
        serial.experimental_optimization.map_parallelization = False
        serial.experimental_optimization.inject_prefetch = False
        return iter(shaped.with_options(serial))

    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    engine = Engine(
        model,
        strategy=tf.distribute.get_strategy(),
        objective=counted(keras.losses.sparse_categorical_crossentropy),
        optimizer=keras.optimizers.SGD(0.0),
    )
    began = time.perf_counter()
    waited = engine.update(batches(slow), 5).waited
    assert 0.1 <= waited <= time.perf_counter() - began, "a thread never sleeps for less"


def guided(scores):
    """A learner that looks at the targets, and passes on what it may draw by."""
    image = keras.Input((8, 8, 3))
    label = keras.Input((), dtype="int32")
    draws = keras.Input((3,), dtype="int32")
    main, aux = scores(image)
    return keras.Model([image, label, draws], [main, aux, layers.Rescaling(1.0)(draws), label])


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_learner_of_three_inputs_sees_images_targets_and_draws(two_devices, accumulation):
    """Evaluation has neither draws nor targets for the network."""
    for strategy in (tf.distribute.get_strategy(), two_devices):
        with strategy.scope():
            model = two_headed()
            learner = guided(model)
            optimizer = keras.optimizers.SGD(0.1)
            optimizer.build(model.trainable_variables)
        objective = counted(cross_entropy, factors=(1.0, 0.3))

        def losses(labels, outputs, plain=objective.losses):
            if len(outputs) == 2:
                return plain(labels, outputs) | {"seen": tf.zeros(tf.shape(labels))}
            seen = tf.reduce_sum(outputs[2], axis=-1) + 1000.0 * tf.cast(
                outputs[3] == labels, "float32"
            )
            return plain(labels, outputs[:2]) | {"seen": tf.stop_gradient(seen)}

        engine = Engine(
            model,
            learner=learner,
            strategy=strategy,
            objective=replace(objective, losses=losses, parts=("seen",)),
            optimizer=optimizer,
            accumulation=accumulation,
        )
        assert engine.draws
        images = IMAGES[:64].astype("float32")
        draws = np.stack([[7, 1, n] for n in range(64)]).astype("int32")
        data = tf.data.Dataset.from_tensor_slices((images, LABELS[:64], draws))
        before = model.get_weights()
        batches_ = iter(engine.distribute(data.batch(16).repeat()))
        totals = engine.update(batches_, 4 // accumulation)
        assert totals.sums[0] == 64 * 1008 + sum(range(64))
        assert any((a != b).any() for a, b in zip(before, model.get_weights()))
        assert engine.evaluate(batches(engine, 17), 2).sums[0] == 0


@pytest.mark.slow
def test_trains_where_tensorflow_must_be_deterministic(tmp_path):
    """Then no op may read the clock, which the wait for batches is measured with."""
    code = """
        import sys
        import tensorflow as tf
        import kerascnn
        tf.config.experimental.enable_op_determinism()
        run = kerascnn.train("lenet5", "mnist5k", epochs=1, run=sys.argv[1])
        print(run.history[0]["input_wait"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "forbids reading the clock" in " ".join(done.stdout.split())
    assert done.stdout.splitlines()[-1] == "0.0"
