"""How features came about, against all activations of the models that a run has kept."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers
from rich.console import Console

import kerascnn
from kerascnn import explain
from kerascnn.errors import ArgumentError, RunError
from kerascnn.pictures import GRID, pixels
from kerascnn.recipes.recipe import Recipe

KEPT = (0, 1, 2)
IMAGES = 30
LAST = 119  # number of the last training image


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Random images, of which a network learns something in any case."""
    rng = np.random.default_rng(0)
    parts = {}
    for name, count in (("train", LAST + 1), ("val", 20), ("test", 20)):
        parts[f"{name}_images"] = rng.integers(0, 256, (count, 12, 12, 1), "uint8")
        parts[f"{name}_labels"] = rng.permutation(np.arange(count) % 3)
    path = tmp_path_factory.mktemp("evolving") / "random.npz"
    np.savez(path, **parts)
    return path


@pytest.fixture(scope="module")
def run(file):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12, 12, 1))
    x = layers.Conv2D(12, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(5, 3, activation="relu", name="conv2")(x)
    outputs = layers.Dense(3, name="logits")(layers.Flatten()(x))
    return kerascnn.train(
        keras.Model(inputs, outputs),
        f"npz:{file}",
        recipe=Recipe(epochs=2, batch_size=40, learning_rate=0.05),
        keep_epochs=KEPT,
        record=False,
        run=file.parent / "run",
        console=Console(quiet=True),
    )


@pytest.fixture(scope="module")
def found(run):
    return explain.evolution(run, "conv2", images=IMAGES)


@pytest.fixture(scope="module")
def looked_at(run, file):
    """Evenly spaced training images: pixels, what the network takes of them, their numbers."""
    numbers = np.linspace(0, LAST, IMAGES).round().astype(int)
    seen = np.load(file)["train_images"][numbers]
    scaling = run.config.preprocessing
    return seen, (seen * scaling.scale - scaling.mean[0]) / scaling.std[0], numbers


def test_the_strongest_of_each_epoch_are_those_of_all_activations(run, found, looked_at):
    assert found.epochs.tolist() == list(KEPT)
    assert found.images == IMAGES
    for row, epoch in enumerate(KEPT):
        model = run.model(epoch=epoch)
        maps = kerascnn.feature_extractor(model, "conv2").predict(looked_at[1], verbose=0)
        strongest = maps.max(axis=(1, 2))
        np.testing.assert_allclose(found.values[row], strongest.max(axis=0), rtol=1e-4)
        images = strongest.argmax(axis=0)
        np.testing.assert_array_equal(found.index[row], looked_at[2][images])
        for channel, image in enumerate(images):
            unit = np.unravel_index(maps[image, ..., channel].argmax(), maps.shape[1:3])
            assert tuple(found.position[row, channel]) == unit
    assert len({tuple(row) for row in found.values.tolist()}) == 3, "the epochs differ"


def test_patches_and_projections_are_what_lies_in_the_box(run, found, looked_at):
    for row, epoch in enumerate(KEPT):
        for slot, channel in enumerate(found.channels):
            top, left, bottom, right = found.box[row, channel]
            assert (bottom - top, right - left) == found.field.size == (8, 8)
            image = int(np.flatnonzero(looked_at[2] == found.index[row, channel])[0])
            patch = looked_at[0][image, top:bottom, left:right]
            np.testing.assert_array_equal(found.patches[row][slot], patch)
            target = ("conv2", int(channel))
            inputs = looked_at[1][image][None]
            whole = explain.deconvnet(run.model(epoch=epoch), inputs, target)[0]
            expected = whole[top:bottom, left:right]
            near = {"rtol": 1e-3, "atol": 1e-5 * np.abs(expected).max()}
            np.testing.assert_allclose(found.projections[row][slot], expected, **near)


def test_of_many_maps_some_are_shown_unless_one_says_which(run):
    steps = []
    options = {"images": 5, "report": lambda done, whole: steps.append((done, whole))}
    some = explain.evolution(run.path, "conv1", epochs=[2, 0], **options)
    assert steps == [(5, 10), (10, 10)]
    assert some.epochs.tolist() == [0, 2]
    assert some.channels.tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
    assert some.values.shape == (2, 12)
    one = explain.evolution(run, "conv1", epochs=[1], channels=[7], images=5)
    assert (one.channels.tolist(), len(one.patches), len(one.patches[0])) == ([7], 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": [1, 5]}, r"has kept: 0, 1, 2\. Received: \[1, 5\]"),
        ({"epochs": []}, r"Received: \[\]"),
        ({"images": 0}, "images must be a whole number, at least 1"),
        ({"channels": [5]}, "from 0 to 4"),
        ({"method": "magic"}, "method must be one of"),
    ],
)
def test_what_cannot_be_is_refused_in_one_message(run, options, message):
    with pytest.raises(ArgumentError, match=message):
        explain.evolution(run, "conv2", **{"images": 3, **options})


