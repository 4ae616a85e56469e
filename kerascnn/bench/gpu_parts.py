"""What a GPU is asked before any race: whether its results are right, and whether it waits."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kerascnn.bench.data import write_photographs
from kerascnn.bench.networks import images
from kerascnn.bench.processes import answer
from kerascnn.bench.training import prepared
from kerascnn.errors import KerascnnError
from kerascnn.recipes.recipe import Augmentation, Recipe

TRAINED = (("lenet5", (32, 32, 1)), ("resnet20_cifar", (32, 32, 3)))
ANSWERED = (
    *(("resnet50", (96, 96, 3)), ("densenet121", (96, 96, 3))),
    *(("vgg16_bn", (96, 96, 3)), ("googlenet_bn", (96, 96, 3))),
)
PHOTOGRAPHS, COPIES = 256, 8  # files, and how often each is there: decoding is the work


def part(name: str) -> list[dict[str, Any]]:
    """What one of `PARTS` finds, in a process of its own.

    Raises:
        KerascnnError: the process failed; with the end of what it said.
    """
    share = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return answer("kerascnn.bench.gpu_parts", name, what=f"The part {name}", environment=share)


def card() -> dict[str, Any]:
    """The first GPU that TensorFlow sees: its name and its compute capability.

    Raises:
        KerascnnError: there is none.
    """
    if not (found := part("device")):
        raise KerascnnError(
            "TensorFlow sees no GPU here; `kerascnn bench train` measures processors. On Linux "
            'with an NVIDIA card: pip install "kerascnn[cuda]".'
        )
    return found[0]


def device() -> Iterator[dict[str, str]]:
    """What there is to know of the first GPU; nothing if there is none."""
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU")[:1]:
        details = tf.config.experimental.get_device_details(gpu)
        capability = ".".join(str(part) for part in details.get("compute_capability", ()))
        yield {"card": details.get("device_name", gpu.name), "compute_capability": capability}


@dataclass(frozen=True)
class Reading:
    """A training from files.

    Attributes:
        precision: of `kerascnn.train`.
        images_per_second: of an epoch's updates; median without the first.
        waiting: share of their time in which the GPU had no batch yet.
    """

    precision: str
    images_per_second: float
    waiting: float


@dataclass(frozen=True)
class Check:
    """How far the GPU's results are from the CPU's, or from its own.

    Attributes:
        what: compared.
        difference: the largest, over the largest value compared; 0: bit for bit.
        allowed: the bound that says whether it is right.
    """

    what: str
    difference: float
    allowed: float


def checks() -> Iterator[Check]:
    """Outputs, and losses of 20 updates, on the GPU against the CPU's, without TF32."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
    for name, shape in ANSWERED:
        with tf.device("/CPU:0"):
            wanted = _answers(name, shape)
        yield Check(f"outputs of {name}", _difference(_answers(name, shape), wanted), 1e-4)
    for name, shape in TRAINED:
        with tf.device("/CPU:0"):
            wanted = _losses(name, shape)
        for how, jit, strategy in (
            ("", False, "none"),
            (", XLA", True, "none"),
            (", mirrored:1", False, "mirrored:1"),
        ):
            found = _losses(name, shape, jit=jit, strategy=strategy)
            yield Check(f"losses of {name}{how}", _difference(found, wanted), 1e-3)
        again = _losses(name, shape, jit=True)
        yield Check(f"losses of {name}, XLA, again", _difference(again, wanted), 1e-3)


def resumed() -> Iterator[Check]:
    """The weights of a LeNet-5 after two epochs, at once against one after the other.

    TensorFlow is told to compute the same each time.
    """
    import numpy as np
    import tensorflow as tf

    import kerascnn
    from kerascnn.console import Console

    tf.config.experimental.enable_op_determinism()
    console = Console(file=io.StringIO())
    with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
        whole, parts = Path(folder) / "whole", Path(folder) / "parts"
        wanted = kerascnn.train("lenet5", "mnist5k", epochs=2, run=whole, console=console)
        with contextlib.suppress(KeyboardInterrupt):
            kerascnn.train(
                "lenet5",
                "mnist5k",
                epochs=2,
                run=parts,
                console=console,
                callbacks=[_interruption()],
            )
        found = kerascnn.resume(parts, console=console)
        ours, theirs = (
            np.concatenate([w.numpy().ravel() for w in run.model().weights])
            for run in (found, wanted)
        )
    yield Check("weights of lenet5, interrupted and resumed", _difference(ours, theirs), 0.0)


def _interruption() -> Any:
    """A callback that interrupts the second epoch."""
    import keras

    class Interruption(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                signal.raise_signal(signal.SIGINT)

    return Interruption()


def reading() -> Iterator[Reading]:
    """Train ResNet-50 from a folder of JPEG files, as `kerascnn train` does it."""
    import kerascnn
    from kerascnn.console import Console

    with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
        photographs = Path(folder) / "photographs"
        photographs.mkdir()
        write_photographs(photographs, PHOTOGRAPHS)
        for path in list(photographs.glob("*/*.jpg")):
            for copy in range(1, COPIES):
                shutil.copy(path, path.with_stem(f"{path.stem}-{copy}"))
        for precision in ("float32", "mixed_bfloat16"):
            run = kerascnn.train(
                "resnet50",
                f"folder:{photographs}",
                recipe=Recipe(
                    batch_size=128, epochs=4, augmentation=Augmentation(canvas=256 / 224, flip=True)
                ),
                precision=precision,
                record=False,
                run=Path(folder) / precision,
                console=Console(file=io.StringIO()),
            )
            later = run.history[1:]
            yield Reading(
                precision=precision,
                images_per_second=statistics.median(row["images_per_second"] for row in later),
                waiting=statistics.median(row["input_wait"] for row in later),
            )


def _answers(name: str, shape: tuple[int, int, int]) -> Any:
    """Scores `[16, classes]` of first weights."""
    import keras
    import tensorflow as tf

    from kerascnn import catalogue

    keras.utils.set_random_seed(0)
    model = catalogue.create(name, input_shape=shape, classifier_activation=None)
    return tf.function(lambda inputs: model(inputs, training=False))(images(16, shape)).numpy()


def _losses(
    name: str, shape: tuple[int, int, int], *, jit: bool = False, strategy: str = "none"
) -> Any:
    """Those of 20 updates, the first of first weights."""
    import numpy as np

    engine, batches = prepared(name, 16, shape, jit=jit, strategy=strategy)
    return np.array([engine.update(batches, 1).mean_loss for _ in range(20)])


def _difference(found: Any, wanted: Any) -> float:
    import numpy as np

    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


PARTS: Mapping[str, Callable[[], Any]] = {
    "device": device,
    "checks": checks,
    "resumed": resumed,
    "reading": reading,
}

if __name__ == "__main__":
    found = [row if isinstance(row, dict) else asdict(row) for row in PARTS[sys.argv[1]]()]
    print(json.dumps(found))
