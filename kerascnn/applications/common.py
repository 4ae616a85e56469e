"""What the families have in common: the convolution unit, its arguments, and ImageNet's pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras import layers

from kerascnn import blocks
from kerascnn.architecture import Preprocessing, Result
from kerascnn.space import Param, Range, Rule


@dataclass(frozen=True, kw_only=True)
class ConvUnit:
    """Convolution, normalization and non-linearity, the same way all through a network.

    Attributes:
        use_bias: whether the convolutions have a bias; batch normalization cancels it.
        epsilon, momentum: of the batch normalization.
        activation: the non-linearity.
        order: "conv-bn-act", or "conv-act-bn" with the normalization last.
        normalize: whether there is a batch normalization at all.
        suffix: what the convolution's name has after the unit's.
    """

    use_bias: bool
    epsilon: float
    momentum: float
    activation: str
    order: str = "conv-bn-act"
    normalize: bool = True
    suffix: str = "_conv"

    def __call__(
        self,
        x: Any,
        filters: int,
        kernel: int,
        *,
        name: str,
        strides: int = 1,
        padding: blocks.Padding = "same",
        activate: bool = True,
    ) -> Any:
        """The unit on `x`; without the non-linearity if `activate` is False."""
        x = self.conv(x, filters, kernel, name=name, strides=strides, padding=padding)
        if activate and self.order == "conv-act-bn":
            return self.norm(self.act(x, name=name), name=name)
        x = self.norm(x, name=name)
        return self.act(x, name=name) if activate else x

    def conv(
        self,
        x: Any,
        filters: int,
        kernel: int,
        *,
        name: str,
        strides: int = 1,
        padding: blocks.Padding = "same",
        use_bias: bool | None = None,
    ) -> Any:
        """The convolution alone."""
        return blocks.conv(
            x,
            filters,
            kernel,
            name=name + self.suffix,
            strides=strides,
            padding=padding,
            use_bias=self.use_bias if use_bias is None else use_bias,
            initializer="he_normal",
        )

    def norm(self, x: Any, *, name: str) -> Any:
        """The normalization alone."""
        if not self.normalize:
            return x
        return blocks.batch_norm(x, name=f"{name}_bn", epsilon=self.epsilon, momentum=self.momentum)

    def act(self, x: Any, *, name: str) -> Any:
        """The non-linearity alone."""
        return blocks.activation(x, self.activation, name=f"{name}_{self.activation}")

    def norm_act(self, x: Any, *, name: str) -> Any:
        """Normalization and non-linearity, as they precede a convolution in pre-activation."""
        return self.act(self.norm(x, name=name), name=name)


def width_param(
    name: str, default: Any, help: str, *, search: Range | None = None, when: Any = None
) -> Param:
    """A number of filters, or one for each stage."""
    search = search or Range(16, 512, step=16)
    legal = Range(1, 8192)
    return Param(name=name, default=default, search=search, legal=legal, when=when, help=help)


def kernel_param(name: str, default: Any, help: str) -> Param:
    """The side of a convolution, or one for each stage."""
    return Param(name=name, default=default, search=(3, 5, 7), legal=Range(1, 31), help=help)


ACTIVATION = Param(
    name="activation",
    default="relu",
    search=("relu", "leaky_relu", "elu", "silu", "gelu"),
    legal=("relu", "leaky_relu", "elu", "silu", "gelu", "selu", "softplus", "tanh", "sigmoid"),
    help="Non-linearity.",
)
ORDER = Param(
    name="order",
    default="conv-bn-act",
    search=("conv-bn-act", "conv-act-bn"),
    help="Whether normalization comes before or after the non-linearity.",
)
USE_BIAS = Param(
    name="use_bias", default=False, help="Biases in the convolutions (keras.applications has them)."
)
BN_EPSILON = Param(
    name="bn_epsilon",
    default=1e-5,
    legal=Range(0.0, 1.0),
    help="Added to the variance (1.001e-5 in keras.applications).",
)
BN_MOMENTUM = Param(
    name="bn_momentum",
    default=0.9,
    legal=Range(0.0, 1.0),
    help="The old average's share in the running statistics (0.99 in keras.applications).",
)
DROPOUT = Param(
    name="dropout",
    default=0.0,
    search=Range(0.0, 0.5),
    legal=Range(0.0, 0.95),
    help="Dropout before the classifier.",
)


STEM = (
    width_param(
        "stem_width", 64, "Filters of the first convolution.", search=Range(16, 128, step=16)
    ),
    kernel_param("stem_kernel", 7, "Side of the first convolution."),
    Param(
        name="stem_stride",
        default=2,
        search=(1, 2),
        legal=Range(1, 8),
        help="Stride of the first convolution.",
    ),
    Param(
        name="stem_pool",
        default="max",
        search=("max", "none"),
        legal=("max", "caffe", "keras", "none"),
        help="3×3 max pooling behind it: padded, rounded up as in Caffe, padded with zeros as in "
        "keras.applications, or none.",
    ),
)


def equal_lengths(*names: str) -> Rule:
    """The rule that these per-stage arguments have a value for each of the same stages."""

    def rule(values: Mapping[str, Any]) -> str | None:
        if len({len(values[name]) for name in names}) == 1:
            return None
        received = ", ".join(f"{name}={values[name]}" for name in names)
        return f"{', '.join(names)} need one value for each stage. Received: {received}."

    return rule


def pool_stem(x: Any, kind: str) -> Any:
    """The 3×3 max pooling behind the first convolution, with stride 2."""
    if kind == "none":
        return x
    if kind == "caffe":
        return blocks.max_pool(x, 3, strides=2, ceil=True, name="pool1_pool")
    if kind == "keras":
        x = blocks.apply(x, layers.ZeroPadding2D(1, name="pool1_pad"))
        return blocks.max_pool(x, 3, strides=2, name="pool1_pool")
    return blocks.max_pool(x, 3, strides=2, padding=1, name="pool1_pool")


def pooled_head(x: Any, *, classes: int, dropout: float) -> Any:
    """Global average pooling, dropout and one dense layer."""
    x = blocks.dropout(blocks.global_avg_pool(x), dropout, name="dropout")
    return blocks.logits(x, classes)


IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CIFAR = Preprocessing(scale=1.0, mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7))


def imagenet_result(
    value: float | tuple[float, ...],
    protocol: str,
    source: str,
    metric: str = "top-1/top-5 error %",
) -> Result:
    """A result on the validation images of ILSVRC-2012."""
    return Result(
        dataset="ILSVRC-2012 val", protocol=protocol, metric=metric, value=value, source=source
    )


def torchvision(top1: float, top5: float) -> Result:
    """What torchvision's reference weights IMAGENET1K_V1 reach."""
    return imagenet_result(
        (top1, top5), "224 centre crop of a shorter side of 256", "torchvision IMAGENET1K_V1"
    )
