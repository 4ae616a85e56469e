"""The confusion matrices of a run's validation and test images, under any strategy.

Run as a program it is one worker: `python judging.py RUN OUTPUT`, with TF_CONFIG set.
"""

import sys

import numpy as np

import kerascnn
from kerascnn import data
from kerascnn.distribution import replicas
from kerascnn.distribution.workers import Workers
from kerascnn.training.batches import evaluation_batches
from kerascnn.training.engine import Engine


def confusions(path, strategy):
    """Split → its matrix, as training counts it after each epoch."""
    run = kerascnn.Run.open(path)
    config = run.config
    model = replicas.under(run.model(), strategy)
    scores, are_logits = run.task.scores(model)
    objective = run.task.objective(
        config.recipe, scores=scores, classes=config.classes, from_logits=are_logits
    )
    engine = Engine(scores, strategy=strategy, objective=objective)
    shape = config.input_shape
    dataset = data.load(config.data.source, target="mask", input_shape=shape, echo=None)
    found = {}
    for name in ("validation", "test"):
        batches, steps = evaluation_batches(
            dataset.splits[name],
            config,
            training_batch=config.recipe.batch_size,
            workers=Workers(strategy),
        )
        totals = engine.evaluate(iter(engine.distribute(batches)), steps)
        assert totals.images == dataset.splits[name].size, "each image counts once"
        found[name] = np.reshape(totals.sums, (config.classes,) * 2)
    return found


if __name__ == "__main__":
    strategy = kerascnn.resolve_strategy("multiworker")
    path, output = sys.argv[1:]
    workers = Workers(strategy)
    np.savez(f"{output}-{workers.index}.npz", **confusions(path, strategy))
    workers.meet()
