"""Folders of images: every file is found once, split by class, and damaged ones are named."""

import functools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerascnn import data
from kerascnn.data import SPLITS, checking, encoded
from kerascnn.errors import ArgumentError, DataError

load = functools.partial(data.load, echo=None)
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def fill(path, count=20, size=(12, 10)):
    """A folder for each colour, with images of this colour and a number in the first pixel."""
    for name, colour in COLOURS.items():
        (path / name).mkdir(parents=True)
        for number in range(count):
            image = Image.new("RGB", size, colour)
            image.putpixel((0, 0), (number, 1, 2))
            image.save(path / name / f"{number:03}.png")
    return path


@pytest.fixture
def colours(tmp_path):
    return fill(tmp_path / "colours")


def content(split):
    """Class and number of each example, in order; checks that the pixels are of the class."""
    seen = []
    for image, label in map(split.example, range(split.size)):
        name = sorted(COLOURS)[label]
        assert image[5, 5].tolist() == list(COLOURS[name])
        seen.append((name, int(image[0, 0, 0])))
    return seen


def test_every_image_is_in_one_split(colours):
    photos = load(f"folder:{colours}", validation=0.2, test=0.1, seed=3)
    parts = [content(getattr(photos, name)) for name in SPLITS]
    everything = [(name, number) for name in COLOURS for number in range(20)]
    assert sorted(parts[0] + parts[1] + parts[2]) == everything
    assert parts[0] == sorted(parts[0])  # natural order
    assert photos.class_names == ("blue", "green", "red")
    assert photos.image_shape == (10, 12, 3)


def test_the_split_depends_on_the_seed_alone(colours, tmp_path):
    first = load(f"folder:{colours}", seed=1)
    assert content(load(f"folder:{colours}", seed=1).test) == content(first.test)
    assert content(load(f"folder:{colours}", seed=2).test) != content(first.test)
    moved = shutil.copytree(colours, tmp_path / "moved")
    assert content(load(f"folder:{moved}", seed=1).test) == content(first.test)


def sides(photos):
    return {name: side for side in SPLITS for name in getattr(photos, side).names}


def test_adding_and_deleting_files_moves_no_other(colours):
    """Not even in a class of one image, nor when a class is new or gone."""
    before = sides(load(f"folder:{colours}", test=0.3))
    assert len(before) == 60
    kept = dict(before)
    for number in range(100, 140):
        Image.new("RGB", (12, 10), COLOURS["red"]).save(colours / "red" / f"{number}.png")
    for number in range(1, 20):
        (colours / "blue" / f"{number:03}.png").unlink()
        del kept[b"blue/%03d.png" % number]
    shutil.rmtree(colours / "green")
    shutil.copytree(colours / "red", colours / "yellow")
    after = sides(load(f"folder:{colours}", test=0.3))
    assert len(after) == 121
    for name, side in kept.items():
        assert name.startswith(b"green/") or after[name] == side


def test_a_class_that_a_split_has_no_image_of_is_told(tmp_path):
    fill(tmp_path / "few", 2)
    photos = load(f"folder:{tmp_path / 'few'}", validation=0.01, test=0.01)
    assert photos.train.size == 6
    assert "No validation image of 3 classes: blue, green, red." in photos.notes
    assert "No test image of 3 classes: blue, green, red." in photos.notes


def test_names_and_ids_identify_the_files(colours):
    photos = load(f"folder:{colours}", split="all").test
    assert list(photos.names)[::20] == [b"blue/000.png", b"green/000.png", b"red/000.png"]
    assert (photos.ids.dtype, len(set(photos.ids.tolist()))) == (np.uint64, 60)
    one = load(f"folder:{colours}").train
    assert photos.ids[list(photos.names).index(one.names[7])] == one.ids[7]
    some = photos.take(np.array([41, 3]))
    assert list(some.names) == [b"red/001.png", b"blue/003.png"]
    assert content(some) == [("red", 1), ("blue", 3)]
    ((images, labels),) = some.batches(4)
    assert (images[0, 0, 0, 0], *labels.numpy()) == (1, 2, 0)


def test_what_is_only_to_be_evaluated(tmp_path):
    """A folder without training images is refused for training, and whole for evaluation."""
    for split, count in (("val", 3), ("test", 2)):
        fill(tmp_path / split, count)
    source = f"folder:{tmp_path}"
    with pytest.raises(DataError, match=r"no training image, only 9 for validation and 6 for test"):
        load(source)
    assert load(source, split="test").test.size == 6
    whole = load(source, split="all")
    assert [getattr(whole, name).size for name in SPLITS] == [0, 0, 15]
    every = [(name, number) for count in (3, 2) for name in COLOURS for number in range(count)]
    assert content(whole.test) == every
    assert whole.test.names[9] == b"test/blue/000.png"
    with pytest.raises(DataError, match="there is no training image, only of validation and test"):
        load(source, split="train")
    plain = load(f"folder:{tmp_path / 'val'}", split="all")
    assert (plain.test.size, plain.split_rule) == (9, "")
    with pytest.raises(ArgumentError, match=r"split must be train.*Received: 'val'"):
        load(source, split="val")


