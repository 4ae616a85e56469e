"""Images of any size, tile by tile, have the masks that one pass over all of them finds."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from kerascnn_segmentation import tiles
from kerascnn_segmentation.tiles import Tiled, adjoining, overlapping, strips
from kerascnn_segmentation.unet import UNet, UNetSame

import kerascnn
from kerascnn import any_size
from kerascnn.errors import ArgumentError

SMALL = {"depth": 2, "width": 4, "classes": 3, "classifier_activation": None}


def network(architecture, shape, **arguments):
    """With random weights, in float64: what is the same but for rounding is told from the rest."""
    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy("float64")
    try:
        model = architecture(input_shape=shape, **SMALL, **arguments)
    finally:
        keras.config.set_dtype_policy("float32")
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def valid():
    return network(UNet, (60, 60, 1))


@pytest.fixture(scope="module")
def same():
    return network(UNetSame, (32, 32, 1))


def photo(height, width, channels=1, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), "uint8")


def sight(model):
    shape = model.input_shape[1:]
    return SimpleNamespace(input_shape=shape, preprocessing=kerascnn.Preprocessing())


def scores(model):
    """From uint8 tiles to scores, by the network with open sizes."""
    whole = any_size(model)
    return lambda images: whole(images / 255).numpy()


def mirrored_pass(model, image, lost, step):
    """The scores of one pass over an image, mirrored far enough at its borders."""
    before = lost // 2
    after = [before + -side % step for side in image.shape[:2]]
    around = ((before, after[0]), (before, after[1]), (0, 0))
    whole = np.pad(image, around, mode="symmetric")
    return scores(model)(whole[None])[0][: image.shape[0], : image.shape[1]]


# --- Along one side --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 300, 388, 389, 1000, 5000])
def test_tiles_of_the_paper_adjoin_at_multiples_of_the_stride(size):
    """572 pixels answer for 388, of which 384 are kept, a multiple of 16."""
    pieces = adjoining(size, tile=572, answered=388, stride=16)
    assert [piece.at for piece in pieces] == list(range(0, size, 384))
    assert {piece.start - piece.at for piece in pieces} == {-92}
    assert sum(piece.count for piece in pieces) == size


@pytest.mark.parametrize("tile", [64, 72])
@pytest.mark.parametrize("more", [0, 8, 16, 17 * 8])
def test_overlapping_tiles_lie_inside_and_keep_what_is_far_enough_from_their_borders(tile, more):
    size, margin = tile + more, 21
    pieces = overlapping(size, tile=tile, margin=margin, stride=8)
    covered = [n for piece in pieces for n in range(piece.at, piece.at + piece.count)]
    assert covered == list(range(size))
    for piece in pieces:
        assert piece.start % 8 == 0
        assert 0 <= piece.start <= size - tile
        assert piece.start + piece.first == piece.at
        assert piece.start == 0 or piece.first >= margin
        end = piece.first + piece.count
        assert piece.start == size - tile or tile - end >= margin


def test_tiles_without_a_middle_are_refused():
    with pytest.raises(ArgumentError, match=r"stride, 16\. Received: tiles of 188, .* for 4\."):
        adjoining(300, tile=188, answered=4, stride=16)
    with pytest.raises(ArgumentError, match=r"twice the margin, 30, .* stride, 8, .*: 64\."):
        overlapping(128, tile=64, margin=30, stride=8)


# --- As one pass -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(71, 93), (20, 20), (3, 50), (1, 1)])
def test_scores_without_padding_are_those_of_one_pass_over_the_mirrored_image(valid, size):
    """Also of images that are smaller than what must be mirrored: 20 pixels on each side."""
    image = photo(*size)
    pieces = [adjoining(side, tile=60, answered=20, stride=4) for side in size]
    found = strips(scores(valid), image, *pieces, tile=(60, 60), batch=3)
    expected = mirrored_pass(valid, image, lost=40, step=4)
    np.testing.assert_allclose(np.concatenate(list(found)), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("size", "upsampling"), [((90, 133), "transposed"), ((64, 201), "bilinear")]
)
def test_scores_with_padding_are_those_of_one_pass_over_the_image(size, upsampling):
    """Also at the border of the image, and at sizes that the network has to fill up itself."""
    model = network(UNetSame, (32, 32, 2), upsampling=upsampling)
    image = photo(*size, channels=2)
    tiled = Tiled(model, sight(model))
    margin = tiled.margin
    assert tiled.stride == 4
    assert 20 <= margin <= 30
    tile = tuple(side - max(0, -(-(side - 72) // 4) * 4) for side in size)
    pieces = [overlapping(side, tile=own, margin=margin, stride=4) for side, own in zip(size, tile)]
    assert len(pieces[1]) > 1
    found = np.concatenate(list(strips(scores(model), image, *pieces, tile=tile)))
    np.testing.assert_allclose(found, scores(model)(image[None])[0], rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "width"),
    [
        ({"backbone_arguments": "widths=2,2,2,2,2", "head_widths": (4, 4)}, 1150),
        ({"backbone": "resnet18", "backbone_arguments": "widths=2,2,2,2 stem_width=2"}, 1152),
    ],
)
def test_fcn_is_tiled_at_multiples_of_its_stride_of_32(arguments, width):
    """On other classifiers than the authors' its scores are resized, to a multiple of 32 here."""
    keras.utils.set_random_seed(0)
    model = kerascnn.create(
        "fcn8s", input_shape=(64, 64, 1), classes=3, classifier_activation=None, **arguments
    )
    tiled, image = Tiled(model, sight(model), largest=128), photo(64, width)
    assert (tiled.stride, tiled.lost) == (32, (0, 0))
    assert 202 <= tiled.margin < 300  # the scores' field is 404; interpolation sees further
    mask = tiled.mask(image)
    expected = scores(model)(image[None])[0].argmax(-1)
    assert (mask == expected).mean() > 0.9999


