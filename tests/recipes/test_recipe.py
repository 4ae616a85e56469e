"""Recipes by name and from files, changed field by field; the papers' are what they say."""

import dataclasses
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from kerascnn import catalogue, registry
from kerascnn.errors import ArgumentError, BrokenPluginError, UnknownNameError
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes import papers
from kerascnn.recipes.recipe import Augmentation, Protocol, Recipe
from kerascnn.runs.config import plain


@pytest.mark.parametrize("name", recipe_book.names())
def test_each_recipe_survives_its_run(name):
    """config.json holds the resolved recipe; from it comes the same one again."""
    recipe = recipe_book.get(name)
    again = recipe_book.override(Recipe(), json.loads(json.dumps(plain(recipe))))
    assert again == recipe or name == "lenet5_1998"
    if name == "lenet5_1998":  # its loss comes back as the class itself
        assert dataclasses.replace(again, loss=recipe.loss) == recipe
    assert recipe.source


@pytest.mark.parametrize("name", recipe_book.names())
def test_what_a_recipe_says_of_itself_is_there(name):
    """Unstated fields are fields; the network is an architecture, and has the dropout it sets."""
    recipe = recipe_book.get(name)
    for path in recipe.unstated:
        value = recipe
        for field in path.split("."):
            assert hasattr(value, field), path
            value = getattr(value, field)
    if recipe.network:
        architecture = catalogue.get(recipe.network)
        assert recipe.dropout is None or "dropout" in architecture.space


STATED = json.loads((Path(__file__).parents[1] / "facts/recipes.json").read_text("utf-8"))
# Where `lr` doesn't begin with the rate: "decreased 4%", BN-x30 among others, and 400 iterations
# of warm-up, which are `steps` of the recipe.
RATE_ELSEWHERE = ("googlenet", "bn_inception", "nin_cifar10", "resnet_v2_cifar")
FLIP_OF_OURS = ("googlenet", "bn_inception")  # named in `unstated`

NOT_A_RECIPE = {"epochs": 3}


def test_papers_epochs_follow_from_their_iterations():
    """Iterations × batch / training images, each count from the paper."""
    assert round(120_000 * 128 / 50_000) == papers.NIN_CIFAR10.epochs
    assert papers.NIN_CIFAR10.steps[0][0] == 100_000 * 128 / 50_000
    assert round(450_000 * 64 / papers.ILSVRC_IMAGES) == papers.NIN.epochs
    assert round(200_000 * 64 / papers.ILSVRC_IMAGES) == papers.NIN.every
    assert round(370_000 * 256 / papers.ILSVRC_IMAGES) == papers.VGG.epochs
    assert round(600_000 * 256 / papers.ILSVRC_IMAGES) == papers.RESNET.epochs
    assert round(64_000 * 128 / 45_000) == papers.RESNET_CIFAR.epochs
    assert papers.RESNET_CIFAR.steps[0][0] == pytest.approx(32_000 * 128 / 45_000, abs=0.1)
    assert papers.RESNET_CIFAR.steps[1][0] == pytest.approx(48_000 * 128 / 45_000, abs=0.1)
    assert papers.RESNET_V2_CIFAR.steps[1][0] == pytest.approx(400 * 128 / 45_000, abs=0.01)
    assert papers.DENSENET_CIFAR.steps == ((150, 0.1), (225, 0.01))


def first_number(text):
    """The first number in what a source states: 0.01 of "1e-2, divided by 10 three times"."""
    found = re.search(r"\d+(\.\d+)?(e-?\d+)?", str(text))
    return float(found.group()) if found else None


