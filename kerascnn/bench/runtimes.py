"""A network in the runtimes that exported files are for: speed, size, error, side by side.

Every contestant answers for the same batch in a process of its own, in turn. A run's files are also
given its test images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn import processors
from kerascnn.bench.rounds import Contestant, Measured, Step, race
from kerascnn.errors import ArgumentError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from kerascnn.runs.run import Run

FORMATS: Mapping[str, str] = {"onnx": "onnx", "litert": "litert", "openvino": "onnx"}
"""Runtime → the format of the file that it is given."""

PACKAGES: Mapping[str, str] = {
    "onnx": "onnxruntime",
    "litert": "ai_edge_litert",
    "openvino": "openvino",
}
FLOAT32, INT8 = "float32", "int8"
CLASSIFICATION = "classification"
REPEATS = 5  # batches in a turn, as one of a small network is done before a clock can tell

Answer = Callable[[Any], Any]
"""From a batch of the network's input to its first output, `[batch, classes]`, as arrays."""


@dataclass(frozen=True)
class Served:
    """What one runtime did with one network.

    Attributes:
        network, contestant: what, and in which runtime and precision.
        images_per_second: median.
        slowest, fastest: images per second.
        ratio: its speed to kerascnn's own in float32.
        first_step: seconds from the start of the process to the end of the first step.
        peak_memory: bytes.
        size: of the file, in bytes.
        error: share of the run's test images that are wrong; None: it wasn't a run.
        agreement: share of them whose likeliest class is kerascnn's in float32.
    """

    network: str
    contestant: str
    images_per_second: float
    slowest: float
    fastest: float
    ratio: float
    first_step: float
    peak_memory: int
    size: int
    error: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class _File:
    """A file that takes part.

    Attributes:
        label: what the table calls it.
        runtime: "kerascnn" or one of `FORMATS`.
        precision: what it computes in.
        path: where it is.
    """

    label: str
    runtime: str
    precision: str
    path: Path


def measure(
    subject: Run | str,
    *,
    runtimes: Sequence[str],
    precisions: Sequence[str],
    quantize: bool,
    data: str | None,
    batch_size: int,
    rounds: int,
    input_shape: tuple[int, int, int] | None = None,
) -> list[Served]:
    """Export a network for each runtime, and race the files.

    Args:
        subject: a run, or an architecture's name, of which the first weights are taken.
        runtimes: of `FORMATS`.
        precisions: of kerascnn's own network and, besides float32, of OpenVINO, which computes a
            file in bfloat16 that is in float32.
        quantize: also in int8.
        data: where images for int8 are from; None: the run's training images, and of a name noise.
        batch_size: images in a step.
        rounds: steps of each contestant.
        input_shape: `(height, width, channels)` of a name's; None: the network's own.

    Raises:
        ArgumentError: it isn't a classifier.
        ExportError: a package is missing, or a file answers otherwise than the network.
        DataError: there are no such images.
    """
    from kerascnn import quantizing
    from kerascnn.bench.networks import images as noise
    from kerascnn.catalogue import get

    task = get(subject).task if isinstance(subject, str) else subject.config.task
    if task != CLASSIFICATION:
        raise ArgumentError(
            f"--runtime compares classifiers, by their likeliest class. Received: {subject}, which "
            f"is for {task}."
        )
    if isinstance(subject, str):
        network = get(subject).network(input_shape=input_shape)
        model, name = network.model(), subject
        calibration = noise(quantizing.IMAGES, model.input_shape[1:])
        if data is not None:
            calibration = quantizing.of_source(data, network, network.preprocessing)
    else:
        model, name = subject.model(precision=FLOAT32), str(subject.path)
        calibration = quantizing.of_run(subject, data, lambda line: None)
    with tempfile.TemporaryDirectory(prefix="kerascnn-bench-") as folder:
        files = _files(model, Path(folder), runtimes, precisions, calibration if quantize else None)
        batch = noise(batch_size, model.input_shape[1:])
        racers = [_contestant(one, batch.shape) for one in files]
        found = race(racers, rounds=rounds)
        rows = [_row(name, one, m, found[0], batch_size * REPEATS) for one, m in zip(files, found)]
        if isinstance(subject, str):
            return rows
        judged = _judged(subject, files)
    return [
        replace(row, error=error, agreement=agreement)
        for row, (error, agreement) in zip(rows, judged)
    ]


