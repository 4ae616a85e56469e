"""What is known about a network: its paper, published results, and published weights. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pixels become the network's input: `(pixel * scale - mean) / std`, channel by channel.

    Attributes:
        scale: factor on pixels in [0, 255], before the mean is subtracted.
        mean, std: one value for each channel in `order`, or one for all channels.
        order: "RGB" or "BGR", the order of the channels that the weights were trained with.
    """

    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: str = "RGB"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One published figure.

    Attributes:
        dataset, protocol, metric: such as "ILSVRC-2012 val", "10 crops", "top-1/top-5 error %".
        value: the figure, or the figures that `metric` lists.
        source: where it was read.
    """

    dataset: str
    protocol: str
    metric: str
    value: float | tuple[float, ...]
    source: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known about a variant. Tests recompute everything that can be recomputed.

    Attributes:
        title, authors, year, link: the paper; `link` is a DOI or an arXiv id.
        input_shape: native input `[height, width, channels]`.
        classes: native number of classes.
        params: exact number of trainable parameters at the native input and classes; None, here
            and below: not stated.
        macs: multiply-adds of convolutions and dense layers for one image; biases, normalisation
            and pooling excluded.
        smallest_input: `(height, width)` of the smallest input with the variant's own arguments,
            without the classifier.
        preprocessing: what the network was trained with.
        results: published results.
        deviations: each difference from the paper, and why.
    """

    title: str
    authors: str
    year: int
    link: str
    input_shape: tuple[int, int, int]
    classes: int
    params: int | None = None
    macs: int | None = None
    smallest_input: tuple[int, int] | None = None
    preprocessing: Preprocessing = Preprocessing()
    results: tuple[Result, ...] = ()
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Source:
    """One published file of weights.

    Attributes:
        architecture: our name.
        publisher: "torchvision" or "keras": who trained or converted them.
        file: a repository of the Hugging Face hub that holds a model.safetensors, or a URL.
        revision: the commit of the hub's repository; "": its newest.
        digest: the hash of a URL's file; that of the hub's file comes with it.
        no_top, no_top_digest: the file without the classifier, where there is one.
        preprocessing: what the weights expect of their input.
        requires: arguments without which the model computes something else.
    """

    architecture: str
    publisher: str
    file: str
    revision: str = ""
    digest: str = ""
    no_top: str = ""
    no_top_digest: str = ""
    preprocessing: Preprocessing
    requires: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a user passes as `weights` to get these and no others."""
        return f"imagenet:{self.publisher}"

    def fits(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a model with these arguments computes what the weights were trained for."""
        return all(arguments.get(name) == value for name, value in self.requires.items())
