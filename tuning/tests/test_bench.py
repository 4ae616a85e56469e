"""What `kerascnn bench tune` compares is the same work, over plans that are legal."""

import itertools

import keras_tuner
import pytest
from kerascnn_tuning import bench, bench_processes
from kerascnn_tuning.plan import Plan
from kerascnn_tuning.problem import Problem

from kerascnn.data import load

PLANS = {name: getattr(bench, name) for name in ("WASTE", "TIMED", "SHARED", "GROWTH")}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_as_a_study_file_is_the_plan_itself(tmp_path, name):
    bench.write_toml(tmp_path / "study.toml", PLANS[name])
    assert Plan.read(tmp_path / "study.toml") == Plan.from_dict(PLANS[name], owner=name)


def test_both_contestants_build_the_same_networks():
    problem = Problem.of(Plan.from_dict(bench.TIMED, owner="test"), 10)
    assert problem.size() == 8
    stock = bench_processes.Stock(problem)
    hp = keras_tuner.HyperParameters()
    for *kernels, pool in itertools.product((3, 5), (3, 5), ("avg", "max")):
        hp.values = {"kernels_1": kernels[0], "kernels_2": kernels[1], "pool": pool}
        found = problem.configuration(hp.values).arguments
        assert found["kernels"] == tuple(kernels)
        assert stock.build(hp).count_params() == problem.network(found).cost().params


def test_the_few_digits_are_a_data_set_with_all_classes(tmp_path):
    bench.few_digits(tmp_path / "few.npz")
    data = load(f"npz:{tmp_path / 'few.npz'}", input_shape=(32, 32, 1), echo=None)
    assert data.classes == 10
    assert data.train.size + data.validation.size + data.test.size == 200


def test_memory_and_disk_are_read_from_outside(tmp_path):
    import os

    assert bench.resident(os.getpid()) > 50
    assert bench.resident(2**30) == 0
    (tmp_path / "trial_0").mkdir()
    (tmp_path / "trial_0" / "trial.json").write_text('{"status": "COMPLETED"}' + " " * 999_977)
    assert bench.size(tmp_path) == 1.0
    assert bench.completed(tmp_path) == 1


def test_a_search_without_training_is_a_search(tmp_path):
    bench.few_digits(tmp_path / "few.npz")
    plan = {**bench.WASTE, "max_trials": 3}
    data = f"npz:{tmp_path / 'few.npz'}"
    found = bench_processes.kept(plan, str(tmp_path / "study"), data)
    assert (found["trials"], found["failed"]) == (3, 0)
    assert found["milliseconds"] > 0
    assert (tmp_path / "study/leaderboard.csv").read_text().count("COMPLETED") == 3
