"""Record files: every record can be reached by itself, and a damaged one is named."""

import functools
import gzip
import json
import shutil
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from records import example, png, write

from kerascnn import data
from kerascnn.data import checking, record_index
from kerascnn.data.record_index import IMAGE, LABEL
from kerascnn.errors import DataError

load = functools.partial(data.load, echo=None, validation=0, test=0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "records"


def content(split, names):
    return [
        (names[label], int(image[0, 0, 0]))
        for image, label in map(split.example, range(split.size))
    ]


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


def test_the_index_is_the_documented_framing(tmp_path):
    """Each offset leads to a record's length, and the records fill the file."""
    path = write(tmp_path / "a.rec", [example(n, n) for n in range(300)])
    shard = record_index.indexed(str(path), IMAGE, LABEL)
    raw, at = path.read_bytes(), 0
    for offset in shard.offsets:
        assert offset == at
        at += 12 + struct.unpack_from("<Q", raw, at)[0] + 4
    assert at == len(raw)
    np.testing.assert_array_equal(shard.labels, np.arange(300))


def test_a_file_is_read_once_until_it_changes(tmp_path, cache, monkeypatch):
    path = write(tmp_path / "a.rec", [example(n, n) for n in range(3)])
    index = functools.partial(record_index.indexed, str(path), IMAGE, LABEL)
    first = index()
    reads, read = [], record_index._read
    monkeypatch.setattr(record_index, "_read", lambda *args: reads.append(args) or read(*args))
    np.testing.assert_array_equal(index().offsets, first.offsets)
    assert not reads
    (kept,) = cache.iterdir()
    for damaged in (b"", kept.read_bytes()[:-30]):
        kept.write_bytes(damaged)
        np.testing.assert_array_equal(index().offsets, first.offsets)
    assert len(reads) == 2
    write(path, [example(n, n) for n in range(4)])
    assert len(index().offsets) == 4


def test_a_damaged_record_is_named(tmp_path):
    path = write(tmp_path / "a.rec", [example(n, 0) for n in range(500)])
    whole = path.read_bytes()
    start = int(record_index.indexed(str(path), IMAGE, LABEL).offsets[321])
    for damaged in (
        whole[: start + 40],  # cut off
        whole[: start + 30] + b"?" + whole[start + 31 :],  # data
        whole[:start] + b"?" + whole[start + 1 :],  # length
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.rec is damaged at record 321: "):
            load(f"tfrecord:{path}")


@pytest.mark.parametrize("kind", ["GZIP", "ZLIB"])
def test_compressed_files_are_read(tmp_path, cache, kind):
    plain = write(tmp_path / "plain.rec", [example(n, n % 2) for n in range(300)])
    with tf.io.TFRecordWriter(str(tmp_path / "a.rec"), kind) as file:
        for n in range(300):
            file.write(example(n, n % 2))
    found, expected = load(f"tfrecord:{tmp_path}/a.rec"), load(f"tfrecord:{plain}")
    assert content(found.train, "01") == content(expected.train, "01")
    assert list(found.train.names) == list(expected.train.names)
    assert found.train.examples.name(3) == "a.rec[3]"
    for kept in cache.glob("*.tfrecord"):
        kept.unlink()
    assert load(f"tfrecord:{tmp_path}/a.rec").train.example(7)[1] == 1, "unpacked again"
    whole = (tmp_path / "a.rec").read_bytes()
    for damaged in (whole[:-20], whole[:100] + b"????" + whole[104:]):
        (tmp_path / "a.rec").write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.rec (can't be unpacked|is damaged)"):
            load(f"tfrecord:{tmp_path}/a.rec")
    assert not list(cache.glob("*.tmp"))


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path, cache):
    (tmp_path / "a.rec").write_bytes(gzip.compress(bytes(2**25)))
    with pytest.raises(DataError, match=r"a\.rec can't be unpacked .*more than 100 times"):
        load(f"tfrecord:{tmp_path}/a.rec")
    assert sum(file.stat().st_size for file in cache.iterdir()) == 0


def test_declared_lengths_are_compared_with_the_file(tmp_path):
    """TensorFlow would ask for that much memory, if the length's checksum is right."""
    shutil.copy(Path(__file__).parent / "tfrecord-40.tfrecord", tmp_path / "case.tfrecord")
    with pytest.raises(DataError, match=r"case\.tfrecord.*record \d"):
        load(f"tfrecord:{tmp_path}/case.tfrecord")
    header = struct.pack("<Q", 2**40)
    checked = crc(header)
    (tmp_path / "a.rec").write_bytes(header + checked + bytes(100))
    with pytest.raises(
        DataError, match=r"a\.rec is damaged at record 0: it says 1,099,511,627,776"
    ):
        load(f"tfrecord:{tmp_path}/a.rec")


def test_a_record_that_is_cut_off_is_told_how_much_of_it_is_there(tmp_path):
    """Its data alone are compared: the file has also room for a header and a checksum."""
    path = write(tmp_path / "a.rec", [b"x" * 1000])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="it says 1,000 bytes, and the file has room for 999"):
        load(f"tfrecord:{path}")
    path.write_bytes(whole + whole[:7])
    with pytest.raises(DataError, match="at record 1: its header is cut off after 7 bytes"):
        load(f"tfrecord:{path}")


def crc(data):
    """The masked CRC-32C of the record format, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def labelled(value, **lists):
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png(value)])),
        "image/class/label": tf.train.Feature(**lists),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def texts(*values):
    return {"bytes_list": tf.train.BytesList(value=[value.encode() for value in values])}


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


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"float_list": tf.train.FloatList(value=[1.0])}, "1 of floating-point numbers"),
        ({"int64_list": tf.train.Int64List(value=[1, 2])}, "2 of whole numbers"),
        (texts("a"), "1 of text"),
        ({"int64_list": tf.train.Int64List(value=[])}, "none"),
        ({}, "none"),
    ],
)
@pytest.mark.parametrize("at", [0, 300])
def test_labels_that_can_not_be_used_are_told_in_words(tmp_path, odd, message, at):
    if at == 0 and "bytes_list" in odd:
        odd, message = texts("a", "b"), "2 of text"
    records = [example(n, n % 3) for n in range(301)]
    records[at] = labelled(7, **odd)
    write(tmp_path / "a.rec", records)
    with pytest.raises(DataError, match=rf"a\.rec, record {at}: expected .*Received: {message}"):
        load(f"tfrecord:{tmp_path}/a.rec")


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


def test_a_set_of_tensorflow_datasets(tmp_path, monkeypatch):
    """A real builder, prepared on this machine: its files, names and splits are used."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class Greys(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            names = tfds.features.ClassLabel(names=["dark", "light"])
            image = tfds.features.Image(shape=(8, 8, 1))
            features = tfds.features.FeaturesDict({"image": image, "label": names})
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples(0, 20),
                "test": self._generate_examples(20, 26),
            }

        def _generate_examples(self, first, last):
            for value in range(first, last):
                image = np.full((8, 8, 1), value, "uint8")
                yield value, {"image": image, "label": value % 2}

    source = f"tfds:greys?data_dir={tmp_path / 'tfds'}"
    found = load(source)
    assert found.class_names == ("dark", "light")
    for split, values in ((found.train, range(20)), (found.test, range(20, 26))):
        expected = [(("dark", "light")[value % 2], value) for value in values]
        assert sorted(content(split, found.class_names), key=lambda one: one[1]) == expected
    assert json.loads(next((tmp_path / "tfds").rglob("dataset_info.json")).read_text())
    assert load(source).fingerprint == found.fingerprint
    with pytest.raises(DataError, match=r"tfds:grays.*can't be had: DatasetNotFoundError"):
        load(f"tfds:grays?data_dir={tmp_path / 'tfds'}")


def test_without_the_package_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match=r"pip install 'kerascnn\[tfds\]'"):
        load("tfds:mnist")


def test_offline_a_set_that_is_not_there_is_refused_at_once_in_a_line(tmp_path, monkeypatch):
    """The package itself tries for minutes and prints a page."""
    pytest.importorskip("tensorflow_datasets")

    def offline(host, *_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(DataError, match=r"tfds:mnist is not in .* a connection to .*\?data_dir="):
        data.load(f"tfds:mnist?data_dir={tmp_path}")
