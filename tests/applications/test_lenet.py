"""LeNet-5 against the paper: its counts, its table, and NumPy versions of its formulas."""

import keras
import numpy as np
import pytest
from facts import FACTS

import kerascnn
from kerascnn.applications.lenet_layers import (
    CompetitiveLoss,
    RadialBasis,
    TableConv2D,
    TrainableSubsampling,
    digit_codes,
    scaled_tanh,
)
from kerascnn.applications.lenet_tables import C3_TABLE
from kerascnn.profiling import profile
from kerascnn.recipes import trusted


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    return kerascnn.create("lenet5_1998")


def weighted(layer, *values):
    """The layer, with these weights."""
    for variable, value in zip(layer.weights, values, strict=True):
        variable.assign(value)
    return layer


# The paper's counts.


def test_trainable_parameters_of_each_layer(model):
    expected = {row["name"]: row["params"] for row in FACTS["lenet5_1998"].layers}
    expected["logits"] = expected.pop("RBF")  # the bitmaps are fixed: nothing to train
    counted = {layer.name: layer.params for layer in profile(model).layers}
    assert {name: counted[name] for name in expected} == expected
    assert sum(counted.values()) == FACTS["lenet5_1998"].params == 60_000


def test_the_fixed_parameters_are_the_bitmaps(model):
    fixed = sum(int(np.prod(v.shape)) for v in model.non_trainable_variables)
    assert fixed == FACTS["lenet5_1998"].fixed == 840


def connections(model):
    """The paper's connections: inputs and bias of every unit, weights counted as often as used."""
    found = {}
    for layer in model.layers:
        units = int(np.prod(layer.output.shape[1:3])) if len(layer.output.shape) == 4 else 1
        if isinstance(layer, TrainableSubsampling):
            maps = layer.output.shape[-1]
            found[layer.name] = units * maps * (4 + 1)  # four inputs and a bias
        elif layer.trainable_weights:
            found[layer.name] = units * layer.count_params()
        elif isinstance(layer, RadialBasis):
            found["RBF"] = layer.count_params()
    return found


def test_connections(model):
    expected = dict(FACTS["lenet5_1998"].connections)
    total = expected.pop("total")
    found = connections(model)
    assert found == expected
    assert sum(found.values()) == total == 340_908


def test_maps_are_those_of_figure_2(model):
    for row in FACTS["lenet5_1998"].layers[:5]:
        assert model.get_layer(row["name"]).output.shape[1:] == row["out"]


def test_the_c3_table_is_table_1():
    (row,) = [row for row in FACTS["lenet5_1998"].layers if row["name"] == "C3"]
    assert tuple(map(tuple, C3_TABLE)) == row["table"]


def test_the_table_has_the_symmetries_the_paper_describes():
    """II.B: six contiguous triples, six contiguous quadruples, three others, and all six."""
    sizes = [len(row) for row in C3_TABLE]
    assert sizes == [3] * 6 + [4] * 9 + [6]
    contiguous = [
        {(start + i) % 6 for i in range(length)} for length in (3, 4) for start in range(6)
    ]
    assert [set(row) in contiguous for row in C3_TABLE] == [True] * 12 + [False] * 4
    assert all(sum(source in row for row in C3_TABLE) == 10 for source in range(6))


# Its layers, against NumPy.


def test_scaled_tanh():
    a = np.linspace(-4, 4, 101).astype("float32")
    np.testing.assert_allclose(scaled_tanh(a), 1.7159 * np.tanh(2 / 3 * a), rtol=1e-5)
    np.testing.assert_allclose(scaled_tanh(np.array([-1.0, 1.0])), [-1, 1], atol=1e-4)


@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_trainable_subsampling(rng, size):
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    coefficient, bias = rng.normal(size=(2, 3)).astype("float32")
    layer = TrainableSubsampling()
    layer.build(x.shape)
    found = weighted(layer, coefficient, bias)(x)
    rows, columns = size[0] // 2, size[1] // 2
    expected = np.zeros((2, rows, columns, 3))
    for i in range(rows):
        for j in range(columns):
            window = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            expected[:, i, j] = window.sum(axis=(1, 2)) * coefficient + bias
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == expected.shape


