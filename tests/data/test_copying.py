"""Folders made of a source once: split by class, or smaller; whole or not there."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import kerascnn.data
from kerascnn.cli import app
from kerascnn.data import copies, write_resized, write_split
from kerascnn.data.examples import Options
from kerascnn.data.loading import read_source
from kerascnn.errors import ArgumentError, DataError

TURNED_RIGHT = 6  # of EXIF's orientations: what is stored lies on its side


def picture(path, size=(40, 60), seed=0, **options):
    """Noise, `(height, width)`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), "uint8")
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def source(tmp_path):
    """20 cats, 10 dogs, 3 eels, 2 foxes; small noise."""
    root = tmp_path / "photos"
    for kind, count in (("cat", 20), ("dog", 10), ("eel", 3), ("fox", 2)):
        for number in range(count):
            picture(root / kind / f"{number}.png", (8, 8), number)
    return root


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*") if p.is_file())


def by_class(folder, split):
    return {place.name: len(list(place.iterdir())) for place in sorted((folder / split).iterdir())}


def test_shares_are_counted_out_in_each_class(source, tmp_path):
    before = files(source)
    found = write_split(f"folder:{source}", tmp_path / "new", validation=0.2, test=0.1)
    assert found.new
    assert by_class(tmp_path / "new", "train") == {"cat": 14, "dog": 7, "eel": 1, "fox": 2}
    assert by_class(tmp_path / "new", "validation") == {"cat": 4, "dog": 2, "eel": 1}
    assert by_class(tmp_path / "new", "test") == {"cat": 2, "dog": 1, "eel": 1}
    assert files(source) == before
    for path in (tmp_path / "new").rglob("*.png"):
        assert path.read_bytes() == (source / path.parent.name / path.name).read_bytes()
    loaded = kerascnn.data.load(f"folder:{tmp_path / 'new'}", echo=None)
    assert {name: split.size for name, split in loaded.splits.items()} == found.images
    assert loaded.class_names == ("cat", "dog", "eel", "fox")


def test_the_seed_chooses_and_more_images_move_few(source, tmp_path):
    def tested(name, seed):
        write_split(f"folder:{source}", tmp_path / name, seed=seed, test=0.3)
        return set(files(tmp_path / name / "test"))

    first = tested("a", 0)
    assert first == tested("b", 0) != tested("c", 1)
    picture(source / "cat" / "new.png", (8, 8), 99)
    assert len(tested("d", 0) - first) <= 1


def test_the_same_again_does_nothing_and_anything_else_is_refused(source, tmp_path):
    new = tmp_path / "new"
    first = write_split(f"folder:{source}", new)
    stamps = {path: path.stat().st_mtime_ns for path in new.rglob("*")}
    again = write_split(f"folder:{source}", new)
    assert (again.new, again.images) == (False, first.images)
    assert stamps == {path: path.stat().st_mtime_ns for path in new.rglob("*")}
    with pytest.raises(DataError, match="now seed would differ"):
        write_split(f"folder:{source}", new, seed=1)
    with pytest.raises(DataError, match="made_by"):
        write_resized(f"folder:{source}", 4, new)
    picture(source / "dog" / "more.png", (8, 8), 50)
    with pytest.raises(DataError, match="the images of the source are others"):
        write_split(f"folder:{source}", new)
    (new / copies.FILE).unlink()
    with pytest.raises(DataError, match="not made by kerascnn"):
        write_split(f"folder:{source}", new)


