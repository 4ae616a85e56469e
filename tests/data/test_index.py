"""A folder is listed once: the kept index is used while it is true, and never otherwise."""

import functools
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from kerascnn import data
from kerascnn.data import index as indexing
from kerascnn.data.index import index, scan
from kerascnn.data.names import Names


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache that also keeps small folders; returns the directory of its indexes."""
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(indexing, "KEPT", 1)
    return tmp_path / "cache" / "folders"


@pytest.fixture
def photos(tmp_path):
    """Three classes of four files, last changed an hour ago."""
    root = tmp_path / "photos"
    for name in ("cat", "dog/young", "öwl"):
        (root / name).mkdir(parents=True)
        for number in range(4):
            (root / name / f"{number}.jpg").write_bytes(b"x" * (number + 1))
    (root / "cat" / "notes.txt").touch()
    return aged(root)


FOLDERS = ("cat", "dog", "öwl")


def aged(root, seconds=3600):
    then = time.time() - seconds
    for path in (root, *root.rglob("*")):
        os.utime(path, (then, then))
    return root


def content(found):
    names = [os.fsdecode(name) for name in found.names]
    strays = [os.fsdecode(name) for name in found.strays]
    return names, found.sizes.tolist(), found.counts.tolist(), strays, found.directories


def scans(monkeypatch):
    """Counts how often a folder is listed from now on."""
    seen = []
    monkeypatch.setattr(indexing, "scan", lambda *args: seen.append(args) or scan(*args))
    return seen


def test_every_image_in_the_order_of_folders_and_names(photos):
    names, sizes, counts, strays, directories = content(index(str(photos), FOLDERS))
    assert names == [
        f"{folder}/{n}.jpg" for folder in ("cat", "dog/young", "öwl") for n in range(4)
    ]
    assert sizes == [1, 2, 3, 4] * 3
    assert counts == [4, 4, 4]
    assert strays == ["cat/notes.txt"]
    assert [folder for folder, _ in directories] == ["cat", "dog", "dog/young", "öwl"]


def test_an_unchanged_folder_is_listed_once(photos, monkeypatch):
    first = content(index(str(photos), FOLDERS))
    seen = scans(monkeypatch)
    assert content(index(str(photos), FOLDERS)) == first
    assert content(index(str(photos) + "/.", FOLDERS)) == first, "the same folder by another name"
    assert not seen


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "cat" / "new.jpg").touch(),
        lambda root: (root / "dog" / "young" / "3.jpg").unlink(),
        lambda root: (root / "öwl" / "0.jpg").rename(root / "öwl" / "9.jpg"),
        lambda root: (root / "dog" / "old").mkdir(),
        lambda root: (root / "cat" / "1.jpg").write_bytes(b"in place"),
    ],
    ids=["added", "removed", "renamed", "new folder", "overwritten"],
)
def test_a_changed_folder_is_listed_again(photos, monkeypatch, change):
    index(str(photos), FOLDERS)
    change(photos)
    expected = content(scan(str(photos), FOLDERS))
    seen = scans(monkeypatch)
    assert content(index(str(photos), FOLDERS)) == expected
    assert len(seen) == 1


def test_other_folders_of_the_same_root_are_listed_anew(photos):
    index(str(photos), FOLDERS)
    assert content(index(str(photos), ["öwl"])) == content(scan(str(photos), ["öwl"]))


def test_what_has_just_changed_is_not_kept(photos, cache):
    (photos / "cat" / "new.jpg").touch()
    index(str(photos), FOLDERS)
    assert not cache.exists()


def test_small_folders_are_not_kept(photos, cache, monkeypatch):
    monkeypatch.setattr(indexing, "KEPT", 13)
    index(str(photos), FOLDERS)
    assert not cache.exists()


def test_a_damaged_index_is_made_anew(photos, cache):
    expected = content(index(str(photos), FOLDERS))
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", b"text", whole[:-50], whole[:900] + b"\xff\xff" + whole[902:]):
        kept.write_bytes(damaged)
        assert content(index(str(photos), FOLDERS)) == expected
        assert kept.read_bytes() == whole


def test_a_cache_that_can_not_be_written_is_none(photos, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "file"))
    expected = content(scan(str(photos), FOLDERS))
    assert content(index(str(photos), FOLDERS)) == expected


def _index_again(root, times):
    indexing.KEPT = 1
    for _ in range(times):
        found = content(index(root, FOLDERS))
        next(Path(os.environ["KERASCNN_CACHE"], "folders").glob("*.npz")).write_bytes(b"damaged")
    return found


def test_processes_that_write_at_the_same_time(photos):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.starmap(_index_again, [(str(photos), 20)] * 3)
    assert found == [content(scan(str(photos), FOLDERS))] * 3


def test_names_are_a_compact_sequence():
    words = [b"", b"a", "ö".encode(), b"x" * 1000, b"a"]
    names = Names.of(iter(words))
    assert list(names) == words
    assert len(names) == 5
    picked = names.take(np.array([3, 0, 3]))
    assert list(picked) == [words[3], b"", words[3]]
    assert picked.text is names.text
    assert len(Names.of([])) == 0


def test_load_uses_the_index(tmp_path, monkeypatch):
    """And a fingerprint costs neither reading nor listing the files again."""
    from PIL import Image

    root = tmp_path / "colours"
    for name in ("blue", "red"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8, 8), name).save(root / name / f"{number}.png")
    aged(root)
    load = functools.partial(data.load, f"folder:{root}", input_shape=(8, 8, 3), echo=None)
    first = load().fingerprint
    seen = scans(monkeypatch)
    assert load().fingerprint == first
    assert not seen
    aged(root, 60)
    assert load().fingerprint == first
    assert len(seen) == 1