def test_a_smaller_margin_is_no_longer_the_same(same):
    image = photo(64, 200)
    pieces = [overlapping(side, tile=64, margin=0, stride=4) for side in image.shape[:2]]
    found = np.concatenate(list(strips(scores(same), image, *pieces, tile=(64, 64))))
    assert np.abs(found - scores(same)(image[None])[0]).max() > 1e-2


@pytest.mark.parametrize("size", [(150, 101), (40, 40), (5, 7)])
def test_masks_without_padding_are_the_likeliest_classes_of_one_pass(valid, size):
    image = photo(*size)
    tiled = Tiled(valid, sight(valid), batch_size=4)
    assert (tiled.stride, tiled.lost) == (4, (40, 40))
    mask = tiled.mask(image)
    assert (mask.shape, mask.dtype) == (size, "uint8")
    expected = mirrored_pass(valid, image, lost=40, step=4).argmax(-1)
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("size", [(150, 173), (31, 32), (5, 7)])
def test_masks_with_padding_are_the_likeliest_classes_of_one_pass(same, size):
    image = photo(*size)
    mask = Tiled(same, sight(same), largest=96).mask(image)
    expected = scores(same)(image[None])[0].argmax(-1)
    assert mask.shape == size
    np.testing.assert_array_equal(mask, expected)


# --- Bounds ----------------------------------------------------------------------------------


class Recorded:
    """An image of which only slices of rows are had; remembers how many rows at once."""

    def __init__(self, image):
        self._image, self.shape, self.read = image, image.shape, []

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.read.append(rows.stop - rows.start)
        return self._image[rows]


def test_no_more_rows_are_read_at_once_than_a_tile_has(valid):
    image = Recorded(photo(300, 70))
    tiled = Tiled(valid, sight(valid), batch_size=2)
    found = list(tiled.rows(image))
    assert max(image.read) <= 84
    assert len(found) > 4
    np.testing.assert_array_equal(np.concatenate(found), tiled.mask(photo(300, 70)))


def test_all_tiles_are_looked_at_in_batches_of_one_size(valid):
    seen = []

    def answer(images):
        seen.append(images.shape)
        return np.zeros((len(images), 20, 20), "uint8")

    pieces = [adjoining(side, tile=60, answered=20, stride=4) for side in (50, 130)]
    found = np.concatenate(list(strips(answer, photo(50, 130), *pieces, tile=(60, 60), batch=3)))
    assert found.shape == (50, 130)
    assert seen == [(3, 60, 60, 1)] * 9


def test_a_network_that_sees_the_whole_image_at_each_pixel_takes_no_more_than_one_tile():
    inputs = keras.Input((32, 32, 1))
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    outputs = keras.layers.Conv2D(3, 1, name="logits")(inputs + mean)
    model = keras.Model(inputs, outputs)
    tiled = Tiled(model, sight(model), largest=64)
    assert tiled.mask(photo(64, 50)).shape == (64, 50)
    with pytest.raises(ArgumentError, match=r"in one piece: 64×64\. Received: 70×64\."):
        tiled.mask(photo(70, 64))


def test_small_networks_on_few_pixels_get_tiles_that_keep_half_of_what_they_see(same):
    """32×32 images: a margin of more than 20 pixels needs more."""
    tiled = Tiled(same, sight(same))
    assert tiles.LARGEST == 512
    whole = Tiled(same, sight(same), largest=256)
    np.testing.assert_array_equal(tiled.mask(photo(130, 120)), whole.mask(photo(130, 120)))
