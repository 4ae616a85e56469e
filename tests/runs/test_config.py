"""A run's config.json: one object, read and written in one place, whoever's and however old."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import kerascnn
from kerascnn.card import Preprocessing
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, RunError
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.runs import config as config_
from kerascnn.runs.config import RunConfig, StartedFrom, Trained, TrainedOn, plain
from kerascnn.runs.run import Run
from kerascnn.space import Space
from kerascnn.training import trainer

STORED = Path(__file__).parent / "configs"
NOW = RunConfig(
    kerascnn_run=1,
    name="lenet5",
    architecture=Trained(name="lenet5", arguments={"widths": (2, 4), "pool": "max"}),
    input_shape=(28, 28, 1),
    classes=2,
    class_names=("é", "b"),
    preprocessing=Preprocessing(mean=(0.5,)),
    data=TrainedOn(source="npz:a.npz", fingerprint="0" * 64, image_shape=(32, 32, 1)),
    recipe=Recipe(augmentation=Augmentation(area=(0.1, 1.0)), steps=((1, 0.1),)),
    weights=StartedFrom(source="imagenet"),
    strategy="mirrored:2",
    precision="float32",
    seed=3,
    created="2026-11-26T12:00:00",
)


def test_what_is_written_is_read_again(tmp_path):
    NOW.write(tmp_path)
    assert RunConfig.read(tmp_path) == NOW


def test_a_network_of_colours_is_trained_on_gray_images(tmp_path):
    """Such as googlenet on mnist5k: the means of its three colours are averaged."""
    colours = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))
    gray = replace(NOW, preprocessing=colours)
    gray.write(tmp_path)
    assert RunConfig.read(tmp_path) == gray
    with pytest.raises(ArgumentError, match=r"preprocessing.mean must be 1 or 3 numbers"):
        replace(NOW, preprocessing=Preprocessing(mean=(0.4, 0.5)))


@pytest.mark.parametrize("name", ["oldest", "2026-11"])
def test_older_runs_open(name, tmp_path):
    shutil.copy(STORED / f"{name}.json", tmp_path / "config.json")
    stored = json.loads((STORED / f"{name}.json").read_text())
    config = Run.open(tmp_path).config
    assert config.name == stored["name"]
    assert config.canvas == (32, 32, stored["input_shape"][2])
    assert config.recipe.epochs == stored["recipe"]["epochs"]
    written = plain(config)
    for values, kept in ((stored, written), (stored["data"], written["data"])):
        for key in values.keys() - {"data", "recipe"}:
            assert kept[key] == values[key], key


def test_what_older_runs_lack_has_a_default(tmp_path):
    shutil.copy(STORED / "oldest.json", tmp_path / "config.json")
    config = RunConfig.read(tmp_path)
    assert config.named_classes == ("0", "1", "2")
    assert config.canvas == config.input_shape == (32, 32, 3)
    assert (config.weights, config.jit, config.data.split_rule) == (None, None, None)
    assert not config.data.skip_corrupt
    assert config.architecture.arguments == {"widths": (4, 8, 16), "stem_width": 4}
    assert config.recipe.augmentation == Augmentation(shift=0.125, flip=True)
    assert config.recipe.keep == "last"


def test_a_run_is_read_once(tmp_path):
    NOW.write(tmp_path)
    run = Run.open(tmp_path)
    assert run.config is run.config


@pytest.mark.parametrize("strategy", ["mirrored:9999999", "mirrored:0", "mirrored:²", "horovod"])
def test_a_strategy_that_nothing_can_have_is_refused_on_reading(strategy, tmp_path):
    NOW.write(tmp_path)
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace("mirrored:2", strategy))
    with pytest.raises(RunError, match=r"config\.json is damaged: strategy"):
        RunConfig.read(tmp_path)


def test_a_recipe_has_the_types_that_its_file_has():
    recipe = Recipe(warmup_epochs=1, steps=[[2, 1]], augmentation=Augmentation(rotation=15))
    values = json.loads(json.dumps(plain(recipe)))
    again = recipe_book.override(Recipe(), values)
    assert repr(again) == repr(recipe)
    assert isinstance(recipe.warmup_epochs, float)
    assert recipe.steps == ((2.0, 1.0),)
    with pytest.raises(kerascnn.errors.ArgumentError, match=r"epochs must be an integer.*'2'"):
        Recipe(epochs="2")


@pytest.fixture
def counts(monkeypatch):
    """How often what a run is made of is parsed or validated."""
    found = {"recipe": 0, "preprocessing": 0, "arguments": 0}

    def counted(owner, name, key, counts_if=lambda *a, **k: True):
        original = getattr(owner, name)

        def call(*arguments, **keywords):
            found[key] += counts_if(*arguments, **keywords)
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, call)

    counted(recipe_book, "override", "recipe")
    counted(config_, "_built", "preprocessing", lambda kind, *_: kind is Preprocessing)
    counted(Space, "validate", "arguments", lambda *_, owner: owner == "lenet5")
    return found


def small(path):
    return trainer.train(
        *("lenet5", "mnist5k"),
        arguments={"widths": (2, 2), "hidden": (4,)},
        recipe=Recipe(epochs=2, batch_size=700),
        run=path,
        console=Console(quiet=True),
    )


def test_training_parses_nothing_twice(counts, tmp_path):
    """What was given becomes objects at the door, and these are handed on."""
    kerascnn.get("lenet5")
    for key in counts:
        counts[key] = 0
    small(tmp_path / "run")
    assert counts == {"recipe": 0, "preprocessing": 0, "arguments": 1}


def test_the_command_checks_the_arguments_once(counts, tmp_path):
    """A mistake is told before TensorFlow is loaded; the training gets what was checked then."""
    kerascnn.get("lenet5")
    for key in counts:
        counts[key] = 0
    words = ["train", "lenet5", "--set", "widths=2,2", "--set", "hidden=4", "--epochs", "1"]
    words += ["--batch-size", "700", "--run", str(tmp_path / "run")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert counts == {"recipe": 1, "preprocessing": 0, "arguments": 1}


def test_a_run_that_goes_on_is_parsed_once(counts, tmp_path):
    run = small(tmp_path / "run")
    (run.path / "metrics.json").unlink()
    for key in counts:
        counts[key] = 0
    trainer.resume(run.path, console=Console(quiet=True))
    assert counts == {"recipe": 1, "preprocessing": 1, "arguments": 1}
