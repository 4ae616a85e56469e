"""Foreign names and layouts to ours, by rules: `layer1.0.bn2.weight` to `conv2_block1_2_bn/gamma`.

The result of `convert` is canonical: `layer/variable` with our layer names (Keras's files number
the variables of a layer instead, which only the model can name), convolution kernels
`[height, width, in, out]`, dense kernels `[in, out]`, and the inputs of the first dense layer
after a feature map in the order height, width, channels. It depends on the file alone.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kerascnn.errors import WeightsError
from kerascnn.weights.readers import Checkpoint

Arrays = dict[str, np.ndarray]
Modules = Mapping[str, Arrays]
"""A torch state dict by module: `{"conv1": {"weight": ...}, ...}`."""

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
    """

    tensors: Arrays
    epsilon: float | Mapping[str, float] | None
    theirs: Mapping[str, str]
    ignored: tuple[str, ...] = ()


def convert(checkpoint: Checkpoint, network: str | None = None) -> Canonical:
    """Our names and layouts for the arrays of a checkpoint.

    Args:
        checkpoint: named arrays.
        network: of torch's names, what those of the wanted network begin with; None: found out.

    Raises:
        WeightsError: the names belong to none of the families known here.
    """
    if checkpoint.layout != "torch":
        return _from_keras(checkpoint)
    try:
        return _from_torch(checkpoint, network)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{checkpoint.origin}: its names are those of a known network, its arrays are not "
            f"({type(error).__name__}: {error})."
        ) from error


# --- PyTorch: torchvision's and timm's names -----------------------------------------------------


@dataclass(frozen=True)
class Family:
    """The names of one family of torch models.

    Attributes:
        renames: patterns over a whole module name, and our name made of the groups, which are
            passed as integers where they are digits.
        flattened: a pattern over the dense modules that follow a flattened feature map, and the
            convolution that made the map.
        epsilon: of its batch normalization.
    """

    renames: Sequence[tuple[str, Callable[..., str]]]
    flattened: tuple[str, str] | None = None
    epsilon: float = 1e-5

    def rename(self, module: str) -> str | None:
        """Our layer's name, or None if no rule knows the module."""
        for pattern, ours in self.renames:
            if match := re.fullmatch(pattern, module):
                return ours(*(int(g) if g.isdigit() else g for g in match.groups()))
        return None

    def understand(self, modules: Modules) -> Understood:
        """All modules that the rules know."""
        names = {module: self.rename(module) for module in modules}
        pattern, conv = self.flattened or ("", "")
        return Understood(
            names={module: layer for module, layer in names.items() if layer is not None},
            flattened={
                m: match.expand(conv) for m in modules if (match := re.fullmatch(pattern, m))
            },
            epsilon=self.epsilon,
        )


@dataclass(frozen=True)
class Understood:
    """Our layer for each module; the convolution before each flattening; the epsilon."""

    names: dict[str, str]
    flattened: dict[str, str]
    epsilon: float


_STEM = {"conv1": "conv1", "conv2": "conv2_reduce", "conv3": "conv2"}
# The branches of an inception module, in the order of figure 2b.
_BRANCHES = {
    "branch1": "1x1",
    "branch2.0": "3x3_reduce",
    "branch2.1": "3x3",
    "branch3.0": "5x5_reduce",
    "branch3.1": "5x5",
    "branch4.1": "pool_proj",
}
_PART = {"conv": "", "bn": "_bn"}

