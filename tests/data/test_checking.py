"""What `check` and `preview` find in masks and boxes, which are read beside their images."""

import json
import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn import data
from kerascnn.cli import app
from kerascnn.commands.data import _previewed
from kerascnn.data import checking, images, loading
from kerascnn.data.boxes import Boxes
from kerascnn.data.examples import Arrays, Contents, DataSource, Files
from kerascnn.data.masks import Masks
from kerascnn.data.names import Names
from kerascnn.data.sentinels import VOID
from kerascnn.errors import ArgumentError, DataError
from kerascnn.recipes.recipe import Augmentation

NAMES = ("background", "cat", "dog")
COUNT, SIDE = 6, 12


def call(*words, status=0):
    result = CliRunner().invoke(app, ["data", *map(str, words)], env={"COLUMNS": "80"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.stdout


def mask(number):
    """Of a cat of 9 pixels; in the first image nothing is known beside it."""
    found = np.full((SIDE, SIDE), 0 if number else VOID, "uint8")
    found[2:5, 2:5] = 1
    return found


def install(monkeypatch, name, source):
    """Make it a source of this name, beside all others."""
    load = loading.registry.load

    def found(group, wanted, kind):
        return source if wanted == name else load(group, wanted, kind)

    monkeypatch.setattr(loading.registry, "load", found)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """`toy`: image files, each with a mask file, or with boxes."""
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), "uint8")
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        Image.fromarray(mask(number)).save(tmp_path / f"{number}-mask.png")

    def read_mask(position):
        path = tmp_path / f"{position}-mask.png"
        if not path.exists():
            raise images.unreadable(path, ValueError("there is no such file"))
        return np.asarray(Image.open(path))

    def read(argument, options):
        paths, sizes = Names.of(b"%d.png" % n for n in range(COUNT)), np.full(COUNT, -1)
        if options.target == "mask":
            names = Names.of(b"%d-mask.png" % n for n in range(COUNT))
            labels = Masks(read=read_mask, names=names, sizes=sizes, classes=3, root=str(tmp_path))
        else:
            boxes = [[[2, 2, 5, 5, 1, 0], [6, 6, 9, 9, 2, 1]]] * 4 + [[], [[0, 0, 2, 2, 1, 0]]]
            labels = Boxes.of(boxes, [(SIDE, SIDE)] * COUNT)
        files = Files(os.fspath(tmp_path), paths, sizes, labels, (0, 0, 0))
        return data.contents("toy", NAMES, {"train": files}, options)

    source = DataSource(read=read, targets=("mask", "boxes"))
    install(monkeypatch, "toy", source)
    return tmp_path


def test_pixels_of_masks_are_counted_by_class_and_split(toy):
    report = checking.check("toy")
    assert (report.target, report.images, report.corrupt) == ("mask", COUNT, [])
    assert report.counts == {"train": {"background": 5 * 135, "cat": 6 * 9, "dog": 0}}
    assert report.images_with == {"train": {"background": 5, "cat": 6, "dog": 0}}
    assert report.nowhere == {"train": 135}
    assert report.usable
    shown = call("check", "toy")
    for text in ("6 images with masks", "in images", "135 pixels (15.6%) are of no class", "dog"):
        assert text in shown
    assert "its masks fit it" in shown


def test_objects_in_boxes_are_counted_by_class_and_split(toy):
    report = checking.check("toy", target="boxes")
    assert report.counts == {"train": {"background": 0, "cat": 5, "dog": 4}}
    assert report.images_with == {"train": {"background": 0, "cat": 5, "dog": 4}}
    assert report.nowhere == {"train": 1}
    shown = call("check", "toy", "--target", "boxes")
    assert "1 image has no object" in shown
    assert "objects of each class" in shown


def test_all_bad_masks_are_found(toy):
    Image.fromarray(mask(1)[:-1]).save(toy / "1-mask.png")
    (toy / "2-mask.png").unlink()
    Image.fromarray(np.full((SIDE, SIDE), 3, "uint8")).save(toy / "3-mask.png")
    (toy / "4.png").write_bytes(b"no image")
    shown = json.loads(call("check", "toy", "--json", status=1))
    bad = {
        os.path.basename(line.split(": ")[0].split(" can't")[0]): line for line in shown["corrupt"]
    }
    assert list(bad) == ["1-mask.png", "2-mask.png", "3-mask.png", "4.png"]
    assert "12×12" in bad["1-mask.png"]
    assert "no such file" in bad["2-mask.png"]
    assert "144 pixels" in bad["3-mask.png"]
    assert shown["counts"]["train"]["cat"] == 3 * 9, "of masks that are right"
    assert "masks that don't fit: 4" in call("check", "toy", status=1)


def test_the_same_image_with_another_mask_is_a_contradiction(toy):
    for number, other in ((1, 2), (3, 5)):
        (toy / f"{other}.png").write_bytes((toy / f"{number}.png").read_bytes())
    Image.fromarray(np.roll(mask(2), 3)).save(toy / "2-mask.png")
    report = checking.check("toy")
    assert len(report.duplicates) == 2
    assert [[e.place for e in group] for group in report.contradictory()] == [["1.png", "2.png"]]
    assert "with several masks: 1" in call("check", "toy")