def test_folders_for_each_split(tmp_path):
    for split, count in (("Training", 5), ("val", 3), ("test", 2)):
        fill(tmp_path / split, count)
    photos = load(f"folder:{tmp_path}")
    assert [getattr(photos, name).size for name in SPLITS] == [15, 9, 6]
    shutil.rmtree(tmp_path / "val")
    photos = load(f"folder:{tmp_path}", validation=0.4)
    assert photos.train.size + photos.validation.size == 15
    assert photos.test.size == 6
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "validation").mkdir()
    shutil.copytree(tmp_path / "Training" / "red", tmp_path / "validation" / "red")
    photos = load(f"folder:{tmp_path}")
    assert [getattr(photos, name).size for name in SPLITS] == [15, 5, 0]
    assert content(photos.validation) == [("red", number) for number in range(5)]
    assert "There is no test split: the test set is empty." in photos.notes


def test_nested_folders_and_files_that_are_no_images(colours):
    (colours / "red" / "more" / "deep").mkdir(parents=True)
    os.rename(colours / "red" / "003.png", colours / "red" / "more" / "deep" / "003.png")
    (colours / "red" / "notes.txt").write_text("x")
    (colours / "red" / ".hidden.png").write_text("x")
    (colours / ".cache").mkdir()
    photos = load(f"folder:{colours}", validation=0, test=0)
    assert sorted(content(photos.train)) == [(name, n) for name in COLOURS for n in range(20)]
    assert photos.left_out == ("red/notes.txt: no image",)
    assert "Left out 1 file (no image): red/notes.txt." in photos.notes


