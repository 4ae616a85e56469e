"""The command line: a thin group over the entry points of `kerascnn.commands`.

A command is a function with Typer annotations, or a `typer.Typer` with sub-commands, in a module
that imports nothing heavy at the top: `kerascnn --help` and shell completion import all of them.
"""

from __future__ import annotations

import sys
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from kerascnn import __version__, registry
from kerascnn.errors import KerascnnError, UnknownNameError

# The order in which a newcomer needs them; other packages' commands follow.
ORDER = ("list", "info", "train", "evaluate", "predict")


class EntryPointGroup(TyperGroup):
    """A group whose commands are found through entry points and imported when they are needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, ours first."""
        names = registry.entries(registry.COMMANDS)
        return sorted(names, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name; None, with a warning, if its plugin is broken."""
        try:
            return _command(cmd_name)
        except UnknownNameError:
            return None
        except KerascnnError as error:
            if ctx.resilient_parsing or len(sys.argv) < 2 or sys.argv[1] != cmd_name:
                Console(stderr=True).print(f"[yellow]Warning:[/] {error}")
                return None
            raise


def _command(name: str) -> Any:
    found: Any = registry.load(registry.COMMANDS, name)
    if isinstance(found, typer.Typer):
        app = found
    else:
        app = typer.Typer(rich_markup_mode="rich", add_completion=False)
        app.command(name=name)(found)
    command = typer.main.get_command(app)
    command.name = name
    return command


app = typer.Typer(
    cls=EntryPointGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
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
    """Run the command line; what a user did wrong is one message and exit status 1."""
    try:
        app()
    except KerascnnError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]Error:[/] {error}", highlight=False)
        sys.exit(1)
