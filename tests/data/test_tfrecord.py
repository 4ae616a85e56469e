"""Record files: every record can be reached by itself, and a damaged one is named."""

import numpy as np
import pytest
from records import content, example, labelled, load, texts, write

from kerascnn.data import checking
from kerascnn.errors import DataError

pytestmark = pytest.mark.usefixtures("cache")


def test_records_of_several_files_and_splits(tmp_path):
    """The class numbers begin at 1, as ImageNet's do, and have a gap."""
    names = {1: "cat", 3: "dog"}
    write(tmp_path / "train-00000-of-00002", [example(n, 3 - n % 2 * 2, None) for n in range(5)])
    write(tmp_path / "train-00001-of-00002", [example(n, 3, "dog") for n in range(5, 8)])
    write(tmp_path / "validation-00000-of-00001", [example(9, 1)])
    (tmp_path / "README").touch()
    found = load(f"tfrecord:{tmp_path}/*-0000?-of-*")
    assert found.class_names == ("1", "dog")
    expected = [("dog" if n % 2 == 0 or n > 4 else "1", n) for n in range(8)]
    assert content(found.train, found.class_names) == expected
    assert content(found.validation, found.class_names) == [("1", 9)]
    assert found.test.size == 0
    write(
        tmp_path / "train-00000-of-00002",
        [example(n, 1 + n % 2 * 2, names[1 + n % 2 * 2]) for n in (0, 1)],
    )
    assert load(f"tfrecord:{tmp_path}/train*").class_names == ("cat", "dog")


def test_names_are_the_images_own(tmp_path):
    """A record that is added before others changes their number, and not their name."""
    path = tmp_path / "a.rec"
    write(path, [example(n, n % 2) for n in range(1, 10)])
    names = list(load(f"tfrecord:{path}").train.names)
    write(path, [example(n, n % 2) for n in range(10)])
    assert list(load(f"tfrecord:{path}", split="all").test.names)[1:] == names
    assert len(set(names)) == 9


def test_the_order_is_shuffled_over_all_files(tmp_path):
    for file in range(4):
        write(tmp_path / f"{file}.tfrecord", [example(10 * file + n, n % 2) for n in range(10)])
    split = load(f"tfrecord:{tmp_path}/*.tfrecord").train
    (first,) = split.batches(40, seed=1).as_numpy_iterator()
    (again,) = split.batches(40, seed=1).as_numpy_iterator()
    seen = first[0][:, 0, 0, 0]
    assert sorted(seen) == sorted(10 * file + n for file in range(4) for n in range(10))
    assert len({value // 10 for value in seen[:10]}) > 2
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], seen % 10 % 2)


def test_other_names_of_the_features(tmp_path):
    write(tmp_path / "a.rec", [example(n, n % 2, image="jpg", name="y") for n in range(4)])
    found = load(f"tfrecord:{tmp_path}/a.rec?image=jpg&label=y")
    assert content(found.train, found.class_names) == [("0", 0), ("1", 1), ("0", 2), ("1", 3)]
    with pytest.raises(DataError, match=r"a\.rec, record 0: expected a feature 'image/encoded'"):
        load(f"tfrecord:{tmp_path}/a.rec?label=y")
    with pytest.raises(
        DataError, match=r"a\.rec, record 0: expected a feature 'z' with one whole number"
    ):
        load(f"tfrecord:{tmp_path}/a.rec?image=jpg&label=z")
    write(tmp_path / "b.rec", [example(0, 0), example(1, 1), example(2, 0, name="y")])
    with pytest.raises(DataError, match=r"b\.rec, record 2: expected .*image/class/label"):
        load(f"tfrecord:{tmp_path}/b.rec")


def test_labels_that_are_text_are_names(tmp_path):
    """Also when the files have other classes in another order."""
    write(
        tmp_path / "train-0.rec",
        [labelled(n, **texts("dög" if n % 2 else "cat")) for n in range(4)],
    )
    write(tmp_path / "train-1.rec", [labelled(n, **texts("ant")) for n in range(4, 6)])
    write(tmp_path / "test-0.rec", [labelled(9, **texts("dög"))])
    for _ in range(2):  # also from the index in the cache
        found = load(f"tfrecord:{tmp_path}/*.rec")
        assert found.class_names == ("ant", "cat", "dög")
        names = ["cat", "dög", "cat", "dög", "ant", "ant"]
        assert content(found.train, found.class_names) == list(zip(names, range(6)))
        assert content(found.test, found.class_names) == [("dög", 9)]
    write(tmp_path / "test-1.rec", [labelled(9, **texts("cow"))])
    with pytest.raises(DataError, match=r"test-1\.rec, record 0: no training .* label cow"):
        load(f"tfrecord:{tmp_path}/*.rec")
    write(tmp_path / "test-1.rec", [example(9, 3)])
    with pytest.raises(DataError, match=r"test-1\.rec: the labels are numbers, and text"):
        load(f"tfrecord:{tmp_path}/*.rec")


def test_a_record_that_is_no_image_is_named(tmp_path):
    bad = example(1, 1).replace(b"IHDR", b"IHDX")
    write(tmp_path / "a.rec", [example(0, 0), bad, example(2, 1)])
    source = f"tfrecord:{tmp_path}/a.rec"
    with pytest.raises(DataError, match=r"a\.rec, record 1, can't be read as an image"):
        load(source)
    assert content(load(source, skip_corrupt=True).train, "01") == [("0", 0), ("1", 2)]
    report = checking.check(source)
    assert [line.split(" can't")[0] for line in report.corrupt] == [f"{tmp_path}/a.rec, record 1,"]


def test_check_names_duplicates_by_file_and_record(tmp_path):
    write(tmp_path / "train.rec", [example(0, 0), example(1, 1)])
    write(tmp_path / "test.rec", [example(2, 0), example(1, 1)])
    report = checking.check(f"tfrecord:{tmp_path}/*.rec")
    ((one, two),) = report.across_splits()
    assert (one.place, two.place) == ("train.rec[1]", "test.rec[1]")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no file that matches"),
        ({"a.rec": []}, "no record"),
        ({"test-0.rec": [0]}, "no training image, only 1 for test"),
        ({"train-0.rec": [0], "more.rec": [0]}, "some files are named after a split, and .*more"),
        ({"train-0.rec": [1, 2], "val-0.rec": [2, 5]}, "val-0.rec, record 1: .* label 5"),
    ],
)
def test_files_that_can_not_be_used(tmp_path, files, message):
    for name, labels in files.items():
        write(tmp_path / name, [example(0, label) for label in labels])
    with pytest.raises(DataError, match=message):
        load(f"tfrecord:{tmp_path}/*.rec")


def test_the_fingerprint_sees_labels_and_order(tmp_path):
    prints = set()
    for labels in ((0, 1, 0), (0, 0, 1), (0, 1)):
        write(tmp_path / "a.rec", [example(7, label) for label in labels])
        prints.add(load(f"tfrecord:{tmp_path}/a.rec").fingerprint)
    assert len(prints) == 3