def test_a_source_without_masks_says_what_it_has():
    with pytest.raises(DataError, match=r"mnist5k has no masks\. It has labels"):
        call("check", "mnist5k", "--target", "mask")


def test_masks_are_drawn_as_epochs_of_training_see_them(toy, monkeypatch):
    from kerascnn import overlays

    seen = {}
    draw = overlays.augmented

    def spied(*arguments, **options):
        seen.update(options)
        return draw(*arguments, **options)

    monkeypatch.setattr(overlays, "augmented", spied)
    words = ("--for", "resnet20_cifar", "--input-shape", "12x12x3", "--images", 2)
    call("preview", "toy", *words, "--save", toy / "preview.png")
    assert seen["draw"] == Masks.draw
    original, *draws = seen["targets"]
    dataset = data.load("toy", target="mask", input_shape=(12, 12, 3), echo=None)
    np.testing.assert_array_equal(original[0], dataset.train.example(0)[1])
    assert len(draws) == 3
    assert any((found != original).any() for found in draws), "the recipe shifts and mirrors"
    assert Image.open(toy / "preview.png").width > 300


def test_a_preview_refuses_what_boxes_cannot_follow(toy, tmp_path):
    recipe = tmp_path / "bent.toml"
    recipe.write_text("augmentation = {elastic = 0.1}\n")
    words = ("--for", "lenet5", "--recipe", recipe, "--target", "boxes")
    with pytest.raises(ArgumentError, match=r"bends images, and their boxes can't.*elastic=0"):
        call("preview", "toy", *words)


def test_arrays_with_masks_are_checked_too(monkeypatch):
    masks = np.stack([mask(number) for number in range(COUNT)])
    masks[3, 0, 0] = 7
    pixels = np.zeros((COUNT, SIDE, SIDE, 1), "uint8")

    def read(argument, options):
        part = Arrays(pixels, Masks.of(masks, 3))
        return Contents(class_names=NAMES, splits={"train": part})

    source = DataSource(read=read, targets=("mask",))
    monkeypatch.setattr(loading.registry, "load", lambda *names: source)
    (line,) = checking.check("toy").corrupt
    assert line.startswith("mask 3: ")


class Points(data.Targets):
    """A point for each image, as another package may add it: x, y, class."""

    kind = "point"

    def __init__(self, points):
        self.points = points

    def __len__(self):
        return len(self.points)

    def take(self, index):
        return type(self)(self.points[index])

    def digest(self, update):
        update(np.ascontiguousarray(self.points))

    def stored(self, position):
        return self.points[position]

    def element(self, size):
        return (3,), "float32"

    def fitted(self, position, shape):
        return self.points[position]


class CountedPoints(Points):
    unit = "points"

    @classmethod
    def count(cls, target, classes):
        return np.bincount([int(target[2])], minlength=classes), 0

    @classmethod
    def draw(cls, axes, target, class_names, *, left=0.0, top=0.0, pixel=1.0):
        axes.plot(left + target[0] * pixel, top + target[1] * pixel, "o", color="#ff00ff")
        return (int(target[2]),)


@pytest.fixture
def pointed(request, monkeypatch):
    """`pointed`: grey arrays, each with a point in its middle, of the cat or the dog."""
    points = np.array([[SIDE / 2, SIDE / 2, 1 + number % 2] for number in range(COUNT)], "float32")
    pixels = np.stack([np.full((SIDE, SIDE, 1), number, "uint8") for number in range(COUNT)])
    pixels[1] = pixels[0]

    def read(argument, options):
        part = Arrays(pixels, request.param(points))
        return Contents(class_names=NAMES, splits={"train": part, "test": part})

    install(monkeypatch, "pointed", DataSource(read=read, targets=("point",)))


@pytest.mark.parametrize("pointed", [CountedPoints], indirect=True)
def test_other_packages_say_how_their_targets_are_counted_and_drawn(pointed):
    report = checking.check("pointed")
    counts = {"background": 0, "cat": 3, "dog": 3}
    assert report.counts == {"train": counts, "test": counts}
    (group,) = [group for group in report.contradictory() if group[0].place == "train[0]"]
    assert len({example.label for example in group}) == 2
    assert "points of each class" in call("check", "pointed")
    dataset = data.load("pointed", target="point", echo=None)
    figure = _previewed(dataset, np.array([0, 3]), Augmentation(), (SIDE, SIDE), 0)
    (axes,) = figure.axes
    places = [line.get_xydata().tolist() for line in axes.lines]
    middles = [np.reshape(image.get_extent(), (2, 2)).mean(axis=1) for image in axes.images]
    np.testing.assert_allclose(np.concatenate(places), middles)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cat", "dog"]


@pytest.mark.parametrize("pointed", [Points], indirect=True)
def test_of_targets_that_say_nothing_only_the_images_are_seen(pointed):
    report = checking.check("pointed")
    assert (report.counts, report.unit) == ({"train": {}, "test": {}}, "")
    assert report.usable
    assert "class" not in call("check", "pointed")
    dataset = data.load("pointed", target="point", echo=None)
    figure = _previewed(dataset, np.array([0, 3]), Augmentation(), (SIDE, SIDE), 0)
    assert (len(figure.axes[0].lines), figure.legends) == (0, [])
