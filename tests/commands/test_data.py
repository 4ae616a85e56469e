"""`kerascnn data`: what is listed, what a check finds in a bad folder, what a preview shows."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kerascnn import catalogue
from kerascnn.cli import app
from kerascnn.data import checking, load
from kerascnn.errors import ArgumentError, DataError


def call(*words, status=0):
    result = CliRunner().invoke(app, ["data", *map(str, words)], env={"COLUMNS": "120"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.stdout


def photo(seed, height=24, width=32):
    """Smooth colours, different for each seed."""
    base = np.random.default_rng(seed).integers(0, 255, (3, 4, 3)).astype("uint8")
    return Image.fromarray(base).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def bad_folder(tmp_path):
    """Two classes in two splits, with one of everything that `check` reports."""
    root = tmp_path / "photos"
    for split, number, base in (("train", 5, 0), ("test", 2, 50)):
        for label, name in enumerate(("cat", "[dog]")):
            (root / split / name).mkdir(parents=True)
            for index in range(number):
                image = photo(base + 100 * label + index)
                image.save(root / split / name / f"{index}.png")
    cats = root / "train" / "cat"
    photo(900).convert("CMYK").save(cats / "cmyk.jpg")
    photo(901).convert("P").save(cats / "palette.png")
    orientation = Image.Exif()
    orientation[0x112] = 6  # on its side
    photo(902).save(cats / "turned.jpg", exif=orientation)
    glass = photo(903).convert("RGBA")
    glass.putalpha(90)
    glass.save(cats / "alpha.png")
    photo(904, 80, 90).save(cats / "cut.jpg")
    whole = (cats / "cut.jpg").read_bytes()
    (cats / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (cats / "notes.txt").write_text("no image")
    photo(0).save(root / "test" / "cat" / "again.bmp")
    photo(1).save(root / "train" / "[dog]" / "cat.png")
    photo(2).save(cats / "twice.png")
    return root


def test_check_finds_everything_bad(bad_folder):
    shown = json.loads(call("check", f"folder:{bad_folder}", "--json", status=1))
    assert shown["images"] == 22
    assert shown["counts"] == {"train": {"[dog]": 6, "cat": 11}, "test": {"[dog]": 2, "cat": 3}}
    assert shown["sizes"] == {"24×32": 20, "32×24": 1}
    assert shown["modes"] == {"RGB": 18, "CMYK": 1, "P": 1, "RGBA": 1}
    assert shown["formats"] == {"PNG": 18, "JPEG": 2, "BMP": 1}
    assert Counter(shown["changes"]) == {
        "converted from CMYK to RGB": 1,
        "transparent, laid on white": 1,
        "turned upright as the EXIF orientation says": 1,
    }
    (corrupt,) = shown["corrupt"]
    assert "train/cat/cut.jpg" in corrupt
    assert "truncated" in corrupt
    assert shown["left_out"] == ["train/cat/notes.txt: no image"]
    places = [{example["place"] for example in group} for group in shown["duplicates"]]
    assert {"train/cat/0.png", "test/cat/again.bmp"} in places
    assert {"train/cat/1.png", "train/[dog]/cat.png"} in places
    assert {"train/cat/2.png", "train/cat/twice.png"} in places
    assert len(places) == 3


def test_check_says_which_duplicates_matter(bad_folder):
    report = checking.check(f"folder:{bad_folder}")
    assert [e.place for group in report.across_splits() for e in group] == [
        "train/cat/0.png",
        "test/cat/again.bmp",
    ]
    assert {e.label for group in report.contradictory() for e in group} == {"cat", "[dog]"}
    shown = call("check", f"folder:{bad_folder}", status=1)
    for text in ("[dog]", "several splits: 1", "several classes: 1", "more than once: 1"):
        assert text in shown


def test_images_of_several_sizes_need_no_input_shape(tmp_path):
    for name, side in (("a", 8), ("b", 9)):
        (tmp_path / name).mkdir()
        photo(side, side, side).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match="no common size"):
        load(f"folder:{tmp_path}", echo=None)
    shown = call("check", f"folder:{tmp_path}")
    assert "8×8 (1), 9×9 (1)" in shown
    assert "none is there twice" in shown


def test_check_names_the_class_without_images(tmp_path):
    """Training refuses it, so a check must find it, beside all else that it finds."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    photo(1).save(tmp_path / "a" / "1.png")
    shown = call("check", f"folder:{tmp_path}", status=1)
    assert "Classes without a training image: 1" in shown
    assert "1 image; licence: yours" in shown
    assert json.loads(call("check", f"folder:{tmp_path}", "--json", status=1))["counts"] == {
        "train": {"a": 1, "b": 0}
    }


