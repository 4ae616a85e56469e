"""Updates and evaluation: the same few lines for one device and for many replicas.

keras.Model.fit can't be used as it is: under MirroredStrategy it clips before the gradients are
summed, fails on an uneven first batch and on several steps per execution, and makes a new iterator
for each epoch. The engine is built on public API only: `strategy.run`, a Keras optimizer, a Keras
loss. It runs many steps in one call and returns sums, so Python is out of the way.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascnn.runs.position import Totals
from kerascnn.tasks.objective import Objective


class Engine:
    """Trains and evaluates a model by an objective.

    An update changes the weights once. It takes one global batch, or as many as `accumulation`
    says; the mean of their gradients is that of one batch that is so many times as large.

    Args:
        model: a keras.Model built under `strategy`; its first output is the one that counts.
        learner: what an update runs, of the model's layers: see `kerascnn.tasks.Task.training`.
            With three inputs it is given images, targets and what its draws are made of. Default:
            the model.
        strategy: as `kerascnn.resolve_strategy` returns it.
        optimizer: built under the strategy; None to evaluate only.
        objective: what is minimised and counted; None: nothing, to get outputs only.
        clip_norm: largest global norm of the update's gradient.
        accumulation: global batches in an update.
        slowed: variables whose learning rate is a part of the optimizer's.
        slowness: this part.
        ema: decay of a moving average of all weights, normalization statistics included; `averaged`
            uses it. None: none.
        jit: compile the step with XLA (one device only).

    Attributes:
        averages: the averaged weights, in the order of `model.weights`; empty without `ema`.
        clocked: whether the wait for batches is measured: TensorFlow's determinism
            (`tf.config.experimental.enable_op_determinism`) forbids reading the clock.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        strategy: tf.distribute.Strategy,
        learner: keras.Model | None = None,
        objective: Objective | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        clip_norm: float | None = None,
        accumulation: int = 1,
        slowed: Sequence[keras.Variable] = (),
        slowness: float = 1.0,
        ema: float | None = None,
        jit: bool = False,
    ) -> None:
        self.model = model
        self.learner = model if learner is None else learner
        self.strategy = strategy
        self.optimizer = optimizer
        self.objective = objective
        self._clip_norm = clip_norm
        self._accumulation = accumulation
        self._slowed, self._slowness = list(slowed), slowness
        self._ema = ema
        self._replicas = strategy.num_replicas_in_sync
        self.clocked = _has_clock()
        self._learning: list[keras.Variable] = list(model.trainable_variables)
        self._kept: dict[int, tf.Variable] = {}  # a variable's id → the sum of its gradients
        with strategy.scope():
            self.averages = [_copy(w) for w in model.weights] if ema is not None else []
            self._before = [_copy(variable) for variable in self._slowed]
            if accumulation > 1:
                self._kept = {id(v): _sum_of_gradients(v) for v in self._learning}
        compiled = functools.partial(tf.function, jit_compile=True) if jit else _as_it_is
        self._first, self._last = compiled(self._add_replica), compiled(self._update_replica)
        self._train = tf.function(self._train_updates, reduce_retracing=True)
        self._evaluate = tf.function(self._evaluate_steps, reduce_retracing=True)
        self._judge = tf.function(self._judge_step, reduce_retracing=True)
        self._forward = tf.function(self._forward_replica, reduce_retracing=True)

    @property
    def draws(self) -> bool:
        """Whether an update's batches have three parts: see `learner`."""
        return len(self.learner.inputs) > 1

    @property
    def counts(self) -> int:
        """How many sums are counted beside the loss: see `Totals.sums`."""
        found = self.objective
        return len(found.parts) + found.size if found else 0

    @property
    def judged(self) -> Callable[[np.ndarray], Mapping[str, float]] | None:
        """From all answers to the measures that need them; None: none does."""
        return self.objective.judged if self.objective else None

    def figures(self, totals: Totals) -> dict[str, float]:
        """The mean loss, its logged parts and the measures, as the history has them."""
        found = self.objective
        assert found is not None
        images, parts = totals.images, len(found.parts)
        means = np.array(totals.sums[:parts]) / images if images else np.full(parts, np.nan)
        named = zip((f"loss_{name}" for name in found.parts), means.tolist())
        counted = found.figures(np.array(totals.sums[parts:]), images)
        return {"loss": totals.mean_loss, **dict(named), **counted}

    def distribute(self, dataset: tf.data.Dataset) -> Any:
        """An endless dataset of batches, split between the replicas.

        With several workers the dataset has this worker's share of each global batch, else all of
        it. Batches are of one size.
        """
        strategy = self.strategy
        if isinstance(strategy, tf.distribute.MirroredStrategy):
            return strategy.experimental_distribute_dataset(dataset)
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            share = tf.nest.flatten(dataset.element_spec)[0].shape[0]
            each = share // len(strategy.extended.worker_devices)
            split = dataset if each == share else dataset.rebatch(each, drop_remainder=True)
            return strategy.distribute_datasets_from_function(lambda context: split)
        return dataset.prefetch(tf.data.AUTOTUNE)

    def learn(self, variables: Sequence[keras.Variable]) -> None:
        """Train these variables only, from the next update on.

        Call it after a change of which layers are trainable, too: the graph is made anew.
        """
        self._learning = list(variables)
        self._train = tf.function(self._train_updates, reduce_retracing=True)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model its averaged weights for a while; without `ema` it keeps its own."""
        own = [weight.numpy() for weight in self.model.weights] if self.averages else []
        try:
            for weight, average in zip(self.model.weights, self.averages):
                weight.assign(average.numpy())
            yield
        finally:
            for weight, value in zip(self.model.weights, own):
                weight.assign(value)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """As `averaged`, for callbacks: a weight that they change stays so, in the average too."""
        before = self.result() if self.averages else []
        with self.averaged():
            yield
            after = [weight.numpy() for weight in self.model.weights] if self.averages else []
        for index, (old, new) in enumerate(zip(before, after)):
            if not np.array_equal(old, new, equal_nan=True):
                self.averages[index].assign(new)
                self.model.weights[index].assign(new)

    @property
    def evaluated(self) -> list[keras.Variable]:
        """The variables that `evaluate` uses: the averages if there are any, or the weights."""
        return self.averages or self.model.weights

    def result(self) -> list[np.ndarray]:
        """Their values."""
        return [variable.numpy() for variable in self.evaluated]

    def put(self, values: Sequence[Any]) -> None:
        """Give them other values, as `result` returns them."""
        for variable, value in zip(self.evaluated, values, strict=True):
            variable.assign(np.asarray(value))

    def update(self, batches: Any, updates: int) -> Totals:
        """Run `updates` updates on an iterator of (inputs, targets), and what `draws` says."""
        sums, bad = self._train(batches, tf.constant(updates))
        return _totals(sums, int(bad))

    def evaluate(self, batches: Any, steps: int) -> Totals:
        """Sums over `steps` batches made by `filled`, each image once."""
        return _totals(self._evaluate(batches, tf.constant(steps)), -1)

    def judge(self, batches: Any, steps: int) -> tuple[Totals, np.ndarray]:
        """The same, and the objective's answers to all images, `[images, ...]`, on each worker."""
        totals, found = Totals(sums=(0.0,) * self.counts), []
        for _ in range(steps):
            sums, answers, real = self._judge(batches)
            totals += _totals(sums, -1)
            found.append(answers.numpy()[real.numpy() > 0])
        return totals, np.concatenate(found)

    def output(self, inputs: Any) -> np.ndarray:
        """The first output, `[batch, ...]`, in inference mode, on one device."""
        return self._forward(inputs).numpy()

    @tf.autograph.experimental.do_not_convert
    def _train_updates(self, batches: Any, updates: Any) -> tuple[Any, Any]:
        def body(number: Any, sums: Any, bad: Any) -> tuple[Any, Any, Any]:
            new = self._one_update(batches)
            found = tf.logical_and(bad < 0, tf.logical_not(tf.math.is_finite(new[0])))
            return number + 1, sums + new, tf.where(found, number, bad)

        _, sums, bad = tf.while_loop(
            lambda number, *_: number < updates,
            body,
            (tf.constant(0), self._nothing(), tf.constant(-1)),
            parallel_iterations=1,
        )
        return sums, bad

    def _one_update(self, batches: Any) -> Any:
        sums = self._nothing()
        if self._accumulation > 1:

            def body(number: Any, sums: Any) -> tuple[Any, Any]:
                return number + 1, sums + self._run(self._first, batches)

            _, sums = tf.while_loop(
                lambda number, _: number < self._accumulation - 1,
                body,
                (tf.constant(0), sums),
                parallel_iterations=1,
            )
        self._assign(self._before, self._slowed, lambda before, now: before.assign(now))
        sums += self._run(self._last, batches)
        self._slow()
        self._follow()
        return sums

    def _run(self, step: Callable[..., Any], batches: Any) -> Any:
        """The sum over replicas of what `step` returns for the next batch, and the wait for it."""
        began = self._now()
        with tf.control_dependencies([began]):
            batch = next(batches)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            waited = self._now() - began
        results = self.strategy.run(step, args=batch)
        sums = self.strategy.reduce(tf.distribute.ReduceOp.SUM, results, axis=None)
        return tf.concat([sums, [waited]], axis=0)

    def _now(self) -> Any:
        return tf.timestamp() if self.clocked else tf.zeros([], tf.float64)

    def _follow(self) -> None:
        """Move the averages towards the weights.

        Young averages forget faster, as tf.train.ExponentialMovingAverage with `num_updates` does
        it: the first weights, which are random, would stay in them for 1 / (1 - decay) updates.
        """
        if self._ema is None:
            return
        assert self.optimizer is not None
        count = tf.cast(self.optimizer.iterations, tf.float64)
        rate = 1 - tf.minimum(tf.constant(self._ema, tf.float64), (1 + count) / (10 + count))

        def move(average: Any, weight: Any) -> Any:
            return average.assign_sub((average - weight) * tf.cast(rate, average.dtype))

        self._assign(self.averages, self.model.weights, move)

    def _slow(self) -> None:
        """Take back what the update has moved some variables too far.

        Keras's optimizers have one rate for all. Their change of a weight, decoupled decay
        included, is in proportion to it: a part of the change is the change at a part of the rate.
        It lies between two weights within a constraint, so it is within it, too.
        """

        def back(now: Any, before: Any) -> Any:
            return now.assign(before + self._slowness * (now - before))

        self._assign(self._slowed, self._before, back)

    def _assign(
        self,
        targets: Sequence[keras.Variable],
        sources: Sequence[keras.Variable],
        assign: Callable[[Any, Any], Any],
    ) -> None:
        """`assign(target, source)` on each replica by itself."""
        for target, source in zip(targets, sources, strict=True):
            self.strategy.extended.update(target.value, assign, args=(source.value,))

    @tf.autograph.experimental.do_not_convert
    def _evaluate_steps(self, batches: Any, steps: Any) -> Any:
        def body(step: Any, sums: Any) -> tuple[Any, Any]:
            return step + 1, sums + self._run(self._evaluate_replica, batches)

        start = (tf.constant(0), self._nothing())
        return tf.while_loop(lambda step, _: step < steps, body, start, parallel_iterations=1)[1]

    @tf.autograph.experimental.do_not_convert
    def _add_replica(self, inputs: Any, targets: Any, *draws: Any) -> Any:
        """Keep the gradient of a batch for the update that it belongs to."""
        gradients, sums = self._gradients(inputs, targets, *draws)
        for variable, gradient in zip(self._learning, gradients):
            if gradient is not None:
                self._kept[id(variable)].assign_add(gradient)
        return sums

    @tf.autograph.experimental.do_not_convert
    def _update_replica(self, inputs: Any, targets: Any, *draws: Any) -> Any:
        """Change the weights, by the gradient of this batch and of those that were kept."""
        assert self.optimizer is not None
        gradients, sums = self._gradients(inputs, targets, *draws)
        reached = [v for v, g in zip(self._learning, gradients) if g is not None]
        gradients = [g for g in gradients if g is not None]
        if self._kept:
            kept = [self._kept[id(variable)] for variable in reached]
            gradients = [total.read_value() + g for total, g in zip(kept, gradients)]
        self.optimizer.apply_gradients(zip(self._whole(gradients), reached))
        for variable in reached if self._kept else ():
            self._kept[id(variable)].assign(tf.zeros(variable.shape, variable.dtype))
        return sums

    def _gradients(self, inputs: Any, targets: Any, *draws: Any) -> tuple[list[Any], Any]:
        """This replica's part of the update's gradient, and its part of the `Totals`."""
        assert self.optimizer is not None
        assert self.objective is not None
        # Batches are of one size in training, so the update's images are this many.
        images = tf.shape(inputs)[0] * self._replicas * self._accumulation
        with tf.GradientTape() as tape:
            given = [inputs, targets, *draws] if self.draws else inputs
            outputs = _listed(self.learner(given, training=True))
            parts = self.objective.losses(targets, outputs)
            instead = self.objective.minimised
            minimised = instead(targets, outputs) if instead else _whole_loss(parts)
            loss = tf.reduce_sum(minimised) / tf.cast(images, minimised.dtype)
            if penalties := self.learner.losses:
                loss += tf.add_n([tf.cast(part, loss.dtype) for part in penalties]) / (
                    self._replicas * self._accumulation
                )
            scaled = self.optimizer.scale_loss(loss)
        real = tf.ones(tf.shape(inputs)[:1], tf.bool)
        return tape.gradient(scaled, self._learning), self._sums(parts, targets, outputs, real)

    def _whole(self, gradients: list[Any]) -> list[Any]:
        """Gradients from which each replica sees what the optimizer's sum over replicas will be.

        Clipping must limit that sum, and the check of a float16 gradient for overflow must come
        to one result: LossScaleOptimizer asks the first replica only.
        """
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        if self._replicas > 1 and (scaled or self._clip_norm is not None):
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            # The optimizer is going to sum over the replicas once more.
            return [gradient / self._replicas for gradient in self._clip(gradients)]
        return self._clip(gradients)

    def _clip(self, gradients: list[Any]) -> list[Any]:
        if self._clip_norm is None:
            return gradients
        assert self.optimizer is not None
        limit = self.optimizer.scale_loss(tf.constant(self._clip_norm, gradients[0].dtype))
        return tf.clip_by_global_norm(gradients, limit)[0]

    @tf.autograph.experimental.do_not_convert
    def _evaluate_replica(self, inputs: Any, targets: Any, real: Any) -> Any:
        assert self.objective is not None
        outputs = _listed(self.model(inputs, training=False))
        return self._sums(self.objective.losses(targets, outputs), targets, outputs, real)

    @tf.autograph.experimental.do_not_convert
    def _judge_step(self, batches: Any) -> tuple[Any, Any, Any]:
        """Sums, the answers of all replicas and workers, and which of them are to real images."""
        sums, answers, real = self.strategy.run(self._judge_replica, args=next(batches))
        sums = self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)
        gathered = (self.strategy.gather(part, axis=0) for part in (answers, real))
        return tf.concat([sums, [0.0]], axis=0), *gathered

    @tf.autograph.experimental.do_not_convert
    def _judge_replica(self, inputs: Any, targets: Any, real: Any) -> tuple[Any, Any, Any]:
        assert self.objective is not None
        assert self.objective.answers is not None
        outputs = _listed(self.model(inputs, training=False))
        sums = self._sums(self.objective.losses(targets, outputs), targets, outputs, real)
        answers = self.objective.answers(targets, outputs)
        return sums, answers, tf.cast(real, tf.float32)

    @tf.autograph.experimental.do_not_convert
    def _forward_replica(self, inputs: Any) -> Any:
        return _listed(self.model(inputs, training=False))[0]

    def _sums(self, parts: Mapping[str, Any], targets: Any, outputs: list[Any], real: Any) -> Any:
        """Loss, its logged parts, what the objective counts, and images; float64."""
        objective = self.objective
        assert objective is not None
        each = [_whole_loss(parts), *(parts[name] for name in objective.parts)]
        summed = [tf.reduce_sum(tf.where(real, part, tf.zeros_like(part))) for part in each]
        losses = tf.cast(tf.stack(summed), tf.float64)
        images = tf.reduce_sum(tf.cast(real, tf.float64))
        return tf.concat([losses, objective.sums(targets, outputs, real), images[None]], axis=0)

    def _nothing(self) -> Any:
        """Sums of no images; in 64 bits an epoch's sum doesn't depend on how it was divided."""
        return tf.zeros(3 + self.counts, tf.float64)


