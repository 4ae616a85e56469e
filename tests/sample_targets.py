"""Small masks and boxes."""

import hashlib

import numpy as np
import tensorflow as tf

from kerascnn.data import names
from kerascnn.data.boxes import Boxes
from kerascnn.data.masks import Masks
from kerascnn.data.motion import Motion
from kerascnn.data.sentinels import ABSENT, VOID


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


def digest(targets):
    found = hashlib.sha256()
    targets.digest(found.update)
    return found.hexdigest()


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
