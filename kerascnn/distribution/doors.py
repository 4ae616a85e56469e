"""The server of a worker: TensorFlow lets everybody in, and listens on all addresses.

TensorFlow's server asks for no password, and runs whatever it is sent: who reaches its port can
read and write files as the user. It binds to all addresses, also where its own is 127.0.0.1: the
source says "0.0.0.0" or "[::]", and no option or variable of the environment changes it. Where all
workers are on this machine, the open socket is therefore tied to the loopback interface here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL = 0.005  # seconds
EXPOSED = (
    "Warning: TensorFlow's server on each worker listens on all addresses, without a password: "
    "whoever reaches {ports} there can read and write files as this user. Admit the workers alone, "
    "with a firewall, a private network or a tunnel. On one machine `--strategy mirrored` opens no "
    "port, and `kerascnn launch` none to other machines."
)


def only_here(workers: Sequence[str]) -> bool:
    """Whether all workers, each `host:port`, are reached by this machine's loopback."""
    return all(_is_loopback(worker.rpartition(":")[0].strip("[]")) for worker in workers)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def warning(workers: Sequence[str]) -> str:
    """What a job of these workers exposes, in words."""
    ports = sorted({worker.rpartition(":")[2] for worker in workers})
    return EXPOSED.format(ports=f"port {', '.join(ports)}")


@dataclass
class Door:
    """Whether a server's socket was tied to the loopback interface.

    Attributes:
        closed: to other machines.
    """

    closed: bool = False


@contextlib.contextmanager
def closed_to_others(port: int) -> Iterator[Door]:
    """Tie the server that this process opens in the block to loopback, as soon as it listens.

    Linux 5.7 or newer does; elsewhere the door stays open, and its `closed` says so.
    """
    door, over = Door(), threading.Event()

    def watch() -> None:
        while not door.closed and not over.wait(POLL):
            door.closed = _close(port)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield door
    finally:
        over.set()
        watcher.join()
        door.closed = _close(port)


def _close(port: int) -> bool:
    """Tie all of this process's sockets that listen on a port; whether there are any, and it can.

    A socket that is tied to a device gets only what arrives by it, whatever its address is.
    """
    device = getattr(socket, "SO_BINDTODEVICE", None)
    if device is None:
        return False
    found = False
    for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd").is_dir() else ():
        try:
            # Asked first: what Python can't make a socket of would stay open as a copy.
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    continue
                if one.getsockname()[1] != port:
                    continue
                one.setsockopt(socket.SOL_SOCKET, device, b"lo\0")
                found = True
        except PermissionError:  # an older kernel: only root may
            return False
        except (OSError, IndexError):  # no socket, or closed meanwhile
            continue
    return found
