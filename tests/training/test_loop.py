"""The order in which a training loop asks its parts, with parts that only note it."""

from types import SimpleNamespace

import pytest

from kerascnn.distribution.signals import Terminated
from kerascnn.errors import TrainingError
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.position import Position, Totals
from kerascnn.tasks.classification import ERROR
from kerascnn.training.freezing import Freezing
from kerascnn.training.loop import Loop
from kerascnn.training.pace import Pace

UPDATES = 4


class Part:
    """Notes what is called of it, and does as `answers` say."""

    def __init__(self, name, events, **answers):
        self._name, self._events, self._answers = name, events, answers

    def __getattr__(self, called):
        def call(*arguments, **_):
            self._events.append(" ".join(map(str, (self._name, called, *arguments[:1]))))
            answer = self._answers.get(called)
            return answer(*arguments) if answer else None

        return call


class Counting:
    """An engine that counts its updates; a step of these is not a number."""

    def __init__(self, bad=()):
        self.model, self.optimizer = None, SimpleNamespace(learning_rate=0.1)
        self.sizes, self._bad = [], bad

    def update(self, batches, size):
        first = sum(self.sizes)
        self.sizes.append(size)
        bad = [step - first for step in self._bad if first <= step < first + size]
        return Totals(float(size), (0.0,), float(size), 0.0, bad[0] if bad else -1)

    def figures(self, totals):
        return {"loss": totals.mean_loss, "error": 1 - totals.sums[0] / max(1, totals.images)}


def looped(tmp_path, *, epochs=1, position=None, engine=None, sum_=lambda own: own, **given):
    """A loop over noting parts, and their notes."""
    events, engine = [], engine or Counting()
    workers = SimpleNamespace(count=1, sum=sum_, meet=lambda: events.append("meet"))

    class User(Part):
        ended = given.get("ended", False)

        def tell(self, hook, *_, **__):
            events.append(f"user {hook}")

    class Validation:
        def __contains__(self, split):
            return True

        def __call__(self, split):
            events.append(f"evaluate {split}")
            return {"val_loss": 0.5, "val_error": 0.25}

    def complete(row):
        state.rows.append(row)
        state.position = Position(state.position.epoch + 1)

    state = Part("state", events, complete=complete)
    state.position, state.rows = position or Position(), []
    state.begun = bool(position)
    ending = Part("ending", events, complete=lambda: ({"epochs": epochs}, None))
    ending.workers, ending.path = workers, tmp_path
    loop = Loop(
        recipe=Recipe(epochs=epochs),
        main=ERROR,
        updates=UPDATES,
        engine=engine,
        batches=iter(()),
        state=state,
        keeper=Part("keeper", events),
        evaluator=Validation(),
        pace=Pace(workers, SimpleNamespace(number=0)),
        freezing=Freezing(engine, Recipe()),
        watching=Part("watcher", events),
        given=User("user", events, end_epoch=lambda epoch, row: row | {"mine": 1.0}),
        ending=ending,
        profile=given.get("profile", ()),
        say=events.append,
    )
    return loop, events


def test_the_user_sees_an_epoch_before_it_is_saved_and_watchers_afterwards(tmp_path):
    loop, events = looped(tmp_path)
    assert loop.run() == ({"epochs": 1}, None)
    order = [event.split(" {")[0] for event in events if "batch" not in event]
    assert order == [
        "watcher on_train_begin",
        "user on_train_begin",
        "keeper keep 0",
        "watcher on_epoch_begin 0",
        "user on_epoch_begin",
        "watcher on_test_begin",
        "user on_test_begin",
        "evaluate validation",
        "watcher on_test_end",
        "user on_test_end",
        "user end_epoch 0",
        "keeper keep 1",
        "state complete",
        "watcher on_epoch_end 0",
        "keeper missing 1",
        "ending complete",
        "meet",
    ]
    (row,) = loop.state.rows
    assert (row["epoch"], row["loss"], row["val_error"], row["mine"]) == (1, 1.0, 0.25, 1.0)


def test_a_resumed_epoch_does_the_updates_that_are_left(tmp_path):
    loop, _ = looped(tmp_path, epochs=3, position=Position(1, 3, Totals(6.0, (0.0,), 3.0), 1.0))
    loop.run()
    assert sum(loop.engine.sizes) == 1 + UPDATES
    assert [row["epoch"] for row in loop.state.rows] == [2, 3]
    assert loop.state.rows[0]["loss"] == (6.0 + 1.0) / 4, "over all images of the epoch"


def test_calls_end_where_the_profiler_is_switched(tmp_path):
    loop, _ = looped(tmp_path, epochs=3, profile=(3, 6))
    loop.run()
    ends = [sum(loop.engine.sizes[: n + 1]) for n in range(len(loop.engine.sizes))]
    assert {3, 6} <= set(ends)


def test_a_signal_saves_the_state_before_the_weights_to_keep_take_their_place(tmp_path):
    calls = iter([0, 0, 1])
    loop, events = looped(tmp_path, sum_=lambda own: [own[0], next(calls), 0, 0])
    with pytest.raises(Terminated):
        loop.run()
    assert events[-3:] == ["state save", "ending cut_short Terminated", "meet"]


def test_a_callback_that_wants_the_end_ends_within_the_epoch(tmp_path):
    loop, events = looped(tmp_path, epochs=5, ended=True)
    loop.run()
    assert loop.engine.sizes == []
    assert len(loop.state.rows) == 1
    assert events[-2:] == ["ending complete", "meet"]


def test_a_loss_that_is_no_number_ends_the_training_with_its_step(tmp_path):
    loop, events = looped(tmp_path, engine=Counting(bad=[2]))
    with pytest.raises(TrainingError, match="step 3 of epoch 1"):
        loop.run()
    assert not any("ending" in event for event in events)
