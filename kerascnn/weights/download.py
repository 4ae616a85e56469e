"""Fetches published files: resumed where they broke off, and never accepted without their hash."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import ssl
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

from kerascnn import cache
from kerascnn.errors import WeightsError

ATTEMPTS = 3
TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 20


def locate(url: str) -> str:
    """The address to ask: `$KERASCNN_MIRROR/host/path` in place of `https://host/path`, if set."""
    mirror = os.environ.get("KERASCNN_MIRROR")
    return f"{mirror.rstrip('/')}/{url.removeprefix('https://')}" if mirror else url


def fetch(
    url: str, target: Path, *, digest: str, instead: str = "pass its path as weights"
) -> Path:
    """Download a file, going on where an earlier attempt broke off.

    Args:
        url: its published address; see `locate`.
        target: where to put it. The unfinished file lies beside it, as `NAME.part`.
        digest: "md5:..." or "sha256:..." in hexadecimal; the beginning of it is enough.
        instead: for the message, what to do with a file that was downloaded elsewhere.

    Raises:
        WeightsError: no connection, an error of the server, a file that stays incomplete, or one
            with another hash, which is deleted.
        OSError: `target` can't be written.
    """
    url = locate(url)
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    cause: Exception | None = None
    for _ in range(ATTEMPTS):
        try:
            if _continue(url, part):
                break
        except urllib.error.HTTPError as error:
            raise WeightsError(f"{url} can't be fetched: {error}.") from error
        except (
            urllib.error.URLError,
            ConnectionError,
            TimeoutError,
            http.client.HTTPException,
            ssl.SSLError,
        ) as e:
            cause = e
        except ValueError as error:
            raise WeightsError(
                f"{url} is no address that can be fetched: {error}. KERASCNN_MIRROR must begin "
                "with https:// or http://."
            ) from error
    else:
        reason = getattr(cause, "reason", cause) or "the connection ends before the file does"
        raise WeightsError(
            f"{url} can't be fetched, tried {ATTEMPTS} times: {reason}. Try again, which goes on "
            f"from what has arrived, or download the file elsewhere and {instead}."
        ) from cause
    check(part, digest, url)
    os.replace(part, target)
    return target


def _continue(url: str, part: Path) -> bool:
    """Append to the unfinished file; whether it is complete now."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "kerascnn", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=headers)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing is left to send: complete, or of another file
            size = error.headers.get("Content-Range", "").rpartition("/")[2]
            if size == str(have):
                return True
            part.unlink()
            return False
        raise
    with response:
        resumed = have and response.status == 206
        expected = response.headers.get("Content-Length")
        received = 0
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                received += len(block)
    return expected is None or received == int(expected)


def check(path: Path, digest: str, url: str) -> None:
    """Delete a file that hasn't the right hash.

    Raises:
        WeightsError: it hasn't.
    """
    kind, _, expected = digest.partition(":")
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, kind).hexdigest()
    if not actual.startswith(expected):
        path.unlink()
        raise WeightsError(
            f"{url} is not the file that was published: its {kind} must be {expected}. "
            f"Received: {actual}. It was deleted; try again."
        )


@contextlib.contextmanager
def folder(name: str, wanted: str) -> Iterator[Path]:
    """The folder of the cache that has, or shall have, a file; or a temporary one.

    A cache that can't be written serves what is in it; for the rest it is as if there were none.
    """
    path = cache.directory() / name
    if (path / wanted).is_file():
        yield path
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        warnings.warn(
            f"The cache {path} can't be written ({error.strerror or error}): the file will be "
            "fetched again next time. Point KERASCNN_CACHE to another directory.",
            stacklevel=4,
        )
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    yield path


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One process at a time, such as the workers of one training: the others wait and find it."""
    try:
        import fcntl
    except ImportError:  # Windows: the hash still refuses what two writers have mixed
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
