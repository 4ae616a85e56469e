"""JPEG files read by TensorFlow: the images of the general way, part by part and in batches."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from photographs import damaged, kinds, photograph, save, turned
from PIL import Image

from kerascnn import data
from kerascnn.data import jpeg, readable_errors
from kerascnn.data.augmentation import augment, crops
from kerascnn.data.jpeg_split import FILLING, Element
from kerascnn.data.splits import Crops, ReadSplit
from kerascnn.errors import DataError
from kerascnn.recipes.recipe import Augmentation

load = functools.partial(data.load, echo=None, validation=0, test=0)
# How far an image of the fast way may be from Pillow's, in grey levels of 255. The files below
# differ by 0.4 to 1.1 on average; had they been shifted by one pixel of the file, by 2.2.
MEAN, MOST = 1.5, 15


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs in two classes, and one of each kind that is not for TensorFlow."""
    root = tmp_path_factory.mktemp("photos")
    for number in range(6):
        save(root / "ab"[number % 2] / f"{number}.jpg", photograph(number))
    save(root / "a" / "grey.jpg", photograph(7).convert("L"))
    save(root / "a" / "cmyk.jpg", photograph(8).convert("CMYK"))
    save(root / "a" / "turned.jpg", photograph(9), exif=turned(6))
    save(root / "a" / "progressive.jpg", photograph(10, 1201, 801), progressive=True)
    save(root / "b" / "small.jpg", photograph(11, 60, 90))
    save(root / "b" / "palette.png", photograph(12).quantize(16))
    return root


def exact(split, epochs=1, **options):
    """What the general way delivers for the same arguments."""
    general = ReadSplit(
        lambda position: split.example(position)[0], split.labels, split.image_shape
    )
    return list(general.batches(4, epochs=epochs, **options).as_numpy_iterator())


def assert_alike(fast, slow, mean=MEAN):
    assert fast.shape == slow.shape
    for one, two in zip(fast.astype(int), slow.astype(int)):
        difference = np.abs(one - two)
        assert difference.mean() < mean
        assert np.quantile(difference, 0.999) < MOST


@pytest.mark.parametrize(
    ("shape", "mean"),
    # The smaller the result, the larger its share of details that the two filters treat unlike.
    [((256, 256, 3), MEAN), ((96, 160, 3), MEAN), ((256, 256, 1), MEAN), ((30, 30, 3), 3.0)],
)
def test_images_are_those_of_the_general_way(folder, shape, mean):
    split = load(f"folder:{folder}", input_shape=shape).train
    options = {"seed": 3, "with_index": True}
    fast = list(split.batches(4, **options).as_numpy_iterator())
    for (images_, *rest), (expected, *others) in zip(fast, exact(split, **options), strict=True):
        assert_alike(images_, expected, mean)
        for one, two in zip(rest, others):
            np.testing.assert_array_equal(one, two)


def test_decoded_pixels_are_the_same(tmp_path):
    """Without resizing nothing differs: both ways use libjpeg's exact transform."""
    path = save(tmp_path / "a" / "1.jpg", photograph(1, 120, 80))
    split = load(f"folder:{tmp_path}", input_shape=(120, 80, 3)).train
    ((image, _),) = split.batches(1).as_numpy_iterator()
    np.testing.assert_array_equal(image[0], np.asarray(Image.open(path)))


def test_crops_are_parts_of_the_same_image(folder):
    """What is cut off is not read, and the rest stays: here at every place, mirrored and not."""
    split = load(f"folder:{folder}", input_shape=(256, 256, 3)).train

    def choose(index, epoch):
        at = tf.cast(index * 5 % 33, tf.int32)
        return at, 32 - at, index % 2 > 0

    part = Crops((224, 200), choose)
    fast = list(split.batches(5, seed=1, epochs=2, crops=part).as_numpy_iterator())
    whole = split.batches(5, seed=1, epochs=2, with_index=True).as_numpy_iterator()
    for (cropped, _), (images_, _, index, epoch) in zip(fast, whole, strict=True):
        expected = part.cut(images_, index, epoch).numpy()
        for image, position, other in zip(cropped, index, expected):
            top, left = position * 5 % 33, 32 - position * 5 % 33
            by_hand = images_[list(index).index(position), top : top + 224, left : left + 200]
            by_hand = by_hand[:, ::-1] if position % 2 else by_hand
            np.testing.assert_array_equal(other, by_hand)
            assert_alike(image[None], other[None])


