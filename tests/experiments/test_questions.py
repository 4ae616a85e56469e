"""The answers of the lecture's questions that need no training, against facts of their own."""

import json
import runpy
import shutil
from pathlib import Path

import answers
import crops
import dropout
import inception_module
import keras
import lrn
import numpy as np
import pooling
import pytest
import three_3x3
import trained

import kerascnn
from kerascnn import blocks

HERE = Path(__file__).parent
PAGE = (HERE / "README.md").read_text(encoding="utf-8")


def answer(name, monkeypatch, capsys, *options):
    """What `python NAME.py --json` prints."""
    monkeypatch.setattr("sys.argv", [name, "--json", *map(str, options)])
    capsys.readouterr()
    runpy.run_path(str(HERE / f"{name}.py"), run_name="__main__")
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def small():
    """In place of what `trained` gives: a smaller network with its first weights, on digits."""
    keras.utils.set_random_seed(0)
    arguments = {"widths": (8, 8, 8, 8, 8), "hidden": (16, 16)}
    model = kerascnn.create("alexnet", input_shape=(64, 64, 1), classes=10, **arguments)
    data = kerascnn.data.load("mnist5k", input_shape=(64, 64, 1), echo=None)
    pixels, labels = map(np.asarray, next(iter(data.test.batches(50))))
    return trained.Trained(model, pixels, pixels.astype("float32"), labels)


# --- Counted ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modules():
    """Of GoogLeNet, by name."""
    return {row["module"]: row for row in inception_module.rows()}


def test_an_inception_module_costs_what_table_1_of_its_paper_gives(modules):
    """Module 3a reads 192 maps of 28×28: 64, 96 → 128, 16 → 32 and 32 filters."""
    reduced = 192 * (64 + 96 + 16 + 32) + 3 * 3 * 96 * 128 + 5 * 5 * 16 * 32
    naive = 192 * 64 + 3 * 3 * 192 * 128 + 5 * 5 * 192 * 32
    assert modules["3a"] == {
        "module": "3a",
        "reads": (28, 28, 192),
        "naive_weights": naive,
        "reduced_weights": reduced,
        "naive_macs": naive * 28 * 28,
        "reduced_macs": reduced * 28 * 28,
        "naive_maps": 64 + 128 + 32 + 192,
        "reduced_maps": 256,
    }
    assert list(modules) == ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b", "network"]
    # Without their poolings' projections modules add up: 4a reads what 3b puts out, and so on.
    added = [row["naive_maps"] - row["reads"][-1] for row in modules.values()][:-1]
    assert modules["network"]["naive_maps"] == 192 + sum(added)


def test_three_3x3_cost_27_parts_of_49_and_see_as_much(monkeypatch, capsys):
    rows = {
        row["convolutions"]: row
        for row in answer("three_3x3", monkeypatch, capsys, "--channels", 64, "--side", 20)
    }
    for name, kernels in {"one 7×7": [7], "three 3×3": [3] * 3, "two 3×3": [3] * 2}.items():
        weights = sum(kernel**2 for kernel in kernels) * 64**2
        seen = np.ones(1)
        for kernel in kernels:
            seen = np.convolve(seen, np.ones(kernel))
        assert rows[name]["weights"] == weights
        assert rows[name]["macs"] == weights * 20**2
        assert rows[name]["receptive_field"] == [len(seen)] * 2


def test_all_crops_are_drawn_and_no_others(monkeypatch, capsys):
    rows = answer("crops", monkeypatch, capsys, "--draws", 40_000)
    assert [row["seen"] for row in rows][:5] == [2048, 2178, 2178, "0, 32", "0, 32"]
    every = {(top, left, side) for top in range(33) for left in range(33) for side in (False, True)}
    assert set(crops.drawn(40_000)) == every


def test_the_crops_are_those_of_the_pixels():
    assert [crops.seen(epoch) for epoch in range(8)] == crops.drawn(8)


def test_the_page_says_what_the_commands_count(modules):
    counts = [row["weights"] for row in three_3x3.rows(256, 56)]
    for name in ("3a", "5b", "network"):
        counts += [modules[name][key] for key in ("naive_weights", "reduced_weights")]
    assert [count for count in counts if f"{count:,}" not in PAGE] == []


# --- On a trained network --------------------------------------------------------------------


