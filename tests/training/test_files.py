"""Files are replaced as a whole or not at all."""

import json
import os
import stat

import pytest

from kerascnn.training.files import replacing, write_json


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "config.json"
    write_json(path, {"good": 1})

    def fail_half_way():
        with replacing(path) as temporary:
            temporary.write_text("half a fi")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        fail_half_way()
    assert json.loads(path.read_text()) == {"good": 1}
    assert os.listdir(tmp_path) == ["config.json"]


def test_the_temporary_name_keeps_the_ending(tmp_path):
    """Keras chooses the format by the ending."""
    with replacing(tmp_path / "model.weights.h5") as temporary:
        assert temporary.name.endswith(".weights.h5")
        assert temporary.parent == tmp_path


def test_the_file_gets_ordinary_permissions(tmp_path):
    """A colleague on the same machine can read it, as with any other file."""
    write_json(tmp_path / "a.json", {})
    (tmp_path / "b.json").write_text("{}")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.json", "b.json")]
    assert modes[0] == modes[1]
