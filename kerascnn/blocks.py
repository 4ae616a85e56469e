"""The vocabulary the families are written in: thin functions over keras.layers.

Each takes a feature map `[batch, height, width, channels]` and returns one, and has what the
papers need and Keras lacks: symmetric padding at any stride, pooling that rounds up. Called with
a `kerascnn.sketch.Sketch` in place of a tensor they add up parameters and MACs and build nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from kerascnn.errors import ArgumentError
from kerascnn.imports import Later
from kerascnn.windows import (
    FORMAT,
    Padding,
    extent,
    require_dilation,
    require_transposed,
    sampled_first,
    sides,
)

if TYPE_CHECKING:
    import keras
    from keras import layers

    from kerascnn import initializers, keras_internals
    from kerascnn import layers as ours
else:  # sketches do without, and importing Keras takes seconds
    keras, layers = Later("keras"), Later("keras.layers")
    keras_internals, ours = Later("kerascnn.keras_internals"), Later("kerascnn.layers")
    initializers = Later("kerascnn.initializers")


@contextlib.contextmanager
def channels_last() -> Iterator[None]:
    """Keras's default format while a network is built, for builders of other packages' layers.

    While Keras isn't imported, there is no such layer.
    """
    if "keras" not in sys.modules:
        yield
        return
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


@singledispatch
def apply(x: Any, layer: Any, *others: Any) -> Any:
    """Any other Keras layer, with `others` on `[x, *others]`.

    Its `compute_output_shape` says what it gives; `layer.macs(input_shape)` counts its
    multiply-adds, if it has any.
    """
    return layer([x, *others] if others else x)


@singledispatch
def conv(
    x: Any,
    filters: int,
    kernel: int,
    *,
    name: str,
    strides: int = 1,
    padding: Padding = "same",
    dilation: int = 1,
    groups: int = 1,
    use_bias: bool = True,
    initializer: str = "glorot_uniform",
    dtype: str | None = None,
) -> Any:
    """Convolution with a square kernel and explicit, symmetric padding.

    With `dilation` the kernel reads every `dilation`-th pixel; "same" keeps the map's size then,
    too.

    A strided 1×1 kernel over few channels follows a layer `NAME_sample` that picks its pixels: see
    `windows.sampled_first`.

    Raises:
        ArgumentError: it has strides and a dilation.
    """
    require_dilation(name, strides, dilation)
    if sampled_first(kernel, strides, x.shape[-1] // groups):
        x, strides = max_pool(x, 1, strides=strides, name=f"{name}_sample"), 1
    span = extent(kernel, dilation)
    top, bottom, left, right = sides(padding, span)
    mode = "valid"
    if strides == 1 and (top, bottom, left, right) == sides("same", span):
        mode = "same"  # the same arithmetic, without a layer for the zeros
    elif top or bottom or left or right:
        x = layers.ZeroPadding2D(((top, bottom), (left, right)), **FORMAT, name=f"{name}_pad")(x)
    kind = layers.Conv2D if groups == 1 else ours.GroupedConv2D
    return kind(
        filters,
        kernel,
        strides,
        mode,
        **FORMAT,
        dilation_rate=dilation,
        groups=groups,
        use_bias=use_bias,
        kernel_initializer=_made(initializer),
        dtype=dtype,
        name=name,
    )(x)


def _made(initializer: Any) -> Any:
    """Ours in place of the initializer's name, where there is one of ours."""
    return initializers.HeNormal() if initializer == "he_normal" else initializer


@singledispatch
def zero_pad(x: Any, amount: int, *, name: str) -> Any:
    """As many rows and columns of zeros on every side of the map."""
    return layers.ZeroPadding2D(amount, **FORMAT, name=name)(x)


@singledispatch
def conv_each(
    x: Any,
    *others: Any,
    filters: int,
    kernel: int,
    name: str,
    kind: str | None = None,
    initializer: Any = "glorot_uniform",
    dtype: str | None = None,
) -> list[Any]:
    """One convolution, "same", that slides over each of several maps; `kind` is its activation."""
    layer = layers.Conv2D(
        filters,
        kernel,
        padding="same",
        **FORMAT,
        activation=kind,
        kernel_initializer=_made(initializer),
        dtype=dtype,
        name=name,
    )
    return [layer(one) for one in (x, *others)]