def damage(colours):
    whole = (colours / "blue" / "000.png").read_bytes()
    (colours / "blue" / "000.png").write_bytes(whole[: len(whole) // 2])
    (colours / "green" / "007.png").write_text("this is text")
    (colours / "red" / "019.png").write_bytes(b"")
    os.symlink("nowhere", colours / "red" / "020.png")


def test_a_damaged_file_is_named_when_loading(colours):
    damage(colours)
    with pytest.raises(DataError, match=r"blue/000\.png can't be read.*\(3 others.*skip_corrupt"):
        load(f"folder:{colours}")


def test_damaged_files_are_left_out_counted_and_listed_on_demand(colours):
    damage(colours)
    told = []
    photos = data.load(f"folder:{colours}", skip_corrupt=True, echo=told.append)
    seen = [example for name in SPLITS for example in content(getattr(photos, name))]
    gone = {("blue", 0), ("green", 7), ("red", 19)}
    everything = {(name, number) for name in COLOURS for number in range(20)}
    assert len(seen) == 57
    assert set(seen) == everything - gone
    assert [line.split(" can't")[0] for line in photos.left_out] == [
        str(colours / name)
        for name in ("blue/000.png", "green/007.png", "red/019.png", "red/020.png")
    ]
    assert any("Left out 4 unreadable images: " in line and "007.png" in line for line in told)


def test_a_class_left_without_images_is_refused(colours):
    for path in (colours / "green").iterdir():
        path.write_text("text")
    with pytest.raises(DataError, match="class 'green' has no readable image"):
        load(f"folder:{colours}", skip_corrupt=True)


def test_a_damaged_file_met_in_training_is_named(colours, monkeypatch):
    monkeypatch.setattr(encoded, "VERIFY_LIMIT", 0)
    damage(colours)
    photos = load(f"folder:{colours}", validation=0, test=0)
    with pytest.raises(tf.errors.OpError) as raised:
        list(photos.train.batches(8, seed=1))
    message = photos.train.explain(raised.value)
    assert any(name in message for name in ("000.png", "007.png", "019.png", "020.png"))
    assert "can't be read as an image" in message
    assert "Traceback" not in message
    assert photos.train.explain(ValueError("something else")) is None


def test_folders_that_can_not_be_used(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*missing"):
        load(f"folder:{tmp_path / 'missing'}")
    with pytest.raises(DataError, match="one sub-folder of images for each class"):
        load(f"folder:{tmp_path}")
    fill(tmp_path / "a", 2)
    (tmp_path / "a" / "empty").mkdir()
    with pytest.raises(DataError, match=r"a/empty has no image. Add some, or remove the folder"):
        load(f"folder:{tmp_path / 'a'}")
    fill(tmp_path / "b" / "train", 2)
    fill(tmp_path / "b" / "val", 2)
    (tmp_path / "b" / "val" / "cyan").mkdir()
    with pytest.raises(DataError, match=r"val/cyan: the training images have no class 'cyan'"):
        load(f"folder:{tmp_path / 'b'}")
    (tmp_path / "b" / "valid").mkdir()
    with pytest.raises(DataError, match="two validation folders: val and valid"):
        load(f"folder:{tmp_path / 'b'}")
    fill(tmp_path / "c" / "test", 2)
    with pytest.raises(DataError, match="no training image, only 6 for test"):
        load(f"folder:{tmp_path / 'c'}")


def test_conversions_are_counted(colours):
    Image.new("L", (40, 40), 7).save(colours / "red" / "grey.png")
    Image.new("RGBA", (12, 10), (1, 2, 3, 100)).save(colours / "red" / "glass.png")
    photos = load(f"folder:{colours}", input_shape=(16, 16, 3))
    assert set(photos.notes) >= {
        "61 images are padded with zeros to 16×16.",
        "1 image is resized to 16×16.",
        "1 image is grey repeated to 3 channels.",
        "1 image is transparent, laid on white.",
    }
    with pytest.raises(DataError, match=r"no common size: .*Pass input_shape"):
        load(f"folder:{colours}")


def test_files_and_arrays_deliver_the_same_pixels(tmp_path):
    digits = load("mnist5k", input_shape=(40, 40, 3)).test
    raw = load("mnist5k").test
    for index in range(0, 1000, 50):
        image, label = raw.example(index)
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / str(label) / f"{index:04}.png")
    files = load(f"folder:{tmp_path}", input_shape=(40, 40, 3), validation=0, test=0).train
    for position, index in enumerate(range(0, 1000, 50)):
        np.testing.assert_array_equal(files.example(position)[0], digits.example(index)[0])


def test_fingerprint_sees_files_seed_and_size(colours):
    source = f"folder:{colours}"
    first = load(source).fingerprint
    assert load(source).fingerprint == first
    assert load(source, seed=1).fingerprint != first
    assert load(source, input_shape=(32, 32, 3)).fingerprint != first
    Image.new("RGB", (12, 10), COLOURS["red"]).save(colours / "red" / "005.png")
    assert load(source).fingerprint != first


def test_a_copied_folder_is_the_same_data(colours, tmp_path):
    copy = shutil.copytree(colours, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in copy.rglob("*.png"):
        os.utime(path, (1, 1))
    assert load(f"folder:{copy}").fingerprint == load(f"folder:{colours}").fingerprint


def test_large_sets_are_not_read_when_loading(colours, monkeypatch):
    monkeypatch.setattr(encoded, "VERIFY_LIMIT", 59)
    monkeypatch.setattr(encoded.images, "read", lambda *args: pytest.fail("an image was read"))
    photos = load(f"folder:{colours}", input_shape=(32, 32, 3))
    assert sum(getattr(photos, name).size for name in SPLITS) == 60
    assert any("padded with zeros if they are at most 8 pixels smaller" in n for n in photos.notes)


def test_twelve_bits_in_sixteen_are_told_and_can_be_scaled(tmp_path):
    """In files and in arrays; and `data check` says so, too."""
    case = Path(__file__).parent / "12-bit-in-16.tif"
    for number in range(4):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        shutil.copy(case, tmp_path / "ab"[number % 2] / f"{number}.tif")
    source = f"folder:{tmp_path}"
    dark = load(source, split="all")
    assert any("add ?range=0:4095 to the source" in note for note in dark.notes)
    assert any("?range=0:4095" in hint for hint in checking.check(source).hints)
    light = load(f"{source}?range=0:4095", split="all")
    assert not any("range" in note for note in light.notes)
    assert "4 images are scaled from 0:4095 to 8 bits." in light.notes
    assert dark.test.example(0)[0].max() < 17
    assert light.test.example(0)[0].max() > 200
    assert light.test.original(0).max() > 200
    assert checking.check(f"{source}?range=0:4095").changes == {"scaled from 0:4095 to 8 bits": 4}
    rows = "".join(f"{'ab'[n % 2]}/{n}.tif,{n % 2}\n" for n in range(4))
    (tmp_path / "list.csv").write_text("path,label\n" + rows)
    for other in (f"csv:{tmp_path / 'list.csv'}", f"{source}?labels={tmp_path / 'list.csv'}"):
        again = load(f"{other}{'&' if '?' in other else '?'}range=0:4095", split="all")
        np.testing.assert_array_equal(again.test.example(0)[0], light.test.example(0)[0])
    for wrong in ("4095", "9:9", "a:b", "0:inf", ""):
        with pytest.raises(DataError, match="range must be"):
            load(f"{source}?range={wrong}")
    with pytest.raises(DataError, match=r"max_pixels must be a number"):
        load(f"{source}?max_pixels=-3")
    with pytest.raises(DataError, match=r"pixels, of 10 allowed.*max_pixels=N"):
        load(f"{source}?max_pixels=10", input_shape=(8, 8, 1))
