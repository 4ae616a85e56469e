"""The same network elsewhere: under which name, and who of those peers is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerascnn.bench.rounds import PEAK, Contestant, Measured, matmul_flops, race
from kerascnn.errors import ArgumentError

_SAME_IN_TORCH = (
    *("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("densenet121", "densenet161", "densenet169", "densenet201"),
)

KERAS: Mapping[str, str] = {
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
    "resnet50v2": "ResNet50V2",
    "resnet101v2": "ResNet101V2",
    "resnet152v2": "ResNet152V2",
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "densenet201": "DenseNet201",
}
"""Our name → the function in keras.applications."""

TIMM: Mapping[str, str] = {name: name for name in _SAME_IN_TORCH}
"""Our name → timm's."""

TORCHVISION: Mapping[str, str] = {
    **TIMM,
    "alexnet_owt": "alexnet",
    "googlenet_bn": "googlenet",
}
"""Our name → the function in torchvision.models, of which alexnet and googlenet aren't the papers'
networks."""

_TABLES = {"keras": KERAS, "torchvision": TORCHVISION, "timm": TIMM}

NOTES: Mapping[str, str] = dict.fromkeys(
    ("resnet50", "resnet101", "resnet152"),
    "torchvision and timm halve the map in the 3×3 convolutions: 6% more MACs than here.",
)


@dataclass(frozen=True)
class Row:
    """One contestant's speed on one network.

    Attributes:
        network, contestant: what, and who.
        images_per_second: median.
        slowest, fastest: images per second.
        ratio: ours to this contestant's.
        first_step: seconds from the start of the process to the end of the first step.
        peak_memory: bytes.
        share_of_peak: of the machine's float32 matrix product in the same rounds; above 1 where the
            precision is quicker.
        precision: what it computes in.
    """

    network: str
    contestant: str
    images_per_second: float
    slowest: float
    fastest: float
    ratio: float
    first_step: float
    peak_memory: int
    share_of_peak: float
    precision: str = "float32"


Shape = tuple[int, int, int]


def peer(package: str, name: str) -> str | None:
    """What "keras", "torchvision" or "timm" calls the network, as its card or a table here says."""
    from kerascnn import catalogue

    return catalogue.get(name).card.peers.get(package) or _TABLES[package].get(name)


def contestants(
    module: str,
    name: str,
    batch_size: int,
    against: Sequence[str],
    input_shape: Shape,
    precision: str = "float32",
    memory_efficient: bool = False,
) -> list[Contestant]:
    """Ours, and every installed peer that has the network, in all its ways of doing the work.

    Args:
        module: `kerascnn.bench.infer` or `kerascnn.bench.training`.
        name: an architecture.
        batch_size: images in a step.
        against: the peers that are wanted, of "keras", "torchvision" and "timm".
        input_shape: `(height, width, channels)`.
        precision: of all of them; torch's is that of `torch.autocast`.
        memory_efficient: also ours and torchvision's when they compute a DenseNet's concatenations
            twice.
    """

    def entry(label: str, function: str, **arguments: Any) -> Contestant:
        arguments |= {"name": name, "batch_size": batch_size, "input_shape": input_shape}
        return Contestant(label, f"{module}:{function}", {**arguments, "precision": precision})

    found = [entry("kerascnn", "ours")]
    if "keras" in against and peer("keras", name):
        found.append(entry("keras.applications", "keras_applications", jit="auto"))
        found.append(entry("keras.applications, no XLA", "keras_applications", jit=False))
    for package in ("torchvision", "timm"):
        if package in against and peer(package, name) and installed("torch", package):
            for layout in ("contiguous_format", "channels_last"):
                label = package if layout == "contiguous_format" else f"{package}, {layout}"
                found.append(entry(label, "torch_model", package=package, layout=layout))
                if memory_efficient:
                    ways = {"package": package, "layout": layout, "memory_efficient": True}
                    found.append(entry(f"{label}, memory-efficient", "torch_model", **ways))
    if memory_efficient:
        found.append(entry("kerascnn, memory-efficient", "ours", memory_efficient=True))
    return found


