"""Folders of images made of a source, once: its split into train, validation and test, or smaller.

    FOLDER/train/cat/1.jpg, FOLDER/validation/...     of `write_split`, and of sources with splits
    FOLDER/cat/1.jpg                                  of `write_resized`, else
    FOLDER/source.json                              what it was made of, and how

They load as `folder:FOLDER`. All is written beside the folder and takes its place at the end, so
that what was interrupted never looks whole. The source's files are only read.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kerascnn.data import images
from kerascnn.data.examples import Arrays, Contents, Encoded, Examples, Files, Options
from kerascnn.data.labels import Labels
from kerascnn.data.loading import best_target, find_source, read_source
from kerascnn.data.split_names import SPLITS
from kerascnn.data.threads import in_parallel
from kerascnn.errors import ArgumentError, DataError
from kerascnn.files import read_json
from kerascnn.words import counted, listed, printable
from kerascnn.writing import LockedError, Names, locked, write_json

FILE = "source.json"
QUALITY = 90  # of JPEG, in Pillow's scale from 1 to 95
LONGEST_NAME = 200  # bytes of a file's name, of the 255 that file systems allow
AT_ONCE = 256  # images that are read ahead
SHARES_FROM = 3  # images of a class, of which each share gets one at least

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A folder that was made of a source.

    Attributes:
        folder: loads as `folder:FOLDER`.
        images: how many of each split; of a source without splits all are "train".
        new: whether it was written now; otherwise it was there, made of the same.
        notes: what was done to the images, and what was left out, in sentences.
    """

    folder: Path
    images: Mapping[str, int]
    new: bool
    notes: tuple[str, ...] = ()


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

    return _made(source, Path(folder), contents, how, parts, _stored, skip_corrupt, progress)


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

    return _made(
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
    labels = _labels(examples)
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


def _labels(examples: Examples) -> np.ndarray:
    """The class of each example, `[n]`."""
    found = examples.targets
    if not isinstance(found, Labels):
        raise AssertionError(found)  # `_read` has asked for labels
    return np.asarray(found.labels)


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
    used: set[int] = set().union(*(_labels(part).tolist() for part in contents.splits.values()))
    for number, name in enumerate(contents.class_names):
        if number not in used:
            raise DataError(f"{source}: the class {printable(name)!r} has no image.")
    return contents


Written = Callable[[Examples, int], tuple[bytes, str, str]]
"""From an example to a file's content, its ending, and what was done to it; "": nothing."""


def _made(
    source: str,
    folder: Path,
    contents: Contents,
    how: Mapping[str, Any],
    parts: Callable[[], Mapping[str, Examples]],
    write: Written,
    skip_corrupt: bool,
    progress: Progress,
) -> Copied:
    """The folder, written or found.

    Raises:
        DataError: it holds something else, or another process is writing it.
    """
    said = {**how, "source": source, "fingerprint": fingerprint(contents)}
    if there := _found(folder, said):
        return there
    _check_classes(contents.class_names)
    partial = folder.parent / f".partial-{folder.name}"
    if partial.is_symlink():
        raise DataError(f"{partial} is a link, and no unfinished folder of ours. Remove it.")
    try:
        with locked(partial / ".lock"):
            try:
                for left in partial.iterdir():
                    if left.name != ".lock":
                        shutil.rmtree(left) if left.is_dir() else left.unlink()
                made = _fill(partial, contents, parts(), write, skip_corrupt, progress)
                write_json(partial / FILE, {**said, **made})
                (partial / ".lock").unlink()
                if folder.is_dir():
                    folder.rmdir()  # an empty one
                os.rename(partial, folder)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except LockedError as holder:
        raise DataError(f"Another process is writing {folder} ({holder}).") from None
    return Copied(folder=folder, images=made["images"], new=True, notes=tuple(made["notes"]))


def _found(folder: Path, said: Mapping[str, Any]) -> Copied | None:
    """What is in the folder already; None: nothing.

    Raises:
        DataError: it is something else.
    """
    if not folder.exists() and not folder.is_symlink():
        return None
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder. Choose another --save.")
    if not any(folder.iterdir()):
        return None
    if not (folder / FILE).is_file():
        raise DataError(
            f"{folder} is not empty, and was not made by kerascnn. Choose another --save."
        )
    stored = read_json(folder / FILE, error=DataError, inside=folder)
    was = stored if isinstance(stored, dict) else {}
    other = [key for key, value in said.items() if key != "source" and was.get(key) != value]
    if other:
        was_made = printable(f"{was.get('made_by')} of {was.get('source')}")
        what = "the images of the source are others" if other == ["fingerprint"] else ""
        what = what or f"now {listed([key for key in other if key != 'fingerprint'])} would differ"
        raise DataError(
            f"{folder} was made by {was_made}, and {what}. Nothing is mixed: choose another "
            "--save, or delete that folder."
        )
    counts = was.get("images")
    legal = isinstance(counts, dict) and all(isinstance(n, int) for n in counts.values())
    return Copied(folder=folder, images=dict(counts or {}) if legal else {}, new=False)


def fingerprint(contents: Contents) -> str:
    """A hash of the names, sizes and labels of all images: see `Dataset.fingerprint`."""
    digest = hashlib.sha256(repr(contents.class_names).encode())
    for name in SPLITS:
        digest.update(name.encode())
        if name in contents.splits:
            contents.splits[name].digest(digest.update)
    return digest.hexdigest()


def _check_classes(names: tuple[str, ...]) -> None:
    """Refuse classes that no folder can be called.

    Raises:
        DataError: it names them.
    """
    wrong = [
        name
        for name in names
        if not name
        or name.startswith(".")
        or any(sign in name for sign in ("/", "\\", "\0"))
        or len(os.fsencode(name)) > LONGEST_NAME
    ]
    if wrong:
        raise DataError(
            f"No folder can have the name of {counted(len(wrong), 'class', 'classes')}: "
            f"{listed(map(repr, map(printable, wrong)))}. Call them otherwise."
        )
    taken = Names()
    for name in names:
        if taken.fresh(name) != name:
            raise DataError(
                f"The class {printable(name)!r} differs from another by capitals or accents alone: "
                "on many disks their folders are one. Call one otherwise."
            )


def _fill(
    root: Path,
    contents: Contents,
    parts: Mapping[str, Examples],
    write: Written,
    skip_corrupt: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Write all images below a root, and say how many there are and what was done to them."""
    single, names = list(parts) == ["train"], Names()
    total, done = sum(len(part.labels) for part in parts.values()), 0
    counts: dict[str, int] = {}
    changes: dict[str, int] = {}
    left_out: list[str] = list(contents.left_out)
    for split in (name for name in SPLITS if name in parts):
        examples, counts[split] = parts[split], 0
        labels = _labels(examples)
        for position, result in _results(examples, write):
            done += 1
            progress(done, total)
            if isinstance(result, DataError):
                if not skip_corrupt:
                    raise result
                left_out.append(str(result))
                continue
            content, ending, change = result
            label = contents.class_names[int(labels[position])]
            place = _place(examples, position, label)
            path = os.path.join("" if single else split, label, place)
            stem, own = os.path.splitext(path)
            path = names.fresh(stem + ("" if ending == own else own)) + ending
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            counts[split] += 1
            if change:
                changes[change] = changes.get(change, 0) + 1
    notes = list(contents.notes)
    notes += [f"{counted(n, 'image is', 'images are')} {change}." for change, n in changes.items()]
    if left_out:
        left = counted(len(left_out), "image is", "images are")
        notes.append(f"{left} left out: {listed(map(printable, left_out), 3)}")
    return {"images": counts, "notes": notes, "left_out": left_out}


def _results(
    examples: Examples, write: Written
) -> Iterator[tuple[int, tuple[bytes, str, str] | DataError]]:
    """Each position with what is to be written of it, or why it can't be."""

    def one(position: int) -> tuple[bytes, str, str] | DataError:
        try:
            return write(examples, position)
        except DataError as error:
            return error

    count = len(examples.labels)
    for first in range(0, count, AT_ONCE):
        positions = range(first, min(count, first + AT_ONCE))
        yield from zip(positions, in_parallel(one, positions))


def _place(examples: Examples, position: int, label: str) -> str:
    """Where an image is below its class: as in the source, if that is such a folder."""
    if not isinstance(examples, Files):
        return f"{position:06}"
    parts = os.fsdecode(examples.paths[position]).split(os.sep)
    inner = parts[parts.index(label) + 1 :] if label in parts[:-1] else parts[-1:]
    if any(part.startswith(".") or not part for part in inner):  # which would be passed over
        inner = [inner[-1].lstrip(".") or f"{position:06}"]
    return os.path.join(*inner)


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
