"""Who the workers of a job are, as its environment says it; no TensorFlow is needed for that."""

import json
import subprocess
import sys

import pytest
import tensorflow as tf

from kerascnn.distribution.cluster import Cluster, expand, find
from kerascnn.errors import StrategyError


def tf_config(**changes):
    return {
        "TF_CONFIG": json.dumps(
            {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
            | changes
        )
    }


SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_STEP_NODELIST": "gpu[08-09],big",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}
LIST = {"KERASCNN_WORKERS": "job-0.net:8470, job-1.net:8470", "JOB_COMPLETION_INDEX": "1"}


def test_tf_config_wins():
    assert find({**SLURM, **LIST, **tf_config()}) == Cluster(("a:1", "b:1"), 1)


def test_a_chief_comes_before_the_workers():
    jobs = {"chief": ["c:1"], "worker": ["a:1", "b:1"]}
    workers = ("c:1", "a:1", "b:1")
    assert find(tf_config(cluster=jobs)) == Cluster(workers, 2)
    chief = {"type": "chief", "index": 0}
    assert find(tf_config(cluster=jobs, task=chief)) == Cluster(workers, 0)


def test_slurm_counts_tasks_node_by_node():
    """As `srun -n 5 -N 3 --distribution=block` sets the variables of its third task."""
    workers = ("gpu08:8470", "gpu08:8471", "gpu09:8470", "gpu09:8471", "big:8470")
    assert find(SLURM) == Cluster(workers, 2)


@pytest.mark.parametrize(
    ("written", "nodes"),
    [
        ("login", ["login"]),
        ("a,b", ["a", "b"]),
        ("gpu[08-10,12],login", ["gpu08", "gpu09", "gpu10", "gpu12", "login"]),
        ("r[1-2]-ib", ["r1-ib", "r2-ib"]),
    ],
)
def test_slurms_lists_of_nodes(written, nodes):
    """The notation of `scontrol show hostnames`."""
    assert expand(written) == nodes


def test_the_pods_of_an_indexed_job():
    assert find(LIST) == Cluster(("job-0.net:8470", "job-1.net:8470"), 1)


def test_what_is_found_is_what_tensorflow_reads(monkeypatch):
    """Through TensorFlow's own resolver."""
    monkeypatch.setenv("TF_CONFIG", find(SLURM).tf_config)
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert resolver.cluster_spec().as_dict() == {"worker": list(find(SLURM).workers)}
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "needs to know its workers"),
        ({"TF_CONFIG": "{cluster"}, "no valid JSON"),
        ({"TF_CONFIG": "[]"}, "lacks a part"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "lacks a part .*task"),
        (tf_config(task={"type": "worker", "index": 2}), "names a task, worker 2"),
        (tf_config(task={"type": "evaluator", "index": 0}), "names a task, evaluator 0"),
        (tf_config(cluster={"ps": ["a:1"], "worker": ["b:1", "c:1"]}), "no workers: ps"),
        (tf_config(cluster={"worker": ["a", "b:1"]}), "host:port. Received: a"),
        (tf_config(cluster={"worker": ["a:1", "a:1"]}), "a worker twice"),
        ({**LIST, "JOB_COMPLETION_INDEX": "2"}, "must be 0 to 1. Received: 2"),
        ({"KERASCNN_WORKERS": "a:1"}, "needs JOB_COMPLETION_INDEX or SLURM_PROCID"),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, "should be 3 numbers"),
        ({**SLURM, "KERASCNN_PORT": "http"}, "KERASCNN_PORT must be a whole number. .*'http'"),
        ({**SLURM, "SLURM_DISTRIBUTION": "cyclic"}, "--distribution=block"),
    ],
)
def test_an_incomplete_environment_is_refused_with_what_was_received(environment, message):
    with pytest.raises(StrategyError, match=message):
        find(environment)


def test_looking_for_workers_loads_no_tensorflow():
    code = "import sys, kerascnn.distribution.launching; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