def test_cropping_while_reading_is_the_recipes_crop():
    """`crops` and `augment` draw the same numbers: on whole pixels the images are equal."""
    digits = data.load("mnist5k", input_shape=(36, 36, 1), echo=None).validation
    recipe = Augmentation(canvas=36 / 32, flip=True)
    part, rest = crops(recipe, seed=4, canvas=(36, 36), size=(32, 32))
    assert rest == Augmentation()
    options = {"seed": 1, "epochs": 2, "with_index": True}
    for (cut, *_), (images_, _, index, epoch) in zip(
        digits.batches(100, crops=part, **options), digits.batches(100, **options)
    ):
        expected = augment(images_, index, epoch, seed=4, augmentation=recipe)
        np.testing.assert_array_equal(cut, expected)


def test_batches_do_not_span_epochs_and_start_anywhere(folder):
    split = load(f"folder:{folder}", input_shape=(40, 40, 3)).train
    options = {"seed": 5, "with_index": True, "epochs": 3}
    every = list(split.batches(5, **options).as_numpy_iterator())
    assert [len(batch[0]) for batch in every] == [5, 5, 2] * 3
    later = list(split.batches(5, first_epoch=1, **options).as_numpy_iterator())
    for one, two in zip(every[3:], later, strict=True):
        for left, right in zip(one, two):
            np.testing.assert_array_equal(left, right)
    endless = split.batches(5, seed=5, epochs=None, drop_remainder=True)
    assert [len(images_) for images_, _ in endless.take(5)] == [5] * 5


def test_a_damaged_file_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("kerascnn.data.encoded.VERIFY_LIMIT", 0)
    content = (folder / "a" / "0.jpg").read_bytes()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "good.jpg").write_bytes(content)
    code = content.index(b"\xff\xc4") + 4
    no_code = content[:code] + b"\x77" + content[code + 1 :]  # only the decoder finds this
    assert jpeg.plan(no_code, (64, 64, 3))
    for name, odd in (("cut", content[:9000]), ("code", no_code)):
        (tmp_path / "a" / f"{name}.jpg").write_bytes(odd)
        split = load(f"folder:{tmp_path}", input_shape=(64, 64, 3)).train
        with (
            pytest.raises(DataError, match=rf"{name}\.jpg can't be read as an image"),
            readable_errors(split),
        ):
            list(split.batches(2))
        (tmp_path / "a" / f"{name}.jpg").unlink()


def test_training_goes_through_what_skip_corrupt_keeps(tmp_path):
    """A stray marker in the scan, of which TensorFlow's decoder said neither file nor reason."""
    rng = np.random.default_rng(0)
    (tmp_path / "a").mkdir()
    for number, content in enumerate([*kinds().values()] * 6):
        at = len(content) // 2 + number
        odd = content[:at] + b"\xff\xe5\xff\xff" + content[at + 4 :]
        (tmp_path / "a" / f"{number:02}.jpg").write_bytes(
            damaged(content, rng) if number % 2 else odd
        )
    split = load(f"folder:{tmp_path}", input_shape=(32, 32, 3), skip_corrupt=True).train
    assert 20 < split.size < 54
    assert sum(len(images_) for images_, _ in split.batches(8, seed=0)) == split.size


