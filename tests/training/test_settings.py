"""A precision is that of every layer, the classifier included."""

import io

import keras
import numpy as np
import pytest
from rich.console import Console

from kerascnn import catalogue, precision
from kerascnn.precision import in_precision
from kerascnn.recipes.recipe import Recipe
from kerascnn.training import trainer

# One for each way in which a head is made.
HEADS = ("lenet5", "lenet5_1998", "nin_cifar10", "googlenet")


@pytest.mark.parametrize("name", HEADS)
def test_float64_is_that_of_all_layers_and_half_precision_leaves_the_head_in_float32(name):
    with in_precision("float64"):
        model = catalogue.get(name)()
    assert {layer.compute_dtype for layer in model.layers} == {"float64"}
    assert {variable.dtype for variable in model.trainable_variables} == {"float64"}
    with in_precision("mixed_float16"):
        model = catalogue.get(name)()
    assert {output.dtype for output in model.outputs} == {"float32"}
    assert any(layer.compute_dtype == "float16" for layer in model.layers)


def test_a_float64_training_is_saved_and_evaluated_as_such(tmp_path):
    """Its model is loaded where float32 is the default."""
    recipe = Recipe(batch_size=500, epochs=1)
    run = trainer.train(
        "lenet5",
        "mnist5k",
        arguments={"widths": (2, 4), "hidden": (16,)},
        recipe=recipe,
        precision="float64",
        run=tmp_path / "run",
        record=False,
    )
    assert keras.config.floatx() == "float32"
    assert {variable.dtype for variable in run.model().variables} == {"float64"}
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), "uint8")
    sums = run.predict(images).sum(-1, dtype="float64")
    np.testing.assert_allclose(sums, 1, atol=1e-14)
    assert run.evaluate(echo=None)["error"] == pytest.approx(run.metrics["test_error"], abs=1e-9)


def test_training_says_that_the_processor_has_no_instructions_for_a_precision(
    tmp_path, monkeypatch
):
    (tmp_path / "cpuinfo").write_text("flags: fpu avx2\n")
    monkeypatch.setattr(precision, "_PROCESSORS", tmp_path / "cpuinfo")
    said = io.StringIO()
    trainer.train(
        "lenet5",
        "mnist5k",
        arguments={"widths": (2, 4), "hidden": (16,)},
        recipe=Recipe(batch_size=500, epochs=1),
        precision="mixed_bfloat16",
        run=tmp_path / "run",
        record=False,
        console=Console(file=said, width=500),
    )
    assert "This processor has no instructions for bfloat16" in said.getvalue()
