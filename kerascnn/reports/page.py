"""A page and its parts. Whatever comes from a run is text: it is escaped here and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

from matplotlib.figure import Figure

from kerascnn import __version__
from kerascnn.style import PAPER
from kerascnn.words import printable, without_middle

LONGEST = 400  # characters of a cell
MOST_ROWS = 300  # of a table
DOTS = 150  # of a picture in an inch
LARGEST = 4096  # pixels of a picture's longer side
INCH = 100  # pixels of the page for an inch of a figure
QUALITY = 88  # of WebP: letters stay sharp


def escaped(text: Any) -> str:
    """A text as HTML: without tags, control characters, or characters that turn the writing."""
    lines = str(text).split("\n")
    return html.escape("\n".join(printable(line) for line in lines))


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    words: str

    def html(self) -> str:
        """As HTML."""
        return f"<p>{escaped(self.words)}</p>"


@dataclass(frozen=True)
class Code:
    """Lines to be typed, in a font of one width."""

    lines: str

    def html(self) -> str:
        """As HTML."""
        return f'<pre tabindex="0"><code>{escaped(self.lines)}</code></pre>'


@dataclass(frozen=True)
class Table:
    """A table; cells that are numbers or begin with a digit stand at the right.

    Attributes:
        rows: of cells, of any type that has a text.
        header: names of the columns; (): the first cell of each row is its name.
        caption: what it shows.
        closed: whether a click unfolds it, as a long one that few read.
    """

    rows: Sequence[Sequence[Any]]
    header: Sequence[str] = ()
    caption: str = ""
    closed: bool = False

    def html(self) -> str:
        """As HTML."""
        shown = list(self.rows)[:MOST_ROWS]
        more = len(self.rows) - len(shown)
        head = "".join(
            f'<th scope="col"{self._side(shown, place)}>{escaped(name)}</th>'
            for place, name in enumerate(self.header)
        )
        body = "".join(self._row(row, shown) for row in shown)
        caption = escaped(f"{self.caption}{f' (and {more:,} more)' if more else ''}".strip())
        head = f"<thead><tr>{head}</tr></thead>" if head else ""
        table = (
            f'<div class="wide" role="region" tabindex="0" aria-label="{caption or "table"}">'
            f"<table>{head}<tbody>{body}</tbody></table></div>"
        )
        if self.closed:
            return f"<details><summary>{caption}</summary>{table}</details>"
        return f'<p class="caption">{caption}</p>{table}' if caption else table

    def _row(self, row: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
        first, *others = (escaped(without_middle(str(cell), LONGEST)) for cell in row)
        sides = (self._side(rows, place) for place in range(1, len(row)))
        cells = "".join(f"<td{side}>{cell}</td>" for side, cell in zip(sides, others))
        return f'<tr><th scope="row">{first}</th>{cells}</tr>'

    def _side(self, rows: Sequence[Sequence[Any]], place: int) -> str:
        """A column of numbers stands at the right; the first names its rows."""
        if not self.header or place == 0:
            return ""
        cells = [str(row[place]) for row in rows if place < len(row)]
        numbers = all(cell[:1].isdigit() or cell[:1] in "–-" for cell in cells)
        return ' class="number"' if numbers else ""


@dataclass(frozen=True)
class Picture:
    """A picture, encoded: `Picture.of(figure, ...)`.

    Attributes:
        content: a WebP file.
        width, height: on the page, in pixels.
        alt: what is to be seen, for who doesn't see it.
        caption: below it.
    """

    content: bytes
    width: int
    height: int
    alt: str
    caption: str = ""

    @classmethod
    def of(cls, figure: Figure, alt: str, caption: str = "") -> Picture:
        """A figure, encoded at once, as figures take much memory."""
        content = io.BytesIO()
        width, height = figure.get_size_inches()
        dots = min(DOTS, LARGEST / max(width, height))
        pixels: dict[str, Any] = {"format": "webp", "pil_kwargs": {"quality": QUALITY}}
        figure.savefig(content, dpi=dots, facecolor=PAPER, **pixels)
        size = round(width * INCH), round(height * INCH)
        return cls(content.getvalue(), *size, alt, caption)

    def html(self) -> str:
        """As HTML."""
        data = base64.b64encode(self.content).decode()
        caption = f"<figcaption>{escaped(self.caption)}</figcaption>" if self.caption else ""
        alt = escaped(self.alt)
        return (
            f'<figure><div class="wide" role="region" tabindex="0" aria-label="{alt}">'
            f'<img alt="{alt}" width="{self.width}" height="{self.height}" '
            f'src="data:image/webp;base64,{data}"></div>{caption}</figure>'
        )


Part = Text | Code | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: its heading.
        lead: a sentence below it.
        sections: in their order; one without parts is left out.
    """

    title: str
    lead: str
    sections: Sequence[Section]

    def html(self) -> str:
        """The page as one HTML file that loads nothing else, and may not."""
        shown = [section for section in self.sections if section.parts]
        here = resources.files("kerascnn.reports")
        style = here.joinpath("page.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = (
            f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'"
        )
        links = "".join(
            f'<li><a href="#s{number}">{escaped(section.title)}</a></li>'
            for number, section in enumerate(shown)
        )
        sections = "\n".join(_section(number, section) for number, section in enumerate(shown))
        return Template(here.joinpath("page.html").read_text(encoding="utf-8")).substitute(
            title=escaped(self.title),
            lead=escaped(self.lead),
            policy=policy,
            style=style,
            links=links,
            sections=sections,
            version=__version__,
        )


def _section(number: int, section: Section) -> str:
    parts = "\n".join(part.html() for part in section.parts)
    title = f'<h2 id="h{number}">{escaped(section.title)}</h2>'
    return f'<section id="s{number}" aria-labelledby="h{number}">{title}\n{parts}\n</section>'
