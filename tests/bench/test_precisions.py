"""What half precision gains and costs is summed up rightly, and comes of real trainings."""

import json

import pytest

from kerascnn.bench import precisions


def test_medians_and_errors_of_several_trainings(monkeypatch):
    asked = []

    def trained(module, words, *, what):
        task = json.loads(words)
        asked.append((task["precision"], task["seed"]))
        quick = task["precision"] != "float32"
        used = {
            "float32": {"speed": 100.0, "error": 0.1, "agreement": 1.0},
            "mixed_bfloat16": {"speed": 150.0, "error": 0.2, "agreement": 0.9},
        }
        row = {"error": 0.3 if quick else 0.1, "speeds": [10.0, 20.0, 90.0 if quick else 30.0]}
        return row if quick else {**row, "used": used}

    monkeypatch.setattr(precisions, "answer", trained)
    exact, half = precisions.measure(
        "lenet5",
        precision="mixed_bfloat16",
        arguments={},
        input_shape=(32, 32, 1),
        epochs=2,
        rounds=2,
    )
    in_turn = [("float32", 0), ("mixed_bfloat16", 0), ("float32", 1), ("mixed_bfloat16", 1)]
    assert asked == in_turn
    assert (exact.training, exact.slowest, half.fastest) == (20.0, 10.0, 90.0)
    assert (exact.trained_error, half.trained_error) == ((0.1, 0.1), (0.3, 0.3))
    assert (exact.training_ratio, half.inference_ratio) == (1.0, 1.5)
    assert (half.inference, half.used_error, half.agreement) == (150.0, (0.2, 0.2), (0.9, 0.9))


@pytest.mark.slow
def test_a_network_is_trained_and_used_in_both():
    exact, half = precisions.measure(
        "lenet5",
        precision="mixed_bfloat16",
        arguments={"widths": (2, 4), "hidden": (8,)},
        input_shape=(32, 32, 1),
        epochs=2,
        rounds=1,
    )
    assert exact.agreement == (1.0,)
    assert exact.used_error == exact.trained_error
    assert half.agreement[0] > 0.95
    assert half.trained_error != exact.trained_error, "it was trained otherwise"
