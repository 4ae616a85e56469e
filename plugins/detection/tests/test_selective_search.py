"""Windows that may show an object: pure functions of pixels and settings, kept and read again."""

import builtins
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection import selective_search
from kerascnn_detection.regions import RoIPool
from kerascnn_detection.selective_search import (
    Search,
    SelectiveSearch,
    rows_of,
    windows,
    windows_as_input,
)

from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path):
    """A cache of this test's own, on the disk and in memory."""
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path))
    monkeypatch.setattr(selective_search, "_kept", type(selective_search._kept)())
    return tmp_path


def scene(seed=0, side=48):
    """Two rectangles of their own colours on a noisy ground."""
    image = np.random.default_rng(seed).integers(90, 110, (side, side, 3)).astype("uint8")
    image[8:24, 6:20] = (220, 30, 30)
    image[26:44, 24:46] = (30, 60, 220)
    return image


def searched(seed):
    return windows(scene(seed), Search(least_side=4)).tobytes()


def forgotten():
    selective_search._kept.clear()


def files(cache):
    return [path for path in (cache / "selective_search").rglob("*") if path.is_file()]


def test_what_differs_from_its_ground_is_a_window_and_so_is_the_whole_image():
    found = windows(scene(), Search(least_side=4)).tolist()
    assert [6, 8, 20, 24] in found
    assert [24, 26, 46, 44] in found
    assert [0, 0, 48, 48] in found


def test_windows_lie_in_the_image_each_once_and_large_enough():
    found = windows(scene(), Search(least_side=8))
    assert found.dtype == np.float32
    assert len(np.unique(found, axis=0)) == len(found) > 2
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= 48).all()
    assert (found[:, 2:] - found[:, :2] >= 8).all()


def test_no_more_windows_than_asked_for_and_those_the_best_ranked():
    every = windows(scene(), Search(least_side=4))
    assert np.array_equal(windows(scene(), Search(least_side=4, most=3)), every[:3])


def test_the_same_pixels_have_the_same_windows_whether_kept_stored_or_searched_again(empty):
    first = searched(0)
    assert searched(0) == first  # from memory
    forgotten()
    assert len(files(empty)) == 1
    assert searched(0) == first  # from the disk
    forgotten()
    files(empty)[0].unlink()
    assert searched(0) == first


def test_threads_find_what_one_after_the_other_finds(empty):
    alone = [searched(seed) for seed in range(4)]
    forgotten()
    for file in files(empty):
        file.unlink()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(searched, range(4))) == alone


def test_whoever_shares_the_folder_reads_and_replaces_whole_files(empty, monkeypatch):
    monkeypatch.setattr(selective_search, "KEPT", 0)  # as other processes, nothing is in memory
    alone = [searched(seed) for seed in (0, 1)]
    for file in files(empty):
        file.unlink()
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(searched, [0, 1] * 8)) == alone * 8
    assert len(files(empty)) == 2


@pytest.mark.parametrize("damage", [b"", b"cut", b"\xff" * 32, np.full(4, 9, "<i4").tobytes()])
def test_a_damaged_file_is_searched_anew_and_replaced(empty, damage):
    first = searched(0)
    (file,) = files(empty)
    whole = file.read_bytes()
    file.write_bytes(damage)
    forgotten()
    assert searched(0) == first
    assert file.read_bytes() == whole


def test_of_a_huge_file_no_more_is_read_than_the_limit(empty, monkeypatch):
    first = searched(0)
    monkeypatch.setattr(selective_search, "LARGEST", 64)
    (file,) = files(empty)
    with open(file, "r+b") as opened:
        opened.truncate(2**40)
    forgotten()
    assert searched(0) == first


def test_a_cache_that_cannot_be_written_does_no_harm(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    first = searched(0)
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "file"))
    forgotten()
    assert searched(0) == first


def test_the_oldest_files_go_when_there_are_too_many(empty, monkeypatch):
    monkeypatch.setattr(selective_search, "STORED", 2)
    monkeypatch.setattr(selective_search, "TIDIED", 1)
    for seed in range(4):
        searched(seed)
    assert len(files(empty)) == 2


