"""Foreign names and layouts to ours, by rules: `layer1.0.bn2.weight` to `conv2_block1_2_bn/gamma`.

The rules for torch's names stand in the families' files, with the weights that need them.

The result of `convert` is canonical: `layer/variable` with our layer names (Keras's files number
the variables of a layer instead, which only the model can name), convolution kernels
`[height, width, in, out]`, dense kernels `[in, out]`, and the inputs of the first dense layer
after a feature map in the order height, width, channels. It depends on the file alone.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kerascnn.card import NumberedNames, TorchNames
from kerascnn.errors import WeightsError
from kerascnn.weights.readers import Checkpoint
from kerascnn.weights.sources import torch_names

Arrays = dict[str, np.ndarray]
Modules = Mapping[str, Arrays]
"""A torch state dict by module: `{"conv1": {"weight": ...}, ...}`."""
Names = TorchNames | NumberedNames

KERAS_EPSILON = 1.001e-5
"""Of the batch normalization in keras.applications' ResNet and DenseNet."""


@dataclass(frozen=True)
class Canonical:
    """Weights under our names and in our layouts.

    Attributes:
        tensors: arrays by `layer/variable`.
        epsilon: of the batch normalization: one number, one for each layer, or unknown.
        theirs: what each array was called, where it was called something else.
        ignored: arrays that belong to no layer of a network.
        unstrided: see `TorchNames`.
    """

    tensors: Arrays
    epsilon: float | Mapping[str, float] | None
    theirs: Mapping[str, str]
    ignored: tuple[str, ...] = ()
    unstrided: tuple[str, str] | None = None


def convert(
    checkpoint: Checkpoint, network: str | None = None, names: Names | None = None
) -> Canonical:
    """Our names and layouts for the arrays of a checkpoint.

    Args:
        checkpoint: named arrays.
        network: of torch's names, what those of the wanted network begin with; None: found out.
        names: the rules for torch's names; None: those of any installed architecture that fit best.

    Raises:
        WeightsError: the names belong to none of the families known here.
    """
    if checkpoint.layout != "torch":
        return _from_keras(checkpoint)
    try:
        return _from_torch(checkpoint, network, torch_names() if names is None else [names])
    except (KeyError, IndexError, ValueError, TypeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{checkpoint.origin}: its names are those of a known network, its arrays are not "
            f"({type(error).__name__}: {error})."
        ) from error


# --- PyTorch: torchvision's and timm's names -----------------------------------------------------


@dataclass(frozen=True)
class Understood:
    """What a family's rules say of modules.

    Attributes:
        names: our layer for each module that is known.
        flattened: the dense modules that follow a flattened map, and the convolution before it.
        dense: modules that are dense layers, whatever the rank of their weights.
        epsilon: of the batch normalization.
        unstrided: see `TorchNames`.
    """

    names: dict[str, str]
    flattened: dict[str, str]
    epsilon: float
    dense: frozenset[str] = frozenset()
    unstrided: tuple[str, str] | None = None


_FIELD = re.compile(r"\{(\w+)([+-]\d+)?\}")
_NUMBERED = "features.{n}"
"""The modules of a Sequential that aren't dense, as torchvision and timm call them."""


@functools.cache
def pattern(name: str) -> re.Pattern[str]:
    """What matches names such as `layer{s}.{b}.bn{k}`."""
    parts = re.split(r"\{(\w+)\}", name)  # what stands between the fields, and their names
    return re.compile(
        "".join(
            rf"(?P<{part}>\d+[a-z]?)" if place % 2 else re.escape(part)
            for place, part in enumerate(parts)
        )
    )


def _fill(ours: str, fields: Mapping[str, str]) -> str:
    """`conv{s+1}` with `{"s": "1"}` is `conv2`."""

    def value(field: re.Match[str]) -> str:
        found, more = fields[field[1]], field[2]
        return str(int(found) + int(more)) if more else found

    return _FIELD.sub(value, ours)


def _renamed(module: str, layers: Mapping[str, str]) -> str | None:
    """Our layer's name, or None if no rule knows the module."""
    for theirs, ours in layers.items():
        if match := pattern(theirs).fullmatch(module):
            with contextlib.suppress(ValueError):  # one more than "3a", or than 5,000 digits
                return _fill(ours, match.groupdict())
    return None


def _known(modules: Sequence[str], names: Names) -> list[str]:
    """The modules that a family's rules know."""
    if isinstance(names, NumberedNames):
        kinds = [pattern(theirs) for theirs in (_NUMBERED, *names.dense)]
        return [m for m in modules if any(kind.fullmatch(m) for kind in kinds)]
    return [m for m in modules if _renamed(m, names.layers) is not None]


def _first(names: Names) -> tuple[str, ...]:
    """What torch calls the first convolution."""
    return names.first if isinstance(names, TorchNames) else (_fill(_NUMBERED, {"n": "0"}),)


_CANDIDATES = 100
"""The most modules of these names that are looked at."""


