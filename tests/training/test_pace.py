"""What all workers agree on between two calls of the engine, without any of them there."""

import signal
from types import SimpleNamespace

import numpy as np
import pytest

from kerascnn.distribution.signals import Request, Stopped
from kerascnn.training.pace import Pace, following

ALONE = SimpleNamespace(count=1, sum=lambda values: np.asarray(values, "float64"))


def with_another(*values):
    """Two workers, of which the other one passes `values`."""
    return SimpleNamespace(count=2, sum=lambda own: np.add(own, values))


def test_workers_take_the_mean_of_their_counts_and_end_together():
    assert Pace(with_another(5, 0, 0, 0), Request()).agree(8) == (6, False)
    assert Pace(with_another(0, 0, 0, 0), Request()).agree(1) == (1, False), "at least one step"
    assert Pace(with_another(8, 0, 0, 1), Request()).agree(8) == (8, True)
    assert Pace(ALONE, Request()).agree(3, ended=True) == (3, True)


@pytest.mark.parametrize(
    ("workers", "own", "number"),
    [
        (ALONE, signal.SIGTERM, signal.SIGTERM),
        (ALONE, signal.SIGINT, signal.SIGINT),
        (with_another(1, 1, 0, 0), 0, signal.SIGTERM),
        (with_another(1, 0, 1, 0), signal.SIGTERM, signal.SIGTERM),
    ],
)
def test_a_signal_to_one_worker_stops_all(workers, own, number):
    with pytest.raises(Stopped) as stopped:
        Pace(workers, Request(own)).agree()
    assert stopped.value.number == number


def test_calls_grow_to_a_quarter_of_a_second_but_not_at_once():
    assert following(1, 0.001) == 4
    assert following(100, 0.5) == 50
    assert following(1, 10.0) == 1
