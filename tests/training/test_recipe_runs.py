"""Recipes in a real training: the papers' parts resume bit for bit, and start where they should."""

import dataclasses

import keras
import numpy as np
import pytest
from rich.console import Console

from kerascnn import catalogue
from kerascnn.data import load
from kerascnn.errors import ArgumentError, RunError, WeightsError
from kerascnn.recipes import papers
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.training import trainer
from kerascnn.training.starting import start

# AlexNet's recipe with every part that has a state or depends on the history, made short.
RECIPE = dataclasses.replace(
    papers.ALEXNET,
    batch_size=500,
    epochs=3,
    patience=1,
    learning_rate=1e-9,  # so that the validation error stays, which is a plateau
    weight_decay=0.1,
    filter_rms=0.005,
    dropout=0.25,
)
SMALL = {"widths": (2, 4), "hidden": (16,)}


def run(path, recipe=RECIPE, name="lenet5", **options):
    settings = {"arguments": SMALL if name == "lenet5" else {}, **options}
    return trainer.train(
        name, "mnist5k", recipe=recipe, run=path, console=Console(quiet=True), **settings
    )


class StopError(Exception):
    """In place of a crash."""


class StopAfter(keras.callbacks.Callback):
    """Ends training when an epoch begins."""

    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.last:
            raise StopError


def state(run):
    newest = sorted((run.path / "checkpoints").glob("*.npz"))[-1]
    with np.load(newest) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs") / "whole")


def test_alexnets_recipe_resumes_bit_for_bit(whole, tmp_path):
    """Crops, colours along components, plateaus, decay in the gradient and limited filters."""
    with pytest.raises(StopError):
        run(tmp_path / "parts", callbacks=[StopAfter(2)])
    parts = trainer.resume(tmp_path / "parts", console=Console(quiet=True))
    one, two = state(whole), state(parts)
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], two[key], err_msg=key)


def test_the_run_says_what_was_resolved(whole):
    config = whole.config
    assert config.input_shape == (32, 32, 1)
    assert config.data.image_shape == (37, 37, 1)
    assert config.architecture.arguments["dropout"] == 0.25
    assert len(config.recipe.augmentation.components) == 1
    assert config.weights is None
    rates = [row["learning_rate"] for row in whole.history]
    np.testing.assert_allclose(rates, [1e-9, 1e-9, 1e-10], rtol=1e-5)


def test_the_first_weights_are_the_recipes(whole):
    """The rate is too small to change them; the limit on filters isn't."""
    model = whole.model()
    kernels = {layer.name: layer.get_weights()[0] for layer in model.layers if layer.weights}
    assert kernels["logits"].std() == pytest.approx(0.01, rel=0.2)
    for kernel in kernels.values():
        if kernel.ndim == 4:
            rms = np.sqrt((kernel**2).mean((0, 1, 2)))
            assert rms.max() <= 0.005 * 1.001


def test_evaluation_uses_the_middle_of_the_canvas_and_protocols_more_of_it(whole):
    """The test error of training, again; ten crops need no size, as the canvas is larger."""
    found = whole.evaluate(echo=None)
    assert found["error"] == pytest.approx(whole.metrics["test_error"], abs=1e-9)
    assert found["loss"] == pytest.approx(whole.metrics["test_loss"], rel=1e-5)
    assert 0 <= found["top5_error"] < found["error"]
    ten = whole.evaluate(echo=None, protocol=papers.ALEXNET.evaluation)
    assert ten["protocol"]["views"] == "10-crop"
    assert ten["images"] == found["images"]


def test_predictions_are_of_the_middle_of_the_canvas(whole):
    images = np.random.default_rng(0).integers(0, 256, (3, 37, 37, 1)).astype("uint8")
    middle = images[:, 2:34, 2:34]
    np.testing.assert_allclose(whole.predict(images), whole.predict(middle), atol=1e-7)
    with pytest.raises(ArgumentError, match=r"\[batch, 32, 32, 1\] or \[batch, 37, 37, 1\]"):
        whole.predict(images[:, :20])


@pytest.fixture(scope="module")
def again(whole, tmp_path_factory):
    """Another run from those weights, on images that were loaded before the recipe was known."""
    data = load("mnist5k", input_shape=(32, 32, 1), echo=None)
    return trainer.train(
        *("lenet5", data),
        arguments={**SMALL, "dropout": 0.25},
        recipe=Recipe(
            optimizer="sgd",
            learning_rate=1e-12,
            epochs=1,
            batch_size=3500,
            augmentation=Augmentation(canvas=1.5, flip=True),
        ),
        weights=whole.path,
        run=tmp_path_factory.mktemp("runs") / "again",
        record=False,
        console=Console(quiet=True),
    )


def test_training_starts_from_the_weights_of_another_run(whole, again):
    for one, two in zip(whole.model().get_weights(), again.model().get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)
    stored = again.config.weights
    assert stored.source == str(whole.path / "model.keras")
    assert len(stored.sha256) == 64


def test_what_became_of_the_weights_is_said_once(whole, again, capsys):
    """Five classes in place of ten: the classifier stays as it was initialized."""
    network, told = catalogue.get("lenet5"), []
    model = network(input_shape=(32, 32, 1), classes=5, **SMALL)
    start(model, network, again.config, told.append)
    assert "Left at their initial values: logits/kernel, logits/bias" in "".join(told)
    assert (len(told), capsys.readouterr().err) == (1, "")


def test_images_of_the_networks_size_are_taken_as_they_are(again):
    """There is no larger canvas to cut from."""
    assert again.config.data.image_shape == (32, 32, 1)


def test_weights_that_have_changed_are_refused(again, tmp_path):
    """Repeating a run promises the same result."""
    weights = dataclasses.replace(again.config.weights, sha256="0" * 64)
    dataclasses.replace(again.config, weights=weights).write(tmp_path)
    with pytest.raises(RunError, match="have changed since the run was started"):
        trainer.repeat(tmp_path, run=tmp_path / "new", console=Console(quiet=True))


def test_missing_weights_are_refused_before_data_is_read(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no file 'nothing.h5'"):
        run(tmp_path / "x", weights="nothing.h5")


def test_weights_that_nobody_has_published_leave_no_run_behind(tmp_path):
    with pytest.raises(WeightsError, match="No ImageNet weights are published for lenet5"):
        run(tmp_path / "x", weights="imagenet")
    assert not (tmp_path / "x").exists()


def test_a_network_without_dropout_refuses_the_recipes(tmp_path):
    with pytest.raises(ArgumentError, match="lenet5_1998 has no argument `dropout`"):
        run(tmp_path / "x", papers.ALEXNET, name="lenet5_1998")
