"""Images of two labels in a training: losses, gradients, counts; resumed, shared out, balanced."""

import io
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from kerascnn.card import Preprocessing
from kerascnn.data.splits import ArraySplit
from kerascnn.recipes.losses import make_loss
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.runs.position import Position
from kerascnn.tasks.classification.counting import counted
from kerascnn.training import trainer
from kerascnn.training.batches import training_batches
from kerascnn.training.engine import Engine
from kerascnn.training.settings import Batching

ALL_FIVE = Recipe(
    optimizer="adam",
    batch_size=8,
    epochs=2,
    label_smoothing=0.1,
    balance=True,
    augmentation=Augmentation(mixup=0.4, cutmix=1.0, mixed=0.8, erase=0.5),
)
OWN, OTHER = np.array([0, 1, 2, 1, 0, 2]), np.array([1, 0, 2, 0, 1, 2])
SHARE = np.array([0.9, 0.25, 0.5, 1.0, 0.0, 0.3], "float32")
MIXED = np.stack([OWN, OTHER, SHARE], 1).astype("float32")
X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


def soft(smoothing):
    """The labels as targets, `[6, 3]`."""
    shared = SHARE[:, None] * np.eye(3)[OWN] + (1 - SHARE[:, None]) * np.eye(3)[OTHER]
    return (1 - smoothing) * shared + smoothing / 3


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_gradient_are_those_of_soft_targets(replicas, smoothing, two_devices):
    """One step of plain descent, computed in NumPy."""
    strategy = two_devices if replicas == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(3, use_bias=False)(inputs))
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(model.trainable_variables)
    before = model.get_weights()[0]
    loss = make_loss(Recipe(label_smoothing=smoothing), 3, from_logits=True)
    engine = Engine(model, strategy=strategy, optimizer=optimizer, objective=counted(loss))
    data = tf.data.Dataset.from_tensors((X, MIXED)).unbatch().batch(6, drop_remainder=True)
    reported = engine.update(iter(engine.distribute(data.repeat())), 1)
    scores = X @ before
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    expected = -(soft(smoothing) * np.log(chances)).sum(1).mean()
    assert reported.mean_loss == pytest.approx(expected, rel=1e-5)
    gradient = X.T @ (chances - soft(smoothing)) / 6
    np.testing.assert_allclose(before - model.get_weights()[0], gradient, atol=1e-5)
    guess = scores.argmax(1)
    right = SHARE * (guess == OWN) + (1 - SHARE) * (guess == OTHER)
    assert reported.sums[0] == pytest.approx(right.sum())


def test_class_weights_follow_the_shares_of_the_labels():
    weights, logits = np.array([0.5, 3.0, 0.0], "float32"), tf.constant(X[:, :3])
    found = counted(make_loss(Recipe(), 3, from_logits=True), class_weight=weights.tolist())
    logs = -np.log(keras.ops.convert_to_numpy(keras.ops.softmax(logits)))
    expected = (soft(0.0) * weights * logs).sum(1)
    minimised = found.minimised(tf.constant(MIXED), [logits]).numpy()
    np.testing.assert_allclose(minimised, expected, rtol=1e-5)


IMAGES = np.random.default_rng(0).integers(0, 256, (36, 28, 28, 1)).astype("uint8")
LABELS = np.repeat([0, 1, 2], [24, 8, 4])
SPLIT = ArraySplit(IMAGES, LABELS)
BEGINNING = Position()


def batches(start=BEGINNING, count=8, share=(0, 1)):
    config = SimpleNamespace(
        seed=3, recipe=ALL_FIVE, input_shape=(28, 28, 1), preprocessing=Preprocessing(scale=1.0)
    )
    workers = SimpleNamespace(index=share[0], count=share[1])
    found = training_batches(SPLIT, config, Batching(8, 1, 4), start, workers)
    return [(images.numpy(), targets.numpy()) for images, targets in found.take(count)]


def test_mixed_batches_are_the_same_wherever_they_begin_and_however_they_are_shared():
    whole = batches()
    for (images, targets), (mine, theirs) in zip(
        whole[5:], batches(Position(epoch=1, update=1), 3), strict=True
    ):
        np.testing.assert_array_equal(images, mine)
        np.testing.assert_array_equal(targets, theirs)
    parts = [batches(share=(worker, 2), count=4) for worker in range(2)]
    for one, two, (images, targets) in zip(*parts, whole):
        np.testing.assert_array_equal(np.concatenate([one[0], two[0]]), images)
        np.testing.assert_array_equal(np.concatenate([one[1], two[1]]), targets)
    shares = np.concatenate([targets[:, 2] for _, targets in whole])
    assert len(set(shares[shares < 1])) > 20, "no two are mixed alike"
    own = np.concatenate([targets[:, 0] for _, targets in whole[:4]])
    assert (np.bincount(own.astype(int)) >= 10).all(), "drawn from all classes alike"
    assert not np.array_equal(whole[0][0], whole[4][0])


def test_all_five_train_together_and_resume_bit_for_bit(tmp_path):
    """mixup, CutMix, erasing, smoothing and balance; what is judged is not mixed."""
    np.savez(tmp_path / "some.npz", images=IMAGES[..., 0], labels=LABELS)
    console = Console(file=io.StringIO(), width=200)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 1:
                raise KeyboardInterrupt

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

    def trained(name, **options):
        return trainer.train(
            "lenet5",
            f"npz:{tmp_path / 'some.npz'}",
            arguments={"widths": (2, 4), "hidden": (8,)},
            recipe=ALL_FIVE,
            run=tmp_path / name,
            console=console,
            **options,
        )

    whole = trained("whole")
    assert "counts each by the shares of its two labels" in console.file.getvalue()
    with pytest.raises(KeyboardInterrupt):
        trained("stopped", callbacks=[Stop()])
    again = trainer.resume(tmp_path / "stopped", console=console)
    for one, two in zip(whole.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert again.config.recipe == replace(ALL_FIVE, monitor="val_error")
    judged = again.evaluate(echo=None, split="validation")
    assert judged["error"] == pytest.approx(again.history[-1]["val_error"], abs=1e-9)
