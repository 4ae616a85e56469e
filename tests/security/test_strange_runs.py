"""A run directory may come from a stranger: reading it imports, calls and follows nothing."""

import json
import os
import re

import keras
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from kerascnn.cli import app
from kerascnn.errors import ArgumentError, KerascnnError, RunError
from kerascnn.runs.models import load_graph
from kerascnn.runs.run import Run
from kerascnn.tasks.classification import ERROR
from kerascnn.training.trainer import repeat, resume

QUIET = Console(quiet=True)
TRAP = "trap_of_a_test:Trap"


def changed(path, **values):
    """config.json with some values changed; `recipe__loss` is the recipe's loss."""
    config = json.loads((path / "config.json").read_text())
    for name, value in values.items():
        *outer, last = name.split("__")
        table = config
        for part in outer:
            table = table[part]
        table[last] = value
    (path / "config.json").write_text(json.dumps(config))


def call(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def everything(path):
    run = Run.open(path)
    return run.config, run.metrics, run.history, run.model()


def test_what_a_run_names_as_its_loss_is_imported_by_nobody_who_reads_it(copy, trap):
    changed(copy, recipe__loss=TRAP)
    run, notes = Run.open(copy), []
    found = run.evaluate(echo=notes.append)
    assert found["loss"] == pytest.approx(run.metrics["test_loss"], rel=1e-5)
    assert any("cross-entropy" in note and TRAP in note for note in notes)
    run.predict(np.zeros((1, *run.config.input_shape), "uint8"))
    call("runs", copy.parent)
    call("info", copy)
    call("export", copy, "--format", "weights", "--output", copy / "exported")
    call("evaluate", copy, "--protocol", "run")
    for again in (lambda: resume(copy, console=QUIET), lambda: repeat(copy, console=QUIET)):
        with pytest.raises(RunError, match=r"finished|loss of its own, 'trap.*--loss"):
            again()
    (copy / "metrics.json").unlink()
    with pytest.raises(RunError, match=re.escape(f"--resume {copy} --loss package.module:Name")):
        resume(copy, console=QUIET)
    assert not trap.exists()


def test_the_loss_is_imported_when_the_one_who_trains_says_it_again(copy, trap):
    changed(copy, recipe__loss=TRAP, recipe__epochs=3)
    (copy / "metrics.json").unlink()
    run = resume(copy, loss=TRAP, console=QUIET)
    assert trap.exists()
    assert len(run.history) == 3


def test_a_recipe_file_imports_its_loss_only_to_train_and_says_so(tmp_path, trap):
    (tmp_path / "mine.toml").write_text(f'loss = "{TRAP}"\nepochs = 1\nbatch_size = 700\n')
    assert TRAP in call("recipes", tmp_path / "mine.toml", "--json")
    assert not trap.exists()
    words = ("--recipe", tmp_path / "mine.toml", "--set", "widths=2,4", "--set", "hidden=8,")
    said = call("train", "lenet5", *words, "--run", tmp_path / "run")
    assert trap.exists()
    assert said.index(f"loss is imported: {TRAP}") < said.index("parameters")


def test_a_loss_must_be_a_class_of_losses(copy):
    (copy / "metrics.json").unlink()
    changed(copy, recipe__loss="os:system")
    for place in ("os:system", "subprocess:Popen", "keras:Model", "nowhere:Loss", "os", "a:b:c"):
        with pytest.raises(ArgumentError, match=r"loss.*" + place):
            resume(copy, loss=place, console=QUIET)


def test_a_loss_of_an_installed_architecture_needs_no_second_asking(copy):
    from kerascnn.recipes import trusted

    place = "kerascnn.applications.lenet_layers:CompetitiveLoss"
    assert trusted.known(place, "lenet5_1998").__name__ == "CompetitiveLoss"
    assert trusted.known("kerascnn.applications.lenet_layers:RBF", "lenet5_1998") is None


DAMAGED = {
    "input_shape": [[28, 28], [28, 28, -1], [2**20, 2**20, 1], "28x28", [28.5, 28, 1], None],
    "classes": [0, -1, 3, 1e9, "ten", True, None],
    "class_names": ["abc", [1] * 10, None, ["a"] * 9, ["a"] * 10],
    "seed": [-1, 1.5, "0", None, 2**32],
    "name": [3, None, "\x1b[2J"],
    "strategy": [None, 5, "\x1b]0;title\x07", "mirrored:9999999", "horovod"],
    "kerascnn_run": [2, "1", None],
    "keep_epochs": [[3], [-1], ["1"], [0.5], "all", None],
    "architecture__name": [3, None, {}],
    "architecture__arguments": [3, None, [1]],
    "data__source": [3, None, ["mnist5k"], "\x1b[31mmnist"],
    "data__image_shape": [[1, 1], [32, 32, 3], [0, 0, 0]],
    "precision": ["float8", None],
    "preprocessing__scale": [0, "1", None],
    "preprocessing__std": [[0.0], [], [1.0] * 7, "1"],
    "preprocessing__order": ["GBR", 3],
    "recipe__epochs": [0, -3, 2.5, "2", 10**7, 10**30, None],
    "recipe__batch_size": [0, 2**40, "big"],
    "recipe__learning_rate": [-1, "x", 1e300],
    "recipe__augmentation": [3, [], {"flop": 1}, {"zoom": -1}, {"randaugment": 10**9}],
    "recipe__factor": [0, -0.1],
    "recipe__steps": [[[-1, 0.1]], [[1, -1.0]], [[2, 0.1], [1, 0.1]]],
    "recipe__evaluation": [{"views": "all"}, {"resize": [1e9]}, {"resize": [1.0] * 99}],
    "recipe__unheard_of": [1],
    "weights": [3, {"source": 3}, {}],
}


@pytest.mark.parametrize(("name", "value"), [(k, v) for k, vs in DAMAGED.items() for v in vs])
def test_a_config_of_another_form_is_refused_by_its_file(copy, name, value):
    changed(copy, **{name: value})
    with pytest.raises(RunError, match=r"run/config\.json is damaged: "):
        _ = Run.open(copy).config


@pytest.mark.parametrize("text", ["[1]", "3", '{"epochs": -1}', '{"epochs": "two"}',
    '{"test_error": 1.5}', '{"test_error": NaN}', '{"test_error": "low"}', '{"interrupted": 3}',
    '{"train_seconds": -1}', '{"val_loss": 1e999}', '{"trainable_params": 1.5}'])  # fmt: skip
def test_metrics_of_another_form_are_refused_by_their_file(copy, text):
    (copy / "metrics.json").write_text(text)
    with pytest.raises(RunError, match=r"run/metrics\.json is damaged"):
        _ = Run.open(copy).metrics
    assert "damaged" in call("runs", copy.parent)


def test_numbers_of_the_history_are_numbers_of_a_training(copy):
    lines = (copy / "history.csv").read_text().splitlines()
    header, first = lines[0].split(","), lines[1].split(",")
    for column, name in enumerate(header):
        for value in ("nan", "-1.5e999", "x", "", "1_0", "9" * 500):
            row = [*first[:column], value, *first[column + 1 :]]
            (copy / "history.csv").write_text("\n".join([lines[0], ",".join(row), lines[2]]) + "\n")
            if name in ("val_loss", "error", "val_error") and not value:
                continue  # no number, and not known
            with pytest.raises(RunError, match=r"run/history\.csv is damaged: line 2"):
                _ = Run.open(copy).history
    for text in (
        lines[1],
        "epoch\n1\n",
        f"{lines[0]}\n{lines[2]}\n",
        f"{lines[0]}\n{lines[1]},3\n",
    ):
        (copy / "history.csv").write_text(text)
        with pytest.raises(RunError, match=r"run/history\.csv"):
            _ = Run.open(copy).history


def test_a_loss_that_is_no_number_is_written_so_that_it_can_be_read(tmp_path):
    from kerascnn.runs.results import read_history, read_metrics, write_history
    from kerascnn.writing import write_json

    row = {"epoch": 1, "loss": 1.0, "error": 0.5, "seconds": 2.0, "val_loss": float("inf")}
    write_history(tmp_path / "history.csv", [row])
    assert np.isnan(read_history(tmp_path / "history.csv", (ERROR,))[0]["val_loss"])
    write_json(tmp_path / "metrics.json", {"epochs": 1, "val_loss": float("nan")})
    assert read_metrics(tmp_path, (ERROR,)) == {"epochs": 1, "val_loss": None}


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "history.csv", "model.keras"])
@pytest.mark.parametrize("kind", ["fifo", "device", "link"])
def test_files_of_a_run_are_files_of_the_run(copy, tmp_path, name, kind):
    os.rename(copy / name, tmp_path / name)
    if kind == "fifo":
        os.mkfifo(copy / name)
    else:
        (copy / name).symlink_to(tmp_path / name if kind == "link" else "/dev/zero")
    with pytest.raises(KerascnnError, match=name):
        everything(copy)