def _network(
    modules: Modules, origin: str, wanted: str | None, families: Sequence[Names]
) -> tuple[dict[str, Arrays], tuple[str, ...]]:
    """The modules of the network itself, and the names of those beside it.

    DataParallel, torch.compile, training frameworks and models made of a backbone and a head put a
    prefix before every name: the one behind which most names are known.
    """
    first = {end for names in families for end in _first(names)}
    ends = {end for end in first for m in modules if f".{m}".endswith(f".{end}")}
    prefixes = {m.removesuffix(end) for m in modules for end in ends if f".{m}".endswith(f".{end}")}
    known: dict[str, int] = {}
    for prefix in sorted({"", *prefixes}, key=lambda p: (len(p), p))[:_CANDIDATES]:
        inside = [m.removeprefix(prefix) for m in modules if m.startswith(prefix)]
        known[prefix] = max(len(_known(inside, names)) for names in families)
    most = max(known.values(), default=0)
    best = [prefix for prefix, count in known.items() if count == most]
    best = [""] if "" in best else best
    if wanted is not None:
        best = [prefix for prefix in known if prefix.rstrip(".") == wanted.rstrip(".")]
        if not best:
            names = ", ".join(repr(p.rstrip(".")) for p in known if p and known[p] == most)
            raise WeightsError(
                f"{origin}: entry must be one of its entries, or what its networks' names begin "
                f"with: {names or 'nothing here'}. Received: {wanted!r}."
            )
    if len(best) > 1:
        raise WeightsError(
            f"{origin} holds several networks, whose names begin with {', '.join(best)}. Choose "
            f"one: kerascnn.weights.load(model, weights, entry={best[0].rstrip('.')!r})."
        )
    chosen = {m.removeprefix(best[0]): a for m, a in modules.items() if m.startswith(best[0])}
    beside = [m for m in modules if not m.startswith(best[0])]
    if not any(_is_dense(leaves) for leaves in chosen.values()):
        # A backbone without its classifier, and the head that it was given instead.
        chosen |= {m: modules[m] for m in beside if _is_dense(modules[m])}
    rest = [m for m in beside if m not in chosen]
    return chosen, tuple(f"{m}.{leaf}".lstrip(".") for m in rest for leaf in modules[m])


def _is_dense(leaves: Arrays) -> bool:
    return "weight" in leaves and leaves["weight"].ndim == 2


def _from_torch(checkpoint: Checkpoint, entry: str | None, families: Sequence[Names]) -> Canonical:
    modules: dict[str, Arrays] = defaultdict(dict)
    for name, array in checkpoint.tensors.items():
        module, _, leaf = name.rpartition(".")
        if leaf != "num_batches_tracked":
            modules[module][leaf] = array
    modules, ignored = _network(modules, checkpoint.origin, entry, families)
    understood = _understand(modules, checkpoint.origin, families)
    tensors: Arrays = {}
    theirs: dict[str, str] = {}
    for module, layer in understood.names.items():
        conv = understood.flattened.get(module)
        channels = modules[conv]["weight"].shape[0] if conv in modules else 1
        kind = "dense" if module in understood.dense else _kind(modules[module])
        if kind is None:
            raise WeightsError(
                f"{checkpoint.origin}: {module} is neither a convolution, dense nor normalization."
            )
        for leaf, array in modules[module].items():
            if leaf not in _VARIABLES[kind]:
                raise WeightsError(f"{checkpoint.origin}: {module} has an unknown {leaf!r}.")
            target = f"{layer}/{_VARIABLES[kind][leaf]}"
            theirs[target] = f"{module}.{leaf}"
            tensors[target] = _to_keras(array, kind, channels) if leaf == "weight" else array
    for module in [module for module in modules if module not in understood.names]:
        named = {f"{module}.{leaf}".lstrip("."): a for leaf, a in modules[module].items()}
        if max(array.ndim for array in named.values()) < 2:  # a loss's weights, a metric's counts
            ignored += tuple(named)
        else:
            tensors |= named
    return Canonical(tensors, understood.epsilon, theirs, ignored, understood.unstrided)


_VARIABLES = {
    "conv": {"weight": "kernel", "bias": "bias"},
    "dense": {"weight": "kernel", "bias": "bias"},
    "norm": {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    },
}


def _kind(leaves: Arrays) -> str | None:
    if "running_mean" in leaves:
        return "norm"
    rank = leaves["weight"].ndim if "weight" in leaves else 0
    return {4: "conv", 2: "dense"}.get(rank)


