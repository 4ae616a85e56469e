"""What the terminal shows while a network trains."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import keras
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kerascnn.console import Console
from kerascnn.tasks.measure import HELD, Measure
from kerascnn.watching.live_curve import live_curves

REFRESH = 4  # drawings in a second
SHOWN = 25  # epochs' lines in a notebook
BAR = 40  # characters of a notebook's bar
WIDE = 100  # columns in which an epoch's line has all its words
WINDOW = 256  # calls over which the rate of images is averaged


class Page:
    """One output of a notebook's cell that is written anew again and again."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._id: str | None = None
        self._written = 0.0
        self._picture = ""  # HTML

    def add(self, line: str, picture: str = "") -> None:
        """A line that stays, as long as there are not too many after it; the picture above all."""
        self._lines.append(line)
        self._picture = picture
        self.show()

    def draw(self, lines: Callable[[], list[str]]) -> None:
        """Lines that are there until the next change, if the last one was a while ago."""
        if time.perf_counter() - self._written > 1 / REFRESH:
            self.show(lines())

    def show(self, lines: Sequence[str] = ()) -> None:
        """The last lines that stay, and below them others."""
        from IPython.display import display, update_display

        left_out = len(self._lines) - SHOWN
        first = [f"... {left_out} epochs before"] if left_out > 0 else []
        text = "\n".join([*first, *self._lines[-SHOWN:], *lines])
        look = "white-space:pre; line-height:normal; font-family:monospace"
        shown = f'{self._picture}<pre style="{look}">{escape(text)}</pre>'
        content = {"text/plain": text, "text/html": shown}
        if self._id is None:
            self._id = uuid.uuid4().hex
            display(content, raw=True, display_id=self._id)
        else:
            update_display(content, raw=True, display_id=self._id)
        self._written = time.perf_counter()


