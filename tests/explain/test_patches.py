"""The strongest patches of each map, against what NumPy finds among all activations."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kerascnn
from kerascnn import explain
from kerascnn.card import Preprocessing
from kerascnn.data import ArraySplit
from kerascnn.errors import ArgumentError
from kerascnn.explain import patches as module
from kerascnn.explain import search
from kerascnn.explain import strongest as state
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.config import RunConfig, TrainedOn

K = 4
SIZE = 14  # pixels


@pytest.fixture(scope="module")
def model():
    """Fields that are cut at borders, and one that is larger than the image."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="conv1")(x)
    x = layers.Conv2D(5, 1, name="linear")(x)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(6, 3, padding="same", name="conv2")(x)
    x = layers.ReLU(name="relu2")(x)
    x = layers.Conv2D(4, 7, padding="same", activation="relu", name="conv3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(7, activation="relu", name="fc1")(x)
    x = layers.Dense(3, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name="toy")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).normal(size=(23, SIZE, SIZE, 3)).astype("float32")


def brute_force(model, images, layer, k=K):
    """Values, images, rows and columns `[maps, k]` from all activations."""
    maps = kerascnn.feature_extractor(model, layer).predict(images, verbose=0)
    maps = maps.reshape(len(images), *(maps.shape[1:3] if maps.ndim == 4 else (1, 1)), -1)
    strongest = maps.max(axis=(1, 2)).T
    index = np.argsort(-strongest, axis=1, kind="stable")[:, :k]
    units = np.array(
        [
            [divmod(int(maps[i, ..., c].argmax()), maps.shape[2]) for i in row]
            for c, row in enumerate(index)
        ]
    )
    return np.take_along_axis(strongest, index, axis=1), index, units


