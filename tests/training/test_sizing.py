"""Few images get small batches and enough updates, unless somebody has said otherwise."""

import io
from dataclasses import replace

import keras
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from kerascnn import create
from kerascnn.cli import app
from kerascnn.recipes import papers
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.run import Run
from kerascnn.training import trainer
from kerascnn.training.sizing import ALL_IMAGES, ALL_UPDATES, MOST_TIMES, Free, sized

BATCH_ALONE = Free(epochs=False)
ARGUMENTS = {"widths": (2, 4), "hidden": (8,)}


@pytest.mark.parametrize("images", [42, 126, 700, 1400, 4200])
@pytest.mark.parametrize("recipe", [papers.RESNET, papers.ALEXNET, Recipe(), papers.FINETUNE])
def test_a_few_photos_get_a_batch_with_which_an_epoch_has_some_tens_of_updates(recipe, images):
    """Or the smallest; and it is never halved once too often."""
    found, notes = sized(recipe, images, 1, BATCH_ALONE)
    updates = images // found.batch_size
    assert updates >= 20 or found.batch_size == 8
    share = found.batch_size / recipe.batch_size
    assert share == 1 or images // (2 * found.batch_size) < 20
    power = 1.0 if recipe.optimizer == "sgd" else 0.5
    assert found.learning_rate == pytest.approx(recipe.learning_rate * share**power)
    assert bool(notes) == (share != 1)
    if notes:
        assert f"batches of {found.batch_size} instead of {recipe.batch_size}" in notes[0]
        assert f"learning rate {found.learning_rate:.3g} instead of" in notes[0]
    kept, notes = sized(recipe, images, 1, replace(BATCH_ALONE, rate=False))
    assert (kept.batch_size, kept.learning_rate) == (found.batch_size, recipe.learning_rate)
    assert "learning rate" not in "".join(notes)


def test_many_images_and_mnist5k_keep_the_recipes_batch_and_epochs():
    assert sized(Recipe(), 3_500, 1) == (Recipe(), ())
    assert sized(papers.RESNET, 1_281_167, 8) == (papers.RESNET, ())
    assert sized(Recipe(), 100, 16)[0].batch_size == 16, "each replica has an image"
    assert sized(Recipe(batch_size=32, accumulation=4), 700, 1)[0].batch_size == 8


def test_replicas_share_the_batch_that_is_chosen_equally():
    for replicas in range(1, 9):
        assert sized(Recipe(), 210, replicas)[0].batch_size % replicas == 0


@pytest.mark.parametrize("images", [16, 42, 210, 700, 2100, 4200])
@pytest.mark.parametrize("recipe", [Recipe(), papers.FINETUNE, Recipe(accumulation=2)])
def test_a_training_has_some_hundred_updates(recipe, images):
    found, notes = sized(recipe, images, 1)
    each = images // min(images, found.batch_size * found.accumulation)
    enough = [
        epochs * each >= ALL_UPDATES and epochs * images >= ALL_IMAGES
        for epochs in (found.epochs, found.epochs - 1)
    ]
    assert enough[0] or found.epochs == MOST_TIMES * recipe.epochs
    assert found.epochs == recipe.epochs or not enough[1]
    longer = found.epochs != recipe.epochs
    assert longer == any(f"{found.epochs} epochs instead of {recipe.epochs}" in n for n in notes)
    fixed, _ = sized(recipe, images, 1, Free(epochs=False))
    assert fixed.epochs == recipe.epochs


def test_all_that_is_counted_in_epochs_is_stretched_with_them():
    recipe = Recipe(
        schedule="step",
        steps=((2, 0.5), (4, 0.1)),
        batch_size=8,
        epochs=10,
        every=2.0,
        patience=3,
        warmup_epochs=0.5,
        freeze_epochs=2,
        thaw_epochs=1,
        early_stopping=4,
    )
    found, _ = sized(recipe, 160, 1)  # 20 updates each
    assert found == replace(
        recipe,
        steps=((10, 0.5), (20, 0.1)),
        epochs=50,
        every=10.0,
        patience=15,
        warmup_epochs=2.5,
        freeze_epochs=10,
        thaw_epochs=5,
    )


