"""With --explain a run gets pictures of what its last layers respond to; TensorBoard shows them."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from rich.console import Console
from tiny import TinyResNet, TinyVGG

import kerascnn
from kerascnn.applications.lenet import LeNet5
from kerascnn.recipes.recipe import Recipe
from kerascnn.training.sheets import amounts, last_layers

RECIPE = Recipe(epochs=2, batch_size=40, learning_rate=0.01)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Random images, of which a network learns something in any case."""
    rng = np.random.default_rng(0)
    parts = {}
    for name, count in (("train", 120), ("val", 40), ("test", 20)):
        parts[f"{name}_images"] = rng.integers(0, 256, (count, 12, 12, 1), "uint8")
        parts[f"{name}_labels"] = rng.permutation(np.arange(count) % 3)
    path = tmp_path_factory.mktemp("sheets") / "random.npz"
    np.savez(path, **parts)
    return path


def network():
    inputs = keras.Input((12, 12, 1))
    x = layers.Conv2D(6, 3, strides=2, activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(4, 3, strides=2, activation="relu", name="conv2")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten()(x)))


def small_run(file, name, model, **options):
    """The run, and what was said."""
    said = io.StringIO()
    settings = {"recipe": RECIPE, "explain": True, "record": False, **options}
    console = Console(file=said, width=200)
    run = kerascnn.train(model, f"npz:{file}", run=file.parent / name, console=console, **settings)
    return run, said.getvalue()


@pytest.fixture(scope="module")
def drawn(file):
    return small_run(file, "drawn", network(), record=True)


def images_of(events):
    """Tag → picture, from TensorBoard's files."""
    found = {}
    for path in events.glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "images":
                    width, height, png = value.tensor.string_val
                    found[value.tag] = (event.step, (int(width), int(height)), png)
    return found


def test_a_run_has_a_sheet_of_each_of_its_last_layers(drawn):
    run, said = drawn
    assert "Drawing what the maps of C1 and C2 respond to among 40 images." in said
    assert said.index("Drawing") > said.index("epoch 2/2")
    names = sorted(path.name for path in (run.path / "explain").iterdir())
    assert names == ["layer-C1.png", "layer-C2.png"]
    for name in names:
        with Image.open(run.path / "explain" / name) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 100, "it shows something"
    assert run.finished
    assert run.config.explain


def test_tensorboard_shows_the_sheets_beside_the_filters(drawn):
    run, _ = drawn
    found = images_of(run.path / "train")
    assert {"filters", "explain/C1", "explain/C2"} <= found.keys()
    for name in ("C1", "C2"):
        step, size, png = found[f"explain/{name}"]
        assert step == 2, "the last epoch"
        with Image.open(run.path / "explain" / f"layer-{name}.png") as picture:
            assert size == picture.size
            ours = np.asarray(picture.convert("RGB"))
        theirs = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        np.testing.assert_array_equal(ours, theirs)


def test_what_cannot_be_drawn_is_said_and_loses_nothing(file):
    """A network without maps has nothing to show."""
    inputs = keras.Input((12, 12, 1))
    model = keras.Model(inputs, layers.Dense(3, name="logits")(layers.Flatten()(inputs)))
    run, said = small_run(file, "without-maps", model)
    assert run.finished
    assert run.model().count_params() == 144 * 3 + 3
    assert "The run is complete, but not all could be drawn in" in said
    assert "has no layer whose output is a map" in said
    assert not (run.path / "explain").exists()


@pytest.mark.slow
def test_what_two_devices_have_trained_is_drawn_on_one(file, two_devices):
    run, said = small_run(file, "mirrored", network(), strategy="mirrored:2")
    assert "not all could be drawn" not in said
    assert len(list((run.path / "explain").iterdir())) == 2


@pytest.mark.slow
def test_without_being_asked_nothing_is_drawn_and_a_resumed_run_remembers(file):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    path = file.parent / "stopped"
    with pytest.raises(KeyboardInterrupt):
        small_run(file, path.name, network(), callbacks=[Stop()], record=True)
    assert not (path / "explain").exists()
    kerascnn.resume(path, console=Console(quiet=True))
    assert len(list((path / "explain").iterdir())) == 2
    run, _ = small_run(file, "plain", network(), explain=False)
    assert not (run.path / "explain").exists()


def test_a_slow_training_gets_fewer_images_and_maps():
    assert amounts(10_000, 2) == (1_000, 24)
    assert amounts(30, 2) == (450, 24)
    assert amounts(10, 2) == (150, 16)
    assert amounts(0.0, 2) == (100, 4)


@pytest.mark.parametrize(
    ("network", "shape", "shown"),
    [
        (LeNet5, (32, 32, 1), ["C1"]),  # C2 is its pooling
        (TinyVGG, (32, 32, 3), ["C3", "C4"]),
        (TinyResNet, (32, 32, 3), ["C2", "C3"]),
    ],
)
def test_the_last_layers_are_the_deepest_that_pooling_does_not_only_repeat(network, shape, shown):
    assert last_layers(network(input_shape=shape, classes=3)) == shown
