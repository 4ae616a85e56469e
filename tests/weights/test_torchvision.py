"""torchvision's outputs, from torchvision's parameter names and shapes, through our importer.

The goldens hold what torchvision itself computed with the same synthetic weights and input. A
wrong name, a transposed kernel, a pixel of padding or another epsilon shows at once.
"""

import numpy as np
import pytest

import kerascnn
from kerascnn import weights

OURS = {
    "alexnet": ("alexnet_owt", {}),
    "vgg16": ("vgg16", {}),
    "vgg11_bn": ("vgg11_bn", {}),
    "googlenet": ("googlenet_bn", {"auxiliary": True}),
    "resnet18": ("resnet18", {}),
    "resnet50": ("resnet50", {"stride_in": "3x3"}),
    "densenet121": ("densenet121", {}),
}


# vgg16 has most of all weights to draw; vgg11_bn goes the same way through the rules.
CASES = [pytest.param(n, marks=pytest.mark.slow) if n == "vgg16" else n for n in OURS]


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_torchvisions(name, golden):
    ours, arguments = OURS[name]
    model = kerascnn.create(ours, classifier_activation=None, **arguments)
    theirs = golden(name)
    report = weights.load(model, theirs.state, source="torchvision")
    outputs = model.predict_on_batch(theirs.image)
    outputs = np.stack(outputs) if isinstance(outputs, list) else outputs
    assert outputs.shape == theirs.outputs.shape
    assert np.abs(outputs - theirs.outputs).max() <= 1e-4 * np.abs(theirs.outputs).max()
    assert not report.initial
    assert not report.unused
