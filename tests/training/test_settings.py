"""A precision is that of every layer, the classifier included."""

import io

import keras
import numpy as np
import pytest
from rich.console import Console

from kerascnn import catalogue
from kerascnn.recipes import papers
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.run import Run
from kerascnn.training import trainer
from kerascnn.training.settings import in_precision, with_enough_updates

# One for each way in which a head is made.
HEADS = ("lenet5", "lenet5_1998", "nin_cifar10", "googlenet")


@pytest.mark.parametrize("name", HEADS)
def test_float64_is_that_of_all_layers_and_half_precision_leaves_the_head_in_float32(name):
    with in_precision("float64"):
        model = catalogue.get(name)()
    assert {layer.compute_dtype for layer in model.layers} == {"float64"}
    assert {variable.dtype for variable in model.trainable_variables} == {"float64"}
    with in_precision("mixed_float16"):
        model = catalogue.get(name)()
    assert {output.dtype for output in model.outputs} == {"float32"}
    assert any(layer.compute_dtype == "float16" for layer in model.layers)


def test_a_float64_training_is_saved_and_evaluated_as_such(tmp_path):
    """Its model is loaded where float32 is the default."""
    recipe = Recipe(batch_size=500, epochs=1)
    run = trainer.train(
        "lenet5",
        "mnist5k",
        arguments={"widths": (2, 4), "hidden": (16,)},
        recipe=recipe,
        precision="float64",
        run=tmp_path / "run",
        record=False,
    )
    assert keras.config.floatx() == "float32"
    assert {variable.dtype for variable in run.model().variables} == {"float64"}
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), "uint8")
    sums = run.predict(images).sum(-1, dtype="float64")
    np.testing.assert_allclose(sums, 1, atol=1e-14)
    assert run.evaluate(echo=None)["error"] == pytest.approx(run.metrics["test_error"], abs=1e-9)


@pytest.mark.parametrize("images", [42, 126, 700, 1400, 4200])
@pytest.mark.parametrize("recipe", [papers.RESNET, papers.ALEXNET, Recipe(), papers.FINETUNE])
def test_a_few_photos_get_a_batch_with_which_an_epoch_has_some_tens_of_updates(recipe, images):
    """Or the smallest; and it is never halved once too often."""
    found, note = with_enough_updates(recipe, images, 1)
    updates = images // found.batch_size
    assert updates >= 20 or found.batch_size == 8
    share = found.batch_size / recipe.batch_size
    assert share == 1 or images // (2 * found.batch_size) < 20
    power = 1.0 if recipe.optimizer == "sgd" else 0.5
    assert found.learning_rate == pytest.approx(recipe.learning_rate * share**power)
    assert bool(note) == (share != 1)
    if note:
        assert f"batches of {found.batch_size} instead of {recipe.batch_size}" in note
        assert f"learning rate {found.learning_rate:.3g} instead of" in note
    kept, note = with_enough_updates(recipe, images, 1, scale_rate=False)
    assert (kept.batch_size, kept.learning_rate) == (found.batch_size, recipe.learning_rate)
    assert "learning rate" not in note


def test_many_images_and_mnist5k_keep_the_recipes_batch():
    assert with_enough_updates(Recipe(), 3_500, 1) == (Recipe(), "")
    assert with_enough_updates(papers.RESNET, 1_281_167, 8) == (papers.RESNET, "")
    assert with_enough_updates(Recipe(), 100, 16)[0].batch_size == 16, "each replica has an image"
    assert with_enough_updates(Recipe(batch_size=32, accumulation=4), 700, 1)[0].batch_size == 8


def test_only_a_batch_that_nobody_has_chosen_follows_the_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), "uint8")
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(60) % 2)
    console = Console(file=io.StringIO(), width=300)

    class Stop(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise KeyboardInterrupt

    def batch(name, **options):
        with pytest.raises(KeyboardInterrupt):
            trainer.train(
                "lenet5",
                f"npz:{tmp_path / 'a.npz'}",
                arguments={"widths": (2, 4), "hidden": (8,)},
                run=tmp_path / name,
                console=console,
                callbacks=[Stop()],
                **options,
            )
        return Run.open(tmp_path / name).config.recipe.batch_size

    assert batch("own") == 8
    assert "instead of 128" in console.file.getvalue()
    assert batch("given", batch_size=32) == 32
    assert "--batch-size 8" in console.file.getvalue(), "what to do is said"
    assert batch("recipe", recipe=Recipe(batch_size=16)) == 16
    assert batch("auto", recipe=Recipe(batch_size=16), batch_size="auto") == 8
