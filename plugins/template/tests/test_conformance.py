"""What a plugin must prove: that it conforms, and what its own paper says."""

import kerascnn


# Where a check can't pass, say why: expected_failures={"allcnn_c": {"xla": "the reason"}}.
@kerascnn.checks.parametrize_with_checks(kerascnn.list_architectures(provider="kerascnn-template"))
def test_conformance(architecture, check):
    check(architecture)


def test_it_is_found_by_its_name():
    assert kerascnn.list_architectures("allcnn*") == ["allcnn_c"]


SIDES = {"block1_conv2": 32, "block1_conv3": 16, "block2_conv3": 8, "conv7": 6, "conv9": 6}


def test_maps_and_parameters_are_those_of_the_paper():
    """Tables 1 and 3: maps of 32, 16, 8 and 6 pixels, about 1.4 million parameters."""
    model = kerascnn.create("allcnn_c")
    assert {name: model.get_layer(name).output.shape[1] for name in SIDES} == SIDES
    assert round(model.count_params() / 1e6, 1) == 1.4