@pytest.mark.parametrize("layer", ["conv1", "pool1", "relu2", "conv3", "fc1"])
def test_the_strongest_are_those_of_all_activations(model, images, layer):
    found = explain.top_patches(model, images, layer, k=K, batch_size=5, channels=[0])
    values, index, units = brute_force(model, images, layer)
    np.testing.assert_allclose(found.values, values, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_array_equal(found.position, units)
    assert found.values.dtype == np.float32


def test_patches_and_projections_are_what_lies_in_the_box(model, images):
    found = explain.top_patches(model, images, "relu2", k=K, channels=[5, 2])
    assert found.channels.tolist() == [5, 2]
    assert [len(row) for row in found.patches] == [K, K]
    for slot, channel in enumerate(found.channels):
        for rank in range(K):
            top, left, bottom, right = found.box[channel, rank]
            image = images[found.index[channel, rank]]
            np.testing.assert_array_equal(found.patches[slot][rank], image[top:bottom, left:right])
            unit = tuple(found.position[channel, rank].tolist())
            whole = explain.deconvnet(model, image[None], ("relu2", int(channel), unit))[0]
            projection = found.projections[slot][rank]
            np.testing.assert_allclose(
                projection, whole[top:bottom, left:right], rtol=1e-4, atol=1e-5
            )
            assert np.abs(projection).sum() == pytest.approx(np.abs(whole).sum(), rel=1e-5)


def test_what_lies_outside_the_box_leaves_the_unit_as_it_is(model, images):
    """Pixel by pixel: a unit changes where its box is, to its edges, and nowhere else."""
    found = explain.top_patches(model, images, "relu2", k=2, channels=[])
    linear = kerascnn.feature_extractor(model, "conv2")
    cut = 0
    for channel in range(6):
        row, column = found.position[channel, 0]
        image = images[found.index[channel, 0]]
        pixels = np.repeat(image[None], SIZE * SIZE, axis=0)
        places = np.arange(SIZE * SIZE)
        pixels[places, places // SIZE, places % SIZE] += 10
        before = linear(image[None]).numpy()[0, row, column, channel]
        after = linear(pixels).numpy()[:, row, column, channel].reshape(SIZE, SIZE)
        changed = np.abs(after - before) > 1e-4
        top, left, bottom, right = found.box[channel, 0]
        inside = np.zeros((SIZE, SIZE), bool)
        inside[top:bottom, left:right] = True
        assert not changed[~inside].any()
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert (rows[0], columns[0]) == (top, left)
        assert (rows[-1] + 1, columns[-1] + 1) == (bottom, right)
        cut += (bottom - top, right - left) != found.field.size
    assert 0 < cut < 6


def test_a_unit_that_sees_more_than_the_image_has_all_of_it_in_its_box(model, images):
    assert (explain.top_patches(model, images, "fc1", k=2).box == [0, 0, SIZE, SIZE]).all()
    assert explain.top_patches(model, images, "fc1", k=2, channels=[0]).field is None
    found = explain.top_patches(model, images, "conv3", k=2, channels=[1])
    assert found.field.size == (20, 20)
    assert found.box.min() == 0
    assert found.box.max() == SIZE


def test_arrays_splits_and_batches_are_the_same(model, images):
    pixels = np.clip(images * 60 + 128, 0, 255).astype("uint8")
    split = ArraySplit(pixels, np.zeros(len(pixels)))
    batches = [(pixels[:7], None), (pixels[7:8], None), (pixels[8:], None)]
    dataset = tf.data.Dataset.from_tensor_slices(pixels).batch(6)

    def preprocess(images):
        return tf.cast(images, "float32") / 255

    all_found = [
        explain.top_patches(
            model, data, "conv1", k=K, channels=[3], preprocess=preprocess, batch_size=5
        )
        for data in (pixels, split, batches, dataset)
    ]
    values, index, _ = brute_force(model, pixels / np.float32(255), "conv1")
    for found in all_found:
        np.testing.assert_allclose(found.values, values, rtol=1e-4)
        np.testing.assert_array_equal(found.index, index)
        for one, other in zip(found.patches[0], all_found[0].patches[0]):
            assert one.dtype == np.uint8  # pixels, as they were before preprocessing
            np.testing.assert_array_equal(one, other)


def test_fewer_images_than_k_fill_as_many_places(model, images):
    found = explain.top_patches(model, images[:3], "conv1", k=9, channels=[0, 1])
    assert found.values.shape == found.index.shape == (5, 3)
    assert [len(row) for row in found.projections] == [3, 3]


def test_an_image_counts_once_and_the_first_of_equals_wins(model, images):
    twice = np.concatenate([images[:6], images[:6]])
    found = explain.top_patches(model, twice, "conv1", k=6, channels=[], batch_size=4)
    values, index, _ = brute_force(model, images[:6], "conv1", k=3)
    np.testing.assert_allclose(found.values[:, ::2], values, rtol=1e-4)
    np.testing.assert_array_equal(found.index[:, ::2], index)
    np.testing.assert_array_equal(found.index[:, 1::2], index + 6)


def test_a_map_that_never_fires_has_values_of_zero_and_the_first_images():
    x = inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(2, 3, activation="relu", name="conv", kernel_initializer="ones")(x)
    model = keras.Model(inputs, x)
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., 1] *= -1
    model.get_layer("conv").set_weights([kernel, bias])
    images = np.random.default_rng(0).random((5, 6, 6, 1), "float32")
    found = explain.top_patches(model, images, "conv", k=3)
    assert (found.values[0] > 0).all()
    assert (found.values[1] == 0).all()
    assert found.index[1].tolist() == [0, 1, 2]
    assert not any(projection.any() for projection in found.projections[1])


def test_where_activations_are_not_relu_the_gradient_is_shown(images):
    x = inputs = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(2, 3, activation="tanh", name="conv")(x)
    model = keras.Model(inputs, x)
    found = explain.top_patches(model, images, "conv", k=1)
    assert found.method == "saliency"
    value, kernel = found.values[0, 0], model.get_layer("conv").get_weights()[0][..., 0]
    expected = kernel * (1 - value**2)  # the derivative of tanh
    np.testing.assert_allclose(found.projections[0][0], expected, rtol=1e-3, atol=1e-6)
    with pytest.raises(ArgumentError, match="conv with tanh"):
        explain.top_patches(model, images, "conv", method="deconvnet")


def test_patches_are_cut_from_the_pixels_that_are_asked_for(model):
    canvas = np.random.default_rng(0).integers(0, 256, (5, 20, 20, 3), "uint8")

    def middle(images):
        return images[:, 3:17, 3:17]

    def preprocess(images):
        return tf.cast(middle(images), "float32") / 255

    arguments = {"k": 1, "channels": [2], "preprocess": preprocess}
    found = explain.top_patches(model, canvas, "conv1", pixels=middle, **arguments)
    top, left, bottom, right = found.box[2, 0]
    whole = canvas[found.index[2, 0], 3:17, 3:17]
    np.testing.assert_array_equal(found.patches[0][0], whole[top:bottom, left:right])
    without = explain.top_patches(model, canvas, "conv1", **arguments)
    np.testing.assert_allclose(without.patches[0][0], whole[top:bottom, left:right] / 255)


def test_patches_of_a_run_are_pixels_of_what_evaluation_sees(model):
    """The middle of the canvas; and projections as RGB, where the network takes BGR."""
    config = RunConfig(
        kerascnn_run=1,
        name="toy",
        architecture=None,
        input_shape=(SIZE, SIZE, 3),
        classes=3,
        class_names=("a", "b", "c"),
        preprocessing=Preprocessing(scale=1 / 255, mean=(0.5,), order="BGR"),
        data=TrainedOn(source="npz:a.npz", fingerprint="0" * 64, image_shape=(20, 18, 3)),
        recipe=Recipe(),
        weights=None,
        strategy="none",
        precision="float32",
        seed=0,
        created="2026-11-26T12:00:00",
    )
    canvas = np.random.default_rng(0).integers(0, 256, (6, 20, 18, 3), "uint8")
    found = module.patches_of_run(
        model, config, ArraySplit(canvas, np.zeros(6)), "conv1", k=2, channels=[2]
    )
    middle = canvas[:, 3:17, 2:16]
    given = middle[..., ::-1] / np.float32(255) - np.float32(0.5)
    expected = explain.top_patches(model, given, "conv1", k=2, channels=[2])
    np.testing.assert_array_equal(found.index, expected.index)
    for rank in range(2):
        top, left, bottom, right = expected.box[2, rank]
        image = middle[expected.index[2, rank]]
        np.testing.assert_array_equal(found.patches[0][rank], image[top:bottom, left:right])
        np.testing.assert_allclose(
            found.projections[0][rank], expected.projections[0][rank][..., ::-1], atol=1e-5
        )


class StoppedError(Exception):
    """In place of a signal."""


def stopping(after):
    """A preprocessing that raises `StoppedError` after so many batches of several images.

    Before the search one image alone is looked at.
    """
    left = [after]

    def preprocess(images):
        left[0] -= len(images) > 1
        if left[0] < 0:
            raise StoppedError
        return images * np.float32(0.5)

    return preprocess


@pytest.mark.parametrize("kind", ["array", "split", "batches"])
def test_a_search_that_was_stopped_goes_on_to_the_same_result(
    model, images, kind, tmp_path, monkeypatch
):
    monkeypatch.setattr(search, "SAVE_EVERY", 0.0)
    data = {
        "array": images,
        "split": ArraySplit((images * 60 + 128).clip(0, 255).astype("uint8"), np.zeros(23)),
        "batches": [images[:9], images[9:12], images[12:]],
    }[kind]
    path = tmp_path / "progress.npz"
    arguments = {"k": K, "channels": [1], "batch_size": 4}
    once = explain.top_patches(model, data, "conv1", preprocess=stopping(99), **arguments)
    with pytest.raises(StoppedError):
        explain.top_patches(
            model,
            data,
            "conv1",
            preprocess=stopping(2 if kind == "batches" else 3),
            progress=path,
            **arguments,
        )
    seen = int(np.load(path)["seen"][0])
    assert seen == 12
    scanned = []
    add = module.Strongest.add

    def recorded(self, values, unit):
        scanned.append(len(values))
        add(self, values, unit)

    monkeypatch.setattr(module.Strongest, "add", recorded)
    arguments["batch_size"] = 5  # which need not be the same
    found = explain.top_patches(
        model, data, "conv1", preprocess=stopping(99), progress=path, **arguments
    )
    assert sum(scanned) == 23 - seen
    for name in ("values", "index", "position", "box"):
        expected = getattr(once, name)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-5)
    assert int(np.load(path)["seen"][0]) == 23