def test_what_is_interrupted_leaves_nothing_and_a_killed_ones_rest_is_in_no_way(
    source, tmp_path, monkeypatch
):
    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_split(f"folder:{source}", tmp_path / "new", progress=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    rest = tmp_path / ".partial-new"  # as SIGKILL leaves it
    (rest / "train" / "gnu").mkdir(parents=True)
    found = write_split(f"folder:{source}", tmp_path / "new")
    assert found.new
    assert not rest.exists()
    assert not (tmp_path / "new" / "train" / "gnu").exists()
    assert not (tmp_path / "new" / ".lock").exists()


def test_a_link_in_the_place_of_the_unfinished_is_refused(source, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("x")
    (tmp_path / ".partial-new").symlink_to(tmp_path / "mine")
    with pytest.raises(DataError, match="is a link"):
        write_split(f"folder:{source}", tmp_path / "new")
    assert (tmp_path / "mine" / "precious.txt").exists()


def test_photos_are_never_written_over_or_into(source, tmp_path):
    for folder in (source, source / "cat", source / "small"):
        with pytest.raises(DataError, match="is inside of"):
            write_split(f"folder:{source}", folder)
    with pytest.raises(DataError, match="is inside of"):
        write_resized(f"folder:{source}?train=.", 4, source / "small")
    (tmp_path / "full").mkdir()
    picture(tmp_path / "full" / "mine.png")
    with pytest.raises(DataError, match="not empty"):
        write_resized(f"folder:{source}", 4, tmp_path / "full")


def test_splits_that_are_there_stay(source, tmp_path):
    shutil.copytree(source, tmp_path / "own" / "train")
    shutil.copytree(source / "cat", tmp_path / "own" / "test" / "cat")
    write_split(f"folder:{tmp_path / 'own'}", tmp_path / "new", validation=0.2)
    assert by_class(tmp_path / "new", "test") == {"cat": 20}
    assert by_class(tmp_path / "new", "validation") == {"cat": 4, "dog": 2, "eel": 1}
    with pytest.raises(DataError, match="nothing to split"):
        write_split(f"folder:{tmp_path / 'new'}", tmp_path / "newer")
    write_resized(f"folder:{tmp_path / 'new'}", 4, tmp_path / "small")
    assert files(tmp_path / "small" / "test") == files(tmp_path / "new" / "test")


def test_resized_copies_keep_aspect_orientation_and_place(tmp_path):
    root = tmp_path / "photos"
    exif = Image.Exif()
    exif[274] = TURNED_RIGHT
    picture(root / "a" / "lying.jpg", (40, 60), exif=exif)
    picture(root / "a" / "deep" / "wide.jpeg", (30, 90))
    picture(root / "b" / "grey.png", (64, 50))
    picture(root / "b" / "small.jpg", (10, 14))
    found = write_resized(f"folder:{root}", 20, tmp_path / "new", quality=80)
    sizes = {}
    for name in files(tmp_path / "new"):
        if name != copies.FILE:
            with Image.open(tmp_path / "new" / name) as image:
                assert image.getexif().get(274, 1) == 1 or "small" in name
                sizes[name] = (image.height, image.width), image.format
    assert sizes == {
        "a/lying.jpg": ((30, 20), "JPEG"),
        "a/deep/wide.jpeg": ((20, 60), "JPEG"),
        "b/grey.png": ((26, 20), "PNG"),
        "b/small.jpg": ((10, 14), "JPEG"),
    }
    small = (tmp_path / "new" / "b" / "small.jpg").read_bytes()
    assert small == (root / "b" / "small.jpg").read_bytes()
    said = " ".join(found.notes)
    assert "JPEG of quality 80" in said
    assert "1 image is no larger, and copied as it is." in said
    split = [
        read_source(f"folder:{place}", Options(unread=True)).splits["train"].names()
        for place in (root, tmp_path / "new")
    ]
    assert list(split[0]) == list(split[1]), "so a seeded split is the same"


def test_a_resized_copy_looks_as_training_would_see_it(tmp_path):
    picture(tmp_path / "photos" / "a" / "1.png", (64, 64))
    picture(tmp_path / "photos" / "b" / "1.png", (64, 64), 1)
    write_resized(f"folder:{tmp_path / 'photos'}", 16, tmp_path / "new")
    one, two = (
        kerascnn.data.load(f"folder:{tmp_path / name}", input_shape=(16, 16, 3), split="all",
            echo=None).test.example(0)[0]
        for name in ("photos", "new")
    )  # fmt: skip
    np.testing.assert_array_equal(one, two)


def test_tables_and_arrays_become_folders(source, tmp_path):
    lines = ["path,label", "cat/1.png,tom", "dog/1.png,rex", "cat/2.png,tom", "dog/2.png,rex"]
    (source / "list.csv").write_text("\n".join([*lines, "fox/1.png,tom"]))
    write_split(f"csv:{source / 'list.csv'}", source / "made", validation=0, test=0.5)
    assert files(source / "made" / "test")[0].startswith("rex/")
    assert by_class(source / "made", "train") == {"rex": 1, "tom": 1}
    names = [name for name in files(source / "made") if name.endswith(".png")]
    assert len(names) == 5, "two files called 1.png are two"
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 7, 1), "uint8")
    np.savez(tmp_path / "a.npz", images=images, labels=[0, 0, 0, 1, 1, 1])
    write_resized(f"npz:{tmp_path / 'a.npz'}", 100, tmp_path / "arrays")
    found = kerascnn.data.load(f"folder:{tmp_path / 'arrays'}", split="all", echo=None)
    np.testing.assert_array_equal(found.test.example(2)[0], images[2])


