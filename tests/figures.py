"""`make figures`: writes the tables of READMEs from the JSON files in kerascnn/bench/figures.

A table stands between `<!-- figures: NAME -->` and `<!-- end -->`, and is made of NAME.json, which
is what a benchmark wrote with --json. What NAME has before its first hyphen says which columns it
has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "kerascnn/bench/figures"
READMES = (ROOT / "kerascnn/bench/README.md", ROOT / "tuning/README.md")
PLACE = re.compile(r"(?<=<!-- figures: )([\w-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
TORCH = ("torch", "torchvision")
PEERS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("infer", "train", "memory", "digits", "gpu_races"), TORCH),
    "runtimes": ("onnxruntime", "ai-edge-litert", "openvino"),
    "tune": ("keras-tuner",),
}
"""Packages beside Keras and TensorFlow whose versions a kind of figures depends on."""

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], str]]


def number(key: str, form: str, unit: float = 1) -> Callable[[Row], str]:
    """A value of a row in a format, in multiples of `unit`."""
    return lambda row: format(row[key] / unit, form)


def spread(form: str) -> Callable[[Row], str]:
    """The slowest and the fastest turn of a row."""
    return lambda row: f"{row['slowest']:{form}}–{row['fastest']:{form}}"


def with_ratio(key: str) -> Callable[[Row], str]:
    """A speed, and in brackets its ratio."""
    return lambda row: f"{row[key]:,.0f} ({row[f'{key}_ratio']:.2f})"


def exponent(found: float | None) -> str:
    """Nothing where there is none."""
    return "" if found is None else f"{found:.2f}"


SPEEDS: Columns = {
    "": lambda row: row["contestant"],
    "images/s": number("images_per_second", ",.0f"),
    "min–max": spread(",.0f"),
    "first step, s": number("first_step", ".1f"),
    "GPU memory, MiB": number("gpu_memory", ",.0f", 2**20),
}
COLUMNS: Mapping[str, Columns] = {
    "gpu_checks": {
        "compared": lambda row: row["what"],
        "largest difference": number("difference", ".1e"),
        "allowed": number("allowed", ".0e"),
    },
    "gpu_races": SPEEDS,
    "memory": {
        "": lambda row: row["contestant"],
        "largest memory, MiB": number("peak_memory", ",.0f", 2**20),
        "images/s": number("images_per_second", ".1f"),
        "min–max": spread(".1f"),
    },
    "digits": {
        "": lambda row: f"`{row['network']}`, {row['name']}",
        "images/s": number("images_per_second", ",.0f"),
        "min–max": lambda row: f"{row['spread'][0]:,.0f}–{row['spread'][1]:,.0f}",
        "with the first epoch": number("with_first_epoch", ",.0f"),
        "first step, s": number("first_step", ".1f"),
    },
    "build": {
        "": lambda row: f"`{row['network']}`, {row['name']}",
        "s": number("seconds", ".2f"),
        "min–max": lambda row: f"{row['fastest']:.2f}–{row['slowest']:.2f}",
        "memory, MiB": number("peak_memory", ",.0f", 2**20),
    },
    "import": {
        "": lambda row: row["name"],
        "s": number("seconds", ".2f"),
        "min–max": lambda row: f"{row['fastest']:.2f}–{row['slowest']:.2f}",
    },
    "growth": {
        "": lambda row: row["what"],
        "sizes": lambda row: ", ".join(f"{size:,}" for size in row["sizes"]),
        "s of processor time": lambda row: ", ".join(f"{one:.2g}" for one in row["seconds"]),
        "exponent": lambda row: exponent(row["exponent"]),
        "of memory": lambda row: exponent(row["memory_exponent"]),
    },
    "tune": {
        "": lambda row: row["what"],
        "kerascnn tune": lambda row: row["ours"],
        "compared with": lambda row: row["other"],
        "ratio": lambda row: "" if row["ratio"] is None else f"{row['ratio']:.2f}",
    },
    "data": {
        "": lambda row: row["name"],
        "images/s": number("images_per_second", ",.0f"),
        "min–max": spread(",.0f"),
        "first pass, s": number("first_step", ".1f"),
    },
    "precision": {
        "": lambda row: f"`{row['network']}`, {row['name']}",
        "training, images/s": with_ratio("training"),
        "error": lambda row: f"{mean(row['trained_error']):.2%}",
        "inference, images/s": with_ratio("inference"),
        "error*": lambda row: f"{mean(row['used_error']):.2%}",
        "agrees": lambda row: f"{mean(row['agreement']):.2%}",
    },
    "runtimes": {
        "": lambda row: f"`{row['network']}`, {row['contestant']}",
        "images/s": number("images_per_second", ",.0f"),
        "min–max": spread(",.0f"),
        "ratio": number("ratio", ".2f"),
        "error": number("error", ".2%"),
        "agrees": number("agreement", ".2%"),
        "file, KiB": number("size", ",.0f", 2**10),
    },
}
RACES = ("infer", "train")
"""Of several contestants on each network: a line for each network, the best of each family."""


def table(name: str, found: Mapping[str, Any]) -> str:
    """A figure's table and where it comes from, in Markdown."""
    kind = name.partition("-")[0]
    lines = _race(found["rows"]) if kind in RACES else _plain(COLUMNS[kind], found["rows"])
    return "\n".join(["", *lines, "", source(kind, found), ""])


def source(kind: str, found: Mapping[str, Any]) -> str:
    """The command, the machine, versions and the day."""
    versions = found["versions"]
    shown = ("tensorflow", "keras", *PEERS.get(kind, ()))
    parts = [
        f"`{found['command']}`",
        *([found["card"]] if "card" in found else []),
        f"{found['processor']}, {found['processors']} processors",
        *(f"{name} {versions[name]}" for name in shown if name in versions),
        found["date"],
    ]
    return f"{'; '.join(parts)}."


def _plain(columns: Columns, rows: Sequence[Row]) -> list[str]:
    """A line for each row."""
    return [
        _line(columns),
        _line(["---", *["--:"] * (len(columns) - 1)]),
        *(_line(write(row) for write in columns.values()) for row in rows),
    ]


def _race(rows: Sequence[Row]) -> list[str]:
    best: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        fastest = best.setdefault((row["network"], row["precision"]), {})
        family, speed = row["contestant"].partition(",")[0], row["images_per_second"]
        fastest[family] = max(speed, fastest.get(family, 0.0))
    families = list(dict.fromkeys(family for found in best.values() for family in found))
    ours, *others = families
    lines = [_line(["images/s", *families]), _line(["---", *["--:"] * len(families)])]
    for (network, precision), found in best.items():
        label = f"`{network}`" + ("" if precision == "float32" else f", {precision}")
        cells = [
            f"{found[one]:.1f} ({found[ours] / found[one]:.2f})" if one in found else ""
            for one in others
        ]
        lines.append(_line([label, f"{found[ours]:.1f}", *cells]))
    return lines


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def rendered(text: str) -> str:
    """A README with its tables as the files have them."""

    def put(place: re.Match[str]) -> str:
        name = place[1]
        found = json.loads((FIGURES / f"{name}.json").read_text())
        return f"{name}{place[2]}{table(name, found)}\n"

    return PLACE.sub(put, text)


if __name__ == "__main__":
    for readme in READMES:
        readme.write_text(rendered(readme.read_text()))
