"""Targets follow their images: onto the canvas, through crops, and as augmentation moves them."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data import fitting, names
from kerascnn.data.motion import Motion
from kerascnn.data.targets import ABSENT, VOID, Boxes, Labels, Masks, targets_of
from kerascnn.errors import ArgumentError, DataError

RNG = np.random.default_rng(0)


def motion(matrices, size, displacement=None):
    shift = None if displacement is None else tf.constant(displacement, tf.float32)
    return Motion(matrices=tf.constant(matrices, tf.float32), displacement=shift, size=size)


def masks_of(*masks, classes=VOID, **options):
    packed = names.Names.of(f"m/{number}.png".encode() for number in range(len(masks)))
    sizes = np.arange(len(masks)) + 100
    read = [np.asarray(mask, "uint8") for mask in masks].__getitem__
    return Masks(read=read, names=packed, sizes=sizes, classes=classes, **options)


def ramp(height, width):
    """A mask whose pixels tell where they are: the number of the row, 16 rows and more alike."""
    rows, columns = np.mgrid[:height, :width]
    return (16 * (rows % 15) + columns % 16).astype("uint8")


def three_boxes(**options):
    first = [[0, 0, 40, 20, 1, 0], [10, 5, 20, 15, 0, 1], [38, 18, 40, 20, 2, 0]]
    return Boxes.of([np.array(first), np.zeros((0, 6))], [(20, 40), (20, 40)], **options)


def of_one_image(targets):
    return targets.take(np.array([0]))


def digest(targets):
    found = hashlib.sha256()
    targets.digest(found.update)
    return found.hexdigest()


def test_integers_are_labels_and_targets_stay():
    labels = targets_of(np.array([2, 0, 1], "uint8"))
    assert (labels.kind, len(labels), labels.labels.dtype) == ("label", 3, np.int32)
    masks = masks_of(ramp(4, 4))
    assert targets_of(masks) is masks


def test_labels_are_hashed_as_they_always_were():
    plain = hashlib.sha256(np.array([2, 0, 1], "int32").tobytes()).hexdigest()
    assert digest(Labels([2, 0, 1])) == plain


@pytest.mark.parametrize(
    ("size", "canvas"), [((28, 24), (32, 32)), ((15, 14), (15, 14)), ((64, 49), (31, 30))]
)
def test_a_mask_comes_to_be_where_its_image_is(size, canvas):
    rows, columns = np.mgrid[: size[0], : size[1]]
    image = (1 + 2 * rows + columns).astype("uint8")  # smooth, so that it is its own mask
    pixels = fitting.fit(image[None, ..., None], (*canvas, 1))[0][0, ..., 0]
    mask = masks_of(image).fitted(0, (*canvas, 1))
    inside = mask != VOID
    assert (inside == (pixels > 0)).all()
    difference = pixels[inside].astype(int) - mask[inside]
    assert abs(difference.mean()) < 0.75, "where half a pixel of the canvas is three levels"
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize("size", [(19, 41), (61, 47), (97, 211), (333, 125)])
def test_a_scaled_mask_is_the_image_that_the_nearest_pixel_would_give(size):
    """Pillow's own resizing of the window that `cover` shows, with the nearest pixel."""
    from PIL import Image

    height, width = 30, 30
    mask = RNG.integers(0, 255, size, "uint8")
    scale = max(height / size[0], width / size[1])
    tall, wide = height / scale, width / scale
    left, top = (size[1] - wide) / 2, (size[0] - tall) / 2
    box = (max(0, left), max(0, top), min(size[1], left + wide), min(size[0], top + tall))
    theirs = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST, box)
    ours = masks_of(mask).fitted(0, (height, width, 3))
    np.testing.assert_array_equal(ours, theirs)


def test_outside_of_a_padded_image_a_mask_is_void():
    found = masks_of(np.zeros((28, 28))).fitted(0, (32, 32, 1))
    assert (found[2:30, 2:30] == 0).all()
    assert (found == VOID).sum() == 32 * 32 - 28 * 28


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
def test_a_part_of_a_mask_is_the_part_of_its_image(mirrored):
    mask = np.stack([ramp(12, 14), ramp(12, 14).T[:12, :].repeat(2, 1)[:, :14]])
    top, left = tf.constant([0, 3]), tf.constant([2, 5])
    found = Masks.cut(tf.constant(mask), top, left, tf.constant([mirrored] * 2), (8, 9)).numpy()
    step = -1 if mirrored else 1
    np.testing.assert_array_equal(found[0], mask[0, 0:8, 2:11][:, ::step])
    np.testing.assert_array_equal(found[1], mask[1, 3:11, 5:14][:, ::step])


