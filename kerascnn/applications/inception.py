"""What GoogLeNet and BN-Inception share: a filter count for each branch of each module, the stem.

Modules are called 3a, 3b, 4a, ...: the stage, of which the stem has been the first two, and a
letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerascnn import blocks
from kerascnn.applications import arguments, common
from kerascnn.space import Param, Range, Rule


def modules(depths: tuple[int, ...]) -> list[str]:
    """The names of the modules, stage by stage."""
    return [
        f"{stage}{chr(ord('a') + number)}"
        for stage, depth in enumerate(depths, start=3)
        for number in range(depth)
    ]


def conv_unit(
    normalization: str, order: str, activation: str, use_bias: bool, epsilon: float, momentum: float
) -> common.ConvUnit:
    """Convolutions, all of them followed by batch normalization if `normalization` is "batch"."""
    return common.ConvUnit(
        activation=activation,
        order=order,
        batch_norm=normalization == "batch",
        epsilon=epsilon,
        momentum=momentum,
        use_bias=use_bias,
        initializer="he_normal",
    )


def stem(
    x: Any,
    unit: common.ConvUnit,
    widths: tuple[int, ...],
    kernels: tuple[int, int, int],
    *,
    strides: int,
    pool_size: int,
    lrn: Mapping[str, Any] | None = None,
) -> Any:
    """Three convolutions and two poolings; `strides` are those of the first and of the poolings."""

    def normalize(x: Any, name: str) -> Any:
        return x if lrn is None else blocks.lrn(x, **lrn, name=name)

    def pool(x: Any, name: str) -> Any:
        return blocks.max_pool(x, pool_size, strides=strides, ceil=True, name=name)

    x = unit(x, widths[0], kernels[0], strides=strides, name="conv1")
    x = normalize(pool(x, "pool1"), "norm1")
    x = unit(x, widths[1], kernels[1], name="conv2_reduce")
    x = normalize(unit(x, widths[2], kernels[2], name="conv2"), "norm2")
    return pool(x, "pool2")


def depths_param(default: tuple[int, ...]) -> Param:
    """The number of modules in each stage; the alphabet ends at 26."""
    return Param("depths", default, legal=Range(1, 26), help="Inception modules of each stage.")


def branch_param(
    table: Mapping[str, Any],
    name: str,
    help: str,
    *,
    least: int = 1,
    when: tuple[str, tuple[Any, ...]] | None = None,
) -> Param:
    """A column of a paper's table: the filters of one branch in every module."""
    default = tuple(getattr(module, name) for module in table.values())
    search = Range(8, 384, step=8)
    return arguments.width(name, default, help, search=search, least=least, when=when)


def kernels_param(
    table: Mapping[str, Any], name: str, default: int, help: str, *, formerly: str | None = None
) -> Param:
    """The side of a branch's convolutions in every module, the same in all of a paper's table.

    It was one for all modules in earlier versions: `kernel_3x3` is `kernels_3x3` now.
    """
    return arguments.kernel(
        name,
        (default,) * len(table),
        help,
        per="conv_1x1",
        formerly=formerly or name.replace("kernels", "kernel"),
    )


def stem_params(widths: tuple[int, int, int], kernel: int) -> tuple[Param, Param]:
    """Filters and the first kernel of the stem."""
    return (
        arguments.width(
            "stem_widths", widths, "Filters of the three convolutions before the modules."
        ),
        arguments.kernel("stem_kernel", kernel, "Side of the first convolution."),
    )


three_stem_widths = arguments.one_for_each("convolution of the stem", 3, "stem_widths")


def count_modules(values: Mapping[str, Any]) -> int:
    """How many modules there are in all stages."""
    return sum(values["depths"])


def one_for_each_module(*names: str) -> Rule:
    """The rule that these tuples are as long as the stages together."""
    return arguments.one_for_each("module that depths counts", count_modules, *names)