@singledispatch
def conv_transpose(
    x: Any,
    filters: int,
    kernel: int,
    *,
    name: str,
    strides: int,
    padding: Padding = "valid",
    use_bias: bool = True,
    initializer: Any = "glorot_uniform",
    dtype: str | None = None,
) -> Any:
    """Transposed convolution: each pixel spreads a square kernel, `strides` pixels from the next.

    A side of `n` pixels becomes `(n - 1) · strides + kernel`; "same" cuts that to `n · strides`,
    the odd pixel at the bottom right. Papers call it up-convolution, deconvolution or
    fractionally strided convolution.

    Raises:
        ArgumentError: the padding is neither "valid" nor "same", or a kernel smaller than its
            strides would leave holes.
    """
    require_transposed(name, kernel, strides, padding)
    return layers.Conv2DTranspose(
        filters,
        kernel,
        strides,
        padding,
        **FORMAT,
        use_bias=use_bias,
        kernel_initializer=_made(initializer),
        dtype=dtype,
        name=name,
    )(x)


@singledispatch
def batch_norm(x: Any, *, name: str, epsilon: float = 1e-5, momentum: float = 0.9) -> Any:
    """Batch normalisation over all but the channels; `momentum` is the old average's share."""
    return ours.BatchNormalization(epsilon=epsilon, momentum=momentum, name=name)(x)


@singledispatch
def lrn(
    x: Any,
    *,
    name: str,
    size: int = 5,
    k: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    divide_alpha: bool = False,
) -> Any:
    """Local response normalization across maps; see `kerascnn.layers`."""
    return ours.LocalResponseNormalization(
        size, k, alpha, beta, divide_alpha=divide_alpha, name=name
    )(x)


@singledispatch
def activation(
    x: Any, kind: str | Callable[..., Any], *, name: str, dtype: str | None = None
) -> Any:
    """An element-wise non-linearity."""
    return layers.Activation(kind, dtype=dtype, name=name)(x)


@singledispatch
def dropout(x: Any, rate: float, *, name: str) -> Any:
    """Dropout; at rate 0 there is no layer."""
    return layers.Dropout(rate, name=name)(x) if rate else x


