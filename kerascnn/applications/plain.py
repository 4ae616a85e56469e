"""What AlexNet, ZFNet, NiN and VGG share: the arguments of plain stacks of convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerascnn import blocks
from kerascnn.applications.common import ORDER
from kerascnn.architecture import Preprocessing
from kerascnn.space import Param, Range, Rule


@dataclass(frozen=True)
class Unit:
    """A convolution with bias and its non-linearity, the same way all through a network.

    Attributes:
        activation: the non-linearity.
        norm: "batch" for batch normalization; anything else means none.
        order: whether that comes before the non-linearity, "conv-bn-act", or behind it.
    """

    activation: str
    norm: str
    order: str

    def __call__(
        self,
        x: Any,
        filters: int,
        kernel: int,
        *,
        name: str,
        strides: int = 1,
        padding: blocks.Padding = "same",
        groups: int = 1,
    ) -> Any:
        """The unit on `x`."""
        x = blocks.conv(
            x, filters, kernel, name=name, strides=strides, padding=padding, groups=groups
        )
        if self.norm == "batch" and self.order == "conv-bn-act":
            x = blocks.batch_norm(x, name=f"{name}_bn")
        x = blocks.activation(x, self.activation, name=f"{name}_{self.activation}")
        if self.norm == "batch" and self.order == "conv-act-bn":
            x = blocks.batch_norm(x, name=f"{name}_bn")
        return x


def fc6_head(
    x: Any, *, classes: int, hidden: tuple[int, ...], activation: str, dropout: float, grid: int
) -> Any:
    """AlexNet's and ZFNet's head: fc6 and fc7 with dropout behind each, and the classifier."""
    return blocks.dense_head(
        x,
        classes,
        hidden=hidden,
        activation_name=activation,
        dropout_rate=dropout,
        grid=grid,
        first=6,
    )


WIDTHS = Param(
    name="widths",
    default=(64,),
    search=Range(32, 512, step=32),
    legal=Range(1, 8192),
    help="Filters of each convolution.",
)
STEM_KERNEL = Param(
    name="stem_kernel",
    default=11,
    search=(5, 7, 9, 11),
    legal=Range(1, 31),
    help="Side of the first convolution.",
)
STEM_STRIDE = Param(
    name="stem_stride",
    default=4,
    search=(1, 2, 4),
    legal=Range(1, 8),
    help="Stride of the first convolution.",
)
KERNELS = Param(
    name="kernels",
    default=(5, 3, 3, 3),
    search=(3, 5, 7),
    legal=Range(1, 15),
    help="Side of each convolution after the first.",
)
NORM = Param(
    name="norm",
    default="none",
    search=("none", "batch"),
    help="Batch normalization with every convolution, or none.",
)
LRN_NORM = replace(
    NORM,
    default="lrn",
    search=("lrn", "none", "batch"),
    help="Local response normalization where the paper has it, batch normalization with every "
    "convolution, or none.",
)
NORM_ORDER = replace(ORDER, when=("norm", ("batch",)))
POOL = Param(name="pool", default="max", search=("max", "avg"), help="Kind of pooling.")
POOL_SIZE = Param(
    name="pool_size",
    default=3,
    search=(2, 3),
    legal=(2, 3, 4, 5),
    help="Side of the pooling windows; their stride is 2, so that windows of 3 overlap.",
)
HIDDEN = Param(
    name="hidden",
    default=(4096, 4096),
    search=Range(256, 4096, step=256),
    legal=Range(1, 65536),
    help="Units of each hidden dense layer.",
)
HIDDEN_DROPOUT = Param(
    name="dropout",
    default=0.5,
    search=Range(0.0, 0.7),
    legal=Range(0.0, 0.95),
    help="Dropout at each hidden dense layer.",
)
GRID = Param(
    name="grid",
    default=0,
    legal=Range(0, 64),
    help="Average the last map to grid × grid before the dense layers, whatever the input's size, "
    "as torchvision does; 0: take it as it is.",
)

# The papers subtract the mean image of the training set; its mean colour does as well.
MEAN_RGB = Preprocessing(scale=1.0, mean=(123.68, 116.779, 103.939))
MEAN_BGR = Preprocessing(scale=1.0, mean=(103.939, 116.779, 123.68), order="BGR")


def lengths(**expected: int) -> Rule:
    """The rule that these per-stage arguments have so many values."""

    def rule(values: Mapping[str, Any]) -> str | None:
        for name, length in expected.items():
            if len(values[name]) != length:
                return (
                    f"{name} needs {length} values, one for each layer. Received: {values[name]}."
                )
        return None

    return rule
