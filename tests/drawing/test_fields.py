"""What a unit sees, over an image: where the frame lies, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers
from matplotlib.patches import Rectangle

import kerascnn
from kerascnn.drawing.fields import board, fields
from kerascnn.errors import ArgumentError


@pytest.fixture(scope="module")
def model():
    """Two valid 3×3 of stride 2 on 15×15: 7×7 units, then 3×3 that see 7×7 pixels every 4."""
    inputs = keras.Input((15, 15, 3))
    x = layers.Conv2D(2, 3, 2, name="first")(inputs)
    x = layers.Conv2D(4, 3, 2, name="second")(x)
    return keras.Model(inputs, layers.Dense(2, name="fc")(layers.Flatten()(x)), name="small")


def frames(axes):
    return [
        patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill()
    ]


def test_the_frame_lies_where_the_middle_unit_sees(model):
    """Unit (1, 1) of 3×3 sees the pixels 4 to 10; its neighbours 4 pixels on."""
    figure = kerascnn.draw_field(model, "second")
    right, below, own = frames(figure.axes[0])
    assert own.get_xy() == (3.5, 3.5)  # the left edge of pixel 4
    assert (own.get_width(), own.get_height()) == (7, 7)
    assert right.get_xy() == (7.5, 3.5)
    assert below.get_xy() == (3.5, 7.5)


def test_below_is_what_it_sees(model):
    axes = kerascnn.draw_field(model, ["first", "second"]).axes
    assert axes[3].get_xlim() == (3.5, 10.5)
    assert axes[3].get_ylim() == (10.5, 3.5)


def test_a_gradient_reaches_exactly_the_pixels_of_the_field(model):
    """An independent measure: what a unit sees is where changes of pixels change it."""
    import tensorflow as tf

    (field,), _ = fields(model, ["second"])
    maps = keras.Model(model.inputs, model.get_layer("second").output)
    image = tf.constant(np.random.default_rng(0).normal(size=(1, 15, 15, 3)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(image)
        row, column = field.middle
        score = tf.reduce_sum(maps(image)[0, row, column])
    rows, columns = np.nonzero(np.abs(tape.gradient(score, image)[0]).sum(axis=-1))
    assert (columns.min(), rows.min()) == field.corner(row, column)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == field.receptive_field.size


def test_endpoints_are_named_as_everywhere():
    found, shape = fields(kerascnn.create("lenet5"), ["C1", "pool2"])
    assert [field.layer for field in found] == ["conv2_tanh", "pool2"]
    assert shape == (32, 32, 1)


def test_unknown_maps_and_vectors_are_refused(model):
    with pytest.raises(ArgumentError, match=r"thrid is no feature map.*Received: 'thrid'"):
        kerascnn.draw_field(model, "thrid")
    with pytest.raises(ArgumentError, match="fc sees the whole image"):
        kerascnn.draw_field(model, "fc")
    with pytest.raises(ArgumentError, match="at least one"):
        kerascnn.draw_field(model, [])


def test_an_image_of_another_size_is_refused(model):
    with pytest.raises(ArgumentError, match=r"\[15, 15, 1 or 3\].*\[16, 15, 3\]"):
        kerascnn.draw_field(model, "first", image=np.zeros((16, 15, 3), "uint8"))
    grey = np.zeros((15, 15, 1), "uint8")
    assert kerascnn.draw_field(model, "first", image=grey).axes[0].images[0].get_array().shape == (
        15,
        15,
        3,
    )


def test_the_board_has_squares_of_16_pixels():
    grey = board(224, 224)[..., 1].astype(int)  # green changes with the squares alone
    assert len(np.unique(grey)) == 2
    changes = np.nonzero(np.diff(grey[0]))[0] + 1
    assert changes.tolist() == list(range(16, 224, 16))
