"""Scenes of digits: pure functions, whose masks and boxes are of what can be seen."""

import functools

import numpy as np
import pytest

from kerascnn import data
from kerascnn.data import SPLITS, scenes
from kerascnn.errors import DataError

load = functools.partial(data.load, echo=None)
CROWD = scenes.plan("?size=24x40&digits=40")  # most are partly covered, some wholly


def painted(plan, split, index):
    """Which digit of `placed`, from 0, is on each pixel, -1 is none: pixel by pixel."""
    owner = np.full((plan.height, plan.width), -1)
    for number, one in enumerate(scenes.placed(plan, split, index)):
        for y, x in np.argwhere(one.ink >= 128).tolist():
            owner[one.top + y, one.left + x] = number
    return owner


def test_a_scene_depends_on_seed_split_and_number_alone():
    few, many = scenes.plan("?train=5"), scenes.plan("?train=9000&test=3")
    for make in (scenes.image, scenes.mask, scenes.boxes):
        np.testing.assert_array_equal(make(few, "train", 3), make(many, "train", 3))
        others = [make(few, "train", 4), make(few, "test", 3)]
        others.append(make(scenes.plan("?seed=1"), "train", 3))
        for other in others:
            assert not np.array_equal(make(few, "train", 3), other)


def test_the_digits_of_a_split_are_those_of_mnist5ks_own():
    digits = load("mnist5k")
    used = {split: {bytes(image) for image in scenes._pool(split).images} for split in SPLITS}
    for split in SPLITS:
        part = digits.splits[split]
        own = {bytes(part.example(n)[0]) for n in range(part.size)}
        assert used[split] == own
    assert not used["train"] & used["test"]
    assert not used["train"] & used["validation"]


@pytest.mark.parametrize("plan", [scenes.Plan(), CROWD])
def test_the_mask_says_whose_ink_a_pixel_is_and_the_later_covers_the_earlier(plan):
    for index in range(10):
        digits = scenes.placed(plan, "train", index)
        assert plan.fewest <= len(digits) <= plan.most
        of = np.array([0, *(1 + one.digit for one in digits)])
        np.testing.assert_array_equal(
            scenes.mask(plan, "train", index), of[painted(plan, "train", index) + 1]
        )


def test_a_box_is_around_what_can_be_seen_and_hidden_digits_have_none():
    hidden = difficult = 0
    for index in range(30):
        owner, expected = painted(CROWD, "train", index), []
        for number, one in enumerate(scenes.placed(CROWD, "train", index)):
            y, x = np.nonzero(owner == number)
            if len(y) == 0:
                hidden += 1
                continue
            hard = len(y) < (one.ink >= 128).sum() / 4
            difficult += hard
            box = (x.min(), y.min(), x.max() + 1, y.max() + 1)
            expected.append((*box, one.digit, hard))
        found = scenes.boxes(CROWD, "train", index)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.array(expected, "float32"))
    assert hidden > 5
    assert difficult > 20


def test_ink_differs_from_the_canvas_in_every_scene():
    plan = scenes.plan("?digits=1")
    for index in range(50):
        grey = scenes.image(plan, "train", index).mean(axis=2)
        ink = scenes.mask(plan, "train", index) > 0
        assert ink.sum() > 20
        canvas = grey[~ink]
        assert abs(grey[ink].mean() - canvas.mean()) > 1.5 * canvas.std()


def test_classes_and_numbers_of_digits_are_even():
    counts = np.zeros(10)
    lengths = np.zeros(4)
    for index in range(300):
        digits = scenes.placed(scenes.Plan(), "train", index)
        lengths[len(digits)] += 1
        for one in digits:
            counts[one.digit] += 1
    assert lengths[0] == 0
    assert (lengths[1:] > 70).all()
    assert (np.abs(counts - 60) < 30).all()  # 600 of ten classes: four standard deviations


def test_loaded_scenes_are_those_of_the_functions():
    made = load("digit_scenes?size=32x48&digits=1&train=9&validation=4&test=0&seed=5")
    plan = scenes.plan("?size=32x48&digits=1&seed=5")
    assert made.image_shape == (32, 48, 3)
    assert [made.splits[name].size for name in SPLITS] == [9, 4, 0]
    assert made.class_names == tuple("0123456789")
    assert not any("left out" in note for note in made.notes)
    for index in range(9):
        image, label = made.train.example(index)
        np.testing.assert_array_equal(image, scenes.image(plan, "train", index))
        assert label == scenes.boxes(plan, "train", index)[0, 4]
    images, labels = next(iter(made.train.batches(9)))
    np.testing.assert_array_equal(images[5], made.train.example(5)[0])
    assert labels.numpy().tolist() == made.train.labels.tolist()
    assert len(set(made.train.names)) == 9
    assert load("digit_scenes?size=32x48&digits=1&train=9&seed=6").fingerprint != made.fingerprint


def test_scenes_of_another_size_than_is_wanted_are_fitted_and_that_is_told():
    source = "digit_scenes?train=8&validation=1&test=1"
    found = load(source, target="mask", input_shape=(96, 96, 1))
    assert found.notes[0] == "64×64×3 images are resized to 96×96."
    assert found.notes[1] == "64×64×3 images are converted from colour to grey."
    image, mask = found.train.example(0)
    assert (image.shape, mask.shape) == ((96, 96, 1), (96, 96))


def test_a_label_is_that_of_scenes_with_one_class():
    made = load("digit_scenes?train=40&validation=0&test=0")
    known = {}
    for index in range(40):
        digits = {int(row[4]) for row in scenes.boxes(scenes.Plan(), "train", index)}
        if len(digits) == 1:
            known[index] = digits.pop()
    assert made.train.labels.tolist() == list(known.values())
    assert made.notes[0].startswith(f"{40 - len(known)} of 40 train images are left out: the label")


@pytest.mark.parametrize(("target", "make"), [("mask", scenes.mask), ("boxes", scenes.boxes)])
def test_masks_and_boxes_go_with_their_scenes(target, make):
    source = "digit_scenes?size=32x48&train=8&validation=1&test=1"
    found = load(source, target=target)
    plan = scenes.plan("?size=32x48")
    names = tuple("0123456789")
    assert found.class_names == (("background", *names) if target == "mask" else names)
    assert found.train.size == 8
    for index in range(8):
        np.testing.assert_array_equal(
            found.train.example(index)[0], scenes.image(plan, "train", index)
        )
        np.testing.assert_array_equal(found.train.targets.stored(index), make(plan, "train", index))
    assert found.fingerprint == load(source, target=target).fingerprint != load(source).fingerprint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "digit_scenes?size=8",
            "size must be such as 64 or 48x96, from 16 to 2,048. Received: '8'",
        ),
        ("digit_scenes?digits=3-1", "digits must rise, as in 1-3. Received: '3-1'."),
        ("digit_scenes?seed=-1", "seed must be such as 0"),
        ("digit_scenes?train=1e9", "train must be such as 0, from 0 to 1,000,000"),
        ("digit_scenes?colour=1", "Unknown option 'colour'; known: size, digits, seed, train"),
        ("digit_scenes:64", "Expected digit_scenes or digit_scenes.size=…&digits=…"),
        ("digit_scenes?", "Expected options such as .size=96&digits=2-5. Received: '.'"),
        ("digit_scenes?size", "Expected options such as"),
        ("mnist5k?size=3", "Expected mnist5k. Received: 'mnist5k.size=3'"),
        ("npz?size=3", "Expected npz:PATH. Received"),
    ],
)
def test_what_cannot_be_made_is_refused(source, message):
    with pytest.raises(DataError, match=message):
        load(source)
