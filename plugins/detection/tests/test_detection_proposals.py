"""Proposals against torchvision's, and the authors' order of filters by hand."""

import numpy as np
import pytest
import tensorflow as tf
from kerascnn_detection.anchors import Anchors
from kerascnn_detection.proposals import TESTED, TRAINED, Thinning, proposals


def maps_of(one, arrays):
    """Anchors, logits and codes, each map by map."""
    height, width = (max(sides) for sides in zip(*one["image_sizes"]))
    anchors = [
        Anchors.torchvision(sizes, one["ratios"]).over(*size, (height // size[0], width // size[1]))
        for sizes, size in zip(one["sizes"], one["maps"])
    ]
    cuts = np.cumsum([len(part) for part in anchors])[:-1]
    logits = np.split(arrays[f"{one['name']}_objectness"][..., 0], cuts, axis=1)
    return anchors, logits, np.split(arrays[f"{one['name']}_deltas"], cuts, axis=1)


@pytest.mark.parametrize("name", ["single_min16", "levels", "score_threshold"])
def test_proposals_are_torchvisions(case, name):
    """Of one map and of three; also where the images of a batch differ in size."""
    one, arrays = case("torchvision-proposals", name=name)
    thinning = Thinning(
        before=one["pre_nms_top_n"],
        after=one["post_nms_top_n"],
        overlap=one["nms_thresh"],
        least_side=one["min_size"],
        small_first=False,
        least_score=one["score_thresh"],
    )
    sizes = np.array(one["image_sizes"], "float32")
    boxes, scores, there = proposals(*maps_of(one, arrays), (sizes[:, :1], sizes[:, 1:]), thinning)
    assert boxes.shape == (len(sizes), thinning.after, 4)
    np.testing.assert_array_equal(np.sum(there, axis=1), one["kept"])
    for number, kept in enumerate(one["kept"]):
        np.testing.assert_allclose(
            boxes[number, :kept], arrays[f"{name}_boxes{number}"], atol=1e-4, rtol=1e-5
        )
        np.testing.assert_allclose(
            scores[number, :kept], arrays[f"{name}_scores{number}"], atol=1e-6
        )
        assert not np.any(boxes[number, kept:])
        assert not np.any(scores[number, kept:])


def test_a_whole_networks_proposals_are_torchvisions(golden):
    facts, arrays = golden("torchvision-fasterrcnn")
    settings = facts["settings"]
    anchors = Anchors.torchvision(settings["anchors"][0], settings["ratios"]).over(16, 20, (16, 16))
    np.testing.assert_array_equal(anchors, arrays["anchors"])
    thinning = Thinning(
        before=settings["pre_nms_top_n"],
        after=settings["post_nms_top_n"],
        overlap=settings["rpn_nms"],
        least_side=settings["rpn_min_size"],
        small_first=False,
    )
    logits = arrays["rpn_objectness_0"].reshape(1, -1)
    codes = arrays["rpn_deltas_0"].reshape(1, -1, 4)
    boxes, _, there = proposals([anchors], [logits], [codes], (256, 320), thinning)
    assert there.numpy().all()
    np.testing.assert_allclose(boxes[0], arrays["proposals"], atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(("small_first", "kept"), [(True, [1, 2]), (False, [1])])
def test_small_boxes_take_places_among_the_best_or_not(small_first, kept):
    """The authors leave them out before the best are taken, torchvision after."""
    anchors = tf.constant([[0.0, 0, 8, 8], [20, 20, 60, 60], [70, 70, 99, 99]])
    thinning = Thinning(before=2, after=3, small_first=small_first)
    boxes, _, there = proposals(
        [anchors], [tf.constant([[3.0, 2, 1]])], [tf.zeros([1, 3, 4])], (100, 100), thinning
    )
    np.testing.assert_array_equal(boxes[0][there[0]], anchors.numpy()[kept])


def test_no_gradient_goes_through_proposals():
    anchors, codes = tf.constant([[0.0, 0, 40, 40]]), tf.Variable(tf.zeros([1, 1, 4]))
    with tf.GradientTape() as tape:
        boxes, *_ = proposals([anchors], [tf.ones([1, 1])], [codes], (50, 50), TESTED)
        total = tf.reduce_sum(boxes)
    assert total == 80
    assert tape.gradient(total, codes) is None


def test_the_authors_numbers_are_theirs():
    assert (TRAINED.before, TRAINED.after, TESTED.before, TESTED.after) == (12000, 2000, 6000, 300)
    assert TRAINED.overlap == TESTED.overlap == 0.7
    assert TRAINED.least_side == TESTED.least_side == 16
    assert TRAINED.small_first
    assert TESTED.small_first
