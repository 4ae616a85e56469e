"""Every family for masks gives the same outputs on Keras's JAX backend.

`pip install --group jax` in kerascnn's checkout installs what this needs.
"""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import kerascnn

CLASSES, TOLERANCE = 4, 1e-4
SHAPE = (45, 39, 3)  # nothing halves it without a remainder
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
UNET = {"depth": 2, "width": 4, "dropout": 0.0}
OTHERS = {
    "backbone": "resnet20_cifar",
    "backbone_arguments": "depths=1,1,1 stem_width=2 widths=2,3,4",
}
# Between them all that `blocks` has for maps: padding, cropping, dilation, transposed convolutions,
# bilinear kernels that are fixed and learned, interpolation.
CASES = {
    "the authors' FCN": ("fcn8s", AUTHORS | {"at_once": True}, SHAPE),
    "learned kernels": ("fcn16s", AUTHORS | {"learned": True}, SHAPE),
    "another backbone": ("fcn16s", OTHERS | {"learned": True}, SHAPE),
    "scores interpolated": ("fcn16s", OTHERS, SHAPE),
    "a dilated ResNet, two heads": ("fcn_resnet50", DILATED, SHAPE),
    "U-Net": ("unet", UNET, (44, 44, 1)),
    "U-Net, bilinear": ("unet", UNET | {"upsampling": "bilinear"}, (48, 48, 1)),
    "padded": ("unet_same", UNET | {"norm": "batch"}, SHAPE),
    "padded, bilinear": ("unet_same", UNET | {"upsampling": "bilinear"}, SHAPE),
    "padded, nearest": ("unet_same", UNET | {"upsampling": "nearest"}, SHAPE),
}
RUN_ON_JAX = """
import json, pathlib, sys
import jax, keras, kerascnn, numpy as np
assert keras.backend.backend() == "jax"
folder = pathlib.Path(sys.argv[1])
for number, case in enumerate(json.loads((folder / "cases.json").read_text())):
    saved = np.load(folder / f"{number}.npz")
    weights = [saved[f"w{i}"] for i in range(len(saved.files) - 1)]
    model = kerascnn.create(
        case["network"],
        **case["arguments"],
        input_shape=case["shape"],
        classes=case["classes"],
        classifier_activation=None,
    )
    model.set_weights(weights)
    outputs = jax.jit(lambda x: model(x, training=False))(saved["x"])
    outputs = outputs if isinstance(outputs, list) else [outputs]
    np.savez(folder / f"{number}-jax.npz", *map(np.asarray, outputs))
assert "tensorflow" not in sys.modules, "architectures and layers need Keras alone"
"""


def expected_on_tensorflow(network, arguments, shape, path):
    """Save inputs and random weights for JAX; the outputs on TensorFlow."""
    rng = np.random.default_rng(0)
    model = kerascnn.create(
        network, **arguments, input_shape=shape, classes=CLASSES, classifier_activation=None
    )
    # Away from 0 and 1, so that statistics, biases and FCN's first scores of zeros count.
    weights = [
        (w * rng.uniform(0.5, 1.5, w.shape) + 0.05 * rng.random(w.shape)).astype("float32")
        for w in model.get_weights()
    ]
    model.set_weights(weights)
    x = rng.normal(size=(2, *shape)).astype("float32")
    np.savez(path, x=x, **{f"w{i}": w for i, w in enumerate(weights)})
    outputs = model(x, training=False)
    return [np.asarray(o) for o in (outputs if isinstance(outputs, list) else [outputs])]


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is missing: pip install --group jax"
)
def test_every_family_for_masks_on_jax(tmp_path):
    """There they are built for images of any size."""
    cases, expected = [], {}
    for number, (name, (network, arguments, shape)) in enumerate(CASES.items()):
        path = tmp_path / f"{number}.npz"
        expected[name] = expected_on_tensorflow(network, arguments, shape, path)
        case = {"network": network, "arguments": arguments, "classes": CLASSES}
        cases.append(case | {"shape": (None, None, shape[-1])})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    # Most of the time it compiles what draws the first weights, which are replaced.
    env = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    subprocess.run([sys.executable, "-c", RUN_ON_JAX, str(tmp_path)], env=env, check=True)
    for number, (name, outputs) in enumerate(expected.items()):
        with np.load(tmp_path / f"{number}-jax.npz") as saved:
            found = list(saved.values())
        assert len(found) == len(outputs), name
        for one, other in zip(found, outputs):
            worst = abs(one - other).max() / abs(other).max()
            assert worst <= TOLERANCE, f"{name}: differs by {worst:.1e} of the largest score"