def filled(batches: tf.data.Dataset, size: int) -> tf.data.Dataset:
    """Batches for `Engine.evaluate`, all of one size, and which of their images are real.

    An uneven batch can leave a replica without an image, and TensorFlow's convolutions give wrong
    shapes for none; besides, another size would compile everything once more. So the last batch is
    filled up with zeros.
    """

    def fill(images: Any, targets: Any) -> tuple[Any, Any, Any]:
        missing = size - tf.shape(images)[0]

        def whole(part: Any) -> Any:
            padding = [[0, missing]] + [[0, 0]] * (part.shape.rank - 1)
            return tf.ensure_shape(tf.pad(part, padding), [size, *part.shape[1:]])

        return whole(images), whole(targets), tf.range(size) < size - missing

    return batches.map(fill, num_parallel_calls=tf.data.AUTOTUNE)


def _has_clock() -> bool:
    try:
        tf.timestamp()
    except tf.errors.FailedPreconditionError:
        return False
    return True


def _as_it_is(step: Callable[..., Any]) -> Callable[..., Any]:
    return step


def _copy(weight: keras.Variable) -> keras.Variable:
    """A variable that starts with the same value; call it in the strategy's scope."""
    return keras.Variable(
        weight.numpy(), dtype=weight.dtype, trainable=False, name=f"{weight.name}_average"
    )


def _sum_of_gradients(variable: keras.Variable) -> tf.Variable:
    """Zeros, of which each replica has its own and changes it alone."""
    return tf.Variable(
        tf.zeros(variable.shape, variable.dtype),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )


def _whole_loss(parts: Mapping[str, Any]) -> Any:
    return tf.add_n(list(parts.values()))


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _totals(sums: Any, bad_step: int) -> Totals:
    loss, *counted, images, waited = (float(value) for value in sums.numpy())
    return Totals(loss, tuple(counted), images, waited, bad_step)
