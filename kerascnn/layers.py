"""Layers that two families share and Keras lacks.

All are written in keras.ops; batch normalization has a shorter way on TensorFlow.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kerascnn.errors import ArgumentError
from kerascnn.windows import FORMAT, Padding, pooled, sides


class Pooling(keras.layers.Layer):
    """Windows with explicit padding, and with Caffe's rounding up if asked.

    With `ceil=True` the last window may reach beyond the map by up to `strides - 1`; a window that
    would start in the right or bottom padding is left out, as in Caffe and torch.

    Args:
        pool_size, strides: side and step of the square window.
        padding: see `kerascnn.windows.Padding`.
        ceil: round the number of windows up instead of down.

    Input and output: `[batch, height, width, channels]`.

    Raises:
        ValueError: a window could lie in the padding alone.
    """

    def __init__(
        self,
        pool_size: int,
        strides: int,
        *,
        padding: Padding = "valid",
        ceil: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size = pool_size
        self.strides = strides
        self.padding = sides(padding, pool_size)
        self.ceil = ceil
        if max(self.padding) >= pool_size:
            raise ValueError(
                f"{self.name}: padding must be less than pool_size. "
                f"Received: padding={self.padding}, pool_size={pool_size}."
            )

    def overhang(self, input_shape: tuple) -> tuple[int, int]:
        """Rows and columns beyond the padding that rounding up needs, at the bottom and right."""
        top, bottom, left, right = self.padding
        height, width = input_shape[1:3]
        return self._beyond(height, top, bottom), self._beyond(width, left, right)

    def _beyond(self, size: int | None, before: int, after: int) -> int:
        if not self.ceil:
            return 0
        if size is None:
            # Right at every size: `strides - 1` rounds up, and with less than a window of rows
            # after the map no window starts there.
            return min(after + self.strides - 1, self.pool_size - 1) - after
        windows = pooled(size, self.pool_size, self.strides, before, after, ceil=True)
        return max(0, (windows - 1) * self.strides + self.pool_size - (size + before + after))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, height, width, channels]` of the output."""
        top, bottom, left, right = self.padding
        args = (self.pool_size, self.strides)
        height, width = (
            None if size is None else pooled(size, *args, before, after, ceil=self.ceil)
            for size, before, after in zip(input_shape[1:3], (top, left), (bottom, right))
        )
        return (input_shape[0], height, width, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = {k: getattr(self, k) for k in ("pool_size", "strides", "padding", "ceil")}
        return {**super().get_config(), **own}


def has_room(layer: Any) -> bool:
    """Whether a layer has an activation of its own, which does nothing so far."""
    if not isinstance(layer, keras.Layer) or isinstance(layer, keras.layers.Activation):
        return False
    return getattr(layer, "activation", None) is keras.activations.linear


def _framed(x: Any, frame: tuple[int, int, int, int], value: float) -> Any:
    """The maps with rows and columns of one value at the top, bottom, left and right."""
    top, bottom, left, right = frame
    if not any(frame):
        return x
    return ops.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


@keras.saving.register_keras_serializable("kerascnn")
class MaxPooling(Pooling):
    """The largest of each window; padding never wins. See `Pooling`."""

    def call(self, inputs: Any) -> Any:
        """Pool `[batch, height, width, channels]`."""
        top, bottom, left, right = self.padding
        rows, columns = self.overhang(inputs.shape)
        frame = (top, bottom + rows, left, right + columns)
        inputs = _framed(inputs, frame, float("-inf"))
        return ops.max_pool(inputs, self.pool_size, self.strides, padding="valid", **FORMAT)

    def as_keras(self, inputs: Any) -> Any:
        """The same in layers and operations of Keras, on a symbolic tensor."""
        top, bottom, left, right = self.padding
        rows, columns = self.overhang(inputs.shape)
        framed = _framed(inputs, (top, bottom + rows, left, right + columns), float("-inf"))
        pool = keras.layers.MaxPooling2D(self.pool_size, self.strides, **FORMAT, name=self.name)
        return pool(framed)


@keras.saving.register_keras_serializable("kerascnn")
class AveragePooling(Pooling):
    """The average of each window, as in Caffe and torch. See `Pooling`.

    The zeros of the padding count; what rounding up adds beyond them doesn't.
    """

    def call(self, inputs: Any) -> Any:
        """Pool `[batch, height, width, channels]`."""
        rows, columns = self.overhang(inputs.shape)
        beyond = (0, rows, 0, columns)
        inputs = _framed(inputs, self.padding, 0.0)
        means = self._average(_framed(inputs, beyond, 0.0))
        if not any(beyond):
            return means
        counted = ops.ones_like(inputs[:1, :, :, :1])
        return means / self._average(_framed(counted, beyond, 0.0))

    def _average(self, x: Any) -> Any:
        return ops.average_pool(x, self.pool_size, self.strides, padding="valid", **FORMAT)


@keras.saving.register_keras_serializable("kerascnn")
class GroupedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with its groups convolved one by one.

    Same arguments, same weights, same result. On CPUs the gradient of TensorFlow's own grouped
    convolution takes 5 to 35 times as long as that of its parts.

    `[batch, height, width, channels]`, whatever Keras's global image data format is.

    Raises:
        ArgumentError: another `data_format` than "channels_last".
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        if data_format not in (None, "channels_last"):
            raise ArgumentError(
                f'{kwargs.get("name") or "GroupedConv2D"}: data_format must be "channels_last"; '
                f"keras.layers.Conv2D takes both. Received: {data_format!r}."
            )
        super().__init__(filters, kernel_size, strides, padding, **FORMAT, **kwargs)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve each group of `[batch, height, width, channels]` with its kernels."""
        sources = ops.split(inputs, self.groups, axis=-1)
        kernels = ops.split(kernel, self.groups, axis=-1)
        convolve = super().convolution_op
        return ops.concatenate([convolve(x, k) for x, k in zip(sources, kernels)], axis=-1)


@keras.saving.register_keras_serializable("kerascnn")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` through TensorFlow's fused kernel where it applies.

    Same arguments, same weights, same result within rounding. Keras 3 composes the layer of a
    dozen element-wise operations, each of which reads and writes the whole map; the fused kernel
    reads it twice. On CPUs without XLA a training step of the layer takes a third to a half of the
    time, inference a half to two thirds; with XLA it makes no difference.

    Keras's own way is taken on other backends, in float64, with statistics common to several
    replicas, with masks or renormalization, and for inputs that aren't maps.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize each channel of `[batch, height, width, channels]`."""
        if mask is not None or not self._fusible(inputs):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        fused = tf.compat.v1.nn.fused_batch_norm
        x = ops.cast(inputs, self.compute_dtype)
        # The kernel computes in float32, whatever the dtype of the map.
        gamma, beta, mean, variance = (
            tf.cast(v, "float32")
            for v in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if not (training and self.trainable):
            return fused(x, gamma, beta, mean, variance, self.epsilon, is_training=False)[0]
        outputs, batch_mean, unbiased = fused(x, gamma, beta, epsilon=self.epsilon)
        # The kernel divides the batch's sum of squares by n - 1, Keras by n.
        n = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), "float32")
        batch_variance = unbiased * ((n - 1) / n)
        self.moving_mean.assign(mean * self.momentum + batch_mean * (1 - self.momentum))
        self.moving_variance.assign(variance * self.momentum + batch_variance * (1 - self.momentum))
        return outputs

    def _fusible(self, inputs: Any) -> bool:
        maps = len(inputs.shape) == 4 and self.axis in (-1, 3)
        renorm = getattr(self, "renorm", False)  # new in Keras 3.14
        plain = self.scale and self.center and not renorm and not self.synchronized
        known = self.compute_dtype in ("float32", *_HALF)
        return maps and plain and known and keras.backend.backend() == "tensorflow"


