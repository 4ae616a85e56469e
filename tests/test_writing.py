"""Files are replaced as a whole or not at all, and locked by one process at a time."""

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import threading

import pytest

from kerascnn.errors import RunError
from kerascnn.runs.directory import alive, is_alive
from kerascnn.writing import LockedError, Names, is_locked, locked, replacing, write_json

HOLDER = """
import sys, time
from pathlib import Path
from kerascnn.writing import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


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


@pytest.fixture
def holder(tmp_path):
    """Another process, which holds the lock of a training in `tmp_path`."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".training")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path, holder):
    assert is_alive(tmp_path)
    with (
        pytest.raises(LockedError, match=f"process {holder.pid} on "),
        locked(tmp_path / ".training"),
    ):
        pass
    with (
        pytest.raises(RunError, match=f"is training in .* \\(process {holder.pid} on "),
        alive(tmp_path),
    ):
        pass
    holder.kill()
    holder.wait()
    assert not is_alive(tmp_path)
    with alive(tmp_path):
        assert is_alive(tmp_path)
    assert not is_alive(tmp_path)


def test_who_only_looks_keeps_nobody_out(tmp_path):
    """`kerascnn runs` in the instant in which a training begins."""
    path = tmp_path / "lock"
    path.touch()
    with open(path) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        release = threading.Timer(0.02, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        with locked(path):
            assert is_locked(path)
        release.join()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_a_file_system_has_no_locks_work_goes_on_with_a_warning(
    tmp_path, monkeypatch, number
):
    """A stand-in for a mount without locks, as of NFS or Lustre."""

    def refuse(file, kind):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="the file system has no locks"), alive(tmp_path):
        assert not is_alive(tmp_path)


def test_what_a_killed_training_left_half_written_is_removed(tmp_path):
    """A state of VGG-16 has a gigabyte."""
    (tmp_path / "checkpoints").mkdir()
    for name in (".partial-1.keras", "checkpoints/.partial-2.npz", "checkpoints/epoch-1.npz"):
        (tmp_path / name).touch()
    with alive(tmp_path):
        left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == [".training", "epoch-1.npz"]


def test_names_in_a_folder_differ_on_every_disk():
    """Disks of macOS and Windows don't tell cases apart, those of macOS no decomposed letters."""
    names = Names()
    given = ["photo", "PHOTO", "photo-2", "caf\u00e9", "cafe\u0301", "Stra\u00dfe"]
    assert [names.fresh(name) for name in given] == [
        *("photo", "PHOTO-2", "photo-2-2"),
        *("caf\u00e9", "cafe\u0301-2", "Stra\u00dfe"),
    ]
