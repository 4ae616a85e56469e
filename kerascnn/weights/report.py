"""What became of each array that was loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from kerascnn.words import listed

SHOWN = 4  # names of arrays in a sentence


@dataclass(frozen=True)
class Report:
    """What `load` did. All names are `layer/variable` of the model, but for `unused`.

    Attributes:
        origin: the file or mapping.
        loaded: taken over as they were.
        adapted: changed to fit, and how.
        initial: left at their initial values: the classifier for another number of classes.
        unused: what the source has for layers of the head that the model doesn't have.
        notes: anything else that a user should know.
        ignored: what else a training script has put beside the weights.
    """

    origin: str
    loaded: tuple[str, ...]
    adapted: Mapping[str, str]
    initial: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{len(self.loaded) + len(self.adapted)} arrays loaded from {self.origin}."]
        ways: dict[str, list[str]] = {}
        for name, how in self.adapted.items():
            ways.setdefault(how, []).append(name)
        lines += [f"Adapted: {listed(names, SHOWN)}: {how}." for how, names in ways.items()]
        if self.initial:
            lines.append(f"Left at their initial values: {listed(self.initial, SHOWN)}.")
        if self.unused:
            lines.append(f"Not needed by this model: {listed(self.unused, SHOWN)}.")
        if self.ignored:
            lines.append(f"Ignored in the file: {listed(self.ignored, 8)}.")
        return "\n".join([*lines, *self.notes])

    def tell(self) -> None:
        """Print to stderr, if there is more to say than that everything was loaded as it was."""
        if self.adapted or self.initial or self.notes or self.ignored:
            print(self, file=sys.stderr)