FAMILIES: Mapping[str, Family] = {
    "resnet": Family(
        (
            (r"conv1", lambda: "conv1_conv"),
            (r"bn1", lambda: "conv1_bn"),
            (
                r"layer(\d+)\.(\d+)\.(conv|bn)(\d)",
                lambda s, b, part, k: f"conv{s + 1}_block{b + 1}_{k}_{part}",
            ),
            (r"layer(\d+)\.(\d+)\.downsample\.0", lambda s, b: f"conv{s + 1}_block{b + 1}_0_conv"),
            (r"layer(\d+)\.(\d+)\.downsample\.1", lambda s, b: f"conv{s + 1}_block{b + 1}_0_bn"),
            (r"fc", lambda: "logits"),
            # nn.Sequential(*resnet.children()): 0 to 7 for conv1, bn1, relu, maxpool, layer1 to 4.
            (r"0", lambda: "conv1_conv"),
            (r"1", lambda: "conv1_bn"),
            (
                r"([4-7])\.(\d+)\.(conv|bn)(\d)",
                lambda s, b, part, k: f"conv{s - 2}_block{b + 1}_{k}_{part}",
            ),
            (r"([4-7])\.(\d+)\.downsample\.0", lambda s, b: f"conv{s - 2}_block{b + 1}_0_conv"),
            (r"([4-7])\.(\d+)\.downsample\.1", lambda s, b: f"conv{s - 2}_block{b + 1}_0_bn"),
        )
    ),
    "densenet": Family(
        (
            (r"features\.conv0", lambda: "conv1_conv"),
            (r"features\.norm0", lambda: "conv1_bn"),
            # Checkpoints from before torchvision 0.2 say "norm.1" for "norm1".
            (
                r"features\.denseblock(\d+)\.denselayer(\d+)\.norm\.?(\d)",
                lambda s, b, k: f"conv{s + 1}_block{b}_{k - 1}_bn",
            ),
            (
                r"features\.denseblock(\d+)\.denselayer(\d+)\.conv\.?(\d)",
                lambda s, b, k: f"conv{s + 1}_block{b}_{k}_conv",
            ),
            (
                r"features\.transition(\d+)\.(norm|conv)",
                lambda s, part: f"pool{s + 1}_{'bn' if part == 'norm' else 'conv'}",
            ),
            (r"features\.norm5", lambda: "bn"),
            (r"classifier", lambda: "logits"),
        )
    ),
    "googlenet": Family(
        (
            (r"(conv[123])\.(conv|bn)", lambda unit, part: _STEM[unit] + _PART[part]),
            (
                r"inception(\d[a-e])\.(branch\d(?:\.\d)?)\.(conv|bn)",
                lambda module, b, part: f"inception_{module}_{_BRANCHES[b]}{_PART[part]}",
            ),
            (r"aux(\d)\.conv\.(conv|bn)", lambda n, part: f"aux{n}_conv{_PART[part]}"),
            (r"aux(\d)\.fc1", lambda n: f"aux{n}_fc"),
            (r"aux(\d)\.fc2", lambda n: f"aux{n}_logits"),
            (r"fc", lambda: "logits"),
        ),
        flattened=(r"aux(\d)\.fc1", r"aux\1.conv.conv"),
        epsilon=1e-3,
    ),
}


_FIRST = ("conv1", "conv1.conv", "features.conv0", "features.0", "0")
"""What the families call their first convolution."""
_CANDIDATES = 100
"""The most modules of these names that are looked at."""


def _network(
    modules: Modules, origin: str, wanted: str | None
) -> tuple[dict[str, Arrays], tuple[str, ...]]:
    """The modules of the network itself, and the names of those beside it.

    DataParallel, torch.compile, training frameworks and models made of a backbone and a head put a
    prefix before every name: the one behind which most names are known.
    """
    ends = {end for end in _FIRST for m in modules if f".{m}".endswith(f".{end}")}
    prefixes = {m.removesuffix(end) for m in modules for end in ends if f".{m}".endswith(f".{end}")}
    known: dict[str, int] = {}
    for prefix in sorted({"", *prefixes}, key=lambda p: (len(p), p))[:_CANDIDATES]:
        known[prefix] = _recognized(
            [m.removeprefix(prefix) for m in modules if m.startswith(prefix)]
        )
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
    inside = {m.removeprefix(best[0]): a for m, a in modules.items() if m.startswith(best[0])}
    beside = [m for m in modules if not m.startswith(best[0])]
    if not any(_is_dense(leaves) for leaves in inside.values()):
        # A backbone without its classifier, and the head that it was given instead.
        inside |= {m: modules[m] for m in beside if _is_dense(modules[m])}
    rest = [m for m in beside if m not in inside]
    return inside, tuple(f"{m}.{leaf}".lstrip(".") for m in rest for leaf in modules[m])


def _is_dense(leaves: Arrays) -> bool:
    return "weight" in leaves and leaves["weight"].ndim == 2


def _recognized(modules: Sequence[str]) -> int:
    """How many modules one family, or numbering, knows."""
    numbered = sum(1 for m in modules if re.fullmatch(_NUMBERED, m))
    counts = (sum(1 for m in modules if f.rename(m) is not None) for f in FAMILIES.values())
    return max(numbered, *counts)