@pytest.mark.parametrize("label", ["..", ".hidden", "a/b", "a\\b", "/etc", "x" * 300])
def test_a_label_that_leads_elsewhere_is_refused(source, tmp_path, label):
    (source / "list.csv").write_text(f"path,label\ncat/1.png,{label}\ncat/2.png,fine\n")
    with pytest.raises(DataError, match="No folder can have the name"):
        write_split(f"csv:{source / 'list.csv'}", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_damaged_images_stop_or_are_left_out_and_listed(source, tmp_path):
    (source / "cat" / "3.png").write_bytes(b"no image")
    os.mkfifo(source / "dog" / "pipe.png")
    with pytest.raises(DataError, match=r"3\.png|pipe\.png"):
        write_resized(f"folder:{source}", 4, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    found = write_resized(f"folder:{source}", 4, tmp_path / "new", skip_corrupt=True)
    left = json.loads((tmp_path / "new" / copies.FILE).read_text())["left_out"]
    assert any("3.png" in line for line in left)
    assert found.images == {"train": 34}
    assert "left out" in " ".join(found.notes)


def test_masks_and_boxes_are_refused_by_name(source, tmp_path):
    (source / "list.csv").write_text("file,x1,y1,x2,y2,label\ncat/1.png,0,0,4,4,cat\n")
    with pytest.raises(DataError, match="has boxes, which would be lost"):
        write_split(f"csv:{source / 'list.csv'}", tmp_path / "new")
    with pytest.raises(DataError, match="has masks"):
        write_resized("digit_scenes", 8, tmp_path / "new")


def test_illegal_numbers_are_refused(source, tmp_path):
    with pytest.raises(ArgumentError, match="leave something"):
        write_split(f"folder:{source}", tmp_path / "new", validation=0.5, test=0.5)
    for size, quality in ((0, 90), (2**20, 90), (10, 0), (10, 100)):
        with pytest.raises(ArgumentError, match="quality"):
            write_resized(f"folder:{source}", size, tmp_path / "new", quality=quality)


def test_from_the_command_line(source, tmp_path):
    def call(*words):
        result = CliRunner().invoke(app, ["data", *map(str, words)])
        assert result.exit_code == 0, result.output
        return result.stdout

    new = tmp_path / "new"
    shown = call("split", f"folder:{source}", "--save", new)
    assert f"folder:{new} has 35 images: " in shown
    assert "It was there already" in call("split", f"folder:{source}", "--save", new)
    found = json.loads(call("resize", f"folder:{new}", 4, "--save", tmp_path / "s", "--json"))
    assert found["source"] == f"folder:{tmp_path / 's'}"
    assert sum(found["images"].values()) == 35
