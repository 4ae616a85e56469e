"""Weights that goldens were computed with elsewhere, rebuilt from names and shapes."""

import zlib

import numpy as np


def synthetic(name, shape, kind, fan_in=1):
    """A value for every parameter from its name and shape alone.

    The goldens were computed elsewhere from the same numbers; NumPy freezes RandomState's streams.
    `kind`: kernel, bias, gamma, beta, mean or var; `fan_in`: inputs of one output.
    """
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype("float32")
    if kind == "kernel":
        return z * np.float32(np.sqrt(2.0 / fan_in))
    if kind == "gamma":
        return 1 + np.float32(0.1) * z
    if kind == "var":
        return np.abs(1 + np.float32(0.1) * z)
    return np.float32(0.1) * z
