"""Evaluation protocols equal the plain Keras calls that the papers' words describe."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerascnn.data import ArraySplit, load
from kerascnn.errors import ArgumentError
from kerascnn.recipes import papers
from kerascnn.recipes import recipe as recipes
from kerascnn.recipes.recipe import Protocol
from kerascnn.tasks.classification import protocols
from kerascnn.tasks.classification.protocols import probabilities, views

SIZE = (12, 12)


@pytest.fixture(scope="module")
def network():
    """Flattened 3×3 maps and two dense layers, as AlexNet's and VGG's heads are."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((*SIZE, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(7, name="logits")(x))


def pixels(*shape):
    return np.random.default_rng(shape).integers(0, 256, (*shape, 3)).astype("uint8")


def split(side, count=5):
    return ArraySplit(pixels(count, side, side), np.arange(count, dtype="int32"))


def predicted(network, images, **protocol):
    batches = probabilities(
        network,
        images,
        Protocol(**protocol),
        is_logits=True,
        prepare=lambda images: tf.cast(images, "float32") / 255,
        size=SIZE,
        batch_size=2,
    )
    return np.concatenate(list(batches))


def softmax(scores):
    share = np.exp(scores - scores.max(-1, keepdims=True))
    return share / share.sum(-1, keepdims=True)


def plain(network, images):
    return softmax(np.asarray(network(images / 255, training=False)))


def test_ten_crops_are_ten_predictions_averaged(network):
    """AlexNet, 4.1: corners and centre, mirrored too; the softmax is what is averaged."""
    images = split(16)
    i = images.images.astype("float32")
    crops = [i[:, :12, :12], i[:, :12, 4:], i[:, 4:, :12], i[:, 4:, 4:], i[:, 2:14, 2:14]]
    crops += [crop[:, :, ::-1] for crop in crops]
    expected = np.mean([plain(network, crop) for crop in crops], axis=0)
    found = predicted(network, images, views="10-crop")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_dense_at_the_native_size_is_the_single_view(network):
    images = split(12)
    single = predicted(network, images)
    np.testing.assert_allclose(predicted(network, images, views="dense"), single, atol=1e-6)


