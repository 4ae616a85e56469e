"""A trunk from a file with another head, models within models, and what is built upon others."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from small_resnet import SMALL, network, randomized

import kerascnn
from kerascnn import weights
from kerascnn.errors import WeightsError


def nested(base, *head, form="sequential"):
    """The base, pooling and a head, as tutorials on transfer learning build it."""
    head = head or (layers.Dense(5, name="my_head"),)
    if form == "sequential":
        return keras.Sequential(
            [keras.Input((32, 32, 3)), base, layers.GlobalMaxPooling2D(), *head]
        )
    inputs = keras.Input((32, 32, 3))
    x = layers.GlobalMaxPooling2D()(base(layers.Rescaling(2.0)(inputs)))
    for layer in head:
        x = layer(x)
    return keras.Model(inputs, x)


def by_name(model):
    from kerascnn.keras_internals import leaf_layers

    return {f"{x.name}/{v.name}": np.asarray(v) for x in leaf_layers(model) for v in x.weights}


def check_same(model, other, names):
    ours, theirs = by_name(model), by_name(other)
    assert names
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


FILES = ("a.keras", "a.weights.h5", "a.h5")


def save(model, path):
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    return path


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("form", ["sequential", "functional"])
def test_a_trunk_from_a_model_around_it(file, form, tmp_path):
    """Heads of other names, of other classes and of more layers."""
    many = (layers.Dense(7, "relu", name="hidden"), layers.BatchNormalization(name="norm"))
    for head in ((), (*many, layers.Dense(3, name="out"))):
        base = randomized(network(include_top=False))
        path = save(nested(base, *head, form=form), tmp_path / file)
        trunk = network(include_top=False)
        report = weights.load(trunk, path, verbose=False)
        check_same(trunk, base, by_name(trunk))
        assert any(name.startswith("out" if head else "my_head") for name in report.unused)
        whole = network()
        report = weights.load(whole, path, verbose=False)
        check_same(whole, base, by_name(trunk))
        assert report.initial == ("logits/kernel", "logits/bias")


@pytest.mark.parametrize("file", [None, *FILES])
def test_a_model_within_a_model_is_loaded(file, tmp_path):
    """From the whole network, from its trunk, and from another model of the same kind."""
    for theirs in (network(), network(include_top=False)):
        randomized(theirs)
        path = save(theirs, tmp_path / file) if file else theirs
        model = nested(network(include_top=False))
        report = weights.load(model, path, verbose=False)
        trunk = by_name(network(include_top=False))
        check_same(model, theirs, trunk)
        assert report.initial == ("my_head/kernel", "my_head/bias")
    other = randomized(nested(network(include_top=False), form="functional"))
    model = nested(network(include_top=False))
    weights.load(model, save(other, tmp_path / file) if file else other, verbose=False)
    check_same(model, other, by_name(model))


def test_two_nested_models_with_the_same_names_are_refused():
    inputs = keras.Input((32, 32, 3))
    left = network(include_top=False)(inputs)
    right = network(include_top=False, name="other")(inputs)
    model = keras.Model(inputs, layers.Concatenate()([left, right]))
    theirs = randomized(network())
    with pytest.raises(WeightsError, match=r"'conv1_bn'.*get_layer\(NAME\)"):
        weights.load(model, theirs)
    weights.load(model.get_layer("other"), theirs, verbose=False)  # the advice
    check_same(model.get_layer("other"), theirs, by_name(network(include_top=False)))


def test_a_head_of_another_name(tmp_path):
    """The same classes: it is taken over, and told."""
    theirs = randomized(network())
    arrays = {k.replace("logits", "output"): v for k, v in by_name(theirs).items()}
    np.savez(tmp_path / "a.npz", **arrays)
    model = network()
    report = weights.load(model, tmp_path / "a.npz", verbose=False)
    check_same(model, theirs, by_name(model))
    assert report.adapted["logits/kernel"].startswith("taken from output")


def keras2_file(model, path, nested_as=None):
    """As Keras 2.x saved a whole model: bytes, `name/variable:0`, Keras 2's description."""
    import json

    leaves = [layer for layer in model.layers if layer.weights]
    described = [
        {
            "class_name": type(layer).__name__,
            "name": layer.name,
            "config": {"name": layer.name, "epsilon": getattr(layer, "epsilon", 0.5)},
            "inbound_nodes": [[["x", 0, 0, {}]]],
        }
        for layer in leaves
    ]
    if nested_as:
        inner = {"name": nested_as, "layers": described}
        described = [{"class_name": "Functional", "name": nested_as, "config": inner}]
    config = {"class_name": "Functional", "config": {"name": "model_1", "layers": described}}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.11.0"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        names = [nested_as] if nested_as else [layer.name for layer in leaves]
        group.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            place = group.create_group(name)
            mine = leaves if nested_as else [x for x in leaves if x.name == name]
            # Keras 2 wrote the trainable weights of a model first.
            every = [(x, v) for x in mine for v in x.trainable_weights]
            every += [(x, v) for x in mine for v in x.non_trainable_weights]
            place.attrs["weight_names"] = [f"{x.name}/{v.name}:0".encode() for x, v in every]
            for layer, variable in every:
                place[f"{layer.name}/{variable.name}:0"] = np.asarray(variable)
    return path


