"""Splits are told from classes by the names of folders, and where that is in doubt, by the user."""

import functools
import itertools
import os
import subprocess
import sys

import pytest
from PIL import Image

from kerascnn import data
from kerascnn.data import SPLITS, checking
from kerascnn.data.splitting import split_of
from kerascnn.errors import DataError

load = functools.partial(data.load, echo=None, validation=0, test=0)
number = itertools.count()


def fill(root, *folders):
    """A small image, each another, in each of these folders."""
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        value = next(number)
        Image.new("RGB", (8, 8), (value % 256, value // 256, 7)).save(
            root / folder / f"{value}.png"
        )
    return root


def split(root, *names):
    for name in names:
        fill(root, f"{name}/cat", f"{name}/dog")
    return root


def sizes(found):
    return [getattr(found, name).size for name in SPLITS]


@pytest.mark.parametrize(
    "names",
    [
        {"training_set": 0, "test_set": 2},
        {"train": 0, "dev": 1},
        {"train": 0, "eval": 1},
        {"train": 0, "validate": 1},
        {"images_train": 0, "images_test": 2},
        {"Train_Images": 0, "Val_Images": 1, "Test_Images": 2},
        {"TrainSet": 0, "ValidSet": 1, "HoldOut": 2},
        {"train2017": 0, "val2017": 1},
        {"cats-train": 0, "cats-validation": 1, "cats-testing": 2},
        {"tr": 0, "hold_out": 2},
        {"seg_train": 0, "seg_test": 2},
        {"test": 2},
        {"tr": 0, "te": 2},
        {"train": 0, "evaluate": 1},
        {"train": 0, "test": 2, "__MACOSX": None, ".cache": None},
    ],
    ids=", ".join,
)
def test_folders_of_splits(tmp_path, names):
    split(tmp_path, *names)
    found = load(f"folder:{tmp_path}", split=None if 0 in names.values() else "all")
    assert found.class_names == ("cat", "dog")
    assert sizes(found) == [2 * (number in names.values()) for number in range(3)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("train", "val", "extra"),
            r"train and val look like splits .*, extra does not.*'folder:",
        ),
        (
            ("train", "valid", "test", "sample"),
            r"test, train and valid .*sample does not.*&validation=valid",
        ),
        (("train_a", "train_b", "test"), "has two train folders"),
        (("train", "dev", "eval"), "two validation folders: dev and eval"),
        (("trainval", "test"), r"test looks like a split .*\?train=trainval&test=test'"),
        (("trainA", "trainB", "testA", "testB"), "testA and trainA look like splits of a"),
    ],
)
def test_doubts_are_refused_and_how_to_say_it(tmp_path, names, message):
    split(tmp_path, *names)
    with pytest.raises(DataError, match=message) as raised:
        load(f"folder:{tmp_path}")
    said = str(raised.value).split("'")
    assert load(said[1]).class_names == ("cat", "dog"), "the advice works as it is printed"
    assert load(said[3]).class_names == tuple(sorted(names))


def test_a_vehicle_and_a_tube(tmp_path):
    """Classes may be called like splits; nothing is guessed without a word."""
    vehicles = fill(tmp_path / "vehicles", "train", "bus", "car")
    with pytest.raises(DataError, match=r"train looks like a split .*bus and car do not"):
        load(f"folder:{vehicles}")
    assert load(f"folder:{vehicles}?train=.").class_names == ("bus", "car", "train")
    glass = load(f"folder:{fill(tmp_path / 'glass', 'test_tube', 'flask')}")
    assert glass.class_names == ("flask", "test_tube")
    assert "The folder test_tube is taken for a class, not for a split." in glass.notes
    flat = fill(tmp_path / "flat", "train", "test")
    with pytest.raises(DataError, match=r"flat/test must hold one sub-folder .*\?train=\.'"):
        load(f"folder:{flat}")
    unlabelled = fill(split(tmp_path / "u", "train"), "test")
    with pytest.raises(DataError, match=r"u/test must hold one sub-folder .*\?train=train'"):
        load(f"folder:{unlabelled}")


def test_names_that_are_no_splits():
    for name in ("contest", "latest", "trains", "testtube", "protest", "value", "devil", "bus"):
        assert split_of(name) is None
    assert split_of("train_test") is None


def test_what_the_user_says_is_done(tmp_path):
    split(tmp_path, "a", "b,c", "d/e", "f")
    source = f"folder:{tmp_path}"
    found = load(f"{source}?train=a,f&validation=b,c&test=d/e")
    assert sizes(found) == [4, 2, 2]
    assert [name.split(b"/")[:2] for name in found.train.names] == [
        [b"a", b"cat"],
        [b"a", b"dog"],
        [b"f", b"cat"],
        [b"f", b"dog"],
    ]
    assert found.train.labels.tolist() == [0, 1, 0, 1]
    assert "Left out 2 folders (no option names it): a; b,c." in load(f"{source}?train=d/e,f").notes
    told = checking.check(f"{source}?train=d/e,f").hints
    assert told == ["Left out 2 folders (no option names it): a; b,c."]
    assert sizes(load(f"{source}?test=a", split="all")) == [0, 0, 2]
    for options, message in {
        "train=../x": "folder below",
        "train=/tmp": "folder below",
        "train=x": r"no folder .*/x\.",
        "train=d&test=d/e": "share images",
        "train=.&test=a": "share images",
        "train=a&dev=f": r"Unknown option 'dev'; known: labels, train, validation, test",
        "labels=x.csv&train=a": "the table says",
    }.items():
        with pytest.raises(DataError, match=message):
            load(f"{source}?{options}")


