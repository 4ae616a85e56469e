"""What identifies images: file names, or digests of pixels, millions of them compact in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from kerascnn.data import images as pixels

AT_ONCE = 4096  # names that are unpacked together


class Names:
    """Byte strings in one buffer: a million file names in 50 MB, where a list takes 100.

    Args:
        text: uint8, all names one after the other.
        start, length: of each, int64 and uint32 `[n]`.
    """

    def __init__(self, text: np.ndarray, start: np.ndarray, length: np.ndarray) -> None:
        self.text, self.start, self.length = text, start, length

    @classmethod
    def of(cls, names: Iterable[bytes]) -> Names:
        """Pack names; an iterator is consumed one by one."""
        text, lengths = bytearray(), []
        for name in names:
            text += name
            lengths.append(len(name))
        return cls.packed(np.frombuffer(bytes(text), "uint8"), np.array(lengths, "uint32"))

    @classmethod
    def packed(cls, text: np.ndarray, length: np.ndarray) -> Names:
        """Names that follow each other without a gap."""
        return cls(text, np.cumsum(length, dtype="int64") - length, length)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, position: int) -> bytes:
        start = self.start[position]
        return self.text[start : start + self.length[position]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        text = self.text.data
        for at in range(0, len(self), AT_ONCE):
            part = slice(at, at + AT_ONCE)
            for start, length in zip(self.start[part].tolist(), self.length[part].tolist()):
                yield bytes(text[start : start + length])

    def hashes(self, salt: bytes = b"") -> np.ndarray:
        """A number for each name that depends on it and the salt (64 bytes at most) alone.

        Returns:
            uint64 `[n]`, BLAKE2b's first 8 bytes; evenly distributed.
        """
        found = bytearray()
        for name in self:
            found += hashlib.blake2b(name, digest_size=8, key=salt).digest()
        return np.frombuffer(bytes(found), ">u8").astype("uint64")

    def take(self, index: np.ndarray) -> Names:
        """The names at these positions; the buffer is shared."""
        return Names(self.text, self.start[index], self.length[index])

    @property
    def nbytes(self) -> int:
        """Memory, in bytes."""
        return int(self.text.nbytes + self.start.nbytes + self.length.nbytes)


def digests(images: np.ndarray) -> Names:
    """A name for each image in memory, of 32 characters: it depends on its size and pixels alone.

    Args:
        images: uint8 `[n, height, width, channels]`.
    """
    return Names.of(pixels.digest(image).hex().encode() for image in images)