def test_the_bundled_digits_are_sound_and_balanced():
    report = checking.check("mnist5k")
    assert (report.images, report.corrupt, report.duplicates) == (5000, [], [])
    assert set(report.counts["train"].values()) == {350}


def test_duplicates_in_arrays_are_found_between_grey_and_colour(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 1), dtype="uint8")
    train, test = np.repeat(grey, 3, axis=3), grey[2:3]
    labels = {"y_train": np.array([0, 1, 0, 1]), "y_test": np.array([0])}
    np.savez(tmp_path / "a.npz", x_train=train, x_test=test, **labels)
    (group,) = checking.check(f"npz:{tmp_path / 'a.npz'}").across_splits()
    assert [example.place for example in group] == ["train[2]", "test[0]"]


def test_many_classes_are_summed_up(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (60, 4, 4, 1), dtype="uint8")
    labels = np.concatenate([np.arange(30), np.arange(20), np.full(10, 7)])
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    shown = call("check", f"npz:{tmp_path / 'a.npz'}")
    assert "20 classes between" in shown
    assert "20.0%" in shown  # class 7: 12 of 60


def test_preview_shows_the_images_that_training_sees(tmp_path):
    from kerascnn.data.augmentation import augment

    path = tmp_path / "new" / "preview.png"
    words = ("--for", "lenet5", "--images", 2, "--save", path, "--seed", 5, "--json")
    shown = json.loads(call("preview", "mnist5k", *words))
    recipe = catalogue.get("lenet5").recipe
    assert shown["images"] == [0, 3499]
    assert shown["augmentation"]["rotation"] == recipe.augmentation.rotation
    with Image.open(path) as picture:
        drawn = np.asarray(picture.convert("L")).astype(float)
    split = load("mnist5k", input_shape=(32, 32, 1), echo=None).train
    for index in shown["images"]:
        original = split.example(index)[0]
        ours = [
            augment(original[None], [index], [epoch], seed=5, augmentation=recipe.augmentation)[0]
            for epoch in range(3)
        ]
        for expected in (original, *ours):
            assert nearest(np.asarray(expected, float)[..., 0], drawn) < 12


def test_preview_of_a_papers_recipe(tmp_path):
    """AlexNet's: crops of a larger canvas, mirrored, with shifted colours; its own input size."""
    rng = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = rng.integers(0, 255, (6, 8, 3), dtype="uint8")
            Image.fromarray(pixels).resize((320, 240)).save(tmp_path / name / f"{number}.jpg")
    path = tmp_path / "preview.png"
    words = ("preview", f"folder:{tmp_path}", "--recipe", "alexnet", "--images", 2, "--save", path)
    shown = call(*words)
    assert "flip True" in shown
    assert "lighting 0.1" in shown
    with Image.open(path) as picture:
        # Frames and captions apart, four pictures beside each other, each with colours of its own.
        colours = np.asarray(picture.convert("RGB").resize((16, 4))).reshape(-1, 3)
        assert len(np.unique(colours, axis=0)) > 30
    small = json.loads(call(*words, "--json", "--input-shape", "32x32x3"))
    assert small["augmentation"]["canvas"] == pytest.approx(256 / 224)


@pytest.mark.parametrize(
    ("words", "message"),
    [((), "--recipe NAME"), (("--recipe", "modern"), "say for which to show it")],
)
def test_preview_says_what_is_missing(words, message):
    with pytest.raises(ArgumentError, match=message):
        call("preview", "mnist5k", *words)


def nearest(image, page):
    """Mean difference of grey levels between an image and the most similar place of a page."""
    scale = 125 / 32  # 1.25 inches, 100 pixels each
    side = round(32 * scale)
    large = Image.fromarray(np.clip(image, 0, 255).astype("uint8")).resize((side, side), 0)
    windows = np.lib.stride_tricks.sliding_window_view(page, (side, side))[::2, ::2]
    inner = np.asarray(large, float)[8:-8:6, 8:-8:6]
    return np.abs(windows[:, :, 8:-8:6, 8:-8:6] - inner).mean(axis=(2, 3)).min()


def test_list_names_sources_with_their_licence():
    rows = {row["source"]: row for row in json.loads(call("list", "--json"))}
    assert rows["mnist5k"]["licence"] == load("mnist5k", echo=None).licence
    assert {"folder:PATH", "npz:PATH", "cifar10"} <= set(rows)
    assert "bundled" in call("list")
