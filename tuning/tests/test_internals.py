"""The KerasTuner that is installed is the one whose private hooks are known."""

import keras_tuner
import pytest
from kerascnn_tuning import internals


def test_another_keras_tuner_is_refused(monkeypatch):
    monkeypatch.setattr(keras_tuner, "__version__", "1.5.0")
    with pytest.raises(internals.IncompatibleKerasTunerError, match=r"needs keras-tuner==1\.4\.8"):
        internals.check()
