"""Who may call a chief: this machine, or those who know its token."""

import pytest
from kerascnn_tuning.remote import addresses

from kerascnn.errors import ArgumentError


@pytest.mark.parametrize("content", ["", "short", None])
def test_a_token_file_must_hold_a_secret(tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArgumentError, match="token"):
        addresses.read_token(path)