@keras.saving.register_keras_serializable("kerascnn")
class ScoreActivation(keras.layers.Activation):
    """The activation at the end of a network, which can be taken away as that of a Dense layer.

    Code written for keras.applications sets `model.layers[-1].activation = None` to see the logits.

    Any shape → the same.
    """

    def call(self, inputs: Any) -> Any:
        """The activation of the logits, or the logits."""
        return inputs if self.activation is None else self.activation(inputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        function = keras.activations.get(self.activation)  # None, too
        base = keras.layers.Layer.get_config(self)
        return {**base, "activation": keras.activations.serialize(function)}


@keras.saving.register_keras_serializable("kerascnn")
class LocalResponseNormalization(keras.layers.Layer):
    """Each activation divided by the strength of its neighbours in the `size` nearest maps.

    `b = a / (k + alpha · Σ a²)^beta` at every position, the sum over maps `i - size // 2` to
    `i + (size - 1) // 2` that exist (Krizhevsky et al., 2012, section 3.3). Caffe, torch and the
    authors' own code take `alpha / size` instead: pass `divide_alpha=True` for their weights.

    The sum is a product with a banded matrix of ones: in training on CPUs half the time of
    `tf.nn.local_response_normalization` and a fifth of adding shifted slices. It is done in
    float32 at least, because the squares of float16 activations above 255 are infinite.

    Args:
        size: number of maps in a neighbourhood, itself included.
        k, alpha, beta: the constants of the formula.
        divide_alpha: use `alpha / size` in place of `alpha`.

    Input and output: `[batch, ..., channels]`.

    Raises:
        ValueError: `size` or `k` is not positive.
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        *,
        divide_alpha: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if size < 1 or k <= 0:
            raise ValueError(
                f"{self.name}: size and k must be positive. Received: size={size}, k={k}."
            )
        self.size = size
        self.k = k
        self.alpha = alpha
        self.beta = beta
        self.divide_alpha = divide_alpha

    def call(self, inputs: Any) -> Any:
        """Normalize `[batch, ..., channels]`."""
        x = ops.cast(inputs, "float32") if self.compute_dtype in _HALF else inputs
        alpha = self.alpha / self.size if self.divide_alpha else self.alpha
        nearby = ops.tensordot(ops.square(x), ops.cast(self._band(x.shape[-1]), x.dtype), axes=1)
        # exp and log are three times as fast as `power` on CPUs; the base is at least k > 0.
        scale = ops.exp(-self.beta * ops.log(self.k + alpha * nearby))
        return ops.cast(x * scale, self.compute_dtype)

    def _band(self, channels: int) -> np.ndarray:
        """`[channels, channels]`, one where the row's map is a neighbour of the column's."""
        index = np.arange(channels)
        offset = index[:, None] - index[None, :]
        return (-(self.size // 2) <= offset) & (offset <= (self.size - 1) // 2)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("size", "k", "alpha", "beta", "divide_alpha")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


_HALF = ("float16", "bfloat16")


@keras.saving.register_keras_serializable("kerascnn")
class PaddedIdentity(keras.layers.Layer):
    """Shortcut A: every `strides`-th pixel, and zeros as the maps beyond the input's.

    Input `[batch, height, width, channels]`; output
    `[batch, ceil(height / strides), ceil(width / strides), filters]`.
    """

    def __init__(self, filters: int, strides: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides

    def call(self, inputs: Any) -> Any:
        """Sub-sample and pad."""
        missing = self.filters - inputs.shape[-1]
        x = inputs[:, :: self.strides, :: self.strides, :]
        return ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, height, width, channels]` of the output."""
        batch, *sides, _ = input_shape
        return (batch, *(s if s is None else -(-s // self.strides) for s in sides), self.filters)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


@keras.saving.register_keras_serializable("kerascnn")
class GridPooling(keras.layers.Layer):
    """The average over each of `grid × grid` equal parts of a map; torch calls it adaptive.

    Part `i` of a side of `n` pixels reaches from `floor(i n / grid)` to `ceil((i + 1) n / grid)`,
    so that a map smaller than the grid is repeated. Keras's AdaptiveAveragePooling2D fails there
    in a compiled graph.

    `[batch, height, width, channels]`, the size known → `[batch, grid, grid, channels]`.

    Args:
        grid: parts on each side.
    """

    def __init__(self, grid: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.grid = grid

    def call(self, inputs: Any) -> Any:
        """Average rows, then columns, each by a product with a matrix of shares."""
        rows, columns = (
            ops.convert_to_tensor(_shares(size, self.grid), dtype=inputs.dtype)
            for size in inputs.shape[1:3]
        )
        return ops.einsum("gh,bhwc,kw->bgkc", rows, inputs, columns)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, grid, grid, channels]`."""
        return (input_shape[0], self.grid, self.grid, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "grid": self.grid}


def _shares(size: int, grid: int) -> np.ndarray:
    """Each pixel's share in each part's average, `[grid, size]`."""
    shares = np.zeros((grid, size), "float32")
    for part in range(grid):
        start, end = part * size // grid, -(-(part + 1) * size // grid)
        shares[part, start:end] = 1 / (end - start)
    return shares


@keras.saving.register_keras_serializable("kerascnn")
class BilinearResizing(keras.layers.Layer):
    """A map, interpolated to the size of another one; of that nothing but its size is read.

    Pixels are squares with their values in the middle, so corners aren't aligned: torch's
    `interpolate(mode="bilinear", align_corners=False)` without antialiasing, `tf.image.resize`.
    Rows, then columns, are products with a matrix of shares. That has a gradient under XLA, where
    TensorFlow's own kernel has none, and the same one in each run.

    The arithmetic is in float32 at least, whatever the dtype of the map. Sizes may be unknown
    until it is called.

    Input: the map `[batch, height, width, channels]`, and one whose height and width it gets.
    """

    maps_read = 1

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs: Any) -> Any:
        """Interpolate the first map to the size of the second."""
        x, like = inputs
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        _, height, width, channels = ops.shape(x)
        _, rows, columns, _ = ops.shape(like)
        x = ops.reshape(ops.cast(x, dtype), (-1, height, width * channels))
        x = ops.matmul(_between(height, rows, dtype), x)
        x = ops.reshape(x, (-1, rows, width, channels))
        x = ops.matmul(_between(width, columns, dtype), x)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, height, width, channels]` of the output."""
        (batch, *_, channels), like = input_shape
        return (batch, like[1], like[2], channels)


def _between(size: Any, wanted: Any, dtype: str) -> Any:
    """Each old pixel's share in each new one, `[wanted, size]`: two in a row, which add up to 1.

    New pixel `i` lies at `(i + 1/2) · size / wanted - 1/2`. In whole numbers, so that both sides of
    a large map are as exact.
    """
    place = (2 * ops.arange(wanted, dtype="int32") + 1) * size - wanted
    first = ops.floor_divide(place, 2 * wanted)
    share = ops.cast(place - first * 2 * wanted, dtype) / ops.cast(2 * wanted, dtype)

    def at(index: Any) -> Any:
        inside = ops.clip(index, 0, size - 1)[:, None]
        return ops.cast(inside == ops.arange(size, dtype="int32")[None, :], dtype)

    return at(first) * (1 - share)[:, None] + at(first + 1) * share[:, None]


@keras.saving.register_keras_serializable("kerascnn")
class BilinearUpsampling(keras.layers.Layer):
    """Each map's transposed convolution with the fixed kernel of bilinear interpolation.

    The kernel has a side of `2 · factor`, a stride of `factor` and no padding, so that `factor / 2`
    pixels reach out of the map on each side, where zeros are its neighbours (Long, Shelhamer,
    Darrell, 2015, section 3.3, and the authors' `surgery.py`). Rows, then columns, are products
    with a matrix of shares, in float32 at least, whatever the dtype of the map.

    Input `[batch, height, width, channels]`; output
    `[batch, (height + 1) · factor, (width + 1) · factor, channels]`.

    Args:
        factor: how many times as large the map becomes.
    """

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        """Interpolate `[batch, height, width, channels]`."""
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        _, height, width, channels = ops.shape(inputs)
        rows, columns = ((size + 1) * self.factor for size in (height, width))
        x = ops.reshape(ops.cast(inputs, dtype), (-1, height, width * channels))
        x = ops.matmul(_spread(height, self.factor, dtype), x)
        x = ops.reshape(x, (-1, rows, width, channels))
        x = ops.matmul(_spread(width, self.factor, dtype), x)
        return ops.cast(ops.reshape(x, (-1, rows, columns, channels)), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, height, width, channels]` of the output."""
        batch, *sizes, channels = input_shape
        return (batch, *(n if n is None else (n + 1) * self.factor for n in sizes), channels)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "factor": self.factor}


def _spread(size: Any, factor: int, dtype: str) -> Any:
    """Each pixel's share in each of `(size + 1) · factor` pixels, `[new, old]`.

    Old pixel `i` lies at new pixel `i · factor + factor - 1/2`, and reaches `factor` to both sides.
    """
    new = ops.arange((size + 1) * factor, dtype="int32")[:, None]
    old = ops.arange(size, dtype="int32")[None, :]
    distance = ops.abs(ops.cast(2 * (new - old * factor - factor) + 1, dtype)) / (2 * factor)
    return ops.maximum(1 - distance, 0)


@keras.saving.register_keras_serializable("kerascnn")
class BilinearKernel(keras.initializers.Initializer):
    """The kernel of a transposed convolution that interpolates each map on its own.

    `[side, side, channels, channels]`: bilinear between a map and itself, zero between two. The
    side is twice the factor by which the convolution enlarges maps.
    """

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        """The kernel as a tensor."""
        side, _, channels, _ = shape
        factor = side / 2
        line = 1 - np.abs(np.arange(side) + 0.5 - factor) / factor
        kernel = np.multiply.outer(np.outer(line, line), np.eye(channels))
        return ops.convert_to_tensor(kernel.astype("float32"), dtype=dtype)


@keras.saving.register_keras_serializable("kerascnn")
class Cropping(keras.layers.Layer):
    """A part of a map, of the size of another one; of that nothing but its size is read.

    Input: the map `[batch, height, width, channels]`, and one whose height and width it gets.
    Sizes may be unknown until it is called.

    Args:
        offset: rows above the part and columns left of it; None: as many as below and right, or
            one less.

    Raises:
        ArgumentError: the part reaches out of the map.
    """

    maps_read = 1

    def __init__(self, offset: int | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.offset = offset

    def call(self, inputs: Any) -> Any:
        """Cut it out."""
        x, like = inputs
        self.compute_output_shape((x.shape, like.shape))  # refuses sizes that it knows only now
        _, height, width, _ = ops.shape(x)
        _, rows, columns, _ = ops.shape(like)
        top, left = self.start(height, rows), self.start(width, columns)
        return ops.cast(x[:, top : top + rows, left : left + columns], self.compute_dtype)

    def start(self, size: Any, wanted: Any) -> Any:
        """The first row or column of a part so long, on a side that is so long."""
        return (size - wanted) // 2 if self.offset is None else self.offset

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """`[batch, height, width, channels]` of the output."""
        (batch, *sizes, channels), (_, *wanted, _) = input_shape
        for size, part in zip(sizes, wanted):
            if None not in (size, part) and part + (self.offset or 0) > size:
                raise ArgumentError(
                    f"{self.name}: a part of {wanted[0]}×{wanted[1]} pixels, {self.offset or 0} "
                    f"from the corner, must lie in the map. Received: {sizes[0]}×{sizes[1]}."
                )
        return (batch, *wanted, channels)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "offset": self.offset}


@keras.saving.register_keras_serializable("kerascnn")
class MultiplePadding(keras.layers.Layer):
    """Zeros below and right of a map, until its height and width are multiples of a number.

    So it can be halved again and again without a remainder. Sizes may be unknown until it is
    called.

    Input `[batch, height, width, channels]`; output the same, with more rows and columns.

    Args:
        multiple: the number.
    """

    def __init__(self, multiple: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, inputs: Any) -> Any:
        """Add the zeros."""
        _, height, width, _ = ops.shape(inputs)
        most = self.multiple - 1
        # Cut to size: numbers of zeros that aren't known yet would hide the number of channels.
        padded = ops.pad(inputs, ((0, 0), (0, most), (0, most), (0, 0)))
        # No remainder of a negative number, which ONNX has otherwise.
        rows, columns = ((size + most) // self.multiple * self.multiple for size in (height, width))
        return padded[:, :rows, :columns]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, height, width, channels]` of the output."""
        batch, *sizes, channels = input_shape
        return (batch, *(n if n is None else n + -n % self.multiple for n in sizes), channels)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "multiple": self.multiple}
