"""Each feature under each strategy: the same weights as on one device, or a refusal by name."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerascnn.distribution.cluster import Cluster
from kerascnn.distribution.launching import free_ports

PROGRAM = Path(__file__).with_name("cells.py")


def load_cells():
    spec = importlib.util.spec_from_file_location("cells", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cells = load_cells()
STRATEGIES = ("mirrored:2", "multiworker")
# "all together" has every feature in it. Which one it is that fails, the others say.
QUICK = ("exact plain", "exact all together", "mixed_float16", "overflow", "jit", "two types")
SLOW = tuple(name for name in cells.CELLS if name not in QUICK)


def marked(names, prefix=""):
    """Parameters, those of slow cells marked so."""
    slow = {name: prefix + name in SLOW for name in names}
    return [pytest.param(x, marks=pytest.mark.slow if slow[x] else ()) for x in names]


@pytest.fixture(scope="module")
def found(two_devices, tmp_path_factory):
    """`found(strategy, cell)` → its arrays. The quick cells are made at once, and the slow ones."""

    @functools.cache
    def made(names):
        return carried_out(names, two_devices, tmp_path_factory.mktemp("cells") / "worker")

    def arrays(strategy, name):
        rows = made(SLOW if name in SLOW else QUICK)[strategy]
        return {key.split("|")[1]: v for key, v in rows.items() if key.split("|")[0] == name}

    return arrays


def carried_out(names, two_devices, output):
    """These cells of all strategies; the workers are two real processes, running meanwhile."""
    addresses = tuple(f"localhost:{port}" for port in free_ports(2))
    children = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(output), *names],
            env={**os.environ, "TF_CONFIG": Cluster(addresses, index).tf_config},
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        one = cells.everything(tf.distribute.get_strategy(), names)
        two = cells.everything(two_devices, names)
        for child in children:
            _, errors = child.communicate(timeout=600)
            assert child.returncode == 0, errors[-3000:]
    finally:
        for child in children:
            child.kill()
            child.wait()
    workers = [dict(np.load(f"{output}-{index}.npz")) for index in range(2)]
    assert json.dumps(sorted(workers[0])) == json.dumps(sorted(workers[1]))
    for key, value in workers[0].items():
        np.testing.assert_array_equal(value, workers[1][key], err_msg=key)
    return {"none": one, "mirrored:2": two, "multiworker": workers[0]}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("feature", marked(cells.EXACT, "exact "))
def test_twenty_updates_equal_those_of_one_device(found, feature, strategy):
    """In float64, with batch normalization, L2 and an auxiliary loss; evaluation of 67 images."""
    expected, ours = (found(name, f"exact {feature}") for name in ("none", strategy))
    assert ours.keys() == expected.keys()
    for key in expected:
        np.testing.assert_allclose(ours[key], expected[key], rtol=0, atol=1e-10, err_msg=key)
    if "evaluated" in expected:
        assert expected["evaluated"][2] == 67


@pytest.mark.parametrize("feature", marked([x for x in cells.EXACT if x != "plain"], "exact "))
def test_each_feature_changes_the_result(found, feature):
    """Otherwise the comparison above would prove nothing about it."""
    plain, ours = (found("none", f"exact {name}") for name in ("plain", feature))
    if feature == "ema":
        assert any(np.abs(ours[f"average/{i}"] - ours[f"weight/{i}"]).max() > 1e-3 for i in (0, 1))
        assert abs(ours["evaluated"][0] - plain["evaluated"][0]) > 1e-3
    else:
        assert np.abs(ours["weight/0"] - plain["weight/0"]).max() > 1e-4


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("precision", marked(cells.HALF))
def test_half_precision_follows_one_device(found, precision, strategy):
    """float16 rounds the sum of the replicas in another order; it must not overflow anywhere."""
    expected, ours = (found(name, precision) for name in ("none", strategy))
    for key in expected:
        if key.startswith("weight"):
            np.testing.assert_allclose(ours[key], expected[key], rtol=0, atol=0.05, err_msg=key)


@pytest.mark.parametrize("strategy", ["none", *STRATEGIES])
def test_an_overflow_on_the_last_replica_leaves_all_weights_alone(found, strategy):
    """Stock Keras asks the first replica only; an overflow on another makes all weights NaN."""
    ours = found(strategy, "overflow")
    assert ours["moved"] == 0
    assert ours["scale"] == 2.0**15 / 4, "halved after each of the two updates"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_xla_under_a_strategy_is_refused_by_name(found, strategy):
    name = {"mirrored:2": "MirroredStrategy on 2 CPUs", "multiworker": "2 workers"}[strategy]
    message = str(found(strategy, "jit")["refusal"])
    assert "XLA (jit) can't be combined with" in message
    assert name in message
    assert str(found("none", "jit")["refusal"]) == ""


@pytest.mark.parametrize("strategy", ["none", *STRATEGIES])
def test_variables_of_two_types_are_refused_where_they_can_not_be_summed(found, strategy):
    """Only between machines: TensorFlow would fail in the first step, with a type's name."""
    message = str(found(strategy, "two types")["refusal"])
    if strategy == "multiworker":
        assert "head/bias of float32" in message
        assert "body/bias of float64" in message
    else:
        assert message == ""


def test_workers_agree_or_all_of_them_refuse(found):
    """One that was told something else would train another network, or hang."""
    row = found("multiworker", "agreement")
    assert "The data must be the same on all 2 workers, and differs" in str(row["message"])
    assert str(row["path"]) == "runs/größe-0"
    assert list(row["sum"]) == [2, 1]
