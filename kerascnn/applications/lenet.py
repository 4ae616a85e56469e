"""LeNet-5, the network that read bank cheques (LeCun, Bottou, Bengio, Haffner, 1998).

It fixed the pattern that every later CNN follows: convolutions with shared weights alternate with
sub-sampling, maps get smaller and more numerous, and the whole is trained by back-propagation.

`LeNet5_1998` is the paper's network, section II.B, with everything that re-implementations drop:
trainable sub-sampling, the sparse C3 table, the scaled tanh and the RBF output. Deviations: when
`classes` isn't 10 there are no bitmaps to compare with, so the codes become trainable; the bitmaps
of figure 3 were taken over from public transcriptions of it.

`LeNet5` is the form everyone writes today: full C3, plain pooling, a dense softmax.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kerascnn import blocks
from kerascnn.architecture import Architecture, Card, Preprocessing, Result
from kerascnn.space import Param, Range, Space
from kerascnn.training.recipes import Augmentation, Recipe

# Table I: the S2 maps that each C3 map sees. 60 of the 96 possible kernels, to break the symmetry
# between maps and to keep the number of connections in bounds.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Figure 3: each digit as a stylised 7×12 image, the target of the 84 units of F6; one hexadecimal
# pair is one row of seven pixels. Confusable characters have similar codes.
DIGIT_CODES = (
    "3e001c36636363361c000000",
    "0c1c3c0c0c0c0c0c0c3f0000",
    "3e003e6343061c30607f0000",
    "7f03060c1e030303633e0000",
    "3e00003333736363673f0303",
    "3e007f60603c1e03633e0000",
    "1e3060607e736363733e0000",
    "7f0303060c0c181818180000",
    "3e6363633e636363633e0000",
    "3e676363673f0303063c0000",
)


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
        return 4 * ops.average_pool(inputs, 2, 2) * self.coefficient + self.bias

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
        size, targets = self.kernel_size, len(self.table)
        index = ops.expand_dims(ops.convert_to_tensor(self._dense_index), -1)
        full = ops.scatter(index, self.kernel, (self._maps * targets, size, size))
        full = ops.reshape(full, (self._maps, targets, size, size))
        return ops.conv(inputs, ops.transpose(full, (2, 3, 0, 1))) + self.bias

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
    """

    def __init__(self, classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes

    def build(self, input_shape: tuple) -> None:
        """Create the codes, `[classes, units]`."""
        shape = (self.classes, input_shape[-1])
        fixed = shape == (10, 84)
        codes = (lambda shape, dtype: ops.cast(digit_codes(), dtype)) if fixed else _random_signs
        self.codes = self.add_weight(
            shape=shape, initializer=codes, trainable=not fixed, name="codes"
        )

    def call(self, inputs: Any) -> Any:
        """Minus the squared distances."""
        gaps = ops.expand_dims(inputs, 1) - self.codes
        return -ops.sum(ops.square(gaps), axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[batch, classes]`."""
        return (input_shape[0], self.classes)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "classes": self.classes}


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


def build_1998(x: Any) -> Any:
    """Section II.B, figure 2; the squashing function follows every layer."""
    x = blocks.conv(x, 6, 5, padding="valid", name="C1")
    x = blocks.activation(x, scaled_tanh, name="C1_squash")  # 28×28×6
    x = blocks.apply(x, TrainableSubsampling(name="S2"))
    x = blocks.activation(x, scaled_tanh, name="S2_squash")  # 14×14×6
    x = blocks.apply(x, TableConv2D(C3_TABLE, 5, name="C3"))
    x = blocks.activation(x, scaled_tanh, name="C3_squash")  # 10×10×16
    x = blocks.apply(x, TrainableSubsampling(name="S4"))
    x = blocks.activation(x, scaled_tanh, name="S4_squash")  # 5×5×16
    # A convolution, not a dense layer: a larger input gives a larger map.
    x = blocks.conv(x, 120, 5, padding="valid", name="C5")
    return blocks.activation(x, scaled_tanh, name="C5_squash")  # 1×1×120


def head_1998(x: Any, *, classes: int) -> Any:
    """F6 and the RBF output."""
    x = blocks.dense(blocks.flatten(x), 84, name="F6")
    x = blocks.activation(x, scaled_tanh, name="F6_squash")
    return blocks.apply(x, RadialBasis(classes, dtype="float32", name="logits"))


def build(x: Any, *, widths: tuple[int, ...], kernel: int, activation: str, pool: str) -> Any:
    """A convolution and a pooling layer for each width."""
    pooling = {"avg": blocks.avg_pool, "max": blocks.max_pool}[pool]
    for stage, width in enumerate(widths, start=1):
        x = blocks.conv(x, width, kernel, padding="valid", name=f"conv{stage}")
        x = blocks.activation(x, activation, name=f"conv{stage}_{activation}")
        x = pooling(x, 2, name=f"pool{stage}")
    return x


def head(x: Any, *, classes: int, hidden: tuple[int, ...], activation: str, dropout: float) -> Any:
    """Dense layers of the `hidden` widths, each followed by dropout, and the classifier."""
    x = blocks.flatten(x)
    for number, units in enumerate(hidden, start=1):
        x = blocks.dense(x, units, name=f"fc{number}")
        x = blocks.activation(x, activation, name=f"fc{number}_{activation}")
        x = blocks.dropout(x, dropout, name=f"fc{number}_dropout")
    return blocks.logits(x, classes)


PAPER = "Gradient-Based Learning Applied to Document Recognition"
AUTHORS = "LeCun, Bottou, Bengio, Haffner"
# Background -0.1 and ink 1.175 give the input a mean near 0 and a variance near 1 (II.B).
PIXELS = Preprocessing(scale=1.275 / 255, mean=(0.1,))
# Planar affine transforms, as the paper's own distortions (III.B): shift, scale, squeeze, shear.
DISTORTIONS = Augmentation(shift=0.07, rotation=12.0, zoom=0.1, shear=0.2)

LeNet5_1998 = Architecture(
    name="lenet5_1998",
    build=build_1998,
    head=head_1998,
    card=Card(
        title=PAPER,
        authors=AUTHORS,
        year=1998,
        link="doi:10.1109/5.726791",
        input_shape=(32, 32, 1),
        classes=10,
        params=60_000,
        macs=325_680,
        smallest_input=(32, 32),
        preprocessing=PIXELS,
        results=(
            Result(
                dataset="MNIST test",
                protocol="60,000 training images",
                metric="error %",
                value=0.95,
                source="section III.B",
            ),
            Result(
                dataset="MNIST test",
                protocol="and 540,000 distorted images",
                metric="error %",
                value=0.8,
                source="section III.B",
            ),
        ),
        deviations=(
            "With classes != 10 there are no bitmaps: the RBF codes are trainable, random ±1.",
            "The bitmaps of figure 3 come from public transcriptions of the figure.",
            "Trained with Adam; the paper uses a stochastic diagonal Levenberg-Marquardt method.",
        ),
    ),
    recipe=Recipe(
        optimizer="adam",
        learning_rate=2e-3,
        epochs=60,
        augmentation=DISTORTIONS,
        loss=CompetitiveLoss,
        source="the loss is the paper's; the rest was found by trial on mnist5k",
    ),
)

LeNet5 = Architecture(
    name="lenet5",
    build=build,
    head=head,
    space=Space(
        (
            Param(
                name="widths",
                default=(6, 16),
                search=Range(4, 64, step=2),
                legal=Range(1, 4096),
                help="Filters of each convolution.",
            ),
            Param(
                name="kernel",
                default=5,
                search=(3, 5, 7),
                legal=Range(1, 15),
                help="Side of the convolution kernels.",
            ),
            Param(
                name="activation",
                default="tanh",
                search=("tanh", "relu", "sigmoid"),
                legal=("tanh", "relu", "sigmoid", "gelu", "silu", "elu", "leaky_relu"),
                help="Non-linearity after each layer.",
            ),
            Param(name="pool", default="avg", search=("avg", "max"), help="Kind of pooling."),
            Param(
                name="hidden",
                default=(120, 84),
                search=Range(16, 256, step=4),
                legal=Range(1, 65536),
                help="Units of each hidden dense layer.",
            ),
            Param(
                name="dropout",
                default=0.0,
                search=Range(0.0, 0.5),
                legal=Range(0.0, 0.95),
                help="Dropout after each hidden dense layer.",
            ),
        )
    ),
    card=Card(
        title=PAPER,
        authors=AUTHORS,
        year=1998,
        link="doi:10.1109/5.726791",
        input_shape=(32, 32, 1),
        classes=10,
        params=61_706,
        macs=416_520,
        smallest_input=(16, 16),
        preprocessing=PIXELS,
        deviations=(
            "C3 sees all maps of S2, pooling has no parameters, the output is a softmax: the "
            "published error rates do not apply. See lenet5_1998.",
        ),
    ),
    recipe=Recipe(
        optimizer="adam",
        learning_rate=3e-3,
        epochs=100,
        label_smoothing=0.05,
        augmentation=DISTORTIONS,
        source="found by trial on mnist5k",
    ),
)