@pytest.mark.parametrize("name", sorted(STATED))
def test_a_papers_recipe_has_the_numbers_that_its_sources_state(name):
    """Each number of tests/facts/recipes.json, and nothing stated that no source has."""
    recipe, stated = recipe_book.get(name), STATED[name]
    for field in ("batch_size", "momentum", "weight_decay", "epochs"):
        if isinstance(value := stated.get(field), int | float):
            assert getattr(recipe, field) == value, field
        elif field in stated and value is None and "bvlc_solver" not in stated:
            assert field in recipe.unstated or getattr(recipe, field) == 0, field
    if "lr" in stated and name not in RATE_ELSEWHERE:
        assert recipe.learning_rate == first_number(stated["lr"])
    assert recipe.nesterov == ("Nesterov" in stated.get("optimizer", ""))
    assert (recipe.schedule == "plateau") == bool(
        re.search("plateau|stalls", stated.get("lr", "")) and name != "nin_cifar10"
    )
    if isinstance(dropout := first_number(stated.get("dropout")), float) and recipe.dropout:
        assert recipe.dropout == dropout
    if augmentation := stated.get("augmentation"):
        assert recipe.augmentation.flip == bool(
            re.search("flip|mirror|fb.resnet", augmentation) or name in FLIP_OF_OURS
        )
        assert bool(recipe.augmentation.lighting) == bool(
            re.search("PCA|colour|fb.resnet", augmentation)
        )
    if "10 patches" in stated.get("test", "") or "10-crop" in stated.get("test", ""):
        assert recipe.evaluation.views == "10-crop" or "10-crop" in " ".join(recipe.notes)
    if solver := stated.get("bvlc_solver"):  # GoogLeNet's paper has neither
        assert (recipe.batch_size, recipe.weight_decay) == (
            solver["batch_size"],
            solver["weight_decay"],
        )
        assert recipe.learning_rate == first_number(solver["lr"])


def test_lenets_rates_are_the_papers_in_every_pass():
    """5e-4 for two passes, 2e-4 for three, 1e-4 for three, 5e-5 for four, then 1e-5."""
    factors = [1.0] * 20
    for epoch, factor in papers.LENET5_1998.steps:
        factors[int(epoch) :] = [factor] * (20 - int(epoch))
    stated = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    assert [round(factor * 5e-4, 9) for factor in factors] == stated


def test_names_are_found_without_keras():
    """`kerascnn recipes` must answer at once."""
    code = (
        "import sys; from kerascnn.recipes import book as b; "
        "[b.get(n) for n in b.names()]; print('keras' in sys.modules, 'tensorflow' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_another_packages_recipe_is_found_like_ours(monkeypatch):
    def entry(name, value):
        point = metadata.EntryPoint(name, f"{__name__}:{value}", registry.RECIPES)
        return (registry.Entry(name, point.value, "theirs", "1", point),)

    offered = {"theirs": entry("theirs", "THEIRS"), "wrong": entry("wrong", "NOT_A_RECIPE")}
    stock = registry._installed
    monkeypatch.setattr(
        registry,
        "_installed",
        lambda group: stock(group) | (offered if group == registry.RECIPES else {}),
    )
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    assert recipe_book.get("theirs") == THEIRS
    assert "theirs" in recipe_book.names()
    with pytest.raises(BrokenPluginError, match=r"'wrong'.* must be a kerascnn Recipe"):
        recipe_book.get("wrong")


THEIRS = Recipe(epochs=3)


def test_a_misspelt_name_suggests_the_right_one():
    with pytest.raises(UnknownNameError, match=r"Did you mean .*alexnet.*\.toml or \.json"):
        recipe_book.find("alexnt")


def test_a_file_changes_fields_of_its_base(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "alexnet"\nepochs = 3\n[augmentation]\nlighting = 0\n')
    found = recipe_book.find(str(path))
    assert found.epochs == 3
    assert found.augmentation == dataclasses.replace(papers.ALEXNET.augmentation, lighting=0.0)
    assert found.initialization == papers.ALEXNET.initialization
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"schedule": "step", "steps": [[3, 0.1]], "dropout": None}))
    assert recipe_book.find(str(path)) == Recipe(schedule="step", steps=((3.0, 0.1),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "can't be read"),
        ("epoch = 3", r"mine.toml: A recipe has no field 'epoch'. Did you mean epochs"),
        ('epochs = "3"', "epochs must be an integer. Received: '3'"),
        ("epochs = true", "epochs must be an integer. Received: True"),
        ("[augmentation]\nflop = true", "no field 'augmentation.flop'. Did you mean .*flip"),
        ("augmentation = 3", "augmentation has fields of its own: .*augmentation.flip"),
        ("[augmentation]\nresize = 2.0", "resize must be 2 values, each a number or none"),
        ("flip = true", "Did you mean augmentation.flip"),
        ('views = "dense"', "Did you mean evaluation.views"),
        ('optimizer = "sdg"', "optimizer must be one of sgd, adam, adamw. Received: 'sdg'"),
    ],
)
def test_errors_of_a_file_name_the_field(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=message):
        recipe_book.find(str(path))


