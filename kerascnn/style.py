"""The look of all pictures: colours that colour-blind people can tell apart, on a light page."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

# Okabe and Ito's blue and vermilion, which colour-blind people can tell apart.
INK, FAINT, PAPER, GRID = "#26292e", "#6b7078", "#fcfcfb", "#d9dad6"
TRAIN, VALIDATION, RIGHT, WRONG = "#0072b2", "#d55e00", "#00785a", "#c2261c"
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10, "fontweight": "bold", "color": INK}


class Drawing(Figure):
    """A figure that notebooks show, also without pyplot."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()
