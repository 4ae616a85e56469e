"""Network: what is built, with everything that was asked of it checked."""

from __future__ import annotations

import functools
import html
import inspect
import io
import operator
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn import tables
from kerascnn.card import Preprocessing, Source
from kerascnn.errors import ArgumentError, WeightsError
from kerascnn.space import Space

if TYPE_CHECKING:
    import keras

    from kerascnn.cost import Cost
    from kerascnn.features import Endpoint
    from kerascnn.profiles import Profile
    from kerascnn.recipes.recipe import Recipe
    from kerascnn.weights.fitting import Part
    from kerascnn.weights.report import Report

_POOLING = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}


BACKBONE = "backbone:"
"""What stands before the weights of a backbone, as in "backbone:imagenet"."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """That a network is built upon another, whose trained weights it can start from.

    Its weights are then also called "backbone:imagenet", "backbone:imagenet:PUBLISHER" and
    "backbone:PATH" of a run or a file: those of the other network. The layers of that have the same
    names here, or those that `renamed` says.

    Attributes:
        network: the other one, without its classifier, as a function of all arguments.
        renamed: layers of its classifier that are here, too: `{"fc1": "fc6"}`. Dense layers there
            may be convolutions here.
    """

    network: Callable[[Mapping[str, Any]], Network]
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Network:
    """An architecture with complete, checked arguments, an input shape and a number of classes.

    `Architecture.network` makes one of what a user gives. From there it is passed on whole, and
    nobody checks again; with `dataclasses.replace` it gets other classes or another input.

    Attributes:
        name, build, head, space, weights, preprocessing, recipe, task, scores, backbone: the
            architecture's.
        arguments: all of its own arguments.
        given: those of them that the user gave.
        input_shape: `(height, width, channels)`; height and width may be None.
        classes: number of classes; None: without the classifier.

    Raises:
        ArgumentError: `input_shape` or `classes` is illegal.
    """

    name: str
    build: Callable[..., Any]
    head: Callable[..., Any] | None
    space: Space
    weights: tuple[Source, ...]
    preprocessing: Preprocessing
    recipe: Recipe | None
    task: str
    scores: bool
    backbone: Backbone | None
    arguments: Mapping[str, Any]
    given: Mapping[str, Any]
    input_shape: tuple[int | None, int | None, int]
    classes: int | None

    def __post_init__(self) -> None:
        shape = _checked_shape(self.input_shape, self.name)
        object.__setattr__(self, "input_shape", shape)
        if self.classes is None:
            return
        if (classes := _positive(self.classes)) is None:
            raise ArgumentError(
                f"{self.name}: classes must be a positive integer. Received: {self.classes!r}."
            )
        object.__setattr__(self, "classes", classes)

    def _repr_html_(self) -> str:
        """Its size and arguments as notebooks show them, and a drawing if its input has a size."""
        shape = "×".join("any" if side is None else str(side) for side in self.input_shape)
        facts = {"task": self.task, "input": shape}
        facts["classes"] = "none" if self.classes is None else f"{self.classes:,}"
        drawing = ""
        if None not in self.input_shape:
            measured = self.profile()
            facts["parameters"] = f"{measured.params:,}"
            facts["multiply-adds"] = f"{measured.macs:,}"
            drawing = tables.picture(_page(measured), f"a drawing of {self.name}")
        arguments = [
            (name, value, "yes" if name in self.given else "")
            for name, value in self.arguments.items()
        ]
        return (
            f"<b>{html.escape(self.name)}</b>"
            + tables.html(("", ""), list(facts.items()))
            + tables.html(("argument", "value", "given"), arguments)
            + drawing
        )

    def with_given(self, arguments: Mapping[str, Any]) -> Network:
        """The same, with these arguments besides those that the user gave.

        Raises:
            ArgumentError: one is unknown or illegal.
        """
        if not arguments:
            return self
        given = {**self.given, **arguments}
        values = self.space.validate(given, owner=self.name)
        return replace(self, arguments=values, given={name: values[name] for name in given})

    def features(self, inputs: Any) -> Any:
        """The feature map on `inputs`, `[batch, height, width, channels]`: a tensor or a sketch."""
        from kerascnn.blocks import channels_last

        with channels_last():
            return self.build(inputs, **self._of(self.build))

    def logits(self, features: Any, image: Any) -> Any:
        """The scores on a feature map: one tensor, or a list whose first is the main one.

        Args:
            features: what `features` gives.
            image: the inputs that it was given, for a head that asks for them.
        """
        from kerascnn.blocks import channels_last, global_average_head

        head: Callable[..., Any] = self.head or global_average_head
        given = {"classes": self.classes}
        if "image" in keywords(head):
            given["image"] = image
        with channels_last():
            return head(features, **self._of(head), **given)

    def _of(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Those of the arguments that a builder or a head takes."""
        return {n: self.arguments[n] for n in keywords(function) if n in self.arguments}

    def outputs(self, inputs: Any) -> Any:
        """The logits, or the feature map of a network without its classifier."""
        features = self.features(inputs)
        return features if self.classes is None else self.logits(features, inputs)

    def model(
        self,
        *,
        weights: str | os.PathLike[str] | None = None,
        input_tensor: Any = None,
        pooling: str | None = None,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = None,
    ) -> keras.Model:
        """Build it; for arguments and errors see `Architecture.__call__`, which does this.

        Raises:
            ArgumentError, InputSizeError, WeightsError: before anything is built, but for weights
                that don't fit.
        """
        import keras

        from kerascnn.heads import activated
        from kerascnn.keras_internals import allow_deep_graphs, sources
        from kerascnn.windows import FORMAT

        if name is not None:
            check_name(name, f"{self.name}: name")
        if pooling not in (None, *_POOLING):
            raise ArgumentError(
                f'{self.name}: pooling must be None, "avg" or "max". Received: {pooling!r}.'
            )
        if pooling and self.classes is not None:
            raise ArgumentError(
                f"{self.name}: pooling has an effect with include_top=False only. "
                f"Received: pooling={pooling!r}, include_top=True."
            )
        _check_activation(classifier_activation, f"{self.name}: classifier_activation")
        if not self.scores and classifier_activation not in (None, "softmax"):
            raise ArgumentError(
                f"{self.name} answers with no scores that a classifier_activation could stand on. "
                f"Received: {classifier_activation!r}. Leave it out."
            )
        if weights is not None:
            self.require(weights)
        self.check_input()
        if input_tensor is None:
            inputs = ends = keras.Input(self.input_shape, name="input")
        else:
            inputs, found = input_tensor, sources(input_tensor)
            ends = found[0] if len(found) == 1 else found
        outputs = self.outputs(inputs)
        if self.classes is not None and self.scores:
            outputs = activated(outputs, classifier_activation)
        elif pooling:
            pool = getattr(keras.layers, _POOLING[pooling])
            outputs = pool(**FORMAT, name=f"{pooling}_pool")(outputs)
        allow_deep_graphs()
        model = keras.Model(ends, outputs, name=name or self.name)
        if weights is not None:
            self.load(model, weights, inputs=input_tensor)
        return model

    def cost(self) -> Cost:
        """Trainable parameters and MACs, exactly those of the built model, without building it.

        Raises:
            ArgumentError: height or width isn't known.
            InputSizeError: the input is too small; the message names the smallest legal size.
        """
        from kerascnn.cost import cost

        _checked_shape(self.input_shape, self.name, known=True)
        return cost(self.outputs, self.input_shape, owner=self.name, usual=self._usual())

    def profile(self) -> Profile:
        """Layer by layer what `kerascnn.profile` says of the built model, without building it.

        In float32, with a softmax on the logits. A network that isn't written in
        `kerascnn.blocks` is built without values.

        Raises:
            ArgumentError, InputSizeError: as for `cost`.
        """
        from kerascnn.sketch import activated, drawn, profiled

        height, width, channels = _checked_shape(self.input_shape, self.name, known=True)
        self.check_input()
        sketch = drawn(self.outputs, (height, width, channels))
        if sketch is not None:
            image, outputs = sketch
            if self.classes is not None and self.scores:
                outputs = activated(outputs, "softmax")
            return profiled(self.name, image, outputs)
        from kerascnn.keras_internals import without_values
        from kerascnn.profiling import profile

        with without_values():
            return profile(self.model())

    def check_input(self) -> None:
        """Refuse an input that is too small, as `cost` does; an unknown size is none.

        Raises:
            InputSizeError: the message names the smallest legal size.
        """
        from kerascnn.cost import cost

        if any(self.input_shape[:2]):
            cost(self.outputs, self.input_shape, owner=self.name, usual=self._usual())

    def smallest_input(self) -> int:
        """The smallest legal side of a square input, in pixels, whatever its own input is.

        Raises:
            InputSizeError: no input is large enough for these arguments.
        """
        from kerascnn.cost import smallest_input

        channels = self.input_shape[2]
        return smallest_input(self.outputs, channels, owner=self.name, usual=self._usual())

    def class_layers(self) -> tuple[str, ...]:
        """The layers whose size follows from the number of classes, such as the classifier.

        They are found by comparison with the network of one class more; both are built without
        values.
        """
        from kerascnn.keras_internals import leaf_layers, without_values

        def shapes(network: Network) -> dict[str, list[tuple[int, ...]]]:
            layers = leaf_layers(network.model(classifier_activation=None))
            return {layer.name: [tuple(one.shape) for one in layer.weights] for layer in layers}

        with without_values():
            own, other = shapes(self), shapes(replace(self, classes=(self.classes or 0) + 1))
        return tuple(name for name, found in own.items() if found != other[name])

    def endpoints(self) -> dict[str, Endpoint]:
        """The maps that others can build upon, of the network without its classifier.

        They are read off a model whose weights have no values, at no size in particular. See
        `kerascnn.endpoints`.
        """
        from kerascnn.features import endpoints
        from kerascnn.keras_internals import without_values

        bare = replace(self, classes=None, input_shape=(None, None, self.input_shape[2]))
        with without_values():
            return endpoints(bare.model())

    def _usual(self) -> Callable[[Any], Any] | None:
        """What builds it with kernels that are nowhere larger than the architecture's own."""
        own = self.space.with_own_kernels(self.arguments)
        return None if own == self.arguments else replace(self, arguments=own).outputs

    def published(self, weights: str) -> Source:
        """The published weights of this name: "imagenet", "imagenet:PUBLISHER", another's `data`.

        Args:
            weights: their name; behind "backbone:" those of the backbone.

        Raises:
            WeightsError: there are none for this network; the message lists what there is.
        """
        from kerascnn.weights.sources import find

        owner, name = self._owner(weights)
        if owner is self and self.backbone and not self.weights:
            raise WeightsError(
                f"No ImageNet weights are published for {self.name}. Start from those of its "
                f"backbone, as in weights={BACKBONE + str(name)!r}. Received: {weights!r}."
            )
        return find(owner.weights, str(name), owner.arguments, owner=owner.name)

    def sources(self, weights: str | os.PathLike[str]) -> tuple[Source, ...]:
        """What is published for it; of weights called "backbone:..." for its backbone.

        Raises:
            WeightsError: there is no backbone.
        """
        return self._owner(weights)[0].weights

    def require(self, weights: str | os.PathLike[str]) -> Source | None:
        """Refuse weights that don't exist, before anything is built or fetched.

        Args:
            weights: "imagenet", "imagenet:PUBLISHER" or a file; behind "backbone:" those of the
                backbone, of which a run will do, too.

        Returns:
            The published weights; None: it is a file.

        Raises:
            WeightsError: there are no such weights; the message says which there are.
        """
        from kerascnn.weights.pretrained import published_name

        owner, name = self._owner(weights)
        found = published_name(name, owner.weights, owner=owner.name)
        return None if found is None else self.published(os.fspath(weights))

    def load(
        self,
        model: keras.Model,
        weights: str | os.PathLike[str],
        *,
        inputs: Any = None,
        left_out: Collection[str] = (),
        verbose: bool = True,
    ) -> Report:
        """Load weights into the model that was built from it.

        Args:
            model: the model.
            weights: "imagenet", "imagenet:PUBLISHER" or a file; behind "backbone:" those of the
                backbone, which leave the rest of the model as it is.
            inputs: the tensor that the model was built upon, if not its own input.
            left_out: layers of the model that stay as they are; of a file's weights alone.
            verbose: print the report to stderr if anything was adapted or left out.

        Raises:
            WeightsError: no such weights, they can't be fetched, or they don't fit.
        """
        from kerascnn.weights.loading import load
        from kerascnn.weights.pretrained import load_published

        source = self.require(weights)
        owner, name = self._owner(weights)
        part = None
        if owner is not self:
            assert self.backbone is not None
            part = owner._part(self.backbone.renamed)
        if source is None:
            return load(model, name, inputs=inputs, part=part, left_out=left_out, verbose=verbose)
        return load_published(
            model,
            source,
            arguments=owner.arguments,
            defaults=owner.space.defaults(),
            include_top=part is not None or self.classes is not None,
            inputs=inputs,
            part=part,
            verbose=verbose,
        )

    def _owner(self, weights: str | os.PathLike[str]) -> tuple[Network, str | os.PathLike[str]]:
        """Whose weights these are, and how they are called there.

        Raises:
            WeightsError: they are of a backbone, and there is none.
        """
        if not isinstance(weights, str) or not weights.startswith(BACKBONE):
            return self, weights
        if self.backbone is None:
            raise WeightsError(
                f"{self.name} is not built upon another network, so it has no weights of a "
                f"backbone. Received: {weights!r}."
            )
        name = weights.removeprefix(BACKBONE)
        path = Path(name).expanduser()
        inside = path / "model.keras" if path.is_dir() else name
        return self.backbone.network(self.arguments), os.fspath(inside)

    def _part(self, renamed: Mapping[str, str]) -> Part:
        """What it is of a model that is built upon it, where these further layers are, too."""
        from kerascnn.keras_internals import leaf_layers, without_values
        from kerascnn.weights.fitting import Part

        bare = replace(self, classes=None, input_shape=(None, None, self.input_shape[2]))
        with without_values():
            layers = [layer.name for layer in leaf_layers(bare.model()) if layer.weights]
        return Part(name=self.name, layers=frozenset(layers), renamed=renamed)


