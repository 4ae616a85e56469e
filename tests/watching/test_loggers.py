"""A training is a run of MLflow or Weights & Biases: real stores, on this machine."""

import json
import subprocess
import sys
from dataclasses import dataclass

import mlflow
import pytest
from mlflow import MlflowClient
from rich.console import Console

import kerascnn
from kerascnn.data import load
from kerascnn.errors import ArgumentError, RunError, UnknownNameError
from kerascnn.recipes.recipe import Recipe
from kerascnn.watching import loggers

SMALL = {"widths": (4, 8), "hidden": (16,)}
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def stripes(photos):
    return load(f"folder:{photos}", input_shape=(32, 32, 1), echo=None)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """MLflow's own, in a file: what makes its tables takes seconds."""
    path = tmp_path_factory.mktemp("mlflow")
    client = MlflowClient(tracking_uri=f"sqlite:///{path / 'mlflow.db'}")
    client.search_experiments()
    return path, client


@pytest.fixture
def store(database, tmp_path, monkeypatch):
    """What reads the experiment that a test's runs are logged to."""
    path, client = database
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    client.create_experiment(tmp_path.name, artifact_location=(path / tmp_path.name).as_uri())
    return Store(client, tmp_path.name)


@dataclass
class Store:
    """An experiment of MLflow."""

    client: MlflowClient
    name: str

    def run(self):
        """The only run."""
        (found,) = self.client.search_runs(
            [self.client.get_experiment_by_name(self.name).experiment_id]
        )
        return found

    def values(self, key):
        """Epoch → value of a measure."""
        history = self.client.get_metric_history(self.run().info.run_id, key)
        return {one.step: one.value for one in history}


def train(data, path, **more):
    recipe = Recipe(epochs=3, batch_size=48, learning_rate=1e-2)
    settings = {"arguments": SMALL, "recipe": recipe, "console": QUIET, "log": ["mlflow"]}
    return kerascnn.train("lenet5", data, run=path, **(settings | more))


class StopError(Exception):
    """Ends a training as a crash would."""


def crash_in(epoch):
    from keras.callbacks import LambdaCallback

    def stop(now, logs=None):
        if now == epoch:
            raise StopError

    return LambdaCallback(on_epoch_begin=stop)


def test_a_resumed_training_is_one_run_of_mlflow(store, stripes, tmp_path):
    path = tmp_path / "stripes"
    with pytest.raises(StopError):
        train(stripes, path, callbacks=[crash_in(2)])
    broken = store.run().info
    assert broken.status == "KILLED"
    found = kerascnn.resume(path, data=stripes, console=QUIET)
    run = store.run()
    assert (run.info.run_id, run.info.status) == (broken.run_id, "FINISHED")
    assert run.info.run_name == "stripes"
    errors = {row["epoch"]: row["val_error"] for row in found.history}
    assert list(errors) == [1, 2, 3]
    assert store.values("val_error") == pytest.approx(errors)
    assert run.data.metrics["final_test_error"] == pytest.approx(found.metrics["test_error"])
    assert run.data.params["network"] == "lenet5"
    assert run.data.params["recipe.learning_rate"] == "0.01"
    kept = {file.path for file in store.client.list_artifacts(run.info.run_id)}
    assert kept == {"config.json", "metrics.json", "history.csv", "curves.png"}


def test_two_replicas_are_one_run(store, tmp_path, stripes, two_devices):
    train(stripes, tmp_path / "two", strategy="mirrored:2", record=False)
    assert list(store.values("loss")) == [1, 2, 3]


def test_a_run_that_the_caller_has_begun_is_used_and_stays_open(store, tmp_path, stripes):
    with mlflow.start_run(run_name="mine") as mine:
        train(stripes, tmp_path / "run", record=False)
        assert mlflow.active_run().info.run_id == mine.info.run_id
    assert store.run().info.run_name == "mine"
    assert "loss" in store.run().data.metrics


@pytest.mark.slow
def test_wandb_keeps_the_figures(tmp_path, stripes, monkeypatch):
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    found = train(stripes, tmp_path / "run", log=["wandb"], record=False)
    identity = json.loads((found.path / loggers.FILE).read_text())["wandb"]
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*/run-{identity}.wandb")
    content = file.read_bytes()
    assert content.count(b"val_error") >= 3
    assert b"final_test_error" in content
    assert b"config.json" in content


def test_what_cant_be_logged_to_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match=r"mlfow.*mlflow"):
        train("mnist5k", tmp_path / "run", log=["mlfow"])
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ArgumentError, match=r'mlflow needs .*pip install "kerascnn\[mlflow\]"'):
        train("mnist5k", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_store_that_cant_be_written_is_named(tmp_path, stripes, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/none.db")
    with pytest.raises(ArgumentError, match=r"mlflow can't be logged to: .*without --log mlflow"):
        train(stripes, tmp_path / "run")


def test_a_tool_that_fails_later_ends_no_training(tmp_path, stripes, monkeypatch):
    class Gone:
        identity = "a1"

        def measure(self, values, epoch):
            raise ConnectionError("the server is gone.")

        def end(self, *, finished):
            pass

    gone = kerascnn.Logger(package="json", install="none", open=lambda opening: Gone())
    monkeypatch.setattr(loggers, "find", lambda names: {"theirs": gone})
    said = []
    config = train(stripes, tmp_path / "run", log=(), record=False).config
    logs = loggers.Logs(["theirs"], tmp_path / "run", config, said.append)
    logs.on_epoch_end(0, {"loss": 1.0})
    logs.on_epoch_end(1, {"loss": 1.0})
    assert said[1:] == [
        "theirs fails, and is told nothing more of this run: ConnectionError: the server is gone."
    ]


def test_a_strangers_id_is_refused(tmp_path):
    (tmp_path / loggers.FILE).write_text(json.dumps({"mlflow": "../other"}))
    with pytest.raises(RunError, match=r"loggers\.json is damaged"):
        loggers.Logs(["mlflow"], tmp_path, None, print)


def test_training_without_a_logger_imports_none():
    code = "import kerascnn.training.trainer, sys; print({'mlflow', 'wandb'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout.strip() == "set()", ended.stderr
