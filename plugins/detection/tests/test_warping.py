"""Pictures of windows: what is in them, what is around them, and how they become a batch."""

import keras
import numpy as np
from keras import ops
from kerascnn_detection.warping import MergeWindows, SplitWindows, Warp

RANDOM = np.random.default_rng(0)


def images(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def boxes(*rows):
    return np.array([rows], "float32")


def test_a_window_is_resized_as_keras_resizes_it():
    image = images(1, 9, 7, 3)
    found = Warp((16, 20), context=0)([image, boxes([0, 0, 7, 9])])
    expected = ops.image.resize(image, (16, 20), interpolation="bilinear")
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


def test_a_window_of_whole_pixels_in_its_own_size_is_cut_out():
    image = images(1, 9, 12, 2)
    found = Warp((4, 5), context=0)([image, boxes([3, 2, 8, 6])])
    np.testing.assert_allclose(found[:, 0], image[:, 2:6, 3:8], atol=1e-6)


def test_the_context_is_what_lies_around_the_window_at_the_same_scale():
    image, box = images(1, 40, 40, 1), boxes([12.5, 14, 21, 27])
    whole = Warp((20, 24), context=4)([image, box])
    inner = Warp((12, 16), context=0)([image, box])
    np.testing.assert_allclose(whole[:, :, 4:-4, 4:-4], inner, atol=1e-4)
    assert np.ptp(whole[0, 0, :4]) > 0


def test_outside_of_the_image_is_the_mean():
    found = Warp((12, 12), context=4)([np.ones((1, 8, 8, 1), "float32"), boxes([0, 0, 4, 4])])
    picture = np.asarray(found)[0, 0, ..., 0]
    np.testing.assert_allclose(picture[:2], 0)
    np.testing.assert_allclose(picture[:, :2], 0)
    np.testing.assert_allclose(picture[4:, 4:], 1)


def test_windows_of_no_area_or_beyond_all_bounds_give_finite_pictures():
    found = Warp((8, 8), context=2)(
        [images(1, 8, 8, 1), boxes([0, 0, 0, 0], [np.nan] * 4, [-1e9, -1e9, 1e9, 1e9])]
    )
    assert np.isfinite(found).all()


def test_what_is_merged_is_split_into_the_same_whatever_the_number_of_windows():
    layer = SplitWindows()
    for count in (1, 3):
        pictures = images(2, count, 4, 4, 1)
        merged = MergeWindows()(pictures)
        assert merged.shape == (2 * count, 4, 4, 1)
        means = ops.mean(merged, axis=(1, 2))
        found = layer([means, pictures])
        np.testing.assert_allclose(found, pictures.mean(axis=(2, 3)), atol=1e-6)


def test_the_layers_are_in_files(tmp_path):
    image, rows = keras.Input((None, None, 3)), keras.Input((5, 6))
    pictures = Warp((8, 6), context=1)([image, rows])
    x = keras.layers.GlobalAveragePooling2D()(MergeWindows()(pictures))
    model = keras.Model([image, rows], SplitWindows()([x, pictures]))
    assert model.output_shape == (None, 5, 3)
    model.save(tmp_path / "model.keras")
    given = [ops.convert_to_tensor(images(2, 9, 9, 3)), ops.convert_to_tensor(images(2, 5, 6) * 9)]
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(given), model(given))
    assert again.layers[2].context == 1
