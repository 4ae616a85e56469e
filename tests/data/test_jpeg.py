"""The fast way for JPEG files: the same images as the general way, and only where it may be."""

import collections
import functools
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerascnn import data
from kerascnn.data import images, jpeg
from kerascnn.data.augmentation import augment, crops
from kerascnn.data.splits import Crops, ReadSplit
from kerascnn.errors import DataError
from kerascnn.recipes.recipe import Augmentation

load = functools.partial(data.load, echo=None, validation=0, test=0)
# How far an image of the fast way may be from Pillow's, in grey levels of 255. The files below
# differ by 0.4 to 1.1 on average; had they been shifted by one pixel of the file, by 2.2.
MEAN, MOST = 1.5, 15


def photograph(seed=0, height=375, width=500):
    """Clouds of all sizes: like a photograph's, their amplitude falls with the frequency."""
    rng = np.random.default_rng(seed)
    total = np.full((height, width, 3), 128.0)
    for side, weight in ((4, 70), (16, 30), (64, 10), (180, 4)):
        for channel in range(3):
            noise = Image.fromarray(rng.normal(size=(side * 3 // 4, side)).astype("float32"))
            large = noise.resize((width, height), Image.Resampling.BICUBIC)
            total[..., channel] += weight * np.asarray(large)
    return Image.fromarray(np.clip(total, 0, 255).astype("uint8"))


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=90, **options)
    return path


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


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


@pytest.mark.parametrize("changes", [{"rotation": 5.0}, {"resize": (1.0, 2.0)}, {"pad": 0.1}])
def test_other_changes_are_left_to_the_augmentation(changes):
    recipe = Augmentation(canvas=36 / 32, flip=True, **changes)
    assert crops(recipe, seed=0, canvas=(36, 36), size=(32, 32)) == (None, recipe)


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


def test_only_plain_whole_files_take_the_fast_way(tmp_path):
    def header(image, **options):
        return jpeg.plain(save(tmp_path / "x.jpg", image, **options).read_bytes())

    image = photograph(0, 90, 120)
    assert header(image) == (90, 120, 3)
    assert header(image.convert("L")) == (90, 120, 1)
    assert header(image, exif=turned(1)) == (90, 120, 3)
    assert header(image, exif=turned(3)) is None
    assert header(image, xmp=b'<x tiff:Orientation="6"/>') is None
    assert header(image.convert("CMYK")) is None
    content = save(tmp_path / "x.jpg", image).read_bytes()
    assert jpeg.plain(content[: len(content) // 2]) is None
    for cut in range(0, 400, 7):
        assert jpeg.plain(content[:cut]) is None
        jpeg.plain(content[:cut] + b"\xff\xd9")  # raises nothing
    image.save(tmp_path / "x.png")
    assert jpeg.plain((tmp_path / "x.png").read_bytes()) is None


@pytest.mark.parametrize(
    ("size", "wanted", "ratio"),
    [((375, 500), 187, 1), ((375, 500), 140, 2), ((512, 2000), 96, 4), ((4000, 3000), 32, 8)],
)
def test_decoding_at_a_fraction_is_never_smaller_than_wanted(tmp_path, size, wanted, ratio):
    content = save(tmp_path / "x.jpg", Image.new("RGB", size[::-1])).read_bytes()
    way = jpeg.plan(content, (wanted, wanted, 3))
    assert way.ratio == ratio
    assert min(way.height, way.width) >= wanted


def test_a_damaged_file_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("kerascnn.data.encoded.VERIFY_LIMIT", 0)
    content = (folder / "a" / "0.jpg").read_bytes()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "good.jpg").write_bytes(content)
    code = content.index(b"\xff\xc4") + 4
    no_code = content[:code] + b"\x77" + content[code + 1 :]  # only the decoder finds this
    assert jpeg.plan(no_code, (64, 64, 3))
    for name, damaged in (("cut", content[:9000]), ("code", no_code)):
        (tmp_path / "a" / f"{name}.jpg").write_bytes(damaged)
        split = load(f"folder:{tmp_path}", input_shape=(64, 64, 3)).train
        with pytest.raises(tf.errors.OpError) as raised:
            list(split.batches(2))
        assert f"{name}.jpg can't be read as an image" in split.explain(raised.value)
        (tmp_path / "a" / f"{name}.jpg").unlink()


def kinds(side=64):
    """A small photograph in every way that cameras and programs write it."""
    image = photograph(0, side, side + 16)
    exif = turned(1)
    exif[0x010F] = "maker"
    ways = {
        "baseline": {},
        "progressive": {"progressive": True},
        "restart": {"restart_marker_blocks": 4},
        "progressive with restarts": {"progressive": True, "restart_marker_rows": 2},
        "4:4:4": {"subsampling": 0},
        "4:2:0": {"subsampling": 2},
        "optimized": {"optimize": True},
        "exif": {"exif": exif},
    }
    found = {}
    for name, options in ways.items():
        file = io.BytesIO()
        image.save(file, "jpeg", quality=90, **options)
        found[name] = file.getvalue()
    file = io.BytesIO()
    image.convert("L").save(file, "jpeg", quality=90)
    return {**found, "grey": file.getvalue()}


def damaged(content, rng):
    """The file with a bit flipped, a marker or other bytes in it, or a part cut out."""
    content, at = bytearray(content), int(rng.integers(2, len(content)))
    match int(rng.integers(5)):
        case 0:
            content[at] ^= 1 << int(rng.integers(8))
        case 1:
            content[at : at + 4] = b"\xff\xe5\xff\xff"
        case 2:
            for place in rng.integers(2, len(content), 8):
                content[place] = rng.integers(256)
        case 3:
            content[at : at + 2] = bytes([0xFF, rng.integers(256)])
        case _:
            del content[at : at + int(rng.integers(1, 50))]
    return bytes(content)


def judged(content, shape=(32, 32, 3)):
    """Whether `data check`, `--skip-corrupt` and training read a file."""

    def reads(function):
        try:
            function()
        except (DataError, tf.errors.OpError):
            return False
        return True

    checked = reads(lambda: images.inspect("x.jpg", content))
    kept = reads(lambda: images.read("x.jpg", shape, content))
    trained = kept
    if way := jpeg.plan(content, shape):
        part = (0, 0, *shape[:2])
        trained = reads(lambda: jpeg.decode(content, tf.constant(way), shape, part))
    return checked, kept, trained


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [400, pytest.param(5000, marks=pytest.mark.slow)])
def test_checking_and_training_judge_damaged_files_alike(count):
    rng = np.random.default_rng(count)
    whole = list(kinds().values())
    assert {judged(content) for content in whole} == {(True,) * 3}
    files = [damaged(whole[number % len(whole)], rng) for number in range(count)]
    found = collections.Counter(map(judged, files))
    assert set(found) == {(True,) * 3, (False,) * 3}
    assert min(found.values()) > count / 10
    assert sum(bool(jpeg.plan(content, (32, 32, 3))) for content in files) > count / 3


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
    with pytest.raises(tf.errors.OpError) as raised:
        list(split.batches(2))
    assert "a/0.jpg can't be read as an image by TensorFlow" in split.explain(raised.value)


def test_pillow_reads_the_same_from_memory(folder):
    path = folder / "a" / "turned.jpg"
    one, two = images.read(path, (64, 64, 3)), images.read("x", (64, 64, 3), path.read_bytes())
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1] == two[1]
