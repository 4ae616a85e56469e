"""Fits named arrays to a model before one of them is assigned.

What may differ is small and always reported: the number of classes, the number of input channels,
biases that batch normalization absorbs, and a classifier that the model doesn't have.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerascnn.errors import WeightsError
from kerascnn.weights.report import SHOWN, Report
from kerascnn.weights.rules import Arrays, Canonical
from kerascnn.words import listed

_SCORES = r"(?:up)?score(?:_\w+|\d*)"
"""Layers that score maps, as FCN's: a network of the same kind may have fewer or more of them."""
_CLASSIFIER = re.compile(rf"logits|aux\d+_logits|{_SCORES}")
"""Layers whose number of outputs is the number of classes."""
_HEAD = re.compile(rf"logits|(?:aux\d+|head)_.+|fc\d+|{_SCORES}")
"""Layers that a model without its top, or without auxiliary classifiers, doesn't have."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of a model that weights are for: another network, upon which it is built.

    Attributes:
        name: of that network.
        layers: those of the model that must be among the weights.
        renamed: further layers, as they are called there and in the model; the weights may lack
            them, or have them for an input of another size.
    """

    name: str
    layers: frozenset[str]
    renamed: Mapping[str, str]


class Fitting:
    """What goes where; built step by step, each step noting what it changed.

    Args:
        model, inputs, part, left_out: see `kerascnn.weights.load`.
        canonical: the weights, under our names.
        origin: where they are from, for messages.

    Attributes:
        tensors: `layer/variable` of the model → what it is given.
        variables: all of the model's, by the same names.

    Raises:
        WeightsError: they don't fit.
    """

    def __init__(
        self,
        model: Any,
        canonical: Canonical,
        origin: str,
        inputs: Any,
        part: Part | None,
        left_out: Collection[str],
    ) -> None:
        self.model = model
        self.origin = origin
        self.layers = _layers(model, inputs)
        self.variables = {
            f"{layer.name}/{v.name}": v for layer in self.layers for v in layer.weights
        }
        self.head = _head(self.layers)
        self.tensors: Arrays = dict(canonical.tensors)
        self.theirs = dict(canonical.theirs)
        self.adapted: dict[str, str] = {}
        self.initial: list[str] = []
        self.unused: list[str] = []
        self.other_head: list[str] = []
        self.notes: list[str] = []
        self.renamed = self._rename_classifier() if part is None else None
        if part is not None:
            self._rename_as(part)
        self._number_to_name()
        self._leave_out(left_out)
        if part is None:
            self._take_unused_head()
        else:
            self._take_part(part)
        self._fold_biases()
        self._shift_epsilon(canonical.epsilon)
        self._fit_input_channels()
        self._convolve_dense()
        if part is None:
            self._leave_classifier()
            self._leave_head()
        else:
            self._leave_other_sizes(part)
        self._check()
        self._check_numbers()

    def report(self) -> Report:
        """What was loaded, and what became of the rest."""
        loaded = tuple(name for name in self.tensors if name not in self.adapted)
        return Report(
            self.origin,
            loaded,
            self.adapted,
            tuple(self.initial),
            tuple(self.unused),
            tuple(self.notes),
        )

    def _rename_as(self, part: Part) -> None:
        """Their layers that are called otherwise in the model."""
        for old in list(self.tensors):
            layer, _, variable = old.rpartition("/")
            new = f"{part.renamed.get(layer, layer)}/{variable}"
            if new != old and new not in self.tensors:
                self.tensors[new] = self.tensors.pop(old)
                self.theirs[new] = self.theirs.pop(old, old)

    def _take_part(self, part: Part) -> None:
        """What they have of the part; the rest of both stays where it is."""
        wanted = part.layers | set(part.renamed.values())
        names = {layer.name for layer in self.layers} & wanted
        found = _by_layer(self.tensors)
        for layer in found.keys() - names:
            for name in found[layer]:
                self.unused.append(self._their(name))
                del self.tensors[name]
        for layer in self.layers:
            if layer.name not in part.layers and layer.name not in found.keys() & names:
                self.initial += [f"{layer.name}/{variable.name}" for variable in layer.weights]

    def _leave_other_sizes(self, part: Part) -> None:
        """Dense layers upon a map of another size, and those behind them, stay as they are."""
        left = False
        for layer in self.layers:
            names = [f"{layer.name}/{variable.name}" for variable in layer.weights]
            theirs = [name for name in names if name in self.tensors]
            if layer.name in part.layers or not theirs:
                continue
            wrong = [name for name in theirs if self.tensors[name].shape != self.shape(name)]
            if wrong or left:
                self.notes.append(
                    f"{layer.name} stays at its initial values: "
                    + (self._wrong(wrong[0]) if wrong else "what it reads does, too.")
                )
                self.initial += names
                self.unused += [self._their(name) for name in theirs]
                for name in theirs:
                    del self.tensors[name]
                left = True

    def _number_to_name(self) -> None:
        """Keras's files number a layer's variables, in the order of their creation."""
        for layer in self.layers:
            numbers = itertools.takewhile(
                self.tensors.__contains__, (f"{layer.name}/{n}" for n in itertools.count())
            )
            numbered = list(numbers)
            names = [variable.name for variable in layer.weights]
            if len(numbered) == 2 and names == ["kernel"]:
                names = ["kernel", "bias"]  # of a network with biases
            if len(numbered) != len(names):
                continue
            for old, variable in zip(numbered, names):
                new = f"{layer.name}/{variable}"
                self.tensors[new] = self.tensors.pop(old)
                self.theirs[new] = self.theirs.get(old, old)

    def _leave_out(self, layers: Collection[str]) -> None:
        """What they have for these layers is passed over."""
        for layer in self.layers:
            if layer.name in layers:
                self.initial += [f"{layer.name}/{variable.name}" for variable in layer.weights]
        for name in [name for name in self.tensors if name.rpartition("/")[0] in layers]:
            del self.tensors[name]

    def _rename_classifier(self) -> str | None:
        """A classifier of another name: theirs that is called so, or the only dense layer left.

        Returns:
            The layer of ours that has it now.
        """
        theirs = _by_layer(self.tensors)
        ours = _classifier(self.layers, self.head)
        names = {layer.name for layer in self.layers}
        dense = [
            layer
            for layer, arrays in theirs.items()
            if layer not in names and any(self.tensors[name].ndim == 2 for name in arrays)
        ]
        found = ["logits"] if "logits" in dense else dense
        if ours is None or ours in theirs or len(found) != 1 or "." in found[0]:
            return None
        for old in theirs[found[0]]:
            new = f"{ours}/{old.rpartition('/')[2]}"
            self.tensors[new] = self.tensors.pop(old)
            self.theirs[new] = self.theirs.pop(old, old)
        return ours

    def _take_unused_head(self) -> None:
        """What they have behind the trunk and the model doesn't: dense layers and their like."""
        names = {layer.name for layer in self.layers}
        extra = {k: v for k, v in _by_layer(self.tensors).items() if k not in names}
        unused = [layer for layer in extra if _HEAD.fullmatch(layer)]
        rest = [layer for layer in extra if layer not in unused]
        ranks = {self.tensors[name].ndim for layer in rest for name in extra[layer]}
        if 2 in ranks and max(ranks) == 2:
            self.other_head = [self._extra(name) for layer in rest for name in extra[layer]]
            unused += rest
        for name in [name for layer in unused for name in extra[layer]]:
            self.unused.append(self._their(name))
            del self.tensors[name]

    def _fold_biases(self) -> None:
        """`BN(x + bias)` is `BN(x)` with the bias taken off the mean: exact, also in training."""
        follower = _normalization_after(self.model)
        for name in [name for name in self.tensors if name.endswith("/bias")]:
            layer = name.removesuffix("/bias")
            if name in self.variables or f"{layer}/kernel" not in self.variables:
                continue
            mean = f"{follower.get(layer)}/moving_mean"
            if mean in self.tensors:
                self.tensors[mean] = self.tensors[mean] - self.tensors.pop(name)
                self.adapted[mean] = "the convolution's bias taken off it"

    def _shift_epsilon(self, epsilon: float | Mapping[str, float] | None) -> None:
        """Batch normalization with another epsilon: the difference goes into the variance.

        Where that would be negative, the scale takes it.
        """
        if epsilon is None:
            return
        for layer in self.layers:
            name, scale = f"{layer.name}/moving_variance", f"{layer.name}/gamma"
            ours = getattr(layer, "epsilon", None)
            theirs = epsilon if isinstance(epsilon, float) else epsilon.get(layer.name)
            if name not in self.tensors or ours is None or theirs is None or theirs == ours:
                continue
            how = f"epsilon {theirs:g} instead of {ours:g}"
            variance = self.tensors[name].astype("float64")
            if np.all(variance + theirs >= ours) or scale not in self.tensors:
                self.tensors[name] = np.maximum(variance + theirs - ours, 0)
                self.adapted[name] = f"{how} added to it"
            else:
                change = np.sqrt((variance + ours) / (variance + theirs))
                self.tensors[scale] = self.tensors[scale] * change
                self.adapted[scale] = f"scaled for {how}"

    def _fit_input_channels(self) -> None:
        """The first convolution on another number of channels than it was trained on."""
        first = next((n for n, v in self.variables.items() if len(v.shape) == 4), None)
        if first is None or first not in self.tensors:
            return
        kernel, shape = self.tensors[first], tuple(self.variables[first].shape)
        theirs, ours = kernel.shape[2] if kernel.ndim == 4 else 0, shape[2]
        if kernel.shape == shape or (*kernel.shape[:2], ours, *kernel.shape[3:]) != shape:
            return
        if ours == 1:
            self.tensors[first] = kernel.sum(axis=2, keepdims=True)
            self.adapted[first] = f"summed over its {theirs} input channels"
        else:
            copies = -(-ours // theirs)
            tiled = np.tile(kernel, (1, 1, copies, 1))[:, :, :ours]
            self.tensors[first] = tiled * np.float32(theirs / ours)
            self.adapted[first] = (
                f"its {theirs} input channels tiled to {ours} and scaled by {theirs}/{ours}"
            )

    def _convolve_dense(self) -> None:
        """A dense layer on a feature map is a convolution that covers it, and the reverse."""
        for name in [name for name in self.variables if name in self.tensors]:
            array, shape = self.tensors[name], self.shape(name)
            if {array.ndim, len(shape)} != {2, 4} or array.shape[-1] != shape[-1]:
                continue
            if array.size == math.prod(shape):
                self.tensors[name] = array.reshape(shape)
                self.adapted[name] = "reshaped between a dense layer and a convolution"

    def _leave_classifier(self) -> None:
        """A classifier for another number of classes keeps its initial values."""
        for layer in self.layers:
            names = [f"{layer.name}/{variable.name}" for variable in layer.weights]
            pairs = [(n, self.tensors[n].shape, self.shape(n)) for n in names if n in self.tensors]
            if all(theirs == ours for _, theirs, ours in pairs):
                if layer.name == self.renamed:
                    taken = {name: f"taken from {self._their(name)}" for name, _, _ in pairs}
                    self.adapted = taken | self.adapted
                continue
            classes = _CLASSIFIER.fullmatch(layer.name) and all(map(_other_classes, pairs))
            if classes or layer.name == self.renamed:
                self.initial += names
                for name, _, _ in pairs:
                    del self.tensors[name]

    def _leave_head(self) -> None:
        """A head that they don't have keeps its initial values, if they have another instead.

        So do auxiliary classifiers, which serve training alone, and what was put behind a nested
        model: then nobody expects it in the file.
        """
        present = _by_layer(self.tensors)
        missing = [
            layer
            for layer in self.layers
            if layer.weights and layer.name not in present and layer.name in self.head
            if f"{layer.name}/{layer.weights[0].name}" not in self.initial
        ]
        another = self.unused or len(self.model.layers) < len(self.layers)
        for layer in missing:
            if another or self._is_added(layer.name, present):
                self.initial += [f"{layer.name}/{variable.name}" for variable in layer.weights]

    @staticmethod
    def _is_added(layer: str, present: Mapping[str, Any]) -> bool:
        """Whether weights may lack it: an auxiliary classifier, or one more map's scores."""
        if layer.startswith("aux"):
            return True
        scores = re.compile(_SCORES)
        return bool(scores.fullmatch(layer)) and any(map(scores.fullmatch, present))

    def _check(self) -> None:
        expected = [name for name in self.variables if name not in self.initial]
        missing = [name for name in expected if name not in self.tensors]
        extra = [name for name in self.tensors if name not in self.variables]
        wrong = [
            name
            for name in expected
            if name in self.tensors and self.tensors[name].shape != tuple(self.shape(name))
        ]
        if not (missing or extra or wrong):
            return
        lines = [
            f"{self.origin} doesn't fit {self.model.name}; nothing was loaded.",
            *_listed("Not in the weights", [self._missing(name, extra) for name in missing]),
            *_listed("Not in the model", [*map(self._extra, extra), *self.other_head]),
            *_listed("Of another shape", [self._wrong(name) for name in wrong]),
            *self._advice(missing, wrong),
        ]
        raise WeightsError("\n".join(lines))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a variable of the model."""
        return tuple(self.variables[name].shape)

    def _their(self, name: str) -> str:
        return self.theirs.get(name, name)

    def _missing(self, name: str, extra: list[str]) -> str:
        near = difflib.get_close_matches(name, extra, n=2, cutoff=0.5)
        hint = f"; nearest: {', '.join(map(self._extra, near))}" if near else ""
        return f"{name} {self.shape(name)}{hint}"

    def _extra(self, name: str) -> str:
        theirs = self._their(name)
        ours = "" if theirs == name else f" (here {name})"
        return f"{theirs}{ours} {self.tensors[name].shape}"

    def _check_numbers(self) -> None:
        """Refuse values with which a network answers nothing."""
        if wrong := [name for name, array in self.tensors.items() if not _possible(name, array)]:
            where = listed(map(self._their, wrong), SHOWN)
            raise WeightsError(
                f"{self.origin} holds values that are no finite numbers, or negative variances, in "
                f"{where}; nothing was loaded. The file is damaged, or the training that made it "
                "has failed: take an earlier one."
            )

    def _wrong(self, name: str) -> str:
        return f"{name} must be {self.shape(name)}. Received: {self._extra(name)}"

    def _advice(self, missing: list[str], wrong: list[str]) -> list[str]:
        dense = [n for n in wrong if self.tensors[n].ndim == 2 and len(self.shape(n)) == 2]
        if dense and len(wrong) == 1:
            return [
                f"{dense[0]} reads a flattened feature map, so it fits the input size it was "
                "trained with only. Use that input_shape or include_top=False, or for AlexNet and "
                "VGG the argument grid, the side of the map it was trained with (6 and 7)."
            ]
        if missing and all(name.rpartition("/")[0] in self.head for name in missing):
            return ["The weights have no classifier. Build the model with include_top=False."]
        return []


def _possible(name: str, array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all()) and not (
        name.endswith("/moving_variance") and np.any(array < 0)
    )


def _listed(title: str, items: list[str], most: int = 8) -> list[str]:
    if not items:
        return []
    more = [f"  ... and {len(items) - most} more"] if len(items) > most else []
    return [f"{title}:", *(f"  {item}" for item in items[:most]), *more]


def _layers(model: Any, inputs: Any) -> list[Any]:
    """The layers to load, by distinct names; `inputs`: only those behind this tensor."""
    from kerascnn.keras_internals import calls_behind, leaf_layers

    layers = leaf_layers(model)
    if inputs is not None:
        behind = {id(call.operation) for call in calls_behind(model, [inputs])}
        layers = [layer for layer in layers if id(layer) in behind]
    names = [layer.name for layer in layers if layer.weights]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise WeightsError(
            f"{model.name}: its nested models have several layers of one name, such as "
            f"{doubled[0]!r}, which weights can't be told apart for. Load each nested model by "
            "itself: kerascnn.weights.load(model.get_layer(NAME), weights)."
        )
    return layers


def _head(layers: list[Any]) -> set[str]:
    """The names of the layers of the classifiers: our names, and what follows the last map."""
    convolutions = [
        index
        for index, layer in enumerate(layers)
        if any(len(v.shape) > 2 for v in layer.weights) and not _HEAD.fullmatch(layer.name)
    ]
    behind = layers[convolutions[-1] + 1 if convolutions else 0 :]
    names = [layer.name for layer in layers if _HEAD.fullmatch(layer.name)]
    for index, layer in enumerate(behind):
        output = getattr(layer, "output", None)
        if len(getattr(output, "shape", ())) == 2:
            return {*names, *(layer.name for layer in behind[index:])}
    return set(names)


def _classifier(layers: list[Any], head: set[str]) -> str | None:
    """The layer that computes the model's scores."""
    dense = [
        layer.name
        for layer in layers
        if layer.name in head and any(len(v.shape) == 2 for v in layer.weights)
    ]
    named = [layer.name for layer in layers if layer.name == "logits"]
    return next(iter([*named, *dense[-1:]]), None)


def _by_layer(tensors: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of arrays by layer; torch's, which no rule knows, by module."""
    found: dict[str, list[str]] = {}
    for name in tensors:
        found.setdefault(name.rpartition("/" if "/" in name else ".")[0], []).append(name)
    return found


def _other_classes(pair: tuple[str, tuple[int, ...], tuple[int, ...]]) -> bool:
    """Whether shapes are the same, or differ in the number of classes alone."""
    name, theirs, ours = pair
    if theirs == ours:
        return True
    if len(theirs) != len(ours):
        return False
    axes = [axis for axis, sizes in enumerate(zip(theirs, ours)) if sizes[0] != sizes[1]]
    if axes == [2, 3]:  # of a kernel from each class to each
        return theirs[2] == theirs[3] and ours[2] == ours[3]
    return axes == [0] if name.endswith("/codes") else axes == [len(ours) - 1]


def _normalization_after(model: Any) -> dict[str, str]:
    """The batch normalization that reads a layer's output, by the layer's name."""
    from kerascnn.keras_internals import calls, is_model

    makers: dict[int, str] = {}
    after: dict[str, str] = {}
    for call in calls(model):
        if is_model(call.operation):
            after |= _normalization_after(call.operation)
        if hasattr(call.operation, "moving_mean"):
            after[makers.get(id(call.inputs[0]), "")] = call.operation.name
        makers |= {id(output): call.operation.name for output in call.outputs}
    return after
