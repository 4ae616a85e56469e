"""Files that several processes may meet in: written as a whole or not at all, and locked."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import math
import os
import stat
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kerascnn.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (".png", ".svg", ".pdf")  # endings of files that a figure can be
PARTIAL = ".partial-"
# Who only looks whether a file is locked holds it for an instant.
ATTEMPTS, PAUSE = 3, 0.05  # seconds
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends without error.

    The temporary name keeps the ending of `path`, as Keras goes by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=PARTIAL, suffix="".join(path.suffixes[-2:])
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp's files are private
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Names:
    """Names of files in one folder, none of which is another's on any disk.

    On many disks "A.png" and "a.png" are one file, or the two ways to encode an "é" are.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, name: str) -> str:
        """The name, or with -2, -3, ... behind it the first that is free; it is taken then."""
        names = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2)))
        chosen = next(one for one in names if _on_any_disk(one) not in self._taken)
        self._taken.add(_on_any_disk(chosen))
        return chosen


def _on_any_disk(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def remove_partial(directory: Path) -> None:
    """Remove what killed processes have left of `replacing`; none may be writing there now."""
    for path in directory.glob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)


class LockedError(OSError):
    """Another process holds the lock; its text says which one."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock, which ends with this process, however that ends.

    It guards against starting something twice by mistake. So a file system without locks, such as
    some network ones, is met with a warning only.

    Raises:
        LockedError: another process holds it.
        NoLockError: it is no file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
        for attempt in range(1, ATTEMPTS + 1):
            if _lock(file, fcntl.LOCK_EX):
                break
            if attempt == ATTEMPTS:
                file.seek(0)
                raise LockedError(file.read().strip() or "unknown")
            time.sleep(PAUSE)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        file.flush()
        yield
        file.truncate(0)


def is_locked(path: Path) -> bool:
    """Whether a process holds the file's lock now.

    Where a file system shares no locks between machines, only this machine's processes count;
    where it has none, nobody does.
    """
    try:
        with _opened(path, os.O_RDONLY) as file:
            return not _lock(file, fcntl.LOCK_SH, quiet=True)
    except (FileNotFoundError, NoLockError):
        return False


class NoLockError(OSError):
    """In the place of a lock is a link, a FIFO or something else that isn't ours."""


def _opened(path: Path, flags: int) -> IO[str]:
    """A lock's file; a link is not followed, and a FIFO not waited for.

    Raises:
        NoLockError: it is no file.
    """
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise NoLockError(error.errno, "it is no file", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NoLockError(errno.EINVAL, "it is no file", str(path))
    return open(handle, "r+" if flags & os.O_RDWR else "r", encoding="utf-8")


def _lock(file: IO[str], kind: int, *, quiet: bool = False) -> bool:
    """Whether nobody else holds the lock, as far as the file system knows."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        if not quiet:
            warnings.warn(
                f"{file.name} can't be locked ({error.strerror}): the file system has no locks. "
                "Make sure that no other process works in that directory.",
                stacklevel=5,
            )
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON as a whole or not at all; numbers that aren't finite as null, as JSON has none."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def check_save(path: Path, endings: Iterable[str], expected: str = "a file") -> None:
    """Refuse a file that can't be written, before anything is computed.

    Args:
        path: what --save says.
        endings: of the names that are known, such as ".png".
        expected: what it may be, to which "whose name ends in ..." is added.

    Raises:
        ArgumentError: its name has another ending, or its folder isn't there or is closed.
    """
    *first, last = endings
    if path.suffix.lower() not in (*first, last):
        raise ArgumentError(
            f"--save must be {expected} whose name ends in {', '.join(first)} or {last}. "
            f"Received: {path}."
        )
    if not path.parent.is_dir():
        raise ArgumentError(f"--save must be in a folder that exists. Received: {path}.")
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        why = "is a folder" if path.is_dir() else "is in a folder where you can't write"
        raise ArgumentError(f"--save must be a file that can be written. Received: {path}, {why}.")


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a whole or not at all; the same drawing gives the same bytes."""
    from matplotlib import rc_context

    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with (
        replacing(path) as partial,
        rc_context({"svg.hashsalt": "kerascnn"}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Glyph ")  # an empty box stands for it
        figure.savefig(partial, metadata=undated.get(path.suffix.lower()))
