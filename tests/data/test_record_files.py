"""Record files are unpacked, and what they say of themselves is compared with what is there."""

import gzip
import shutil
import struct
from pathlib import Path

import pytest
import tensorflow as tf
from records import content, example, load, write

from kerascnn.errors import DataError

pytestmark = pytest.mark.usefixtures("cache")


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
