"""What a GPU gives: right results first, then speed against Keras's `fit` and torchvision.

Each race is between processes that share the GPU, start together and take turns. A plan of races,
the most telling first, is gone through until the time is up; what was not run is said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kerascnn.bench.networks import (
    KERAS,
    TORCHVISION,
    images,
    installed,
    torch_autocast,
    torch_network,
)
from kerascnn.bench.rounds import Contestant, Measured, Step, race
from kerascnn.bench.training import MOMENTUM, RATE, prepared

SHAPE = (224, 224, 3)
UPDATES = 10  # of each turn: a call of many updates is what a training does
OURS = "kerascnn"


@dataclass(frozen=True)
class Race:
    """Who does what against whom.

    Attributes:
        work: "train" or "predict".
        network: an architecture.
        batch_size: images.
        precision: of `kerascnn.train`.
    """

    work: str
    network: str
    batch_size: int
    precision: str

    @property
    def title(self) -> str:
        """Such as "train resnet50, batch 128, float32"."""
        return f"{self.work} {self.network}, batch {self.batch_size}, {self.precision}"

    def contestants(self, against: Sequence[str]) -> list[Contestant]:
        """Ours with and without XLA, and the peers that have the network."""
        work, module = self.work, "kerascnn.bench.gpu"
        given = {
            "name": self.network,
            "batch_size": self.batch_size,
            "precision": self.precision,
        }
        ways = [(f"{OURS}, XLA", "ours", True), (f"{OURS}, no XLA", "ours", False)]
        if "keras" in against and self.network in KERAS:
            ways += [("keras fit, XLA", "keras", True), ("keras fit, no XLA", "keras", False)]
        if "torchvision" in against and self.network in TORCHVISION and installed("torchvision"):
            ways += [("torchvision", "torch", False), ("torchvision, compile", "torch", True)]
        return [
            Contestant(label, f"{module}:{work}_{who}", {**given, "compiled": compiled})
            for label, who, compiled in ways
        ]


@dataclass(frozen=True)
class Row:
    """One contestant of one race.

    Attributes:
        work, network, batch_size, precision: see `Race`.
        contestant: who.
        images_per_second, slowest, fastest: median and extremes of the turns.
        first_step: seconds from the start of the process to the end of its first step.
        gpu_memory: most bytes of the GPU that its tensors held.
    """

    work: str
    network: str
    batch_size: int
    precision: str
    contestant: str
    images_per_second: float
    slowest: float
    fastest: float
    first_step: float
    gpu_memory: int


PLAN = (
    Race("train", "resnet50", 128, "mixed_bfloat16"),
    Race("train", "resnet50", 128, "float32"),
    Race("predict", "resnet50", 128, "mixed_bfloat16"),
    Race("train", "resnet50", 128, "mixed_float16"),
    Race("predict", "resnet50", 128, "float32"),
    Race("train", "densenet121", 64, "mixed_bfloat16"),
    Race("train", "vgg16", 64, "mixed_bfloat16"),
    Race("train", "resnet50", 64, "mixed_bfloat16"),
    Race("train", "resnet50", 256, "mixed_bfloat16"),
)


def run(
    plan: Sequence[Race],
    *,
    against: Sequence[str],
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> Iterator[list[Row]]:
    """The rows of one race after the other; none of a contestant that failed.

    Args:
        plan: races in order.
        against: the peers that are wanted, of "keras" and "torchvision".
        rounds: turns of each contestant.
        seconds: no race is begun that would end later, if it took as long as the longest so far.
        tell: is called with what is being done, what failed and what was left out.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # the contestants share its memory
    ends, longest = time.monotonic() + seconds, 0.0
    for one in plan:
        began = time.monotonic()
        if began + longest > ends:
            tell(f"Not run, as the time was up: {one.title}.")
            continue
        tell(f"{one.title} ...")
        found = race(one.contestants(against), rounds=rounds, together=True, failed=tell)
        longest = max(longest, time.monotonic() - began)
        yield [_row(one, measured) for measured in found]