def test_memory_keeps_no_more_than_it_may(monkeypatch):
    monkeypatch.setattr(selective_search, "KEPT", 2)
    for seed in range(4):
        searched(seed)
    assert len(selective_search._kept) == 2


def test_images_of_other_channels_are_searched_in_the_first_three_or_as_gray():
    image = scene()
    gray = image[..., :1]
    found = windows(np.repeat(gray, 3, axis=-1))
    assert np.array_equal(windows(gray), found)
    assert np.array_equal(windows(image[..., :2]), found)
    assert np.array_equal(windows(np.concatenate([image, gray], axis=-1)), windows(image))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), "uint8"), np.zeros((4, 0, 3), "uint8"), np.zeros((4, 4, 3))]
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ArgumentError, match=r"uint8 \[height, width, channels\].*Received"):
        windows(image)


def test_an_unknown_mode_is_refused_with_those_that_there_are():
    with pytest.raises(ArgumentError, match=r"fast, quality, single\. Received: 'best'"):
        Search(mode="best")


def test_without_opencv_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("cv2"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ArgumentError, match=r'pip install "kerascnn-detection\[search\]"'):
        windows(scene())


def test_the_layer_finds_the_windows_of_preprocessed_images_and_fills_up_with_absent_rows():
    images = np.stack([scene(0), scene(1)])
    images[:, 0, 0], images[:, 0, 1] = 0, 255  # so that the range is the pixels' own
    layer = SelectiveSearch(least_side=4, most=40)
    rows = layer((images / 127.5 - 1).astype("float32")).numpy()
    expected = [windows(image, layer.search) for image in images]
    assert rows.shape == (2, 40, 6)
    assert np.array_equal(rows, rows_of(expected, 40))
    assert (rows[0, len(expected[0]) :, 4] == ABSENT).all()
    assert (rows[0, : len(expected[0]), 4] == 0).all()


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_in_an_image_without_contrast_or_too_small_nothing_is_found(value):
    rows = SelectiveSearch(most=5)(np.full((1, 16, 16, 3), value, "float32")).numpy()
    assert (rows[..., 4] == ABSENT).all()
    assert not rows[..., :4].any()


def test_in_a_graph_of_any_batch_its_shape_is_known():
    layer = SelectiveSearch(least_side=4, most=7)
    spec = tf.TensorSpec((None, 48, 48, 3))
    rows = tf.function(layer, input_signature=[spec]).get_concrete_function().outputs[0]
    assert rows.shape.as_list() == [None, 7, 6]


def test_under_xla_it_says_what_to_do():
    inner = tf.function(SelectiveSearch(), autograph=False)
    compiled = tf.function(lambda x: inner(x), jit_compile=True, autograph=False)
    with pytest.raises(ArgumentError, match=r"windows_as_input\(model\).*Received: XLA"):
        compiled(tf.zeros((1, 8, 8, 3)))


def test_on_another_backend_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ArgumentError, match="Received: Keras's jax backend"):
        SelectiveSearch()(np.zeros((1, 8, 8, 3), "float32"))


def test_a_network_with_its_windows_as_input_has_the_same_layers_and_answers(tmp_path):
    image = keras.Input((48, 48, 3))
    rows = SelectiveSearch(least_side=4, most=9, name="windows")(image)
    model = keras.Model(image, RoIPool((2, 2), stride=1)([image, rows]))
    path = tmp_path / "model.keras"
    model.save(path)
    model = keras.models.load_model(path)
    pixels = tf.constant(scene()[None], "float32")
    given = windows_as_input(model)
    assert given.inputs[1].shape == (None, 9, 6)
    np.testing.assert_array_equal(
        given([pixels, model.get_layer("windows")(pixels)]).numpy(), model(pixels).numpy()
    )
    with pytest.raises(ArgumentError, match="must have a SelectiveSearch"):
        windows_as_input(given)


def test_the_network_with_the_search_can_be_saved_afterwards(tmp_path):
    image = keras.Input((48, 48, 3))
    rows = SelectiveSearch(most=9)(image)
    model = keras.Model(image, RoIPool((2, 2), stride=1)([image, rows]))
    windows_as_input(model)
    model.save(tmp_path / "model.keras")
