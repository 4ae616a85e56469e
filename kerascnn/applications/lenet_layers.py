"""The layers and the loss of LeNet-5 as published (LeCun, Bottou, Bengio, Haffner, 1998).

Trainable sub-sampling, the sparse C3 table, the scaled tanh, the RBF output with its bitmaps, and
the discriminative criterion of section II.C. Section and equation numbers are the paper's.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kerascnn.applications.lenet_tables import DIGIT_CODES
from kerascnn.windows import FORMAT


def digit_codes() -> np.ndarray:
    """The ten codes, `[10, 84]`, float32, +1 for ink and -1 for paper."""
    rows = np.array([list(bytes.fromhex(code)) for code in DIGIT_CODES], "uint8")
    pixels = np.unpackbits(rows[..., None], axis=-1)[..., 1:]
    return pixels.reshape(10, 84).astype("float32") * 2 - 1


@keras.saving.register_keras_serializable("kerascnn")
def scaled_tanh(x: Any) -> Any:
    """`1.7159 · tanh(2x/3)`: ±1 are fixed points and of greatest curvature (appendix A)."""
    return 1.7159 * ops.tanh(x * (2 / 3))


@keras.saving.register_keras_serializable("kerascnn")
class TrainableSubsampling(keras.layers.Layer):
    """The sum of each 2×2 window times one coefficient plus one bias for each map (II.B, S2, S4).

    `[batch, height, width, maps]` → `[batch, height // 2, width // 2, maps]`.
    """

    pool_size = strides = 2  # read by kerascnn.profile

    def build(self, input_shape: tuple) -> None:
        """Create a coefficient and a bias for each map."""
        maps = (input_shape[-1],)
        # 2.4 / fan-in is the paper's bound (appendix A); each unit here has a fan-in of 4.
        uniform = keras.initializers.RandomUniform(-0.6, 0.6)
        self.coefficient = self.add_weight(shape=maps, initializer=uniform, name="coefficient")
        self.bias = self.add_weight(shape=maps, initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Sub-sample `[batch, height, width, maps]`."""
        return 4 * ops.average_pool(inputs, 2, 2, **FORMAT) * self.coefficient + self.bias

    def as_keras(self, inputs: Any) -> Any:
        """The same as a convolution of each map with a kernel of equal weights."""
        twin = keras.layers.DepthwiseConv2D(2, 2, **FORMAT, dtype=self.dtype_policy, name=self.name)
        outputs = twin(inputs)
        twin.set_weights([ops.tile(self.coefficient[None, None, :, None], (2, 2, 1, 1)), self.bias])
        return outputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Half the height and width, rounded down."""
        half = (None if size is None else size // 2 for size in input_shape[1:3])
        return (input_shape[0], *half, input_shape[3])


@keras.saving.register_keras_serializable("kerascnn")
class TableConv2D(keras.layers.Layer):
    """A valid convolution in which each output map sees only the input maps its table row lists.

    Args:
        table: for each output map the indices of its input maps.
        kernel_size: side of the square kernels.

    Input `[batch, height, width, maps]`; one output map for each row of the table.
    """

    def __init__(self, table: Any, kernel_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = tuple(tuple(row) for row in table)
        self.kernel_size = kernel_size

    def build(self, input_shape: tuple) -> None:
        """Create only the kernels of the table: `[kernels, height, width]`."""
        pairs = [(source, target) for target, row in enumerate(self.table) for source in row]
        self._dense_index = np.array([s * len(self.table) + t for s, t in pairs], "int32")
        self._maps = input_shape[-1]
        size = self.kernel_size
        fan_in = size * size * len(pairs) / len(self.table)
        uniform = keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)
        self.kernel = self.add_weight(
            shape=(len(pairs), size, size), initializer=uniform, name="kernel"
        )
        self.bias = self.add_weight(shape=(len(self.table),), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Convolve with the dense kernel that has zeros where the table has no entry."""
        return ops.conv(inputs, self._full_kernel(), **FORMAT) + self.bias

    def _full_kernel(self) -> Any:
        """`[height, width, input maps, output maps]`."""
        size, targets = self.kernel_size, len(self.table)
        index = ops.expand_dims(ops.convert_to_tensor(self._dense_index), -1)
        full = ops.scatter(index, self.kernel, (self._maps * targets, size, size))
        full = ops.reshape(full, (self._maps, targets, size, size))
        return ops.transpose(full, (2, 3, 0, 1))

    def as_keras(self, inputs: Any) -> Any:
        """The same as a convolution whose kernel has the zeros; training would change them."""
        twin = keras.layers.Conv2D(
            len(self.table), self.kernel_size, **FORMAT, dtype=self.dtype_policy, name=self.name
        )
        outputs = twin(inputs)
        twin.set_weights([self._full_kernel(), self.bias])
        return outputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Height and width less the kernel's side and one."""
        less = (None if n is None else n - self.kernel_size + 1 for n in input_shape[1:3])
        return (input_shape[0], *less, len(self.table))

    def macs(self, input_shape: tuple) -> int:
        """Multiply-adds for one image of known size."""
        _, height, width, _ = self.compute_output_shape(input_shape)
        return sum(map(len, self.table)) * self.kernel_size**2 * height * width

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "table": self.table, "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable("kerascnn")
class RadialBasis(keras.layers.Layer):
    """Minus the squared Euclidean distance to each class's code (II.B, equation 7, negated).

    The paper's smallest penalty becomes the largest logit, so that `argmax` is the prediction.
    With ten classes the codes are the fixed bitmaps of figure 3, which are not trained; with any
    other number they are trainable and start at random ±1, as section III.C describes for codes
    without a meaning.

    `[batch, 84]` → `[batch, classes]`.

    Args:
        classes: number of codes.
        activation: on the logits, as a Dense layer has it.
    """

    def __init__(self, classes: int, *, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple) -> None:
        """Create the codes, `[classes, units]`."""
        shape = (self.classes, input_shape[-1])
        fixed = shape == (10, 84)
        codes = (lambda shape, dtype: ops.cast(digit_codes(), dtype)) if fixed else _random_signs
        self.codes = self.add_weight(
            shape=shape, initializer=codes, trainable=not fixed, name="codes"
        )

    def call(self, inputs: Any) -> Any:
        """Minus the squared distances, and the activation of them."""
        gaps = ops.expand_dims(inputs, 1) - self.codes
        logits = -ops.sum(ops.square(gaps), axis=-1)
        return logits if self.activation is None else self.activation(logits)

    def as_keras(self, inputs: Any) -> Any:
        """The square multiplied out: a dense layer, and the part that all classes share."""
        twin = keras.layers.Dense(self.classes, dtype=self.dtype_policy, name=self.name)
        cross = twin(inputs)
        codes = ops.convert_to_tensor(self.codes)
        twin.set_weights([2 * ops.transpose(codes), -ops.sum(ops.square(codes), axis=-1)])
        common = ops.sum(ops.square(ops.cast(inputs, self.compute_dtype)), axis=-1, keepdims=True)
        logits = cross - common
        return logits if self.activation is None else self.activation(logits)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, classes]`."""
        return (input_shape[0], self.classes)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        activation = keras.activations.get(self.activation)  # None, too
        own = {"classes": self.classes, "activation": keras.activations.serialize(activation)}
        return {**super().get_config(), **own}


def _random_signs(shape: tuple, dtype: Any) -> Any:
    return ops.sign(keras.random.uniform(shape, -1, 1, dtype=dtype))


@keras.saving.register_keras_serializable("kerascnn")
class CompetitiveLoss(keras.losses.Loss):
    """Equation 9: the correct class's penalty, plus `log(e^-j + Σ e^-penalty)` over all classes.

    The second term pushes up the penalties of the wrong classes, and the constant `j` keeps it
    from pushing those that are already large. `y_pred` holds minus the penalties.

    Args:
        j: the positive constant.
    """

    def __init__(self, j: float = 0.1, name: str = "competitive", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.j = j

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Labels `[batch]` (integers), minus penalties `[batch, classes]` → `[batch]`."""
        labels = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        correct = ops.sum(ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype) * y_pred, -1)
        garbage = ops.full_like(y_pred[:, :1], -self.j)
        return ops.logsumexp(ops.concatenate([garbage, y_pred], axis=-1), axis=-1) - correct

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "j": self.j}