def test_table_convolution(rng):
    x = rng.normal(size=(2, 7, 8, 6)).astype("float32")
    layer = TableConv2D(C3_TABLE, 5)
    layer.build(x.shape)
    kernels = rng.normal(size=layer.kernel.shape).astype("float32")
    bias = rng.normal(size=16).astype("float32")
    found = weighted(layer, kernels, bias)(x)
    expected = np.zeros((2, 3, 4, 16))
    remaining = iter(kernels)
    for target, sources in enumerate(C3_TABLE):
        for source in sources:
            kernel = next(remaining)
            for i in range(3):
                for j in range(4):
                    window = x[:, i : i + 5, j : j + 5, source]
                    expected[:, i, j, target] += (window * kernel).sum(axis=(1, 2))
    np.testing.assert_allclose(found, expected + bias, rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape(x.shape) == expected.shape


@pytest.mark.parametrize("classes", [10, 26])
def test_radial_basis_is_minus_the_squared_distance(rng, classes):
    x = rng.normal(size=(3, 84)).astype("float32")
    layer = RadialBasis(classes)
    found = layer(x)
    codes = keras.ops.convert_to_numpy(layer.codes)
    expected = [[-sum((unit - code) ** 2) for code in codes] for unit in x]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("j", [0.1, 1.0, 5.0])
def test_competitive_loss_is_equation_9(rng, j):
    """E = y_D + log(e^-j + Σ_i e^-y_i), with y the penalties; averaged over the images."""
    penalties = rng.uniform(0, 8, size=(5, 10))
    labels = rng.integers(10, size=5)
    each = [y[d] + np.log(np.exp(-j) + np.exp(-y).sum()) for y, d in zip(penalties, labels)]
    loss = CompetitiveLoss(j=j)
    np.testing.assert_allclose(loss(labels, -penalties.astype("float32")), np.mean(each), rtol=1e-5)
    assert CompetitiveLoss.from_config(loss.get_config()).j == j


def test_competitive_loss_is_stable_for_large_penalties():
    """84 units of up to ±1.7 against ±1 give penalties of several hundred: e^-y underflows."""
    penalties = np.full((1, 10), 600.0, "float32")
    loss = CompetitiveLoss()(np.array([3]), -penalties)
    np.testing.assert_allclose(loss, 600 - 0.1, rtol=1e-5)  # log(e^-0.1 + 0) = -0.1


# The codes.


def test_codes_are_ink_and_paper_of_7_by_12():
    codes = digit_codes()
    assert codes.shape == (10, 84)
    assert set(np.unique(codes)) == {-1.0, 1.0}
    assert len({code.tobytes() for code in codes}) == 10
    one = codes[1].reshape(12, 7)
    assert (one[:9, 3:5] == 1).all(), "the stem of figure 3's 1"


def test_ten_classes_have_the_fixed_codes(model):
    layer = model.get_layer("logits")
    np.testing.assert_array_equal(layer.codes, digit_codes())
    assert layer.trainable_weights == []


def test_other_classes_have_trainable_random_codes():
    model = kerascnn.create("lenet5_1998", classes=26)
    codes = model.get_layer("logits").codes
    assert codes.shape == (26, 84)
    assert codes.trainable
    assert set(np.unique(codes)) == {-1.0, 1.0}
    assert any("codes are trainable" in d for d in kerascnn.get("lenet5_1998").card.deviations)


@pytest.mark.parametrize("classes", [10, 26])
def test_saved_and_loaded_without_custom_objects(tmp_path, rng, classes):
    model = kerascnn.create("lenet5_1998", classes=classes)
    x = rng.normal(size=(2, 32, 32, 1)).astype("float32")
    model.compile("sgd", CompetitiveLoss(j=0.5))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.loss.j == 0.5


# The modern form.


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998"])
def test_a_learning_step_lowers_the_loss(name, rng):
    architecture = kerascnn.get(name)
    own = trusted.own(architecture.recipe, print)
    loss = own() if own else None
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = architecture(classifier_activation=None)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    x = rng.normal(size=(16, 32, 32, 1)).astype("float32")
    y = rng.integers(10, size=16)
    losses = [model.train_on_batch(x, y) for _ in range(10)]
    assert losses[-1] < 0.9 * losses[0]


def test_widths_decide_the_number_of_stages():
    deep = kerascnn.create("lenet5", widths=(4, 8, 12), kernels=3, input_shape=(48, 48, 1))
    assert [x.filters for x in deep.layers if isinstance(x, keras.layers.Conv2D)] == [4, 8, 12]
    shallow = kerascnn.create("lenet5", hidden=(30,), dropout=0.5)
    assert [x.units for x in shallow.layers if isinstance(x, keras.layers.Dense)] == [30, 10]
    assert shallow.get_layer("fc1_dropout").rate == 0.5


def test_61706_parameters():
    assert kerascnn.create("lenet5").count_params() == 61_706


def test_other_classes_say_what_replaces_the_codes():
    with pytest.warns(UserWarning, match="codes of these 26 classes are trainable"):
        kerascnn.create("lenet5_1998", classes=26)
