"""Boxes follow what is in them: onto the canvas, through crops, and as augmentation moves it."""

import numpy as np
import pytest
import tensorflow as tf
from sample_targets import boxes_of, motion, painted, three_boxes

from kerascnn.data import augmentation, names
from kerascnn.data.boxes import Boxes
from kerascnn.data.fitting import fit
from kerascnn.data.masks import Masks
from kerascnn.data.sentinels import ABSENT
from kerascnn.errors import ArgumentError, DataError
from kerascnn.recipes.recipe import Augmentation


def test_boxes_come_to_be_where_their_image_is():
    # 20×40 to 30×30: scaled by 1.5 to 30×60, of which the middle is taken, 15 from the left.
    found = three_boxes().fitted(0, (30, 30, 3))
    np.testing.assert_allclose(found[0], [0, 0, 30, 30, 1, 0])
    np.testing.assert_allclose(found[1], [0, 7.5, 15, 22.5, 0, 1])
    np.testing.assert_array_equal(found[2], [0, 0, 0, 0, ABSENT, 0], "nothing of it is left")
    padded = three_boxes().fitted(0, (24, 44, 3))
    np.testing.assert_allclose(padded[1], [12, 7, 22, 17, 0, 1])


def test_an_image_without_objects_has_rows_that_say_so():
    found = three_boxes().fitted(1, (20, 40, 3))
    assert found.shape == (3, 6)
    assert (found[:, 4] == ABSENT).all()
    nowhere = Boxes.of([[], []], [(5, 5), (5, 5)])
    assert nowhere.element((5, 5)) == ((1, 6), "float32")
    assert nowhere.fitted(1, (5, 5, 1)).tolist() == [[0, 0, 0, 0, ABSENT, 0]]


