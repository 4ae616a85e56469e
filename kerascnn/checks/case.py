"""What is checked, an architecture with its models, and what checks are written with."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kerascnn.architecture import Architecture
from kerascnn.errors import InputStepError, KerascnnError, StrategyError
from kerascnn.network import Network
from kerascnn.recipes import trusted
from kerascnn.recipes.recipe import Recipe
from kerascnn.tasks.objective import Objective
from kerascnn.tasks.task import find

if TYPE_CHECKING:
    import keras
    import numpy as np

CLASSES = 7
BATCH = 4
TOLERANCE = 1e-4  # of the largest output, between two ways to compute the same in float32


class Case:
    """An architecture under test, and the models that several checks look at, built once."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.task = find(architecture.task)
        self.channels = architecture.card.input_shape[2]
        self.network = architecture.network(classes=CLASSES)
        self.smallest = self.network.smallest_input()
        # Large enough for maps of more than one pixel, odd so that rounding shows.
        self.side = legal_side(self.network, max(self.smallest * 3 // 2, 24) | 1)
        self._models: dict[str, keras.Model] = {}
        two_replicas()  # TensorFlow must learn of the second device before it starts

    @property
    def model(self) -> keras.Model:
        """The network that most checks look at: small input, few classes, logits."""
        return self.build()

    @functools.cached_property
    def outline(self) -> keras.Model:
        """The same network without values."""
        return self.build(values=False)

    @functools.cached_property
    def scores(self) -> tuple[keras.Model, bool]:
        """What training works on, without values, and whether that gives logits."""
        return self.task.scores(self.outline)

    @functools.cached_property
    def another(self) -> keras.Model:
        """A second build of the same, without values."""
        return self.build(values=False, fresh=True)

    @property
    def layers(self) -> int:
        """How many layers it has."""
        return len(self.outline.layers)

    @property
    def features(self) -> int:
        """How many feature maps there are before the head, from the shapes alone."""
        return self.feature_shape((self.side, self.side, self.channels))[-1]

    @property
    def is_map(self) -> bool:
        """Whether the main output answers for places of the image, `[batch, h, w, classes]`."""
        return len(self.outline.outputs[0].shape) == 4

    @property
    def trunk(self) -> Network:
        """The network without its classifier."""
        return replace(self.network, classes=None)

    @property
    def smallest_features(self) -> int:
        """The smallest side of an input without the classifier."""
        return self.trunk.smallest_input()

    def feature_shape(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """Shape of the feature map, as `cost` reckons it."""
        return self._shapes(self.trunk, shape)[0]

    def output_shapes(self, shape: tuple[int, int, int]) -> list[tuple[int, ...]]:
        """Shapes of the outputs, as `cost` reckons them."""
        return self._shapes(self.network, shape)

    def _shapes(self, network: Network, shape: tuple[int, int, int]) -> list[tuple[int, ...]]:
        from kerascnn.keras_internals import without_values
        from kerascnn.sketch import Ledger, Sketch

        try:
            with without_values():
                outputs = as_list(network.outputs(Sketch((None, *shape), Ledger())))
        except KerascnnError:
            raise
        except Exception:  # a builder of keras.layers, which take no sketch
            top = network.classes is not None
            outputs = self.build(values=False, include_top=top, input_shape=shape).outputs
        return [tuple(output.shape[1:]) for output in outputs]

    def objective(self) -> Objective:
        """What a training of this network, with the recipe it has, minimises and counts."""
        scores, from_logits = self.scores
        recipe = self.architecture.recipe or Recipe()
        return self.task.objective(
            replace(recipe, loss=trusted.own(recipe, lambda _: None)),
            scores=scores,
            classes=CLASSES,
            from_logits=from_logits,
        )

    def targets(self) -> np.ndarray:
        """Random ones of the task's for `images`, `[batch, ...]`, the same each time."""
        import numpy as np

        generator = np.random.default_rng(0)
        scores, _ = self.scores
        return self.task.random_targets(generator, scores=scores, classes=CLASSES, count=BATCH)

    def draws(self) -> np.ndarray:
        """What a network may draw by, of a seed and an epoch of 0: see `Task.training`."""
        import numpy as np

        return np.stack([(0, 0, n) for n in range(BATCH)]).astype("int32")

    def taught(self, model: keras.Model) -> Callable[[Any, Any, Any], Any]:
        """The loss `[batch]` of a training step of a model, from images, targets and draws."""
        objective = self.objective()
        learner = self.task.training(self.task.scores(model)[0])

        def loss(images: Any, targets: Any, draws: Any) -> Any:
            given = [images, targets, draws] if len(learner.inputs) > 1 else images
            return objective.loss(targets, as_list(learner(given, training=True)))

        return loss

    def build(self, *, values: bool = True, fresh: bool = False, **arguments: Any) -> keras.Model:
        """A model, the same one for the same arguments.

        Args:
            values: whether its weights need values; without, it can be looked at but not run.
            fresh: build another one.
            **arguments: those of the architecture, where they differ from the usual case's.
        """
        import keras

        from kerascnn.keras_internals import without_values

        side, channels = self.side, self.channels
        call = {"input_shape": (side, side, channels), "classes": CLASSES, **arguments}
        call = {"classifier_activation": None, **call}
        key = repr((values, keras.config.dtype_policy().name, sorted(call.items(), key=repr)))
        if fresh or key not in self._models:
            with contextlib.nullcontext() if values else without_values():
                model = self.architecture(**call)
            if fresh:
                return model
            if values:
                settle(model, self.images(channels=model.input_shape[-1]))
            self._models[key] = model
        return self._models[key]

    def headless(self, channels: int, pooling: str | None = None) -> keras.Model:
        """The network without classifier, for any input size."""
        shape = (None, None, channels)
        return self.build(include_top=False, pooling=pooling, input_shape=shape)

    def images(
        self, height: int | None = None, width: int | None = None, channels: int | None = None
    ) -> np.ndarray:
        """Normal noise, `[batch, height, width, channels]`, the same each time."""
        import numpy as np

        height = height or self.side
        shape = (BATCH, height, width or height, channels or self.channels)
        return np.random.default_rng(0).normal(size=shape).astype("float32")


def legal_side(network: Network, least: int) -> int:
    """The smallest side of a square input from `least` on that a network takes."""
    sides = [least]
    while sides:
        side = sides.pop(0)
        shape = (side, side, network.input_shape[2])
        try:
            replace(network, input_shape=shape).check_input()
        except InputStepError as error:
            sides = [nearest for nearest in error.nearest if nearest > side]
        else:
            return side
    raise AssertionError(f"no legal input from {least} pixels on is named")


def settle(model: keras.Model, images: np.ndarray) -> None:
    """Bring a network nearer to a trained one: its normalizations, and scores that start at zero.

    A kernel of zeros, such as FCN's scores have at first, gets noise: it lets no gradient through.

    The statistics of each batch normalization move half-way to those of these images.

    With the statistics that training starts from, which say that nothing needs normalization, each
    block of a residual network doubles the variance: after 50 of them float16 overflows, after 300
    float32. Half-way, because a map that is the same in these few images would be blown up by all
    of it, and its rounding errors with it.
    """
    import keras
    import numpy as np

    noise = np.random.default_rng(0)
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and not np.any(kernel):
            kernel.assign(noise.normal(0, 0.1, kernel.shape))
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.5
    if norms:
        model(images, training=True)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


@functools.cache
def two_replicas() -> Any:
    """The process's strategy on two replicas, or the StrategyError that says why there is none."""
    from kerascnn.distribution import strategies

    try:
        return strategies.resolve_strategy("mirrored:2")
    except StrategyError as error:
        return error


def as_list(outputs: Any) -> list[Any]:
    """A model's outputs, however it groups them."""
    if isinstance(outputs, Mapping):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def layer_names(model: keras.Model) -> list[str]:
    """In the order of the model."""
    return [layer.name for layer in model.layers]


def before_pooling(model: keras.Model) -> keras.Model:
    """The feature map of a model that ends with a global pooling layer."""
    import keras

    return keras.Model(model.input, model.layers[-1].input)


def same(what: str, found: Any, expected: Any) -> None:
    """Fail, naming what it is, unless both are equal."""
    found = tuple(found) if isinstance(expected, tuple) else found
    assert found == expected, f"{what}: {found} != {expected}"


def close(what: str, found: Any, expected: Any) -> None:
    """Fail, naming what it is, unless all outputs agree within `TOLERANCE` of the largest."""
    from keras import ops

    for one, other in zip(as_list(found), as_list(expected), strict=True):
        one, other = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
        worst = abs(one - other).max() / max(abs(other).max(), 1e-12)
        assert worst <= TOLERANCE, f"{what}: differs by {worst:.1e} of the largest output"


def finite_logits(
    model: keras.Model, images: np.ndarray, modes: Sequence[bool] = (False, True)
) -> None:
    """Fail unless the logits are float32 and finite, with these values of `training`."""
    from keras import ops
    from keras.backend import standardize_dtype

    for training in modes:
        for output in as_list(model(images, training=training)):
            same("dtype of the logits", standardize_dtype(output.dtype), "float32")
            assert bool(ops.all(ops.isfinite(output))), f"not finite with training={training}"
