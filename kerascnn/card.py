"""What is known about a network: its paper, published results, and published weights. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
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
            What `kerascnn compare` is to show is in percent, and its metric ends in "%".
        value: the figure, or the figures that `metric` lists.
        source: where it was read.
    """

    dataset: str
    protocol: str
    metric: str
    value: float | tuple[float, ...]
    source: str


@dataclass(frozen=True)
class PaperRow:
    """A line of the table in which a paper lists its layers; numbers are as it prints them.

    Attributes:
        layer: what the paper calls it.
        ours: our layers of it, names with shell wildcards; the last one has its output.
        output: `(height, width, maps)`, or `(units,)`; (): not stated, as "" is in the others.
        params: such as "112K".
        operations: see `PaperTable.counted`.
        units: numbers that it puts out.
        note: why we count something else, where we do.
    """

    layer: str
    ours: tuple[str, ...] = ()
    output: tuple[int, ...] = ()
    _: KW_ONLY
    params: str = ""
    operations: str = ""
    units: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """The layers and sizes that a paper states itself, to be read beside what is built.

    Attributes:
        source: where they stand, such as "table 1".
        rows: the layers, in the paper's order; (): it states totals alone.
        params, operations, units: the whole network's, as the paper prints them; "": not stated.
        counted: what its operations are.
        kilo: what a K is there: 1000, or 1024.
        note: what a reader must know of its numbers, or why we count something else.
    """

    source: str
    rows: tuple[PaperRow, ...] = ()
    params: str = ""
    operations: str = ""
    units: str = ""
    counted: str = "MACs"
    kilo: int = 1000
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says about the size of its network in a sentence.

    Attributes:
        says: the sentence, short.
        value: the number in it: as it is, "8.7", a share of a whole in percent, "1%", or a count,
            "1.5B".
        quantity: of what: "params", "macs", or "largest_convolution", the largest share of the
            parameters that a convolution has.
        form: "total"; "most", a limit of it; "ratio", another network's by this one's; or "share",
            this one's of that.
        network: that other one.
        source: where it stands.
        note: what gives another number, where something does.
    """

    says: str
    value: str
    quantity: str
    form: str = "total"
    network: str = ""
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        for value, known in ((self.quantity, QUANTITIES), (self.form, FORMS)):
            if value not in known:
                raise ValueError(
                    f"Claim: {self.says!r} needs one of {', '.join(known)}. Received: {value!r}."
                )
        if (self.form in ("total", "most")) == bool(self.network):
            raise ValueError(
                f"Claim: {self.says!r} names the network it is compared with if its form is ratio "
                f"or share, and only then. Received: {self.form!r} and {self.network!r}."
            )


QUANTITIES = ("params", "macs", "largest_convolution")
FORMS = ("total", "most", "ratio", "share")


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
        table: the layers and sizes that the paper states; None: it has no such table.
        claims: what it says of its size.
        deviations: each difference from the paper, and why.
        peers: package → what it calls the same network there, for `kerascnn bench`: of torchvision
            the place in `torchvision.models`, such as "segmentation.fcn_resnet50".
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
    table: PaperTable | None = None
    claims: tuple[Claim, ...] = ()
    deviations: tuple[str, ...] = ()
    peers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TorchNames:
    """What torch calls the modules of a family, and what we call their layers.

    `{b}` stands for a number, or a number with a letter as in GoogLeNet's 3a, and `{b+1}` for one
    more: `"layer{s}.{b}.bn{k}": "conv{s+1}_block{b+1}_{k}_bn"`.

    Attributes:
        family: its name, for messages.
        first: what torch calls the first convolution; whatever stands before it is a prefix.
        layers: our layer for each of torch's modules.
        flattened: the dense module that follows a flattened map, and the convolution before it.
        unstrided: our 1×1 convolutions that have no stride in torch's networks, and what to tell
            who loads the weights into a network where they have one.
        epsilon: of the batch normalization.
    """

    family: str
    first: tuple[str, ...]
    layers: Mapping[str, str]
    flattened: tuple[str, str] | None = None
    unstrided: tuple[str, str] | None = None
    epsilon: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class NumberedNames:
    """The same of a family whose modules torch numbers: `features.0`, ..., pooling counted, too.

    Attributes:
        family: its name, for messages.
        conv: our name of a convolution, made of `{layer}`, its place among all, `{block}`, that of
            the pooling behind it, and `{number}`, its place since the pooling before it.
        dense: what torch calls the dense modules, in order; the very last is the classifier.
        first_dense: the number of the first of ours, as in fc6.
        first_kernel: side of the first convolution, which tells the family from others of the same
            names; None: any that no other family has.
        epsilon: of the batch normalization.
    """

    family: str
    conv: str
    dense: tuple[str, ...] = ("classifier.{n}",)
    first_dense: int = 1
    first_kernel: int | None = None
    epsilon: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class Source:
    """One published file of weights.

    Attributes:
        publisher: who trained or converted them, such as "torchvision" or "keras".
        file: a repository of the Hugging Face hub that holds a model.safetensors, or a URL.
        revision: the commit of the hub's repository; "": its newest.
        digest: the hash of a URL's file; that of the hub's file comes with it.
        no_top, no_top_digest: the URL of a file without the classifier, where there is one.
        preprocessing: what the weights expect of their input.
        requires: arguments without which the model computes something else.
        names: what torch calls the layers; None: the file has our names, or Keras's.
        trained: arguments that they were trained with, where a variant's own defaults differ.
        data: on what they were trained, and what a user passes as `weights` to get them.
    """

    publisher: str
    file: str
    revision: str = ""
    digest: str = ""
    no_top: str = ""
    no_top_digest: str = ""
    preprocessing: Preprocessing
    requires: Mapping[str, Any] = field(default_factory=dict)
    names: TorchNames | NumberedNames | None = None
    trained: Mapping[str, Any] = field(default_factory=dict)
    data: str = "imagenet"

    def __post_init__(self) -> None:
        for url, digest in ((self.file, self.digest), (self.no_top, self.no_top_digest)):
            if "://" in url and not digest:
                raise ValueError(
                    f"{url} needs its hash, such as sha256:... or md5:...: no file is loaded that "
                    "can't be told from another. Received: ''."
                )

    @property
    def name(self) -> str:
        """What a user passes as `weights` to get these and no others."""
        return f"{self.data}:{self.publisher}"

    def fits(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a model with these arguments computes what the weights were trained for."""
        return all(arguments.get(name) == value for name, value in self.requires.items())
