"""How time and memory grow with a network's depth, and with the number of files.

Each size has a process of its own, which does everything once in small before it counts.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerascnn.bench.processes import answer

DEPTHS = (20, 56, 110, 302, 1202)
"""Layers of CIFAR's ResNets: three stages of blocks of two convolutions, and two more layers."""

FILES = (10_000, 100_000, 1_000_000)
"""Images in a folder, in ten classes."""

Part = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class Growth:
    """What one kind of work costs at several sizes.

    Attributes:
        what: the work.
        sizes: layers, or files.
        seconds: of processor time, at each size.
        memory: by how many bytes the process grew at most, at each size.
        exponent: e where seconds grow with the size to the power of e: the slope of a straight
            line through the logarithms. 1 is linear; less, where something is the same at any size.
            None: something took nothing.
        memory_exponent: the same of memory.
    """

    what: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    memory: tuple[int, ...]
    exponent: float | None
    memory_exponent: float | None


def measure(kind: str, sizes: Sequence[int]) -> list[Growth]:
    """Do the work of a kind at each size.

    Args:
        kind: a name of `KINDS`.
        sizes: at least two, rising.

    Raises:
        KerascnnError: it failed, with the end of what it said.
    """
    found: dict[str, list[tuple[float, int]]] = {}
    for size in sizes:
        for what, seconds, memory in _elsewhere(kind, size):
            found.setdefault(what, []).append((seconds, memory))
    return [_grown(what, tuple(sizes), *zip(*counts)) for what, counts in found.items()]


def _grown(
    what: str, sizes: tuple[int, ...], seconds: tuple[float, ...], memory: tuple[int, ...]
) -> Growth:
    return Growth(what, sizes, seconds, memory, slope(sizes, seconds), slope(sizes, memory))


def slope(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Of the straight line through the logarithms, by least squares; None: a value is 0."""
    if min(values) <= 0:
        return None
    xs, ys = ([math.log(one) for one in ones] for ones in (sizes, values))
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    across = sum((a - x) * (b - y) for a, b in zip(xs, ys))
    return across / sum((a - x) ** 2 for a in xs)


def _elsewhere(kind: str, size: int) -> list[tuple[str, float, int]]:
    with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
        found = answer(
            "kerascnn.bench.growth",
            *(kind, str(size), folder),
            what=f"{kind} of {size:,}",
            environment={"KERASCNN_CACHE": f"{folder}/cache"},
        )
    return [(what, seconds, memory) for what, seconds, memory in found]


def _of_depth(size: int, folder: Path) -> Iterator[Part]:
    """A network of so many layers: counted, built, written and read, in training too."""
    import kerascnn
    from kerascnn import catalogue
    from kerascnn.runs import checkpoints
    from kerascnn.runs.position import Position

    blocks = (size - 2) // 6
    network = catalogue.get("resnet20_cifar").network({"depths": (blocks,) * 3})
    path = folder / f"{size}.keras"
    made: list[Any] = []

    def variables() -> dict[str, Any]:
        optimizer = kerascnn.make_optimizer(kerascnn.Recipe(), 1, made[0], "float32")
        return checkpoints.variables_of(made[0], optimizer, [])

    yield "cost", network.cost
    yield "profile", network.profile
    yield "create", lambda: made.append(network.model())
    yield "kerascnn.profile", lambda: kerascnn.profile(made[0])
    yield "endpoints", lambda: kerascnn.endpoints(made[0])
    yield "save", lambda: made[0].save(path)
    yield "load", lambda: kerascnn.load_model(path)
    yield "load weights", lambda: kerascnn.weights.load(made[0], path)
    kept = variables()
    yield "checkpoint", lambda: checkpoints.save(folder, Position(1), kept)
    yield "restore", lambda: checkpoints.restore(folder, kept)


def _of_files(size: int, folder: Path) -> Iterator[Part]:
    """A folder of so many images: found, found again, and first batches."""
    from kerascnn import data

    photos = folder / f"photos{size}"
    _write_images(photos, size)
    made = []

    def load() -> None:
        made.append(data.load(f"folder:{photos}", input_shape=(8, 8, 3), echo=None))

    def batch(first: int = 0) -> None:
        next(iter(made[-1].train.batches(64, seed=0, first_step=first)))

    yield "load", load
    yield "load again", load
    yield "first batch", batch
    yield "first batch of an epoch's rest", lambda: batch(made[-1].train.size // 128)


def _write_images(folder: Path, count: int) -> None:
    """Small PNG files, in ten classes."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 100, 50)).save(file, "PNG")
    for number in range(10):
        (folder / f"class{number}").mkdir(parents=True)
    for number in range(count):
        place = folder / f"class{number % 10}" / f"{number:07}.png"
        place.write_bytes(file.getvalue())


KINDS: Mapping[str, tuple[Callable[[int, Path], Iterator[Part]], Sequence[int]]] = {
    "depth": (_of_depth, DEPTHS),
    "files": (_of_files, FILES),
}
"""What grows → its parts at a size, and the usual sizes."""


def _counted(parts: Iterator[Part]) -> list[tuple[str, float, int]]:
    """Each part's processor time, and by how much the process grew."""
    found = []
    for what, work in parts:
        before = _memory(reset=True)
        began = time.process_time()
        work()
        found.append((what, time.process_time() - began, max(0, _memory() - before)))
    return found


def _memory(*, reset: bool = False) -> int:
    """Most bytes that the process has held since the last reset; on Linux alone, else 0."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    _kind, _size, _folder = sys.argv[1:]
    _parts, _sizes = KINDS[_kind]
    for _name in ("small", "large"):
        Path(_folder, _name).mkdir()
    _counted(_parts(_sizes[0], Path(_folder, "small")))
    print(json.dumps(_counted(_parts(int(_size), Path(_folder, "large")))))