@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_are_cut_like_what_is_in_them(mirrored):
    image, part = painted(), (tf.constant([4]), tf.constant([6]), tf.constant([mirrored]), (16, 20))
    seen = Masks.cut(tf.constant(image[None]), *part).numpy()[0]
    found = Boxes.cut(tf.constant(boxes_of(image)[None]), *part).numpy()[0]
    expected = boxes_of(np.vstack([seen, np.full((1, 20), 3, "uint8")]))[:2]
    np.testing.assert_array_equal(found[:2], expected)
    np.testing.assert_array_equal(found[2], [0, 0, 0, 0, ABSENT, 0])


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2])
def test_boxes_are_moved_around_where_their_corners_come_to_be(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([15.5, 11.5]) - turn @ [15.5, 11.5] + [4, -3]  # around the middle
    matrices = tf.constant([np.column_stack([turn, shift])], tf.float32)
    box = np.array([[[10, 8, 22, 14, 5, 1], [0, 0, 0, 0, ABSENT, 0]]], "float32")
    canvas = np.zeros((1, 24, 32), "uint8")
    canvas[:, 8:14, 10:22] = 1
    found = Boxes.moved(tf.constant(box), motion(matrices, (24, 32))).numpy()[0]
    seen = Masks.moved(tf.constant(canvas), motion(matrices, (24, 32))).numpy()[0]
    assert found[0, 4:].tolist() == [5, 1]
    assert found[1].tolist() == [0, 0, 0, 0, ABSENT, 0]
    np.testing.assert_allclose(found[0, :4], boxes_of(np.where(seen == 1, 1, 0))[0, :4], atol=1.0)
    if not angle:
        np.testing.assert_allclose(found[0, :4], [6, 11, 18, 17], atol=1e-4)


def test_a_box_that_leaves_the_image_is_dropped():
    away = motion([[[1, 0, 100], [0, 1, 0]]], (8, 8))
    found = Boxes.moved(tf.constant([[[1.0, 1, 5, 5, 0, 0]]]), away).numpy()
    assert found.tolist() == [[[0, 0, 0, 0, ABSENT, 0]]]


def test_boxes_refuse_an_elastic_deformation():
    still = [[[1, 0, 0], [0, 1, 0]]]
    with pytest.raises(ArgumentError, match="elastic"):
        Boxes.moved(tf.zeros((1, 1, 6)), motion(still, (4, 4), np.zeros((1, 4, 4, 2))))


def test_how_many_and_how_large_they_are_is_known_of_all_that_are_right():
    boxes = three_boxes(wrong=names.Names.of([b"", b"b.xml: no XML."]))
    assert boxes.spread() == {
        "objects in an image": (3, 3, 3),
        "width of a box, in pixels": (2, 10, 40),
        "height of a box, in pixels": (2, 10, 20),
    }
    assert three_boxes().spread()["objects in an image"] == (0, 1.5, 3)
    assert Boxes.of([[]], [(5, 5)]).spread() == {"objects in an image": (0, 0, 0)}


@pytest.mark.parametrize("changes", [{"border": "mirror"}, {"elastic": 0.1}, {"randaugment": 2}])
def test_what_boxes_cannot_follow_is_refused_before_training(changes):
    (name,) = changes
    with pytest.raises(ArgumentError, match=f"boxes .*--with augmentation.{name}="):
        augmentation.refuse_strays(Augmentation(**changes), Boxes)


def test_boxes_of_an_image_of_another_size_are_refused():
    boxes = three_boxes(names=names.Names.of([b"a.xml", b"b.xml"])).beside(
        lambda position: (20, 39)
    )
    with pytest.raises(DataError, match=r"b\.xml: .*20×40.*20×39"):
        boxes.fitted(1, (4, 4, 1))


def test_boxes_that_are_wrong_say_why_when_they_are_asked_for():
    """Also where the images are in another order, or joined with some of which nothing is wrong."""
    right = three_boxes()
    boxes = three_boxes(wrong=names.Names.of([b"", b"b.xml: no XML."]))
    for targets, position in (
        (boxes, 1),
        (boxes.take(np.array([1])), 0),
        (right.joined([boxes]), 3),
        (boxes.joined([right]), 1),
    ):
        with pytest.raises(DataError, match=r"^b\.xml: no XML\.$"):
            targets.fitted(position, (20, 40, 3))
    for targets in (boxes, right.joined([boxes]), boxes.joined([right])):
        np.testing.assert_array_equal(targets.stored(0), right.stored(0))
    np.testing.assert_array_equal(boxes.joined([right]).stored(3), right.stored(1))


MOTIONS = {
    "crops": Augmentation(canvas=4 / 3),
    "mirrored": Augmentation(flip=True),
    "shifted and padded": Augmentation(shift=0.3, pad=0.1),
    "scaled": Augmentation(canvas=1.25, resize=(1.0, 1.8)),
    "zoomed": Augmentation(zoom=0.4, flip=True),
    "parts of any shape": Augmentation(area=(0.1, 1.0), aspect=(0.5, 2.0)),
    "turned and sheared": Augmentation(rotation=40, shear=0.3, zoom=0.2, shift=0.2, flip=True),
}
SIDE, MANY, FINE = 24, 30, 3  # of a result, draws, samples of a pixel in each direction


def random_boxes(canvas, count=MANY):
    """One for each image, on whole pixels: float32 [count, 1, 6]."""
    draw = np.random.default_rng(3)
    first = draw.integers(0, canvas - 4, (count, 2))
    last = first + draw.integers(3, canvas - first + 1)
    columns = np.zeros((count, 2), int)
    return np.concatenate([first, last, columns], axis=1)[:, None].astype("float32")


def seen(where, left=0.0, top=0.0, pixel=1.0):
    """The edges of what is true in an image, or None: nothing is."""
    y, x = np.nonzero(where)
    if not len(y):
        return None
    edges = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
    return edges * pixel + [left, top, left, top]


def expected(whole, size):
    """What is left of a box, by SSD's rule; None: nothing, or it is a matter of rounding."""
    middle = (whole[:2] + whole[2:]) / 2
    if np.abs(middle - np.array([[0], [size]])).min() < 1.5 / FINE:
        return None
    inside = ((middle > 0) & (middle < size)).all()
    return np.clip(whole, 0, size).tolist() if inside else ABSENT


@pytest.mark.parametrize("name", MOTIONS)
def test_boxes_are_where_a_raster_of_them_is_drawn(name):
    """Each point of a fine grid is looked up on the canvas: in the box, or not."""
    changes, index = MOTIONS[name], np.arange(MANY)
    canvas = round(changes.canvas * SIDE)
    boxes = random_boxes(canvas)
    moved = augmentation.motion(
        index, index % 7, seed=1, augmentation=changes, canvas=(canvas, canvas), size=(SIDE, SIDE)
    )
    found = Boxes.moved(tf.constant(boxes), moved).numpy()[:, 0]
    reach = 3 * SIDE  # beyond the result, as far as any box comes to lie
    places = np.arange(-reach, SIDE + reach, 1 / FINE) + 0.5 / FINE - 0.5  # of middles of pixels
    kept = dropped = 0
    for (x1, y1, x2, y2, *_), matrix, box in zip(boxes[:, 0], np.asarray(moved.matrices), found):
        (xx, xy, dx), (yx, yy, dy) = matrix.astype("float64")
        x = xx * places[None] + xy * places[:, None] + dx + 0.5
        y = yx * places[None] + yy * places[:, None] + dy + 0.5
        whole = seen((x > x1) & (x < x2) & (y > y1) & (y < y2), -reach, -reach, 1 / FINE)
        left = expected(whole, SIDE)
        if left is None:
            continue
        if left == ABSENT:
            dropped += 1
            assert box.tolist() == [0, 0, 0, 0, ABSENT, 0]
            continue
        kept += 1
        np.testing.assert_allclose(box[:4], left, atol=1.2 / FINE)
    assert kept > MANY / 3
    assert dropped or name in ("mirrored", "zoomed")


@pytest.mark.parametrize("name", MOTIONS)
def test_boxes_are_where_they_are_seen_in_the_pixels(name):
    """What is painted in a box comes through the pipeline of images, whole pixels away at most."""
    changes, index = MOTIONS[name], np.arange(MANY)
    canvas = round(changes.canvas * SIDE)
    boxes = random_boxes(canvas)
    images = np.zeros((MANY, canvas, canvas, 1), "float32")
    for image, ((x1, y1, x2, y2, *_),) in zip(images, boxes.astype(int)):
        image[y1:y2, x1:x2] = 200
    options = {"seed": 1, "augmentation": changes, "size": (SIDE, SIDE)}
    pixels = augmentation.augment(images, index, index % 7, **options).numpy()[..., 0]
    moved = augmentation.motion(index, index % 7, canvas=(canvas, canvas), **options)
    compared = 0
    for image, box in zip(pixels, Boxes.moved(tf.constant(boxes), moved).numpy()[:, 0]):
        edges = seen(image > 40)  # the corner of a turned box fills less than half of its pixel
        if box[4] == ABSENT:
            continue
        compared += 1
        np.testing.assert_allclose(box[:4], edges, atol=1.5)
    assert compared > MANY / 3


def test_crops_made_while_reading_cut_boxes_as_slices_do():
    cut, _ = augmentation.crops(
        Augmentation(canvas=4 / 3, flip=True), seed=2, canvas=(32, 32), size=(SIDE, SIDE)
    )
    index = tf.range(MANY, dtype=tf.int64)
    boxes = random_boxes(32)
    parts = cut.choose(index, index % 5)
    found = Boxes.cut(tf.constant(boxes), *parts, (SIDE, SIDE)).numpy()[:, 0]
    for box, result, top, left, mirrored in zip(boxes[:, 0], found, *(p.numpy() for p in parts)):
        x1, y1, x2, y2 = box[:4].astype(int)
        image = np.zeros((32, 32), bool)
        image[y1:y2, x1:x2] = True
        part = image[top : top + SIDE, left : left + SIDE]
        part = part[:, ::-1] if mirrored else part
        stays = 0 < (x1 + x2) / 2 - left < SIDE and 0 < (y1 + y2) / 2 - top < SIDE
        assert result[:4].tolist() == (seen(part).tolist() if stays else [0, 0, 0, 0])


@pytest.mark.parametrize("size", [(20, 40), (61, 23), (90, 90), (22, 24)])
def test_boxes_are_fitted_as_the_pixels_are(size):
    height, width = size
    box = np.array([[width // 3, height // 4, width - 3, height - 2, 0, 0]], "float32")
    image = np.zeros((height, width, 1), "uint8")
    x1, y1, x2, y2 = box[0, :4].astype(int)
    image[y1:y2, x1:x2] = 200
    found = Boxes.of([box], [size]).fitted(0, (SIDE, SIDE, 1))
    pixels = fit(image[None], (SIDE, SIDE, 1))[0][0, ..., 0]
    np.testing.assert_allclose(found[0, :4], seen(pixels > 100), atol=1)


def test_of_a_box_whose_middle_leaves_the_image_no_sliver_is_kept():
    """SSD's rule (Liu et al. 2016, section 2.2), on all the ways that a box can take."""
    boxes = Boxes.of([[[0, 0, 7, 20, 0, 0], [0, 0, 13, 20, 1, 0]]], [(20, 40)])
    fitted = boxes.fitted(0, (20, 20, 3))  # the middle: columns 10 to 30
    cut = Boxes.cut(
        tf.constant([[[0.0, 0, 7, 20, 0, 0], [0, 0, 13, 20, 1, 0]]]),
        *(tf.constant([part]) for part in (0, 6, False)),
        (20, 20),
    ).numpy()[0]
    assert fitted[:, 4].tolist() == [ABSENT, ABSENT]
    assert cut.tolist() == [[0, 0, 0, 0, ABSENT, 0], [0, 0, 7, 20, 1, 0]]