def _page(measured: Profile) -> bytes:
    """The drawing of a network, as PNG."""
    from kerascnn.drawing.outline import outline
    from kerascnn.drawing.page import page

    content = io.BytesIO()
    page(outline(measured)).savefig(content, format="png")
    return content.getvalue()


def shape_of(tensor: Any, shape: Any, owner: str) -> Any:
    """The shape of a tensor to build upon, which one that was given must not contradict."""
    import keras

    if not keras.backend.is_keras_tensor(tensor):
        raise ArgumentError(
            f"{owner}: input_tensor must be a Keras tensor, such as keras.Input gives. "
            f"Received: {type(tensor).__name__}."
        )
    found = tuple(tensor.shape[1:])
    if shape is not None and tuple(shape) != found:
        raise ArgumentError(
            f"{owner}: input_shape {tuple(shape)} contradicts input_tensor, "
            f"whose shape is {found}. Pass one of them."
        )
    return found


def _checked_shape(shape: Any, owner: str, *, known: bool = False) -> tuple[Any, ...]:
    """The shape as integers; height and width may be None unless they must be `known`."""
    try:
        height, width, channels = shape
    except (TypeError, ValueError):
        height = width = channels = 0
    found = (_positive(height), _positive(width), _positive(channels))
    open_ = None in found[:2] and known
    if open_ or found[2] is None or (height, width) != found[:2]:
        raise ArgumentError(
            f"{owner}: input_shape must be (height, width, channels), positive integers"
            f"{'' if known else '; height and width may be None'}. Received: {shape!r}."
        )
    return found


