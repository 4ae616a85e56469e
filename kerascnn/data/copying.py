"""Folders of images made of a source, once: its split into train, validation and test, or smaller.

    FOLDER/train/cat/1.jpg, FOLDER/validation/...     of `write_split`, and of sources with splits
    FOLDER/cat/1.jpg                                  of `write_resized`, else
    FOLDER/source.json                              what it was made of, and how

They load as `folder:FOLDER`. The source's files are only read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from kerascnn.data import images
from kerascnn.data.copies import Copied, Progress, labels_of, make_once
from kerascnn.data.examples import Arrays, Contents, Encoded, Examples, Files, Options
from kerascnn.data.labels import Labels
from kerascnn.data.loading import best_target, find_source, read_source
from kerascnn.errors import ArgumentError, DataError
from kerascnn.words import printable

QUALITY = 90  # of JPEG, in Pillow's scale from 1 to 95
SHARES_FROM = 3  # images of a class, of which each share gets one at least


def write_split(
    source: str,
    folder: str | os.PathLike[str],
    *,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    skip_corrupt: bool = False,
    progress: Progress = lambda done, total: None,
) -> Copied:
    """Copy a source's images into train, validation and test, byte for byte.

    The shares are counted out in each class: of n images round(share · n), and of three or more at
    least one; which ones, hashes of seed and name decide. Splits that the source has stay.

    Args:
        source: as of `kerascnn.data.load`, with labels.
        folder: is made; if it is there, it must be empty, or made of the same in the same way.
        validation, test: shares of the training images.
        seed: of the choice.
        skip_corrupt: leave unreadable images out instead of stopping.
        progress: is called with how many images are written, of how many.

    Raises:
        ArgumentError: a share is illegal.
        DataError: the source can't be read, has masks or boxes, has all splits already, or the
            folder holds something else.
    """
    shares = {"validation": validation, "test": test}
    if not (all(0 <= share < 1 for share in shares.values()) and sum(shares.values()) < 1):
        raise ArgumentError(
            "validation and test are shares in [0, 1) that leave something for training. "
            f"Received: validation={validation}, test={test}."
        )
    contents = _read(source, folder, skip_corrupt)
    missing = {name: share for name, share in shares.items() if name not in contents.splits}
    if not missing or "train" not in contents.splits:
        raise DataError(
            f"{source} has its own {' and '.join(contents.splits)}: there is nothing to split. To "
            "split all of a folder anew, name its classes with ?train=."
        )
    how = {"made_by": "data split", "validation": validation, "test": test, "seed": seed}

    def parts() -> dict[str, Examples]:
        everything = contents.splits["train"]
        chosen = stratified(everything, missing, seed=seed)
        return {**contents.splits, **{n: everything.take(part) for n, part in chosen.items()}}

    return make_once(source, Path(folder), contents, how, parts, _stored, skip_corrupt, progress)


def write_resized(
    source: str,
    size: int,
    folder: str | os.PathLike[str],
    *,
    quality: int = QUALITY,
    skip_corrupt: bool = False,
    progress: Progress = lambda done, total: None,
) -> Copied:
    """Copy a source's images so that their shorter side is `size` pixels, and none is larger.

    They are upright and keep their aspect. Those that are no larger are copied byte for byte. JPEG
    files stay JPEG, of this quality; others become PNG. A file keeps its place and name, so that a
    seeded split of the folder is that of the source, but where `.png` takes the place of an ending.

    Args:
        source: as of `kerascnn.data.load`, with labels.
        size: of the shorter side, in pixels.
        folder, skip_corrupt, progress: see `write_split`.
        quality: of JPEG, from 1 to 95.

    Raises:
        ArgumentError: size or quality is illegal.
        DataError: see `write_split`.
    """
    if not (1 <= size <= images.LARGEST_SIDE and 1 <= quality <= 95):
        raise ArgumentError(
            f"size must be 1 to {images.LARGEST_SIDE:,} pixels and quality 1 to 95. Received: "
            f"{size} and {quality}."
        )
    contents = _read(source, folder, skip_corrupt)
    how = {"made_by": "data resize", "size": size, "quality": quality}

    def smaller(examples: Examples, position: int) -> tuple[bytes, str, str]:
        return _smaller(examples, position, size, quality)

    return make_once(
        source,
        Path(folder),
        contents,
        how,
        lambda: dict(contents.splits),
        smaller,
        skip_corrupt,
        progress,
    )


def stratified(
    examples: Examples, shares: Mapping[str, float], *, seed: int
) -> dict[str, np.ndarray]:
    """Positions of each share and of the rest, "train": of each class so many as it says.

    Args:
        examples: of several classes.
        shares: by name.
        seed: of the order, in which each class is dealt out.
    """
    labels = labels_of(examples)
    order = examples.names().hashes(str(seed).encode())
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*shares, "train")}
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        mine = mine[np.argsort(order[mine], kind="stable")]
        images_of_class = len(mine)
        for name, share in shares.items():
            least = 1 if share and images_of_class >= SHARES_FROM else 0
            count = max(least, round(share * images_of_class))
            found[name].append(mine[:count])
            mine = mine[count:]
        found["train"].append(mine)
    return {name: np.sort(np.concatenate(parts)) for name, parts in found.items()}


def _read(source: str, folder: str | os.PathLike[str], skip_corrupt: bool) -> Contents:
    """What the source holds; its images are not read yet.

    Raises:
        DataError: it can't be read, or has masks or boxes; or the folder is within it.
    """
    best = best_target(source)
    if best != Labels.kind:
        raise DataError(
            f"{source} has {best if best.endswith('s') else f'{best}s'}, which would be lost: only "
            "sources of labelled images can be split and resized."
        )
    found, argument = find_source(source)
    inside = Path(folder).resolve().is_relative_to(Path(argument.partition("?")[0]).resolve())
    if found.argument == "PATH" and inside:
        raise DataError(
            f"{folder} is inside of {source}, whose images would then be there twice. Choose "
            "another --save."
        )
    contents = read_source(source, Options(unread=True, skip_corrupt=skip_corrupt))
    used: set[int] = set().union(*(labels_of(part).tolist() for part in contents.splits.values()))
    for number, name in enumerate(contents.class_names):
        if number not in used:
            raise DataError(f"{source}: the class {printable(name)!r} has no image.")
    return contents


def _stored(examples: Examples, position: int) -> tuple[bytes, str, str]:
    """An image as the source has it; of arrays as PNG."""
    if isinstance(examples, Arrays):
        return (*_png(images_of(examples, position)), "")
    content = examples.content(position)
    return content, _ending(examples, position, content), ""


def _smaller(examples: Examples, position: int, size: int, quality: int) -> tuple[bytes, str, str]:
    """An image whose shorter side is no larger than `size`."""
    if isinstance(examples, Arrays):
        found, kind, content = images_of(examples, position), "PNG", b""
    else:
        content = examples.content(position)
        place, reading = examples.place(position), examples.reading
        ending = _ending(examples, position, content)
        height, width = images.size(place, content, reading)
        if min(height, width) <= size and not reading.range:
            images.decode(place, None, content, reading)  # refuses a damaged one
            return content, ending, "no larger, and copied as it is"
        found, _ = images.decode(place, 2 * size, content, reading)
        with images.opened(place, content, reading) as image:
            kind = image.format or ""
    if min(found.size) > size:
        scale = size / min(found.size)
        sides = (max(size, round(found.width * scale)), max(size, round(found.height * scale)))
        found = found.resize(sides, Image.Resampling.BILINEAR, reducing_gap=2.0)
    if kind not in ("JPEG", "MPO"):
        return (*_png(found), f"resized to a shorter side of {size} and stored as PNG")
    file = io.BytesIO()
    found.save(file, "JPEG", quality=quality)
    what = f"resized to a shorter side of {size} and stored as JPEG of quality {quality}"
    return file.getvalue(), ending, what


def images_of(examples: Arrays, position: int) -> Image.Image:
    """An image in memory as Pillow's.

    Raises:
        DataError: it has neither one nor three channels.
    """
    pixels = examples.images[position]
    if pixels.shape[2] not in (1, 3):
        raise DataError(f"Image {position} has {pixels.shape[2]} channels: expected 1 or 3.")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _png(image: Image.Image) -> tuple[bytes, str]:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue(), ".png"


def _ending(examples: Encoded, position: int, content: bytes) -> str:
    """Of the file's name, or, if that says nothing, of what it holds."""
    if isinstance(examples, Files):
        name = os.fsdecode(examples.paths[position])
        if images.is_image(name):
            return os.path.splitext(name)[1]
    with images.opened(examples.place(position), content, examples.reading) as image:
        return images.ending_of(image.format or "PNG")
