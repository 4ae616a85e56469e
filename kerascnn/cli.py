"""The command line: a thin group over the entry points of `kerascnn.commands`.

A command is a function with Typer annotations, or a `typer.Typer` with sub-commands, in a module
that imports nothing heavy at the top: `kerascnn --help` and shell completion import all of them.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from kerascnn import __version__, registry
from kerascnn.commands.groups import Group, load_command
from kerascnn.console import print_error
from kerascnn.errors import IncompatibleKerasError, KerascnnError, UnknownNameError
from kerascnn.imports import around_import
from kerascnn.quiet import hush_tensorflow, verbose

# The order in which a newcomer needs them; other packages' commands follow.
ORDER = ("list", "info", "train", "evaluate", "predict", "explain")


class EntryPointGroup(Group):
    """A group whose commands are found through entry points and imported when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, ours first."""
        names = registry.entries(registry.COMMANDS)
        return sorted(names, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name; None, with a warning, if its plugin is broken."""
        try:
            return load_command(registry.COMMANDS, cmd_name)
        except UnknownNameError:
            return None
        except KerascnnError as error:
            if not ctx.resilient_parsing:  # not while the shell completes
                print_error("Warning", error, style="yellow")
            return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was typed; if it is broken, that is an error, not a warning."""
        if not ctx.resilient_parsing and args[0] in registry.entries(registry.COMMANDS):
            load_command(registry.COMMANDS, args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=EntryPointGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The classic convolutional networks for Keras 3: list, build, train, look inside.",
    pretty_exceptions_show_locals=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"kerascnn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; what a user did wrong is one message and its error's exit status."""
    hush_tensorflow()
    around_import("keras", _on_tensorflow)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name need be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="kerascnn")
    except KerascnnError as error:
        print_error("Error", error, style="bold red")
        sys.exit(error.exit_status)
    except Exception as error:
        full = _full_disk(error)
        message = full or _of_a_file(error)
        if verbose() or message is None:
            raise
        more = "(KERASCNN_VERBOSE=1 shows the traceback.)"
        print_error("Error", f"{message} {more}", style="bold red")
        if full:
            sys.stdout.flush()
            # Without Python's clearing up: HDF5 ends in a crash where a file can't be completed.
            os._exit(1)
        sys.exit(1)


def _on_tensorflow(import_keras: Callable[[], None]) -> None:
    """Refuse another backend of Keras before that, and what it needs, is imported.

    Raises:
        IncompatibleKerasError: KERAS_BACKEND or Keras's own settings name one.
    """
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    path = os.path.expanduser(os.path.join(home, "keras.json"))
    named = os.environ.get("KERAS_BACKEND")
    where = "KERAS_BACKEND" if named else path
    if not named:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            named = json.loads(Path(path).read_text(encoding="utf-8")).get("backend")
    if named and named != "tensorflow":
        raise IncompatibleKerasError(
            "The commands of kerascnn need Keras on TensorFlow: set KERAS_BACKEND=tensorflow. "
            f"Received: {named}, from {where}."
        )
    import_keras()


# Writers in C and C++ put the system's words into errors of their own, and NumPy has its own.
FULL = {os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}
SHORT = re.compile(r"\d+ requested and \d+ written")


def _full_disk(error: BaseException) -> str | None:
    """A full disk in words, whoever met it; None if it is something else."""
    seen: BaseException | None = error
    while seen is not None:
        words = next((words for words in FULL if words in str(seen)), None)
        if words is None and SHORT.search(str(seen)):
            words = os.strerror(errno.ENOSPC)
        if words is not None or getattr(seen, "errno", None) in FULL.values():
            words = words or os.strerror(seen.errno)  # type: ignore[attr-defined]
            where = getattr(seen, "filename", None) or getattr(error, "filename", None)
            return (
                f"{f'{where}: ' if where else ''}{words}. What was being written is incomplete; "
                "free some space, or write elsewhere, and say the command again. A training goes "
                "on with `kerascnn train --resume RUN`."
            )
        seen = seen.__cause__ or seen.__context__
    return None


def _of_a_file(error: BaseException) -> str | None:
    """In words: a file that can't be read, a folder that can't be made; else None."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return None
