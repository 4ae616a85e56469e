"""A real TensorBoard, asked through its HTTP API, shows everything that a training wrote."""

import contextlib
import io
import json
import math
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from importlib import resources

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerascnn import pictures
from kerascnn.applications.lenet import LeNet5
from kerascnn.recipes.recipe import Augmentation, Recipe
from kerascnn.tasks.classification.task import CLASSIFICATION
from kerascnn.tasks.task import Seen
from kerascnn.watching.board import LOGS, Budget, TensorBoardLogs
from kerascnn.watching.hparams import flat
from kerascnn.watching.statistics import Probe

DIGITS = [str(digit) for digit in range(10)]


class Board:
    """The HTTP API of a TensorBoard process."""

    def __init__(self, address):
        self.address = address

    def bytes(self, path, body=None, **query):
        url = f"{self.address}data/plugin/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def json(self, path, body=None, **query):
        return json.loads(self.bytes(path, body, **query))

    def scalars(self, run, tag):
        """{step: value}"""
        points = self.json("scalars/scalars", run=run, tag=tag)
        assert len({step for _, step, _ in points}) == len(points), "a step is there twice"
        return {step: value for _, step, value in points}

    def image_steps(self, run, tag):
        return [found["step"] for found in self.json("images/images", run=run, tag=tag, sample=0)]

    def image(self, run, tag):
        """The newest one, decoded."""
        newest = self.json("images/images", run=run, tag=tag, sample=0)[-1]
        png = self.bytes(f"images/individualImage?{newest['query']}&x=")
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def start_tensorboard(directory, *options):
    """A process on a free port, and its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(directory), "--port", "0"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"at (http://\S+)", line):
            return process, found[1]
    raise AssertionError("TensorBoard did not start:\n" + "".join(lines))


def wait_until_read(board):
    """TensorBoard reads in the background: wait until it has found something, and then no more."""
    before, deadline = None, time.monotonic() + 60
    while True:
        tags = board.json("scalars/tags"), board.json("images/tags")
        if all(tags) and tags == before:
            return
        assert time.monotonic() < deadline, f"TensorBoard found no more than {tags}"
        before = tags
        time.sleep(1.5)


@pytest.fixture(scope="module")
def digits():
    """200 digits as images and as the inputs of LeNet-5, and their labels."""
    with resources.files("kerascnn.data").joinpath("mnist5k.npz").open("rb") as file:
        archive = np.load(file)
        images, labels = archive["images"][::25], archive["labels"][::25].astype("int32")
    images = np.pad(images, [(0, 0), (2, 2), (2, 2)])[..., None]
    return images, images.astype("float32") / 255, labels


def cross_entropy(labels, outputs):
    return keras.losses.sparse_categorical_crossentropy(labels, outputs[0])


def train(directory, digits, *, epochs, first_epoch=0, stop=None, strategy=None):
    """A real fit with the logs that the trainer gives; `stop`: end as by a crash after it."""
    images, inputs, labels = digits
    with (strategy or tf.distribute.get_strategy()).scope():
        model = LeNet5(activation="relu")
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    def more_logs(epoch, logs):
        logs |= {"learning_rate": 0.01 / (epoch + 1), "images_per_second": 1000.0 + epoch}
        logs |= {"seconds": 2.0}

    def crash(epoch, logs):
        if epoch + 1 == stop:
            raise KeyboardInterrupt

    def drawn(outputs):
        def more():
            yield images, labels, model(inputs, training=False).numpy()

        shown = images[:12], labels[:12], outputs
        names = ("images", "targets", "outputs")
        seen = Seen(class_names=DIGITS, more=more, are_logits=False, **dict(zip(names, shown)))
        return CLASSIFICATION.pictures(seen)

    probe = None  # compiling is slow, so only where the figures are looked at
    if directory.name in ("plain", "mirrored"):
        probe = Probe(model, inputs=inputs[:20], targets=labels[:20], loss=cross_entropy)
    board = TensorBoardLogs(
        directory=directory,
        inputs=inputs[:12],
        pictures=drawn,
        measures=CLASSIFICATION.measures,
        name=directory.name,
        hparams={"run": directory.name, "widths": (6, 16), "recipe": Recipe()},
        epochs=epochs,
        first_epoch=first_epoch,
        probe=probe,
        every=4,
        share=math.inf,
    )
    with contextlib.suppress(KeyboardInterrupt):
        model.fit(
            inputs,
            labels,
            batch_size=50,
            epochs=epochs,
            initial_epoch=first_epoch,
            verbose=0,
            validation_data=(inputs, labels),
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_end=more_logs),
                board,
                keras.callbacks.LambdaCallback(on_epoch_end=crash),
            ],
        )
    return model


@pytest.fixture(scope="module")
def runs(tmp_path_factory, digits, two_devices):
    """A directory with four runs, and what Keras itself recorded of three of them."""
    path = tmp_path_factory.mktemp("runs")
    history = {
        "plain": train(path / "plain", digits, epochs=3).history.history,
        "mirrored": train(
            path / "mirrored", digits, epochs=3, strategy=two_devices
        ).history.history,
    }
    train(path / "resumed", digits, epochs=5, stop=4)
    history["resumed"] = train(path / "resumed", digits, epochs=5, first_epoch=2).history.history

    final = TensorBoardLogs(
        directory=path / "final",
        inputs=np.zeros((0, 32, 32, 1), "float32"),
        name="final",
        hparams={"run": "final"},
        epochs=1,
    )
    final.set_model(LeNet5())
    final.on_train_begin()
    final.on_epoch_end(0, {"loss": 1.0})
    final.on_train_end({"test_error": 0.25, "epochs": 1.0})
    return path, history


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast loader", "Python loader"])
def board(runs, request):
    process, address = start_tensorboard(runs[0], f"--load_fast={request.param}")
    try:
        board = Board(address)
        wait_until_read(board)
        yield board
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


BOTH = pytest.mark.parametrize("run", ["plain", "mirrored"])


@BOTH
def test_scalars(board, runs, run):
    tags = board.json("scalars/tags")
    assert {"loss", "accuracy"} == set(tags[f"{run}/validation"])
    history = runs[1][run]
    for part, tag, key in (
        ("train", "loss", "loss"),
        ("train", "accuracy", "accuracy"),
        ("train", "learning_rate", "learning_rate"),
        ("train", "images_per_second", "images_per_second"),
        ("validation", "loss", "val_loss"),
        ("validation", "accuracy", "val_accuracy"),
    ):
        found = board.scalars(f"{run}/{part}", tag)
        assert list(found) == [1, 2, 3]
        np.testing.assert_allclose(list(found.values()), history[key], rtol=1e-6)
    # 200 images in batches of 50 are 4 steps, in an epoch that says it took 2 s.
    assert set(board.scalars(f"{run}/train", "step_milliseconds").values()) == {500.0}
    memory = board.scalars(f"{run}/train", "peak_memory/process")
    assert all(0.1 < size < 100 for size in memory.values()), "GiB of this process"


@BOTH
def test_layers(board, run):
    """Each statistic of each layer, in each epoch, as scalars and as histograms."""
    kernels = ["conv1", "conv2", "fc1", "fc2", "logits"]
    relus = ["conv1_relu", "conv2_relu", "fc1_relu", "fc2_relu"]
    activations = [*relus, "logits"]
    scalars = {
        *(f"{kind}/{name}" for kind in ("weights_mean", "weights_std") for name in kernels),
        *(f"{kind}/{name}" for kind in ("gradient_norm", "update_ratio") for name in kernels),
        *(f"activation_{kind}/{name}" for kind in ("mean", "std") for name in activations),
        *(f"dead_relus/{name}" for name in relus),
        *("gradient_norm", "update_ratio", "dead_relus"),
        *("loss", "accuracy", "learning_rate", "images_per_second", "seconds"),
        *("step_milliseconds", "peak_memory/process"),
    }
    assert set(board.json("scalars/tags")[f"{run}/train"]) == scalars
    assert list(board.scalars(f"{run}/train", "update_ratio/conv1")) == [1, 2, 3]
    histograms = {
        *(f"weights/{name}" for name in kernels),
        *(f"gradients/{name}" for name in kernels),
        *(f"activations/{name}" for name in activations),
    }
    assert set(board.json("histograms/tags")[f"{run}/train"]) == histograms
    found = board.json("histograms/histograms", run=f"{run}/train", tag="weights/conv1")
    assert [step for _, step, _ in found] == [1, 2, 3]
    assert all(sum(count for _, _, count in bins) == 5 * 5 * 6 for _, _, bins in found)


@BOTH
@pytest.mark.parametrize(
    "tag",
    [
        "validation/samples",
        "validation/confusion_matrix",
        "validation/worst",
        "train/filters",
        "train/feature_maps/conv1_relu",
        "train/feature_maps/conv2_relu",
    ],
)
def test_pictures(board, run, tag):
    part, _, name = tag.partition("/")
    assert board.image_steps(f"{run}/{part}", name) == [1, 3]
    picture = board.image(f"{run}/{part}", name)
    assert picture.shape[0] > 50
    assert len(np.unique(picture)) > 10, "the picture is empty"


@BOTH
def test_graph(board, run):
    assert board.json("graphs/info")[f"{run}/train"]["run_graph"]
    text = board.bytes("graphs/graph", run=f"{run}/train").decode()
    nodes = set(re.findall(r"node \{\s+name: \"(.+)\"", text))
    assert nodes >= {"input", "conv1", "conv1/conv1_relu", "pool1", "fc1/fc1_relu", "logits"}
    assert len(nodes) == len(LeNet5(activation="relu").layers), "each layer, and nothing else"


@BOTH
def test_hparams(board, runs, run):
    experiment = board.json("hparams/experiment", {"experimentName": ""})
    names = {found["name"] for found in experiment["hparamInfos"]}
    assert {"recipe.optimizer", "recipe.learning_rate", "widths"} <= names
    compared = {found["name"]["tag"] for found in experiment["metricInfos"]}
    assert compared == {"loss", "accuracy", "test_error"}, "of the layers there is nothing"
    request = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS"],
        "colParams": [{"metric": {"group": "", "tag": "accuracy"}}],
        "startIndex": 0,
        "sliceSize": 10,
    }
    groups = board.json("hparams/session_groups", request)["sessionGroups"]
    (group,) = (g for g in groups if g["hparams"]["run"] == run)
    assert group["name"] == run
    assert group["hparams"]["widths"] == "(6, 16)"
    assert group["hparams"]["recipe.learning_rate"] == Recipe().learning_rate
    metrics = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    assert metrics["accuracy"] == pytest.approx(runs[1][run]["val_accuracy"][-1])


def test_resumed_run_shows_each_epoch_once(board, runs):
    """It was killed after the logs of epoch 4, and resumed from epoch 2."""
    loss = board.scalars("resumed/train", "loss")
    assert list(loss) == [1, 2, 3, 4, 5]
    resumed = [loss[step] for step in (3, 4, 5)]
    np.testing.assert_allclose(resumed, runs[1]["resumed"]["loss"], rtol=1e-6)
    assert board.image_steps("resumed/validation", "samples") == [1, 4, 5]
    assert board.json("graphs/info")["resumed/train"]["run_graph"]


def test_final_metrics_are_those_of_the_test_images(board):
    assert board.json("scalars/tags")["final/validation"].keys() == {"test_error"}
    assert board.scalars("final/validation", "test_error") == {1: 0.25}


def test_a_run_is_its_training_and_its_validation_images_and_nothing_else(board):
    with urllib.request.urlopen(f"{board.address}data/runs", timeout=30) as answer:
        found = json.load(answer)
    names = ("final", "mirrored", "plain", "resumed")
    assert sorted(found) == [f"{name}/{part}" for name in names for part in LOGS]


def test_every_chart_of_the_layout_has_values(board):
    charts = {
        part["title"]: {chart["title"]: chart["multiline"]["tag"] for chart in part["chart"]}
        for part in board.json("custom_scalars/layout")["category"]
    }
    assert list(charts) == ["Learning", "Health", "Layers", "Speed"]
    assert charts["Learning"]["Top-1 error"] == ["^error$"]
    for title, patterns in charts.items():
        for name, (pattern,) in patterns.items():
            if name == "Top-1 error" or name == "Share of time waiting for input":
                continue  # Keras's fit has no such figure
            found = board.json("custom_scalars/scalars", run="plain/train", tag=pattern)
            tags = list(found["tag_to_events"])
            assert tags, f"{title}: {name}"
            assert all(re.search(pattern, tag) for tag in tags)


def test_logits_are_shown_as_probabilities(monkeypatch):
    images = np.random.default_rng(0).random((2, 32, 32, 1), "float32")
    logits = np.array([[1, 2, 3], [300, 0, 0]], "float32")
    shown, draw = [], pictures.samples
    monkeypatch.setattr(
        pictures, "samples", lambda *given, **how: shown.append(given[2]) or draw(*given, **how)
    )
    labels = np.zeros(2, int)
    seen = Seen(
        class_names=("a", "b", "c"),
        images=images,
        targets=labels,
        outputs=logits,
        more=lambda: [(images, labels, logits)],
    )
    CLASSIFICATION.pictures(seen)
    np.testing.assert_allclose(shown[0], tf.nn.softmax(logits), rtol=1e-6)


def test_work_keeps_to_its_share_of_the_time(monkeypatch):
    """A share of 10 %: after a first turn of 2 s the next one must wait until 40 s have gone by."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[-1])
    budget = Budget(0.1, free=1)
    assert budget.allows()
    budget.spend(30.0)  # compiling isn't counted
    assert budget.allows()
    budget.spend(2.0)
    found = []
    for now in (20.0, 39.0, 40.0):
        clock.append(now)
        found.append(budget.allows())
    assert found == [False, False, True]
    assert not Budget(0.1, first=5.0).allows()


def test_hparams_are_flat_and_of_the_types_that_tensorboard_knows():
    values = flat({"seed": 1, "widths": (6, 16), "top": None, "recipe": Recipe(clip_norm=0.5)})
    assert values["seed"] == 1
    assert values["widths"] == "(6, 16)"
    assert values["top"] == "None"
    assert values["recipe.clip_norm"] == 0.5
    assert values["recipe.augmentation.shift"] == Augmentation().shift
