"""The look of all pictures: colours that colour-blind people can tell apart, on a light page."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's blue and vermilion, which colour-blind people can tell apart.
INK, FAINT, PAPER, GRID = "#26292e", "#6b7078", "#fcfcfb", "#d9dad6"
TRAIN, VALIDATION, RIGHT, WRONG = "#0072b2", "#d55e00", "#00785a", "#c2261c"
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10, "fontweight": "bold", "color": INK}
