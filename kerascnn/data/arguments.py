"""What follows a source's name: a path or pattern, and perhaps options, as in an address."""

from __future__ import annotations

import re

from kerascnn.errors import DataError

SPLITS = {
    **dict.fromkeys(("train", "training", "tr", "trn"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "validating", "dev", "development"), "validation"
    ),
    **dict.fromkeys(("eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
}
"""What folders, files and tables call a split → its name."""

# Only a whole list of options at the end, so that a pattern such as train-?????-of-00010 is none.
_OPTIONS = re.compile(r"\?((?:[a-z_]+=[^?&]*)(?:&[a-z_]+=[^?&]*)*)$")


def parsed(argument: str, *allowed: str) -> tuple[str, dict[str, str]]:
    """`PATH?name=value&name=value` as the path and the options.

    Raises:
        DataError: an option is unknown.
    """
    if not (found := _OPTIONS.search(argument)):
        return argument, {}
    options = dict(part.split("=", 1) for part in found[1].split("&"))
    if unknown := set(options) - set(allowed):
        raise DataError(
            f"Unknown option {min(unknown)!r}; known: {', '.join(allowed)}. Received: {argument!r}."
        )
    return argument[: found.start()], options