def boxes_of(image):
    """The box around each value in an image, as rows of boxes; the test's own definition."""
    rows = []
    for value in range(1, image.max() + 1):
        y, x = np.nonzero(image == value)
        if len(y):
            rows.append([x.min(), y.min(), x.max() + 1, y.max() + 1, value, 0])
        else:
            rows.append([0, 0, 0, 0, ABSENT, 0])
    return np.array(rows, "float32")


def painted():
    """An image with three rectangles, 1 to 3."""
    image = np.zeros((24, 32), "uint8")
    image[2:9, 3:10] = 1
    image[12:20, 14:22] = 2
    image[21:24, 29:32] = 3
    return image


@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_are_cut_like_what_is_in_them(mirrored):
    image, part = painted(), (tf.constant([4]), tf.constant([6]), tf.constant([mirrored]), (16, 20))
    seen = Masks.cut(tf.constant(image[None]), *part).numpy()[0]
    found = Boxes.cut(tf.constant(boxes_of(image)[None]), *part).numpy()[0]
    expected = boxes_of(np.vstack([seen, np.full((1, 20), 3, "uint8")]))[:2]
    np.testing.assert_array_equal(found[:2], expected)
    np.testing.assert_array_equal(found[2], [0, 0, 0, 0, ABSENT, 0])


def bilinear(image, matrices, size):
    from kerascnn.data.randaugment import transformed

    pixels = tf.cast(image, tf.float32)[..., None]
    return transformed(pixels, matrices, size)[..., 0].numpy()


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 0, 3], [0, 1, -2]],
        [[-1, 0, 31], [0, 1, 0]],
        [[0, 1, 0], [1, 0, 0]],
        [[0.5, 0, 8], [0, 0.5, 6]],
    ],
    ids=["shifted", "mirrored", "transposed", "enlarged"],
)
def test_a_mask_is_moved_as_its_image_is(matrix):
    image, matrices = painted(), tf.constant([matrix], tf.float32)
    size = (24, 24)
    pixels = bilinear(255.0 * (image[None] == 2), matrices, size)[0]
    mask = Masks.moved(tf.constant(image[None]), motion(matrices, size)).numpy()[0]
    sure = (pixels == 0) | (pixels == 255)  # the others are between two pixels
    np.testing.assert_array_equal((mask == 2)[sure], (pixels == 255)[sure])
    x, y = np.meshgrid(np.arange(24), np.arange(24))
    source = np.einsum("ij,hwj->hwi", matrix, np.stack([x, y, np.ones_like(x)], -1))
    outside = (source < -0.5) | (source > np.array([31.5, 23.5]))
    np.testing.assert_array_equal(mask == VOID, outside.any(-1))


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


def test_a_displacement_moves_each_pixel_of_a_mask_by_itself():
    mask = ramp(6, 7)[None]
    still = [[[1, 0, 0], [0, 1, 0]]]
    shift = RNG.integers(-3, 4, (1, 6, 7, 2)).astype("float32")
    found = Masks.moved(tf.constant(mask), motion(still, (6, 7), shift + 0.3))
    for row in range(6):
        for column in range(7):
            x, y = column + int(shift[0, row, column, 0]), row + int(shift[0, row, column, 1])
            inside = 0 <= x < 7 and 0 <= y < 6
            assert found[0, row, column] == (mask[0, y, x] if inside else VOID)


def test_boxes_refuse_an_elastic_deformation():
    still = [[[1, 0, 0], [0, 1, 0]]]
    with pytest.raises(ArgumentError, match="elastic"):
        Boxes.moved(tf.zeros((1, 1, 6)), motion(still, (4, 4), np.zeros((1, 4, 4, 2))))


def test_labels_never_move():
    batch = tf.constant([1, 2])
    assert Labels.cut(batch, None, None, None, (2, 2)) is batch
    assert Labels.moved(batch, None) is batch


