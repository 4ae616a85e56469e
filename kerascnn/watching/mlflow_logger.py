"""MLflow: where MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say, or in the caller's own run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kerascnn.watching.loggers import Logged, Logger, Opening


class _Run:
    """A run of MLflow.

    Args:
        identity: its id.
        own: whether it was begun here: one that the caller had active stays open.
    """

    def __init__(self, identity: str, own: bool) -> None:
        from mlflow import MlflowClient

        self.identity, self._own, self._client = identity, own, MlflowClient()

    def measure(self, values: Mapping[str, float], epoch: int) -> None:
        import mlflow

        mlflow.log_metrics(dict(values), step=epoch, run_id=self.identity)

    def keep(self, files: Sequence[Path]) -> None:
        for path in files:
            self._client.log_artifact(self.identity, str(path))

    def end(self, *, finished: bool) -> None:
        import mlflow

        active = mlflow.active_run()
        if self._own and active and active.info.run_id == self.identity:
            mlflow.end_run("FINISHED" if finished else "KILLED")


def _open(opening: Opening) -> Logged:
    import mlflow

    if own := mlflow.active_run() is None:
        mlflow.start_run(run_id=opening.identity, run_name=opening.name)
    run = mlflow.active_run()
    assert run is not None
    if run.info.run_id != opening.identity:
        mlflow.log_params(dict(opening.parameters))
        mlflow.set_tag("kerascnn.run", str(opening.directory))
    return _Run(run.info.run_id, own)


MLFLOW = Logger(package="mlflow", install="kerascnn[mlflow]", open=_open)
