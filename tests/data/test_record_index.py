"""The index of a record file: made once, true to the file, and a damaged record is named."""

import functools
import struct

import numpy as np
import pytest
import tensorflow as tf
from records import example, labelled, texts, write

from kerascnn import data
from kerascnn.data import record_index
from kerascnn.data.record_index import IMAGE, LABEL
from kerascnn.errors import DataError

load = functools.partial(data.load, echo=None, validation=0, test=0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "records"


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
