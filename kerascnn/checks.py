"""The conformance suite: what every architecture must do, ours and a plugin's alike.

    kerascnn check resnet18                      # on the command line
    check_architecture("resnet18")               # raises, naming every check that failed

    @parametrize_with_checks(["my_net"])         # one pytest case for each check
    def test_conformance(architecture, check):
        check(architecture)

Each check is one small function whose docstring says what it protects. Networks are checked whole
but at small inputs; what needs shapes and counts only is built without values.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerascnn import registry
from kerascnn.architecture import Architecture
from kerascnn.errors import ArgumentError, KerascnnError, StrategyError

if TYPE_CHECKING:
    import keras
    import numpy as np

CLASSES = 7
BATCH = 4
TOLERANCE = 1e-4  # of the largest output, between two ways to compute the same in float32
# Beyond these numbers of layers `quick` leaves out what is slow: XLA, files, other precisions, two
# replicas; then everything that runs the network.
DEEP, VERY_DEEP = 100, 700
POINTS = 3  # random points of the search space
# A point of the search space beyond these is counted, not run.
LARGEST_PARAMS, LARGEST_MACS, LARGEST_DEPTH = 20_000_000, 500_000_000, 400


class SkipCheck(Exception):  # noqa: N818 - no error: what the check needs isn't there
    """Raised by a check that has nothing to look at; the message says why."""


Check = Callable[["Case"], None]
_checks: dict[str, Check] = {}
_quick_limit: dict[str, int] = {}


def check(function: Check) -> Check:
    """Add a function to the suite; its name without `check_` is what users see."""
    _checks[function.__name__.removeprefix("check_")] = function
    return function


def quick_up_to(layers: int) -> Callable[[Check], Check]:
    """Leave a check out for networks with more layers when the suite is run with `quick=True`."""

    def limited(function: Check) -> Check:
        _quick_limit[function.__name__.removeprefix("check_")] = layers
        return function

    return limited


def names() -> list[str]:
    """The names of all checks, in the order in which they run."""
    return list(_checks)


class Case:
    """An architecture under test, and the models that several checks look at, built once."""

    def __init__(self, architecture: Architecture) -> None:
        from kerascnn.cost import smallest_input

        self.architecture = architecture
        self.channels = architecture.card.input_shape[2]
        self.values = architecture.space.defaults()
        self.smallest = smallest_input(architecture, self.values, self.channels, CLASSES)
        # Large enough for maps of more than one pixel, odd so that rounding shows.
        self.side = max(self.smallest * 3 // 2, 24) | 1
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
    def another(self) -> keras.Model:
        """A second build of the same, without values."""
        return self.build(values=False, fresh=True)

    @property
    def layers(self) -> int:
        """How many layers it has."""
        return len(self.outline.layers)

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
            self._models[key] = model
        return self._models[key]

    def trunk(self, channels: int, pooling: str | None = None) -> keras.Model:
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


@check
@quick_up_to(VERY_DEEP)
def check_channels(case: Case) -> None:
    """Any number of channels: 1 and 4 give the same features as the native number."""
    for channels in (1, 4):
        found = case.trunk(channels, {1: "avg", 4: "max"}[channels])
        features = found(case.images(channels=channels))
        _same("features", features.shape, (BATCH, _last_dimension(case)))


@check
@quick_up_to(VERY_DEEP)
def check_odd_sizes(case: Case) -> None:
    """Odd and oblong inputs, 123×123 too, run, and give the size that `cost` reckons with."""
    least = _smallest_trunk(case)
    trunk = _before_pooling(case.trunk(1, "avg"))
    for height, width in ((least, least), (least + 1, least + 6), (max(123, least | 1),) * 2):
        expected = _feature_shape(case, (height, width, 1))
        found = trunk(case.images(height, width, 1)[:1]).shape[1:]
        _same(f"the feature map of a {height}×{width} input", found, expected)


@check
@quick_up_to(VERY_DEEP)
def check_last_dimension(case: Case) -> None:
    """Without the classifier the number of feature maps is known, at unknown sizes too."""
    expected = (None, None, None, _last_dimension(case))
    _same("the output", _before_pooling(case.trunk(1, "avg")).output_shape, expected)


@check
@quick_up_to(VERY_DEEP)
def check_pooling(case: Case) -> None:
    """pooling="avg" and "max" are the mean and the maximum of the feature map."""
    from keras import ops

    for channels, kind, reduce in ((1, "avg", ops.mean), (4, "max", ops.max)):
        images = case.images(channels=channels)
        pooled = case.trunk(channels, kind)
        features = _before_pooling(pooled)(images)
        _close(f"pooling={kind!r}", pooled(images), reduce(features, axis=(1, 2)))


@check
def check_input_tensor(case: Case) -> None:
    """Built upon someone's tensor, the model begins at that tensor's input and is the same."""
    import keras

    from kerascnn.keras_internals import without_values

    with without_values():
        start = keras.Input((case.side, case.side, case.channels), name="theirs")
        tensor = keras.layers.Rescaling(2.0, name="rescaled_by_them")(start)
    model = case.build(values=False, input_tensor=tensor, input_shape=None)
    _same("inputs", [x.name for x in model.inputs], ["theirs"])
    theirs = {"theirs", "rescaled_by_them"}
    mine = [layer.name for layer in model.layers if layer.name not in theirs]
    _same("layers", mine, _layer_names(case.outline)[1:])


@check
def check_classifier_activation(case: Case) -> None:
    """The activation is one layer after the logits, on each output, and None leaves them out."""
    softmax = case.build(values=False, classifier_activation="softmax")
    added = [x for x in softmax.layers if x.name not in _layer_names(case.outline)]
    _same("layers for the activation", len(added), len(case.outline.outputs))
    for layer in added:
        _same(f"activation of {layer.name}", layer.activation.__name__, "softmax")
        _same(f"dtype of {layer.name}", layer.compute_dtype, "float32")
    for model in (softmax, case.outline):
        for output in model.outputs:
            _same("the output", output.shape, (None, CLASSES))


@check
@quick_up_to(DEEP)
def check_serialization(case: Case) -> None:
    """A model made anew from its configuration, with the same weights, gives the same outputs."""
    copy = type(case.model).from_config(case.model.get_config())
    copy.set_weights(case.model.get_weights())
    _close("the copy", copy(case.images()), case.model(case.images()))


@check
def check_layer_names(case: Case) -> None:
    """Names are unique and the same in every build: weights and endpoints are found by them."""
    found = _layer_names(case.outline)
    _same("repeated layer names", sorted({n for n in found if found.count(n) > 1}), [])
    _same("layer names of a second build", _layer_names(case.another), found)


@check
def check_flat_graph(case: Case) -> None:
    """No model inside the model: Grad-CAM, feature extraction and surgery reach every layer."""
    from kerascnn.keras_internals import is_model

    _same("models inside", [x.name for x in case.outline.layers if is_model(x)], [])


@check
def check_builds_share_nothing(case: Case) -> None:
    """Two builds have no layer and no variable in common."""
    one, two = case.outline, case.another
    _same("layers in both", {id(x) for x in one.layers} & {id(x) for x in two.layers}, set())
    shared = {id(v) for v in one.variables} & {id(v) for v in two.variables}
    _same("variables in both", shared, set())


@check
@quick_up_to(VERY_DEEP)
def check_gradients(case: Case) -> None:
    """Every trainable variable receives a gradient that is finite and not all zero."""
    import tensorflow as tf

    model = case.model
    with tf.GradientTape() as tape:
        outputs = _as_list(model(case.images(), training=True))
        loss = tf.add_n([tf.reduce_mean(tf.square(output)) for output in outputs])
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert gradient is not None, f"{variable.path} receives no gradient"
        largest = float(tf.reduce_max(tf.abs(gradient)))
        assert 0 < largest < float("inf"), f"{variable.path}: largest gradient {largest}"


@check
@quick_up_to(VERY_DEEP)
def check_float32(case: Case) -> None:
    """Finite float32 logits, in training and in inference."""
    _finite_logits(case.model, case.images())


@check
@quick_up_to(DEEP)
def check_mixed_float16(case: Case) -> None:
    """mixed_float16: the layers compute in float16, the logits are finite and float32."""
    _mixed(case, "mixed_float16")


@check
@quick_up_to(DEEP)
def check_mixed_bfloat16(case: Case) -> None:
    """mixed_bfloat16: the layers compute in bfloat16, the logits are finite and float32."""
    _mixed(case, "mixed_bfloat16")


@check
@quick_up_to(DEEP)
def check_xla(case: Case) -> None:
    """Compiled by XLA, the model gives the outputs of eager execution."""
    import tensorflow as tf

    compiled = tf.function(functools.partial(case.model, training=False), jit_compile=True)
    _close("XLA", compiled(tf.constant(case.images())), case.model(case.images()))


@check
@quick_up_to(DEEP)
def check_keras_file(case: Case) -> None:
    """Saved to .keras and loaded, without custom_objects, the model gives the same outputs."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        case.model.save(path)
        loaded = keras.models.load_model(path)
    _close("the loaded model", loaded(case.images()), case.model(case.images()))