@pytest.mark.parametrize("nested_as", [None, "resnet"])
def test_files_of_keras_2(nested_as, tmp_path):
    theirs = randomized(network())
    model = network()
    report = weights.load(model, keras2_file(theirs, tmp_path / "a.h5", nested_as), verbose=False)
    check_same(model, theirs, by_name(model))
    assert not report.adapted


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(("theirs", "ours"), [(10, 5), (5, 10), (5, 7)])
def test_lenet_of_1998_with_other_classes(file, theirs, ours, tmp_path):
    """Its classifier is a table of codes, fixed for ten classes and learned for others."""
    trained = randomized(kerascnn.create("lenet5_1998", classes=theirs))
    save(trained, tmp_path / file)
    model = kerascnn.create("lenet5_1998", classes=ours)
    report = weights.load(model, tmp_path / file, verbose=False)
    assert report.initial == ("logits/codes",)
    check_same(model, trained, [name for name in by_name(model) if name != "logits/codes"])


TINY_GOOGLENET = {"input_shape": (96, 96, 3), "classes": 4}


@pytest.mark.parametrize("theirs", [True, False])
def test_googlenet_with_and_without_auxiliary_classifiers(theirs):
    """They serve training alone: a file without them fits, and one with them too."""
    trained = kerascnn.create("googlenet", auxiliary=theirs, **TINY_GOOGLENET)
    model = kerascnn.create("googlenet", auxiliary=not theirs, **TINY_GOOGLENET)
    report = weights.load(model, trained, verbose=False)
    auxiliary = report.unused if theirs else report.initial
    assert auxiliary
    assert all(name.startswith("aux") for name in auxiliary)
    both = [name for name in by_name(model) if not name.startswith("aux")]
    check_same(model, trained, both)


@pytest.mark.parametrize("top", [True, False])
def test_behind_layers_with_weights(top, tmp_path):
    """The weights are those of the network; what it was built upon keeps its own."""
    theirs = randomized(network())
    path = save(theirs, tmp_path / "a.keras")
    inputs = keras.Input((32, 32, 1))
    x = layers.Conv2D(3, 1, name="colours")(inputs)
    x = layers.BatchNormalization(name="colours_bn")(x)
    before = np.asarray(x._keras_history.operation.gamma)
    model = kerascnn.create(
        "resnet18", input_tensor=x, weights=path, include_top=top, classes=10, **SMALL
    )
    check_same(model, theirs, [n for n in by_name(model) if not n.startswith("colours")])
    np.testing.assert_array_equal(model.get_layer("colours_bn").gamma, before)


def test_float64_stays_float64(tmp_path):
    """Weights of a file in double precision lose none of it in a model of double precision."""
    keras.config.set_dtype_policy("float64")
    try:
        theirs, model = randomized(network()), network()
    finally:
        keras.config.set_dtype_policy("float32")
    assert theirs.get_weights()[0].dtype == "float64"
    np.savez(tmp_path / "a.npz", **by_name(theirs))
    for file in ("a.npz", "a.keras", "a.h5", "a.weights.h5"):
        path = tmp_path / file
        if file != "a.npz":
            save(theirs, path)
        model.set_weights([np.zeros_like(w) for w in model.get_weights()])
        weights.load(model, path, verbose=False)
        check_same(model, theirs, by_name(model))


def test_a_deeper_network_is_no_other_head():
    """Its convolutions would be dropped: refused, and nothing changes."""
    model = network()
    before = model.get_weights()
    theirs = network(depths=(2, 1))
    with pytest.raises(WeightsError, match="conv2_block2_1_conv/kernel"):
        weights.load(model, {k.replace("logits", "out"): v for k, v in by_name(theirs).items()})
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
