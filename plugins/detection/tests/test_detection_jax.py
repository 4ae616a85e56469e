"""Detectors give the same boxes on Keras's JAX backend, which has no TensorFlow beside it.

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

CLASSES = 4
SHAPE = (48, 40, 3)
CELLS = {"widths": (4, 4, 8), "tail": (8,), "hidden": (8, 12), "grid": 3}
STAGES = {
    "backbone": "vgg11_bn",
    "backbone_arguments": "depths=1,1,1 widths=4,6,8",
    "stride": 4,
    "anchor_sizes": (12.0, 24.0),
    "rpn_width": 8,
    "candidates": 60,
    "proposals": 10,
    "least_side": 2.0,
    "roi_size": 3,
    "head_widths": (8,),
}
CASES = {
    "cells of dense layers": ("yolo_tiny", CELLS),
    "cells of a convolution": ("yolo_tiny", {**CELLS, "head": "conv", "norm": "batch"}),
    "two stages, pooled": ("faster_rcnn", STAGES),
    "two stages, aligned": ("faster_rcnn", {**STAGES, "roi": "align"}),
}
RUN_ON_JAX = """
import json, pathlib, sys
import jax, keras, kerascnn, numpy as np
assert keras.backend.backend() == "jax"
folder = pathlib.Path(sys.argv[1])
for number, case in enumerate(json.loads((folder / "cases.json").read_text())):
    saved = np.load(folder / f"{number}.npz")
    weights = [saved[f"w{i}"] for i in range(len(saved.files) - 1)]
    model = kerascnn.create(case["network"], **case["arguments"], input_shape=case["shape"],
                            classes=case["classes"])
    model.set_weights(weights)
    found = jax.jit(lambda x: model(x, training=False))(saved["x"])
    np.save(folder / f"{number}-jax.npy", np.asarray(found))
assert "tensorflow" not in sys.modules, "architectures and layers need Keras alone"
"""


def expected_on_tensorflow(network, arguments, path):
    """Save inputs and random weights for JAX; the boxes on TensorFlow."""
    rng = np.random.default_rng(0)
    model = kerascnn.create(network, **arguments, input_shape=SHAPE, classes=CLASSES)
    weights = [
        (w * rng.uniform(0.5, 1.5, w.shape) + 0.05 * rng.random(w.shape)).astype("float32")
        for w in model.get_weights()
    ]
    model.set_weights(weights)
    x = rng.normal(size=(2, *SHAPE)).astype("float32")
    np.savez(path, x=x, **{f"w{i}": w for i, w in enumerate(weights)})
    return np.asarray(model(x, training=False))


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is missing: pip install --group jax"
)
def test_detectors_on_jax(tmp_path):
    cases, expected = [], {}
    for number, (name, (network, arguments)) in enumerate(CASES.items()):
        expected[name] = expected_on_tensorflow(network, arguments, tmp_path / f"{number}.npz")
        assert (expected[name][..., 4] >= 0).any(), f"{name}: nothing is found"
        case = {"network": network, "arguments": arguments, "classes": CLASSES}
        cases.append(case | {"shape": SHAPE})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    env = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    subprocess.run([sys.executable, "-c", RUN_ON_JAX, str(tmp_path)], env=env, check=True)
    for number, (name, boxes) in enumerate(expected.items()):
        found = np.load(tmp_path / f"{number}-jax.npy")
        np.testing.assert_allclose(found, boxes, rtol=1e-4, atol=1e-3, err_msg=name)