def test_the_trained_network_is_a_run_of_the_experiments(striped_run, monkeypatch, tmp_path):
    """Trained under the name that `run.py` gives it; here a copy of another run stands for it."""

    def copied(row):
        shutil.copytree(striped_run.path, row.runs[0].path)

    monkeypatch.setattr(trained, "RUNS", tmp_path)
    monkeypatch.setattr(trained, "train", copied)
    found = trained.trained(6)
    assert (tmp_path / "AlexNet-0" / "config.json").is_file()
    assert found.pixels.shape == found.images.shape == (6, 32, 32, 1)
    assert found.model(found.images).shape[0] == len(found.labels) == 6


def test_both_rules_of_dropout_give_the_same_outputs(small, monkeypatch, capsys):
    monkeypatch.setattr(trained, "trained", lambda count: small)
    rows = answer("dropout", monkeypatch, capsys, "--thinned", 2)
    differences = {row["dropout"]: row["largest_difference"] for row in rows}
    assert differences["the paper's, training, same units dropped"] < 1e-5
    assert differences["the paper's, test, outputs · 0.5"] < 1e-5
    assert differences["the paper's, test, · 0.5 forgotten"] > 1e-3


def test_the_paper_s_rule_by_hand():
    """One hidden unit of two is dropped, or both are halved."""
    layers = [(np.eye(2), np.zeros(2)), (np.eye(2), np.zeros(2))]
    features = np.array([[np.log(3), np.log(16)]])
    dropped = dropout.paper(features, layers, [np.array([[1, 0]])])
    np.testing.assert_allclose(dropped, [[3 / 4, 1 / 4]])
    np.testing.assert_allclose(dropout.paper(features, layers)[:, 1] ** -1, [1 + 3**0.5 / 4])


def normalized(maps):
    """Section 3.3's equation, one map after the other."""
    found = np.zeros_like(maps)
    for i in range(maps.shape[-1]):
        around = maps[..., max(0, i - 2) : i + 3]
        found[..., i] = maps[..., i] / (2 + 1e-4 * np.square(around).sum(-1)) ** 0.75
    return found


def test_what_normalization_leaves_of_a_map_is_what_the_equation_says(
    small, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(trained, "trained", lambda count: small)
    first, second = answer("lrn", monkeypatch, capsys, "--save", tmp_path / "lrn.png")
    before = np.asarray(kerascnn.feature_extractor(small.model, "conv1_relu")(small.images))
    left = normalized(before)[before > 0] / before[before > 0]
    assert first["least_left"] == pytest.approx(left.min(), rel=1e-4)
    assert first["median_left"] == pytest.approx(np.median(left), rel=1e-4)
    assert first["most_left"] <= lrn.SILENT * 1.0001
    assert second["layer"] == "norm2"
    assert (tmp_path / "lrn.png").stat().st_size > 10_000


def test_a_unit_is_the_largest_of_four_windows_that_overlap_and_of_one_that_do_not():
    maps = np.zeros((1, 5, 5, 1))
    maps[0, 2, 2] = 7
    for window, count in ((3, 4), (2, 1)):
        outputs, counts = pooling.winners(maps, window)
        assert outputs.shape == (1, 2, 2, 1)
        assert counts.sum() == counts[0, 2, 2, 0] == count


def test_pooling_in_numpy_is_the_layer_s(small, monkeypatch, capsys):
    monkeypatch.setattr(trained, "trained", lambda count: small)
    maps = np.random.default_rng(0).random((2, 9, 9, 3)).astype("float32")
    for window in (2, 3):
        inputs = keras.Input((9, 9, 3))
        pool = keras.Model(inputs, blocks.max_pool(inputs, window, strides=2, name="pool"))
        np.testing.assert_array_equal(pooling.winners(maps, window)[0], pool(maps))
    rows = answer("pooling", monkeypatch, capsys)
    assert [(row["windows"], row["of_55"], row["of_15"]) for row in rows] == [
        ([3, 3], 27, 7),
        ([2, 2], 27, 7),
    ]
    assert rows[1]["repeated_percent"] == 0 < rows[0]["repeated_percent"]


def test_a_table_shows_the_same_rows_as_json(capsys):
    rows = [{"name": "a", "big_macs": 12_345_678}, {"name": "b", "big_macs": 1_234}]
    answers.show(rows, as_json=False)
    shown = capsys.readouterr().out.split()
    assert shown == ["name", "big", "MACs", "a", "12", "M", "b", "1,234"]
