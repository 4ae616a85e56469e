"""The names of strategies, which a run's config.json holds; without TensorFlow."""

from __future__ import annotations

from kerascnn.errors import StrategyError
from kerascnn.files import shortened

NAMES = '"auto", "none", "mirrored", "mirrored:N" or "multiworker"'
KINDS = ("auto", "none", "mirrored", "multiworker")
MOST_REPLICAS = 1024  # of one process; far more than any machine has GPUs


def check_strategy(name: str) -> tuple[str, int | None]:
    """The kind of a strategy, and of "mirrored:N" the number.

    Raises:
        StrategyError: there is no strategy of this name.
    """
    kind, colon, number = name.partition(":")
    if kind not in KINDS or (colon and kind != "mirrored"):
        raise StrategyError(f"strategy must be {NAMES}. Received: {shortened(name)}.")
    if not colon:
        return kind, None
    # More digits than the largest has are not counted: Python refuses thousands of them.
    legal = number.isascii() and number.isdecimal() and len(number) <= len(str(MOST_REPLICAS))
    if not legal or not 1 <= int(number) <= MOST_REPLICAS:
        raise StrategyError(
            f"strategy mirrored:N needs a whole number N from 1 to {MOST_REPLICAS}. "
            f"Received: {shortened(name)}."
        )
    return kind, int(number)
