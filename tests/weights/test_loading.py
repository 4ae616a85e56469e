"""`weights.load`: every file format, all or nothing, and messages that name what doesn't fit."""

import keras
import numpy as np
import pytest
from small_resnet import RNG, network, randomized

import kerascnn
from kerascnn import weights
from kerascnn.errors import ArgumentError, WeightsError
from kerascnn.weights.readers import open_checkpoint
from kerascnn.weights.rules import convert


@pytest.fixture(scope="module")
def trained():
    return randomized(network())


def save(model, path):
    arrays = {f"{x.name}/{v.name}": np.asarray(v) for x in model.layers for v in x.weights}
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="pip install kerascnn[weights]")
        from safetensors.numpy import save_file

        save_file(arrays, path)
    elif path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)


FILES = ("a.keras", "a.weights.h5", "a.h5", "a.safetensors", "a.npz")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", ["resnet", "lenet5_1998"])
def test_every_format(file, name, trained, tmp_path):
    """LeNet's own layers too, whose variables no rule knows."""
    model = trained if name == "resnet" else randomized(kerascnn.create(name))
    other = network() if name == "resnet" else kerascnn.create(name)
    save(model, tmp_path / file)
    report = weights.load(other, tmp_path / file)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert len(report.loaded) + len(report.adapted) == len(model.get_weights())


@pytest.mark.parametrize("file", FILES)
def test_truncated_files(file, trained, tmp_path):
    path = tmp_path / file
    save(trained, path)
    path.write_bytes(path.read_bytes()[:-2000])
    model = network()
    before = model.get_weights()
    with pytest.raises(WeightsError, match=f"{file} is damaged"):
        weights.load(model, path)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def arrays(model):
    return {f"{x.name}/{v.name}": np.asarray(v) for x in model.layers for v in x.weights}


def refused(tensors, **arguments):
    """The message; and nothing may have changed."""
    model = network(**arguments)
    before = model.get_weights()
    with pytest.raises(WeightsError) as caught:
        weights.load(model, tensors)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    return str(caught.value)


def test_a_missing_array_is_named_with_the_nearest(trained):
    tensors = arrays(trained)
    tensors["conv1_cnov/kernel"] = tensors.pop("conv1_conv/kernel")
    message = refused(tensors)
    assert "nothing was loaded" in message
    assert "conv1_conv/kernel (7, 7, 3, 4); nearest: conv1_cnov/kernel (7, 7, 3, 4)" in message


def test_negative_variances_are_refused(trained):
    tensors = arrays(trained)
    tensors["conv1_bn/moving_variance"] = -np.ones(4)
    assert "negative variances, in conv1_bn/moving_variance" in refused(tensors)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(trained, value):
    tensors = arrays(trained)
    tensors["conv1_conv/kernel"] = np.where(np.arange(4) == 1, value, tensors["conv1_conv/kernel"])
    assert "or negative variances, in conv1_conv/kernel; nothing was loaded" in refused(tensors)


def test_another_shape_is_named_with_both(trained):
    tensors = arrays(trained)
    tensors["conv2_block1_1_conv/kernel"] = np.zeros((3, 3, 4, 5), "float32")
    message = refused(tensors)
    expected = "conv2_block1_1_conv/kernel must be (3, 3, 4, 4). Received: "
    assert expected + "conv2_block1_1_conv/kernel (3, 3, 4, 5)" in message


def test_a_deeper_network_does_not_fit(trained):
    message = refused(arrays(randomized(network(depths=(2, 1)))))
    assert "Not in the model:" in message
    assert "conv2_block2_1_conv/kernel" in message


def test_weights_without_a_classifier_do_not_fit_one():
    message = refused(arrays(network(include_top=False)))
    assert "Build the model with include_top=False" in message


