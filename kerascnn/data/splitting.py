"""Which sub-folders of a folder are splits of the data, and which are classes.

A folder's name says that it is a split by a word, alone or with more: `train`, `Training_set`,
`images-train`, `train2017`. Classes may have such names, too: a train, or a test tube. Nothing is
guessed where that is in doubt: the user says it, as in `folder:PATH?train=A,B&test=C`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from kerascnn.data.index import passed_over
from kerascnn.data.split_names import SPLIT_WORDS, SPLITS
from kerascnn.errors import DataError

Parts = dict[str, tuple[str, ...]]
"""Split → its folders below the root; "" is the root itself."""

# Words that say nothing about the content, so that train_images is as plain as train.
_PLAIN = (
    "set|sets|data|dataset|datasets|image|images|img|imgs|photo|photos|picture|pictures|pic|pics|"
    "split|splits|part|fold|folder|dir|file|files|sample|samples|example|examples|subset|final"
)
_WORD = "|".join(sorted((word.replace("-", "") for word in SPLIT_WORDS), key=len, reverse=True))
_GLUED = re.compile(rf"(?:{_PLAIN})?({_WORD})(?:{_PLAIN})?")
# Parts of a name: words, also of CamelCase, and numbers, which say nothing.
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+")


def split_of(name: str) -> tuple[str, str] | None:
    """The split that a folder's name speaks of, and what else it says, in small letters.

    `"train_images"` → `("train", "")`, `"cats-test"` → `("test", "cats")`, `"latest"` → None.
    """
    name = re.sub(r"(?i)hold[\W_]*out", "holdout", name)
    words = [word.lower() for word in _PARTS.findall(name)]
    found = {n: match[1] for n, word in enumerate(words) if (match := _GLUED.fullmatch(word))}
    if len({SPLIT_WORDS[word] for word in found.values()}) != 1:
        return None  # "train_test" speaks of neither
    plain = re.compile(_PLAIN)
    rest = [word for n, word in enumerate(words) if n not in found and not plain.fullmatch(word)]
    return SPLIT_WORDS[next(iter(found.values()))], " ".join(rest)


def by_name(root: str, folders: Sequence[str]) -> tuple[Parts, tuple[str, ...]]:
    """The splits that the names of a root's sub-folders tell, and a note for each doubt.

    Raises:
        DataError: it is in doubt what is meant.
    """
    said = {name: found for name in folders if (found := split_of(name))}
    # A class of images with such a word in its name, beside others: a test tube and a flask.
    classes = [name for name, (_, rest) in said.items() if rest and not _nested(root, name)]
    alike = len({rest for _, rest in said.values()}) == 1 and len(said) == len(folders)
    if not said:
        return {"train": ("",)}, _all_alike(root, folders)
    _refuse_split_classes(root, said)
    if len(classes) == len(said) and not alike:
        return {"train": ("",)}, tuple(
            f"The folder {name} is taken for a class, not for a split." for name in classes
        )
    if len(said) < len(folders):
        others = [name for name in folders if name not in said]
        raise DataError(
            f"{root}: {_some(list(said))} "
            f"{'looks like a split' if len(said) == 1 else 'look like splits'} of the data, "
            f"{_some(others)} {'does' if len(others) == 1 else 'do'} not. "
            + how_to_say(root, said, [name for name in others if _nested(root, name)])
        )
    parts: Parts = {}
    for name, (split, _) in said.items():
        if split in parts:
            raise DataError(
                f"{root} has two {split} folders: {parts[split][0]} and {name}. "
                + how_to_say(root, said)
            )
        parts[split] = (name,)
    flat = [name for name in folders if not _nested(root, name)]
    if flat and os.listdir(os.path.join(root, flat[0])):
        raise DataError(
            f"{os.path.join(root, flat[0])} must hold one sub-folder of images for each class; it "
            "has none. " + how_to_say(root, {n: s for n, s in said.items() if n not in flat})
        )
    return {split: parts[split] for split in SPLITS if split in parts}, ()


def _refuse_split_classes(root: str, said: Mapping[str, tuple[str, str]]) -> None:
    """cat_train, cat_test, dog_train and dog_test: not four classes, nor one of them a split.

    Raises:
        DataError: it is so.
    """
    halves: dict[str, dict[str, str]] = {}
    for name, (split, rest) in said.items():
        halves.setdefault(rest, {})[split] = name
    for rest, names in halves.items():
        if len(names) > 1 and len(halves) > 1:
            raise DataError(
                f"{root}: {_some(list(names.values()))} look like splits of {rest or 'the data'}, "
                f"beside others. Expected {root}/train/CLASS and so on, or a table of the files: "
                f"see csv:FILE. {how_to_say(root, said)}"
            )


def _all_alike(root: str, folders: Sequence[str]) -> tuple[str, ...]:
    """A note that folders may be splits, whatever their names, as each has the same folders."""
    inner: set[tuple[str, ...]] = set()
    for name in folders:
        with os.scandir(os.path.join(root, name)) as entries:
            inside = sorted(e.name for e in entries if e.is_dir() and not passed_over(e.name))
        inner.add(tuple(inside))
        if len(inner) > 1 or len(inside) < 2:
            return ()
    if len(folders) < 2:
        return ()
    return (
        f"{_some(folders)} are taken for classes, though each has the same folders in it, "
        f"{_some(inner.pop())}. If those are the classes, say which folders are what, as in "
        f"'folder:{root}?train={folders[0]}&test={folders[1]}'.",
    )


def how_to_say(root: str, said: Mapping[str, tuple[str, str]], others: Sequence[str] = ()) -> str:
    """The end of a message: the options to type; to train with `others`, if none says that."""
    chosen: dict[str, str] = {}
    for name, (split, _) in said.items():
        chosen.setdefault(split, name)
    if chosen and "train" not in chosen and others:
        chosen["train"] = ",".join(others)
    options = "&".join(f"{split}={chosen[split]}" for split in SPLITS if split in chosen)
    say = f"Say which folders are what, as in 'folder:{root}?{options}'; others are left out. "
    return (say if options else "") + f"If all are classes: 'folder:{root}?train=.'"


def told(root: str, given: Mapping[str, str]) -> Parts:
    """The splits that the options say.

    Raises:
        DataError: a folder doesn't exist, is not below the root, or is given twice.
    """
    parts: Parts = {}
    seen: dict[str, str] = {}
    for split in (split for split in SPLITS if split in given):
        whole = os.path.isdir(os.path.join(root, given[split]))  # a name with a comma in it
        chosen = [given[split]] if whole else given[split].split(",")
        parts[split] = tuple("" if (p := os.path.normpath(f)) == "." else p for f in chosen)
        for folder in parts[split]:
            if folder.startswith("..") or os.path.isabs(folder):
                raise DataError(f"{split} must be a folder below {root}. Received: {folder!r}.")
            if not os.path.isdir(os.path.join(root, folder)):
                raise DataError(f"There is no folder {os.path.join(root, folder)}.")
            for other, owner in seen.items():
                if _inside(folder, other) or _inside(other, folder):
                    raise DataError(
                        f"{root}: an image can't be in two splits; {split}={folder or '.'} and "
                        f"{owner}={other or '.'} share images."
                    )
        seen |= dict.fromkeys(parts[split], split)
    return parts


def _inside(folder: str, other: str) -> bool:
    return not other or folder == other or folder.startswith(other + os.sep)


def _nested(root: str, name: str) -> bool:
    """Whether a folder has sub-folders, as a split with classes has."""
    with os.scandir(os.path.join(root, name)) as entries:
        return any(e.is_dir() and not passed_over(e.name) for e in entries)


def _some(names: Sequence[str]) -> str:
    shown = [*names[:3], f"{len(names) - 3} more"] if len(names) > 4 else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