def test_the_lock_of_a_run_is_not_followed_out_of_it(copy, tmp_path):
    (tmp_path / "precious").write_text("text")
    (copy / ".training").unlink()
    (copy / ".training").symlink_to(tmp_path / "precious")
    (copy / "metrics.json").unlink()
    with pytest.raises(RunError, match=r"\.training"):
        resume(copy, console=QUIET)
    call("runs", copy.parent)
    assert (tmp_path / "precious").read_text() == "text"
    (copy / ".training").unlink()
    os.mkfifo(copy / ".training")
    call("runs", copy.parent)  # does not wait for its writer


@pytest.mark.parametrize("name", ["checkpoints", "train", "validation"])
def test_directories_of_a_run_are_not_followed_out_of_it(copy, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    os.rename(copy / name, tmp_path / "old")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    (copy / "metrics.json").unlink()
    with pytest.raises(RunError, match=name):
        resume(copy, console=QUIET)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_model_of_other_images_or_classes_than_the_config_says_is_refused(copy):
    changed(copy, classes=9, class_names=list("abcdefghi"))
    with pytest.raises(RunError, match=r"model\.keras doesn't fit .*config\.json"):
        Run.open(copy).model()


def test_an_architecture_that_nobody_offers_is_refused_by_the_runs_file(copy):
    for name in ("../../evil", "os:system", "evil.module:Net"):
        changed(copy, architecture__name=name)
        with pytest.raises(RunError, match=r"run/config\.json: There is no architecture"):
            Run.open(copy).model()
        (copy / "metrics.json").unlink(missing_ok=True)
        with pytest.raises(KerascnnError, match=r"config\.json: There is no architecture"):
            resume(copy, console=QUIET)


def test_a_model_of_ones_own_runs_no_code_of_its_files(copy, tmp_path):
    """A lambda's code is in model.json; so is the place of a function to import."""
    trace = tmp_path / "trace"
    graph = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(),
        keras.layers.Lambda(eval(f"lambda x: (open({str(trace)!r}, 'w'), x)[1]")),
        keras.layers.Dense(10)])  # fmt: skip
    trace.unlink(missing_ok=True)
    changed(copy, architecture=None)
    (copy / "metrics.json").unlink()
    for text in (
        graph.to_json(),
        graph.to_json().replace("Lambda", "Popen").replace("keras.layers", "subprocess"),
        '{"module": "os", "class_name": "system", "config": {}, "registered_name": null}',
        "[" * 10**5,
        "{}",
    ):
        (copy / "model.json").write_text(text)
        with pytest.raises(RunError, match=r"run/model\.json"):
            resume(copy, console=QUIET)
    assert not trace.exists()


