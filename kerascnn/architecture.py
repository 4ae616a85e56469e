"""Architecture: with Card and Space, all that the author of an architecture needs.

An architecture is data and one function. `build` is a plain keyword-only functional builder that
the variants of a family share; `config` is the variant's row of arguments. Everything that
keras.applications repeats in every file (inputs, validation, head, pooling, activation, weights)
is done here, once.
"""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from kerascnn import registry, tables
from kerascnn.card import Card, Preprocessing, Source
from kerascnn.network import Backbone, Network, check_name, keywords, shape_of
from kerascnn.space import Space

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
            is the main one. Default: global average pooling and one dense layer. One that takes
            `image`, too, gets the network's input, such as for the size of an answer.
        card: paper, exact counts, published results, deviations.
        space: every keyword of `build` and `head` (except `classes` and `image`), declared once.
        config: this variant's values where they differ from the family's defaults.
        recipe: how `kerascnn train` trains it unless told otherwise.
        paper_recipe: the name of its paper's recipe (`--recipe paper`), which is in
            `kerascnn.recipes.papers`.
        weights: what others have published for it; the first whose `requires` the arguments meet
            is `weights="imagenet"`.
        task: what it is made for, a name of `kerascnn.registry.TASKS`; its distribution may bring
            it, and it is looked up when it is used.
        scores: whether it answers with a score of each class, which `classifier_activation` stands
            on; False: with something else, such as boxes, and as it is.
        backbone: the other network that it is built upon, if it is, whose weights it can start
            from. Built upon another one than by default, it takes images as that one does.
    """

    name: str
    build: Callable[..., Any]
    card: Card
    space: Space = field(default_factory=Space)
    config: Mapping[str, Any] = field(default_factory=dict)
    head: Callable[..., Any] | None = None
    recipe: Recipe | None = None
    paper_recipe: str | None = None
    weights: tuple[Source, ...] = ()
    task: str = "classification"
    scores: bool = True
    backbone: Backbone | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "an architecture's name")
        check_name(self.task, f"{self.name}: task")
        declared = {param.name for param in self.space}
        written = set(self._keywords(self.build))
        if self.head is not None:
            written |= set(self._keywords(self.head)) - {"classes", "image"}
        if declared != written:
            raise ValueError(
                f"{self.name}: the space must declare exactly the keyword-only arguments of build "
                f"and head. Missing: {sorted(written - declared)}; "
                f"unknown to both: {sorted(declared - written)}."
            )
        object.__setattr__(self, "space", self.space.with_defaults(self.config, owner=self.name))
        object.__setattr__(self, "__doc__", self._doc())

    def _keywords(self, function: Callable[..., Any]) -> tuple[str, ...]:
        try:
            return keywords(function)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

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
        paper_recipe: str | None = None,
        weights: tuple[Source, ...] | None = None,
        **config: Any,
    ) -> Architecture:
        """Another row of the same family: `resnet18.variant("resnet10", depths=(1, 1, 1, 1))`.

        Args:
            name: its name.
            card: its card; without one, the paper's counts, results, tables and peers are left out.
            recipe: its recipe; without one, this architecture's.
            paper_recipe: the name of its paper's; None: this architecture's, unless `card` is of
                another paper or for another input.
            weights: what is published for it; None: what is published for this architecture, which
                fits as long as the arguments are those that it requires.
            **config: arguments that differ from this architecture's.

        Raises:
            ArgumentError: an argument is unknown or illegal.
        """
        if card is None:
            card = replace(
                self.card,
                params=None,
                macs=None,
                smallest_input=None,
                results=(),
                table=None,
                claims=(),
                peers={},
            )
        same_paper = (card.link, card.input_shape) == (self.card.link, self.card.input_shape)
        if weights is None:
            defaults = self.space.defaults()
            weights = tuple(replace(s, trained={**defaults, **s.trained}) for s in self.weights)
        return replace(
            self,
            name=name,
            card=card,
            config={**self.config, **self.space.renamed(config)},
            recipe=recipe or self.recipe,
            paper_recipe=paper_recipe or (self.paper_recipe if same_paper else None),
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
            "task": self.task,
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
                "imagenet:keras", for published weights (those of its `weights`); or a file. Behind
                "backbone:" those of its backbone, of which a run's directory will do, too.
                A classifier for another number of classes keeps its random initialisation, and
                the first convolution is adapted to the number of channels.
            input_tensor: a Keras tensor `[batch, height, width, channels]` to build upon.
            input_shape: `(height, width, channels)`; any number of channels. Default: the card's,
                or `(None, None, channels)` without the classifier.
            pooling: without the classifier: None for the feature map, "avg" or "max" for its
                global average or maximum.
            classes: number of classes; default: the card's.
            classifier_activation: the activation on the logits, of the layer that computes them
                where that can have one; None returns logits. It has no effect where `scores` is
                False.
            name: the model's name; default: the architecture's.
            **arguments: the family's own, see `space`.

        Returns:
            A flat functional `keras.Model`.

        Raises:
            ArgumentError: an argument is unknown or illegal; the message says what was expected.
            InputSizeError: the input is too small; the message names the smallest legal size.
            WeightsError: there are no such weights, or they don't fit.
        """
        self.space.require_known(
            self.space.renamed(arguments), owner=self.name, common=[name for name, _ in _CALL]
        )
        if input_tensor is not None:
            input_shape = shape_of(input_tensor, input_shape, self.name)
        network = self.network(
            arguments, input_shape=input_shape, classes=classes, include_top=include_top
        )
        return network.model(
            weights=weights,
            input_tensor=input_tensor,
            pooling=pooling,
            classifier_activation=classifier_activation,
            name=name,
        )

    def network(
        self,
        arguments: Mapping[str, Any] | None = None,
        *,
        input_shape: tuple[int | None, int | None, int] | None = None,
        classes: int | None = None,
        include_top: bool = True,
    ) -> Network:
        """The network that is asked for, its arguments, input shape and classes checked; not built.

        Args:
            arguments: the family's own; those that are missing have their defaults.
            input_shape: `(height, width, channels)`; height and width may be None. Default: the
                card's, or `(None, None, channels)` without the classifier.
            classes: default: the card's.
            include_top: whether it has its classifier.

        Raises:
            ArgumentError: one of these is unknown or illegal.
        """
        values = self.space.validate(arguments or {}, owner=self.name)
        if input_shape is None:
            native = self.card.input_shape
            input_shape = native if include_top else (None, None, native[2])
        network = Network(
            name=self.name,
            build=self.build,
            head=self.head,
            space=self.space,
            weights=self.weights,
            backbone=self.backbone,
            preprocessing=self._preprocessing(values),
            recipe=self.recipe,
            task=self.task,
            scores=self.scores,
            arguments=values,
            given={name: values[name] for name in self.space.renamed(arguments or {})},
            input_shape=input_shape,
            classes=self.card.classes if classes is None else classes,
        )
        return network if include_top else replace(network, classes=None)

    def _preprocessing(self, values: Mapping[str, Any]) -> Preprocessing:
        """What it expects of images with these arguments."""
        if self.backbone is not None:
            own, other = map(self.backbone.network, (self.space.defaults(), values))
            if own.name != other.name:
                return other.preprocessing
        return self.card.preprocessing

    def preprocess_input(self, images: Any, weights: str | None = None, **arguments: Any) -> Any:
        """What `keras.applications.NAME.preprocess_input` does: pixels as the network takes them.

        Args:
            images: RGB in 0..255, `[..., height, width, channels]`; not changed in place.
            weights: what the model's `weights` was: published weights expect what they were
                trained with ("imagenet", "imagenet:keras"); None: the paper's preprocessing.
            **arguments: the model's own, where the choice of the weights depends on them.

        Returns:
            float32 of the same shape.

        Raises:
            WeightsError: there are no such weights.
        """
        from kerascnn.preprocessing import preprocess

        known = self._preprocessing(self.space.validate(arguments, owner=self.name))
        if weights is not None:
            known = self.network(arguments).published(weights).preprocessing
        return preprocess(images, known)

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
        return self.network(arguments, input_shape=input_shape, classes=classes).cost()


def _listed(value: Any, comma: str) -> str:
    return comma.join(map(str, value)) if isinstance(value, tuple) else str(value)


def _assembled(parts: dict[str, Any]) -> Architecture:
    return Architecture(**parts)
