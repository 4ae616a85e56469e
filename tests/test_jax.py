"""One small variant of every family gives the same outputs on Keras's JAX backend.

`pip install --group jax` installs what this needs; `make test-slow` does so.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

import kerascnn

CLASSES, SIDE, TOLERANCE = 7, 97, 1e-4

RUN_ON_JAX = """
import importlib, os, sys
import keras, numpy as np
assert keras.backend.backend() == "jax"
folder, classes, *targets = sys.argv[1:]
for target in targets:
    module, name = target.split(":")
    build = getattr(importlib.import_module(module), name)
    saved = np.load(os.path.join(folder, f"{name}.npz"))
    shape = saved["x"].shape[1:]
    model = build(input_shape=shape, classes=int(classes), classifier_activation=None)
    model.set_weights([saved[f"w{i}"] for i in range(len(saved.files) - 1)])
    outputs = model(saved["x"], training=False)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    arrays = [np.asarray(output) for output in outputs]
    np.savez(os.path.join(folder, f"{name}-jax.npz"), *arrays)
assert "tensorflow" not in sys.modules, "architectures and layers need Keras alone"
"""


FIT_ON_JAX = """
import importlib, random, sys
import keras, numpy as np
assert keras.backend.backend() == "jax"
rng = np.random.default_rng(0)
for target in sys.argv[1:]:
    random.seed(0)  # from which Keras draws its seeds; its own function imports TensorFlow
    module, name = target.split(":")
    build = getattr(importlib.import_module(module), name)
    side = 32 if module.startswith("kerascnn") else 97
    model = build(input_shape=(side, side, build.card.input_shape[2]), classes=2)
    labels = np.arange(16) % 2
    x = labels[:, None, None, None] + rng.normal(0, 0.1, (16, *model.input_shape[1:]))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    losses = model.fit(x.astype("float32"), labels, batch_size=8, epochs=4, verbose=0)
    losses = losses.history["loss"]
    # Dropout makes single epochs of so few images worse than the one before.
    assert np.isfinite(losses).all() and min(losses[1:]) < losses[0], (name, losses)
assert "tensorflow" not in sys.modules, "architectures and layers need Keras alone"
"""


def small_networks():
    """`module:name` of LeNet-5 twice, and of the tiny variant of each other family."""
    yield "kerascnn.applications.lenet:LeNet5"
    yield "kerascnn.applications.lenet:LeNet5_1998"
    yield from (f"tiny:{name}" for name in tiny.ALL)


def expected_on_tensorflow(target, folder):
    """Save inputs and random weights for JAX; the outputs on TensorFlow."""
    module, name = target.split(":")
    architecture = getattr(importlib.import_module(module), name)
    rng = np.random.default_rng(0)
    shape = (SIDE, SIDE, architecture.card.input_shape[2])
    model = architecture(input_shape=shape, classes=CLASSES, classifier_activation=None)
    # Statistics and biases away from 0 and 1, so that they count; variances stay positive.
    weights = [
        w * rng.uniform(0.5, 1.5, w.shape) + 0.05 * rng.random(w.shape) for w in model.get_weights()
    ]
    model.set_weights(weights)
    x = rng.normal(size=(2, *shape)).astype("float32")
    arrays = {f"w{i}": w.astype("float32") for i, w in enumerate(weights)}
    np.savez(folder / f"{name}.npz", x=x, **arrays)
    outputs = model(x, training=False)
    return [np.asarray(o) for o in (outputs if isinstance(outputs, list) else [outputs])]


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is missing: pip install --group jax"
)
def test_every_family_on_jax(tmp_path):
    assert kerascnn.list_architectures(), "kerascnn is installed"
    targets = list(small_networks())
    expected = {target: expected_on_tensorflow(target, tmp_path) for target in targets}
    env = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(__file__).parent)}
    words = [str(tmp_path), str(CLASSES), *targets]
    subprocess.run([sys.executable, "-c", RUN_ON_JAX, *words], env=env, check=True)
    for target, outputs in expected.items():
        with np.load(tmp_path / f"{target.split(':')[1]}-jax.npz") as saved:
            found = list(saved.values())
        assert len(found) == len(outputs), target
        for one, other in zip(found, outputs):
            worst = abs(one - other).max() / abs(other).max()
            assert worst <= TOLERANCE, f"{target}: differs by {worst:.1e} of the largest logit"


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is missing: pip install --group jax"
)
def test_every_family_trains_by_fit_on_jax():
    env = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", FIT_ON_JAX, *small_networks()], env=env, check=True)


@pytest.mark.parametrize("command", ["train lenet5", "tune lenet5", "ablate lenet5"])
@pytest.mark.parametrize("where", ["KERAS_BACKEND", "keras.json"])
def test_commands_refuse_other_backends_in_one_line(command, where, tmp_path):
    path = tmp_path / "keras.json"
    env = {**os.environ, "KERAS_HOME": str(tmp_path)}
    env.pop("KERAS_BACKEND", None)
    if where == "KERAS_BACKEND":
        env[where] = "torch"
    else:
        path.write_text('{"backend": "torch"}')
    words = [sys.executable, "-m", "kerascnn", *command.split()]
    ended = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert " ".join(ended.stderr.split()) == (
        "Error: The commands of kerascnn need Keras on TensorFlow: set KERAS_BACKEND=tensorflow. "
        f"Received: torch, from {path if where == 'keras.json' else where}."
    )
    assert set(tmp_path.iterdir()) <= {path}
