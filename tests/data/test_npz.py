"""Archives of arrays: found by their names, checked before they are read."""

import functools
import io
import pickle
import zipfile

import numpy as np
import pytest

from kerascnn import data
from kerascnn.data import SPLITS, npz
from kerascnn.errors import DataError

RNG = np.random.default_rng(0)
load = functools.partial(data.load, echo=None)


def arrays(split):
    return np.stack([split.example(index)[0] for index in range(split.size)])


def counts(split, classes=10):
    return np.bincount(split.labels, minlength=classes).tolist()


@pytest.fixture
def write(tmp_path):
    def write(**content):
        np.savez(tmp_path / "set.npz", **content)
        return f"npz:{tmp_path / 'set.npz'}"

    return write


def test_one_set_is_split_by_content_and_seed(write):
    images = RNG.integers(0, 256, (1000, 6, 5), "uint8")
    labels = np.repeat([0, 1, 2], [700, 250, 50])[:, None]
    source = write(images=images, labels=labels)
    parts = load(source, seed=3, validation=0.2, test=0.1)
    assert parts.image_shape == (6, 5, 1)
    for name, share in (("validation", 0.2), ("test", 0.1)):
        expected = share * np.array([700, 250, 50])
        off = counts(getattr(parts, name), 3) - expected
        assert (np.abs(off) < 3 * np.sqrt(expected * (1 - share))).all()
    every = np.concatenate([arrays(getattr(parts, name)) for name in SPLITS])
    assert sorted(map(bytes, every)) == sorted(map(bytes, images))
    assert load(source, seed=3, validation=0.2, test=0.1).fingerprint == parts.fingerprint
    assert load(source, seed=4, validation=0.2, test=0.1).fingerprint != parts.fingerprint
    taken = (
        f"{parts.validation.size} for validation and {parts.test.size} for test are taken "
        "from 1000 training images, by their names."
    )
    assert parts.notes == (taken,)
    assert parts.split_rule == "hash of the name, seed 3, validation 0.2, test 0.1"
    whole = load(source, validation=0, test=0)
    assert (whole.notes, whole.split_rule) == ((), "")

    def sides(parts):
        return {name: side for side in SPLITS for name in getattr(parts, side).names}

    few = np.delete(np.arange(1000), range(1, 900, 3))
    reversed_ = write(images=images[few][::-1], labels=labels[few][::-1])
    after = sides(load(reversed_, seed=3, validation=0.2, test=0.1))
    assert after.items() < sides(parts).items(), "an image's side depends on its content alone"


def test_separate_sets_and_names(write):
    pixels = RNG.integers(0, 256, (10, 4, 4, 3), "uint8")
    labels = np.arange(10) % 2
    own = {f"x_{name}": pixels for name in ("train", "val", "test")}
    own |= {f"y_{name}": labels for name in ("train", "val", "test")}
    parts = load(write(**own, class_names=["cat", "dog"]))
    assert [getattr(parts, name).size for name in SPLITS] == [10, 10, 10]
    assert parts.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "form",
    ["x_{}", "X_{}", "{}_images", "{}-x", "images_{}"],
)
@pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev"])
def test_every_usual_name_is_used(write, form, validation):
    label = {"x_{}": "y_{}", "X_{}": "y_{}", "{}-x": "{}-y", "images_{}": "labels_{}"}
    own = {}
    for count, name in enumerate(("train", validation, "test"), 3):
        own[form.format(name)] = RNG.integers(0, 256, (count, 4, 4, 3), "uint8")
        own[label.get(form, "{}_labels").format(name)] = np.arange(count)[:, None] % 2
    parts = load(write(**own))
    assert [getattr(parts, name).size for name in SPLITS] == [3, 4, 5]
    first = own.pop(form.format("train")), own.pop(label.get(form, "{}_labels").format("train"))
    beside = load(write(**own, images=first[0], labels=first[1]))
    assert beside.fingerprint == parts.fingerprint
    assert [getattr(load(write(**own), split="all"), name).size for name in SPLITS] == [0, 0, 9]


def test_nothing_is_dropped_silently(write):
    pixels, labels = RNG.integers(0, 256, (6, 4, 4), "uint8"), np.arange(6) % 2
    whole = {"images": pixels, "labels": labels}
    noted = load(write(**whole, weights=[1], label_ids=labels), validation=0, test=0)
    assert noted.notes == ("Not used of the archive: weights, label_ids.",)
    for more, message in {
        ("x_train", "y_train"): "two arrays of the same: images and x_train",
        ("x_test",): "x_test has no labels",
        ("y_test",): "y_test has no images",
        ("x_pool", "y_pool"): "not clear to which split the images x_pool belong",
        ("x_test1", "y_test1"): "not clear to which split the images x_test1 belong",
        ("x_val", "y_val", "val_images"): "two arrays of the same: x_val and val_images",
    }.items():
        arrays = {name: labels if name.startswith("y") else pixels for name in more}
        with pytest.raises(DataError, match=rf"set\.npz.*{message}"):
            load(write(**whole, **arrays))


