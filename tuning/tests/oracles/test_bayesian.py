"""Bayesian search learns from what was tried."""

from kerascnn_tuning.oracles.making import make_oracle
from kerascnn_tuning.problem import Problem
from search_steps import run_all


def test_bayesian_search_beats_random_on_a_smooth_score(tmp_path, tiny):
    best = {}
    for tuner in ("random", "bayesian"):
        found = []
        for seed in range(4):
            plan = tiny(tuner=tuner, seed=seed, max_trials=15, fix={"hidden": (8,)},
                        choose={"widths": tuple(range(1, 40)), "kernels": (3, 5)})  # fmt: skip
            oracle = make_oracle(Problem.of(plan, 10), tmp_path / f"{tuner}{seed}" / "oracle")
            found.append(min(t.score for t in run_all(oracle)))
        best[tuner] = sum(found)
    assert best["bayesian"] < best["random"]
