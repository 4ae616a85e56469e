"""How much memory a training has needed."""

from __future__ import annotations

import resource
import sys

import tensorflow as tf

GIB = 2**30


def peak_memory() -> dict[str, float]:
    """Device → the most memory in use so far, in GiB.

    Of each GPU what TensorFlow has given to tensors. Without a GPU of the whole process, as the
    operating system counts it: TensorFlow doesn't count a CPU's.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"process": size * (1 if sys.platform == "darwin" else 1024) / GIB}
    names = [gpu.name.rpartition("device:")[2] for gpu in gpus]
    return {name: tf.config.experimental.get_memory_info(name)["peak"] / GIB for name in names}