def test_names_of_classes(write):
    whole = {"images": RNG.integers(0, 256, (6, 4, 4), "uint8"), "labels": np.arange(6) % 2}
    for names in (["Katze", "Käfer"], [b"Katze", "Käfer".encode()]):
        assert load(write(**whole, class_names=names)).class_names == ("Katze", "Käfer")
    for names, message in (
        (np.array(["a", "b"], object), r"class_names holds Python objects.*np|numpy\.array"),
        (["a", "a"], "has 'a' twice"),
        ([["a", "b"]], r"must be text \[classes\]"),
    ):
        with pytest.raises(DataError, match=message):
            load(write(**whole, class_names=names))


def test_labels_as_text_and_one_hot(write):
    images = RNG.integers(0, 256, (6, 4, 4), "uint8")
    words = ["b", "a", "b", "c", "a", "b"]
    for labels in (words, [word.encode() for word in words]):
        parts = load(write(images=images, labels=labels), validation=0, test=0)
        assert parts.class_names == ("a", "b", "c")
        assert parts.train.labels.tolist() == [1, 0, 1, 2, 0, 1]
    with pytest.raises(DataError, match="label 'c' is not in class_names"):
        load(write(images=images, labels=words, class_names=["a", "b"]))
    for dtype in ("uint8", "float32", bool):
        hot = np.eye(3, dtype=dtype)[[1, 0, 1, 2, 0, 1]]
        parts = load(write(images=images, labels=hot), validation=0, test=0)
        assert parts.train.labels.tolist() == [1, 0, 1, 2, 0, 1]
        assert parts.notes == ("The train labels are one-hot: the place of the 1 is the class.",)
    for wrong in (np.ones((6, 3)), np.zeros((6, 3), int), np.full((6, 2), 0.5)):
        with pytest.raises(DataError, match=r"one class an image.*several labels or none"):
            load(write(images=images, labels=wrong))


def test_a_range_makes_arrays_of_other_numbers_readable(write):
    numbers = np.linspace(0, 4095, 6 * 16).reshape(6, 4, 4)
    for images, limits in (
        (numbers.astype("uint16"), "0:4095"),
        (numbers / 4095, "0:1"),
        (numbers / 4095 * 2 - 1, "-1:1"),
    ):
        source = write(images=images, labels=np.arange(6) % 2)
        with pytest.raises(DataError, match=r"add \?range=BLACK:WHITE .* values are -?\d"):
            load(source)
        scaled = arrays(load(f"{source}?range={limits}", split="all").test)[..., 0]
        np.testing.assert_allclose(scaled, numbers / 4095 * 255, atol=1)


def test_what_an_array_declares_is_compared_with_what_is_there(tmp_path, monkeypatch):
    path = tmp_path / "set.npz"
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 28, 28)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(100))
        archive.writestr("labels.npy", header.getvalue())
    with pytest.raises(DataError, match=r"set\.npz can't be read.*says that it holds"):
        load(f"npz:{path}")
    np.savez_compressed(path, images=np.zeros((3000, 64, 64), "uint8"), labels=np.zeros(3000))
    monkeypatch.setattr(npz, "_memory", lambda: 2**20)
    with pytest.raises(DataError, match=r"images takes 0\.0 GiB, more than the memory holds"):
        load(f"npz:{path}")


def test_a_class_without_training_images_is_told(write):
    parts = load(write(images=np.zeros((9, 4, 4), "uint8"), labels=[0, 2, 3] * 3))
    assert "No training image of 1 class: 1." in parts.notes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pictures": [1]}, r"x_train and y_train.*Received: pictures"),
        ({"images": np.zeros((3, 4, 4)), "labels": [0, 1, 2]}, r"uint8 .*Received: float64"),
        ({"images": np.zeros((3, 4), "uint8"), "labels": [0, 1, 2]}, r"Received: uint8 \[3, 4"),
        ({"images": np.zeros((3, 4, 4), "uint8"), "labels": [0, 1]}, r"and 2 labels"),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0, -1]}, r"Received: -1 at pos"),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0.0, 1.0]}, r"float64 \[2\]"),
        ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0, 1000]}, r"highest is 1000"),
        ({"images": np.zeros((0, 4, 4), "uint8"), "labels": np.zeros(0, int)}, r"no training"),
        (
            {
                "images": np.zeros((2, 4, 4), "uint8"),
                "labels": [0, 2],
                "class_names": ["a", "b"],
            },
            r"expected 0 to 1. Received: 2 at position 1",
        ),
    ],
)
def test_unusable_content_is_refused_and_the_file_named(write, content, message):
    with pytest.raises(DataError, match=r"set\.npz.*" + message):
        load(write(**content))


def test_damaged_archives_are_refused_and_named(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, images=RNG.integers(0, 256, (50, 8, 8)), labels=np.arange(50))
    whole = path.read_bytes()
    damaged = whole[:200] + bytes(100) + whole[300:]
    pickled = pickle.dumps({"images": 1})
    for content in (b"", b"text", whole[: len(whole) // 2], damaged, pickled):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"set\.npz can't be read") as raised:
            load(f"npz:{path}")
        assert "unsafely" not in str(raised.value), "NumPy's advice for anything unknown"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="no zip archive of arrays"):
        load(f"npz:{path}")
    images = np.empty(2, object)
    images[:] = [np.zeros((8, 8)), np.zeros((9, 8))]
    np.savez(path, images=images, labels=[0, 1])
    with pytest.raises(DataError, match="Images of several sizes can be read as files"):
        load(f"npz:{path}")
    with pytest.raises(DataError, match=r"no file .*missing\.npz"):
        load(f"npz:{tmp_path / 'missing.npz'}")