def test_what_tensorflow_alone_refuses_is_named(folder, monkeypatch):
    """Should a file of that kind ever pass `plain`."""
    content = kinds()["4:2:0"]
    odd = content[: len(content) // 2] + b"\xff\xe5\xff\xff" + content[len(content) // 2 :]
    assert jpeg.plan(odd, (32, 32, 3)) is None
    split = load(f"folder:{folder}", input_shape=(32, 32, 3)).train
    place = {split.examples.name(position): position for position in range(split.size)}["a/0.jpg"]
    read = type(split.examples).content
    monkeypatch.setattr(
        type(split.examples), "content", lambda self, at: odd if at == place else read(self, at)
    )
    way = jpeg.plan(content, (32, 32, 3))
    monkeypatch.setattr(jpeg, "plan", lambda given, *_: way if given == odd else None)
    monkeypatch.setattr(jpeg, "plain", lambda given: given == odd)
    with (
        pytest.raises(DataError, match=r"a/0\.jpg can't be read as an image by TensorFlow"),
        readable_errors(split),
    ):
        list(split.batches(2))


def positions(split, *names):
    """Where these files are in a split."""
    every = [split.examples.name(position) for position in range(split.size)]
    return np.array([every.index(name) for name in names])


@pytest.fixture(scope="module")
def small(folder):
    """The photographs in 40×60."""
    return load(f"folder:{folder}", input_shape=(40, 60, 3)).train


class TestPlanned:
    def test_plain_files_have_their_bytes_and_a_plan(self, folder, small):
        contents, plans = small.planned(positions(small, "b/1.jpg", "a/0.jpg"))
        expected = [(folder / name).read_bytes() for name in ("b/1.jpg", "a/0.jpg")]
        assert contents.tolist() == expected
        assert [tuple(plan) for plan in plans] == [
            jpeg.plan(content, (40, 60, 3)) for content in expected
        ]
        assert plans.dtype == np.int32

    def test_of_others_and_of_filling_there_is_nothing(self, small):
        others = positions(small, "a/cmyk.jpg", "a/turned.jpg", "b/palette.png")
        contents, plans = small.planned(np.array([*others, FILLING]))
        assert contents.tolist() == [b""] * 4
        assert plans.tolist() == [list(jpeg.NONE)] * 4

    def test_an_example_that_comes_again_has_a_position_of_its_own(self, small):
        first = np.arange(small.size)
        for one, two in zip(small.planned(first), small.planned(first + 2 * small.size)):
            np.testing.assert_array_equal(one, two)


class TestElements:
    def test_the_last_batch_of_an_epoch_is_filled_up(self, small):
        found = small.elements(tf.constant([3, 1], tf.int64), tf.constant(7, tf.int64), 4, None)
        assert found.position.numpy().tolist() == [3, 1, FILLING, FILLING]
        assert found.epoch.numpy().tolist() == [7] * 4
        contents, plans = small.planned(np.array([3, 1]))
        assert found.content.numpy().tolist() == [*contents, b"", b""]
        np.testing.assert_array_equal(found.plan[:2], plans)
        for whole in (found.top, found.left, found.mirrored):
            assert not whole.numpy().any()

    def test_parts_are_chosen_by_position_and_epoch(self, small):
        def choose(index, epoch):
            return tf.cast(index, tf.int32), tf.cast(index + epoch, tf.int32), index > 1

        part = Crops((30, 30), choose)
        found = small.elements(tf.constant([3, 1], tf.int64), tf.constant(7, tf.int64), 2, part)
        assert found.top.numpy().tolist() == [3, 1]
        assert found.left.numpy().tolist() == [10, 8]
        assert found.mirrored.numpy().tolist() == [True, False]


class TestRead:
    def element(self, split, position, top=0, left=0, mirrored=False):
        one = split.elements(tf.constant([position], tf.int64), tf.constant(0, tf.int64), 1, None)
        one = Element(*(part[0] for part in one))
        return one._replace(
            top=tf.constant(top), left=tf.constant(left), mirrored=tf.constant(mirrored)
        )

    def test_a_plain_file_is_decoded_by_its_plan(self, small):
        (position,) = positions(small, "a/0.jpg")
        one = self.element(small, position)
        expected = jpeg.decode(one.content, one.plan, (40, 60, 3), (0, 0, 40, 60))
        np.testing.assert_array_equal(small.read(one, (40, 60)), expected)

    def test_another_file_is_a_part_of_the_general_ways_image(self, small):
        (position,) = positions(small, "a/turned.jpg")
        whole, _ = small.example(position)
        found = small.read(self.element(small, position, top=5, left=7), (30, 20))
        np.testing.assert_array_equal(found, whole[5:35, 7:27])
        found = small.read(self.element(small, position, top=5, left=7, mirrored=True), (30, 20))
        np.testing.assert_array_equal(found, whole[5:35, 7:27][:, ::-1])

    def test_filling_is_black(self, small):
        assert not small.read(self.element(small, FILLING), (40, 60)).numpy().any()


class TestErrors:
    INVALID = tf.errors.InvalidArgumentError(None, None, "Invalid JPEG data or crop window")

    def test_only_the_split_that_read_a_damaged_file_names_it(self, folder, small, monkeypatch):
        other = load(f"folder:{folder}", input_shape=(40, 60, 3)).train
        (damaged,) = positions(small, "b/3.jpg")
        content = type(small.examples).content
        monkeypatch.setattr(
            type(small.examples),
            "content",
            lambda self, at: content(self, at)[: 9000 if at == damaged else None],
        )
        small.planned(np.arange(small.size))
        assert "b/3.jpg can't be read as an image" in small.explain(self.INVALID)
        assert other.explain(self.INVALID) is None

    def test_what_a_split_cannot_explain_is_raised_as_it_is(self, small):
        for error in (tf.errors.InternalError(None, None, "Out of luck"), ValueError("no")):
            with pytest.raises(type(error)) as raised, readable_errors(small):
                raise error
            assert raised.value is error
