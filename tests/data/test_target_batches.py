"""Order, shares, resuming and crops are the same for all targets, and move them as their images.

Images tell where each of their pixels was: red is its row, green its column, blue the image's
number. So a mask can be compared with its image, whatever was cut or mirrored.
"""

import dataclasses
import functools
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerascnn import data
from kerascnn.data import loading
from kerascnn.data.augmentation import augment, crops, motion
from kerascnn.data.boxes import Boxes
from kerascnn.data.delivery import deliver
from kerascnn.data.examples import Arrays, DataSource, Files
from kerascnn.data.masks import Masks
from kerascnn.data.names import Names
from kerascnn.data.order import positions
from kerascnn.data.sentinels import ABSENT, VOID
from kerascnn.errors import ArgumentError, DataError
from kerascnn.recipes.recipe import Augmentation

COUNT, SIDE = 11, 20
CANVAS = (24, 24, 3)  # padded by two pixels on each side
FLIPPED = Augmentation(canvas=24 / 16, flip=True)
KINDS = ("label", "mask", "boxes")


def picture(number):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.stack([10 * rows + 5, 10 * columns + 5, np.full_like(rows, 10 + number)], -1).astype(
        "uint8"
    )


def mask_of(pixels):
    """The class of each pixel, from its colours; `VOID` where the canvas is padded."""
    row, column, number = (pixels.astype(int) // np.array([10, 10, 1])).transpose(2, 0, 1)
    return np.where(number == 0, VOID, (row + 2 * column + 3 * number) % 200).astype("uint8")


def box_of(number):
    """Columns 4 to 9 and rows 6 to 15, whatever the image; the number is its label."""
    return [[4, 6, 10, 16, number, 0]]


def targets_of(kind, root=""):
    pictures = [picture(number) for number in range(COUNT)]
    if kind == "label":
        return np.arange(COUNT)
    if kind == "boxes":
        return Boxes.of([box_of(number) for number in range(COUNT)], [(SIDE, SIDE)] * COUNT)
    if not root:
        return Masks.of(np.stack(list(map(mask_of, pictures))), 200)
    paths = Names.of(f"{number}-mask.png".encode() for number in range(COUNT))
    return Masks(
        read=lambda position: np.asarray(Image.open(os.path.join(root, f"{position}-mask.png"))),
        names=paths,
        sizes=np.full(COUNT, -1),
        classes=200,
        root=str(root),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pictures as PNG files, each with its mask."""
    root = tmp_path_factory.mktemp("pictures")
    for number in range(COUNT):
        Image.fromarray(picture(number)).save(root / f"{number}.png")
        Image.fromarray(mask_of(picture(number))).save(root / f"{number}-mask.png")
    return root


def files(root, labels, ending="png"):
    names = Names.of(f"{number}.{ending}".encode() for number in range(len(labels)))
    return Files(str(root), names, np.full(len(labels), -1), labels, CANVAS)


@pytest.fixture(scope="module")
def split_of(folder):
    """From a way, "arrays", "files" or "fast", and a kind of targets to a split."""

    @functools.cache
    def made(way, kind):
        if way == "arrays":
            pictures = np.stack([picture(number) for number in range(COUNT)])
            return deliver(Arrays(pictures, targets_of(kind)), CANVAS)[0]
        return deliver(files(folder, targets_of(kind, folder)), CANVAS, fast=way == "fast")[0]

    return made


def collect(batches):
    return [tuple(part.numpy() for part in batch) for batch in batches]


def numbers(kind, targets):
    """Which image each target belongs to, by what it says."""
    if kind == "label":
        return targets.tolist()
    if kind == "boxes":
        return targets[:, 0, 4].astype(int).tolist()
    # In the middle of the canvas row and column are known.
    return [
        next(n for n in range(COUNT) if mask_of(picture(n))[10, 10] == m[12, 12]) for m in targets
    ]


@pytest.mark.parametrize(
    ("way", "kind"),
    [("arrays", "boxes"), ("files", "mask"), ("fast", "mask")],
)
def test_each_target_comes_with_its_image_in_the_order_of_seed_and_epoch(split_of, way, kind):
    split = split_of(way, kind)
    batches = collect(split.batches(4, seed=3, epochs=2))
    order = [images[:, 12, 12, 2].astype(int) - 10 for images, _ in batches]
    assert [found.tolist() for found in order] == [numbers(kind, targets) for _, targets in batches]
    expected = [positions(COUNT, 3, tf.constant(epoch, tf.int64)) for epoch in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(order), np.concatenate(expected))
    spec = split.batches(4, seed=3, drop_remainder=True).element_spec[1]
    shape, dtype = split.targets.element(CANVAS[:2])
    assert (tuple(spec.shape), spec.dtype) == ((4, *shape), dtype)


def test_an_epoch_that_is_resumed_and_shared_is_the_same(split_of):
    split = split_of("fast", "mask")
    cut, _ = crops(FLIPPED, seed=1, canvas=CANVAS[:2], size=(16, 16))
    options = {"seed": 3, "epochs": 3, "crops": cut, "with_index": True}
    whole = collect(split.batches(4, **options))
    later = {"first_epoch": 1, "first_step": 2, **options}
    halves = [collect(split.batches(4, share=(worker, 2), **later)) for worker in (0, 1)]
    for batch, *parts in zip(whole[5:], *halves, strict=True):
        for all_, *some in zip(batch, *parts, strict=True):
            np.testing.assert_array_equal(all_, np.concatenate(some))


@pytest.mark.parametrize("way", ["arrays", "fast"])
def test_masks_and_boxes_are_cut_and_mirrored_as_their_images_are(split_of, way):
    cut, left = crops(FLIPPED, seed=1, canvas=CANVAS[:2], size=(16, 16))
    assert left == dataclasses.replace(FLIPPED, canvas=1.0, flip=False)
    masks, boxes = (
        collect(split_of(way, kind).batches(4, seed=3, epochs=2, crops=cut))
        for kind in ("mask", "boxes")
    )
    mirrored = set()
    for image, mask, (box,) in (
        triple
        for (images, some), (_, others) in zip(masks, boxes, strict=True)
        for triple in zip(images, some, others, strict=True)
    ):
        np.testing.assert_array_equal(mask, mask_of(image))
        rows, columns = (image[..., channel] // 10 for channel in (0, 1))
        inside = (image[..., 2] > 0) & (rows >= 6) & (rows < 16)
        y, x = np.nonzero(inside & (columns >= 4) & (columns < 10))
        seen = [x.min(), y.min(), x.max() + 1, y.max() + 1, image[8, 8, 2] - 10, 0]
        assert box.tolist() == seen
        mirrored.add(bool(image[8, 4, 1] > image[8, 10, 1]))
    assert mirrored == {True, False}


def test_augmentation_moves_a_mask_as_its_image():
    """Through the same draw: what is turned, sheared, scaled and shifted is so in both."""
    blocks = np.kron(np.random.default_rng(0).integers(0, 2, (8, 5, 5)), np.ones((8, 8)))
    masks = tf.constant(blocks, tf.uint8)
    images = tf.cast(masks, tf.float32)[..., None] * 200 + 50
    changes = Augmentation(rotation=20, zoom=0.2, shear=0.1, shift=0.1, flip=True)
    index, epoch = tf.range(8, dtype=tf.int64), tf.zeros(8, tf.int64)
    pixels = augment(images, index, epoch, seed=5, augmentation=changes)[..., 0].numpy()
    moved = motion(index, epoch, seed=5, augmentation=changes, canvas=(40, 40), size=(40, 40))
    found = Masks.moved(masks, moved).numpy()
    sure = [pixels == 250, pixels == 50, pixels == 0]
    assert [np.unique(found[where]).tolist() for where in sure] == [[1], [0], [VOID]]
    assert sum(where.mean() for where in sure) > 0.6


def test_the_fast_way_for_jpeg_files_moves_a_mask_as_its_image(tmp_path):
    """It is halved while it is decoded; red tells its row, green its column."""
    rows, columns = np.mgrid[:96, :96]
    ramps = np.stack([2 * rows, 2 * columns, np.full_like(rows, 90)], -1).astype("uint8")
    for number in range(4):
        Image.fromarray(ramps).save(tmp_path / f"{number}.jpg", quality=98, subsampling=0)
    masks = np.stack([rows, columns, rows, columns]).astype("uint8")
    examples = files(tmp_path, Masks.of(masks, 96), "jpg")
    split, _ = deliver(examples, (48, 48, 3), fast=True)
    cut, _ = crops(Augmentation(canvas=48 / 40, flip=True), seed=1, canvas=(48, 48), size=(40, 40))
    batches = collect(split.batches(2, seed=0, epochs=4, crops=cut, with_index=True))
    for images, found, index, _ in batches:
        for image, mask, position in zip(images, found, index, strict=True):
            expected = image[..., position % 2].astype(float) / 2
            assert np.abs(mask - expected).max() <= 2


def test_parts_and_unions_of_splits_keep_their_targets(split_of):
    for kind in KINDS:
        split = split_of("files", kind)
        part = split.take(np.array([7, 2]))
        whole = data.joined([part, split.take(np.array([5]))])
        for place, position in enumerate([7, 2, 5]):
            image, target = whole.example(place)
            np.testing.assert_array_equal(target, split.example(position)[1])
            np.testing.assert_array_equal(image, split.example(position)[0])
        assert whole.targets.kind == kind


def test_labels_are_refused_where_there_are_none(split_of):
    splits = {kind: split_of("arrays", kind) for kind in KINDS}
    assert splits["label"].labels.dtype == np.int32
    assert splits["label"].example(4)[1] == 4
    with pytest.raises(ArgumentError, match=r"one class each\. Received: masks"):
        _ = splits["mask"].labels
    with pytest.raises(ArgumentError, match=r"balance.*one label\. Received: boxes"):
        splits["boxes"].batches(2, seed=0, balance=True)


@pytest.mark.parametrize("fast", [False, True])
def test_a_mask_that_does_not_fit_is_named_when_training_meets_it(folder, fast):
    masks = targets_of("mask", folder)
    small = dataclasses.replace(masks, read=lambda position: masks.read(position)[:-1])
    split, _ = deliver(files(folder, small), CANVAS, fast=fast)
    with (
        pytest.raises(DataError, match=r"0-mask\.png: .*20×20 .*Received: 19×20"),
        data.readable_errors(split),
    ):
        collect(split.batches(2))


def source_of(examples, targets=("mask", "label")):
    def read(argument, options):
        names = list(map(str, range(200)))
        if options.target == "mask":
            return data.contents("toy", names, {"train": examples}, options)
        part = dataclasses.replace(examples, labels=np.zeros(COUNT, int))
        return data.contents("toy", names[:1], {"train": part}, options)

    return DataSource(read=read, targets=targets)


@pytest.fixture
def load(monkeypatch):
    def loaded(source, **options):
        monkeypatch.setattr(loading.registry, "load", lambda *names: source)
        return data.load("toy", echo=None, input_shape=CANVAS, **options)

    return loaded


def test_a_source_is_asked_for_the_targets_that_are_wanted(load, folder):
    source = source_of(files(folder, targets_of("mask", folder)))
    masks, labels = load(source, target="mask"), load(source)
    assert (masks.target, masks.train.targets.kind, labels.target) == ("mask", "mask", "label")
    assert masks.train.size + masks.validation.size + masks.test.size == COUNT
    np.testing.assert_array_equal(masks.train.ids, labels.train.ids)
    assert masks.fingerprint != labels.fingerprint
    assert masks.fingerprint == load(source, target="mask").fingerprint
    with pytest.raises(DataError, match=r"toy has no boxes\. It has masks, labels"):
        load(source, target="boxes")


def test_a_source_that_gives_other_targets_than_it_says_is_told_so(load, folder):
    source = source_of(files(folder, targets_of("mask", folder)), ("boxes",))
    with pytest.raises(DataError, match=r"expected train images with boxes\. Received: labels"):
        load(source, target="boxes")


def test_bad_masks_are_found_before_training_and_can_be_left_out(load, folder):
    masks = targets_of("mask", folder)

    def read(position):
        mask = masks.read(position)
        return {3: mask[:-1], 8: np.full_like(mask, 200)}.get(position, mask)

    source = source_of(files(folder, dataclasses.replace(masks, read=read)))
    with pytest.raises(DataError, match=r"3-mask\.png.*1 others can't.*--skip-corrupt"):
        load(source, target="mask")
    found = load(source, target="mask", skip_corrupt=True, split="all")
    assert found.test.size == COUNT - 2
    assert [line.split(":")[0].split("/")[-1] for line in found.left_out] == [
        "3-mask.png",
        "8-mask.png",
    ]


def test_a_network_for_other_targets_refuses_a_dataset(load, folder):
    dataset = load(source_of(files(folder, targets_of("mask", folder))), target="mask")
    options = {"seed": 0, "skip_corrupt": False, "echo": print}
    assert data.load_for(dataset, CANVAS, target="mask", **options) is dataset
    with pytest.raises(
        ArgumentError, match=r"with labels, the Dataset toy has masks\. Load it with"
    ):
        data.load_for(dataset, CANVAS, **options)


def test_images_of_labels_have_the_fingerprint_of_version_0():
    """Else runs that were trained before there were other targets couldn't go on."""
    found = data.load("mnist5k", echo=None).fingerprint
    assert found == "bc3dd12753e22aeb83d576ff368ada078364d55c352b8bbe21f43eef644952e7"


def test_an_absent_box_says_so_in_a_batch():
    boxes = Boxes.of([box_of(0), []], [(SIDE, SIDE)] * 2)
    split, _ = deliver(Arrays(np.stack([picture(0)] * 2), boxes), (SIDE, SIDE, 3))
    ((_, found),) = collect(split.batches(2))
    assert found[:, :, 4].tolist() == [[0], [ABSENT]]


def test_a_split_takes_the_class_numbers_of_a_run(split_of):
    splits = {kind: split_of("arrays", kind) for kind in KINDS}
    table = np.arange(200)[::-1]
    assert splits["label"].relabelled(table).labels.tolist() == (199 - np.arange(COUNT)).tolist()
    ((_, masks),) = collect(splits["mask"].relabelled(table).batches(COUNT))
    ((_, before),) = collect(splits["mask"].batches(COUNT))
    np.testing.assert_array_equal(masks, np.where(before == VOID, VOID, 199 - before.astype(int)))