def _files(
    model: keras.Model,
    folder: Path,
    runtimes: Sequence[str],
    precisions: Sequence[str],
    calibration: np.ndarray | None,
) -> list[_File]:
    """Ours in each precision, and each runtime's."""
    from kerascnn import exporting

    model.save(folder / "model.keras")
    files = [
        _File(f"kerascnn, {one}", "kerascnn", one, folder / "model.keras")
        for one in dict.fromkeys((FLOAT32, *precisions))
    ]
    made: dict[tuple[str, str], Path] = {}
    for runtime in runtimes:
        kinds = [FLOAT32] if calibration is None else [FLOAT32, INT8]
        if runtime == "openvino" and "mixed_bfloat16" in precisions:
            kinds.insert(1, "mixed_bfloat16")
        for kind in kinds:
            key = FORMATS[runtime], INT8 if kind == INT8 else FLOAT32
            if key not in made:
                images = calibration if kind == INT8 else None
                path = folder / "-".join(key)
                made[key] = exporting.export(model, path, key[0], calibration=images).path
            files.append(_File(f"{runtime}, {kind}", runtime, kind, made[key]))
    return files


def _contestant(file: _File, shape: Sequence[int]) -> Contestant:
    arguments = {"path": str(file.path), "precision": file.precision, "shape": list(shape)}
    return Contestant(
        file.label,
        "kerascnn.bench.runtimes:answering",
        {**arguments, "runtime": file.runtime},
    )


def _row(name: str, file: _File, m: Measured, ours: Measured, images: int) -> Served:
    return Served(
        network=name,
        contestant=file.label,
        images_per_second=images / m.seconds,
        slowest=images / m.slowest,
        fastest=images / m.fastest,
        ratio=ours.seconds / m.seconds,
        first_step=m.first_step,
        peak_memory=m.peak_memory,
        size=file.path.stat().st_size,
    )


def _judged(run: Run, files: Sequence[_File]) -> list[tuple[float, float]]:
    """Of each file the error on the run's test images, and the agreement with the first file."""
    import numpy as np

    size = 64
    answers = [OPENERS[one.runtime](str(one.path), one.precision) for one in files]
    likeliest: list[list[np.ndarray]] = [[] for _ in files]
    labels = []
    for images, targets in run.batches("test", batch_size=size, echo=None):
        labels.append(np.asarray(targets))
        given = np.asarray(images)
        for answer, said in zip(answers, likeliest):
            said.append(answer(given).argmax(-1))
    right, first = np.concatenate(labels), np.concatenate(likeliest[0])
    return [
        (float((one != right).mean()), float((one == first).mean()))
        for one in map(np.concatenate, likeliest)
    ]


def answering(path: str, runtime: str, precision: str, shape: Sequence[int]) -> Step:
    """A contestant: its answers to a batch of noise, `REPEATS` times."""
    from kerascnn.bench.networks import images

    batch = images(shape[0], shape[1:])
    answer = OPENERS[runtime](path, precision)

    def step() -> None:
        for _ in range(REPEATS):
            answer(batch)

    return step


def _ours(path: str, precision: str) -> Answer:
    """The graph that `kerascnn predict` runs."""
    import tensorflow as tf

    from kerascnn.precision import with_precision
    from kerascnn.saving import load_model
    from kerascnn.tasks.forward import forward

    model = with_precision(load_model(path), precision)
    spec = tf.TensorSpec((None, *model.input_shape[1:]), "float32")
    return forward(model, lambda images: images, spec)


def _onnx(path: str, precision: str) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def _litert(path: str, precision: str) -> Answer:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=processors.available())
    place = interpreter.get_input_details()[0]["index"]

    def answer(images: Any) -> Any:
        if tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
            interpreter.resize_tensor_input(place, images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(place, images)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return answer


def _openvino(path: str, precision: str) -> Answer:
    import openvino

    # What it takes if it isn't told is bfloat16 where the processor has it.
    hint = "bf16" if precision == "mixed_bfloat16" else "f32"
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    return lambda images: compiled(images)[0]


OPENERS: Mapping[str, Callable[[str, str], Answer]] = {
    "kerascnn": _ours,
    "onnx": _onnx,
    "litert": _litert,
    "openvino": _openvino,
}
"""Runtime → from a file and a precision to what answers."""


def check_runtime(runtime: str) -> None:
    """Refuse a runtime that isn't known or installed.

    Raises:
        ArgumentError: says which are known, or what to install.
    """
    import importlib.util

    if runtime not in FORMATS:
        raise ArgumentError(
            f"--runtime must be one of {', '.join(FORMATS)}. Received: {runtime!r}."
        )
    if importlib.util.find_spec(PACKAGES[runtime]) is None:
        raise ArgumentError(f'{runtime} isn\'t installed: pip install "kerascnn[{runtime}]".')