def test_a_run_without_kept_epochs_is_told_how_to_keep_them(tmp_path):
    (tmp_path / "config.json").touch()
    with pytest.raises(RunError, match=r"has kept no epochs\. Train with `--keep-epochs"):
        explain.evolution(tmp_path, "conv2")


# --- The picture ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    """Map 2 is excited by one image, then by another; map 0 doesn't fire at first; map 4 never."""
    values = np.array([[0, 1, 2, 1, 0], [5, 1, 4, 1, 0], [10, 1, 4, 1, 0]], "float32")
    index = np.array([[0, 0, 6, 0, 0], [0, 0, 6, 0, 0], [0, 0, 7, 0, 0]])
    patches = tuple((np.full((4, 4, 1), 255, "uint8"),) * 3 for _ in range(3))
    return explain.Evolution(
        layer="conv2",
        method="deconvnet",
        epochs=np.array([0, 1, 40]),
        images=1000,
        values=values,
        index=index,
        position=np.zeros((3, 5, 2), "int64"),
        box=np.zeros((3, 5, 4), "int64"),
        field=None,
        channels=np.array([0, 2, 4]),
        patches=patches,
        projections=tuple((np.ones((4, 4, 1), "float32"),) * 3 for _ in range(3)),
    )


def texts(figure):
    return [text.get_text() for text in [*figure.texts, *figure.axes[0].texts]]


def test_a_sheet_names_maps_and_epochs_and_how_strong_they_are(made):
    title, what, *maps = texts(explain.evolution_sheet(made))
    assert title == "conv2: 3 of 5 feature maps over the epochs"
    assert what == "strongest patch of 1,000 images; below: projected by deconvnet"
    assert maps == [
        *("map 0", "max 10", "start", "–", "1", "50%", "40", "100%"),
        *("map 2", "max 4", "start", "50%", "1", "100%", "40", "100%"),
        *("map 4", "never fires", "start", "–", "1", "–", "40", "–"),
    ]


def test_a_bar_joins_epochs_whose_strongest_image_is_the_same(made):
    lines = explain.evolution_sheet(made, columns=1).axes[0].lines
    assert len(lines) == 2  # map 0 from epoch 1 to 40, map 2 from the start to epoch 1
    first, second = (line.get_xdata() for line in lines)
    assert first[0] > second[0]


def test_where_a_map_does_not_fire_the_place_is_empty(made):
    empty = [int(GRID[place : place + 2], 16) for place in (1, 3, 5)]
    images = explain.evolution_sheet(made).axes[0].images
    marks = [image.get_array()[48, 48].tolist() == empty for image in images]
    assert marks == [True] * 2 + [False] * 10 + [True] * 6


def test_no_text_leaves_the_sheet(made):
    guided = dataclasses.replace(made, method="guided_backprop")  # the longest words
    for found, columns in ((made, 1), (guided, 1), (made, 2), (made, 5)):
        figure = explain.evolution_sheet(found, columns=columns)
        pixels(figure)  # draws it
        for text in [*figure.texts, *figure.axes[0].texts]:
            box = text.get_window_extent()
            assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1, text.get_text()
            assert 0 <= box.y0 <= box.y1 <= figure.bbox.y1, text.get_text()
    with pytest.raises(ArgumentError, match=r"columns must be .* Received: 0"):
        explain.evolution_sheet(made, columns=0)