def _from_torch(checkpoint: Checkpoint, entry: str | None) -> Canonical:
    modules: dict[str, Arrays] = defaultdict(dict)
    for name, array in checkpoint.tensors.items():
        module, _, leaf = name.rpartition(".")
        if leaf != "num_batches_tracked":
            modules[module][leaf] = array
    modules, ignored = _network(modules, checkpoint.origin, entry)
    understood = _understand(modules, checkpoint.origin)
    tensors: Arrays = {}
    theirs: dict[str, str] = {}
    for module, layer in understood.names.items():
        conv = understood.flattened.get(module)
        channels = modules[conv]["weight"].shape[0] if conv in modules else 1
        kind = _kind(modules[module], module, checkpoint.origin)
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
    return Canonical(tensors, understood.epsilon, theirs, ignored)


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


def _kind(leaves: Arrays, module: str, origin: str) -> str:
    if "running_mean" in leaves:
        return "norm"
    rank = leaves["weight"].ndim if "weight" in leaves else 0
    if rank == 4 and not re.fullmatch(r"pre_logits\.fc\d", module):
        return "conv"
    if rank in (2, 4):
        return "dense"
    raise WeightsError(f"{origin}: {module} is neither a convolution, dense nor normalization.")


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


def _understand(modules: Modules, origin: str) -> Understood:
    found = [family.understand(modules) for family in FAMILIES.values()]
    best = max(found, key=lambda understood: len(understood.names))
    numbered = {module: a for module, a in modules.items() if re.fullmatch(_NUMBERED, module)}
    if len(numbered) > len(best.names):
        best = _numbered(numbered, origin)
    unknown = [module for module in modules if module not in best.names]
    if len(unknown) <= len(best.names) // 4:  # that family, and a few extras to be listed
        return _with_classifier(best, modules, unknown)
    listed = [f"{module}.{leaf}".lstrip(".") for module in unknown for leaf in modules[module]]
    raise WeightsError(
        f"{origin}: these names belong to none of the known torch models ({', '.join(FAMILIES)}, "
        f"vgg, alexnet): {', '.join(listed[:10])}{' ...' if len(listed) > 10 else ''}. "
        "Rename them to layer/variable and pass the mapping."
    )


def _with_classifier(understood: Understood, modules: Modules, unknown: list[str]) -> Understood:
    """The classifier under another name: the only unknown dense layer."""
    dense = [module for module in unknown if _is_dense(modules[module])]
    if len(dense) != 1 or "logits" in understood.names.values():
        return understood
    return replace(understood, names=understood.names | {dense[0]: "logits"})


_NUMBERED = r"features\.\d+|classifier\.\d+|pre_logits\.fc\d|head\.fc"


def _numbered(modules: Modules, origin: str) -> Understood:
    """AlexNet and VGG number their layers, and count those without parameters too.

    Where the numbers grow by more than a convolution, its normalization and its activation take,
    there was a pooling layer: a new block begins. timm names VGG's dense layers and makes
    convolutions of the first two.
    """
    trunk = sorted((m for m in modules if m.startswith("features.")), key=_number)
    convs = [m for m in trunk if modules[m]["weight"].ndim == 4]
    if not convs or trunk[0] != convs[0]:
        raise WeightsError(f"{origin}: a convolution must come first. Received: {trunk[:3]}.")
    alexnet = modules[convs[0]]["weight"].shape[-1] == 11
    step = 2 if convs == trunk else 3
    names: dict[str, str] = {}
    block, number, before = 1, 0, convs[0]
    for module in trunk:
        if module not in convs:
            names[module] = f"{names[before]}_bn"
            continue
        if _number(module) - _number(before) > step:
            block, number = block + 1, 0
        before, number = module, number + 1
        names[module] = f"conv{len(names) + 1}" if alexnet else f"block{block}_conv{number}"
    head = sorted((m for m in modules if m not in names), key=lambda m: (m[0] == "h", _number(m)))
    names |= {module: f"fc{n}" for n, module in enumerate(head, start=6 if alexnet else 1)}
    if head:
        names[head[-1]] = "logits"
    return Understood(names, dict.fromkeys(head[:1], convs[-1]), epsilon=1e-5)


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
