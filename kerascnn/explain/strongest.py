"""The k images with the strongest activation of each map, found in one pass, and kept in a file.

What is kept is numbers alone, k for each map: a batch's maxima are merged with those of all batches
before it, and no image is remembered.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kerascnn.errors import ArgumentError
from kerascnn.files import open_regular
from kerascnn.weights import archives
from kerascnn.writing import replacing

VERSION = 1
HEADER = 4096  # bytes that an array in a file may have besides its content


class Strongest:
    """The k images with the strongest activation of each map, among those seen so far.

    An image counts once for each map, with its strongest unit (Zeiler and Fergus, 2014, figure 2).
    Of equal activations the image that came first is in front.

    Attributes:
        values: float32 `[maps, k]`, falling; -inf where no image is yet.
        index: int64 `[maps, k]`, the images' numbers; -1 where there is none.
        unit: int64 `[maps, k]`, which of the map's units, row by row.
        seen: number of images.
    """

    def __init__(self, maps: int, k: int) -> None:
        self.values = np.full((maps, k), -np.inf, "float32")
        self.index = np.full((maps, k), -1, "int64")
        self.unit = np.zeros((maps, k), "int64")
        self.seen = 0

    def add(self, values: np.ndarray, unit: np.ndarray) -> None:
        """The next images' strongest activations and their units, `[batch, maps]` each."""
        k = self.values.shape[1]
        index = np.arange(self.seen, self.seen + len(values))
        self.seen += len(values)
        # After the first batches most maps stay as they are.
        better = np.flatnonzero(values.max(axis=0) > self.values[:, -1])
        rivals = np.concatenate([self.values[better], values.T[better]], axis=1)
        # Stable, and those that came first stand first: they stay in front of their equals.
        order = np.argsort(-rivals, axis=1, kind="stable")[:, :k]

        def merged(kept: np.ndarray, new: np.ndarray) -> np.ndarray:
            both = np.concatenate([kept[better], new], axis=1)
            return np.take_along_axis(both, order, axis=1)

        self.index[better] = merged(self.index, np.broadcast_to(index, (len(better), len(index))))
        self.unit[better] = merged(self.unit, unit.T[better])
        self.values[better] = np.take_along_axis(rivals, order, axis=1)

    def found(self) -> int:
        """How many places of k are taken: fewer where there were fewer images."""
        return min(self.values.shape[1], self.seen)


def save(path: Path, strongest: Strongest, identity: Mapping[str, bytes]) -> None:
    """Write the state as a whole or not at all.

    Args:
        path: an .npz file of numbers.
        strongest: so far.
        identity: what it was found in: a name and a digest each.

    Raises:
        ArgumentError: it can't be written.
    """
    arrays = _arrays(strongest) | {name: np.frombuffer(d, "uint8") for name, d in identity.items()}
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise ArgumentError(
            f"progress={str(path)!r} can't be written: {error.strerror}. Name a file in a "
            "directory where you may write, with room for it."
        ) from None


def _arrays(strongest: Strongest) -> dict[str, np.ndarray]:
    return {
        "version": np.array([VERSION]),
        "seen": np.array([strongest.seen]),
        "values": strongest.values,
        "index": strongest.index,
        "unit": strongest.unit,
    }


def restore(
    path: Path, strongest: Strongest, identity: Mapping[str, bytes], *, units: int, size: int | None
) -> None:
    """Put what a file holds into a new `strongest`; without a file it stays as it is.

    The file may come from a stranger: it holds numbers of known shapes, and nothing else is read.

    Args:
        path: as `save` wrote it.
        strongest: with its maps and k, before the first image.
        identity: as in `save`.
        units: of a map.
        size: of the data set, where it is known.

    Raises:
        ArgumentError: it is damaged, or was found in something else.
    """
    if not os.path.lexists(path):
        return
    expected = _arrays(strongest) | {n: np.frombuffer(d, "uint8") for n, d in identity.items()}
    try:
        arrays = _read(path, expected, identity)
        strongest.values, strongest.index = arrays["values"], arrays["index"]
        strongest.unit, strongest.seen = arrays["unit"], int(arrays["seen"][0])
        _check(strongest, units, size)
    except Exception as error:  # a damaged archive raises anything
        reason = str(error).partition("\n")[0].removeprefix(f"{path}: ").rstrip(".")
        raise ArgumentError(
            f"progress={str(path)!r} can't be used: {reason or type(error).__name__}. Delete it "
            "to begin anew, or name another file."
        ) from None


def _read(
    path: Path, expected: Mapping[str, np.ndarray], identity: Mapping[str, bytes]
) -> dict[str, np.ndarray]:
    open_regular(path).close()
    with archives.open_zip(path) as archive:
        members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
        if set(members) != set(expected):
            raise ValueError("it is no progress of top_patches of this version")
        # First what the file belongs to: k is in it, and the number of maps in the layer.
        names = [*identity, *(name for name in expected if name not in identity)]
        arrays: dict[str, np.ndarray] = {}
        for name in names:
            if members[name].file_size > expected[name].nbytes + HEADER:
                raise ValueError(f"{name} is larger than it can be")
            array = archives.read_array(archive, f"{name}.npy")
            if (array.shape, array.dtype) != (expected[name].shape, expected[name].dtype):
                raise ValueError(f"{name} is {array.dtype} {array.shape}")
            arrays[name] = array
            if name == names[len(identity) - 1]:
                _require_same(arrays, expected)
    if arrays["version"][0] != VERSION:
        raise ValueError(f"it is of version {arrays['version'][0]}, and {VERSION} is read")
    return arrays


def _require_same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    other = [name for name, array in found.items() if not np.array_equal(array, expected[name])]
    if other:
        raise ValueError(f"it was made with another {' and another '.join(other)}")


def _check(strongest: Strongest, units: int, size: int | None) -> None:
    """Refuse what no pass leaves behind."""
    values, index, unit = strongest.values, strongest.index, strongest.unit
    taken = strongest.found()
    legal = (
        0 <= strongest.seen <= (strongest.seen if size is None else size)
        and np.isfinite(values[:, :taken]).all()
        and (values[:, taken:] == -np.inf).all()
        and (values[:, 1:] <= values[:, :-1]).all()
        and ((index >= 0) & (index < strongest.seen))[:, :taken].all()
        and (index[:, taken:] == -1).all()
        and ((unit >= 0) & (unit < units)).all()
    )
    if not legal:
        raise ValueError("it says what no pass over images can have found")
