import importlib
import math
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from experiments import coloured_digits, gradients, run, towers

import kerascnn
from kerascnn.commands.options import parse_network
from kerascnn.recipes import book
from kerascnn.runs.run import Run

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = {
    path.name: experiment
    for path in sorted(HERE.glob("*.toml"))
    if "runs" in (experiment := tomllib.loads(path.read_text(encoding="utf-8")))
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_names_real_networks_arguments_and_recipes(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    experiment = FILES[name]
    for row in run.rows(experiment, Path("runs")):
        shape = next(iter(run._values(row.options, "--input-shape")), None)
        network = parse_network(
            row.network, run._values(row.options, "--set"), input_shape=shape, classes=10
        )
        assert network.cost().params > 0
        chosen = next(iter(run._values(row.options, "--recipe")), None)
        recipe = book.choose(chosen, kerascnn.get(row.network))
        changed = book.override(recipe, book.settings(run._values(row.options, "--with")))
        assert changed.epochs > 1


@pytest.mark.parametrize("name", FILES)
def test_a_file_names_files_that_are_there(name):
    experiment = FILES[name]
    for key in ("picture", "look_picture"):
        assert key not in experiment or (HERE.parent / "pictures" / experiment[key]).is_file()
    if "make" in experiment:
        assert (ROOT / experiment["make"]).is_file()
    if "look" in experiment:
        assert callable(importlib.import_module(f"experiments.{experiment['look']}").report)


@pytest.mark.parametrize("name", FILES)
def test_each_run_of_a_file_has_a_directory_of_its_own(name):
    paths = [one.path for row in run.rows(FILES[name], Path("runs")) for one in row.runs]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_tried_with_one_seed_and_one_epoch_and_without_its_pictures(name):
    short = run.shortened(FILES[name])
    found = run.rows(short, Path("runs"))
    assert [row.network for row in found] == [entry["network"] for entry in FILES[name]["runs"]]
    assert all(len(row.runs) == 1 for row in found)
    assert all(book.settings(run._values(row.options, "--with"))["epochs"] == 1 for row in found)
    assert not [key for key in short if "picture" in key]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.8, 0.3, 0.2], 2.0),  # half of the way between the middles of epochs 2 and 3
        ([0.8, 0.25], 1.5),
        ([0.5, 0.25, 0.9, 0.1], 1.5),  # the first time counts
        ([0.1], 0.5 * 0.75 / 0.9),  # from 1 at the start
        ([0.9, 0.26], math.inf),
    ],
)
def test_epochs_to_an_error_are_counted_in_parts_of_an_epoch(errors, expected):
    history = [{"epoch": number, "error": error} for number, error in enumerate(errors, 1)]
    assert run.epochs_to(history, 0.25) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 3.0, 2.0], "2.0 % (1.0 to 3.0)"),
        ([1.0, math.inf, 2.0], "2.0 % (1.0 to never)"),
        ([math.inf, math.inf], "never"),
    ],
)
def test_a_spread_says_what_was_never_reached(values, expected):
    assert run._spread(values, " %") == expected


@pytest.mark.parametrize(("axis", "names"), [(0, "brightness"), (1, "colour"), (2, "colour")])
def test_a_digit_differs_from_its_ground_in_brightness_or_in_colour_alone(axis, names, monkeypatch):
    monkeypatch.setattr(coloured_digits, "TEXTURE", 0)
    ink = np.zeros((1, 32, 32))
    ink[:, 8:24, 12:20] = 1
    direction = np.eye(3)[[axis]]
    image = coloured_digits.drawn(ink, direction, np.random.default_rng(0))[0].astype(float)
    ground, mark = image[0, 0], image[16, 16]
    assert np.abs(mark - ground).max() > 40
    if names == "brightness":
        assert len(set(mark)) == len(set(ground)) == 1
    else:
        assert abs(mark.mean() - ground.mean()) <= 1  # of 255: pixels are whole numbers


def test_the_ground_varies_alike_in_brightness_and_in_colour():
    clouds = coloured_digits.texture(np.random.default_rng(0), 4)
    np.testing.assert_allclose(clouds.std(axis=(1, 2)), 1)
    np.testing.assert_allclose(clouds.mean(axis=(1, 2)), 0, atol=1e-9)
    np.testing.assert_allclose(
        coloured_digits.BASIS @ coloured_digits.BASIS.T, np.eye(3), atol=1e-6
    )


def test_the_colour_of_filters_is_what_their_brightness_leaves():
    grey = np.ones((5, 5, 3)) * np.arange(5)[:, None, None]
    red_against_green = np.zeros((5, 5, 3))
    red_against_green[..., 0], red_against_green[..., 1] = 1, -1
    red = np.zeros((5, 5, 3))
    red[..., 0] = 1
    kernel = np.stack([grey, red_against_green, red], axis=-1)
    np.testing.assert_allclose(towers.colour_share(kernel), [0, 1, 2 / 3], atol=1e-12)


def test_chance_is_the_share_of_random_halves_that_differ_as_much():
    # Of the 70 ways to take 4 of 8, two part them like this.
    apart = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
    assert towers.chance(apart) == pytest.approx(2 / 70, abs=0.006)
    assert towers.chance(np.array([0.0, 1, 0, 1, 0, 1, 0, 1])) == 1


@pytest.fixture(scope="module")
def two_towers():
    """A tiny AlexNet with weights that leave no map at zero, and images."""
    keras.utils.set_random_seed(0)
    model = kerascnn.create(
        "alexnet",
        widths=(4, 4, 4, 4, 4),
        hidden=(8, 8),
        stem_kernel=3,
        stem_stride=1,
        norm="batch",
        input_shape=(32, 32, 3),
        classes=3,
    )
    return model, np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype("float32")


def test_the_whole_network_answers_as_the_model_does(two_towers):
    model, images = two_towers
    np.testing.assert_allclose(towers.answers(model, images), model(images), atol=1e-6)


def test_a_tower_alone_answers_as_the_network_does_where_the_other_says_nothing(two_towers):
    model, images = two_towers
    norm = model.get_layer("conv2_bn")
    before = norm.beta.numpy()
    norm.beta.assign([0, 0, -1e3, -1e3])  # ReLU makes zeros of the second tower's maps
    try:
        np.testing.assert_allclose(towers.answers(model, images, 0), model(images), atol=1e-6)
        blind = towers.answers(model, images, 1)
        np.testing.assert_allclose(blind - blind[:1], 0, atol=1e-6)  # of no image it sees anything
    finally:
        norm.beta.assign(before)


@pytest.mark.slow
def test_the_first_weights_are_those_that_the_run_started_from(tmp_path):
    recipe = book.override(
        book.own(kerascnn.get("lenet5")), {"learning_rate": 1e-30, "batch_size": 500}
    )
    kerascnn.train(
        "lenet5",
        data="mnist5k",
        recipe=book.override(recipe, {"epochs": 1, "weight_decay": 0.0}),
        seed=3,
        run=tmp_path / "run",
    )
    trained = Run(tmp_path / "run")
    for found, expected in zip(gradients.first_model(trained).weights, trained.model().weights):
        np.testing.assert_allclose(found, expected, atol=1e-12, err_msg=found.path)
