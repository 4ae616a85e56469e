"""Checks of what a model computes: gradients, precisions, and the same everywhere."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from kerascnn.checks.case import (
    BATCH,
    Case,
    as_list,
    close,
    finite_logits,
    layer_names,
    same,
    settle,
    two_replicas,
)
from kerascnn.checks.suite import DEEP, VERY_DEEP, SkipCheck, check, quick_up_to
from kerascnn.errors import ArgumentError, StrategyError


@check
@quick_up_to(VERY_DEEP)
def check_gradients(case: Case) -> None:
    """Every trainable variable receives a gradient that is finite and not all zero."""
    import tensorflow as tf

    model = case.model
    with tf.GradientTape() as tape:
        if case.network.scores:
            outputs = as_list(model(case.images(), training=True))
            loss = tf.add_n([tf.reduce_mean(tf.square(output)) for output in outputs])
        else:
            loss = case.taught(model)(case.images(), case.targets(), case.draws())
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert gradient is not None, f"{variable.path} receives no gradient"
        largest = float(tf.reduce_max(tf.abs(gradient)))
        assert 0 < largest < float("inf"), f"{variable.path}: largest gradient {largest}"


@check
@quick_up_to(VERY_DEEP)
def check_float32(case: Case) -> None:
    """Finite float32 logits, in training and in inference."""
    finite_logits(case.model, case.images())


@check
@quick_up_to(VERY_DEEP)
def check_objective(case: Case) -> None:
    """The task's loss is finite, its sums add up, and what fills up a batch counts nothing."""
    import numpy as np
    import tensorflow as tf

    objective, targets = case.objective(), case.targets()
    scores, _ = case.task.scores(case.model)
    outputs = as_list(scores(case.images(), training=False))
    loss = objective.loss(targets, outputs)
    same("the shape of the loss", tuple(loss.shape), (BATCH,))
    assert bool(tf.reduce_all(tf.math.is_finite(loss))), f"the loss is not finite: {loss}"
    first = np.arange(BATCH) < BATCH // 2
    one, other, whole, none = (
        np.asarray(objective.sums(targets, outputs, tf.constant(real)))
        for real in (first, ~first, first | True, first & False)
    )
    same("the shape of the sums", whole.shape, (objective.size,))
    assert not none.any(), f"images that are not real have sums: {none}"
    np.testing.assert_allclose(one + other, whole, rtol=1e-6, err_msg="the sums of two halves")
    found = dict(objective.figures(whole, float(BATCH)))
    if objective.answers and objective.judged:
        found |= objective.judged(np.asarray(objective.answers(targets, outputs)))
    same("the measures", sorted(found), sorted(one.name for one in case.task.measures))


@check
@quick_up_to(DEEP)
def check_mixed_float16(case: Case) -> None:
    """mixed_float16: the layers compute in float16, the logits are finite and float32."""
    _mixed(case, "mixed_float16")


@check
@quick_up_to(DEEP)
def check_mixed_bfloat16(case: Case) -> None:
    """mixed_bfloat16: the layers compute in bfloat16, the logits are finite and float32."""
    _mixed(case, "mixed_bfloat16")


@check
@quick_up_to(DEEP)
def check_explain(case: Case) -> None:
    """`saliency` is TensorFlow's gradient; deconvnet shows the image, or names what isn't ReLU."""
    import numpy as np
    import tensorflow as tf

    from kerascnn import explain

    if not case.network.scores:
        raise SkipCheck("its answer is no scores of classes, and of random weights it may be empty")
    # Two: of one image TensorFlow's gradient breaks, see _convolved in kerascnn/explain/graph.py.
    images = case.images()[:2]
    pixels = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        score = _explained(as_list(case.model(pixels, training=False))[0])
    gradient = tape.gradient(score, pixels)
    close("saliency", explain.saliency(case.model, images, 0, signed=True), gradient)
    refusal = ""
    try:
        projection = explain.deconvnet(case.model, images, 0)
    except ArgumentError as error:
        refusal = str(error)
    if refusal:
        named = any(f" {name} " in refusal for name in layer_names(case.model))
        assert named, f"deconvnet names no layer: {refusal}"
    else:
        assert np.isfinite(projection).all(), "deconvnet is not finite"


