"""COCO's run-length codes of masks, decoded exactly: counts of 0, 1, 0 ..., down each column.

Written as a list of numbers, or as a text, in which a number is a sequence of signs: six bits less
48 each, of which the lowest five are the number's, least significant first, and the sixth says that
more follow; the fifth of the last is its sign. From the fourth number on, the difference to the one
two before is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_SIGNS = 13  # of a number of 64 bits


def counts_of(text: str) -> list[int]:
    """The counts that a text stands for.

    Raises:
        ValueError: it holds signs that the code doesn't have, or ends within a number.
    """
    counts: list[int] = []
    number = place = 0
    for sign in text.encode("latin-1", "replace"):
        bits = sign - 48
        if not 0 <= bits < 64 or place >= MOST_SIGNS:
            raise ValueError("the run-length code has a sign or a number that it can't have")
        number |= (bits & 31) << (5 * place)
        place += 1
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << (5 * place)
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = place = 0
    if place:
        raise ValueError("the run-length code ends within a number")
    return counts


def decoded(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """The mask that the counts describe, bool `[height, width]`.

    Raises:
        ValueError: they don't make as many pixels as the mask has.
    """
    pixels = height * width
    # Compared as Python's numbers, which may have more than 64 bits.
    if len(counts) > pixels + 2 or not all(0 <= count <= pixels for count in counts):
        raise ValueError(f"the run lengths must be 0 to {pixels:,}, the mask's pixels")
    runs = np.array(counts, "int64")
    if (total := int(runs.sum())) != pixels:
        raise ValueError(
            f"the run lengths must add up to {pixels:,} pixels of {height}×{width}. "
            f"Received: {total:,}"
        )
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T