@pytest.mark.parametrize(
    "targets",
    [
        Labels([3, 1, 2, 0]),
        masks_of(*(np.full((4, 4), value) for value in (3, 1, 2, 0))),
        Boxes.of(
            [[[0, 0, value, value, value, 0]] * value for value in (3, 1, 2, 0)], [(4, 4)] * 4
        ),
    ],
    ids=lambda targets: targets.kind,
)
def test_targets_are_taken_and_joined_like_their_images(targets):
    shape = (4, 4, 1)
    rows = [targets.fitted(position, shape) for position in range(4)]
    for index in ([2, 0], [3], [], [1, 1, 3]):
        part = targets.take(np.array(index, "int64"))
        assert len(part) == len(index)
        for place, position in enumerate(index):
            np.testing.assert_array_equal(part.fitted(place, shape), rows[position])
    whole = targets.take(np.array([2, 3])).joined([targets.take(np.array([0])), targets])
    assert len(whole) == 7
    for place, position in enumerate([2, 3, 0, 0, 1, 2, 3]):
        np.testing.assert_array_equal(whole.fitted(place, shape), rows[position])
    again = targets.take(np.arange(2)).joined([targets.take(np.arange(2, 4))])
    assert digest(again) == digest(targets) != digest(targets.take(np.arange(3)))
    fetched = targets.fetch(shape)(tf.constant([3, 0, 0], tf.int64))
    assert (fetched.shape[1:], fetched.dtype) == targets.element((4, 4))
    np.testing.assert_array_equal(fetched, [rows[3], rows[0], rows[0]])


def test_class_numbers_become_those_of_another_list_of_names():
    table = np.array([2, -1, 0])
    assert Labels([0, 2]).relabelled(table).labels.tolist() == [2, 0]
    mask = masks_of([[0, 1, 2, VOID]], classes=3).relabelled(table)
    assert mask.stored(0).tolist() == [[2, VOID, 0, VOID]]
    boxes = three_boxes().relabelled(table)
    assert boxes.stored(0)[:, 4].tolist() == [ABSENT, 2, 0]
    assert boxes.relabelled(table).stored(0)[:, 4].tolist() == [ABSENT, 0, 2]
    height, width = boxes.sizes[0].tolist()
    assert boxes.fitted(0, (height, width, 3))[:, 4].tolist() == [2, 0, ABSENT]


def test_classes_are_counted():
    assert Labels([0, 2, 2]).counts(4).tolist() == [1, 0, 2, 0]
    masks = masks_of([[0, 0, VOID]], [[1, 0, 3], [3, 3, 3]], classes=4)
    assert masks.counts(4).tolist() == [3, 1, 0, 4]
    assert three_boxes().counts(4).tolist() == [1, 1, 1, 0]


def test_a_label_beyond_the_classes_is_refused_with_its_file():
    masks = masks_of([[0, 1]], [[2, 7]], classes=2, root="photos")
    assert masks.stored(0).tolist() == [[0, 1]]
    with pytest.raises(DataError, match=r"photos/m/1\.png: .*0 to 1.*Received: 2 pixels .* as 2"):
        masks.stored(1)


def test_a_mask_of_another_size_than_its_image_is_refused_with_its_file():
    masks = masks_of(ramp(4, 5), ramp(4, 5), root="photos").beside(
        lambda position: (4, 5 + position)
    )
    masks.fitted(0, (4, 4, 1))
    with pytest.raises(DataError, match=r"photos/m/1\.png: .*as large as its image, 4×6.*4×5"):
        masks.fitted(1, (4, 4, 1))
    with pytest.raises(DataError, match=r"photos/m/1\.png"):
        masks.take(np.array([1])).fitted(0, (4, 4, 1))
    with pytest.raises(DataError, match=r"photos/m/1\.png"):
        masks.joined([masks]).fitted(3, (4, 4, 1))


def test_boxes_of_an_image_of_another_size_are_refused():
    boxes = three_boxes(names=names.Names.of([b"a.xml", b"b.xml"])).beside(
        lambda position: (20, 39)
    )
    with pytest.raises(DataError, match=r"b\.xml: .*20×40.*20×39"):
        boxes.fitted(1, (4, 4, 1))
