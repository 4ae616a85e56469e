"""Arguments that families share, as functions of the numbers that their papers give them.

What is here besides: what a search tries and what is legal, which is ours. Numbers of filters,
kernels and depths are one for each stage if the default is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kerascnn.space import Param, Range, Rule

When = tuple[str, tuple[Any, ...]]
"""An earlier argument, and its values under which this one has an effect."""

FILTERS = Range(16, 512, step=16)
ACTIVATIONS = ("relu", "leaky_relu", "elu", "silu", "gelu")
ORDERS = ("conv-bn-act", "conv-act-bn")


def width(
    name: str,
    default: Any,
    help: str,
    *,
    search: Range = FILTERS,
    least: int = 1,
    when: When | None = None,
) -> Param:
    """Numbers of filters."""
    return Param(name, default, search, legal=Range(least, 8192), when=when, help=help)


def kernel(
    name: str,
    default: Any,
    help: str,
    *,
    search: tuple[int, ...] = (3, 5, 7),
    largest: int = 31,
    per: str | None = None,
    formerly: str | None = None,
) -> Param:
    """Sides of convolutions."""
    legal = Range(1, largest)
    return Param(
        name, default, search, legal=legal, kernel=True, per=per, formerly=formerly, help=help
    )


def depths(default: tuple[int, ...], search: Range | tuple[int, ...], help: str) -> Param:
    """The number of layers or blocks of each stage."""
    return Param("depths", default, search, legal=Range(1, 1000), help=help)


def ratio(default: int, search: tuple[int, ...], help: str, *, when: When) -> Param:
    """How wide one end of a bottleneck is, as a multiple of the other."""
    return Param("bottleneck_ratio", default, search, legal=Range(1, 64), when=when, help=help)


def stride(default: int, search: tuple[int, ...] = (1, 2, 4)) -> Param:
    """The stride of the first convolution."""
    help = "Stride of the first convolution."
    return Param("stem_stride", default, search, legal=Range(1, 8), help=help)


def dropout(default: Any, help: str, *, name: str = "dropout", most: float = 0.5) -> Param:
    """Rates of dropout, of which a search tries those up to `most`."""
    return Param(name, default, Range(0.0, most), legal=Range(0.0, 0.95), off=0.0, help=help)


def activation(default: str) -> Param:
    """The non-linearity."""
    legal = (*ACTIVATIONS, "selu", "softplus", "tanh", "sigmoid")
    return Param("activation", default, ACTIVATIONS, legal=legal, help="Non-linearity.")


def order(default: str, *, when: When | None = None) -> Param:
    """Whether a convolution's normalization or its non-linearity comes first."""
    help = "Whether normalization comes before or after the non-linearity."
    return Param("order", default, ORDERS, when=when, help=help)


def pool(default: Any, help: str = "Kind of pooling.", *, name: str = "pool") -> Param:
    """Maximum or average."""
    return Param(name, default, ("max", "avg"), help=help)


def pool_size(default: int) -> Param:
    """The side of pooling windows with a stride of 2."""
    help = "Side of the pooling windows; their stride is 2, so that windows of 3 overlap."
    return Param(
        "pool_size",
        default,
        (2, 3),
        legal=(2, 3, 4, 5),
        off=2,
        idea="overlapping_pooling",
        help=help,
    )


def norm(
    default: str,
    kinds: tuple[str, ...] = ("none", "batch"),
    help: str = "Batch normalization with every convolution, or none.",
) -> tuple[Param, Param]:
    """The normalization of a network that has none or only a response normalization, and its order.

    The order is that of batch normalization.
    """
    kind = Param("norm", default, kinds, off="none", help=help)
    return kind, order("conv-bn-act", when=("norm", ("batch",)))


def lrn_norm(default: str, help: str) -> tuple[Param, Param]:
    """The same of a network whose paper has local response normalization."""
    return norm(default, ("lrn", "none", "batch"), help)


def dense(hidden: tuple[int, ...], rate: float, *, grid: int = 0) -> tuple[Param, Param, Param]:
    """Units of the hidden dense layers, their dropout, and what pools the map before them."""
    return (
        Param(
            "hidden",
            hidden,
            Range(256, 4096, step=256),
            legal=Range(1, 65536),
            help="Units of each hidden dense layer.",
        ),
        dropout(rate, "Dropout at each hidden dense layer.", most=0.7),
        Param(
            "grid",
            grid,
            legal=Range(0, 64),
            help="Average the last map to grid × grid before the dense layers, whatever the "
            "input's size, as torchvision does; 0: take it as it is.",
        ),
    )


def stem(filters: int, side: int, *, strides: int) -> tuple[Param, Param, Param, Param]:
    """The first convolution and the pooling behind it, of the networks with batch normalization."""
    search = Range(16, 128, step=16)
    return (
        width("stem_width", filters, "Filters of the first convolution.", search=search),
        kernel("stem_kernel", side, "Side of the first convolution."),
        stride(strides, (1, 2)),
        Param(
            "stem_pool",
            "max",
            ("max", "none"),
            legal=("max", "caffe", "keras", "none"),
            off="none",
            idea="stem_pool",
            help="3×3 max pooling behind it: padded, rounded up as in Caffe, padded with zeros as "
            "in keras.applications, or none.",
        ),
    )


def unit(
    default: str,
    *,
    use_bias: bool,
    epsilon: float,
    momentum: float,
    bias: str = "Biases in the convolutions (keras.applications has them).",
    when: When | None = None,
) -> tuple[Param, Param, Param, Param]:
    """Non-linearity, biases and batch normalization, which has an effect `when`."""
    return (
        activation(default),
        Param("use_bias", use_bias, help=bias),
        Param(
            "bn_epsilon",
            epsilon,
            legal=Range(0.0, 1.0),
            when=when,
            help="Added to the variance (1.001e-5 in keras.applications).",
        ),
        Param(
            "bn_momentum",
            momentum,
            legal=Range(0.0, 1.0),
            when=when,
            help="The old average's share in the running statistics (0.99 in keras.applications).",
        ),
    )


@dataclass(frozen=True)
class OneForEach:
    """The rule that tuples have one value for each of something; an object, so it can be pickled.

    Attributes:
        part: what there is one value for.
        count: how many there are, or a function of the arguments.
        names: of the tuples.
    """

    part: str
    count: int | Callable[[Mapping[str, Any]], int]
    names: tuple[str, ...]

    def __call__(self, values: Mapping[str, Any]) -> str | None:
        """What is wrong with complete arguments, if anything is."""
        needed = self.count if isinstance(self.count, int) else self.count(values)
        for name in self.names:
            if len(values[name]) != needed:
                return (
                    f"{name} needs {needed} values, one for each {self.part}. "
                    f"Received: {values[name]}."
                )
        return None


def one_for_each(part: str, count: int | Callable[[Mapping[str, Any]], int], *names: str) -> Rule:
    """The rule that these tuples have `count` values, one for each `part`."""
    return OneForEach(part, count, names)


def count_stages(values: Mapping[str, Any]) -> int:
    """How many stages `depths` lists."""
    return len(values["depths"])


def one_for_each_stage(*names: str) -> Rule:
    """The rule that these tuples are as long as `depths`."""
    return one_for_each("stage that depths lists", count_stages, *names)
