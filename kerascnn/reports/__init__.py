"""What came out of a training or a search, as one page that needs no network and no other file.

page          `Page` and its parts: words, tables, pictures; and how they become HTML, all escaped.
page.html     the frame of a page: style, and the policy that lets a browser load nothing else.
reporter      `Reporter`: what makes a page of a directory, an entry point of `kerascnn.reports`.
of_run        the page of a run, of whatever task, for which
answers       evaluates the run, and shows its samples and explanations.

    kerascnn.reports.write("runs/NAME", "report.html")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerascnn.imports import lazy

if TYPE_CHECKING:
    from kerascnn.reports.page import Code, Page, Picture, Section, Table, Text
    from kerascnn.reports.reporter import Asked, Reporter, report, write

_PUBLIC = {
    "Asked": "reporter",
    "Code": "page",
    "Page": "page",
    "Picture": "page",
    "Reporter": "reporter",
    "Section": "page",
    "Table": "page",
    "Text": "page",
    "report": "reporter",
    "write": "reporter",
}

__all__ = [
    "Asked",
    "Code",
    "Page",
    "Picture",
    "Reporter",
    "Section",
    "Table",
    "Text",
    "report",
    "write",
]


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    __getattr__ = lazy(__name__, {n: f"{__name__}.{home}" for n, home in _PUBLIC.items()})


def __dir__() -> list[str]:
    return sorted(__all__)
