"""What tests of data share."""

import pytest


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the test's own; where indices of record files are kept in it."""
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "records"
