"""`kerascnn recipes`, and what `train` and `evaluate` make of recipes and protocols."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from kerascnn import catalogue, registry
from kerascnn.applications.lenet import LeNet5
from kerascnn.cli import app
from kerascnn.commands.evaluate import _lengths, _protocol
from kerascnn.commands.train import _recipe
from kerascnn.errors import ArgumentError, UnknownNameError
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes import papers
from kerascnn.recipes.recipe import Protocol, Recipe


def call(*arguments, width=200):
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], env={"COLUMNS": str(width)}
    )
    if result.exception:
        raise result.exception
    return result.stdout


def test_the_table_has_every_recipe_and_what_matters_of_it():
    shown = call("recipes")
    for name in recipe_book.names():
        assert f"\n{name} " in f"\n{shown}"
    line = next(line for line in shown.splitlines() if line.startswith("alexnet"))
    for word in ("SGD 0.9", "128", "90", "Krizhevsky et al., 2012"):
        assert word in line


def test_recipes_stand_below_what_their_networks_are_for(monkeypatch):
    counting = replace(catalogue.get("lenet5"), name="counts", task="counting")
    recipes = {"mine": Recipe(network="counts"), "lost": Recipe(network="nowhere")}
    added = {registry.ARCHITECTURES: {"counts": counting}, registry.RECIPES: recipes}
    monkeypatch.setattr(registry, "_added", added)
    lines = [line.rstrip() for line in call("recipes").splitlines()]
    theirs = ("for segmentation", "for detection")  # of plugins, where they are installed
    headings = [line for line in lines if line.startswith("for ") and line not in theirs]
    assert headings == [
        *("for classification", "for counting", "for a network that is missing", "for any network")
    ]
    for recipe, heading in (("alexnet", 0), ("mine", 1), ("lost", 2), ("modern", 3)):
        (at,) = (number for number, line in enumerate(lines) if line.startswith(f"{recipe} "))
        assert [line for line in lines[:at] if line in headings][-1] == headings[heading]
    assert "Task counting" in " ".join(call("recipes", "mine").split())
    own = call("recipes", "small", "--for", "lenet5")
    assert "Task classification" in " ".join(own.split())


def test_a_broken_recipe_warns_and_the_others_are_listed(monkeypatch):
    """One that has no such name in its module."""
    point = EntryPoint("bad", "kerascnn.recipes.papers:NOTHING", registry.RECIPES)
    entry = registry.Entry("bad", point.value, "some-plugin", "1.2", point)
    installed = registry._installed
    monkeypatch.setattr(
        registry,
        "_installed",
        lambda group: installed(group) | ({"bad": (entry,)} if group == registry.RECIPES else {}),
    )
    result = CliRunner().invoke(app, ["recipes"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "some-plugin 1.2 is broken" in result.stderr
    assert "\nalexnet " in result.stdout


def test_one_recipe_is_shown_whole_with_what_is_not_stated_and_the_papers_results():
    shown = call("recipes", "vgg")
    assert "patience, decay_on, augmentation.lighting: ours" in shown
    assert "dense at 3 scales, mirrored too" in shown
    assert "Published for vgg16" in shown
    assert "24.8/7.5" in shown
    assert "0.0005, added to the gradient, on kernels" in shown
    assert "Loss" not in shown
    assert re.search(r"Loss +CompetitiveLoss\b", call("recipes", "lenet5_1998"))
    assert call("recipes", "lenet5_1998").count("Levenberg-Marquardt") == 1


def test_json_can_be_used_as_a_file(tmp_path):
    """What `kerascnn recipes NAME --json` prints is a recipe file."""
    path = tmp_path / "copy.json"
    path.write_text(call("recipes", "alexnet", "--json"))
    assert recipe_book.find(str(path)) == papers.ALEXNET
    assert set(json.loads(call("recipes", "--json"))) == set(recipe_book.names())


def test_a_file_can_be_looked_at_before_it_is_used(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "alexnet"\nepochs = 7\n')
    assert "Epochs" in call("recipes", path)


def test_it_answers_without_tensorflow():
    code = (
        "import sys; sys.argv = ['kerascnn', 'recipes', 'alexnet', '--json']\n"
        "from kerascnn.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('tensorflow' in sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr.split()[-1] == "False"


def test_options_change_the_chosen_recipe():
    changes = {"epochs": 3, "dropout": None}
    found = _recipe(LeNet5, "alexnet", changes, ["augmentation.flip=false"])
    assert found.epochs == 3
    assert not found.augmentation.flip
    assert found.initialization == papers.ALEXNET.initialization
    assert found.name == "alexnet"
    own = _recipe(LeNet5, None, {}, [])
    assert own == replace(LeNet5.recipe, name="small") == _recipe(LeNet5, "small", {}, [])
    bare = LeNet5.variant("bare")
    object.__setattr__(bare, "recipe", None)
    assert _recipe(bare, None, {}, []) == Recipe(name="small")


@pytest.mark.parametrize(
    ("network", "recipe"),
    [
        ("alexnet", "alexnet"),
        ("vgg11", "vgg"),
        ("vgg16_bn", "vgg"),
        ("resnet18", "resnet"),
        ("resnet20_cifar", "resnet_cifar"),
        ("plain20_cifar", "resnet_cifar"),
        ("resnet101v2", "resnet_v2"),
        ("resnet1001v2_cifar", "resnet_v2_cifar"),
        ("densenet169", "densenet"),
        ("densenetbc100_k12_cifar", "densenet_cifar"),
        ("googlenet", "googlenet"),
        ("bn_inception", "bn_inception"),
        ("nin_cifar10", "nin_cifar10"),
        ("lenet5_1998", "lenet5_1998"),
    ],
)
def test_paper_means_the_recipe_of_the_networks_paper(network, recipe):
    found = recipe_book.choose("paper", catalogue.get(network))
    assert found == replace(recipe_book.get(recipe), name=recipe)
    assert found.source != catalogue.get(network).recipe.source


def test_networks_and_their_papers_recipes_name_each_other():
    for name in catalogue.list_architectures():
        if recipe := catalogue.get(name).paper_recipe:
            assert recipe in recipe_book.names()
    for name in recipe_book.names():
        if network := recipe_book.get(name).network:
            assert catalogue.get(network).paper_recipe == name


def test_a_variant_has_its_parents_paper_recipe_unless_its_card_is_of_another_paper_or_input():
    parent = catalogue.get("resnet18")
    assert recipe_book.choose("paper", parent.variant("mine", stem_width=32)).name == "resnet"
    for change in ({"link": "arXiv:0000.00000"}, {"input_shape": (32, 32, 3)}):
        card = replace(parent.card, **change)
        with pytest.raises(UnknownNameError, match="No recipe here is of the paper of mine"):
            recipe_book.choose("paper", parent.variant("mine", card=card))
        named = parent.variant("mine", card=card, paper_recipe="resnet_cifar")
        assert recipe_book.choose("paper", named).name == "resnet_cifar"


def test_a_network_whose_paper_has_no_recipe_here_says_so():
    """LeNet-5's paper trains another head, with a loss of its own."""
    with pytest.raises(UnknownNameError, match="No recipe here is of the paper of lenet5"):
        call("train", "lenet5", "--recipe", "paper")
    with pytest.raises(ArgumentError, match="kerascnn recipes small --for resnet18"):
        call("recipes", "small")