def _positive(value: Any) -> int | None:
    """The value as a positive integer, NumPy's too; None if it isn't one."""
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
    return number if number > 0 else None


def _check_activation(activation: object, what: str) -> None:
    import keras

    try:
        keras.activations.get(activation)
    except (TypeError, ValueError):
        raise ArgumentError(
            f'{what} must be None, one of keras.activations such as "softmax", or a function. '
            f"Received: {activation!r}."
        ) from None


def check_name(name: object, what: str) -> None:
    """TensorFlow makes a scope of a model's name when it compiles the model, and is particular."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\-]*", name):
        raise ArgumentError(
            f"{what} must begin with a letter or digit and consist of letters, digits, '_', '-' "
            f"and '.'. Received: {name!r}."
        )


@functools.cache
def keywords(function: Callable[..., Any]) -> tuple[str, ...]:
    """The keyword-only arguments of a builder or head, which must be explicit and have no defaults.

    Raises:
        ValueError: it has others.
    """
    parameters = list(inspect.signature(function).parameters.values())
    found = [p for p in parameters[1:] if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if len(found) != len(parameters) - 1 or any(p.default is not p.empty for p in found):
        raise ValueError(
            f"{function.__name__} must take one tensor and then keyword-only arguments "
            "without defaults (the space holds the defaults). "
            f"Received: {inspect.signature(function)}."
        )
    return tuple(p.name for p in found)