def test_dense_averages_the_scores_of_every_window(network):
    """VGG, 3.2: of the map of class scores, then softmax, then with the mirror image."""
    images = split(20)
    i = images.images.astype("float32")
    expected = (dense(network, i) + dense(network, i[:, :, ::-1])) / 2
    found = predicted(network, images, views="dense", flip=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def dense(network, images):
    """Windows of the trunk's map; of the map, as "same" padding sees the image's border once."""
    maps = network.layers[2](network.layers[1](images / 255)).numpy()
    scores = []
    for row in range(maps.shape[1] - 2):
        for column in range(maps.shape[2] - 2):
            x = maps[:, row : row + 3, column : column + 3].reshape(len(maps), -1)
            for layer in network.layers[4:]:
                x = layer(x)
            scores.append(np.asarray(x))
    return softmax(np.mean(scores, axis=0))


def test_scales_are_averaged(network):
    images = split(18)
    one, other = (predicted(network, images, resize=(length,)) for length in (1.25, 1.5))
    assert np.abs(one - other).max() > 1e-3
    both = predicted(network, images, resize=(1.25, 1.5))
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    middle = images.images[:, 3:15, 3:15].astype("float32")
    np.testing.assert_allclose(other, plain(network, middle), atol=1e-6)


def test_fifty_crops_are_a_grid_over_the_whole_image():
    """VGG, 3.2: "50 crops per scale (5×5 regular grid with 2 flips)"."""
    images = pixels(2, 17, 29)
    grid = [
        images[:, top : top + 12, left : left + 12]
        for top in (0, 1, 2, 4, 5)  # quarters of 17 - 12, rounded
        for left in (0, 4, 8, 13, 17)  # and of 29 - 12
    ]
    found = views(images, Protocol(views="50-crop"), (17, 17), SIZE)
    np.testing.assert_array_equal(found, grid + [np.flip(crop, 2) for crop in grid])


@pytest.mark.parametrize("shape", [(17, 29), (30, 17), (17, 17), (17, 18)])
def test_crops_of_googlenet(shape):
    """Its section 7, sentence by sentence, at one of the scales; at four they are 4·3·6·2 = 144."""
    images = pixels(2, *shape)
    short, long = sorted(shape)
    middle = (long - short) // 2
    if shape[0] > shape[1]:  # "in the case of portrait images: top, center and bottom"
        squares = [images[:, :short], images[:, middle : middle + short], images[:, -short:]]
    else:  # "the left, center and right square"
        squares = [
            images[:, :, :short],
            images[:, :, middle : middle + short],
            images[:, :, -short:],
        ]
    found = views(images, Protocol(views="144-crop"), (17, 17), SIZE)
    expected = []
    for square in squares:
        crops = [square[:, :12, :12], square[:, :12, -12:]]
        crops += [square[:, -12:, :12], square[:, -12:, -12:], square[:, 2:14, 2:14]]
        crops.append(triangular(triangular(square, 12, 1), 12, 2))
        expected += crops + [np.flip(crop, 2) for crop in crops]
    assert len(expected) * 4 == 144
    assert len(found) == (12 if short == long else 36)
    for crop in expected:  # resizing rounds
        distances = [np.abs(crop - view.astype("float64")).max() for view in found]
        assert min(distances) <= 1
    mean = np.mean([np.asarray(view, "float64") for view in found], axis=0)
    np.testing.assert_allclose(mean, np.mean(expected, axis=0), atol=0.2)


def triangular(images, size, axis):
    """Resized along one axis by a triangle as wide as a pixel of the result, in float64."""
    scale = images.shape[axis] / size
    centres = (np.arange(size)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(images.shape[axis]) + 0.5 - centres) / scale
    weights = np.maximum(0, 1 - distance)
    weights /= weights.sum(1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, images.astype("float64"), (1, axis)), 0, axis)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Files of several shapes, each with a shorter side of 16, in the order of their names."""
    root = tmp_path_factory.mktemp("photographs")
    shapes = (16, 23), (26, 16), (16, 16), (25, 16), (16, 24), (16, 23)
    files = [pixels(*shape) for shape in shapes]
    for number, file in enumerate(files):
        for folder in ("train/a", "train/b", "test/a"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(file).save(root / folder / f"{number}.png")
    return load(f"folder:{root}", input_shape=(16, 16, 3), echo=None), files


def test_files_are_looked_at_whole_and_stay_in_order(network, photographs):
    data, files = photographs
    split = data.test
    for position, file in enumerate(files):
        np.testing.assert_array_equal(data.train.original(position), file)
    fifty = predicted(network, split, views="50-crop")
    slid = predicted(network, split, views="dense", flip=True)
    ten = predicted(network, split, views="10-crop")
    for position, file in enumerate(files):
        image = file[None].astype("float32")
        crops = views(image, Protocol(views="50-crop"), (16, 16), SIZE)
        expected = plain(network, np.concatenate(crops)).mean(0)
        np.testing.assert_allclose(fifty[position], expected, atol=1e-6)
        expected = (dense(network, image) + dense(network, image[:, :, ::-1]))[0] / 2
        np.testing.assert_allclose(slid[position], expected, atol=1e-6)
        top, left = ((side - 16) // 2 for side in file.shape[:2])
        square = ArraySplit(image[:, top : top + 16, left : left + 16].astype("uint8"), [0])
        # Files' middle is a mean of pixels where it is between two: compared where it isn't.
        if not (sum(file.shape[:2]) % 2):
            expected = predicted(network, square, views="10-crop")[0]
            np.testing.assert_allclose(ten[position], expected, atol=1e-6)


def test_144_crops_are_averaged_over_googlenets_four_scales(network, photographs):
    split = photographs[0].test
    lengths = [256 / 224, 288 / 224, 320 / 224, 352 / 224]
    assert list(Protocol(views="144-crop").resize) == lengths
    total = 0
    for position in range(split.size):
        for length in lengths:
            side = round(12 * length)
            image = protocols.uncut(split.original(position), (side, side, 3))[None]
            assert min(image.shape[1:3]) == side
            crops = views(image, Protocol(views="144-crop"), (side, side), SIZE)
            total += plain(network, np.concatenate(crops).astype("float32")).mean(0)
    found = predicted(network, split, views="144-crop")
    np.testing.assert_allclose(found.sum(0), total / 4, atol=1e-5)


@pytest.mark.parametrize("name", ["10-crop", "50-crop", "144-crop"])
def test_equal_crops_are_refused(network, name):
    lengths = (1.0,) * 4 if name == "144-crop" else ()
    with pytest.raises(ArgumentError, match="larger than the network's input of 12×12"):
        predicted(network, split(12), views=name, resize=lengths)


def test_every_protocol_has_its_views_and_mistakes_one_message():
    assert tuple(protocols.VIEWS) == recipes.VIEWS
    with pytest.raises(ArgumentError, match="one of single, 10-crop, 50-crop, 144-crop, dense"):
        Protocol(views="12-crop")
    with pytest.raises(ArgumentError, match=r"36 crops at each of four scales.*Received: 1\."):
        Protocol(views="144-crop", resize=(1.5,))


def test_the_papers_scales():
    """VGG: {256, 384, 512}; GoogLeNet: 256 to 352; ResNet: {224, 256, 384, 480, 640}."""
    for recipe, sides in {
        "VGG": [256, 384, 512],
        "GOOGLENET": [256, 288, 320, 352],
        "RESNET": [224, 256, 384, 480, 640],
    }.items():
        lengths = getattr(papers, recipe).evaluation.resize
        assert [round(224 * length, 6) for length in lengths] == sides
    assert papers.VGG.evaluation.views == papers.RESNET.evaluation.views == "dense"
    assert papers.BN_INCEPTION.evaluation == Protocol()
