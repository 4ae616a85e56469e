"""A network for segmentation from training to files: the same run for all tests."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from kerascnn_segmentation import measures
from kerascnn_segmentation.task import SEGMENTATION
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import kerascnn
from kerascnn.cli import app
from kerascnn.data import VOID
from kerascnn.errors import RunError
from kerascnn.tasks import Seen

MEASURES = [measure.name for measure in SEGMENTATION.measures]


def invoke(*words):
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def photos(outlining, outlines, tmp_path_factory):
    """Test images as files, and one of another size."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        Image.fromarray(outlines.test.images[number, ..., 0]).save(folder / f"{number}.png")
    wide = np.concatenate(outlines.test.images[:3, ..., 0], axis=1)[:13]
    Image.fromarray(wide).save(folder / "wide.png")
    return folder


def test_a_run_outlines_what_it_was_trained_on(outlining):
    found = outlining.metrics
    assert found["test_mean_iou"] > 0.6
    assert found["test_mean_iou"] < found["test_pixel_accuracy"]
    last = outlining.history[-1]
    for part in ("", "val_"):
        assert [name for name in MEASURES if part + name in last] == MEASURES


def test_an_evaluation_has_the_measures_of_training_and_the_figures_of_each_class(
    outlining, outlines
):
    found = outlining.evaluate(outlines, split="test", echo=None)
    for name in ("loss", *MEASURES):
        assert found[name] == pytest.approx(outlining.metrics[f"test_{name}"], rel=1e-5)
    matrix = np.array(found["confusion"])
    assert matrix.sum() == 8 * (16 * 16 - 2)
    assert found["classes"] == measures.per_class(matrix, outlines.class_names)
    assert json.loads(SEGMENTATION.as_json(found)) == json.loads(json.dumps(found))


def test_images_in_their_own_size_are_judged_by_their_masks(outlining, outlines):
    trained = outlining.evaluate(outlines, split="test", echo=None)
    own = outlining.evaluate(outlines, split="test", echo=None, size="own")
    assert own["confusion"] == trained["confusion"]
    assert own["loss"] is None


