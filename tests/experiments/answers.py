"""How the questions' commands print what they found: as a table, or with `--json` as JSON.

Imported first, it also keeps TensorFlow's greeting back.
"""

from __future__ import annotations

import json
import textwrap
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from kerascnn.quiet import hush_tensorflow

hush_tensorflow()

Row = dict[str, Any]
WORDS = {"macs": "MACs", "relus": "ReLUs", "percent": "%"}  # of a key, as a title has them


def parser(doc: str | None) -> ArgumentParser:
    """Of a command whose module's docstring begins with what it does."""
    assert doc
    found = ArgumentParser(description=doc.split("\n")[0])
    found.add_argument("--json", action="store_true", help="Machine-readable output.")
    return found


def show(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print rows of the same keys, `like_this`, from which the columns have their titles."""
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    from rich.table import Table

    from kerascnn import tables
    from kerascnn.console import Console

    table = Table(box=None, pad_edge=False)
    cells = [[_cell(value) for value in row.values()] for row in rows]
    for index, (key, column) in enumerate(zip(rows[0], zip(*cells))):
        words = [WORDS.get(word, word) for word in key.split("_")]
        width = max(10, *map(len, column))
        title = textwrap.fill(" ".join(words), width, break_long_words=False)
        table.add_column(title, justify="right" if index else "left")
    for line in cells:
        table.add_row(*line)
    tables.show(Console(), table)


def _cell(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return "×".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, int):
        return f"{value / 1e6:,.0f} M" if value >= 10**7 else f"{value:,}"
    return str(value)
