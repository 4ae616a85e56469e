"""A training put together from its parts, as a run's config describes it, and set going."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from kerascnn import catalogue
from kerascnn.console import Console, sayer
from kerascnn.data import Dataset, Split, readable_errors
from kerascnn.data.mixing import mixes
from kerascnn.distribution import replicas, signals, strategies
from kerascnn.distribution.workers import Workers
from kerascnn.network import Network
from kerascnn.precision import in_precision, lacking
from kerascnn.recipes import book as recipe_book
from kerascnn.runs.config import RunConfig
from kerascnn.runs.directory import alive
from kerascnn.runs.run import Run
from kerascnn.tasks.forward import middle, middle_of_targets, preparation
from kerascnn.tasks.objective import Objective
from kerascnn.tasks.task import Seen, Task, find
from kerascnn.training.batches import evaluation_batch, training_batches
from kerascnn.training.callbacks import Given
from kerascnn.training.ending import Ending, trainable
from kerascnn.training.engine import Engine
from kerascnn.training.evaluator import Evaluator
from kerascnn.training.freezing import Freezing, all_but_last
from kerascnn.training.keeper import Keeper
from kerascnn.training.loop import Loop
from kerascnn.training.optimizers import make_optimizer
from kerascnn.training.pace import Pace
from kerascnn.training.recomputing import recomputed
from kerascnn.training.settings import (
    Batching,
    batching,
    refuse_mixed_variables,
    use_jit,
)
from kerascnn.training.sheets import draw_sheets
from kerascnn.training.starting import start
from kerascnn.training.state import State
from kerascnn.watching.board import TensorBoardLogs
from kerascnn.watching.hparams import hparams_of
from kerascnn.watching.loggers import Logs
from kerascnn.watching.profiler import Profiler
from kerascnn.watching.progress import Progress
from kerascnn.watching.statistics import Probe
from kerascnn.words import counted, listed

SAMPLES = 24  # images in TensorBoard's grid of predictions
PROBED = 32  # images on which the layers are measured, at most
CONFUSED = 5_000  # images in the confusion matrix while training, at most

Watcher = Progress | TensorBoardLogs | Profiler | Logs


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What trains, built under the strategy.

    Attributes:
        model: with its classifier activation, as it is saved.
        is_logits: whether what the engine trains, the model without a final softmax, gives logits.
        objective: what is minimised and counted.
        engine: updates and evaluates it.
        batching: batch size and updates.
        workers: of the strategy.
    """

    model: keras.Model
    is_logits: bool
    objective: Objective
    engine: Engine
    batching: Batching
    workers: Workers


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """What is to be trained, and all that is put together for it.

    Attributes:
        run: the directory that is written.
        config: its recipe has the class of its loss.
        network: what the model is built from, or the user's own model.
        dataset: images and labels.
        callbacks: the user's.
        console: where messages and progress go.
        record: whether to write checkpoints, curves and TensorBoard logs.
        profile: first step to trace and the one after the last, counted from 0 at the start of the
            run; None: no trace.
    """

    run: Run
    config: RunConfig
    network: Network | keras.Model
    dataset: Dataset
    callbacks: Sequence[keras.callbacks.Callback]
    console: Console
    record: bool = True
    profile: tuple[int, int] | None = None

    def carry_out(self, prepare: Callable[[], None] = lambda: None) -> None:
        """Train as the config says, from the run's last checkpoint if it has one.

        Args:
            prepare: makes the run directory, once model and weights are there: what fails before
                leaves none, and deletes no earlier run.

        Raises:
            KeyboardInterrupt, Terminated: by a signal, after the state has been saved.
            WorkerError: another worker has ended.
        """
        with in_precision(self.config.precision):
            parts = self.build()
            prepare()
            self._announce(parts)
            workers = parts.workers
            lost = f"The last checkpoint is kept. {self._advice(workers)}"
            lock = alive(self.run.path) if workers.chief else contextlib.nullcontext()
            with workers.losses(lost), lock:
                self._go(parts)

    def build(self) -> Parts:
        """Model, first weights, optimizer and engine, under the strategy that the config names."""
        config, recipe = self.config, self.config.recipe
        strategy = strategies.resolve_strategy(config.strategy)
        plan = batching(recipe, self.dataset.train.size, strategy)
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            model = self._model(strategy)
            refuse_mixed_variables(model, strategy)
            start(model, self.network, config, self._say)
            scores, is_logits = self.task.scores(model)
            optimizer = make_optimizer(recipe, plan.updates, scores, config.precision)
            scores.compile(optimizer=optimizer)
        replicas.make_replicas_agree(scores, strategy)
        train = self.dataset.train
        objective = self.task.objective(
            recipe,
            scores=scores,
            classes=self.dataset.classes,
            from_logits=is_logits,
            class_weight=self.task.class_weight(recipe, train.targets, self.dataset.class_names),
        )
        engine = Engine(
            scores,
            learner=self._learner(scores),
            strategy=strategy,
            objective=objective,
            optimizer=optimizer,
            clip_norm=recipe.clip_norm,
            accumulation=recipe.accumulation,
            slowed=_variables(all_but_last(scores)) if recipe.trunk_rate < 1 else (),
            slowness=recipe.trunk_rate,
            ema=recipe.ema,
            jit=use_jit(config.jit, strategy),
        )
        return Parts(
            model=model,
            is_logits=is_logits,
            objective=objective,
            engine=engine,
            batching=plan,
            workers=Workers(strategy),
        )

    @property
    def task(self) -> Task:
        """What is trained for."""
        return self.run.task

    def _learner(self, scores: keras.Model) -> keras.Model:
        """What an update runs."""
        learner = self.task.training(scores)
        return recomputed(learner) if self.config.memory_efficient else learner

    def _model(self, strategy: tf.distribute.Strategy) -> keras.Model:
        if isinstance(self.network, keras.Model):
            return replicas.under(self.network, strategy)
        return self.network.model()

    def _announce(self, parts: Parts) -> None:
        """Say what is going to be trained, and how."""
        recipe, plan = self.config.recipe, parts.batching
        for note in plan.notes:
            self._say(note)
        if why := lacking(self.config.precision):
            self._say(why)
        self._say(
            f"{self.config.name}, {trainable(parts.model):,} parameters: "
            f"{counted(recipe.epochs, 'epoch', 'epochs')} of {plan.description}, "
            f"{strategies.describe(parts.engine.strategy)}."
        )
        self._say(f"Run: {self.run.path}")
        self._say(_which(self.config))
        for line in _whence(self.config):
            self._say(line)
        if self.config.keep_epochs:
            self._say(self._keeper(parts).announcement())
        if not parts.engine.clocked:
            self._say(
                "TensorFlow's determinism is on, which forbids reading the clock: how long updates "
                "wait for their batches (input_wait) is logged as 0."
            )
        if mixes(recipe.augmentation):
            self._say(
                "Images are mixed: the training error counts each by the shares of its two labels."
            )
        if alone := recipe.freeze_epochs:
            until = "Throughout" if alone >= recipe.epochs else f"Until epoch {alone} is done"
            self._say(f"{until}, only the classifier learns (freeze_epochs={alone}).")
        if each := recipe.thaw_epochs:
            every = "With each epoch" if each == 1 else f"Every {each} epochs"
            begins = "another stage begins to learn, the last first"
            self._say(f"{every} {begins} (thaw_epochs={each}).")
        if recipe.trunk_rate < 1:
            share = f"{recipe.trunk_rate:g} of the classifier's learning rate"
            self._say(f"All other layers have {share} (trunk_rate).")

    def _go(self, parts: Parts) -> None:
        """Go on from the last checkpoint, with callbacks around the loop."""
        engine, workers, recipe = parts.engine, parts.workers, self.config.recipe
        state = State(
            self.run.path,
            recipe,
            parts.batching.updates,
            engine,
            workers=workers,
            measures=self.task.measures,
            record=self.record,
            say=self._say,
        )
        state.restore()
        watchers = self.watchers(parts, state.position.epoch) if workers.chief else []
        with contextlib.ExitStack() as stack:
            for watcher in watchers:
                stack.callback(watcher.close)
            watching = keras.callbacks.CallbackList(watchers, model=engine.model)
            splits = self.dataset.splits.values()
            with signals.requests() as request, readable_errors(*splits):
                loop = self._loop(parts, state, watching, Pace(workers, request))
                metrics, failed = loop.run()
            if self.config.explain:
                self._explain(parts, watchers)
            watching.on_train_end({k: v for k, v in metrics.items() if isinstance(v, float)})
        if failed is not None:
            raise failed

    def _loop(
        self, parts: Parts, state: State, watching: keras.callbacks.CallbackList, pace: Pace
    ) -> Loop:
        config, engine, workers = self.config, parts.engine, parts.workers
        given = Given(
            self.callbacks,
            parts.model,
            engine,
            recipe=config.recipe,
            updates=parts.batching.updates,
            chief=workers.chief,
            say=self._say,
        )
        evaluator = Evaluator(
            engine,
            self.dataset,
            config,
            training_batch=parts.batching.size,
            workers=workers,
            pace=pace,
        )
        ending = Ending(
            path=self.run.path,
            model=parts.model,
            engine=engine,
            state=state,
            given=given,
            evaluator=evaluator,
            workers=workers,
            main=self.task.main,
            record=self.record,
            advice=self._advice(workers),
            say=self._say,
        )
        data = training_batches(
            self.dataset.train,
            config,
            parts.batching,
            state.position,
            workers,
            draws=engine.draws,
        )
        return Loop(
            recipe=config.recipe,
            main=self.task.main,
            updates=parts.batching.updates,
            engine=engine,
            batches=iter(engine.distribute(data)),
            state=state,
            keeper=self._keeper(parts),
            evaluator=evaluator,
            pace=pace,
            freezing=Freezing(engine, config.recipe),
            watching=watching,
            given=given,
            ending=ending,
            profile=self.profile or (),
            say=self._say,
        )

    def _explain(self, parts: Parts, watchers: list[Watcher]) -> None:
        """Draw what the last layers have learned; the chief does, and the others wait for it."""
        if parts.workers.chief:
            figures = draw_sheets(self.run, self.dataset, self._say)
            for board in watchers:
                if isinstance(board, TensorBoardLogs):
                    for layer, figure in figures.items():
                        board.show(f"explain/{layer}", figure)
        parts.workers.meet()

    def _keeper(self, parts: Parts) -> Keeper:
        return Keeper(
            path=self.run.path,
            epochs=self.config.keep_epochs,
            model=parts.model,
            engine=parts.engine,
            chief=parts.workers.chief,
        )

    def watchers(self, parts: Parts, first_epoch: int) -> list[Watcher]:
        """What shows the training, after `first_epoch` epochs, on the terminal and TensorBoard."""
        recipe, plan = self.config.recipe, parts.batching
        found: list[Watcher] = [
            Progress(
                recipe.epochs,
                plan.updates,
                plan.images,
                self.console,
                first_epoch,
                measure=self.task.main,
            )
        ]
        if self.record:
            found.append(self._board(parts, first_epoch))
        if self.config.log:
            found.append(Logs(self.config.log, self.run.path, self.config, self._say))
        if self.profile:
            directory = self.run.path / "train"  # where TensorBoard looks for it
            found.append(Profiler(directory, self.profile, plan.updates, self._say))
        return found

    def _board(self, parts: Parts, first_epoch: int) -> TensorBoardLogs:
        """What TensorBoard shows, with some validation images as samples."""
        dataset, prepare, cut = self.dataset, preparation(self.config), middle(self.config)
        held = dataset.validation if dataset.validation.size else dataset.train
        follow = middle_of_targets(self.task.targets, self.config)
        images, targets = _examples(held, SAMPLES)

        def more() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            """All of them, or the first `CONFUSED` in a fixed random order."""
            batch = evaluation_batch(parts.batching.size)
            with parts.engine.averaged():
                for shown, theirs in held.batches(batch, seed=0).take(-(-CONFUSED // batch)):
                    found = parts.engine.output(prepare(shown))
                    yield cut(shown).numpy(), follow(shown, theirs).numpy(), found

        def pictures(outputs: np.ndarray) -> Mapping[str, Figure]:
            return self.task.pictures(
                Seen(
                    class_names=dataset.class_names,
                    images=np.asarray(cut(images)),
                    targets=np.asarray(follow(images, targets)),
                    outputs=outputs,
                    more=more,
                    are_logits=parts.is_logits,
                )
            )

        return TensorBoardLogs(
            directory=self.run.path,
            inputs=prepare(images).numpy(),
            pictures=pictures,
            measures=self.task.measures,
            # Its own name first: the column shows no more of it.
            name=f"{self.run.path.name} in {self.run.path.parent.as_posix()}",
            hparams=hparams_of(self.config),
            epochs=self.config.recipe.epochs,
            first_epoch=first_epoch,
            probe=self._probe(parts, prepare),
        )

    def _probe(self, parts: Parts, prepare: Callable[[Any], Any]) -> Probe:
        """Training images as evaluation sees them: not changed at random, so they stay the same.

        They are no more than each replica's part of a batch, which fits into its memory.
        """
        each = parts.batching.size // parts.engine.strategy.num_replicas_in_sync
        images, targets = _examples(self.dataset.train, min(PROBED, max(2, each)))
        return Probe(
            parts.engine.model,
            inputs=prepare(images).numpy(),
            targets=np.asarray(middle_of_targets(self.task.targets, self.config)(images, targets)),
            loss=parts.objective.loss,
            scale=2.0**10 if self.config.precision == "mixed_float16" else 1.0,
        )

    def _say(self, line: str) -> None:
        sayer(self.console)(line)

    def _advice(self, workers: Workers) -> str:
        """How to go on with a training that was ended."""
        if not self.record:
            return "Without checkpoints it can't go on."
        where = " on every worker" if workers.count > 1 else ""
        return f"Go on with `kerascnn train --resume {self.run.path}`{where}."


def _variables(layers: Sequence[keras.Layer]) -> list[keras.Variable]:
    return [variable for layer in layers for variable in layer.trainable_variables]


def _which(config: RunConfig) -> str:
    """A line on the recipe: several may seem to have one name."""
    recipe = config.recipe
    if not recipe.name:
        return "Recipe: the one that was passed."
    if recipe.name != recipe_book.SMALL:
        published = f", as published for {recipe.network}" if recipe.network else ""
        if config.weights and recipe.name == find(config.task).finetuning:
            return f"Recipe: {recipe.name}, for trained weights. The network's own: --recipe small."
        return f"Recipe: {recipe.name}{published}."
    installed = config.architecture and config.name in catalogue.list_architectures()
    paper = installed and catalogue.get(config.name).paper_recipe
    other = f" The paper's: --recipe {recipe_book.PAPER}." if paper else ""
    return f"Recipe: {recipe.name}, ours for {config.name}.{other}"


def _whence(config: RunConfig) -> Iterator[str]:
    """Lines on the run that this one goes on from, if there is one."""
    before, weights = config.predecessor, config.weights
    if before is None or weights is None:
        return
    trained = f"trained for {counted(before.epochs, 'epoch', 'epochs')} on {before.data}"
    yield f"Goes on from {before.run}, {trained}: its weights; schedule and optimizer begin anew."
    if weights.left_out:
        yield (
            f"The classes are others, so {listed(weights.left_out)} "
            f"{'starts' if len(weights.left_out) == 1 else 'start'} untrained; all else is kept."
        )
    elif before.data != config.data.source:
        yield "The classes are the same, so all layers are kept."


def _examples(split: Split, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `count` images, evenly spaced, and their targets."""
    chosen = np.linspace(0, split.size - 1, min(count, split.size)).astype(int)
    examples = [split.example(int(index)) for index in chosen]
    return np.stack([image for image, _ in examples]), np.array([target for _, target in examples])