def test_a_map_of_another_size_before_a_dense_layer(tmp_path):
    small = {"widths": (2, 3, 4, 5, 6), "hidden": (7, 8), "classes": 9}
    big = kerascnn.create("vgg11", input_shape=(64, 64, 3), **small)
    with pytest.raises(WeightsError, match=r"fc1/kernel must be \(24, 7\)(.|\n)*flattened") as e:
        weights.load(big, kerascnn.create("vgg11", input_shape=(96, 96, 3), **small))
    assert "include_top=False" in str(e.value)
    trunk = kerascnn.create("vgg11", include_top=False, widths=small["widths"])
    report = weights.load(trunk, big)
    assert set(report.unused) == {
        f"{n}/{v}" for n in ("fc1", "fc2", "logits") for v in ("kernel", "bias")
    }


def test_a_convolutional_head():
    """A dense layer on a map and the convolution that covers it have the same weights."""
    dense = kerascnn.create(
        "vgg11", input_shape=(64, 64, 3), classes=9, hidden=(7, 8), widths=(2, 3, 4, 5, 6)
    )
    dense = randomized(dense)
    sliding = kerascnn.convolutionalize(dense)
    before = [np.array(w) for w in sliding.get_weights()]
    sliding.set_weights([np.zeros_like(w) for w in before])
    report = weights.load(sliding, dense)
    assert "reshaped" in report.adapted["fc1/kernel"]
    for a, b in zip(before, sliding.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_biases_go_into_the_normalization():
    """keras.applications' ResNet has biases that the paper's doesn't: the outputs stay the same."""
    model = randomized(network(use_bias=True))
    other = network()
    report = weights.load(other, model)
    assert report.adapted["conv1_bn/moving_mean"] == "the convolution's bias taken off it"
    image = RNG.standard_normal((2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(other(image), model(image), rtol=1e-4, atol=1e-6)


def test_biases_that_nothing_can_absorb_are_refused():
    """VGG's convolutions have no normalization behind them."""
    model = network()
    tensors = arrays(model)
    tensors["fantasy/bias"] = np.zeros(3, "float32")
    assert "fantasy/bias (3,)" in refused(tensors)


def test_unknown_torch_names_are_listed(trained):
    tensors = {"layer1.0.conv1.weight": np.zeros((4, 4, 3, 3)), "encoder.weight": np.zeros((3, 3))}
    assert "encoder" in refused(tensors)

    assert ": a, b. Rename" in refused({"a": np.zeros(3), "b": np.zeros(3)})


def test_extras_of_a_known_torch_model_are_listed_with_all_that_does_not_fit(golden):
    state = golden("resnet18").state
    kernel = state["layer3.0.conv1.weight"][:100]
    state = state | {"layer3.0.conv1.weight": kernel, "ema.decay": np.zeros((2, 5))}
    del state["layer2.0.conv1.weight"]
    with pytest.raises(WeightsError) as caught:
        weights.load(kerascnn.create("resnet18", include_top=False), state)
    for text in (
        "Not in the weights:\n  conv3_block1_1_conv/kernel (3, 3, 64, 128)",
        "Not in the model:\n  ema.decay (2, 5)",
        "conv4_block1_1_conv/kernel must be (3, 3, 128, 256). Received: layer3.0.conv1.weight",
    ):
        assert text in str(caught.value)


def test_a_bottleneck_that_strides_elsewhere_than_torchs_is_told(golden):
    state = golden("resnet50").state
    paper = kerascnn.create("resnet50", include_top=False)
    assert 'stride_in="3x3"' in str(weights.load(paper, state))
    theirs = kerascnn.create("resnet50", include_top=False, stride_in="3x3")
    assert not weights.load(theirs, state).notes


def test_source_must_agree_with_the_names(trained):
    with pytest.raises(WeightsError, match=r"expects names such as layer1\.0\.conv1\.weight"):
        weights.load(network(), arrays(trained), source="torchvision")
    with pytest.raises(ArgumentError, match=r"torchvision.*Received: 'caffe'"):
        weights.load(network(), arrays(trained), source="caffe")


@pytest.mark.parametrize("thing", [None, 3, ["a.npz"]])
def test_what_are_no_weights(thing):
    with pytest.raises(ArgumentError, match=r"a path, a mapping .*Received: "):
        weights.load(network(), thing)
    with pytest.raises(WeightsError, match=r"a/b must hold numbers"):
        weights.load(network(), {"a/b": np.array([thing], object)})


def test_unknown_files(tmp_path):
    with pytest.raises(WeightsError, match="There is no weight file"):
        weights.load(network(), tmp_path / "nothing.npz")
    (tmp_path / "a.onnx").touch()
    with pytest.raises(WeightsError, match=r"must end in one of \.keras"):
        weights.load(network(), tmp_path / "a.onnx")


def test_npz_with_pickled_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **{"a/kernel": np.array([{}], dtype=object)})
    with pytest.raises(WeightsError, match="pickle"):
        weights.load(network(), tmp_path / "a.npz")


def test_dropout_seeds_are_no_weights(trained):
    """A model with dropout has a random state among its variables."""
    model, other = network(dropout=0.5), network()
    weights.load(model, trained)
    weights.load(other, model)
    for a, b in zip(trained.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bfloat16_files(trained, tmp_path):
    """Keras marks these in the file, HDF5 doesn't know the type."""
    policy = keras.dtype_policies.DTypePolicy("bfloat16")
    layer = keras.layers.Conv2D(2, 3, dtype=policy, name="conv")
    model = keras.Sequential([keras.Input((8, 8, 3)), layer])
    model.save_weights(tmp_path / "a.weights.h5")
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")])
    weights.load(other, tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(other.get_weights()[0], np.asarray(layer.kernel, "float32"))


@pytest.mark.parametrize(("theirs", "ours"), [(1e-3, 1e-5), (1e-5, 1e-3)])
def test_another_epsilon(theirs, ours):
    """Also for channels that never vary, where it decides everything."""
    model = randomized(network(bn_epsilon=theirs))
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.moving_variance.assign(RNG.choice([0, 1e-6, 1], layer.moving_variance.shape))
    other = network(bn_epsilon=ours)
    weights.load(other, model)
    image = RNG.standard_normal((2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(other(image), model(image), rtol=1e-4, atol=1e-6)


def test_mixed_precision(trained):
    """Variables stay float32, and get half precision arrays converted."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    halves = {name: array.astype("float16") for name, array in arrays(trained).items()}
    weights.load(model, halves)
    np.testing.assert_allclose(model.get_weights()[0], trained.get_weights()[0], rtol=1e-3)


def test_pth_files(trained, golden, torch_files, tmp_path):
    """A torchvision checkpoint as torch.save writes it gives the same model as the mapping."""
    state = golden("resnet18").state
    torch_files.zip(tmp_path / "a.pth", state)
    from_file = convert(open_checkpoint(tmp_path / "a.pth")).tensors
    from_mapping = convert(open_checkpoint(state)).tensors
    assert list(from_file) == list(from_mapping)
    assert all(np.array_equal(from_file[name], from_mapping[name]) for name in from_file)


# --- rules ---------------------------------------------------------------------------------------


def same(found, expected):
    """Two dictionaries have the same arrays, in the same order."""
    assert list(found) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_older_densenet_names():
    """Checkpoints from before torchvision 0.2 have a dot where the name has none today."""
    block = "features.denseblock1.denselayer2"
    gamma, mean, kernel = (RNG.standard_normal(shape) for shape in (3, 3, (2, 3, 1, 1)))
    new = {
        f"{block}.norm1.weight": gamma,
        f"{block}.norm1.running_mean": mean,
        f"{block}.conv2.weight": kernel,
    }
    old = {name.replace("norm1", "norm.1").replace("conv2", "conv.2"): v for name, v in new.items()}
    expected = {
        "conv2_block2_0_bn/gamma": gamma,
        "conv2_block2_0_bn/moving_mean": mean,
        "conv2_block2_2_conv/kernel": kernel.transpose(2, 3, 1, 0),
    }
    same(convert(open_checkpoint(new)).tensors, expected)
    same(convert(open_checkpoint(old)).tensors, expected)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "model._orig_mod."])
def test_wrapped_torch_models(prefix, golden):
    """In any file: DataParallel, torch.compile and trainers put their own name before all."""
    state = golden("resnet18").state
    expected = convert(open_checkpoint(state))
    found = convert(open_checkpoint({prefix + name: array for name, array in state.items()}))
    assert dict(found.theirs) == dict(expected.theirs)
    same(found.tensors, expected.tensors)


@pytest.mark.parametrize("normalization", [False, True])
def test_timms_vgg(normalization):
    """timm makes convolutions of VGG's dense layers, under other names."""
    shapes = {"features.0.weight": (4, 3, 3, 3), "features.0.bias": (4,)}
    if normalization:
        shapes |= {f"features.1.{leaf}": (4,) for leaf in ("weight", "running_mean")}
    shapes |= {"classifier.0.weight": (5, 4 * 7 * 7), "classifier.3.weight": (6, 5)}
    shapes |= {"classifier.0.bias": (5,), "classifier.6.weight": (9, 6)}
    state = {key: RNG.standard_normal(shape) for key, shape in shapes.items()}
    theirs = {}
    for key, array in state.items():
        number, _, leaf = key.removeprefix("classifier.").partition(".")
        if not key.startswith("classifier"):
            theirs[key] = array
        elif number == "6":
            theirs[f"head.fc.{leaf}"] = array
        else:
            side = 7 if number == "0" else 1
            shape = (len(array), -1, side, side) if leaf == "weight" else (-1,)
            theirs[f"pre_logits.fc{1 if number == '0' else 2}.{leaf}"] = array.reshape(shape)
    expected = convert(open_checkpoint(state)).tensors
    for mapping in (theirs, state):
        ours = convert(open_checkpoint(dict(sorted(mapping.items())))).tensors  # safetensors sorts
        same(dict(sorted(ours.items())), dict(sorted(expected.items())))


@pytest.mark.parametrize("name", ["googlenet", "densenet121", "resnet50"])
def test_the_order_in_a_file_does_not_matter(name, golden):
    state = golden(name).state
    mixed = {key: state[key] for key in sorted(state, reverse=True)}
    ours, expected = convert(open_checkpoint(mixed)), convert(open_checkpoint(state))
    same(dict(sorted(ours.tensors.items())), dict(sorted(expected.tensors.items())))


@pytest.mark.parametrize(
    ("name", "first", "depths", "width"),
    [("vgg13", 64, (2, 2, 2, 2, 2), 3), ("vgg19_bn", 64, (2, 2, 4, 4, 4), 3)],
)
def test_numbered_names_of_other_depths(name, first, depths, width):
    """Rules, not lists: numbers as torch.nn.Sequential gives them."""
    state, number, step = {}, 0, 3 if name.endswith("_bn") else 2
    for depth in depths:
        for _ in range(depth):
            state[f"features.{number}.weight"] = np.zeros((2, 2, 3, 3))
            if step == 3:
                state[f"features.{number + 1}.running_mean"] = np.zeros(2)
                state[f"features.{number + 1}.weight"] = np.zeros(2)
            number += step
        number += 1  # pooling
    found = {key.partition("/")[0] for key in convert(open_checkpoint(state)).tensors}
    model = kerascnn.create(name, include_top=False, widths=(2, 2, 2, 2, 2))
    assert found == {layer.name for layer in model.layers if layer.weights}


def test_old_keras_names():
    """keras.applications' files are older than its code: slashes, fc1000."""
    shapes = {"conv1_conv/0": (1, 1, 3, 2), **{f"conv1_bn/{k}": (2,) for k in range(4)}}
    shapes |= {"fc1000/0": (2, 4), "fc1000/1": (4,)}
    theirs = {name: RNG.standard_normal(shape) for name, shape in shapes.items()}
    expected = {name.replace("fc1000", "logits"): array for name, array in theirs.items()}
    same(convert(open_checkpoint(theirs)).tensors, expected)
