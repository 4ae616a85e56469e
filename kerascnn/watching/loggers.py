"""Loggers: a training as a run of another tool, such as MLflow or Weights & Biases.

A logger is an entry point of the group `kerascnn.loggers`: `kerascnn train --log NAME`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras

from kerascnn import registry
from kerascnn.errors import ArgumentError, RunError
from kerascnn.files import read_json
from kerascnn.runs.config import RunConfig
from kerascnn.watching.hparams import flat, parameters_of
from kerascnn.writing import write_json

FILE = "loggers.json"  # in the run directory: what the tools call the run
KEPT = ("config.json", "metrics.json", "history.csv", "curves.png")
IDENTITY = re.compile(r"[\w-]{1,128}", re.ASCII)  # what a tool may call a run


@dataclass(frozen=True, kw_only=True)
class Opening:
    """A run that a logger is to begin, or to go on with.

    Attributes:
        name: of the run directory.
        identity: what the tool calls the run that goes on; None: a new one.
        parameters: what runs are compared by, in plain types.
        directory: the run directory.
    """

    name: str
    identity: str | None
    parameters: Mapping[str, bool | int | float | str]
    directory: Path


class Logged(Protocol):
    """A run in another tool, while it is written."""

    @property
    def identity(self) -> str:
        """What the tool calls it; with that another process goes on with it."""

    def measure(self, values: Mapping[str, float], epoch: int) -> None:
        """Note values after an epoch, counted from 1."""

    def keep(self, files: Sequence[Path]) -> None:
        """Keep copies of small files."""

    def end(self, *, finished: bool) -> None:
        """Close it; it goes on later unless it is finished."""


@dataclass(frozen=True, kw_only=True)
class Logger:
    """Another tool that a training can be logged to.

    Attributes:
        package: what is imported, and must be installed.
        install: what pip is to install for that.
        open: begins a run there, or goes on with one; it imports the package, and raises whatever
            the package does.
    """

    package: str
    install: str
    open: Callable[[Opening], Logged]


def find(names: Sequence[str]) -> dict[str, Logger]:
    """The loggers of these names, in order.

    Raises:
        ArgumentError: a package is missing.
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    found = {name: registry.load(registry.LOGGERS, name, Logger) for name in names}
    for name, logger in found.items():
        if importlib.util.find_spec(logger.package) is None:
            raise ArgumentError(
                f'Logging to {name} needs its package: pip install "{logger.install}".'
            )
    return found


class Logs(keras.callbacks.Callback):
    """Tells other tools what each epoch has brought, and keeps the run's small files there.

    A tool that fails while the training runs is left alone from then on, and that is said.

    Args:
        names: of the loggers.
        directory: the run's, in which is kept what the tools call the run.
        config: the run's.
        say: is told what the user should know.

    Raises:
        ArgumentError: a tool can't be written to.
        RunError: what is kept of an earlier part of the run is damaged.
    """

    def __init__(
        self,
        names: Sequence[str],
        directory: Path,
        config: RunConfig,
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._directory, self._say = directory, say
        self._epoch, self._finished = 0, False
        self._open: dict[str, Logged] = {}
        known = _identities(directory)
        try:
            for name, logger in find(names).items():
                self._open[name] = _opened(name, logger, directory, config, known.get(name))
        except BaseException:
            self.close()
            raise
        now = {name: logged.identity for name, logged in self._open.items()}
        write_json(directory / FILE, known | now)
        for name, identity in now.items():
            goes_on = "goes on with" if known.get(name) == identity else "has it as"
            say(f"Logged to {name}, which {goes_on} the run {identity}.")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note the epoch's row of the history."""
        values = {key: float(value) for key, value in (logs or {}).items()}
        self._epoch = epoch + 1
        self._tell(lambda logged: logged.measure(values, self._epoch))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Note the figures of metrics.json, and keep files."""
        values = {f"final_{key}": float(value) for key, value in (logs or {}).items()}
        files = [path for name in KEPT if (path := self._directory / name).is_file()]
        self._tell(lambda logged: logged.measure(values, self._epoch))
        self._tell(lambda logged: logged.keep(files))
        self._finished = True

    def close(self) -> None:
        """End the runs there; needed when training ends with an exception."""
        self._tell(lambda logged: logged.end(finished=self._finished))
        self._open = {}

    def _tell(self, what: Callable[[Logged], None]) -> None:
        for name, logged in list(self._open.items()):
            try:
                what(logged)
            except Exception as error:  # a server that is gone must not end a training
                del self._open[name]
                self._say(f"{name} fails, and is told nothing more of this run: {_reason(error)}.")
                with contextlib.suppress(Exception):
                    logged.end(finished=False)


def _opened(
    name: str, logger: Logger, directory: Path, config: RunConfig, identity: str | None
) -> Logged:
    try:
        return logger.open(
            Opening(
                name=directory.name,
                identity=identity,
                parameters=flat(parameters_of(config)),
                directory=directory,
            )
        )
    except Exception as error:  # each package has errors of its own
        which = f" with its run {identity}" if identity else ""
        raise ArgumentError(
            f"{name} can't be logged to{which}: {_reason(error)}. Set it up, or train without "
            f"--log {name}."
        ) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()[:300].rstrip('.')}"


def _identities(directory: Path) -> dict[str, str]:
    """Logger → what it calls this run, if it has been logged before.

    Raises:
        RunError: the file is damaged.
    """
    path = directory / FILE
    if not path.exists():
        return {}
    found = read_json(path, error=RunError, inside=directory)
    legal = isinstance(found, dict) and all(
        isinstance(value, str) and IDENTITY.fullmatch(value) for value in found.values()
    )
    if not legal:
        raise RunError(f"{path} is damaged: it must have a run's id for each logger. Delete it.")
    return found