def test_a_graph_that_opens_files_of_its_own_is_refused_before_it_is_built(copy, tmp_path):
    """A layer's vocabulary may be any file of this machine."""
    (tmp_path / "secret").write_text("one\ntwo\n")
    model = keras.Sequential([keras.Input((1,), dtype="string"), keras.layers.StringLookup()])
    described = json.loads(model.to_json())
    described["config"]["layers"][1]["config"]["vocabulary"] = str(tmp_path / "secret")
    (copy / "model.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match=r"model\.json .*run code or open files: StringLookup"):
        load_graph(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layers: layers[-1]["config"].update(units=2**40), r"at most 4,294,967,296 weights"),
        (lambda layers: layers.extend([layers[1]] * 20_000), "at most 20,000 layers"),
    ],
    ids=["weights", "layers"],
)
def test_a_graph_that_is_larger_than_anyone_trains_is_refused_before_it_is_built(
    copy, change, message
):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    described = json.loads(model.to_json())
    change(described["config"]["layers"])
    (copy / "model.json").write_text(json.dumps(described))
    with pytest.raises(RunError, match=rf"run/model\.json can't be loaded: .*{message}"):
        load_graph(copy)


def test_a_graph_of_a_usual_size_is_built(copy):
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    (copy / "model.json").write_text(model.to_json())
    assert load_graph(copy).to_json() == model.to_json()
    assert all(np.isfinite(weight).all() for weight in load_graph(copy).get_weights())
