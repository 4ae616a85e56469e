"""Kernels that differ from stage to stage: in the layers, the counts and the receptive fields.

And what an earlier version called them, a single `kernel`, in scripts and in runs of that time.
"""

from dataclasses import replace

import keras
import numpy as np
import pytest
from rich.console import Console

import kerascnn
from kerascnn.cost import Cost
from kerascnn.data import load
from kerascnn.errors import ArgumentError, InputSizeError
from kerascnn.keras_internals import without_values
from kerascnn.training import trainer

INCEPTION = {
    "depths": (2, 1),
    "stem_widths": (4, 4, 8),
    **dict.fromkeys(("conv_1x1", "reduce_3x3", "conv_3x3", "pool_proj"), (4, 4, 4)),
}
GOOGLENET = {**INCEPTION, **dict.fromkeys(("reduce_5x5", "conv_5x5"), (4, 4, 4))}
DOUBLE = {**INCEPTION, **dict.fromkeys(("reduce_double", "conv_double"), (4, 4, 4))}
QUIET = Console(quiet=True)


def sides(model):
    """Name → side, of the square convolutions that are larger than 1×1."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size != (1, 1):
            assert layer.kernel_size[0] == layer.kernel_size[1]
            found[layer.name.removesuffix("_conv").removeprefix("inception_")] = layer.kernel_size[
                0
            ]
    return found


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("lenet5", {"kernels": (7, 3)}, {"conv1": 7, "conv2": 3}),
        (
            "vgg11",
            {"depths": (1, 2), "widths": (4, 8), "kernels": (7, 3), "hidden": (8,)},
            {"block1_conv1": 7, "block2_conv1": 3, "block2_conv2": 3},
        ),
        (
            "googlenet",
            {**GOOGLENET, "kernels_3x3": (3, 5, 3), "kernels_5x5": (7, 5, 3), "stem_kernel": 7},
            {"conv1": 7, "conv2": 3}
            | {"3a_3x3": 3, "3b_3x3": 5, "4a_3x3": 3}
            | {"3a_5x5": 7, "3b_5x5": 5, "4a_5x5": 3},
        ),
        (
            "bn_inception",
            {
                **DOUBLE,
                "module_pools": ("avg", "max", "max"),
                "kernels_3x3": (3, 5, 3),
                "kernels_double": (5, 3, 3),
            },
            {"conv1": 7, "conv2": 3}
            | {"3a_3x3": 3, "3b_3x3": 5, "4a_3x3": 3}
            | {"3a_double_1": 5, "3a_double_2": 5, "3b_double_1": 3, "3b_double_2": 3}
            | {"4a_double_1": 3, "4a_double_2": 3},
        ),
    ],
)
def test_each_stage_has_its_own_kernel_and_the_cost_is_the_models(name, arguments, expected):
    architecture = kerascnn.get(name)
    shape = (96, 96, architecture.card.input_shape[2])
    with without_values():
        model = architecture(input_shape=shape, classes=7, **arguments)
    assert sides(model) == expected
    profile = kerascnn.profile(model)
    assert architecture.cost(shape, 7, **arguments) == Cost(profile.params, profile.macs)


def test_receptive_fields_follow_the_kernels_of_each_stage():
    """Behind pool2 a unit sees 7 + 1 pixels for the first stage, and 2 · 2 + 2 · 1 more."""
    model = kerascnn.create("lenet5", kernels=(7, 3))
    behind = next(row for row in kerascnn.profile(model).layers if row.name == "pool2")
    assert behind.receptive_field.size == (7 + 1 + 2 * 2 + 2 * 1,) * 2


def test_a_kernel_too_large_for_its_stage_alone_is_refused_with_the_smallest_input():
    # conv1 and pool1 leave (20 - 4) / 2 = 8 pixels, conv2 8 - 6 = 2, which pool2 needs.
    with pytest.raises(InputSizeError, match=r"conv2: a 7×7 window .*Smallest legal.*20×20"):
        kerascnn.create("lenet5", kernels=(5, 7), input_shape=(16, 16, 1))
    with pytest.raises(InputSizeError, match=r"block2_conv1: a kernel of 9×9"):
        kerascnn.create(
            "vgg11", depths=(1, 1), widths=(4, 8), kernels=(3, 9), input_shape=(16, 16, 3)
        )


@pytest.mark.parametrize(
    ("name", "former", "today"),
    [
        ("lenet5", {"kernel": 3}, {"kernels": (3, 3)}),
        ("vgg16_bn", {"kernel": 5}, {"kernels": (5,) * 5}),
        ("googlenet", {"kernel_5x5": 3}, {"kernels_5x5": (3,) * 9}),
        ("googlenet_bn", {"kernel_3x3": 5}, {"kernels_3x3": (5,) * 9}),
        # One number was for both branches.
        (
            "bn_inception",
            {"kernel_3x3": 5},
            {"kernels_3x3": (5,) * 10, "kernels_double": (5,) * 10},
        ),
    ],
)
def test_a_former_single_kernel_builds_the_network_that_it_built(name, former, today):
    architecture = kerascnn.get(name)
    assert architecture.cost(**former) == architecture.cost(**today) != architecture.cost()
    variant = architecture.variant("mine", **former)
    assert {key: variant.space[key].default for key in today} == today
    assert variant.variant("yours", **today).cost() == variant.cost()


def test_lenet_with_former_kernels_has_the_parameters_it_had():
    """(3·3 + 1)·6 + (3·3·6 + 1)·16, then 36·16 inputs of 120, 84 and 10 units."""
    convolutions = (3 * 3 + 1) * 6 + (3 * 3 * 6 + 1) * 16
    dense = (6 * 6 * 16 + 1) * 120 + 121 * 84 + 85 * 10
    assert kerascnn.get("lenet5").cost(kernel=3).params == convolutions + dense


def test_a_run_of_an_earlier_version_is_repeated_and_resumed(tmp_path):
    data = load("mnist5k", input_shape=(16, 16, 1), echo=None)
    old = {"kernel": 3, "widths": (2, 2), "hidden": (8,)}
    run = trainer.train(
        *("lenet5", data),
        arguments=old,
        input_shape=(16, 16, 1),
        epochs=1,
        batch_size=1000,
        run=tmp_path / "old",
        console=QUIET,
    )
    config = run.config
    assert config.architecture.arguments == {"kernels": (3, 3), "widths": (2, 2), "hidden": (8,)}
    assert sides(run.model()) == {"conv1": 3, "conv2": 3}
    then = replace(config.architecture, arguments=old)
    replace(config, architecture=then, recipe=replace(config.recipe, epochs=2)).write(run.path)
    (run.path / "metrics.json").unlink()
    again = trainer.resume(run.path, console=QUIET, data=data)
    assert again.metrics["epochs"] == 2
    assert sides(again.model()) == {"conv1": 3, "conv2": 3}


def test_both_names_at_once_are_refused():
    with pytest.raises(ArgumentError, match="kernels was formerly called kernel"):
        kerascnn.create("lenet5", kernel=3, kernels=(5, 5))


def test_the_defaults_are_the_papers():
    for name in ("lenet5", "vgg16", "vgg16_c", "googlenet", "googlenet_bn", "bn_inception"):
        architecture = kerascnn.get(name)
        cost = architecture.cost()
        assert (cost.params, cost.macs) == (architecture.card.params, architecture.card.macs)
    assert np.unique(kerascnn.get("googlenet").space["kernels_5x5"].default) == [5]
    assert np.unique(kerascnn.get("googlenet_bn").space["kernels_5x5"].default) == [3]