def test_assignments_reach_every_kind_of_field():
    changes = recipe_book.settings(
        [
            "nesterov=true",
            "learning_rate=1",
            "dropout=none",
            "augmentation.flip=True",
            "augmentation.resize=1.1,2",
            "evaluation.views=10-crop",
            "evaluation.resize=1.5",
            "steps=[[30, 0.1], [60, 0.01]]",
            'initialization=(("*/kernel", "he_normal"),)',
            "loss=package.module:Loss",
            "source=found by trial, today",
        ]
    )
    del changes["source"]
    found = recipe_book.override(
        dataclasses.replace(papers.ALEXNET, schedule="step", steps=((1, 1),)), changes
    )
    assert found.nesterov is True
    assert found.learning_rate == 1.0
    assert isinstance(found.learning_rate, float)
    assert found.dropout is None
    assert found.augmentation.resize == (1.1, 2.0)
    assert found.evaluation == Protocol(views="10-crop", resize=(1.5,))
    assert found.steps == ((30.0, 0.1), (60.0, 0.01))
    assert found.initialization == (("*/kernel", "he_normal"),)
    assert found.loss == "package.module:Loss"
    assert found.weight_decay == papers.ALEXNET.weight_decay


@pytest.mark.parametrize("text", ["epochs", "=3", "epochs="])
def test_assignments_need_a_field_and_a_value(text):
    with pytest.raises(ArgumentError, match="--with must be field=value"):
        recipe_book.settings([text])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "step"}, "steps must be given"),
        ({"steps": ((3, 1), (1, 2))}, "rising order"),
        ({"ema": 1.0}, "ema must be from 0"),
        ({"clip_norm": 0.0}, "clip_norm must be positive"),
        ({"decay": "L2"}, "decay must be one of decoupled, l2"),
    ],
)
def test_illegal_recipes_are_refused_where_they_are_made(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Recipe(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"canvas": 0.5}, "canvas must be at least 1"),
        ({"area": (0.0, 1.0)}, "area must be two rising numbers above 0"),
        ({"area": (0.5, 1.1)}, "area must be at most 1"),
        ({"resize": (0.5, 1.0)}, "resize must be two rising numbers from 1"),
        ({"pad": -1.0}, "pad must be 0 or more"),
    ],
)
def test_illegal_augmentations_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Augmentation(**arguments)


def test_alexnets_canvas_is_256_at_224_and_in_proportion_elsewhere():
    assert papers.ALEXNET.augmentation.canvas_shape((224, 224, 3)) == (256, 256, 3)
    assert papers.ALEXNET.augmentation.canvas_shape((64, 32, 1)) == (73, 37, 1)


def test_a_search_changes_the_strength_but_not_the_kind():
    recipe = papers.GOOGLENET.changed({"augmentation": 0.5, "learning_rate": 0.02})
    assert recipe.augmentation.area == (0.54, 1.0)
    assert recipe.augmentation.brightness == 0.2
    assert recipe.augmentation.flip
    assert recipe.augmentation.canvas == papers.GOOGLENET.augmentation.canvas
    assert recipe.schedule == "exponential"
