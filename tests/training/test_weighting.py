"""Classes of different sizes: weights on the loss, balanced drawing, and what neither changes."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from rich.console import Console

from kerascnn.data import ArraySplit, load
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import Recipe
from kerascnn.tasks.classification.counting import counted
from kerascnn.tasks.classification.task import CLASSIFICATION
from kerascnn.training import trainer
from kerascnn.training.engine import Engine, filled

LABELS = np.repeat([0, 1, 3], [60, 10, 5])  # nothing of class 2
SPLIT = ArraySplit(np.arange(75, dtype="uint8").reshape(75, 1, 1, 1), LABELS)
SMALL = {"widths": (2, 4), "hidden": (16,)}
RECIPE = Recipe(optimizer="adam", learning_rate=0.01, batch_size=100, epochs=2)


@pytest.fixture(scope="module")
def uneven():
    """Digits of which a 3 is rare in training."""
    data = load("mnist5k", input_shape=(32, 32, 1), echo=None)
    keep = [n for n, label in enumerate(data.train.labels) if label != 3 or n % 20 == 0]
    images = np.stack([data.train.example(n)[0] for n in keep])
    return replace(data, train=ArraySplit(images, data.train.labels[keep]))


def trained(path, data, recipe, **options):
    return trainer.train(
        "lenet5",
        data,
        arguments=SMALL,
        recipe=recipe,
        run=path,
        console=Console(quiet=True),
        **{"record": False, **options},
    )


def drawn(epochs=3, split=SPLIT, **options):
    batches = split.batches(25, seed=4, epochs=epochs, with_index=True, balance=True, **options)
    return [np.concatenate(parts) for parts in zip(*batches.as_numpy_iterator())]


def test_balanced_epochs_draw_from_all_classes_alike_and_each_copy_has_its_own_position():
    images, labels, index, epochs = drawn()
    assert (images[:, 0, 0, 0] == index % 75).all(), "the image of its position"
    assert (labels == LABELS[index % 75]).all()
    for epoch in range(3):
        mine = epochs == epoch
        assert np.bincount(labels[mine]).tolist() == [25, 25, 0, 25]
        assert len(set(index[mine])) == 75, "each copy is changed at random in its own way"
        copies = np.bincount(index[mine] % 75, minlength=75)
        assert copies[:60].max() == 1
        assert set(copies[60:70]) == {2, 3}
        assert set(copies[70:]) == {5}
    assert len(set(index[labels == 0])) > 45, "what is left out differs from epoch to epoch"
    assert not (labels[epochs == 0] == labels[epochs == 1]).all()


def test_balanced_order_is_a_pure_function_of_seed_and_epoch_and_is_shared_out():
    whole = drawn()
    late = drawn(first_epoch=1, first_step=1)
    for ours, theirs in zip(late, whole):
        np.testing.assert_array_equal(ours, theirs[100:])
    batches = [
        list(SPLIT.batches(24, seed=4, balance=True, share=(w, 2)).as_numpy_iterator())
        for w in range(2)
    ]
    together = list(SPLIT.batches(24, seed=4, balance=True).as_numpy_iterator())
    for one, two, both in zip(*batches, together):
        np.testing.assert_array_equal(np.concatenate([one[1], two[1]]), both[1])


def test_balanced_drawing_reads_files_too(tmp_path):
    """JPEG files, which have a fast way of their own."""
    for name, count, value in (("a", 30, 40), ("b", 4, 200)):
        (tmp_path / name).mkdir()
        for n in range(count):
            noise = np.random.default_rng(n).integers(0, 9, (16, 16, 3))
            Image.fromarray((noise + value).astype("uint8")).save(tmp_path / name / f"{n}.jpg")
    data = load(f"folder:{tmp_path}", input_shape=(16, 16, 3), echo=None)
    split = data.train
    batches = split.batches(split.size, seed=1, balance=True, drop_remainder=True)
    images, labels = next(batches.as_numpy_iterator())
    assert abs(np.diff(np.bincount(labels))[0]) <= 1
    np.testing.assert_array_equal(images.mean((1, 2, 3)) > 128, labels == 1)


def test_balanced_weights_are_images_by_classes_and_a_list_is_one_for_each():
    def class_weights(recipe):
        names = ("ant", "bee", "cat", "dog")
        return CLASSIFICATION.class_weight(recipe, SPLIT.targets, names)

    found = class_weights(Recipe(class_weight="balanced"))
    assert found == pytest.approx((75 / 180, 75 / 30, 0.0, 75 / 15))
    assert np.mean([found[label] for label in LABELS]) == pytest.approx(1)
    rooted = class_weights(Recipe(class_weight="rooted"))
    assert np.square(rooted) / rooted[0] ** 2 == pytest.approx(np.array(found) / found[0])
    assert np.mean([rooted[label] for label in LABELS]) == pytest.approx(1)
    assert class_weights(Recipe(class_weight=(1, 2, 0, 4))) == (1.0, 2.0, 0.0, 4.0)
    with pytest.raises(ArgumentError, match=r"each of the 4 classes, .*: ant, bee, cat, dog\. Rec"):
        class_weights(Recipe(class_weight=(1, 2)))
    for wrong in ("balance", (1.0, -1.0), (0.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(ArgumentError, match="class_weight must be"):
            Recipe(class_weight=wrong)


@pytest.mark.parametrize("replicas", [1, 2])
def test_weights_change_the_gradient_alone(replicas, two_devices):
    """One step of plain descent, computed in NumPy; sums and evaluation are not weighted."""
    strategy = two_devices if replicas == 2 else tf.distribute.get_strategy()
    weights, rng = (0.5, 3.0, 0.0), np.random.default_rng(0)
    x, labels = rng.normal(size=(6, 4)).astype("float32"), np.array([0, 1, 2, 1, 0, 2], "int32")
    with strategy.scope():
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.Dense(3, use_bias=False)(inputs))
        optimizer = keras.optimizers.SGD(1.0)
        optimizer.build(model.trainable_variables)
    before = model.get_weights()[0]
    engine = Engine(
        model,
        strategy=strategy,
        optimizer=optimizer,
        objective=counted(
            lambda labels, logits: keras.losses.sparse_categorical_crossentropy(
                labels, logits, from_logits=True
            ),
            class_weight=weights,
        ),
    )
    data = tf.data.Dataset.from_tensors((x, labels)).unbatch().batch(6, drop_remainder=True)
    evaluated = engine.evaluate(iter(engine.distribute(filled(data.repeat(), 6))), 1)
    reported = engine.update(iter(engine.distribute(data.repeat())), 1)
    scores = x @ before
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    plain = -np.log(chances[np.arange(6), labels])
    assert evaluated.mean_loss == pytest.approx(plain.mean(), rel=1e-5)
    assert reported.mean_loss == pytest.approx(plain.mean(), rel=1e-5)
    slope = chances.copy()
    slope[np.arange(6), labels] -= 1
    gradient = x.T @ (slope * np.array(weights)[labels][:, None]) / 6
    np.testing.assert_allclose(before - model.get_weights()[0], gradient, atol=1e-5)


@pytest.mark.slow
def test_a_rare_class_is_found_more_often_and_both_ways_resume_bit_for_bit(uneven, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    images, labels = next(uneven.test.batches(1000).as_numpy_iterator())

    def found(run):
        return np.mean(run.predict(images[labels == 3]).argmax(-1) == 3)

    plain = found(trained(tmp_path / "plain", uneven, RECIPE))
    for name, changes in (("weight", {"class_weight": "balanced"}), ("balance", {"balance": True})):
        recipe = replace(RECIPE, **changes)
        whole = trained(tmp_path / name, uneven, recipe)
        assert found(whole) > plain + 0.1
        assert whole.evaluate(uneven, echo=None)["loss"] == pytest.approx(
            whole.metrics["test_loss"], rel=1e-4
        ), "measures are not weighted"
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / f"{name}-2", uneven, recipe, callbacks=[Stop()], record=True)
        again = trainer.resume(tmp_path / f"{name}-2", data=uneven, console=Console(quiet=True))
        for one, two in zip(whole.model().get_weights(), again.model().get_weights()):
            np.testing.assert_array_equal(one, two)


def test_balancing_twice_is_refused():
    """Drawn evenly and weighed by rarity, rare classes would count more than the others."""
    with pytest.raises(ArgumentError, match=r"class_weight must be given without balance"):
        Recipe(class_weight="balanced", balance=True)
    with pytest.raises(ArgumentError, match=r"by numbers: \"rooted\" weighs"):
        Recipe(class_weight="rooted", balance=True)
    Recipe(class_weight=(1.0, 2.0), balance=True)
