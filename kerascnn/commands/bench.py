"""`kerascnn bench`: our speed as a ratio against peers, measured in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from kerascnn import registry
from kerascnn.commands import bench_costs, bench_races, bench_trainings
from kerascnn.commands.bench_gpu import gpu
from kerascnn.commands.groups import Group, load_command

COMMANDS: Mapping[str, Callable[..., None]] = {
    "infer": bench_races.infer,
    "train": bench_races.train_steps,
    "digits": bench_trainings.digits,
    "precision": bench_trainings.precision,
    "build": bench_costs.build,
    "import": bench_costs.import_,
    "data": bench_costs.data,
    "record": bench_trainings.record,
    "gpu": gpu,
    "growth": bench_costs.growth,
}


class _WithPlugins(Group):
    """Our benchmarks, and those of other packages: entry points of `kerascnn.benchmarks`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *registry.entries(registry.BENCHMARKS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in registry.entries(registry.BENCHMARKS):
            return load_command(registry.BENCHMARKS, cmd_name)
        return super().get_command(ctx, cmd_name)


bench = typer.Typer(
    cls=_WithPlugins,
    no_args_is_help=True,
    help="Measure speed against peers.",
    add_completion=False,
    rich_markup_mode=None,
)


@bench.callback()
def _root() -> None:
    pass


for _name, _command in COMMANDS.items():
    bench.command(_name)(_command)
