"""The conformance suite on networks that answer with maps, each in small."""

import pytest

import kerascnn
from kerascnn.checks import parametrize_with_checks


def small(name, **arguments):
    return kerascnn.get(name).variant(f"small_{name}", **arguments)


PADDED = {"depth": 2, "width": 4, "norm": "batch"}
AUTHORS = {
    "backbone_arguments": "depths=1,1,1,1,1 widths=2,2,3,3,4",
    "head_widths": (5, 6),
}
DILATED = {
    "depths": (1, 1, 2, 1),
    "widths": (4, 4, 6, 8),
    "stem_width": 4,
    "bottleneck_ratio": 2,
    "head_width": 8,
    "auxiliary_width": 6,
    "auxiliary": True,
}


@parametrize_with_checks([small("unet_same", **PADDED)])
def test_a_network_for_maps_conforms(architecture, check):
    check(architecture)


@pytest.mark.slow
@parametrize_with_checks(
    [
        small("unet", depth=2, width=4),
        small("fcn8s", **AUTHORS),
        small("fcn32s", backbone="resnet20_cifar", backbone_arguments="depths=1,1,1"),
        small("fcn_resnet50", **DILATED),
    ]
)
def test_every_network_for_maps_conforms(architecture, check):
    check(architecture)