@pytest.fixture(scope="module")
def sixty(tmp_path_factory):
    """60 images of two classes, 49 of them to train on."""
    path = tmp_path_factory.mktemp("data") / "sixty.npz"
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), "uint8")
    np.savez(path, images=images, labels=np.arange(60) % 2)
    return f"npz:{path}"


class Stop(keras.callbacks.Callback):
    """Ends a training before its first update."""

    def on_train_begin(self, logs=None):
        raise KeyboardInterrupt


def test_only_what_nobody_has_chosen_follows_the_images(sixty, tmp_path):
    console = Console(file=io.StringIO(), width=300)

    def chosen(name, **options):
        with pytest.raises(KeyboardInterrupt):
            trainer.train(
                "lenet5",
                sixty,
                arguments=ARGUMENTS,
                run=tmp_path / name,
                console=console,
                callbacks=[Stop()],
                **options,
            )
        return Run.open(tmp_path / name).config

    short = Recipe(batch_size=16, epochs=20)
    found = chosen("auto", recipe=short, batch_size="auto", epochs="auto")
    assert (found.recipe.batch_size, found.recipe.epochs) == (8, 164)
    assert [note.rpartition(". (")[0] for note in found.chosen] == [
        "49 training images: batches of 8 instead of 16, so that an epoch has 6 updates; learning "
        "rate 0.000707 instead of 0.001",
        "49 training images: 164 epochs instead of 20, which are 984 updates instead of 120",
    ], "the run's files say what was chosen, and why"
    assert all(note in console.file.getvalue() for note in found.chosen), "and so does training"

    found = chosen("own")
    assert (found.recipe.batch_size, found.recipe.epochs) == (8, 164)
    found = chosen("given", batch_size=32, epochs=3)
    assert (found.recipe.batch_size, found.recipe.epochs, found.chosen) == (32, 3, ())
    assert "--batch-size 8" in console.file.getvalue(), "what to do is said"
    assert chosen("recipe", recipe=short).recipe == replace(short, monitor="val_error")


@pytest.mark.parametrize(
    ("options", "batch", "epochs"),
    [
        ((), "auto", "auto"),
        (("--recipe", "modern"), "auto", "auto"),
        (("--recipe", "paper"), None, None),
        (("--recipe", "mine.toml"), None, None),
        (("--batch-size", "16", "--epochs", "7"), None, None),
        (("--with", "batch_size=16", "--with", "epochs=7"), None, None),
        (("--warmup-epochs", "2"), "auto", None),
        (("--patience", "5"), "auto", "auto"),
    ],
)
def test_a_papers_recipe_and_what_was_asked_for_stay(options, batch, epochs, tmp_path, monkeypatch):
    """Who states anything in epochs has said how long one is."""
    asked = {}

    def instead(network, data, **given):
        asked.update(given)
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('base = "modern"\n')
    monkeypatch.setattr(trainer, "train", instead)
    CliRunner().invoke(app, ["train", "alexnet", *options])
    assert (asked["batch_size"], asked["epochs"]) == (batch, epochs)


def test_trained_weights_are_finetuned_unless_another_recipe_is_asked_for(
    sixty, tmp_path, monkeypatch
):
    def started(name, **options):
        console = Console(file=io.StringIO(), width=300)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(
                "lenet5",
                sixty,
                arguments=ARGUMENTS,
                run=tmp_path / name,
                console=console,
                callbacks=[Stop()],
                weights=tmp_path / "first.weights.h5",
                **options,
            )
        return Run.open(tmp_path / name).config.recipe, console.file.getvalue()

    create("lenet5", classes=2, **ARGUMENTS).save_weights(tmp_path / "first.weights.h5")
    recipe, said = started("finetuned")
    assert recipe.name == "finetune"
    assert not recipe.augmentation.flip, "a network for digits"
    assert (recipe.batch_size, recipe.epochs, recipe.freeze_epochs) == (8, 120, 20)
    assert "Recipe: finetune, for trained weights. The network's own: --recipe small." in said
    recipe, said = started("other", recipe=Recipe(epochs=3))
    assert (recipe.name, recipe.epochs) == ("", 3)

    asked = {}

    def instead(network, data, **given):
        asked.update(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", instead)
    for options, name in (((), "finetune"), (("--recipe", "small"), "small")):
        CliRunner().invoke(app, ["train", "lenet5", "--weights", "imagenet", *options])
        assert asked["recipe"].name == name
