"""Architecture: with Card and Space, all that the author of an architecture needs.

An architecture is data and one function. `build` is a plain keyword-only functional builder that
the variants of a family share; `config` is the variant's row of arguments. Everything that
keras.applications repeats in every file (inputs, validation, head, pooling, activation, weights)
is done here, once.
"""

from __future__ import annotations

import functools
import html
import inspect
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from kerascnn import registry, tables
from kerascnn.card import Card, Source
from kerascnn.errors import ArgumentError
from kerascnn.space import Space
from kerascnn.words import did_you_mean

if TYPE_CHECKING:
    import os

    import keras

    from kerascnn.cost import Cost
    from kerascnn.recipes.recipe import Recipe


_CALL = (
    ("include_top", True),
    ("weights", None),
    ("input_tensor", None),
    ("input_shape", None),
    ("pooling", None),
    ("classes", None),
    ("classifier_activation", "softmax"),
    ("name", None),
)
_POOLING = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Architecture:
    """A named network: a family's builder, a row of arguments, a card and a space.

    Calling it builds a flat functional `keras.Model` and has the signature of keras.applications,
    plus the family's own keyword arguments, which `space` declares:

        resnet18(include_top=True, weights=None, input_tensor=None, input_shape=None, pooling=None,
                 classes=None, classifier_activation="softmax", name=None, **family_arguments)

    Attributes:
        name: the name users type.
        build: `build(inputs, *, ...) -> features`, the network without its classifier;
            `inputs` and `features` are `[batch, height, width, channels]`.
        head: `head(features, *, classes, ...) -> logits`, or a list of logits of which the first
            is the main one. Default: global average pooling and one dense layer.
        card: paper, exact counts, published results, deviations.
        space: every keyword of `build` and `head` (except `classes`), declared once.
        config: this variant's values where they differ from the family's defaults.
        recipe: how `kerascnn train` trains it unless told otherwise.
        weights: what others have published for it; the first whose `requires` the arguments meet
            is `weights="imagenet"`.
    """

    name: str
    build: Callable[..., Any]
    card: Card
    space: Space = field(default_factory=Space)
    config: Mapping[str, Any] = field(default_factory=dict)
    head: Callable[..., Any] | None = None
    recipe: Recipe | None = None
    weights: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name, "an architecture's name")
        declared = {param.name for param in self.space}
        written = set(self._build_keywords) | set(self._head_keywords)
        if declared != written:
            raise ValueError(
                f"{self.name}: the space must declare exactly the keyword-only arguments of build "
                f"and head. Missing: {sorted(written - declared)}; "
                f"unknown to both: {sorted(declared - written)}."
            )
        object.__setattr__(self, "space", self.space.with_defaults(self.config, owner=self.name))
        object.__setattr__(self, "__doc__", self._doc())

    @functools.cached_property
    def _build_keywords(self) -> tuple[str, ...]:
        return _keywords(self.build, self.name)

    @functools.cached_property
    def _head_keywords(self) -> tuple[str, ...]:
        if self.head is None:
            return ()
        return tuple(k for k in _keywords(self.head, self.name) if k != "classes")

    @property
    def __signature__(self) -> inspect.Signature:
        """The signature that `help` and notebooks show, with this variant's defaults."""
        kinds = inspect.Parameter
        common = [kinds(n, kinds.POSITIONAL_OR_KEYWORD, default=d) for n, d in _CALL]
        own = [kinds(p.name, kinds.KEYWORD_ONLY, default=p.default) for p in self.space]
        return inspect.Signature(common + own)

    def _doc(self) -> str:
        lines = [
            f"{self.card.title} ({self.card.authors}, {self.card.year}; {self.card.link}).",
            "",
        ]
        lines += [f"{p.name}: {p.help} Legal: {p.expected()}." for p in self.space]
        return "\n".join(lines)

    def variant(
        self,
        name: str,
        *,
        card: Card | None = None,
        recipe: Recipe | None = None,
        weights: tuple[Source, ...] | None = None,
        **config: Any,
    ) -> Architecture:
        """Another row of the same family: `resnet18.variant("resnet10", depths=(1, 1, 1, 1))`.

        Args:
            name: its name.
            card: its card; without one, the paper's counts and results are left out.
            recipe: its recipe; without one, this architecture's.
            weights: what is published for it; None: what is published for this architecture, which
                fits as long as the arguments are those that it requires.
            **config: arguments that differ from this architecture's.

        Raises:
            ArgumentError: an argument is unknown or illegal.
        """
        if card is None:
            card = replace(self.card, params=None, macs=None, smallest_input=None, results=())
        if weights is None:
            defaults = self.space.defaults()
            weights = tuple(replace(s, trained={**defaults, **s.trained}) for s in self.weights)
        return replace(
            self,
            name=name,
            card=card,
            config={**self.config, **self.space.renamed(config)},
            recipe=recipe or self.recipe,
            weights=weights,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """For `pickle` and `copy`: an installed architecture is its name, any other its parts.

        The parts are functions of modules, by their names. A builder that was written inside of
        another function can't be pickled, as Python says then.
        """
        if registry.imported(registry.ARCHITECTURES, self.name) is self:
            return registry.load, (registry.ARCHITECTURES, self.name, Architecture)
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return _assembled, (values,)

    def __repr__(self) -> str:
        return f"<Architecture {self.name}: {self.card.title} ({self.card.year})>"

    def _repr_html_(self) -> str:
        """The card and the arguments as notebooks show them."""
        card = self.card
        published = [f"{r.metric} {_listed(r.value, '/')} ({r.protocol})" for r in card.results]
        facts = {
            "paper": f"{card.title} ({card.authors}, {card.year}; {card.link})",
            "input": "×".join(map(str, card.input_shape)),
            "classes": f"{card.classes:,}",
            "parameters": f"{card.params:,}" if card.params else "",
            "multiply-adds": f"{card.macs:,}" if card.macs else "",
            "published": "; ".join(published),
            "deviations": " ".join(card.deviations),
        }
        arguments = [(p.name, _listed(p.default, ", "), p.expected(), p.help) for p in self.space]
        return (
            f"<b>{html.escape(self.name)}</b>"
            + tables.html(("", ""), [(key, value) for key, value in facts.items() if value])
            + tables.html(("argument", "default", "legal", "meaning"), arguments)
        )

    def __call__(
        self,
        include_top: bool = True,
        weights: str | os.PathLike[str] | None = None,
        input_tensor: Any = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = None,
        **arguments: Any,
    ) -> keras.Model:
        """Build the model.

        Args:
            include_top: whether to include the classifier.
            weights: None for a random initialisation; "imagenet", or one publisher's as in
                "imagenet:keras", for published weights (those of its `weights`); or a file.
                A classifier for another number of classes keeps its random initialisation, and
                the first convolution is adapted to the number of channels.
            input_tensor: a Keras tensor `[batch, height, width, channels]` to build upon.
            input_shape: `(height, width, channels)`; any number of channels. Default: the card's,
                or `(None, None, channels)` without the classifier.
            pooling: without the classifier: None for the feature map, "avg" or "max" for its
                global average or maximum.
            classes: number of classes; default: the card's.
            classifier_activation: the activation on the logits, of the layer that computes them
                where that can have one; None returns logits.
            name: the model's name; default: the architecture's.
            **arguments: the family's own, see `space`.

        Returns:
            A flat functional `keras.Model`.

        Raises:
            ArgumentError: an argument is unknown or illegal; the message says what was expected.
            InputSizeError: the input is too small; the message names the smallest legal size.
            WeightsError: there are no such weights, or they don't fit.
        """
        import keras

        from kerascnn.cost import check_input
        from kerascnn.heads import activated
        from kerascnn.keras_internals import allow_deep_graphs
        from kerascnn.windows import FORMAT

        self._check_known(arguments)
        values = self.space.validate(arguments, owner=self.name)
        self._check_call(include_top, pooling, name)
        _check_activation(classifier_activation, f"{self.name}: classifier_activation")
        classes = self._check_classes(classes)
        if weights is not None:
            from kerascnn.weights.pretrained import require

            require(self, weights, values)
        inputs, sources = self._inputs(include_top, input_tensor, input_shape)
        check_input(self, values, inputs.shape[1:], classes if include_top else None)
        outputs = self.trunk(inputs, values)
        if include_top:
            logits = self.classifier(outputs, classes, values)
            outputs = activated(logits, classifier_activation)
        elif pooling:
            pool = getattr(keras.layers, _POOLING[pooling])
            outputs = pool(**FORMAT, name=f"{pooling}_pool")(outputs)
        allow_deep_graphs()
        model = keras.Model(sources, outputs, name=name or self.name)
        if weights is not None:
            from kerascnn.weights.pretrained import load_into

            load_into(model, self, weights, values, include_top=include_top, inputs=input_tensor)
        return model

    def _check_known(self, arguments: Mapping[str, Any]) -> None:
        own, common = [param.name for param in self.space], [name for name, _ in _CALL]
        for name in self.space.renamed(arguments):
            if name not in own:
                raise ArgumentError(
                    f"{self.name} has no argument {name!r}.{did_you_mean(name, own + common)} "
                    f"Its own arguments: {', '.join(own) or 'none'}. "
                    f"Those of every architecture: {', '.join(common)}."
                )

    def _check_call(self, include_top: bool, pooling: str | None, name: str | None) -> None:
        if name is not None:
            _check_name(name, f"{self.name}: name")
        if pooling not in (None, *_POOLING):
            raise ArgumentError(
                f'{self.name}: pooling must be None, "avg" or "max". Received: {pooling!r}.'
            )
        if pooling and include_top:
            raise ArgumentError(
                f"{self.name}: pooling has an effect with include_top=False only. "
                f"Received: pooling={pooling!r}, include_top=True."
            )

    def _check_classes(self, classes: int | None) -> int:
        if classes is None:
            return self.card.classes
        if (number := _positive(classes)) is None:
            raise ArgumentError(
                f"{self.name}: classes must be a positive integer. Received: {classes!r}."
            )
        return number

    def _inputs(
        self, include_top: bool, input_tensor: Any, input_shape: tuple | None
    ) -> tuple[Any, Any]:
        """The tensor to build upon, and the model's inputs."""
        import keras

        from kerascnn.keras_internals import sources

        if input_tensor is not None:
            if not keras.backend.is_keras_tensor(input_tensor):
                raise ArgumentError(
                    f"{self.name}: input_tensor must be a Keras tensor, such as keras.Input gives. "
                    f"Received: {type(input_tensor).__name__}."
                )
            if input_shape is not None and tuple(input_shape) != tuple(input_tensor.shape[1:]):
                raise ArgumentError(
                    f"{self.name}: input_shape {tuple(input_shape)} contradicts input_tensor, "
                    f"whose shape is {tuple(input_tensor.shape[1:])}. Pass one of them."
                )
            self._check_shape(tuple(input_tensor.shape[1:]))
            found = sources(input_tensor)
            return input_tensor, found[0] if len(found) == 1 else found
        if input_shape is None:
            native = self.card.input_shape
            input_shape = native if include_top else (None, None, native[2])
        inputs = keras.Input(self._check_shape(input_shape), name="input")
        return inputs, inputs

    def _check_shape(self, shape: Any, *, known: bool = False) -> tuple[Any, ...]:
        """The shape as integers; height and width may be None unless they must be `known`."""
        try:
            height, width, channels = shape
        except (TypeError, ValueError):
            height = width = channels = 0
        found = (_positive(height), _positive(width), _positive(channels))
        open_ = None in found[:2] and known
        if open_ or found[2] is None or (height, width) != found[:2]:
            raise ArgumentError(
                f"{self.name}: input_shape must be (height, width, channels), positive integers"
                f"{'' if known else '; height and width may be None'}. Received: {shape!r}."
            )
        return found

    def trunk(self, inputs: Any, values: Mapping[str, Any]) -> Any:
        """The feature map on `inputs`, with complete arguments as `space.validate` returns them."""
        from kerascnn.blocks import channels_last

        with channels_last():
            return self.build(inputs, **{k: values[k] for k in self._build_keywords})

    def classifier(self, features: Any, classes: int, values: Mapping[str, Any]) -> Any:
        """The logits on a feature map: one tensor, or a list whose first is the main one."""
        from kerascnn.blocks import channels_last, global_average_head

        head = self.head or global_average_head
        with channels_last():
            return head(features, classes=classes, **{k: values[k] for k in self._head_keywords})

    def preprocess_input(self, images: Any, weights: str | None = None, **arguments: Any) -> Any:
        """Pixels as the network takes them; see `kerascnn.preprocessing.preprocess_input`."""
        from kerascnn.preprocessing import preprocess_input

        return preprocess_input(images, self, weights, **arguments)

    def decode_predictions(
        self, predictions: Any, top: int = 5
    ) -> list[list[tuple[str, str, float]]]:
        """ImageNet's names of the likeliest classes; see `kerascnn.weights.decode_predictions`."""
        from kerascnn.weights import decode_predictions

        return decode_predictions(predictions, top)

    def cost(
        self,
        input_shape: tuple[int, int, int] | None = None,
        classes: int | None = None,
        **arguments: Any,
    ) -> Cost:
        """Trainable parameters and MACs, exactly those of the built model, without building it.

        Args:
            input_shape: `(height, width, channels)`; default: the card's.
            classes: number of classes; default: the card's.
            **arguments: the family's own.

        Raises:
            ArgumentError, InputSizeError: the model can't be built.
        """
        from kerascnn.cost import cost

        values = self.space.validate(arguments, owner=self.name)
        shape: Any = self._check_shape(input_shape or self.card.input_shape, known=True)
        return cost(self, values, shape, self._check_classes(classes))


def _listed(value: Any, comma: str) -> str:
    return comma.join(map(str, value)) if isinstance(value, tuple) else str(value)


def _assembled(parts: dict[str, Any]) -> Architecture:
    return Architecture(**parts)


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


def _check_name(name: object, what: str) -> None:
    """TensorFlow makes a scope of a model's name when it compiles the model, and is particular."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\-]*", name):
        raise ArgumentError(
            f"{what} must begin with a letter or digit and consist of letters, digits, '_', '-' "
            f"and '.'. Received: {name!r}."
        )


def _keywords(function: Callable[..., Any], owner: str) -> tuple[str, ...]:
    """The keyword-only arguments of a builder, which must be explicit and without defaults."""
    parameters = list(inspect.signature(function).parameters.values())
    keywords = [p for p in parameters[1:] if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if len(keywords) != len(parameters) - 1 or any(p.default is not p.empty for p in keywords):
        raise ValueError(
            f"{owner}: {function.__name__} must take one tensor and then keyword-only arguments "
            "without defaults (the space holds the defaults). "
            f"Received: {inspect.signature(function)}."
        )
    return tuple(p.name for p in keywords)
