"""Exported files give the model's outputs in the runtimes they are for."""

import json
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from typer.testing import CliRunner

import kerascnn
from kerascnn import exporting, likeness, quantizing
from kerascnn.cli import app
from kerascnn.errors import ArgumentError, ExportError
from kerascnn.exporting import runners, writers
from kerascnn.tasks import Comparison

RUNTIMES = {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}
# One network for each layer that a converter could get wrong, with few weights.
NETWORKS = {
    "lenet5_1998": {},
    "alexnet": {"widths": (8, 8, 8, 8, 8), "hidden": (8, 8), "input_shape": (99, 99, 3)},
    "vgg11_bn": {"widths": (4, 4, 4, 4, 4), "hidden": (8,), "input_shape": (64, 64, 3)},
    "nin_cifar10": {},
    "googlenet": {"input_shape": (75, 75, 3)},
    "resnet18": {"shortcut": "A", "widths": (4, 8, 8, 8), "stem_width": 4},
    "resnet164v2_cifar": {"depths": (1, 1, 1)},
    "densenet121": {"depths": (1, 1), "kernels": (3, 3), "input_shape": (64, 64, 3)},
}


def need(format):
    for package in RUNTIMES.get(format, ()):
        pytest.importorskip(package, reason="a test extra: pip install kerascnn[onnx,litert]")


@pytest.fixture(scope="module")
def lenet():
    return kerascnn.create("lenet5", widths=(2, 3), hidden=(5,))


@pytest.mark.parametrize("format", exporting.SUFFIXES)
def test_same_outputs(format, lenet, tmp_path, recwarn):
    need(format)
    written = exporting.export(lenet, tmp_path / "lenet", format)
    assert not [w for w in recwarn if w.category is FutureWarning], "nothing a user could act upon"
    assert written.path.name == "lenet" + exporting.SUFFIXES[format]
    assert [p.name for p in tmp_path.iterdir()] == [written.path.name], "nothing unfinished is left"
    assert written.difference < 1e-5
    assert written.kept == ()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["savedmodel", "onnx", "litert"])
@pytest.mark.parametrize("name", NETWORKS)
def test_same_outputs_in_every_family(format, name, tmp_path):
    need(format)
    model = kerascnn.create(name, **NETWORKS[name])
    written = exporting.export(model, tmp_path / name, format)
    assert written.difference < likeness.BOUND / 3


def colour(scale=1.0, activation="softmax"):
    """A network on colour images; with a large scale its softmax is 0 or 1."""
    keras.utils.set_random_seed(1)
    model = kerascnn.create(
        "lenet5",
        widths=(3, 4),
        hidden=(8,),
        activation="relu",
        input_shape=(32, 32, 3),
        classifier_activation=activation,
    )
    model.set_weights([w * scale for w in model.get_weights()])
    return model


def changed(model, how):
    """A copy whose weights aren't the model's."""
    other = keras.models.clone_model(model)
    weights = model.get_weights()
    rng = np.random.default_rng(0)
    if how == "swapped channels":
        weights[0] = weights[0][:, :, ::-1]
    elif how == "a layer less 1%":
        weights[4] = weights[4] * 0.99
    else:
        share = {"off by 10%": 0.1, "off by 1%": 0.01}[how]
        weights = [w * (1 + rng.choice((-share, share), w.shape)) for w in weights]
    other.set_weights(weights)
    return other


