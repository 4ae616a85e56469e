"""What follows a source's name: a path or pattern, and perhaps options, as in an address."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from kerascnn.data.images import AS_THEY_ARE, Reading
from kerascnn.errors import DataError
from kerascnn.files import shortened

# Only a whole list of options at the end, so that a pattern such as train-?????-of-00010 is none.
_OPTIONS = re.compile(r"\?((?:[a-z_]+=[^?&]*)(?:&[a-z_]+=[^?&]*)*)$")


MOST_CLASSES = 250  # that can be named: a mask has room for a few more
COMMON = ("range", "max_pixels")  # options that every source with an argument takes


def common(argument: str) -> tuple[str, Reading]:
    """An argument without the options that every source takes, and what they say.

    Raises:
        DataError: one has an illegal value.
    """
    if not (found := _OPTIONS.search(argument)):
        return argument, AS_THEY_ARE
    options = dict(part.split("=", 1) for part in found[1].split("&"))
    given = {name: options.pop(name) for name in COMMON if name in options}
    rest = "&".join(f"{name}={value}" for name, value in options.items())
    reading = AS_THEY_ARE
    if (text := given.get("range")) is not None:
        try:
            low, high = map(float, text.split(":"))
        except ValueError:
            low = high = 0.0
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise DataError(
                "range must be the values that become black and white, such as 0:4095 of 12 bits. "
                f"Received: {text!r}."
            )
        reading = replace(reading, range=(low, high))
    if (text := given.get("max_pixels")) is not None:
        if not (text.isdecimal() and int(text)):
            raise DataError(f"max_pixels must be a number of pixels. Received: {text!r}.")
        reading = replace(reading, pixels=int(text))
    return argument[: found.start()] + (f"?{rest}" if rest else ""), reading


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
            f"Unknown option {min(unknown)!r}; known: {', '.join((*allowed, *COMMON))}. "
            f"Received: {argument!r}."
        )
    return argument[: found.start()], options


def named_classes(text: str) -> tuple[str, ...]:
    """The classes of masks or boxes that an option names: `scratch,dent`.

    Raises:
        DataError: one is empty, or there twice, or there are too many.
    """
    names = tuple(name.strip() for name in text.split(","))
    legal = all(name and name.isprintable() for name in names)
    if not legal or len(set(names)) < len(names) or len(names) > MOST_CLASSES:
        raise DataError(
            f"classes must be names such as scratch,dent, each once, {MOST_CLASSES} at most. "
            f"Received: {shortened(text)}."
        )
    return names
