"""Goldens that other people's implementations made; how is in each json."""

import json
from pathlib import Path

import numpy as np
import pytest

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(scope="session")
def golden():
    """`golden(name)`: facts, and arrays by their names."""

    def read(name):
        facts = json.loads((GOLDENS / f"{name}.json").read_text("utf-8"))
        with np.load(GOLDENS / f"{name}.npz") as arrays:
            return facts, dict(arrays)

    return read


@pytest.fixture(scope="session")
def case(golden):
    """`case(name, **of_it)`: the one case of a golden that has these values, and the arrays."""

    def find(name, /, **of_it):
        facts, arrays = golden(name)
        (one,) = [c for c in facts["cases"] if all(c[key] == v for key, v in of_it.items())]
        return one, arrays

    return find
