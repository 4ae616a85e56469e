"""Commands behind entry points, and how groups of them explain themselves and answer mistakes.

Typer's panels cut words and descriptions to fit into 80 columns; plain help, which commands ask
for with `rich_markup_mode=None`, folds lines at spaces, and here it leaves nothing out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from kerascnn import registry
from kerascnn.words import did_you_mean


class Group(TyperGroup):
    """Shows each command with the whole first sentence of its help, and knows near names."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the names and first sentences."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        whole = 10_000  # characters, more than any sentence has
        rows = [(name, c.get_short_help_str(whole)) for name, c in found if c and not c.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was typed."""
        known, typed = self.list_commands(ctx), args[0]
        if typed not in known and not typed.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such command {typed!r}.{did_you_mean(typed, known)}")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments that no option has taken."""
        with _near_options():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Call the command that was typed, whose options are read here."""
        with _near_options():
            return super().invoke(ctx)


@contextlib.contextmanager
def _near_options() -> Iterator[None]:
    """Ask "Did you mean" about a misspelt option, as about any other name."""
    try:
        yield
    except typer.TyperException as error:
        if near := getattr(error, "possibilities", None):
            error.message = f"{error.message}. Did you mean {' or '.join(near[:2])}?"
            error.possibilities = None  # type: ignore[attr-defined]
        raise


def load_command(group: str, name: str) -> Any:
    """The command behind an entry point of a group."""
    found: Any = registry.load(group, name, object)
    if isinstance(found, typer.Typer):
        app = found
    else:
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command(name=name)(found)
    command = typer.main.get_command(app)
    command.name = name
    return command