class Progress(keras.callbacks.Callback):
    """On a terminal a live bar, and one line for each finished epoch; elsewhere the lines alone.

    In a notebook the same is one output that changes, a few times in a second. Elsewhere nothing
    is drawn and no tensor is read in the training thread: it only leaves the newest logs behind,
    and the drawing thread picks them up a few times in a second.

    From the logs it shows `loss` and the measure, both with `val_` too, and `images_per_second`.

    Args:
        epochs: epochs of the whole run.
        steps: steps in an epoch.
        batch_size: images in one step, over all replicas together.
        console: where to write; default: standard output.
        first_epoch: epochs that were finished before, in a run that is resumed.
        measure: the task's main one.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        batch_size: int,
        console: Console | None = None,
        first_epoch: int = 0,
        *,
        measure: Measure,
    ) -> None:
        super().__init__()
        self._measure = measure
        self.console = console or Console()
        self._epochs, self._steps, self._batch_size = epochs, steps, batch_size
        self._epoch, self._done = first_epoch, 0
        self._logs: Mapping[str, Any] = {}
        self._validation: dict[str, float] = {}
        self._doing = ""  # beside training steps
        self._live: Live | None = None
        notebook = self.console.is_jupyter and not self.console.quiet
        self._page = Page() if notebook else None
        self._rows: list[Mapping[str, Any]] = []  # epochs' logs, for a notebook's curves
        self._epoch_began = self._last_call = 0.0
        self._epoch_seconds: float | None = None
        self._busy = 0.0  # seconds spent on training steps alone
        self._trained = 0  # images
        self._pace: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Start drawing."""
        if self.console.is_interactive and not self.console.quiet and self._page is None:
            self._live = Live(
                self,
                console=self.console,
                refresh_per_second=REFRESH,
                transient=True,
            )
            self._live.start()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Stop drawing."""
        self.close()

    def close(self) -> None:
        """Stop drawing and give the cursor back; needed when training ends with an exception."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._page is not None:
            self._page.show()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Empty the bar."""
        self._epoch, self._done, self._logs, self._doing = epoch, 0, {}, ""
        self._epoch_began = self._last_call = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note the newest logs; `batch` is the last of the steps that one call ran."""
        now = time.perf_counter()
        self._busy += now - self._last_call
        self._trained += (batch + 1 - self._done) * self._batch_size
        self._last_call, self._done, self._logs = now, batch + 1, logs or {}
        self._pace.append((self._busy, self._trained))
        if self._page is not None:
            self._page.draw(self._in_text)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Say that validation runs."""
        self._doing = "validating"

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Say that the epoch's state is saved."""
        self._doing = "saving"

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Print the epoch's line; the callbacks after this one may take a while."""
        logs, self._doing = logs or {}, "writing logs"
        self._epoch_seconds = time.perf_counter() - self._epoch_began
        self._validation = {k: v for k, v in logs.items() if k.startswith(HELD)}
        if self._page is not None:
            self._rows.append({**logs, "epoch": epoch + 1})
        self._print(self._line(logs, self._epoch_seconds))

    def _line(self, logs: Mapping[str, Any], seconds: float) -> str:
        """An epoch's line, with as much as fits the width."""
        rate = logs.get("images_per_second") or self._rate()
        speeds = (f"{rate:6,.0f} images/s", f"{rate:,.0f}/s") if rate else ("", "")
        took = f"{f'{seconds:.1f}' if seconds < 10 else f'{seconds:.0f}':>3} s"
        train, validation = self._figures(logs), self._figures(logs, HELD)
        shorter, held = self._figures(logs, brief=True), self._figures(logs, HELD, brief=True)
        forms: tuple[tuple[str, ...], ...] = (
            (train, held, speeds[0], took),
            (train, held, speeds[1], took),
            (train, held, took),
            (shorter, held, took),
            (shorter, held),
        )
        if self.console.width >= WIDE:
            forms = ((train, validation, speeds[0], took), *forms)
        lines = ["  ".join(part for part in (self._count(), *form) if part) for form in forms]
        return next((line for line in lines if len(line) <= self.console.width), lines[-1])

    def _print(self, line: str) -> None:
        if self._page is not None:
            self._page.add(line, live_curves(self._rows, self._measure))
            return
        self.console.print(Text(line), soft_wrap=True)

    def _count(self) -> str:
        return f"epoch {self._epoch + 1:{len(str(self._epochs))}}/{self._epochs}"

    def _speed(self) -> str:
        rate = self._rate()
        return f"{rate:,.0f} images/s" if rate else ""

    def _rate(self) -> float | None:
        """Images in a second over the last calls, without validation and the first, slow call."""
        if len(self._pace) < 2:
            return None
        (before, fewer), (now, more) = self._pace[0], self._pace[-1]
        return (more - fewer) / (now - before) if now > before else None

    def _left(self) -> str:
        rate = self._rate()
        epoch = self._epoch_seconds or (rate and self._steps * self._batch_size / rate)
        if not epoch:
            return ""
        seconds = round(epoch * (self._epochs - self._epoch - self._done / self._steps))
        hours, minutes = seconds // 3600, seconds // 60 % 60
        return f"{hours}:{minutes:02}:{seconds % 60:02} left"

    def __rich__(self) -> Group:
        """The bar of this epoch, and what is known so far; runs in the drawing thread."""
        bar = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, 1, None):
            bar.add_column(no_wrap=True, ratio=ratio)
        bar.add_row(
            self._count(),
            ProgressBar(self._steps, self._done, complete_style="cyan", finished_style="cyan"),
            self._doing or self._left(),
        )
        return Group(bar, Text(self._status(), "dim", no_wrap=True, overflow="ellipsis"))

    def _in_text(self) -> list[str]:
        """The same as lines."""
        full = BAR * self._done // self._steps
        bar = "━" * full + "╌" * (BAR - full)
        return [f"{self._count()} {bar} {self._doing or self._left()}", self._status()]

    def _status(self) -> str:
        figures = self._figures(self._logs), self._figures(self._validation, HELD)
        return "  ".join(part for part in (*figures, self._speed()) if part)

    def _figures(self, logs: Mapping[str, Any], part: str = "", *, brief: bool = False) -> str:
        """Loss and measure of a side, each with its name; `brief`: with one word for both."""
        found = []
        if (loss := logs.get(f"{part}loss")) is not None:
            loss = float(loss)
            text = f"{loss:.4f}" if 1e-3 <= abs(loss) < 1e4 else f"{loss:.3g}"
            found.append(("loss", text))
        if (value := self._measure.of(logs, part)) is not None:
            found.append((self._measure.name, f"{self._measure.written(value):>6}"))
        side = part.removesuffix("_")
        if not found:
            return ""
        if brief:
            return " ".join([side or found[0][0], *(text for _, text in found)])
        return " ".join([*([side] if side else []), *(f"{name} {text}" for name, text in found)])
