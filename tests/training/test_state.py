"""How far a training has come is found again, and the best weights are put in place."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascnn.errors import RunError
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs.position import Position, Totals
from kerascnn.tasks.classification import ERROR
from kerascnn.tasks.classification.counting import counted
from kerascnn.training.engine import Engine
from kerascnn.training.state import State

ALONE = SimpleNamespace(count=1, chief=True, require_same=lambda what, value: None)
BEST = Recipe(keep="best", monitor="val_error", epochs=3)


def state_of(path, value, recipe=BEST, record=True):
    """The state of a network of one weight, what its engine is, and what is said."""
    inputs = keras.Input((1,))
    outputs = keras.layers.Dense(1, use_bias=False)(inputs)
    optimizer, said = keras.optimizers.SGD(0.1), []
    model = keras.Model(inputs, outputs)
    optimizer.build(model.trainable_variables)
    engine = Engine(
        model,
        strategy=tf.distribute.get_strategy(),
        objective=counted(lambda *_: 0.0),
        optimizer=optimizer,
    )
    engine.put([[[value]]])
    state = State(
        path,
        recipe,
        4,
        engine,
        workers=ALONE,
        measures=(ERROR,),
        record=record,
        say=said.append,
    )
    return state, engine, said


def weight(engine):
    return float(engine.result()[0].item())


def row(epoch, val_error):
    return {"epoch": epoch, "loss": 1.0, "error": 0.5, "seconds": 1.0, "val_error": val_error}


def three_epochs(path, errors, **options):
    """The weight is the number of the epoch."""
    state, engine, said = state_of(path, 0.0, **options)
    state.restore()
    for epoch, error in enumerate(errors, 1):
        engine.put([[[epoch]]])
        state.complete(row(epoch, error))
    return state, engine, said


def test_a_training_goes_on_where_it_was_saved(tmp_path):
    three_epochs(tmp_path, [0.3, 0.2])
    state, engine, said = state_of(tmp_path, -1.0)
    state.restore()
    assert state.position == Position(2)
    assert [found["val_error"] for found in state.rows] == [0.3, 0.2]
    assert weight(engine) == 2.0
    assert said == ["Going on after epoch 2 of 3."]


def test_a_place_within_an_epoch_is_kept_with_what_its_updates_add_up_to(tmp_path):
    state, _, _ = three_epochs(tmp_path, [0.3])
    state.position = Position(1, 2, Totals(5.0, (3.0,), 8.0), 1.5)
    state.save()
    found, _, said = state_of(tmp_path, -1.0)
    found.restore()
    assert found.position == state.position
    assert said == ["Going on after epoch 1 of 3 and 2 of 4 updates."]


def test_a_history_that_ends_too_early_is_refused(tmp_path):
    three_epochs(tmp_path, [0.3, 0.2])
    (tmp_path / "history.csv").unlink()
    with pytest.raises(RunError, match="ends after 0 epochs"):
        state_of(tmp_path, -1.0)[0].restore()


def test_the_best_weights_come_into_place_and_no_checkpoint_has_them(tmp_path):
    state, engine, _ = three_epochs(tmp_path, [0.3, 0.1, 0.2])
    before = sorted((tmp_path / "checkpoints").iterdir())
    state.hold()
    state.hold()
    assert (state.kept, weight(engine)) == (2, 2.0)
    state.save()
    assert sorted((tmp_path / "checkpoints").iterdir()) == before
    again, engine, _ = state_of(tmp_path, -1.0)
    again.restore()
    assert weight(engine) == 3.0, "training goes on with the last ones"
    again.hold()
    assert (again.kept, weight(engine)) == (2, 2.0), "the best ones were in the checkpoint"


def test_without_a_best_epoch_the_last_is_kept_and_that_is_said(tmp_path):
    state, engine, said = three_epochs(tmp_path, [float("nan")] * 3)
    state.hold()
    assert (state.kept, weight(engine)) == (3, 3.0)
    assert said == ["val_error was a number in no epoch, so the last one is kept."]
    state, engine, _ = three_epochs(
        tmp_path / "last", [0.1, 0.2], recipe=Recipe(monitor="val_error", epochs=3)
    )
    state.position = Position(2, 1)
    state.hold()
    assert (state.kept, weight(engine)) == (None, 2.0), "within an epoch they are of none"


def test_without_a_record_there_is_a_history_and_no_checkpoint(tmp_path):
    three_epochs(tmp_path, [0.3], record=False)
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    np.testing.assert_array_equal(len((tmp_path / "history.csv").read_text().splitlines()), 2)
