"""What a precision gains and costs, on the bundled digits: trained in it, and used in it.

Each training runs in a fresh process, in turn with those in the other precision. The network that
was trained in float32 is then used in both, one batch after the other in one process.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerascnn.bench.processes import answer

FLOAT32 = "float32"


@dataclass(frozen=True)
class Precision:
    """What one network did in one precision; speeds are medians.

    Attributes:
        name: the precision.
        training: images per second of all epochs but the first.
        slowest, fastest: of these.
        training_ratio: to float32's.
        trained_error: share of test images that are wrong, of each network trained in it.
        inference: images per second of the networks trained in float32, used in it.
        inference_ratio: to float32's.
        used_error: share of test images that these get wrong, of each.
        agreement: share of test images whose likeliest class is float32's, of each.
    """

    name: str
    training: float
    slowest: float
    fastest: float
    training_ratio: float
    trained_error: tuple[float, ...]
    inference: float
    inference_ratio: float
    used_error: tuple[float, ...]
    agreement: tuple[float, ...]


def measure(
    name: str,
    *,
    precision: str,
    arguments: Mapping[str, Any],
    input_shape: Sequence[int],
    epochs: int | None,
    rounds: int,
) -> list[Precision]:
    """Train and use a network in float32 and in another precision.

    Args:
        name, arguments, input_shape: what is trained, by its own recipe.
        precision: the other one.
        epochs: None: the recipe's.
        rounds: trainings in each; the seed is the round's number.

    Raises:
        KerascnnError: a training failed; with the end of what it said.
    """
    found: dict[str, list[dict[str, Any]]] = {FLOAT32: [], precision: []}
    task: dict[str, Any] = {"name": name, "arguments": dict(arguments), "epochs": epochs}
    task |= {"input_shape": list(input_shape), "other": precision}
    for seed in range(rounds):
        for trained_in, rows in found.items():
            words = json.dumps({**task, "precision": trained_in, "seed": seed})
            what = f"The training of {name} in {trained_in}"
            rows.append(answer("kerascnn.bench.precisions", words, what=what))
    used = [row["used"] for row in found[FLOAT32]]
    trained_at = {one: [x for row in rows for x in row["speeds"]] for one, rows in found.items()}
    used_at = {one: [each[one]["speed"] for each in used] for one in found}
    return [
        Precision(
            name=one,
            training=statistics.median(trained_at[one]),
            slowest=min(trained_at[one]),
            fastest=max(trained_at[one]),
            training_ratio=_ratio(trained_at[one], trained_at[FLOAT32]),
            trained_error=tuple(row["error"] for row in rows),
            inference=statistics.median(used_at[one]),
            inference_ratio=_ratio(used_at[one], used_at[FLOAT32]),
            used_error=tuple(each[one]["error"] for each in used),
            agreement=tuple(each[one]["agreement"] for each in used),
        )
        for one, rows in found.items()
    ]


def _ratio(speeds: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(speeds) / statistics.median(others)


def _trained(
    *,
    name: str,
    arguments: dict[str, Any],
    input_shape: Sequence[int],
    epochs: int | None,
    precision: str,
    other: str,
    seed: int,
) -> dict[str, Any]:
    """One training; that in float32 is then used in both precisions."""
    import io

    import kerascnn
    from kerascnn.console import Console

    height, width, channels = input_shape
    with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
        run = kerascnn.train(
            name,
            "mnist5k",
            arguments=arguments,
            input_shape=(height, width, channels),
            epochs=epochs,
            precision=precision,
            seed=seed,
            record=False,
            strategy="none",
            run=f"{folder}/run",
            console=Console(file=io.StringIO()),
        )
        rows = run.history
        found: dict[str, Any] = {
            "error": run.metrics["test_error"],
            "speeds": [row["images_per_second"] for row in rows[1:] or rows],
        }
        if precision == FLOAT32:
            found["used"] = _used(run, (FLOAT32, other))
    return found


_TURNS = 20
_BATCH = 128


def _used(run: Any, precisions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Of a trained run in each precision: images per second, error, agreement with float32."""
    import numpy as np
    import tensorflow as tf

    from kerascnn.tasks.forward import forward

    (images, _), *_ = run.batches("test", batch_size=_BATCH, echo=None)
    batch = tf.constant(np.asarray(images))
    spec = tf.TensorSpec((None, *batch.shape[1:]), batch.dtype)
    steps = {
        one: forward(run.model(precision=one, echo=None), lambda x: x, spec) for one in precisions
    }
    seconds: dict[str, list[float]] = {one: [] for one in precisions}
    for turn in range(_TURNS + 2):
        for one, step in steps.items():
            began = time.perf_counter()
            step(batch)
            if turn >= 2:  # the first two compile and warm up
                seconds[one].append(time.perf_counter() - began)
    found = {}
    for one in precisions:
        told = run.evaluate(split="test", precision=one, echo=None)
        speed = len(batch) / statistics.median(seconds[one])
        found[one] = {"speed": speed, "error": told["error"], "agreement": told["agreement"]}
    return found


if __name__ == "__main__":
    print(json.dumps(_trained(**json.loads(sys.argv[1]))))