def test_a_search_that_is_done_is_not_repeated(model, images, tmp_path, monkeypatch):
    path = tmp_path / "progress.npz"
    first = explain.top_patches(model, images, "conv1", k=K, channels=[1], progress=path)
    monkeypatch.setattr(module.Strongest, "add", None)
    again = explain.top_patches(model, images, "conv1", k=K, channels=[1], progress=path)
    np.testing.assert_array_equal(again.values, first.values)
    np.testing.assert_array_equal(again.projections[0][0], first.projections[0][0])


@pytest.fixture(scope="module")
def progress(model, images, tmp_path_factory):
    """The file of a search that is done."""
    path = tmp_path_factory.mktemp("progress") / "progress.npz"
    explain.top_patches(model, images, "conv1", k=K, channels=[], progress=path)
    return path


@pytest.fixture
def kept(progress, tmp_path):
    return shutil.copy(progress, tmp_path / "progress.npz")


def other_weights(model):
    copy = keras.models.clone_model(model)
    copy.set_weights([weight + 0.5 for weight in model.get_weights()])
    return copy


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"layer": "conv2"}, "another layer"),
        ({"k": 3}, "another k"),
        ({"preprocess": lambda images: images + 1}, "another preprocessing"),
        ({"data": lambda images: images[::-1]}, "another data"),
        ({"model": other_weights}, "another network"),
        ({"k": 2, "layer": "pool1"}, "another layer and another k"),
    ],
)
def test_the_progress_of_something_else_is_refused_by_name(model, images, kept, change, named):
    content = kept.read_bytes()
    model = change.get("model", lambda model: model)(model)
    images = change.get("data", lambda images: images)(images)
    others = {name: change[name] for name in ("k", "preprocess") if name in change}
    with pytest.raises(ArgumentError, match=named):
        explain.top_patches(
            model,
            images,
            change.get("layer", "conv1"),
            **{"k": K, "channels": [], "progress": kept, **others},
        )
    assert kept.read_bytes() == content


