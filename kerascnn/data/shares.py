"""Shares of the training images that are taken for validation and test, where a source has none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kerascnn.data.examples import Contents
from kerascnn.data.names import Names

RULE = "hash of the name"  # changes whenever `divided` decides otherwise


def with_shares(
    contents: Contents, seed: int, validation: float, test: float
) -> tuple[Contents, str]:
    """Take the validation and test sets that the source doesn't have from its training set.

    Returns:
        The contents, and the rule by which that was done; "": nothing was taken.
    """
    shares = {
        name: share
        for name, share in (("validation", validation), ("test", test))
        if name not in contents.splits
    }
    if not shares or "train" not in contents.splits:
        return contents, ""
    everything = contents.splits["train"]
    seed = seed if contents.split_seed is None else contents.split_seed
    rest, *parts = divided(everything.names(), tuple(shares.values()), seed=seed)
    taken = {name: everything.take(part) for name, part in zip(shares, parts)}
    counts = " and ".join(f"{len(part)} for {name}" for name, part in zip(shares, parts))
    note = f"{counts} are taken from {len(everything.labels)} training images, by their names."
    rule = ", ".join((RULE, f"seed {seed}", *(f"{n} {s:g}" for n, s in shares.items())))
    contents = replace(
        contents,
        splits={**contents.splits, "train": everything.take(rest), **taken},
        notes=(*contents.notes, note) if any(shares.values()) else contents.notes,
    )
    return contents, rule if any(shares.values()) else ""


def divided(names: Names, shares: tuple[float, ...], *, seed: int) -> list[np.ndarray]:
    """Positions of what remains and of each share, in natural order.

    A hash of seed and name is a number in [0, 1): below the first share the image belongs to it,
    below the sum of the first two to the second, and so on. Nothing else matters, so adding,
    removing or mislabelling an image moves no other. The price: of a class with n images a share s
    has s·n on average, with a standard deviation of √(s·(1-s)·n). A class of 100 gives 10 ± 3 to a
    tenth; a class of 5 more often none than one, which `kerascnn.data.load` notes; then give a
    larger share, or a split of your own. To count out exactly s·n for each class would make them
    depend on each other.
    """
    at = names.hashes(str(seed).encode()) / 2.0**64
    part = np.searchsorted(np.cumsum(shares), at, side="right")
    return [np.flatnonzero(part == which) for which in (len(shares), *range(len(shares)))]