def test_splits_inside_of_classes_are_refused(tmp_path):
    fill(tmp_path, "cat/train", "cat/test", "dog/train", "dog/test")
    with pytest.raises(DataError, match=r"/cat has folders for several splits in it\. Expected"):
        load(f"folder:{tmp_path}")


def test_images_beside_the_classes_are_told(tmp_path):
    fill(split(tmp_path / "split", "train", "test"), "train")
    found = load(f"folder:{tmp_path / 'split'}")
    (note,) = (note for note in found.notes if "beside" in note)
    assert note.startswith("Left out 1 file (beside the class folders): train/")
    plain = load(f"folder:{fill(split(tmp_path, 'plain'), 'plain') / 'plain'}")
    assert [line.split(": ")[1] for line in plain.left_out] == ["beside the class folders"]


def test_names_that_are_no_utf8(tmp_path):
    """They come out of old archives: read, and named in text that can be printed and stored."""
    root = os.fsencode(tmp_path)
    fill(tmp_path, "a")
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "x.png")
    os.rename(os.path.join(root, b"a/x.png"), os.path.join(root, b"a/\xe9.png"))
    with open(os.path.join(root, b"a/\xff.txt"), "w"), open(os.path.join(root, b"\xfe.png"), "w"):
        pass
    os.mkdir(os.path.join(root, b"caf\xe9"))
    Image.new("RGB", (8, 8), "red").save(tmp_path / "y.png")
    os.rename(tmp_path / "y.png", os.path.join(root, b"caf\xe9/y.png"))
    found = load(f"folder:{tmp_path}")
    assert found.class_names == ("a", "caf\\xe9")
    assert b"caf\xe9/y.png" in list(found.train.names)
    text = "\n".join((*found.notes, *found.left_out, *found.class_names))
    text.encode()
    assert all(name in text for name in ("a/\\xff.txt", "\\xfe.png"))
    with open(os.path.join(root, b"caf\xe9/y.png"), "w") as file:
        file.write("text")
    with pytest.raises(DataError, match=r"caf\\xe9/y.png can't be read") as raised:
        load(f"folder:{tmp_path}")
    str(raised.value).encode()
    with pytest.raises(DataError, match="is no UTF-8: rename") as raised:
        load(os.fsdecode(b"folder:" + root + b"/caf\xe9"))
    str(raised.value).encode()


def test_a_path_that_is_no_utf8_is_one_message_of_the_command(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9")
    os.makedirs(os.path.join(path, b"a"))
    done = subprocess.run(
        [sys.executable, "-m", "kerascnn", "data", "check", b"folder:" + path], capture_output=True
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"caf\\xe9" in done.stderr.replace(b"\n", b"")


def test_splits_inside_of_classes_are_refused_in_any_depth(tmp_path):
    fill(tmp_path / "one", "photos/data/train/cat", "photos/data/test/cat")
    with pytest.raises(DataError, match=r"Did you mean (folder:.*/one/photos/data)\?") as raised:
        load(f"folder:{tmp_path / 'one'}")
    assert "/train/CLASS and so on" in str(raised.value)
    fill(tmp_path / "two", "cat/1/train", "cat/1/test", "dog/1")
    with pytest.raises(DataError, match="cat/1 has folders for several splits"):
        load(f"folder:{tmp_path / 'two'}")


def test_splits_of_single_classes_are_no_classes(tmp_path):
    fill(tmp_path, "cat_train", "cat_test", "dog_train", "dog_test")
    with pytest.raises(DataError, match=r"cat_test and cat_train look like splits of cat"):
        load(f"folder:{tmp_path}")
    assert len(load(f"folder:{tmp_path}?train=.").class_names) == 4


def test_folders_that_hold_the_same_folders_may_be_splits(tmp_path):
    """Whatever they are called; a class may have such folders, so it is said, not refused."""
    found = load(f"folder:{split(tmp_path / 'a', 'seen', 'unseen')}")
    assert found.class_names == ("seen", "unseen")
    (note,) = (note for note in found.notes if "taken for classes" in note)
    assert sizes(load(note.split("'")[1])) == [2, 0, 2], "the advice works as it is printed"
    plain = load(f"folder:{fill(tmp_path / 'b', 'cat/1', 'dog/1', 'dog/2')}")
    assert not any("taken for classes" in note for note in plain.notes)
