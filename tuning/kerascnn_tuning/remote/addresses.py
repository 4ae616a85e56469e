"""Where a chief listens, who may call, and for how long both wait."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from kerascnn.errors import ArgumentError

STALE_SECONDS = 60.0
"""A worker that is silent for so long is taken for dead."""
WAIT_SECONDS = 600.0
"""A chief without any worker, or a worker without a chief, gives up after so long."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def split_address(address: str) -> tuple[str, int]:
    """`HOST:PORT`.

    Raises:
        ArgumentError: it has another form.
    """
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 65536):
        raise ArgumentError(f"An address must be HOST:PORT. Received: {address!r}.")
    return host, int(port)


def read_token(path: Path | None) -> str:
    """The shared secret in a file; "" without one.

    Raises:
        ArgumentError: the file can't be read, or its secret is too short to be one.
    """
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ArgumentError(f"The token file can't be read: {error}.") from None
    if len(token) < 16 or not token.isascii():
        raise ArgumentError(
            f"{path} must hold at least 16 ASCII characters, such as `openssl rand -hex 16` makes."
        )
    return token
