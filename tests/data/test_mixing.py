"""mixup and CutMix against NumPy: pixels, boxes, shares, and how shares are distributed."""

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.data.draws import Draw
from kerascnn.data.mixing import boxes, mixed, mixes, partners, quantile
from kerascnn.errors import ArgumentError
from kerascnn.recipes.recipe import Augmentation, Recipe

COUNT, SIZE = 512, (12, 16)
INDEX = np.arange(COUNT)
IMAGES = np.random.default_rng(0).uniform(0, 256, (COUNT, *SIZE, 3)).astype("float32")
LABELS = np.random.default_rng(1).integers(0, 7, COUNT).astype("int32")


def mix(changes, at=INDEX, seed=0, epoch=0):
    epochs = tf.fill([len(at)], tf.constant(epoch, tf.int64))
    found = mixed(
        tf.constant(IMAGES[at]),
        tf.constant(LABELS[at]),
        tf.constant(at, tf.int64),
        epochs,
        seed=seed,
        augmentation=changes,
    )
    return [part.numpy() for part in found]


@pytest.mark.parametrize("batch", [1, 2, 6, 7])
def test_partners_are_neighbours_in_pairs(batch):
    found = partners(batch)
    pairs = batch // 2 * 2
    assert found[:pairs].tolist() == [n + 1 if n % 2 == 0 else n - 1 for n in range(pairs)]
    if batch % 2:
        assert found[-1] == 0


def test_mixup_adds_two_images_up_by_the_shares_of_their_labels():
    images, targets = mix(Augmentation(mixup=0.4))
    other = partners(COUNT)
    np.testing.assert_array_equal(targets[:, 0], LABELS)
    np.testing.assert_array_equal(targets[:, 1], LABELS[other])
    share = targets[:, 2, None, None, None]
    np.testing.assert_allclose(images, share * IMAGES + (1 - share) * IMAGES[other], atol=1e-3)


def test_cutmix_shares_labels_by_the_area_of_the_box_behind_its_clipping():
    images, targets = mix(Augmentation(cutmix=1.0))
    other = partners(COUNT)
    own = (images == IMAGES).all(-1)
    np.testing.assert_array_equal(images, np.where(own[..., None], IMAGES, IMAGES[other]))
    np.testing.assert_allclose(targets[:, 2], own.mean((1, 2)), atol=1e-6)
    for hidden in ~own[~own.all((1, 2))]:
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert hidden[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all(), "one box"
    touches = ~own[:, [0, -1]].all((1, 2)) | ~own[:, :, [0, -1]].all((1, 2))
    assert 0.3 < touches.mean() < 1, "boxes reach beyond the edges, too"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_a_box_has_the_authors_corners(share):
    """`rand_bbox` of their code, with the places that were drawn here."""
    draw = Draw(tf.range(64, dtype=tf.int64), tf.zeros(64, tf.int64), 3)
    inside, kept = boxes(draw, tf.fill([64], tf.constant(share)), SIZE)
    for number in range(64):
        clip, found = [], inside[number].numpy()
        for stream, side in ((31, SIZE[0]), (30, SIZE[1])):
            length = int(side * np.sqrt(np.float32(1 - share)))
            centre = int((draw(stream)[number] + 1) / 2 * side)
            clip.append(slice(max(0, centre - length // 2), min(side, centre + length // 2)))
        expected = np.zeros(SIZE, bool)
        expected[clip[0], clip[1]] = True
        np.testing.assert_array_equal(found, expected)
        assert float(kept[number]) == pytest.approx(1 - expected.mean(), abs=1e-6)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 4.0])
def test_shares_are_distributed_as_beta(alpha):
    """Moments of Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)); and its own quantiles."""
    probability = (np.arange(2000, dtype="float32") + 0.5) / 2000
    found = quantile(alpha, tf.constant(probability)).numpy()
    assert found.mean() == pytest.approx(0.5, abs=1e-3)
    assert found.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.01)
    assert (np.diff(found) >= 0).all()
    inner = (found > 1e-3) & (found < 1 - 1e-3)
    back = tf.math.betainc(alpha, alpha, tf.constant(found[inner])).numpy()
    np.testing.assert_allclose(back, probability[inner], atol=1e-4)
    if alpha == 1:
        np.testing.assert_allclose(found, probability, atol=1e-6)


def test_with_both_each_image_goes_one_way_and_with_a_part_the_others_stay():
    both = Augmentation(mixup=1.0, cutmix=1.0)
    (images, targets), (up, _), (cut, _) = (
        mix(changes) for changes in (both, Augmentation(mixup=1.0), Augmentation(cutmix=1.0))
    )
    ways = [np.isclose(images, other, atol=1e-3).all((1, 2, 3)) for other in (up, cut)]
    assert (ways[0] | ways[1]).all()
    assert 0.4 < ways[0].mean() < 0.6
    images, targets = mix(Augmentation(mixup=1.0, mixed=0.3))
    stay = targets[:, 2] == 1
    np.testing.assert_array_equal(images[stay], IMAGES[stay])
    assert 0.6 < stay.mean() < 0.8
    assert not mixes(Augmentation(mixup=1.0, mixed=0.0))


@pytest.mark.parametrize("changes", [Augmentation(mixup=0.3, cutmix=1.0, mixed=0.9)])
def test_a_pair_is_mixed_alike_in_any_batch(changes):
    """So two workers, each with its half, see what one would see; other epochs see another mix."""
    images, targets = mix(changes)
    for part in (slice(0, 8), slice(8, 512)):
        some, theirs = mix(changes, INDEX[part])
        np.testing.assert_array_equal(some, images[part])
        np.testing.assert_array_equal(theirs, targets[part])
    for other in ({"seed": 1}, {"epoch": 1}):
        assert np.abs(mix(changes, **other)[1][:, 2] - targets[:, 2]).mean() > 0.1


def test_a_recipe_says_what_it_mixes_and_what_that_excludes():
    space = Recipe(augmentation=Augmentation(mixup=0.2)).space()
    assert space["mixup"].search == (0.0, 0.2)
    assert space["cutmix"].search is None
    recipe = Recipe(augmentation=Augmentation(mixup=0.2, erase=0.25))
    assert recipe.changed({"mixup": 0.0, "cutmix": 1.0}).augmentation == Augmentation(
        cutmix=1.0, erase=0.25
    )
    assert recipe.changed({"augmentation": 2.0}).augmentation.erase == 0.5
    assert recipe.changed({}) == recipe
    for wrong in ({"mixup": -1.0}, {"cutmix": 1e-9}, {"mixed": 1.5}, {"erase": 2.0}):
        with pytest.raises(ArgumentError, match=f"augmentation.{next(iter(wrong))} must be"):
            Augmentation(**wrong)
    for wrong in ((0.0, 0.3), (0.5, 0.2), (0.5, 1.0)):
        with pytest.raises(ArgumentError, match="erase_area must be"):
            Augmentation(erase_area=wrong)
    with pytest.raises(ArgumentError, match=r"mixup must be 0 with a loss of the recipe's own"):
        Recipe(loss="package.module:Loss", augmentation=Augmentation(mixup=0.2))
