"""Classifier keeps scikit-learn's contract, and does what estimators are used for."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import kerascnn
from kerascnn.sklearn import Classifier

SMALL = {"widths": (4, 8), "hidden": (16,)}


def classifier(**changed):
    """A LeNet-5 of a few weights."""
    settings = {"arguments": SMALL, "epochs": 3, "learning_rate": 1e-2, "batch_size": 16}
    return Classifier("lenet5", **(settings | changed))


@pytest.fixture(scope="module")
def digits():
    """Three kinds of scikit-learn's digits: rows of 64 numbers from 0 to 16, and their names."""
    found = load_digits(n_class=3)
    return found.data[:240], np.array(["zero", "one", "two"])[found.target[:240]]


@pytest.fixture(scope="module")
def fitted(digits):
    rows, names = digits
    return classifier().fit(rows[:180], names[:180])


def test_rows_of_numbers_are_told_apart_by_name(fitted, digits):
    rows, names = digits
    assert fitted.image_shape_ == (8, 8, 1)
    assert fitted.value_range_ == (0, 16)
    assert list(fitted.classes_) == ["one", "two", "zero"]
    assert fitted.score(rows[180:], names[180:]) > 0.9
    assert fitted.predict_proba(rows[180:]).sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_images_are_the_same_as_rows(fitted, digits):
    rows, _ = digits
    images = rows[:8].reshape(8, 8, 8)
    expected = fitted.predict_proba(rows[:8])
    for shaped in (images, images[..., None]):
        # The second axis is the features' in scikit-learn: 8 here, and 64 there.
        with pytest.raises(ValueError, match="features"):
            fitted.predict_proba(shaped)
    on_images = classifier().fit(rows[:180].reshape(-1, 8, 8, 1), digits[1][:180])
    assert on_images.predict_proba(images) == pytest.approx(expected, abs=1e-5)


def test_a_pickle_predicts_the_same(fitted, digits):
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(digits[0][:8]), fitted.predict_proba(digits[0][:8]))


def test_it_is_validated_and_searched(digits):
    rows, names = digits
    small = classifier(epochs=1)
    assert len(cross_val_score(small, rows, names, cv=2)) == 2
    found = GridSearchCV(small, {"epochs": [1, 3]}, cv=2, refit=False).fit(rows, names)
    assert found.best_params_ == {"epochs": 3}
    assert clone(small).get_params() == small.get_params()


def test_what_is_held_out_chooses_the_best_epoch(digits):
    recipe = kerascnn.Recipe(epochs=2, batch_size=16, keep="best")
    with pytest.raises(ValueError, match="validation"):
        classifier(recipe=recipe).fit(*digits)
    fitted = classifier(recipe=recipe, validation_fraction=0.25).fit(*digits)
    assert fitted.config_.data.sizes == {"train": 180, "validation": 60, "test": 0}


def test_what_is_no_square_is_said(digits):
    rows, names = digits
    with pytest.warns(UserWarning, match=r"63 numbers are no square.*8×8.*image_shape="):
        assert classifier(epochs=1).fit(rows[:, :63], names).image_shape_ == (8, 8, 1)
    with pytest.raises(ValueError, match=r"image_shape \(4, 4, 1\) has 16 numbers.*rows of 64"):
        classifier(image_shape=(4, 4, 1)).fit(rows, names)
    with pytest.raises(ValueError, match=r"value_range must be.*Received: \(1, 0\)"):
        classifier(value_range=(1, 0)).fit(rows, names)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    """In a process that finds none: see tests/conftest.py."""
    ended = subprocess.run(
        [sys.executable, "-c", "import kerascnn; kerascnn.sklearn; kerascnn.sklearn.Classifier"],
        capture_output=True,
        text=True,
    )
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: kerascnn.sklearn needs scikit-learn")
    assert 'pip install "kerascnn[sklearn]"' in last


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Rows of:UserWarning")
@parametrize_with_checks([classifier(epochs=30, precision="float64")])
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)
