"""The reader of PyTorch files: right on every type and layout, and never runs what is in them."""

import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from kerascnn.errors import WeightsError
from kerascnn.weights import torch_file

RNG = np.random.default_rng(0)
STATE = {
    "kernel": RNG.standard_normal((4, 3, 2, 2)).astype("float32"),
    "transposed": RNG.standard_normal((3, 5)).astype("float32").T,
    "half": RNG.standard_normal(7).astype("float16"),
    "brain": RNG.standard_normal(7).astype(ml_dtypes.bfloat16),
    "count": np.array(17),
    "empty": np.zeros((0, 3), "float32"),
}


@pytest.fixture(params=["zip", "legacy"])
def write(request, torch_files):
    return getattr(torch_files, request.param)


def test_reads_types_and_strides(tmp_path, write):
    write(tmp_path / "a.pth", STATE)
    found = torch_file.read(tmp_path / "a.pth").tensors
    assert list(found) == list(STATE)
    for name, array in STATE.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_unwraps_training_checkpoints(tmp_path, torch_files, key):
    path = tmp_path / "a.pth"
    torch_files.zip(path, {"epoch": 3, key: {"fc.bias": STATE["half"]}})
    assert list(torch_file.read(path).tensors) == ["fc.bias"]
    torch_files.zip(path, {"epoch": 3, key: {"fc.bias": [1]}})
    with pytest.raises(WeightsError, match="holds no tensors"):
        torch_file.read(path)


class Malicious:
    """Runs a shell command when it is unpickled by anything that executes pickles."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class ChangesWhatItCalls:
    def __reduce__(self):
        from collections import OrderedDict

        return OrderedDict, (), {"harmless": True}


def test_refuses_to_execute(tmp_path, write):
    trap = tmp_path / "executed"
    write(tmp_path / "a.pth", {**STATE, "extra": Malicious(trap)})
    with pytest.raises(WeightsError, match=r"posix\.system.*refused"):
        torch_file.read(tmp_path / "a.pth")
    assert not trap.exists()
    pickle.loads(pickle.dumps(Malicious(trap)))
    assert trap.exists(), "the trap works, so the test can fail"


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"ctorch.serialization\nload\n.",
        b"\x80\x02\x82\x01.",  # a registered extension
        b"\x80\x04(\x8c\x04echo\x8c\x02id\x93.",
    ],
)
def test_refuses_every_other_name(tmp_path, code):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", code)
    with pytest.raises(WeightsError):
        torch_file.read(path)


def test_refuses_views_outside_of_their_storage(tmp_path, torch_files):
    """A forged stride would otherwise read the memory behind the array."""
    path = tmp_path / "a.pth"
    torch_files.zip(path, {"a": STATE["half"]})
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert parts["archive/data.pkl"].count(b"K\x07\x85") == 1, "the shape (7,)"
    parts["archive/data.pkl"] = parts["archive/data.pkl"].replace(b"K\x07\x85", b"K\x63\x85")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(WeightsError, match="beyond its 7 elements"):
        torch_file.read(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_refuses_truncated_files(tmp_path, write, share):
    path = tmp_path / "a.pth"
    write(path, STATE)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"a\.pth"):
        torch_file.read(path)
