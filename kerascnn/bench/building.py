"""Seconds to build a model, random weights included, against keras.applications."""

from __future__ import annotations

from kerascnn.bench.networks import KERAS
from kerascnn.bench.rounds import Contestant, Measured, Step, race


def measure(name: str, *, rounds: int) -> list[Measured]:
    """Ours first; keras.applications where it has the network. The first step includes imports."""
    found = [Contestant("kerascnn", "kerascnn.bench.building:ours", {"name": name})]
    if name in KERAS:
        make = "kerascnn.bench.building:keras_applications"
        found.append(Contestant("keras.applications", make, {"name": name}))
    return race(found, rounds=rounds, warm_up=0)


def ours(name: str) -> Step:
    """`kerascnn.create`."""
    from kerascnn import catalogue

    return lambda: _forget(catalogue.create(name))


def keras_applications(name: str) -> Step:
    """The function in keras.applications."""
    import keras

    return lambda: _forget(getattr(keras.applications, KERAS[name])(weights=None))


def _forget(model: object) -> None:
    """Free the model, so that builds don't add up."""
    import gc

    del model
    gc.collect()
