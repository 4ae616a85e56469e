"""Strategies by name, one object per process.

TensorFlow breaks when a process makes a second strategy with collectives (every later step fails
with a shape mismatch in the collective), so the object lives here and every run reuses it.
"""

from __future__ import annotations

import contextlib
import os
import sys

import tensorflow as tf

from kerascnn.distribution import cluster, doors, signals
from kerascnn.distribution.names import check_strategy
from kerascnn.distribution.watchdog import at_most, follow_launcher
from kerascnn.distribution.workers import Workers
from kerascnn.errors import StrategyError, WorkerError

START_TIMEOUT = "KERASCNN_START_TIMEOUT"  # seconds in which all workers must have started
SECONDS_TO_START = 300.0
SECONDS_TO_END = 60.0  # to save what there is, after the launcher's end

_made: dict[str, tf.distribute.Strategy] = {}


def resolve_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy of a name.

    Args:
        name: "auto" (the workers of TF_CONFIG if it is set, else all visible GPUs if there are
            several, else no strategy), "none", "mirrored" (all GPUs, or the one CPU),
            "mirrored:N" (the first N GPUs; without a GPU, N logical CPU devices, which are for
            tests and demonstrations), or "multiworker" (this process is one of several, see
            `kerascnn.distribution.cluster`, each with all the GPUs that it sees).

    Raises:
        StrategyError: the name is unknown, there are too few devices, this process already uses
            another strategy, or its environment doesn't say which worker it is.
        WorkerError: this worker can't be reached at its address.
    """
    kind, number = check_strategy(name)
    if kind == "multiworker" or (kind == "auto" and os.environ.get(cluster.TF_CONFIG)):
        return _multiworker(cluster.find(os.environ))
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "none" or (kind == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    return _shared(_devices(number or max(1, len(gpus)), bool(gpus)))


def _devices(count: int, on_gpus: bool) -> list[str]:
    if on_gpus:
        found = tf.config.list_logical_devices("GPU")
        if len(found) < count:
            raise StrategyError(
                f"strategy mirrored:{count} needs {count} GPUs. "
                f"Visible: {len(found)}. Use mirrored:{len(found)} or set CUDA_VISIBLE_DEVICES."
            )
        return [f"GPU:{index}" for index in range(count)]
    cpu = tf.config.list_physical_devices("CPU")[0]
    if count > 1 and not tf.config.get_logical_device_configuration(cpu):
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError:
            raise StrategyError(
                f"strategy mirrored:{count} splits the CPU into {count} logical devices, which "
                "must happen before TensorFlow is first used in the process. Restart Python and "
                "train first, or use the command line."
            ) from None
    found = tf.config.list_logical_devices("CPU")
    if len(found) < count:
        raise StrategyError(
            f"strategy mirrored:{count} needs {count} logical CPU devices, but this process was "
            f"started with {len(found)}. Restart Python, or use mirrored:{len(found)}."
        )
    return [f"CPU:{index}" for index in range(count)]


def _shared(devices: list[str]) -> tf.distribute.Strategy:
    key = ",".join(devices)
    if key not in _made:
        _refuse_second("MirroredStrategy", key)
        # The default all-reduce of CPUs can't run inside a loop of steps; NCCL can.
        on_cpu = devices[0].startswith("CPU")
        reduce = tf.distribute.HierarchicalCopyAllReduce() if on_cpu and len(devices) > 1 else None
        _made[key] = tf.distribute.MirroredStrategy(devices, cross_device_ops=reduce)
    return _made[key]


def _multiworker(found: cluster.Cluster) -> tf.distribute.Strategy:
    key = f"worker {found.index} of {', '.join(found.workers)}"
    if key not in _made:
        _refuse_second("MultiWorkerMirroredStrategy", key)
        os.environ[cluster.TF_CONFIG] = found.tf_config
        seconds = _start_timeout()
        follow_launcher(
            SECONDS_TO_END,
            f"Worker {found.index} ends: the `kerascnn launch` that started it is gone.",
        )
        with signals.kept():  # TensorFlow's handler of SIGTERM swallows it
            _made[key] = _started(found, seconds)
    return _made[key]


def _started(found: cluster.Cluster, seconds: float) -> tf.distribute.Strategy:
    """The strategy of this worker, when all workers have found each other.

    Raises:
        StrategyError: it is too late in this process.
        WorkerError: another process uses this worker's port.
    """
    address = found.workers[found.index]
    port = int(address.rpartition(":")[2])
    tied: contextlib.AbstractContextManager[doors.Door] = doors.closed_to_others(port)
    if not doors.only_here(found.workers):
        _warn(found)
        tied = contextlib.nullcontext(doors.Door(closed=True))  # nothing more to say
    late = (
        f"Error: Worker {found.index} has waited {seconds:g} s for the others of "
        f"{', '.join(found.workers)}. Look whether each was started and can be reached; "
        f"{START_TIMEOUT} sets another time-out, in seconds."
    )
    with at_most(seconds, late), tied as door:
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:  # a ValueError would be a mistake of ours
            raise StrategyError(
                f"Worker {found.index} can't start as {address} "
                f"({error}). A strategy with workers must be made before TensorFlow is first "
                "used in a process: use the command line, or train first."
            ) from error
        except tf.errors.OpError as error:
            raise WorkerError(
                f"Worker {found.index} can't start as {address} "
                f"({error.message}). Perhaps another process uses that port: choose another, "
                "or start again with `kerascnn launch`, which takes free ones."
            ) from None
    if not door.closed:
        _warn(found)
    return strategy


def _warn(found: cluster.Cluster) -> None:
    """Say, once for the job, what its servers expose."""
    if not found.index:
        print(doors.warning(found.workers), file=sys.stderr)


def _refuse_second(kind: str, key: str) -> None:
    if _made:
        raise StrategyError(
            f"TensorFlow allows one {kind} in a process. This one already uses "
            f"{next(iter(_made))}. Received: {key}. Start another process."
        )


def _start_timeout() -> float:
    text = os.environ.get(START_TIMEOUT, "")
    try:
        seconds = float(text or SECONDS_TO_START)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise StrategyError(f"{START_TIMEOUT} must be seconds. Received: {text!r}.")
    return seconds


def distributed(strategy: tf.distribute.Strategy) -> bool:
    """Whether the strategy keeps the variables of several devices alike."""
    return isinstance(
        strategy, (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
    )


def describe(strategy: tf.distribute.Strategy) -> str:
    """Such as "MirroredStrategy on 2 CPUs" or "one GPU"."""
    if distributed(strategy):
        devices = strategy.extended.worker_devices
        kind = "GPU" if "GPU" in devices[0] else "CPU"
        each = f"{len(devices)} {kind}{'s' if len(devices) > 1 else ''}"
        workers = Workers(strategy).count
        return f"{f'{workers} workers, each' if workers > 1 else 'MirroredStrategy'} on {each}"
    return "one GPU" if tf.config.list_physical_devices("GPU") else "the CPU"


def is_chief() -> bool:
    """Whether this process is the one that writes and prints: all are but a job's other workers."""
    return all(Workers(strategy).chief for strategy in _made.values())
