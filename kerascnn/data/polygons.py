"""Polygons to masks: a pixel is in if its middle is.

pycocotools walks along the border on a grid five times as fine, and rounds; its masks differ from
these at the border alone, by one pixel in a hundred of the areas of random polygons
(`tests/data/test_polygons.py`). `PIL.ImageDraw` counts every pixel that the border touches, which
are eight in a hundred.
"""

from __future__ import annotations

import numpy as np

AT_ONCE = 2**22  # pixels that are worked on together, and crossings of edges and rows in them


def filled(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """The inside of a polygon, by the even-odd rule: bool `[height, width]`.

    Arguments and errors as those of `part`.
    """
    found = np.zeros((height, width), bool)
    place, inside = part(points, height, width)
    found[place] = inside
    return found


def part(points: np.ndarray, height: int, width: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """The inside of a polygon, in the part of an image that is around it.

    Args:
        points: float `[n, 2]`, x and y of the corners in pixels; the left upper corner of the image
            is 0, 0, and the middle of its first pixel 0.5, 0.5.
        height, width: of the image; what is beyond is cut off.

    Returns:
        The part's rows and columns, and bool of their size.

    Raises:
        ValueError: it has so many corners that no hand or program draws them.
    """
    left, up = np.clip(np.floor(points.min(axis=0)), 0, (width, height)).astype(int).tolist()
    right, down = np.clip(np.ceil(points.max(axis=0)), 0, (width, height)).astype(int).tolist()
    found = np.zeros((down - up, right - left), bool)
    rows = max(1, AT_ONCE // (right - left + 1))
    for top in range(up, down, rows) if right > left else ():
        bottom = min(top + rows, down)
        moved = points - (left, top)
        found[top - up : bottom - up] = _inside(moved, bottom - top, right - left)
    return (slice(up, down), slice(left, right)), found


def _inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    x1, y1 = points.T
    x2, y2 = np.roll(points, -1, axis=0).T
    # The rows whose middle is between the ends of each edge, one end counted, the other not.
    first, last = (
        np.clip(np.ceil(ends(y1, y2) - 0.5), 0, height).astype(int)
        for ends in (np.minimum, np.maximum)
    )
    counts = last - first
    if counts.sum() > AT_ONCE:
        raise ValueError(f"a polygon of {len(points):,} corners crosses its rows too often")
    edge = np.repeat(np.arange(len(points)), counts)
    before = np.cumsum(counts) - counts
    row = np.arange(len(edge)) - before[edge] + first[edge]
    slope = (x2 - x1)[edge] / (y2 - y1)[edge]
    crossing = x1[edge] + (row + 0.5 - y1[edge]) * slope
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)
    # A pixel is inside if an odd number of edges cross its row behind its middle.
    crossings = np.bincount(row * (width + 1) + column, minlength=height * (width + 1))
    behind = np.cumsum(crossings.reshape(height, width + 1)[:, :0:-1], axis=1)[:, ::-1]
    return behind % 2 == 1