def measure(
    module: str,
    name: str,
    *,
    batch_size: int,
    rounds: int,
    against: Sequence[str],
    passes: int,
    input_shape: Shape | None = None,
    precisions: Sequence[str] = ("float32",),
    memory_efficient: bool = False,
) -> list[Row]:
    """Race ours against the peers on one network.

    Args:
        module, name, batch_size, against, memory_efficient: see `contestants`.
        rounds: steps of each contestant.
        passes: how often a step does the network's multiply-adds: 1, and 3 with both gradients.
        input_shape: `(height, width, channels)`; None: the network's own.
        precisions: in each of them; ratios are to ours in the first.

    Raises:
        InputSizeError: the input is too small for it.
    """
    from kerascnn import catalogue

    architecture = catalogue.get(name)
    shape = input_shape or architecture.card.input_shape
    operations = 2 * passes * architecture.cost(shape).macs
    racers = [
        (precision, contestant)
        for precision in precisions
        for contestant in contestants(
            module, name, batch_size, against, shape, precision, memory_efficient
        )
    ]
    peak, *found = race([PEAK, *(one for _, one in racers)], rounds=rounds, warm_up=1)
    at_peak = operations / matmul_flops(peak)
    return [
        _row(name, m, found[0], batch_size, at_peak, precision)
        for m, (precision, _) in zip(found, racers, strict=True)
    ]


def _row(
    name: str, m: Measured, ours: Measured, batch_size: int, at_peak: float, precision: str
) -> Row:
    """`at_peak`: seconds for one image at the speed of the machine's matrix product."""
    return Row(
        network=name,
        contestant=m.name,
        images_per_second=batch_size / m.seconds,
        slowest=batch_size / m.slowest,
        fastest=batch_size / m.fastest,
        ratio=m.seconds / ours.seconds,
        first_step=m.first_step,
        peak_memory=m.peak_memory,
        share_of_peak=at_peak * batch_size / m.seconds,
        precision=precision,
    )


def images(batch_size: int, input_shape: Sequence[int]) -> Any:
    """Noise in [0, 1): float32 `[batch, height, width, channels]`."""
    import numpy as np

    return np.random.default_rng(0).random((batch_size, *input_shape), "float32")


def torch_network(package: str, name: str, **options: Any) -> Any:
    """An untrained network of torchvision's or timm's, without auxiliary heads.

    torchvision's own first weights for GoogLeNet take half a minute to draw; torch's take none.
    Its networks for segmentation and detection would fetch their trunk's weights.
    """
    if package == "timm":
        import timm

        return timm.create_model(peer("timm", name), **options)
    import torchvision

    path = peer("torchvision", name) or name
    arguments: dict[str, Any] = {}
    if name == "googlenet_bn":
        arguments = {"aux_logits": False, "init_weights": False}
    if path.startswith(("segmentation.", "detection.")):
        arguments = {"weights": None, "weights_backbone": None}
    return operator.attrgetter(path)(torchvision.models)(**arguments, **options)


def torch_autocast(precision: str, device: str = "cpu") -> Any:
    """torch's context for a precision on "cpu" or "cuda": none for float32.

    Raises:
        ArgumentError: autocast has no such type.
    """
    import torch

    kinds = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}
    if precision == "float32":
        return contextlib.nullcontext()
    if precision not in kinds:
        raise ArgumentError(
            f"torch.autocast knows {', '.join(kinds)}; leave torchvision and timm out with "
            f"--against keras. Received: {precision}."
        )
    return torch.autocast(device, kinds[precision])


def torch_scores(outputs: Any) -> Any:
    """What a network of torch answers: alone, or "out" of several in its segmentation."""
    return outputs["out"] if isinstance(outputs, Mapping) else outputs


def torch_images(batch_size: int, input_shape: Sequence[int], layout: str) -> Any:
    """`images` as a tensor `[batch, channels, height, width]` in one of torch's memory formats."""
    import torch

    batch = torch.from_numpy(images(batch_size, input_shape).transpose(0, 3, 1, 2))
    return batch.contiguous(memory_format=getattr(torch, layout))


def installed(*packages: str) -> bool:
    """Whether all of them can be imported."""
    return all(importlib.util.find_spec(package) for package in packages)
