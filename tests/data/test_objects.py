"""One label for images with several objects."""

import numpy as np

from kerascnn.data.objects import SEVERAL, one_class


def test_an_image_has_the_class_that_all_its_objects_have():
    per_image = [[3], [], [2, 2], [1, 2], [0, 0, 0], []]
    labels = np.array([label for image in per_image for label in image])
    starts = np.cumsum([0, *map(len, per_image)])
    assert one_class(labels, starts).tolist() == [3, SEVERAL, 2, SEVERAL, 0, SEVERAL]
    assert one_class(labels[:0], np.zeros(3, int)).tolist() == [SEVERAL, SEVERAL]