def test_what_paper_and_small_are_for_a_network_is_shown_under_the_name_that_training_prints():
    assert "SGD 0.9" in call("recipes", "paper", "--for", "resnet18")
    assert call("recipes", "paper", "--for", "vgg11").startswith("vgg\n  As published for vgg16")
    small = call("recipes", "small", "--for", "alexnet")
    assert small.startswith("small\n")
    assert "adamw" in small
    assert "--recipe paper" in call("recipes")
    assert json.loads(call("recipes", "--for", "alexnet", "--json"))["name"] == "small"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("patience=3", "patience belongs to the schedule plateau.*is cosine.*--patience"),
        ("steps=[[1, 0.1]]", "steps belongs to the schedule step"),
        ("every=2", "every belongs to the schedule exponential"),
    ],
)
def test_a_field_that_the_schedule_does_not_use_is_refused(assignment, message):
    with pytest.raises(ArgumentError, match=message):
        call("train", "lenet5", "--with", assignment)
    with pytest.raises(ArgumentError, match=r"given twice.*--patience and --with early_stopping="):
        call("train", "lenet5", "--patience", 3, "--with", "early_stopping=3")
    with pytest.raises(ArgumentError, match="compared by is given twice"):
        call("train", "lenet5", "--keep", "best:loss", "--with", "monitor=error")


def test_what_decides_which_images_count_reaches_the_recipe():
    found = _recipe(
        LeNet5, None, {"keep": "best:val_loss", "early_stopping": 4, "class_weight": (1, 2)}, []
    )
    assert (found.keep, found.monitor, found.early_stopping) == ("best", "val_loss", 4)
    assert found.class_weight == (1.0, 2.0)
    assert _recipe(LeNet5, None, {}, ["class_weight=balanced"]).class_weight == "balanced"


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (("--recipe", "alexnt"), UnknownNameError, "Did you mean .*alexnet"),
        (("--with", "flip=true"), ArgumentError, "Did you mean augmentation.flip"),
        (("--with", "epochs=1", "--epochs", 2), ArgumentError, "epochs is given twice"),
        (("--ema", 1.5), ArgumentError, "ema must be from 0"),
        (("--recipe", "no.toml"), ArgumentError, r"no.toml can't be read"),
    ],
)
def test_wrong_options_are_answered_before_anything_is_loaded(options, kind, message):
    with pytest.raises(kind, match=message):
        call("train", "lenet5", *options)


def test_pixels_become_units_of_the_networks_input():
    assert _lengths("256, 512", 224) == (256 / 224, 512 / 224)
    with pytest.raises(ArgumentError, match="at least the network's 224"):
        _lengths("200", 224)


def test_options_of_evaluation_change_the_named_protocol():
    """GoogLeNet's crops come with its scales, whatever the scales of the protocol they replace."""
    run = SimpleNamespace(config=SimpleNamespace(input_shape=(56, 56, 3), recipe=papers.VGG))
    assert _protocol(run, "run", None, None, None) == papers.VGG.evaluation
    for name in ("run", None, "resnet"):
        found = _protocol(run, name, "144-crop", None, None)
        assert found.resize == papers.GOOGLENET.evaluation.resize
    assert _protocol(run, "vgg", "50-crop", None, None).resize == papers.VGG.evaluation.resize
    assert _protocol(run, "vgg", None, "64,84", False) == Protocol(
        views="dense", resize=(64 / 56, 84 / 56)
    )
