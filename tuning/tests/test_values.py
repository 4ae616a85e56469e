"""Values of files and command lines, checked one by one."""

import pytest
from kerascnn_tuning.values import parse_count

from kerascnn.errors import ArgumentError


@pytest.mark.parametrize(
    ("text", "value"), [("500k", 500_000), ("1.5M", 1_500_000), ("2GB", 2 * 10**9), ("7", 7)]
)
def test_counts_with_units(text, value):
    assert parse_count(text, "--max-params") == value


@pytest.mark.parametrize("text", ["", "k", "-5", "many", "0"])
def test_a_count_that_is_none_is_refused(text):
    with pytest.raises(ArgumentError, match="--max-params"):
        parse_count(text, "--max-params")