def _row(one: Race, measured: Measured) -> Row:
    done = UPDATES * one.batch_size
    return Row(
        work=one.work,
        network=one.network,
        batch_size=one.batch_size,
        precision=one.precision,
        contestant=measured.name,
        images_per_second=done / measured.seconds,
        slowest=done / measured.slowest,
        fastest=done / measured.fastest,
        first_step=measured.first_step,
        gpu_memory=measured.gpu_memory,
    )


def train_ours(name: str, batch_size: int, precision: str, compiled: bool) -> Step:
    """Updates of the loop behind `kerascnn train`."""
    engine, batches = prepared(name, batch_size, SHAPE, precision=precision, jit=compiled)

    def step() -> None:
        engine.update(batches, UPDATES)

    return step


def train_keras(name: str, batch_size: int, precision: str, compiled: bool) -> Step:
    """`fit` on a dataset that is there already."""
    import keras
    import numpy as np
    import tensorflow as tf

    model = _keras_model(name, precision)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE, MOMENTUM), loss, jit_compile=compiled)
    batch = images(batch_size, SHAPE), np.zeros(batch_size, "int32")
    data = tf.data.Dataset.from_tensors(batch).repeat().prefetch(tf.data.AUTOTUNE)

    def step() -> None:
        model.fit(data, steps_per_epoch=UPDATES, verbose=0)

    return step


def train_torch(name: str, batch_size: int, precision: str, compiled: bool) -> Step:
    """The usual step with autocast, channels_last, and the batch copied from pinned memory."""
    import torch

    model, copy = _torch_parts(name, batch_size)
    model.train()
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM)
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "mixed_float16")
    labels = torch.zeros(batch_size, dtype=torch.long, device="cuda")

    def update() -> Any:
        optimizer.zero_grad(set_to_none=True)
        batch = copy()
        with torch_autocast(precision, "cuda"):
            loss = torch.nn.functional.cross_entropy(forward(batch), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    def step() -> None:
        total = sum(update().detach() for _ in range(UPDATES))
        total.item()

    return step


def predict_ours(name: str, batch_size: int, precision: str, compiled: bool) -> Step:
    """The forward pass that `Run.predict` runs, one batch after the other."""
    import tensorflow as tf

    from kerascnn import catalogue
    from kerascnn.precision import in_precision

    with in_precision(precision):
        model = catalogue.create(name, input_shape=SHAPE, classifier_activation=None)
    batch = images(batch_size, SHAPE)
    forward = tf.function(lambda inputs: model(inputs, training=False), jit_compile=compiled)

    def step() -> None:
        for _ in range(UPDATES):
            forward(batch).numpy()

    return step


def predict_keras(name: str, batch_size: int, precision: str, compiled: bool) -> Step:
    """`predict` on all images at once."""
    import tensorflow as tf

    model = _keras_model(name, precision)
    model.compile(jit_compile=compiled)
    batch = images(batch_size, SHAPE)
    data = tf.data.Dataset.from_tensors(batch).repeat(UPDATES).prefetch(tf.data.AUTOTUNE)

    def step() -> None:
        model.predict(data, verbose=0)

    return step


def predict_torch(name: str, batch_size: int, precision: str, compiled: bool) -> Step:
    """The usual forward pass in inference mode, answers copied back."""
    import torch

    model, copy = _torch_parts(name, batch_size)
    model.eval()
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        with torch.inference_mode(), torch_autocast(precision, "cuda"):
            for _ in range(UPDATES):
                forward(copy()).float().cpu()

    return step


def _keras_model(name: str, precision: str) -> Any:
    import keras

    keras.config.set_dtype_policy(precision)
    make = getattr(keras.applications, KERAS[name])
    return make(weights=None, input_shape=SHAPE, classifier_activation=None)


def _torch_parts(name: str, batch_size: int) -> tuple[Any, Callable[[], Any]]:
    """A network on the GPU, and what copies a batch there."""
    import torch

    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # TF32, as TensorFlow has it
    torch.backends.cudnn.allow_tf32 = True
    model = torch_network("torchvision", name).to("cuda", memory_format=torch.channels_last)
    batch = torch.from_numpy(images(batch_size, SHAPE)).pin_memory()
    return model, lambda: batch.to("cuda", non_blocking=True).permute(0, 3, 1, 2)
