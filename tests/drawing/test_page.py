"""A page can be read: no text overlaps another, none is cut off, and the numbers are on it."""

import keras
import pytest
from drawing.looks import cut_off, overlapping
from keras import layers
from matplotlib.patches import Rectangle

import kerascnn
from kerascnn.drawing.pen import amount, fitted, text_width

A4 = 11.7  # inches, landscape


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


SLOW = [
    *(
        "bn_inception",
        "densenet121",
        "densenetbc100_k12_cifar",
        "nin",
        "plain34",
        "resnet110_cifar",
    ),
    *("resnet152", "resnet50v2", "resnet164v2_cifar", "vgg19", "zfnet"),
]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("lenet5", {}),
        ("alexnet", {}),
        ("googlenet", {"auxiliary": True}),
        ("resnet50", {}),
        ("densenet121", {"depths": (3, 4, 6, 5)}),
        *(pytest.param(name, {}, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_nothing_overlaps_and_nothing_is_cut_off(name, arguments):
    figure = kerascnn.draw(kerascnn.get(name).network(arguments))
    assert overlapping(figure) == []
    assert cut_off(figure) == []
    width, height = figure.get_size_inches()
    assert width <= A4
    assert height <= 9


def test_a_page_has_every_number_of_alexnet():
    found = texts(kerascnn.draw(kerascnn.get("alexnet")))
    bars = ("34.9k", "307k", "885k", "664k", "443k", "37.8M", "16.8M", "4.10M")
    for text in (*bars, "11×11 / 4", "5×5, 2 groups", "55×55×96", "relu, LRN", "dropout 0.5"):
        assert text in found
    assert "224×224×3 → 1000   ·   61.0M parameters   ·   724M multiply-adds" in found


def test_the_bar_of_totals_is_true_to_scale():
    """2,334,080 of 60,965,224 parameters are in convolutions."""
    figure = kerascnn.draw(kerascnn.get("alexnet"))
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    one, other = boxes[:2]
    share = one.get_width() / (one.get_width() + other.get_width())
    assert share == pytest.approx(2_334_080 / 60_965_224)


def test_folds_shortcuts_and_blocks_of_resnet_are_on_its_page():
    found = texts(kerascnn.draw(kerascnn.get("resnet50")))
    assert {"×3", "×4", "×6", "+", "identity", "1×1, 64", "3×3, 64"} <= set(found)
    assert found.count("residual") == 4


def test_a_dilation_is_said_and_explained():
    found = texts(kerascnn.draw(kerascnn.get("resnet18").network({"output_stride": 16})))
    assert "3×3 d2, 512" in found
    assert any("“d2”: dilated by 2" in text for text in found)


def test_the_auxiliary_heads_of_googlenet_are_on_its_page():
    found = texts(kerascnn.draw(kerascnn.get("googlenet").network({"auxiliary": True})))
    assert "aux1_logits: 3.19M parameters" in found
    assert found.count("avg 5×5 / 3") == 2
    assert "concat: 28×28×256" in found


def test_a_model_of_a_user_is_drawn_whatever_its_names():
    inputs = keras.Input((20, 24, 2), name="a_very_long_name_of_an_input_that_nobody_could_read")
    x = layers.Conv2D(3, (5, 1), name="x" * 60)(inputs)
    x = layers.UpSampling2D()(x)
    model = keras.Model(inputs, layers.Activation("sigmoid")(x), name="m" * 90)
    figure = kerascnn.draw(model)
    assert overlapping(figure) == []
    assert cut_off(figure) == []
    assert "5×1" in texts(figure)


def test_sizes_that_a_model_leaves_open_can_be_given():
    model = kerascnn.create("lenet5", input_shape=(None, None, 1), include_top=False)
    found = texts(kerascnn.draw(model, input_shape=(44, 40, 1)))
    assert "44×40×1" in found
    with pytest.raises(kerascnn.errors.ArgumentError, match="input_shape"):
        kerascnn.draw(model)


def test_what_is_no_model_is_refused():
    with pytest.raises(kerascnn.errors.ArgumentError, match=r"kerascnn\.get.*Received: str"):
        kerascnn.draw("lenet5")


def test_a_notebook_shows_it():
    figure = kerascnn.draw(kerascnn.get("lenet5"))
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.00k"),
        (34_944, "34.9k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (1_025_000, "1.03M"),
        (9_996_000, "10.0M"),
        (138_357_544, "138M"),
        (7_000_000_000, "7.00B"),
    ],
)
def test_an_amount_has_three_digits(number, text):
    assert amount(number) == text


def test_a_text_that_is_too_wide_gets_smaller_and_then_shorter():
    wide = text_width("convolution", 9, False)
    assert fitted("convolution", 9, wide, False) == ("convolution", 9)
    text, size = fitted("convolution", 9, 0.8 * wide, False)
    assert text == "convolution"
    assert size == pytest.approx(0.8 * 9)
    text, size = fitted("convolution", 9, 0.3 * wide, False)
    assert "…" in text
    assert text_width(text, size, False) <= 0.3 * wide * 1.02