@singledispatch
def max_pool(
    x: Any,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Any:
    """Maximum over `size × size` windows; `ceil` rounds the number of windows up, as Caffe did."""
    strides = strides or size
    if not ceil and padding == "valid":
        return layers.MaxPooling2D(size, strides, **FORMAT, name=name)(x)
    return ours.MaxPooling(size, strides, padding=sides(padding, size), ceil=ceil, name=name)(x)


@singledispatch
def avg_pool(
    x: Any,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Any:
    """Average over `size × size` windows; zeros of the padding count, as in Caffe and torch."""
    strides = strides or size
    if not ceil and padding == "valid":
        return layers.AveragePooling2D(size, strides, **FORMAT, name=name)(x)
    return ours.AveragePooling(size, strides, padding=sides(padding, size), ceil=ceil, name=name)(x)


def pool(
    x: Any,
    kind: str,
    size: int,
    *,
    name: str,
    strides: int | None = None,
    padding: Padding = "valid",
    ceil: bool = False,
) -> Any:
    """Pooling of a kind that is an argument: "max" or "avg"."""
    pooling = {"max": max_pool, "avg": avg_pool}[kind]
    return pooling(x, size, name=name, strides=strides, padding=padding, ceil=ceil)


@singledispatch
def grid_pool(x: Any, grid: int, *, name: str) -> Any:
    """Average over `grid × grid` equal parts of a map of any size; torch calls it adaptive."""
    if x.shape[1:3] == (grid, grid):
        return x
    return ours.GridPooling(grid, name=name)(x)


@singledispatch
def global_avg_pool(x: Any, *, name: str = "avg_pool", dtype: str | None = None) -> Any:
    """Average over the whole map: `[batch, channels]`."""
    return layers.GlobalAveragePooling2D(**FORMAT, dtype=dtype, name=name)(x)


@singledispatch
def flatten(x: Any, *, name: str = "flatten") -> Any:
    """`[batch, height · width · channels]`.

    Raises:
        ArgumentError: the map's size isn't known, so neither is the number of units.
    """
    if None in x.shape[1:]:
        raise ArgumentError(
            f"{name}: the dense layers behind it need a known input size. Pass "
            "input_shape=(height, width, channels), or include_top=False. "
            f"Received a map of shape {tuple(x.shape[1:])}."
        )
    return layers.Flatten(**FORMAT, name=name)(x)


@singledispatch
def dense(x: Any, units: int, *, name: str, use_bias: bool = True) -> Any:
    """A fully connected layer without activation, of `[batch, units]` or of each of many rows."""
    return layers.Dense(units, use_bias=use_bias, name=name)(x)


@singledispatch
def logits(
    x: Any, classes: int, *, name: str = "logits", initializer: Any = "glorot_uniform"
) -> Any:
    """The classifier's dense layer, in float32 under any mixed precision."""
    kind = {"kernel_initializer": _made(initializer), "dtype": head_dtype()}
    return layers.Dense(classes, **kind, name=name)(x)


def head_dtype() -> str:
    """Of a classifier's layers: float32, as half precision is too coarse there, or float64."""
    if "keras" not in sys.modules:  # a sketch, which has no dtypes
        return "float32"
    return "float64" if keras.config.dtype_policy().compute_dtype == "float64" else "float32"


@singledispatch
def add(x: Any, *others: Any, name: str, dtype: str | None = None) -> Any:
    """Element-wise sum."""
    return layers.Add(dtype=dtype, name=name)([x, *others])


@singledispatch
def concat(x: Any, *others: Any, name: str) -> Any:
    """Maps one after the other along the channels."""
    return layers.Concatenate(name=name)([x, *others])


@singledispatch
def padded_identity(x: Any, filters: int, strides: int, *, name: str) -> Any:
    """ResNet's shortcut A: every `strides`-th pixel, and zeros as the maps beyond the input's."""
    return ours.PaddedIdentity(filters, strides, name=name)(x)


@singledispatch
def resize(x: Any, like: Any, *, name: str, dtype: str | None = None) -> Any:
    """The map, bilinearly interpolated to the height and width of `like`, which may be unknown.

    Corners aren't aligned; see `kerascnn.layers.BilinearResizing`.
    """
    return ours.BilinearResizing(dtype=dtype, name=name)([x, like])


@singledispatch
def upsample(
    x: Any, factor: int, *, name: str, learned: bool = False, dtype: str | None = None
) -> Any:
    """Transposed convolution with bilinear kernels: a side of `n` becomes `(n + 1) · factor`.

    Fixed, each map is interpolated on its own and there are no weights, nor MACs that count.
    Learned, it is a `conv_transpose` without biases that mixes the maps, and starts as the same.
    Outside of the map there are zeros; see `kerascnn.layers.BilinearUpsampling`.
    """
    if not learned:
        return apply(x, ours.BilinearUpsampling(factor, dtype=dtype, name=name))
    return conv_transpose(
        x,
        x.shape[-1],
        2 * factor,
        strides=factor,
        use_bias=False,
        initializer=ours.BilinearKernel(),
        dtype=dtype,
        name=name,
    )


@singledispatch
def pad_to_multiple(x: Any, multiple: int, *, name: str) -> Any:
    """Zeros below and right, until height and width, known or not, are multiples of a number."""
    return apply(x, ours.MultiplePadding(multiple, name=name))


@singledispatch
def crop(
    x: Any, like: Any, *, offset: int | None = None, name: str, dtype: str | None = None
) -> Any:
    """What lies `offset` rows and columns from the corner, of the size of `like`, known or not.

    None takes it from the middle, the odd pixel left over at the bottom right.
    """
    return ours.Cropping(offset, dtype=dtype, name=name)([x, like])


@singledispatch
def tensor_at(x: Any, name: str) -> Any:
    """The output of the layer `name`, on the way to `x`."""
    return keras_internals.tensor_at(x, name)


@singledispatch
def cut(x: Any, name: str) -> Any:
    """The same where the network ends with that layer: those behind it cost nothing, either.

    They must be the last ones that were built.
    """
    return keras_internals.tensor_at(x, name)


@singledispatch
def behind(x: Any, name: str, other: Any) -> Any:
    """What the layers behind that of this name, up to `x`, give on another tensor in its place.

    They are moved there: nothing reads `x` afterwards. Of a sketch `x` must have been cut there.
    """
    return keras_internals.moved(x, keras_internals.tensor_at(x, name), other)


def repeat(tensors: Sequence[Any], starts: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """What the layers from `starts` to `tensors`, the same ones, give on others in their place.

    A sketch knows no layers: such a network's cost is counted on Keras's graph.
    """
    return keras_internals.repeated(tensors, starts, others)


def dense_layers(
    x: Any,
    units: Sequence[int],
    kind: str,
    rate: float,
    *,
    first: int = 1,
    dropout_before: bool = False,
) -> Any:
    """Hidden dense layers, fc1, fc2, ...; the number of the first is `first`.

    The activation is `kind`; dropout at `rate` follows each layer, or precedes it if
    `dropout_before`.
    """
    for number, width in enumerate(units, start=first):
        if dropout_before:
            x = dropout(x, rate, name=f"fc{number}_dropout")
        x = dense(x, width, name=f"fc{number}")
        x = activation(x, kind, name=f"fc{number}_{kind}")
        if not dropout_before:
            x = dropout(x, rate, name=f"fc{number}_dropout")
    return x


def global_average_head(x: Any, *, classes: int) -> Any:
    """Global average pooling and one dense layer: the head unless an architecture has its own."""
    return logits(global_avg_pool(x), classes)
