"""What the families share: the unit of convolution, heads, arguments and rules, published results.

A family's own file has what its paper introduced; here is what the papers took from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keras import layers

from kerascnn import blocks
from kerascnn.card import Card, Preprocessing, Result
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.space import Param, Range, Rule
from kerascnn.windows import FORMAT, Padding


@dataclass(frozen=True, kw_only=True)
class ConvUnit:
    """Convolution, normalization and non-linearity, the same way all through a network.

    Attributes:
        activation: the non-linearity.
        order: "conv-bn-act", or "conv-act-bn" with the normalization last.
        batch_norm: whether there is a batch normalization at all.
        epsilon, momentum: of the batch normalization.
        use_bias: whether the convolutions have a bias; batch normalization cancels it.
        initializer: of the convolutions' kernels.
        suffix: what the convolution's name has after the unit's.
    """

    activation: str
    order: str = "conv-bn-act"
    batch_norm: bool = True
    epsilon: float = 1e-5
    momentum: float = 0.9
    use_bias: bool = False
    initializer: str = "he_normal"
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
        groups: int = 1,
        activate: bool = True,
    ) -> Any:
        """The unit on `x`; without the non-linearity if `activate` is False."""
        x = self.conv(
            x, filters, kernel, name=name, strides=strides, padding=padding, groups=groups
        )
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
        padding: Padding = "same",
        groups: int = 1,
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
            groups=groups,
            use_bias=self.use_bias if use_bias is None else use_bias,
            initializer=self.initializer,
        )

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


def pool_stem(x: Any, kind: str) -> Any:
    """The 3×3 max pooling behind the first convolution, with stride 2."""
    if kind == "none":
        return x
    if kind == "caffe":
        return blocks.max_pool(x, 3, strides=2, ceil=True, name="pool1_pool")
    if kind == "keras":
        x = blocks.apply(x, layers.ZeroPadding2D(1, **FORMAT, name="pool1_pad"))
        return blocks.max_pool(x, 3, strides=2, name="pool1_pool")
    return blocks.max_pool(x, 3, strides=2, padding=1, name="pool1_pool")


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

    first: int = 1
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
        return blocks.dense_head(
            x,
            classes,
            hidden=hidden,
            activation_name=activation,
            dropout_rate=dropout,
            grid=grid,
            first=self.first,
            dropout_before=self.dropout_before,
        )


# Arguments. Numbers of filters, kernels and depths are one for each stage if the default is.


WIDTHS = Range(16, 512, step=16)


def width_param(
    name: str,
    default: Any,
    help: str,
    *,
    search: Range = WIDTHS,
    least: int = 1,
    when: tuple[str, tuple[Any, ...]] | None = None,
) -> Param:
    """Numbers of filters."""
    return Param(name, default, search, legal=Range(least, 8192), when=when, help=help)


def kernel_param(
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


def depths_param(default: tuple[int, ...], search: Range | tuple[int, ...], help: str) -> Param:
    """The number of layers or blocks of each stage."""
    return Param("depths", default, search, legal=Range(1, 1000), help=help)


def ratio_param(search: tuple[int, ...], help: str, *, when: tuple[str, tuple[Any, ...]]) -> Param:
    """How wide one end of a bottleneck is, as a multiple of the other."""
    return Param("bottleneck_ratio", 4, search, legal=Range(1, 64), when=when, help=help)


def stride_param(default: int, search: tuple[int, ...] = (1, 2, 4)) -> Param:
    """The stride of the first convolution."""
    help = "Stride of the first convolution."
    return Param("stem_stride", default, search, legal=Range(1, 8), help=help)


def dropout_param(name: str, default: Any, help: str, *, most: float = 0.5) -> Param:
    """Rates of dropout, of which a search tries those up to `most`."""
    return Param(name, default, Range(0.0, most), legal=Range(0.0, 0.95), help=help)


ACTIVATION = Param(
    "activation",
    "relu",
    ("relu", "leaky_relu", "elu", "silu", "gelu"),
    legal=("relu", "leaky_relu", "elu", "silu", "gelu", "selu", "softplus", "tanh", "sigmoid"),
    help="Non-linearity.",
)
ORDER = Param(
    "order",
    "conv-bn-act",
    ("conv-bn-act", "conv-act-bn"),
    help="Whether normalization comes before or after the non-linearity.",
)
POOL = Param("pool", "max", ("max", "avg"), help="Kind of pooling.")

# Of AlexNet, ZFNet, NiN and VGG.
NORM = Param(
    "norm", "none", ("none", "batch"), help="Batch normalization with every convolution, or none."
)
LRN_NORM = Param(
    "norm",
    "lrn",
    ("lrn", "none", "batch"),
    help="Local response normalization where the paper has it, batch normalization with every "
    "convolution, or none.",
)
NORM_ORDER = replace(ORDER, when=("norm", ("batch",)))
POOL_SIZE = Param(
    "pool_size",
    3,
    (2, 3),
    legal=(2, 3, 4, 5),
    help="Side of the pooling windows; their stride is 2, so that windows of 3 overlap.",
)
DENSE = (
    Param(
        "hidden",
        (4096, 4096),
        Range(256, 4096, step=256),
        legal=Range(1, 65536),
        help="Units of each hidden dense layer.",
    ),
    dropout_param("dropout", 0.5, "Dropout at each hidden dense layer.", most=0.7),
    Param(
        "grid",
        0,
        legal=Range(0, 64),
        help="Average the last map to grid × grid before the dense layers, whatever the input's "
        "size, as torchvision does; 0: take it as it is.",
    ),
)

# Of the networks with batch normalization.
STEM = (
    width_param(
        "stem_width", 64, "Filters of the first convolution.", search=Range(16, 128, step=16)
    ),
    kernel_param("stem_kernel", 7, "Side of the first convolution."),
    stride_param(2, (1, 2)),
    Param(
        "stem_pool",
        "max",
        ("max", "none"),
        legal=("max", "caffe", "keras", "none"),
        help="3×3 max pooling behind it: padded, rounded up as in Caffe, padded with zeros as in "
        "keras.applications, or none.",
    ),
)
# The first convolution for images of 32×32 pixels.
SMALL_STEM: Mapping[str, Any] = {"stem_kernel": 3, "stem_stride": 1, "stem_pool": "none"}
USE_BIAS = Param(
    "use_bias", False, help="Biases in the convolutions (keras.applications has them)."
)
BN_EPSILON = Param(
    "bn_epsilon",
    1e-5,
    legal=Range(0.0, 1.0),
    help="Added to the variance (1.001e-5 in keras.applications).",
)
BN_MOMENTUM = Param(
    "bn_momentum",
    0.9,
    legal=Range(0.0, 1.0),
    help="The old average's share in the running statistics (0.99 in keras.applications).",
)
UNIT = (ACTIVATION, USE_BIAS, BN_EPSILON, BN_MOMENTUM)
DROPOUT = dropout_param("dropout", 0.0, "Dropout before the classifier.")


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


# Pixels, recipes and cards.

CIFAR = Preprocessing(scale=1.0, mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7))
# The papers subtract the mean image of the training set; its mean colour does as well.
MEAN_RGB = Preprocessing(scale=1.0, mean=(123.68, 116.779, 103.939))

# For plain networks on small data sets.
ADAMW = Recipe(
    optimizer="adamw",
    learning_rate=1e-3,
    warmup_epochs=1.0,
    weight_decay=5e-4,
    batch_size=128,
    epochs=60,
    clip_norm=1.0,
    augmentation=Augmentation(shift=0.07, flip=True),
)
# The residual and dense networks' papers.
SGD = Recipe(
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=1e-4,
    batch_size=256,
    epochs=90,
    augmentation=Augmentation(zoom=0.2, flip=True),
)
# Shifts by up to 4 of 32 pixels, and flips.
CIFAR_AUGMENTATION = Augmentation(shift=0.125, flip=True)

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


def cifar_card(card: Card, smallest: int) -> Card:
    """The card of a family's network for CIFAR-10: 32×32 pixels, ten classes."""
    return replace(
        card,
        input_shape=(32, 32, 3),
        classes=10,
        params=None,
        macs=None,
        smallest_input=(smallest, smallest),
        preprocessing=CIFAR,
        results=(),
    )