@check
@quick_up_to(DEEP)
def check_saved_model(case: Case) -> None:
    """Exported as a SavedModel and loaded by TensorFlow alone, it gives the same outputs."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        case.model.export(folder, format="tf_saved_model", verbose=False)
        loaded = tf.saved_model.load(folder)
        served = loaded.serve(case.images())
    _close("the SavedModel", served, case.model(case.images()))


@check
def check_card(case: Case) -> None:
    """Parameters, multiply-adds and smallest input on the card are those of the built model."""
    from kerascnn.profiling import profile

    card = case.architecture.card
    if card.params is not None or card.macs is not None:
        native = case.build(values=False, input_shape=card.input_shape, classes=card.classes)
        found = profile(native)
        for name, stated in (("params", card.params), ("macs", card.macs)):
            if stated is not None:
                _same(f"card.{name}", stated, getattr(found, name))
    if card.smallest_input is not None:
        least = _smallest_trunk(case)
        _same("card.smallest_input", card.smallest_input, (least, least))


@check
def check_cost(case: Case) -> None:
    """`cost` is exact: it gives the built model's parameters and multiply-adds."""
    _check_cost(case.architecture, case.outline, {})


@check
def check_smallest_input(case: Case) -> None:
    """One pixel less than the smallest input is refused, naming it; the smallest works."""
    for top, least in ((True, case.smallest), (False, _smallest_trunk(case))):
        shape = (least, least, case.channels)
        model = case.build(values=False, include_top=top, input_shape=shape)
        assert None not in model.output_shape[1:], f"unknown output shape {model.output_shape}"
        if least == 1:
            continue
        shape = (least - 1, least - 1, case.channels)
        message = _refusal(case.architecture, include_top=top, input_shape=shape)
        assert f"{least}×{least}" in message, f"the message omits {least}×{least}: {message}"


