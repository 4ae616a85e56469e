"""What every error of kerascnn promises, whatever a stranger's file put into its message."""

import pytest

from kerascnn import errors


@pytest.mark.parametrize(
    "kind",
    [
        errors.KerascnnError,
        errors.UnknownNameError,
        errors.BrokenPluginError,
        errors.DataError,
        errors.WorkerError,
    ],
)
def test_a_message_that_repeats_a_whole_file_keeps_its_beginning_and_its_end(kind):
    said = str(kind(f"table.csv, line 2: the split must be train. Received: {'[' * 10**6}. Do so."))
    assert said.startswith("table.csv, line 2: the split must be train. Received: [[[")
    assert said.endswith("[[[. Do so.")
    assert "996," in said
    assert len(said) < 1.1 * errors.LONGEST_MESSAGE


def test_an_ordinary_message_is_left_as_it_is():
    assert str(errors.DataError("There is no file x.csv.")) == "There is no file x.csv."