def _to_keras(weight: np.ndarray, kind: str, channels: int) -> np.ndarray:
    if kind == "conv":
        return weight.transpose(2, 3, 1, 0)  # [out, in, h, w] to [h, w, in, out]
    if kind == "norm":
        return weight
    units = weight.shape[0]
    if weight.ndim == 2:
        side = math.isqrt(weight.shape[1] // channels)
        if side * side * channels != weight.shape[1]:
            side, channels = 1, weight.shape[1]
        weight = weight.reshape(units, channels, side, side)
    # Torch flattens channels, height, width; Keras height, width, channels.
    return weight.transpose(2, 3, 1, 0).reshape(-1, units)


def _understand(modules: Modules, origin: str, families: Sequence[Names]) -> Understood:
    known = [_known(list(modules), names) for names in families]
    most = max(map(len, known))
    best = [(names, found) for names, found in zip(families, known) if len(found) == most]
    named = [names for names, _ in best if isinstance(names, TorchNames)]
    if named:
        understood = _named(modules, named[0])
    else:
        numbered = [names for names, _ in best if isinstance(names, NumberedNames)]
        understood = _numbered({m: modules[m] for m in best[0][1]}, origin, numbered)
    unknown = [module for module in modules if module not in understood.names]
    if len(unknown) <= len(understood.names) // 4:  # that family, and a few extras to be listed
        return _with_classifier(understood, modules, unknown)
    listed = [f"{module}.{leaf}".lstrip(".") for module in unknown for leaf in modules[module]]
    raise WeightsError(
        f"{origin}: these names belong to none of the known torch models "
        f"({', '.join(names.family for names in families)}): {', '.join(listed[:10])}"
        f"{' ...' if len(listed) > 10 else ''}. "
        "Rename them to layer/variable and pass the mapping."
    )


def _named(modules: Modules, names: TorchNames) -> Understood:
    """By rules from name to name."""
    found = {module: _renamed(module, names.layers) for module in modules}
    flattened = {}
    if names.flattened:
        dense, conv = names.flattened
        for module in modules:
            if match := pattern(dense).fullmatch(module):
                flattened[module] = _fill(conv, match.groupdict())
    return Understood(
        {module: layer for module, layer in found.items() if layer is not None},
        flattened,
        names.epsilon,
        unstrided=names.unstrided,
    )


def _with_classifier(understood: Understood, modules: Modules, unknown: list[str]) -> Understood:
    """The classifier under another name: the only unknown dense layer."""
    dense = [module for module in unknown if _is_dense(modules[module])]
    if len(dense) != 1 or "logits" in understood.names.values():
        return understood
    return replace(understood, names=understood.names | {dense[0]: "logits"})


def _numbered(modules: Modules, origin: str, families: Sequence[NumberedNames]) -> Understood:
    """By the order: a Sequential's numbers count the layers without parameters, too.

    Where the numbers grow by more than a convolution, its normalization and its activation take,
    there was a pooling layer: a new block begins.
    """
    layers = [m for m in modules if pattern(_NUMBERED).fullmatch(m)]
    layers.sort(key=_number)
    convs = [m for m in layers if modules[m]["weight"].ndim == 4]
    if not convs or layers[0] != convs[0]:
        raise WeightsError(f"{origin}: a convolution must come first. Received: {layers[:3]}.")
    kernel = modules[convs[0]]["weight"].shape[-1]
    sides = {names.first_kernel: names for names in families}
    family = sides.get(kernel) or sides.get(None) or families[0]
    step = 2 if convs == layers else 3
    names: dict[str, str] = {}
    block, number, before = 1, 0, convs[0]
    for module in layers:
        if module not in convs:
            names[module] = f"{names[before]}_bn"
            continue
        if _number(module) - _number(before) > step:
            block, number = block + 1, 0
        before, number = module, number + 1
        place = convs.index(module) + 1
        names[module] = family.conv.format(layer=place, block=block, number=number)
    kinds = [pattern(theirs) for theirs in family.dense]
    head = [(k, _number(m), m) for m in modules for k, p in enumerate(kinds) if p.fullmatch(m)]
    dense = [module for _, _, module in sorted(head)]
    names |= {module: f"fc{n}" for n, module in enumerate(dense, start=family.first_dense)}
    if dense:
        names[dense[-1]] = "logits"
    flattened = dict.fromkeys(dense[:1], convs[-1])
    return Understood(names, flattened, family.epsilon, frozenset(dense))


def _number(module: str) -> int:
    digits = re.search(r"\d+$", module)
    return int(digits[0]) if digits else 0


# --- Keras: our own files and keras.applications -------------------------------------------------


def _from_keras(checkpoint: Checkpoint) -> Canonical:
    layers: dict[str, Arrays] = defaultdict(dict)
    for name, array in checkpoint.tensors.items():
        layer, _, variable = name.rpartition("/")
        layers[layer][variable] = array
    names = {layer: layer for layer in layers}
    if "logits" not in layers and (classifier := _classifier(layers)):
        names[classifier] = "logits"
    theirs = {
        f"{ours}/{variable}": f"{layer}/{variable}"
        for layer, ours in names.items()
        for variable in layers[layer]
    }
    tensors = {ours: checkpoint.tensors[name] for ours, name in theirs.items()}
    epsilon = checkpoint.epsilon
    if epsilon is None and checkpoint.legacy:
        epsilon = KERAS_EPSILON
    return Canonical(tensors, epsilon, theirs)


def _classifier(layers: Mapping[str, Arrays]) -> str | None:
    """keras.applications called it predictions, probs or fc1000: it is the last dense layer."""
    if "predictions" in layers:
        return "predictions"
    dense = [name for name, arrays in layers.items() if any(a.ndim == 2 for a in arrays.values())]
    last = dense[-1] if dense else None
    return last if last in ("probs", "fc1000") else None
