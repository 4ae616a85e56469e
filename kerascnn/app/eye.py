"""From the bytes of a photo to what a run sees in it, and why. Nothing is stored."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerascnn.data import images
from kerascnn.data.files import Found
from kerascnn.errors import ArgumentError, DataError
from kerascnn.explain.explaining import Explanation, explanation
from kerascnn.runs.run import Run
from kerascnn.style import PAPER
from kerascnn.tasks.forward import middle
from kerascnn.words import printable

PIXELS = 50_000_000  # of a photo, at most
NAME = "the photo"  # in messages
MOST = 20  # classes or boxes that are listed
DOTS = 110  # of a picture in an inch


class Eye:
    """A run that looks at photos, one at a time.

    Args:
        run: finished.

    Raises:
        RunError: training has not come to its end, or the run is damaged.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._task, self._config = run.task, run.config
        self._model = run.model()
        self._explained = self._task.explained(self._model, self._config.classes)
        self._cut = middle(self._config)

    @property
    def title(self) -> str:
        """What the run is called."""
        return f"{self._config.name} on {self._config.data.source}"

    def look(self, content: bytes) -> dict[str, Any]:
        """What is in a photo: of JSON.

        Args:
            content: the photo's file.

        Returns:
            "classes": names with shares in [0, 1]; "changes": what was done to the photo; and
            "pictures": titles with WebP files, as data URIs.

        Raises:
            DataError: it can't be read, or has more than `PIXELS`.
            RunError: the model answers with no numbers.
        """
        reading = dataclasses.replace(self._config.reading, pixels=PIXELS)
        # First, so that a photo that is too large is refused before anything else reads it.
        pixels, _ = images.read(NAME, self._config.canvas, content, reading)
        names = tuple(map(printable, self._config.named_classes))
        (found,) = self._task.predict_files(
            self._model, self._config, [Found(NAME, content=content)], batch_size=1
        )
        if found.error:
            raise DataError(found.error)
        shown = self._task.shown(found.answer, names)
        pictures = []
        if shown.picture is not None:
            pictures.append({"title": "What is where", "source": _encoded(shown.picture)})
        pictures.append({"title": "Why", "source": _encoded(self._why(pixels, names).figure())})
        return {
            "classes": [{"name": name, "share": share} for name, share in shown.classes[:MOST]],
            "changes": list(found.changes),
            "pictures": pictures,
        }

    def _why(self, pixels: np.ndarray, names: tuple[str, ...]) -> Explanation:
        """Grad-CAM of the likeliest class; by other methods where there is no map of the image."""
        photo = np.clip(np.rint(np.asarray(self._cut(pixels[None]))[0]), 0, 255).astype("uint8")
        asked: dict[str, Any] = {
            "preprocessing": self._config.preprocessing,
            "class_names": names,
            "maps": 0,
            "network": self._config.name,
        }
        try:
            return explanation(self._explained, photo, methods=("grad_cam",), **asked)
        except ArgumentError:
            return explanation(self._explained, photo, **asked)


def _encoded(figure: Figure) -> str:
    content = io.BytesIO()
    form: dict[str, Any] = {"format": "webp", "pil_kwargs": {"quality": 88}}
    figure.savefig(content, dpi=DOTS, facecolor=PAPER, **form)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