def _explained(answer: Any) -> Any:
    """What is explained of class 0, `[batch]`: its score.

    Of a map, the sum of its scores where it is the answer; where it is that nowhere, its highest.
    """
    import tensorflow as tf

    if len(answer.shape) == 2:
        return answer[:, 0]
    scores, there = answer[..., 0], tf.argmax(answer, axis=-1) == 0
    sums = tf.reduce_sum(tf.where(there, scores, 0), axis=(1, 2))
    return tf.where(tf.reduce_any(there, axis=(1, 2)), sums, tf.reduce_max(scores, axis=(1, 2)))


@check
@quick_up_to(DEEP)
def check_serialization(case: Case) -> None:
    """A model made anew from its configuration, with the same weights, gives the same outputs."""
    copy = type(case.model).from_config(case.model.get_config())
    copy.set_weights(case.model.get_weights())
    close("the copy", copy(case.images()), case.model(case.images()))


@check
@quick_up_to(DEEP)
def check_xla(case: Case) -> None:
    """Compiled by XLA, the model gives the outputs of eager execution."""
    import tensorflow as tf

    compiled = tf.function(functools.partial(case.model, training=False), jit_compile=True)
    close("XLA", compiled(tf.constant(case.images())), case.model(case.images()))


@check
@quick_up_to(DEEP)
def check_keras_file(case: Case) -> None:
    """Saved to .keras and loaded, without custom_objects, the model gives the same outputs."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        case.model.save(path)
        loaded = keras.models.load_model(path)
    close("the loaded model", loaded(case.images()), case.model(case.images()))


@check
@quick_up_to(DEEP)
def check_saved_model(case: Case) -> None:
    """Exported as a SavedModel and loaded by TensorFlow alone, it gives the same outputs."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        case.model.export(folder, format="tf_saved_model", verbose=False)
        loaded = tf.saved_model.load(folder)
        served = loaded.serve(case.images())
    close("the SavedModel", served, case.model(case.images()))


@check
@quick_up_to(DEEP)
def check_mirrored_strategy(case: Case) -> None:
    """A training step on two replicas changes the weights, and to the same on both."""
    import numpy as np
    import tensorflow as tf

    strategy = two_replicas()
    if isinstance(strategy, StrategyError):
        raise SkipCheck(str(strategy))
    with strategy.scope():
        model = case.build(fresh=True)
        variables = [v.value for v in model.trainable_variables]
    before = [v.numpy() for v in model.trainable_variables]
    taught = case.taught(model)

    def step(*batch: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(taught(*batch))
        gradients = tape.gradient(loss, variables)
        context = tf.distribute.get_replica_context()
        for variable, gradient in zip(variables, context.all_reduce("mean", gradients)):
            variable.assign_sub(0.01 * gradient / (1e-9 + tf.norm(gradient)))

    shares = [
        strategy.experimental_distribute_values_from_function(
            lambda context, all_=all_: tf.constant(
                np.array_split(all_, 2)[context.replica_id_in_sync_group]
            )
        )
        for all_ in (case.images(), case.targets(), case.draws())
    ]
    strategy.run(step, args=tuple(shares))
    changed = False
    for variable, old in zip(variables, before):
        one, two = (replica.numpy() for replica in strategy.experimental_local_results(variable))
        assert (one == two).all(), f"{variable.name} differs between the replicas"
        changed |= bool((one != old).any())
    assert changed, "no weight changed"


def _mixed(case: Case, policy: str) -> None:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = case.build(fresh=True)
    finally:
        keras.config.set_dtype_policy(before)
    compute = policy.removeprefix("mixed_")
    assert any(layer.compute_dtype == compute for layer in model.layers), f"none is in {compute}"
    settle(model, case.images())
    finite_logits(model, case.images())
