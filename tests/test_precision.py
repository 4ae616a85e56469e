"""The same network in another precision: its graph, its weights, and what it answers."""

import keras
import numpy as np
import pytest

import kerascnn
from kerascnn import catalogue, precision
from kerascnn.errors import ArgumentError
from kerascnn.keras_internals import all_layers, leaf_layers, without_values

HALF = "mixed_bfloat16"
# One of each family and kind of head.
FAMILIES = (
    *("alexnet", "alexnet_owt", "zfnet", "nin", "vgg11_lrn", "vgg16_c", "googlenet_bn"),
    *("bn_inception", "plain18", "resnet18", "resnet50v2", "densenet121"),
)


def small(name="lenet5", **arguments):
    keras.utils.set_random_seed(0)
    given = {"widths": (3, 4), "hidden": (8,), "activation": "relu"} if name == "lenet5" else {}
    return kerascnn.create(name, **given, **arguments)


def images(model, count=4):
    return np.random.default_rng(0).normal(size=(count, *model.input_shape[1:])).astype("float32")


def policies(model):
    return {layer.name: layer.dtype_policy.name for layer in leaf_layers(model)}


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998", "nin_cifar10", "vgg11_bn"])
def test_the_rule_for_any_model_keeps_in_float32_what_the_builders_do(name):
    _as_built(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_the_rule_holds_in_every_family(name):
    _as_built(name)


def _as_built(name):
    network = catalogue.get(name).network({})
    with without_values():
        model = network.model()
        with precision.in_precision(HALF):
            built = network.model()
        ours = precision._policies(model, HALF, None)
        known = precision._policies(model, HALF, network)
    expected = {k: v for k, v in policies(built).items() if k != built.layers[0].name}
    assert HALF in expected.values()
    assert "float32" in expected.values()
    for found in (ours, known):
        assert {x.name: found[id(x)] for x in model.layers[1:]} == expected, name


def test_a_copy_has_the_same_weights_in_variables_of_its_own_and_answers_nearly_the_same():
    model = small()
    copy = precision.with_precision(model, HALF)
    for old, new in zip(model.weights, copy.weights, strict=True):
        assert old is not new
        assert (old.path, new.dtype) == (new.path, "float32")
        np.testing.assert_array_equal(old, new)
    assert {"conv1": HALF, "logits": "float32"}.items() <= policies(copy).items()
    assert policies(model)["conv1"] == "float32", "the model stays as it is"
    assert copy.outputs[0].dtype == "float32"
    given = images(model)
    exact, near = (np.asarray(one(given)) for one in (model, copy))
    assert 0 < np.abs(exact - near).max() < 0.05


def test_back_in_float32_the_answers_are_exact():
    model = small("resnet20_cifar", widths=(4, 8, 8), stem_width=4)
    given = images(model)
    back = precision.with_precision(precision.with_precision(model, HALF), "float32")
    np.testing.assert_allclose(back(given), model(given), rtol=1e-6)
    assert precision.with_precision(model, "float32") is model, "there is nothing to copy"


def test_statistics_of_normalizations_stay_in_float32():
    copy = precision.with_precision(small("resnet20_cifar", widths=(4, 8, 8), stem_width=4), HALF)
    kinds = {weight.dtype for layer in copy.layers for weight in layer.weights}
    assert kinds == {"float32"}
    assert any("moving_variance" in weight.path for weight in copy.weights)


def test_a_users_own_model_with_models_inside_and_shared_layers():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="c"), keras.layers.ReLU(name="r")],
        name="inner",
    )
    shared = keras.layers.Dense(4, name="shared")
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(inner(image))
    x = keras.ops.relu(shared(shared(x)))
    head = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")], name="head")
    model = keras.Model(image, keras.layers.Softmax(name="softmax")(head(x)))
    copy = precision.with_precision(model, HALF)
    found = policies(copy)
    assert [found[name] for name in ("c", "r", "pool", "shared")] == [HALF] * 4
    assert [found[name] for name in ("d", "softmax")] == ["float32"] * 2
    given = images(model)
    np.testing.assert_allclose(copy(given), model(given), atol=0.02)
    assert len([one for one in all_layers(copy) if one.name == "shared"]) == 1


def test_float64_and_float16():
    model = small()
    double = precision.with_precision(model, "float64")
    assert double.outputs[0].dtype == "float64"
    np.testing.assert_allclose(double(images(model)), model(images(model)), atol=1e-6)
    assert policies(precision.with_precision(model, "mixed_float16"))["conv1"] == "mixed_float16"
    assert keras.config.dtype_policy().name == "float32", "the setting of the process is untouched"


def test_what_is_no_precision_or_can_not_be_copied_is_refused():
    with pytest.raises(ArgumentError, match=r"float32, mixed_bfloat16.*Received: 'bf16'"):
        precision.with_precision(small(), "bf16")

    class Own(keras.layers.Layer):
        def __init__(self, size):
            super().__init__(name="own")
            self.size = size

        def call(self, inputs):
            return inputs * self.size

    image = keras.Input((4, 4, 1))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(Own(2)(image)))
    with pytest.raises(ArgumentError, match=r"own \(Own\) can't be copied"):
        precision.with_precision(keras.Model(image, outputs), HALF)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("flags\t\t: fpu avx512_bf16 avx2", ""),
        ("Features\t: fp asimd bf16", ""),
        ("flags\t\t: fpu avx2", "has no instructions for bfloat16 (avx512_bf16 or"),
        (None, "can't be found out"),
    ],
)
def test_a_processor_without_the_instructions_is_told_so(flags, said, tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    if flags:
        path.write_text(f"processor\t: 0\n{flags}\n")
    monkeypatch.setattr(precision, "_PROCESSORS", path)
    found = precision.lacking(HALF)
    assert said in found if said else not found
    assert not precision.lacking("float32")


def with_flags(path, monkeypatch, flags):
    path.write_text(f"flags: {flags}\n")
    monkeypatch.setattr(precision, "_PROCESSORS", path)


def test_auto_is_bfloat16_where_it_is_quick_and_within_the_bound(tmp_path, monkeypatch):
    model = small()
    with_flags(tmp_path / "cpu", monkeypatch, "avx512_bf16")
    found = precision.chosen(model, "auto")
    assert found.precision == HALF
    assert policies(found.model)["conv1"] == HALF
    assert "differ from those in float32 by" in found.why
    monkeypatch.setattr(precision, "BOUND", 1e-7)
    found = precision.chosen(model, "auto")
    assert (found.precision, found.model) == ("float32", model)
    assert "not mixed_bfloat16" in found.why


def test_auto_is_float32_where_the_instructions_are_missing(tmp_path, monkeypatch):
    model = small()
    with_flags(tmp_path / "cpu", monkeypatch, "avx2")
    found = precision.chosen(model, "auto")
    assert (found.precision, found.model) == ("float32", model)
    assert "no instructions" in found.why
    asked = precision.chosen(model, HALF)
    assert asked.precision == HALF, "who asks for it gets it"
    assert "no instructions" in asked.why