CHANGES = ("off by 10%", "off by 1%", "a layer less 1%", "swapped channels")
MODELS = {
    "softmax": {},
    "saturated": {"scale": 12.0},
    "nearly constant": {"scale": 0.2},
    "logits": {"activation": None},
    "sigmoid": {"activation": "sigmoid"},
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_file_with_other_weights_shows(kind, tmp_path):
    """Whatever the outputs are: the images are chosen by what the network says of them."""
    pixels = kind != "logits"
    model = colour(**MODELS[kind])
    known = kerascnn.get("vgg16").card.preprocessing if pixels else None
    path = exporting.export(model, tmp_path / "right", "weights").path
    assert exporting.difference(model, path, "weights") < 1e-6
    whole = exporting.with_preprocessing(model, known) if pixels else model
    for change in CHANGES:
        other = changed(model, change)
        if pixels:
            other = exporting.with_preprocessing(other, known)
        other.save_weights(tmp_path / "wrong.weights.h5")
        gap = exporting.difference(whole, tmp_path / "wrong.weights.h5", "weights")
        assert gap > likeness.BOUND, change


@pytest.mark.parametrize("format", exporting.SUFFIXES)
def test_a_wrong_file_is_refused_and_not_kept(format, tmp_path, monkeypatch):
    need(format)
    model, write = colour(), writers.WRITERS[format]
    for change in ("off by 1%", "swapped channels"):
        wrong = changed(model, change)

        def write_wrong(_, path, wrong=wrong):
            write(wrong, path)

        monkeypatch.setitem(writers.WRITERS, format, write_wrong)
        with pytest.raises(ExportError, match=r"other outputs than lenet5.*It was not kept"):
            exporting.export(model, tmp_path / "file", format)
    assert not list(tmp_path.iterdir())


def test_a_file_without_its_preprocessing_is_refused(tmp_path, monkeypatch):
    model = colour()
    for format in ("savedmodel", "keras"):

        def write_pixels(_, path, write=writers.WRITERS[format]):
            write(model, path)

        monkeypatch.setitem(writers.WRITERS, format, write_pixels)
        for name in ("vgg16", "lenet5", "resnet18"):
            known = kerascnn.get(name).card.preprocessing
            with pytest.raises(ExportError, match="other outputs"):
                exporting.export(model, tmp_path / "file", format, preprocessing=known)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_has_a_wider_bound(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model = colour()
        written = exporting.export(model, tmp_path / "file", "savedmodel")
        assert written.difference < likeness.HALF_BOUND
        other = changed(model, "off by 10%")
    finally:
        keras.config.set_dtype_policy("float32")
    other.export(tmp_path / "wrong", format="tf_saved_model", verbose=False)
    assert exporting.difference(model, tmp_path / "wrong", "savedmodel") > likeness.HALF_BOUND


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_a_network_in_bfloat16_becomes_a_file_in_float32(format, tmp_path):
    """Their runtimes can't compute it: without this the file is written and nobody can run it."""
    need(format)
    model = kerascnn.with_precision(colour(), "mixed_bfloat16")
    written = exporting.export(model, tmp_path / "file", format)
    assert written.precision == "float32"
    assert written.difference < likeness.BOUND


def test_the_precision_of_a_file(tmp_path):
    output = tmp_path / "half"
    arguments = ["--format", "keras", "--precision", "mixed_bfloat16", "--output", str(output)]
    result = CliRunner().invoke(app, ["export", "lenet5", *arguments, "--set", "widths=2,3"])
    assert result.exit_code == 0, result.output
    assert "computes in mixed_bfloat16" in result.stdout
    kinds = {
        one.name: one.compute_dtype for one in keras.models.load_model(f"{output}.keras").layers
    }
    assert (kinds["conv1"], kinds["logits"]) == ("bfloat16", "float32")


@pytest.mark.parametrize(
    ("format", "said"),
    [
        ("onnx", "compute in float32 or mixed_float16.*can hold mixed_bfloat16: savedmodel, keras"),
        ("litert", "compute in float32"),
        ("weights", "the same whatever"),
    ],
)
def test_a_precision_that_a_format_can_not_hold_is_refused(format, said, tmp_path):
    arguments = ["--precision", "mixed_bfloat16", "--output", str(tmp_path / "x")]
    result = CliRunner().invoke(app, ["export", "lenet5", "--format", format, *arguments])
    assert isinstance(result.exception, ArgumentError)
    assert re.search(said, str(result.exception))
    assert not list(tmp_path.iterdir())


def test_what_says_nothing_is_not_called_equal(tmp_path):
    """A softmax of 0 and 1 for every image, and a file that gives no numbers."""
    certain = colour(scale=12.0)
    certain.layers[-1].bias.assign(np.arange(10) * 1e6)
    written = exporting.export(certain, tmp_path / "a", "savedmodel")
    assert written.difference is None
    assert "0 or 1" in written.why_not
    assert exporting.export(certain, tmp_path / "a", "keras").difference < 1e-6
    model = colour(activation=None)
    model.layers[-1].bias.assign(np.full(10, np.nan))
    with pytest.raises(ExportError, match="differ by inf"):
        exporting.export(model, tmp_path / "b", "weights")


def comparing(gap, said=1):
    """A comparison that has found so much."""
    return Comparison(
        what="boxes", said=lambda outputs: np.full(len(outputs[0]), said), gap=lambda a, b: gap
    )


def test_a_task_may_say_how_a_file_is_compared(lenet, tmp_path):
    written = exporting.export(lenet, tmp_path / "a", "savedmodel", comparison=comparing(2e-4))
    assert written.difference == 2e-4
    with pytest.raises(ExportError, match=r"differ by 1\.0e-01 of the range of its boxes"):
        exporting.export(lenet, tmp_path / "b", "savedmodel", comparison=comparing(0.1))
    nothing = comparing(0.0, said=0)
    written = exporting.export(lenet, tmp_path / "c", "savedmodel", comparison=nothing)
    assert written.difference is None
    assert "no boxes" in written.why_not


@pytest.mark.parametrize("format", exporting.SERVED)
def test_what_is_computed_in_python_is_refused_by_name(format, tmp_path):
    """A SavedModel of it answers in the process that has written it, and nowhere else."""

    class InPython(keras.layers.Layer):
        def call(self, inputs):
            return tf.ensure_shape(tf.numpy_function(np.tanh, [inputs], tf.float32), inputs.shape)

    class Said(InPython):
        in_python = "Leave it out."

    named = "PyFunc" if format == "litert" else "strange"
    for layer, message in ((InPython(name="strange"), named), (Said(), "said.*Leave it out")):
        image = keras.Input((4, 4, 3))
        outputs = keras.layers.Dense(2)(keras.layers.Flatten()(layer(image)))
        with pytest.raises(ExportError, match=message):
            exporting.export(keras.Model(image, outputs), tmp_path / "file", format)
        assert not list(tmp_path.iterdir())


def test_litert_takes_one_image_at_a_time_where_places_are_chosen(lenet, tmp_path):
    need("litert")
    seen = []
    comparison = Comparison(
        what="boxes",
        said=lambda outputs: np.ones(len(outputs[0])),
        gap=lambda ours, theirs: seen.append(theirs[0]) or float(np.abs(ours[0] - theirs[0]).max()),
    )
    written = exporting.export(lenet, tmp_path / "one", "litert", comparison=comparison)
    assert written.difference < 1e-5
    assert seen[0].shape == (4, 10)


def test_raw_is_refused_where_nothing_is_chosen(tmp_path):
    ended = CliRunner().invoke(
        app, ["export", "lenet5", "--format", "onnx", "--raw", "--output", str(tmp_path / "x")]
    )
    assert isinstance(ended.exception, ArgumentError)
    assert "networks that choose among what they find" in str(ended.exception)


def test_pixels(tmp_path):
    """With the preprocessing inside, pixels give what preprocessed pixels give the network."""
    model = kerascnn.create("lenet5")
    known = kerascnn.get("lenet5").card.preprocessing
    path = exporting.export(model, tmp_path / "a", "keras", preprocessing=known).path
    loaded = keras.models.load_model(path)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype("float32")
    expected = model(kerascnn.get("lenet5").preprocess_input(pixels))
    np.testing.assert_allclose(loaded(pixels), expected, atol=1e-6)
    names = [layer.name for layer in model.layers[1:]]
    assert [layer.name for layer in loaded.layers][-len(names) :] == names, "a flat graph"


def test_refusals(lenet, tmp_path, monkeypatch):
    with pytest.raises(ArgumentError, match=r"savedmodel, onnx, litert.*Received: 'caffe'"):
        exporting.export(lenet, tmp_path / "a", "caffe")
    (tmp_path / "b.keras").touch()
    with pytest.raises(ExportError, match="exists already"):
        exporting.export(lenet, tmp_path / "b", "keras")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ExportError, match=r"kerascnn\[onnx\]"):
        exporting.export(lenet, tmp_path / "c", "onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.keras"]


def test_command(tmp_path):
    output = tmp_path / "small"
    arguments = ["export", "lenet5", "--format", "savedmodel", "--output", str(output), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--set", "widths=2,3", "--pixels"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["path"] == str(output)
    assert found["difference"] < 1e-5


@pytest.mark.slow
def test_command_on_a_run(tmp_path):
    """A trained run with its preprocessing, as one file that takes pixels."""
    from kerascnn.training.trainer import train

    run = train(
        "lenet5",
        "mnist5k",
        arguments={"widths": (2, 3), "hidden": (5,)},
        epochs=1,
        batch_size=256,
        strategy="none",
        run=tmp_path / "run",
        console=Console(quiet=True),
    )
    output = str(tmp_path / "model.keras")
    command = ["export", str(run.path), "--format", "keras", "--pixels", "--output", output]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype("float32")
    exported = keras.models.load_model(output, compile=False)
    np.testing.assert_allclose(exported(pixels), run.predict(pixels), atol=1e-5)
    refused = CliRunner().invoke(app, [*command, "--classes", "5"])
    assert "whose model is complete" in str(refused.exception)


def digits(model, count=64):
    """Images with the mean and the spread that a network is used to."""
    return np.random.default_rng(0).normal(size=(count, *model.input_shape[1:])).astype("float32")


@pytest.mark.parametrize("format", exporting.QUANTIZED)
def test_int8_is_small_and_near(format, tmp_path):
    need(format)
    model = kerascnn.create("lenet5", activation="relu")
    whole = exporting.export(model, tmp_path / "float32", format)
    small = exporting.export(model, tmp_path / "int8", format, calibration=digits(model))
    assert (whole.precision, small.precision) == ("float32", "int8")
    assert 1e-4 < small.difference < quantizing.BOUND, "it was rounded, and rounded well"
    assert small.path.stat().st_size < 0.5 * whole.path.stat().st_size


@pytest.mark.parametrize("format", exporting.QUANTIZED)
def test_an_int8_file_of_other_weights_is_refused(format, tmp_path, monkeypatch):
    """By its logits: a softmax in 8 bits would hide it."""
    need(format)
    model, write = colour(scale=2.0), writers.QUANTIZERS[format]
    other = changed(model, "swapped channels")
    monkeypatch.setitem(
        writers.QUANTIZERS, format, lambda _, path, images: write(other, path, images)
    )
    with pytest.raises(ExportError, match="other outputs than lenet5"):
        exporting.export(model, tmp_path / "file", format, calibration=digits(model))
    assert not list(tmp_path.iterdir())


def test_litert_files_are_compared_by_logits_also_where_their_softmax_is_0_or_1(tmp_path):
    need("litert")
    model = colour(scale=12.0)
    path = exporting.export(model, tmp_path / "file", "litert").path
    images = digits(model, 4) * 100
    assert np.asarray(model(images)).max() == 1.0
    (theirs,), are_scores = runners.RUNNERS["litert"](model, path, images)
    assert are_scores
    scores, _ = kerascnn.tasks.find("classification").scores(model)
    np.testing.assert_allclose(theirs, scores(images), rtol=1e-4, atol=1e-3)


def test_batch_normalization_is_folded_into_the_convolutions_of_an_onnx_file(tmp_path):
    need("onnx")
    import onnx

    model = kerascnn.create("resnet20_cifar", depths=(1, 1, 1), widths=(4, 4, 4), stem_width=4)
    assert any("BatchNormalization" in type(layer).__name__ for layer in model.layers)
    path = exporting.export(model, tmp_path / "file", "onnx").path
    kinds = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert "BatchNormalization" not in kinds
    assert "Mul" not in kinds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "onnx", "--quantize", "int4"), "must be int8"),
        (("--format", "keras", "--quantize", "int8"), "for onnx and litert"),
        (("--format", "onnx", "--quantize", "int8"), "on images like those"),
        (("--format", "onnx", "--data", "mnist5k"), "is for --quantize"),
        (
            ("--format", "onnx", "--quantize", "int8", "--precision", "mixed_float16"),
            "not in both",
        ),
    ],
)
def test_what_int8_needs_is_said(arguments, said, tmp_path):
    output = str(tmp_path / "x")
    result = CliRunner().invoke(app, ["export", "lenet5", *arguments, "--output", output])
    assert isinstance(result.exception, ArgumentError)
    assert said in str(result.exception)


def test_boxes_are_not_written_in_int8(lenet, tmp_path):
    with pytest.raises(ArgumentError, match="answers with boxes"):
        exporting.export(
            lenet, tmp_path / "a", "onnx", comparison=comparing(0.0), calibration=digits(lenet)
        )


def test_ranges_are_found_on_images_from_all_over_the_data(striped_run, tmp_path):
    """Sorted by class, the first ones would be of one class."""
    need("onnx")
    images = quantizing.of_run(striped_run, None, print)
    (every, _), *_ = striped_run.batches("train", batch_size=1000, echo=None)
    assert images.shape == every.shape
    np.testing.assert_allclose(images, every)
    few = quantizing.calibration_images(
        kerascnn.data.load("mnist5k", echo=None).train, lambda images: images, 50
    )
    assert few.shape == (50, 28, 28, 1)
    output = str(tmp_path / "small")
    asked = ("--format", "onnx", "--quantize", "int8", "--output", output, "--json")
    result = CliRunner().invoke(app, ["export", str(striped_run.path), *asked])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["precision"] == "int8"
    assert found["difference"] < quantizing.BOUND