@check
@quick_up_to(VERY_DEEP)
def check_endpoints(case: Case) -> None:
    """Each named endpoint has the stride and the channels it promises, on real inputs."""
    import keras

    from kerascnn.features import endpoints

    trunk = _before_pooling(case.trunk(1, "avg"))
    points = endpoints(trunk)
    if not points:
        raise SkipCheck("no map is halved, so there is no endpoint")
    maps = keras.Model(trunk.input, [trunk.get_layer(p.layer).output for p in points.values()])
    largest = max(point.stride for point in points.values())
    side = max(_smallest_trunk(case), 2 * largest)
    small = _as_list(maps(case.images(side, side, 1)[:1]))
    large = _as_list(maps(case.images(side + largest, side, 1)[:1]))
    for (name, point), one, other in zip(points.items(), small, large, strict=True):
        _same(f"{name}: channels", one.shape[-1], point.channels)
        more = other.shape[1] - one.shape[1]
        _same(f"{name}: rows for {largest} more pixels", more, largest // point.stride)


@check
def check_arguments(case: Case) -> None:
    """An unknown argument lists the legal ones; a wrong value says what was expected."""
    architecture = case.architecture
    space = architecture.space
    message = _refusal(architecture, no_such_argument=1)
    for param in space:
        assert param.name in message, f"the message omits {param.name}: {message}"
        about_value = _refusal(architecture, **{param.name: object()})
        assert param.name in about_value, f"{param.name} isn't named: {about_value}"
        assert "Received:" in about_value, f"{param.name}: {about_value}"


@check
def check_space_corners(case: Case) -> None:
    """Every end of every searched range gives a legal network or a refusal that says why."""
    legal = 0
    for point in _ends(case.architecture):
        legal += _counted(case, point) is not None
    if not any(p.search for p in case.architecture.space):
        raise SkipCheck("it has no searched arguments")
    assert legal, "not one end of the search space can be built"


@check
@quick_up_to(DEEP)
def check_space_points(case: Case) -> None:
    """The lowest and the highest corner and random points build, count right, and run."""
    space = case.architecture.space
    if not any(p.search for p in space):
        raise SkipCheck("it has no searched arguments")
    rng = random.Random(0)
    points = [*_opposite_corners(case.architecture)]
    points += [space.sample(rng) for _ in range(POINTS)]
    for point in points:
        side = _counted(case, point)
        if side is None:
            continue
        shape = (side, side, case.channels)
        cost = case.architecture.cost(input_shape=shape, classes=CLASSES, **point)
        # What is too large to run at leisure is built without values and counted.
        small = cost.params < LARGEST_PARAMS and cost.macs < LARGEST_MACS
        model = case.build(fresh=True, values=small, input_shape=shape, **point)
        _check_cost(case.architecture, model, point)
        if small and len(model.layers) < LARGEST_DEPTH:
            _finite_logits(model, case.images(side)[:2], modes=(False,))


@check
@quick_up_to(DEEP)
def check_mirrored_strategy(case: Case) -> None:
    """A training step on two replicas changes the weights, and to the same on both."""
    import tensorflow as tf

    strategy = two_replicas()
    if isinstance(strategy, StrategyError):
        raise SkipCheck(str(strategy))
    with strategy.scope():
        model = case.build(fresh=True)
        variables = [v.value for v in model.trainable_variables]
    before = [v.numpy() for v in model.trainable_variables]

    def step(images: Any) -> None:
        with tf.GradientTape() as tape:
            outputs = _as_list(model(images, training=True))
            loss = tf.add_n([tf.reduce_mean(tf.square(output)) for output in outputs])
        gradients = tape.gradient(loss, variables)
        context = tf.distribute.get_replica_context()
        for variable, gradient in zip(variables, context.all_reduce("mean", gradients)):
            variable.assign_sub(0.01 * gradient / (1e-9 + tf.norm(gradient)))

    halves = [case.images()[: BATCH // 2], case.images()[BATCH // 2 :]]
    batch = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(halves[context.replica_id_in_sync_group])
    )
    strategy.run(step, args=(batch,))
    changed = False
    for variable, old in zip(variables, before):
        one, two = (replica.numpy() for replica in strategy.experimental_local_results(variable))
        assert (one == two).all(), f"{variable.name} differs between the replicas"
        changed |= bool((one != old).any())
    assert changed, "no weight changed"


@functools.cache
def two_replicas() -> Any:
    """The process's strategy on two replicas, or the StrategyError that says why there is none."""
    from kerascnn.training import strategies

    try:
        return strategies.resolve("mirrored:2")
    except StrategyError as error:
        return error


# What the checks are written with.


def _same(what: str, found: Any, expected: Any) -> None:
    found = tuple(found) if isinstance(expected, tuple) else found
    assert found == expected, f"{what}: {found} != {expected}"


def _close(what: str, found: Any, expected: Any) -> None:
    from keras import ops

    for one, other in zip(_as_list(found), _as_list(expected), strict=True):
        one, other = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
        worst = abs(one - other).max() / max(abs(other).max(), 1e-12)
        assert worst <= TOLERANCE, f"{what}: differs by {worst:.1e} of the largest output"


def _as_list(outputs: Any) -> list[Any]:
    if isinstance(outputs, Mapping):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _layer_names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


def _before_pooling(model: keras.Model) -> keras.Model:
    """The feature map of a model that ends with a global pooling layer."""
    import keras

    return keras.Model(model.input, model.layers[-1].input)


def _last_dimension(case: Case) -> int:
    """Feature maps before the head, from the shapes alone."""
    return _feature_shape(case, (case.side, case.side, case.channels))[-1]


def _feature_shape(case: Case, shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Shape of the feature map, as `cost` reckons it."""
    from kerascnn.cost import Ledger, Sketch
    from kerascnn.keras_internals import without_values

    try:
        with without_values():
            return case.architecture.trunk(Sketch((None, *shape), Ledger()), case.values).shape[1:]
    except KerascnnError:
        raise
    except Exception:  # a builder of keras.layers, which take no sketch: its graph has the shapes
        return case.build(values=False, include_top=False, input_shape=shape).output_shape[1:]


def _smallest_trunk(case: Case) -> int:
    from kerascnn.cost import smallest_input

    return smallest_input(case.architecture, case.values, case.channels, None)


def _finite_logits(
    model: keras.Model, images: np.ndarray, modes: Sequence[bool] = (False, True)
) -> None:
    from keras import ops
    from keras.backend import standardize_dtype

    for training in modes:
        for output in _as_list(model(images, training=training)):
            _same("dtype of the logits", standardize_dtype(output.dtype), "float32")
            assert bool(ops.all(ops.isfinite(output))), f"not finite with training={training}"


def _mixed(case: Case, policy: str) -> None:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = case.build(fresh=True)
    finally:
        keras.config.set_dtype_policy(before)
    compute = policy.removeprefix("mixed_")
    assert any(layer.compute_dtype == compute for layer in model.layers), f"none is in {compute}"
    _finite_logits(model, case.images())


def _check_cost(architecture: Architecture, model: keras.Model, point: Mapping[str, Any]) -> None:
    from kerascnn.profiling import profile

    shape = model.input_shape[1:]
    reckoned = architecture.cost(input_shape=shape, classes=CLASSES, **point)
    found = profile(model)
    _same(f"cost{point or ''}", (reckoned.params, reckoned.macs), (found.params, found.macs))


def _refusal(architecture: Architecture, **arguments: Any) -> str:
    try:
        architecture(**arguments)
    except ArgumentError as error:  # InputSizeError is one, too
        return str(error)
    raise AssertionError(f"accepted: {arguments}")


def _ends(architecture: Architecture) -> Iterator[dict[str, Any]]:
    """One scalar at a time at each end of its range, or at each of its values."""
    for scalar in architecture.space.scalars():
        for value in _extremes(scalar):
            yield architecture.space.assemble({scalar.name: value})


def _opposite_corners(architecture: Architecture) -> Iterator[dict[str, Any]]:
    """All scalars at the low end, and all at the high end."""
    for end in (0, -1):
        scalars = architecture.space.scalars()
        yield architecture.space.assemble({s.name: _extremes(s)[end] for s in scalars})


def _extremes(scalar: Any) -> Sequence[Any]:
    values = scalar.searched_values()
    if values is None:
        return (scalar.search.low, scalar.search.high)
    if isinstance(scalar.search, tuple):
        return values
    return tuple(type(scalar.default)(value) for value in (values[0], values[-1]))


def _counted(case: Case, point: Mapping[str, Any]) -> int | None:
    """A side at which this point of the space can be built; None if a rule forbids the point."""
    from kerascnn.cost import smallest_input

    architecture = case.architecture
    try:
        values = architecture.space.validate(point, owner=architecture.name)
        side = max(case.side, smallest_input(architecture, values, case.channels, CLASSES))
        architecture.cost(input_shape=(side, side, case.channels), classes=CLASSES, **point)
    except ArgumentError:  # by a rule, or because no input is large enough
        return None
    return side


# Running the suite.


@dataclass(frozen=True)
class Outcome:
    """What became of one check.

    Attributes:
        architecture, check: names.
        status: "ok", "failed", "expected failure" or "skipped".
        reason: why, where the status isn't "ok".
        seconds: how long it took.
    """

    architecture: str
    check: str
    status: str
    reason: str = ""
    seconds: float = 0.0


def run_checks(
    architecture: str | Architecture,
    *,
    expected_failures: Mapping[str, str] | None = None,
    quick: bool = False,
) -> Iterator[Outcome]:
    """Run the suite, yielding each outcome as it comes.

    Args:
        architecture: a name from `list_architectures()`, or the architecture itself.
        expected_failures: check → the reason why it is expected to fail; one that passes
            nevertheless has failed.
        quick: leave out the slow checks of deep networks; see `DEEP`.

    Raises:
        ArgumentError: a name in `expected_failures` is no check.
    """
    expected = _known(expected_failures or {})
    case = _case(architecture)
    gc.collect()  # the last case's models are cycles that hold gigabytes
    for name in _checks:
        start = time.perf_counter()
        status, reason = _judge(name, case, quick)
        if name in expected and status != "skipped":
            failed = status == "failed"
            status = "expected failure" if failed else "failed"
            reason = ("" if failed else "passes, but was expected to fail: ") + expected[name]
        seconds = time.perf_counter() - start
        yield Outcome(case.architecture.name, name, status, reason, seconds)


def _judge(name: str, case: Case, quick: bool) -> tuple[str, str]:
    try:
        run_check(name, case, quick=quick)
    except SkipCheck as skip:
        return "skipped", str(skip)
    except Exception as error:  # a crash in the architecture is a failed check, too
        kind = "" if type(error) is AssertionError else f"{type(error).__name__}: "
        return "failed", f"{kind}{error}"
    return "ok", ""


def run_check(name: str, case: Case, *, quick: bool = False) -> None:
    """Run one check on a case.

    Raises:
        SkipCheck: it doesn't apply.
        AssertionError: it failed.
    """
    import keras

    limit = _quick_limit.get(name)
    if quick and limit is not None and case.layers > limit:
        raise SkipCheck(f"slow, and the network has more than {limit} layers")
    keras.utils.set_random_seed(0)
    _checks[name](case)


def check_architecture(
    architecture: str | Architecture,
    *,
    expected_failures: Mapping[str, str] | None = None,
    quick: bool = False,
) -> list[Outcome]:
    """Run the whole suite; see `run_checks` for the arguments.

    Raises:
        AssertionError: naming every check that failed, with its reason.
    """
    outcomes = list(run_checks(architecture, expected_failures=expected_failures, quick=quick))
    failed = [f"{o.check}: {o.reason}" for o in outcomes if o.status == "failed"]
    if failed:
        name = outcomes[0].architecture
        raise AssertionError("\n".join([f"{name}: {len(failed)} checks failed", *failed]))
    return outcomes


def parametrize_with_checks(
    architectures: Sequence[str | Architecture],
    *,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    quick: bool = False,
) -> Any:
    """A pytest decorator: one case for each architecture and check.

        @parametrize_with_checks(["my_net"], expected_failures={"my_net": {"xla": "why"}})
        def test_conformance(architecture, check):
            check(architecture)

    Args:
        architectures: names, or the architectures themselves.
        expected_failures: architecture's name → check → reason. These cases become strict
            `xfail`s: one that passes fails the test, so that the list stays true.
        quick: see `run_checks`.
    """
    import pytest

    expected_failures = expected_failures or {}
    cases = []
    for architecture in architectures:
        name = architecture if isinstance(architecture, str) else architecture.name
        expected = _known(expected_failures.get(name, {}))
        for each in _checks:
            marks = []
            if each in expected:
                marks.append(pytest.mark.xfail(reason=expected[each], strict=True))
            check_ = functools.partial(_check_in_pytest, each, quick=quick)
            cases.append(pytest.param(architecture, check_, marks=marks, id=f"{name}-{each}"))
    return pytest.mark.parametrize(("architecture", "check"), cases)


def _check_in_pytest(name: str, architecture: str | Architecture, *, quick: bool) -> None:
    import pytest

    try:
        run_check(name, _case(architecture), quick=quick)
    except SkipCheck as skip:
        pytest.skip(str(skip))


@functools.lru_cache(maxsize=1)
def _case(architecture: str | Architecture) -> Case:
    """The case of an architecture; only the latest is kept, with its models."""
    gc.collect()  # models are cyclic garbage, and Python does not see how large they are
    if isinstance(architecture, str):
        architecture = registry.get(architecture)
    return Case(architecture)


def _known(expected: Mapping[str, str]) -> Mapping[str, str]:
    for name in expected:
        if name not in _checks:
            raise ArgumentError(f"There is no check {name!r}. Checks: {', '.join(_checks)}.")
    return expected
