"""What a plugin must prove: that it conforms, and what its own paper says."""

import keras
import numpy as np

import kerascnn


# Where a check can't pass, say why: expected_failures={"allcnn_c": {"xla": "the reason"}}.
@kerascnn.checks.parametrize_with_checks(kerascnn.list_architectures(provider="kerascnn-template"))
def test_conformance(architecture, check):
    check(architecture)


def test_it_is_found_by_its_name():
    assert kerascnn.list_architectures("allcnn*") == ["allcnn_c", "allcnn_c_ordinal"]


SIDES = {"block1_conv2": 32, "block1_conv3": 16, "block2_conv3": 8, "conv7": 6, "conv9": 6}


def test_maps_and_parameters_are_those_of_the_paper():
    """Tables 1 and 3: maps of 32, 16, 8 and 6 pixels, about 1.4 million parameters."""
    model = kerascnn.create("allcnn_c")
    assert {name: model.get_layer(name).output.shape[1] for name in SIDES} == SIDES
    assert round(model.count_params() / 1e6, 1) == 1.4


def test_an_answer_is_worth_its_distance_from_the_class():
    """Three quarters for class 0 and one for class 2 are the answer 0.5."""
    scores = keras.Sequential([keras.Input((3,)), keras.layers.Softmax()])
    objective = kerascnn.tasks.find("ordinal").objective(
        kerascnn.Recipe(), scores=scores, classes=3, from_logits=False
    )
    labels, outputs = np.array([0, 2]), [np.array([[0.75, 0.0, 0.25]] * 2, "float32")]
    distances = objective.answers(labels, outputs)
    np.testing.assert_allclose(distances, [0.5, 1.5])
    sums = objective.sums(labels, outputs, np.array([True, False]))
    assert objective.figures(np.asarray(sums), 1) == {"distance": 0.5}
    parts = objective.losses(labels, outputs)
    np.testing.assert_allclose(parts["entropy"], -np.log([0.75, 0.25]), rtol=1e-6)
    np.testing.assert_allclose(parts["distance"], np.square([0.5, 1.5]) / 3)
    assert objective.judged(np.array([0.0, 1.0, 5.0])) == {"median_distance": 1.0}
