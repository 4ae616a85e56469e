"""The papers' layer lists, a file for each network: what README.md says, read."""

import ast
from dataclasses import dataclass, field
from pathlib import Path

# A value is a number, or several, but for these.
NAME, NAMES = {"act"}, {"in"}


@dataclass
class Facts:
    """What is known of a network; sizes are (height, width, channels)."""

    input: tuple
    params: int  # trainable
    macs: int
    field: dict  # of the last convolution: layer, size, stride, and where the first unit's starts
    fields_elsewhere: list  # as others have computed them
    layers: list = field(default_factory=list)  # a dict for each
    fixed: int = 0  # parameters that aren't trained
    connections: dict = field(default_factory=dict)  # those that LeCun et al. count


def read(path):
    """Name with arguments, Facts of a file."""
    head, rows = [part.splitlines() for part in path.read_text("utf-8").split("\n\n")[1:]]
    stated = [line.split(": ", 1) for line in head]
    known = dict(stated)
    facts = Facts(
        input=_size(known["input"]),
        params=int(known["params"]),
        macs=int(known["macs"]),
        field=_field(known["field"]),
        fields_elsewhere=[_field(text) for key, text in stated if key == "field elsewhere"],
        fixed=int(known.get("fixed", 0)),
        connections=_values(known.get("connections", "").split()),
    )
    for row in rows:
        name, kind, out, *words = row.split()
        facts.layers.append(
            {"name": name, "kind": kind, "out": _size(out), "params": 0} | _values(words)
        )
    return known["network"], facts


def _field(text):
    layer, *words = text.split()
    return {"layer": layer} | _values(words)


def _size(text):
    return tuple(map(int, text.split("x")))


def _values(words):
    """`stride=2 pad=0,3,0,3 ceil`, split → a dict."""
    pairs = (word.partition("=") for word in words)
    return {key: _value(key, text) if equals else True for key, equals, text in pairs}


def _value(key, text):
    if key in NAME:
        return text
    if key in NAMES:
        return text.split(",")
    return int(text) if text.isdigit() else ast.literal_eval(text)


FACTS = dict(read(path) for path in sorted(Path(__file__).parent.glob("*.txt")))