def changed(path, **arrays):
    with np.load(path) as archive:
        content = {**archive, **arrays}
    np.savez(path, **content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        lambda path: path.write_text("no archive"),
        lambda path: changed(path, seen=np.array([10**6])),
        lambda path: changed(path, index=np.full((5, K), 23)),
        lambda path: changed(path, unit=np.full((5, K), SIZE * SIZE)),
        lambda path: changed(path, values=np.full((5, K), np.nan, "float32")),
        lambda path: changed(path, values=np.zeros((5000, K), "float32")),
        lambda path: changed(path, values=np.array([{}], dtype=object)),
        lambda path: changed(path, version=np.array([2])),
        lambda path: changed(path, more=np.zeros(3)),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_damaged_progress_is_refused_in_one_message(model, images, kept, damage):
    damage(kept)
    with pytest.raises(ArgumentError, match=r"progress=.* can't be used: .*Delete it"):
        explain.top_patches(model, images, "conv1", k=K, channels=[], progress=kept)


def test_progress_that_cannot_be_written_is_refused_before_the_search(model, images, tmp_path):
    (tmp_path / "file").touch()
    batches = []
    with pytest.raises(ArgumentError, match=r"can't be written.*where you may write"):
        explain.top_patches(
            model,
            images,
            "conv1",
            preprocess=lambda images: batches.append(len(images)) or images,
            batch_size=2,
            progress=tmp_path / "file" / "progress.npz",
        )
    assert set(batches) == {1}  # one image is looked at before, to know its size


def test_data_that_changes_between_two_readings_is_refused(model, images):
    class Shuffled:
        times = 0

        def __iter__(self):
            self.times += 1
            yield images if self.times < 3 else images[::-1]

    with pytest.raises(ArgumentError, match="same images in the same order"):
        explain.top_patches(model, Shuffled(), "conv1", k=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be a whole number, at least 1. Received: 0"),
        ({"layer": "conv9"}, "conv9"),
        ({"channels": [5]}, "from 0 to 4"),
        ({"channels": [True]}, "channels must be"),
        ({"method": "lime"}, "deconvnet, guided_backprop, saliency"),
        ({"data": np.zeros((0, SIZE, SIZE, 3))}, "at least one image"),
        ({"data": np.zeros((2, 9, 9, 3))}, "as toy takes them"),
        ({"data": np.zeros((9, 9, 3))}, "array of shape"),
        ({"data": iter([])}, "only once"),
        ({"data": 3}, "Received: int"),
        ({"data": [np.zeros((9, 9, 3))]}, "batch of shape"),
        ({"preprocess": lambda images: images[..., 0]}, "preprocess must give"),
        ({"pixels": lambda images: images[:, 1:]}, "pixels must give"),
        ({"layer": "linear", "data": np.full((2, SIZE, SIZE, 3), 3e38)}, "not finite"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_expected(model, images, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        explain.top_patches(model, **{"data": images, "layer": "conv1", "k": 1, **arguments})


def test_a_network_that_has_diverged_is_refused(model, images):
    """Behind a ReLU its answers are zeros."""
    diverged = keras.models.clone_model(model)
    diverged.set_weights([weight * np.nan for weight in model.get_weights()])
    with pytest.raises(ArgumentError, match=r"diverged.*conv1/kernel"):
        explain.top_patches(diverged, images, "pool1")


def test_the_running_strongest_are_those_of_a_sort_of_all():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (40, 3)).astype("float32")  # many are equal
    unit = rng.integers(0, 50, (40, 3))
    found = state.Strongest(3, 7)
    for start in range(0, 40, 6):
        found.add(values[start : start + 6], unit[start : start + 6])
    order = np.lexsort((np.arange(40)[:, None] + 0 * values, -values), axis=0)[:7].T
    np.testing.assert_array_equal(found.index, order)
    np.testing.assert_array_equal(found.values, np.take_along_axis(values.T, order, axis=1))
    np.testing.assert_array_equal(found.unit, np.take_along_axis(unit.T, order, axis=1))
