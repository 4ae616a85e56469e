"""The HyperModel in KerasTuner's own tuners: budgets, labels, executions, saved models."""

import subprocess
import sys

import keras
import keras_tuner
import numpy as np
import pytest
from kerascnn_tuning import HyperModel, Plan
from kerascnn_tuning.losses import LabelAccuracy, LabelLoss

from kerascnn.errors import ArgumentError

IMAGES = np.random.default_rng(0).normal(size=(20, 32, 32, 1)).astype("float32")
NUMBERS = np.arange(20) % 10
ONE_HOT = np.eye(10, dtype="float32")[NUMBERS]
TIGHT = Plan(architecture="lenet5", max_params=9_000, fix={"hidden": (16,)})  # default: 12,890


@pytest.fixture
def tune(tmp_path):
    """`tune(model, labels, tuner, ...)` → the tuner, after its search."""

    def search(model, labels, tuner=keras_tuner.RandomSearch, objective="loss", **options):
        found = tuner(model, objective=objective, directory=tmp_path, seed=1, **options)
        found.search(IMAGES, labels, epochs=1, verbose=0)
        return found

    return search


@pytest.mark.slow
def test_a_budget_below_the_default_network_works_in_a_stock_tuner(tune):
    # The constructor builds the default; three refused trials in a row stopped the search.
    model = HyperModel(TIGHT)
    assert model.problem.refusal({}) is not None
    found = tune(model, NUMBERS, max_trials=4)
    trials = found.oracle.trials.values()
    assert [trial.status for trial in trials] == ["COMPLETED"] * 4
    # What is recorded is what was trained.
    assert all(model.problem.refusal(t.hyperparameters.values) is None for t in trials)
    best = found.get_best_hyperparameters()[0].values
    cost = model.problem.network(model.problem.configuration(best).arguments).cost()
    assert found.get_best_models()[0].count_params() == cost.params <= 9_000


def test_a_budget_that_nothing_keeps_is_refused_at_once():
    with pytest.raises(ArgumentError, match=r"within the budget.*over the budget of 10"):
        HyperModel(Plan(architecture="lenet5", max_params=10))


def test_smaller_values_change_the_network_alone():
    problem = HyperModel(TIGHT).problem
    values = {p.name: p.searched()[-1] for p in problem.space.scalars() if p.search}
    found = problem.smaller(values)
    assert problem.refusal(values) is not None
    assert problem.refusal(found) is None
    training = problem.recipe.space()
    kept = {name: value for name, value in found.items() if name in training}
    assert len(kept) >= 4
    assert kept == pytest.approx({name: values[name] for name in kept}, rel=1e-5)


def test_executions_have_seeds_of_their_own(tune, monkeypatch):
    found, fit = [], keras.Model.fit

    def seen(self, *args, **options):
        found.append(float(np.sum(self.get_weights()[0])))
        return fit(self, *args, **options)

    monkeypatch.setattr(keras.Model, "fit", seen)
    plan = Plan(architecture="lenet5", only=("kernel",), fix={"hidden": (16,)})
    tune(HyperModel(plan), ONE_HOT, max_trials=1, executions_per_trial=2)
    assert len(found) == len(set(found)) == 2


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998"])
def test_a_saved_model_loads_and_evaluates_as_before(name, tmp_path):
    model = HyperModel(name).build(keras_tuner.HyperParameters())
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for labels in (NUMBERS, ONE_HOT):
        before, after = (m.evaluate(IMAGES, labels, verbose=0) for m in (model, again))
        assert before == pytest.approx(after)


def test_a_saved_model_loads_in_another_process_that_has_imported_kerascnn_tuning(tmp_path):
    HyperModel("lenet5").build(keras_tuner.HyperParameters()).save(tmp_path / "m.keras")
    code = (
        "import kerascnn_tuning, keras, sys\n"
        "print(type(keras.models.load_model(sys.argv[1]).loss).__name__)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.keras")]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "LabelLoss"


def test_loss_and_accuracy_are_keras_own():
    logits = np.random.default_rng(1).normal(size=(20, 10)).astype("float32")
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(NUMBERS, logits)
    for labels in (NUMBERS, NUMBERS[:, None], ONE_HOT):
        assert float(LabelLoss(10)(labels, logits)) == pytest.approx(float(expected), rel=1e-5)
        accuracy = LabelAccuracy(10)
        accuracy.update_state(labels, logits)
        share = np.mean(np.argmax(logits, 1) == NUMBERS)
        assert float(accuracy.result()) == pytest.approx(share)
    smooth = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    ours = LabelLoss(10, label_smoothing=0.1)(NUMBERS, logits)
    assert float(ours) == pytest.approx(float(smooth(ONE_HOT, logits)), rel=1e-5)
