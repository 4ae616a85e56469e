"""What the families share: the unit of convolution, heads, the form of published results.

A family's own file has what its paper introduced, and all of its numbers; here is what the papers
took from each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kerascnn import blocks
from kerascnn.card import Result
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.windows import Padding


@dataclass(frozen=True, kw_only=True)
class ConvUnit:
    """Convolution, normalization and non-linearity, the same way all through a network.

    Attributes:
        activation: the non-linearity.
        initializer: of the convolutions' kernels.
        order: "conv-bn-act", or "conv-act-bn" with the normalization last.
        batch_norm: whether there is a batch normalization at all.
        epsilon, momentum: of the batch normalization.
        use_bias: whether the convolutions have a bias; batch normalization cancels it.
        suffix: what the convolution's name has after the unit's.
    """

    activation: str
    initializer: str
    order: str = "conv-bn-act"
    batch_norm: bool = True
    epsilon: float = 1e-5
    momentum: float = 0.9
    use_bias: bool = False
    suffix: str = ""

    def __call__(
        self,
        x: Any,
        filters: int,
        kernel: int,
        *,
        name: str,
        strides: int = 1,
        padding: Padding = "same",
        dilation: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> Any:
        """The unit on `x`; without the non-linearity if `activate` is False."""
        x = self.conv(
            x,
            filters,
            kernel,
            name=name + self.suffix,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        if activate and self.order == "conv-act-bn":
            return self.norm(self.act(x, name=name), name=name)
        x = self.norm(x, name=name)
        return self.act(x, name=name) if activate else x

    @property
    def conv(self) -> Callable[..., Any]:
        """`blocks.conv` with the unit's biases and initializer: the convolution alone."""
        return functools.partial(blocks.conv, use_bias=self.use_bias, initializer=self.initializer)

    def norm(self, x: Any, *, name: str) -> Any:
        """The normalization alone."""
        if not self.batch_norm:
            return x
        return blocks.batch_norm(x, name=f"{name}_bn", epsilon=self.epsilon, momentum=self.momentum)

    def act(self, x: Any, *, name: str) -> Any:
        """The non-linearity alone."""
        return blocks.activation(x, self.activation, name=f"{name}_{self.activation}")

    def norm_act(self, x: Any, *, name: str) -> Any:
        """Normalization and non-linearity, as they precede a convolution in pre-activation."""
        return self.act(self.norm(x, name=name), name=name)


def plain_unit(activation: str, norm: str, order: str) -> ConvUnit:
    """The unit of AlexNet to VGG: biases, and batch normalization only if `norm` is "batch"."""
    return ConvUnit(
        activation=activation,
        order=order,
        batch_norm=norm == "batch",
        use_bias=True,
        initializer="glorot_uniform",
    )


def pool_stem(x: Any, kind: str, size: int, *, strides: int) -> Any:
    """The max pooling behind the first convolution."""
    pool = functools.partial(blocks.max_pool, size=size, strides=strides, name="pool1_pool")
    if kind == "none":
        return x
    if kind == "caffe":
        return pool(x, ceil=True)
    if kind == "keras":
        return pool(blocks.zero_pad(x, size // 2, name="pool1_pad"))
    return pool(x, padding=size // 2)


def pooled_head(x: Any, *, classes: int, dropout: float) -> Any:
    """Global average pooling, dropout and one dense layer."""
    x = blocks.dropout(blocks.global_avg_pool(x), dropout, name="dropout")
    return blocks.logits(x, classes)


@dataclass(frozen=True, kw_only=True)
class DenseHead:
    """The head of AlexNet to VGG: hidden layers with dropout behind or before each, the classifier.

    Attributes:
        first: the number of the first hidden layer, as in fc6.
        dropout_before: whether dropout precedes the hidden layers.
    """

    first: int
    dropout_before: bool = False

    def __call__(
        self,
        x: Any,
        *,
        classes: int,
        hidden: tuple[int, ...],
        activation: str,
        dropout: float,
        grid: int,
    ) -> Any:
        """The logits on a feature map."""
        x = blocks.flatten(blocks.grid_pool(x, grid, name="grid_pool") if grid else x)
        x = blocks.dense_layers(
            x, hidden, activation, dropout, first=self.first, dropout_before=self.dropout_before
        )
        return blocks.logits(x, classes)


TOP1, TOP5, ERROR = "top-1 error %", "top-5 error %", "error %"


def result(
    value: float | tuple[float, ...],
    protocol: str,
    source: str,
    metric: str = "top-1/top-5 error %",
    dataset: str = "ILSVRC-2012 val",
) -> Result:
    """A published figure, by default both errors on the validation images of ImageNet."""
    return Result(dataset=dataset, protocol=protocol, metric=metric, value=value, source=source)


def adamw(
    learning_rate: float,
    *,
    batch_size: int,
    weight_decay: float,
    epochs: int,
    shift: float,
    source: str,
    warmup_epochs: float = 1.0,
) -> Recipe:
    """Our recipe for plain networks on small data sets."""
    return Recipe(
        optimizer="adamw",
        learning_rate=learning_rate,
        warmup_epochs=warmup_epochs,
        weight_decay=weight_decay,
        batch_size=batch_size,
        epochs=epochs,
        clip_norm=1.0,
        augmentation=Augmentation(shift=shift, flip=True),
        source=source,
    )
