"""What a study found: a table, pictures, TensorBoard's HParams and the best run."""

from __future__ import annotations

import csv
import io
import shutil

from kerascnn.writing import write_text
from kerascnn_tuning.study import pictures
from kerascnn_tuning.study.importance import FEWEST, varied
from kerascnn_tuning.study.rows import Row
from kerascnn_tuning.study.study import Study


def write(study: Study) -> None:
    """Write or rewrite everything that follows from the trials."""
    write_leaderboard(study)
    study.discard_models()
    study.copy_best()
    rows = study.leaderboard
    if rows:
        pictures.save(pictures.pareto_picture(study, rows), study.path / "pareto.png")
        pictures.save(pictures.parallel_picture(study, rows), study.path / "parallel.png")
        picture = study.path / "importance.png"
        if len(rows) >= FEWEST and varied(study, rows):
            pictures.save(pictures.importance_picture(study, rows), picture)
        else:
            picture.unlink(missing_ok=True)  # of what has changed since
        write_hparams(study, rows)


def write_leaderboard(study: Study) -> None:
    """leaderboard.csv: completed trials, the best first, then the failed and the unfinished.

    With repeats, metrics are means, and `NAME_spread` the standard deviations.
    """
    trials = study.trials
    best = study.ranked(trials)
    known = {row.id for row in best}
    metrics = sorted({name for row in best for name in row.metrics})
    spread = sorted({name for row in best for name in row.spread})
    searched = [hp.name for hp in study.problem.hyperparameters().space]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    spreads = [f"{name}_spread" for name in spread]
    writer.writerow(["rank", "trial", "status", "epochs", *metrics, *spreads, *searched, "reason"])
    for rank, row in enumerate([*best, *(r for r in trials if r.id not in known)], start=1):
        writer.writerow(
            [
                rank if row.completed else "",
                row.id,
                row.status,
                row.epochs,
                *(row.metrics.get(name, "") for name in metrics),
                *(row.spread.get(name, "") for name in spread),
                *(row.values.get(name, "") for name in searched),
                (row.reason or "").strip(),
            ]
        )
    write_text(study.path / "leaderboard.csv", buffer.getvalue())


def write_hparams(study: Study, rows: list[Row]) -> None:
    """TensorBoard's HParams: the declared domains, and one session for each completed trial."""
    import tensorflow as tf
    from keras_tuner.engine import hyperparameters as kinds
    from tensorboard.plugins.hparams import api

    space = study.problem.hyperparameters().space
    domains = {
        hp.name: api.RealInterval(float(hp.min_value), float(hp.max_value))
        if isinstance(hp, kinds.Float)
        else api.Discrete(list(hp.values))
        for hp in space
    }
    names = sorted({name for row in rows for name in row.metrics})
    directory = study.path / "tensorboard"
    shutil.rmtree(directory, ignore_errors=True)
    with tf.summary.create_file_writer(str(directory)).as_default():
        api.hparams_config(
            hparams=[api.HParam(name, domain) for name, domain in domains.items()],
            metrics=[api.Metric(name) for name in names],
        )
    for row in rows:
        with tf.summary.create_file_writer(str(directory / row.id)).as_default():
            values = {name: value for name, value in row.values.items() if name in domains}
            api.hparams(values, trial_id=row.id)
            for name, value in row.metrics.items():
                tf.summary.scalar(name, value, step=0)