def test_the_terminal_says_the_measures_the_classes_and_the_mistakes(
    outlining, outlines, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    SEGMENTATION.show(outlining.evaluate(outlines, split="test", echo=None), outlining.config)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("squares test, 8 images: mean IoU ")
    assert [line.split()[0] for line in lines[-4:-1]] == ["background", "light", "dark"]
    assert lines[-1].startswith("Most often mistaken: ")
    assert max(map(len, lines[1:-1])) <= 80


def test_a_table_and_a_picture_of_the_classes_are_saved(outlining, outlines, tmp_path):
    found = outlining.evaluate(outlines, split="test", echo=None)
    for name in ("classes.csv", "classes.png"):
        SEGMENTATION.check_save(tmp_path / name)
        SEGMENTATION.save(found, tmp_path / name)
    header, *rows = (tmp_path / "classes.csv").read_text().splitlines()
    assert header.startswith("class,pixels,predicted,iou,accuracy,predicted background")
    assert [row.split(",")[0] for row in rows] == ["background", "light", "dark"]


def test_predict_writes_masks_of_photos_of_any_size(outlining, outlines, photos, tmp_path):
    invoke("predict", outlining.path, photos, "--save", tmp_path / "found")
    answers = outlining.predict(outlines.test.images[:3]).argmax(-1)
    for number in range(3):
        with Image.open(tmp_path / "found" / "masks" / f"{number}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), answers[number])
    with Image.open(tmp_path / "found" / "masks" / "wide.png") as image:
        assert image.size == (48, 13)
    assert len(list((tmp_path / "found" / "overlays").iterdir())) == 4
    again = ["predict", str(outlining.path), str(photos), "--save", str(tmp_path / "found")]
    assert "in which there is masks" in str(CliRunner().invoke(app, again).exception)


def test_predict_says_areas_by_class_and_that_a_size_is_not_the_trained_one(outlining, photos):
    result = invoke("predict", outlining.path, photos, "--json")
    found = json.loads(result.stdout)
    assert [one["width"] for one in found] == [16, 16, 16, 48]
    assert all(sum(c["share"] for c in one["classes"]) == pytest.approx(1) for one in found)
    assert "looked at unscaled, not as 16×16" in result.stderr
    shown = invoke("predict", outlining.path, photos / "0.png").stdout
    assert "background" in shown


def test_a_photo_that_is_scaled_as_in_training_has_a_mask_of_its_own_size(
    outlining, outlines, tmp_path
):
    image = outlines.test.images[0, ..., 0]
    Image.fromarray(image.repeat(3, 0).repeat(3, 1)).save(tmp_path / "large.png")
    saved = tmp_path / "found"
    invoke("predict", outlining.path, tmp_path / "large.png", "--size", "trained", "--save", saved)
    with Image.open(saved / "masks" / "large.png") as mask:
        found = np.asarray(mask)
    expected = outlining.predict(outlines.test.images[:1]).argmax(-1)[0].repeat(3, 0).repeat(3, 1)
    assert found.shape == (48, 48)
    assert (found == expected).mean() > 0.95


def test_options_that_it_does_not_know_are_refused(outlining, outlines):
    with pytest.raises(kerascnn.errors.ArgumentError, match="size must be one of own, trained"):
        outlining.evaluate(outlines, size="large")
    with pytest.raises(kerascnn.errors.ArgumentError, match="can't be asked for top"):
        outlining.evaluate(outlines, top=3)


def test_its_page_has_the_figures_of_masks(outlining, outlines):
    text = kerascnn.reports.report(outlining.path, data=outlines, explain=1, echo=None).html()
    assert "Mean IoU of all" in text
    found = outlining.evaluate(outlines, echo=None)
    for one in found["classes"]:
        assert f'<th scope="row">{one["name"]}</th>' in text
        assert f">{one['iou']:.2%}</td>" in text
    # Curves; samples, worst, best and IoU; an explanation; the network.
    assert text.count("data:image/webp;base64,") == 1 + 4 + 1 + 1


def test_tensorboard_gets_samples_the_worst_and_the_ious(outlining, outlines):
    images, masks = outlines.validation.images, outlines.validation.targets
    masks = np.stack([masks.stored(number) for number in range(13)])
    outputs = outlining.predict(images)
    batches = [slice(0, 8), slice(8, 13)]
    seen = Seen(
        class_names=outlines.class_names,
        images=images[:5],
        targets=masks[:5],
        outputs=outputs[:5],
        more=lambda: ((images[part], masks[part], outputs[part]) for part in batches),
    )
    found = SEGMENTATION.pictures(seen)
    assert set(found) == {"samples", "iou", "worst", "best"}
    wrong = ((outputs.argmax(-1) != masks) & (masks != VOID)).sum((1, 2)) / (16 * 16 - 2)
    for tag, most_first in (("worst", True), ("best", False)):
        texts = [text.get_text() for text in found[tag].axes[0].texts]
        shown = [text for text in texts if "wrong" in text]
        assert shown == [f"{share:.1%} wrong" for share in sorted(wrong, reverse=most_first)[:8]]
    matrix = measures.confusion_of(masks, outputs.argmax(-1), 3)
    widths = [bar.get_width() for bar in found["iou"].axes[0].patches]
    np.testing.assert_allclose(widths, measures.iou(matrix))


class Stops(keras.callbacks.Callback):
    """Ends a training within its third epoch, as a crash does."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch and self.model.optimizer.iterations >= 18:
            raise RuntimeError("the power is off")


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit(learn, outlines, tmp_path):
    whole = learn(tmp_path / "whole", record=True)
    with pytest.raises(RuntimeError, match="power"):
        learn(tmp_path / "half", record=True, callbacks=[Stops()])
    half = kerascnn.resume(tmp_path / "half", data=outlines, console=Console(quiet=True))
    for name in ("loss", "val_loss", *MEASURES):
        assert [row[name] for row in half.history] == [row[name] for row in whole.history]
    for one, other in zip(whole.model().weights, half.model().weights):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["none", "mirrored:2"])
def test_the_measures_are_the_same_on_one_device_and_on_two(
    learn, outlines, outlining, tmp_path, strategy
):
    recipe = dataclasses.replace(learn.recipe, epochs=1)
    run = learn(tmp_path / "run", recipe=recipe, strategy=strategy, record=False)
    found = run.evaluate(outlines, split="validation", echo=None)
    for name in MEASURES:
        assert run.history[-1][f"val_{name}"] == pytest.approx(found[name], abs=2e-4)


@pytest.mark.parametrize("options", [{}, {"size": "own"}])
def test_a_damaged_network_is_told_and_not_judged(outlining, outlines, options):
    model = outlining.model()
    model.set_weights([np.full_like(one, np.nan) for one in model.get_weights()])
    with pytest.raises(RunError, match=r"not (a number|numbers)"):
        SEGMENTATION.evaluate(
            model,
            outlining.config,
            outlines.test,
            recipe=kerascnn.Recipe(),
            options=options,
            batch_size=4,
            say=print,
        )


def answers_of(path, format, images):
    """What an exported file answers."""
    if format == "savedmodel":
        import tensorflow as tf

        loaded = tf.saved_model.load(str(path))  # keep it: its functions don't own its variables
        return loaded.serve(images).numpy()
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: images})[0]
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "name"), [("savedmodel", "file"), ("onnx", "file.onnx"), ("litert", "file.tflite")]
)
def test_an_exported_file_takes_images_of_any_size(outlining, format, name, tmp_path):
    if format != "savedmodel":
        pytest.importorskip({"onnx": "tf2onnx", "litert": "ai_edge_litert"}[format])
    result = invoke(
        *("export", outlining.path, "--format", format, "--pixels"),
        *("--output", tmp_path / name, "--json"),
    )
    assert json.loads(result.stdout)["difference"] < 1e-3
    images = np.random.default_rng(0).integers(0, 256, (2, 10, 23, 1)).astype("float32")
    expected = kerascnn.any_size(outlining.model())(images / 255).numpy()
    np.testing.assert_allclose(answers_of(tmp_path / name, format, images), expected, atol=1e-3)


def test_masks_of_other_classes_get_a_new_last_layer_and_keep_the_rest(
    outlining, outlines, tmp_path
):
    names = tuple(f"other {name}" for name in outlines.class_names)
    run = kerascnn.train(
        from_=outlining.path,
        data=dataclasses.replace(outlines, class_names=names, name="others"),
        recipe=dataclasses.replace(outlining.config.recipe, epochs=1),
        keep_epochs=(0,),
        run=tmp_path / "run",
        record=False,
        console=Console(quiet=True),
    )
    assert run.config.weights.left_out == ("logits",)
    for layer in (new := run.model(epoch=0)).layers:
        pairs = zip(layer.get_weights(), outlining.model().get_layer(layer.name).get_weights())
        if layer.name != "logits":
            assert all(np.array_equal(one, two) for one, two in pairs), layer.name
    assert len(new.get_layer("logits").get_weights()) == 2
