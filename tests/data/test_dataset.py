"""A dataset as notebooks show it: what it is of, and some of its images with their targets."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
from PIL import Image

from kerascnn.data import ArraySplit, Boxes, Dataset, Masks
from kerascnn.data.sentinels import ABSENT

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 1)).astype("uint8")


def dataset(targets, **changes):
    empty = ArraySplit(IMAGES[:0], np.zeros(0, int))
    return replace(
        Dataset(
            name="<b>shapes",
            classes=2,
            class_names=("a", "<i>b"),
            image_shape=(16, 16, 1),
            licence="none",
            notes=(),
            left_out=(),
            fingerprint="x",
            train=ArraySplit(IMAGES, targets),
            validation=empty,
            test=empty,
        ),
        **changes,
    )


def pixels(shown):
    data = re.search('base64,([^"]+)', shown)[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_notebook_shows_what_it_is_of_and_some_images():
    shown = dataset(np.arange(10) % 2)._repr_html_()
    assert "<b>&lt;b&gt;shapes</b>" in shown
    assert "2: a, &lt;i&gt;b" in shown
    assert pixels(shown).shape[1] > 800


def test_masks_and_boxes_are_drawn_over_them():
    plain = pixels(dataset(np.zeros(10, int))._repr_html_())
    masks = np.zeros((10, 16, 16), "uint8")
    masks[:, 4:12, 4:12] = 1
    boxes = np.array([[[2, 2, 12, 12, 1, 0], [0, 0, 0, 0, ABSENT, 0]]] * 10, "float32")
    for targets in (Masks.of(masks, 2), Boxes.of(list(boxes), [(16, 16)] * 10)):
        colours = pixels(dataset(targets)._repr_html_())
        spread = np.ptp(colours, axis=-1)
        assert (spread > 60).sum() > 10 * (np.ptp(plain, axis=-1) > 60).sum() + 500


def test_one_without_images_has_no_picture():
    empty = ArraySplit(IMAGES[:0], np.zeros(0, int))
    assert "<img" not in dataset(np.zeros(10, int), train=empty)._repr_html_()
