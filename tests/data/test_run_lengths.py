"""COCO's run-length codes against those that pycocotools made."""

import json
from pathlib import Path

import numpy as np
import pytest

from kerascnn.data.run_lengths import counts_of, decoded

CODES = json.loads((Path(__file__).parent / "coco-masks.json").read_text())["rle"]


@pytest.mark.parametrize("code", CODES)
def test_codes_are_decoded_exactly(code):
    height, width = code["size"]
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(code["bits"]), "uint8"))
    expected = bits[: height * width].reshape(height, width).astype(bool)
    assert counts_of(code["counts"]) == code["list"]
    np.testing.assert_array_equal(decoded(code["list"], height, width), expected)


def test_counts_go_down_each_column_and_begin_with_what_is_outside():
    assert decoded([1, 2, 3], 2, 3).tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\x20", "a sign or a number that it can't have"),
        ("ü", "a sign or a number that it can't have"),
        ("o" * 20, "a sign or a number that it can't have"),
        ("0o", "ends within a number"),
    ],
)
def test_a_damaged_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        counts_of(text)


@pytest.mark.parametrize(
    "counts", [[3], [1, 2, 4], [], [-1, 7], [2**61, 2**61], [2**64], [-(2**70)], [0] * 99]
)
def test_counts_that_make_another_number_of_pixels_are_refused(counts):
    with pytest.raises(ValueError, match="run lengths must"):
        decoded(counts, 2, 3)
