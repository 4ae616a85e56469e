"""`weights="imagenet"` and files, against a local server with the publishers' layout.

The networks are tiny, their weights are published on that server, and everything else is the
real thing: HTTP, the hub's client, hashes, conversion, the cache.
"""

import hashlib
import http.server
import inspect
import json
import re
import shutil
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import h5py
import keras
import numpy as np
import pytest
from rich.console import Console

import kerascnn
from kerascnn import registry, weights
from kerascnn.applications.published import KERAS_URL
from kerascnn.applications.resnet import TORCH_NAMES, ResNet50
from kerascnn.card import Preprocessing, Source
from kerascnn.errors import WeightsError
from kerascnn.runs.config import StartedFrom
from kerascnn.training.starting import described
from kerascnn.weights import download, imagenet
from kerascnn.weights.sources import find

# A ResNet small enough to be sent a hundred times, under a name of its own.
TINY = ResNet50.variant(
    "tiny",
    weights=(),
    depths=(1, 1),
    widths=(4, 8),
    kernels=(3, 3),
    stem_width=4,
    stem_kernel=3,
    stride_in="3x3",
)
SHAPE = (32, 32, 3)
KERAS = "https://storage.googleapis.com/tiny/tiny.h5"


class Server(http.server.ThreadingHTTPServer):
    """Files by path; `faults` says what to do wrong, once for each entry."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.requests = {}, [], []
        self.hub = set()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, server = self.path.partition("?")[0].removeprefix("/"), self.server
        server.requests.append((self.command, path, self.headers.get("Range")))
        content = server.files.get(path)
        if content is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        fault = server.faults.pop(0) if server.faults and self.command == "GET" else None
        if fault == "ignore range":
            start = 0
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        if start:
            total = len(content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if path in server.hub:
            digest = hashlib.sha256(content).hexdigest()
            self.send_header("ETag", f'"{server.wrong_tag or digest}"')
            self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: len(body) // 2] if fault == "interrupt" else body)
        if fault == "interrupt":
            self.close_connection = True


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server()
    server.wrong_tag = None
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    monkeypatch.setenv("KERASCNN_MIRROR", server.url)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "cache"))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def trained():
    """A tiny network with random weights, statistics included."""
    model = TINY(input_shape=SHAPE)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    return model


def legacy_h5(model, path):
    """A weight file as keras.applications publishes them."""
    with h5py.File(path, "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        names = {layer.name: layer.name.replace("logits", "predictions") for layer in layers}
        file.attrs["layer_names"] = [name.encode() for name in names.values()]
        for layer in layers:
            group = file.create_group(names[layer.name])
            group.attrs["weight_names"] = [f"{v.name}:0".encode() for v in layer.weights]
            for variable in layer.weights:
                group[f"{variable.name}:0"] = np.asarray(variable)
    return path.read_bytes()


@pytest.fixture
def keras_file(server, trained, tmp_path):
    content = legacy_h5(trained, tmp_path / "served.h5")
    server.files["storage.googleapis.com/tiny/tiny.h5"] = content
    return content


@pytest.fixture
def tiny(keras_file):
    """The network that the served file is published for."""
    source = Source(
        publisher="keras",
        file=KERAS,
        digest=f"md5:{hashlib.md5(keras_file).hexdigest()}",
        preprocessing=Preprocessing(),
        requires={"stride_in": "3x3"},
    )
    return replace(TINY, weights=(source,))


def same(model, other, rtol=1e-6):
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol)


def fetched(server):
    return [path for method, path, _ in server.requests if method == "GET"]


def test_fetches_converts_and_keeps(server, tiny, trained, tmp_path):
    same(tiny(input_shape=SHAPE, weights="imagenet"), trained)
    same(tiny(input_shape=SHAPE, weights="imagenet:keras"), trained)
    assert len(fetched(server)) == 1, "the second time it comes from the cache"
    (kept,) = [p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert re.fullmatch(r"tiny-[0-9a-f]{8}-top\.1\.npz", kept)


@pytest.mark.parametrize("fault", ["interrupt", "ignore range"])
def test_goes_on_after_an_interruption(server, keras_file, tiny, trained, fault):
    server.faults = ["interrupt", fault]
    same(tiny(input_shape=SHAPE, weights="imagenet"), trained)
    ranges = [r for _, _, r in server.requests]
    half = len(keras_file) // 2
    assert ranges[:2] == [None, f"bytes={half}-"]


def test_goes_on_in_the_next_process(server, keras_file, tiny, trained, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.faults = ["interrupt"]
    with pytest.raises(WeightsError, match="goes on from what has arrived"):
        tiny(input_shape=SHAPE, weights="imagenet")
    same(tiny(input_shape=SHAPE, weights="imagenet"), trained)
    assert server.requests[-1][2] == f"bytes={len(keras_file) // 2}-"


def test_refuses_what_stays_truncated(server, tiny):
    server.faults = ["interrupt"] * 3
    with pytest.raises(WeightsError, match="tried 3 times"):
        tiny(input_shape=SHAPE, weights="imagenet")


def test_refuses_a_wrong_hash_and_deletes_the_file(server, keras_file, tiny, trained, tmp_path):
    path = "storage.googleapis.com/tiny/tiny.h5"
    server.files[path] = keras_file[:-1] + b"x"
    with pytest.raises(WeightsError, match=r"md5 must be .* Received"):
        tiny(input_shape=SHAPE, weights="imagenet")
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    server.files[path] = keras_file
    same(tiny(input_shape=SHAPE, weights="imagenet"), trained)


def test_says_that_a_file_is_gone(server, tiny, tmp_path):
    server.files.clear()
    with pytest.raises(WeightsError, match="404"):
        tiny(input_shape=SHAPE, weights="imagenet")
    assert not list((tmp_path / "cache").rglob("tiny*")), "not even an empty directory"


def test_says_that_there_is_no_network(server, tiny, monkeypatch):
    monkeypatch.setenv("KERASCNN_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"refused.*pass its path as weights"):
        tiny(input_shape=SHAPE, weights="imagenet")


def test_says_that_a_mirror_is_no_address(server, tiny, monkeypatch):
    monkeypatch.setenv("KERASCNN_MIRROR", "mirror.example")
    with pytest.raises(WeightsError, match="KERASCNN_MIRROR must begin with https://"):
        tiny(input_shape=SHAPE, weights="imagenet")


def test_weights_are_called_after_what_they_were_trained_on(server, keras_file, tiny, trained):
    """Who asks for ImageNet's doesn't get those of another data set."""
    (source,) = tiny.weights
    other = tiny.variant("other", weights=(replace(source, data="coco"),))
    same(other(input_shape=SHAPE, weights="coco"), trained)
    same(other(input_shape=SHAPE, weights="coco:keras"), trained)
    assert described("coco", other.weights) == StartedFrom(source="coco")
    for wanted in ("imagenet", "imagenet:keras", "coco:nobody"):
        message = f"weights must be 'coco', or one of 'coco:keras'. Received: '{wanted}'"
        with pytest.raises(WeightsError, match=message):
            other(input_shape=SHAPE, weights=wanted)
    with pytest.raises(WeightsError, match=r"There is no file 'cocoa'\. Did you mean coco\?"):
        other(input_shape=SHAPE, weights="cocoa")


@pytest.mark.parametrize("fault", ["gone", "does not fit"])
def test_training_that_cannot_have_its_weights_leaves_nothing_behind(
    fault, server, keras_file, tiny, trained, tmp_path
):
    """No run directory, so that the same call can be said again, and no earlier run deleted."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, *SHAPE), "uint8")
    labels = np.arange(24) % 2
    data = {
        f"{k}_{part}": v for part in ("train", "test") for k, v in (("x", images), ("y", labels))
    }
    np.savez(tmp_path / "data.npz", **data)
    path = "storage.googleapis.com/tiny/tiny.h5"
    start = "imagenet"
    if fault == "gone":
        del server.files[path]
    else:
        start = tmp_path / "a.weights.h5"
        tiny.variant("other", widths=(5, 6))(input_shape=SHAPE).save_weights(start)
    quiet = Console(quiet=True)

    def train(**more):
        return kerascnn.train(
            tiny,
            f"npz:{tmp_path / 'data.npz'}",
            input_shape=SHAPE,
            weights=start,
            run=tmp_path / "run",
            epochs=1,
            batch_size=8,
            record=False,
            console=quiet,
            **more,
        )

    with pytest.raises(WeightsError):
        train()
    assert not (tmp_path / "run").exists()
    server.files[path] = keras_file
    if fault == "does not fit":
        trained.save_weights(start)
    assert train().finished
    server.files.clear()
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    if fault != "does not fit":
        with pytest.raises(WeightsError):
            train(overwrite=True)
        assert (tmp_path / "run" / "metrics.json").is_file(), "the earlier run is still there"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("imagenet", "No ImageNet weights are published for other"),
        ("imagenet:nobody", "No ImageNet weights are published for other"),
        ("imagnet", "Did you mean imagenet"),
        ("nothing.h5", "There is no file 'nothing.h5'"),
        ("notes.txt", r"notes\.txt: the name must end in one of"),
        (3, "Received: int"),
    ],
)
def test_unknown_weights_are_refused_before_anything_is_built(
    wanted, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    built = []

    def build(inputs, **arguments):
        built.append(inputs)
        return TINY.build(inputs, **arguments)

    other = TINY.variant("other")
    signature = inspect.signature(TINY.build)
    build.__signature__ = signature
    other = replace(other, build=build)
    with pytest.raises(WeightsError, match=message):
        other(input_shape=SHAPE, weights=wanted)
    assert not built
    other(input_shape=SHAPE)
    assert built


def test_works_without_a_writable_cache(server, tiny, trained, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="KERASCNN_CACHE"):
        model = tiny(input_shape=SHAPE, weights="imagenet")
    same(model, trained)


def test_uses_what_a_read_only_cache_has(server, tiny, trained, monkeypatch):
    tiny(input_shape=SHAPE, weights="imagenet")
    monkeypatch.setattr(tempfile, "TemporaryFile", Mock(side_effect=PermissionError))
    same(tiny(input_shape=SHAPE, weights="imagenet"), trained)


def test_processes_wait_for_each_other(server, tiny, trained):
    """The workers of one training ask at the same time; one of them fetches."""
    models = [tiny(input_shape=SHAPE) for _ in range(4)]
    network = tiny.network(input_shape=SHAPE)

    def worker(model):
        network.load(model, "imagenet")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(worker, models))
    assert len(fetched(server)) == 1
    for model in models:
        same(model, trained)


def test_no_top(server, tiny, trained, tmp_path, monkeypatch):
    """keras.applications publishes smaller files without the classifier."""
    bare = keras.Model(trained.input, trained.get_layer("conv3_block1_out").output)
    content = legacy_h5(bare, tmp_path / "no_top.h5")
    server.files["storage.googleapis.com/tiny/no_top.h5"] = content
    source = replace(
        tiny.weights[0],
        no_top=KERAS.replace("tiny.h5", "no_top.h5"),
        no_top_digest=f"md5:{hashlib.md5(content).hexdigest()}",
    )
    same(replace(tiny, weights=(source,))(include_top=False, weights="imagenet"), bare)
    assert fetched(server) == ["storage.googleapis.com/tiny/no_top.h5"]


# --- the Hugging Face hub ------------------------------------------------------------------------

REVISION = "0" * 40
HUB = f"someone/tiny.tv_in1k/resolve/{REVISION}/model.safetensors"


def torch_state(model):
    """The state dict that torch would have: the reverse of the importer's rules."""
    names = {"kernel": "weight", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean"}
    names |= {"bias": "bias", "moving_variance": "running_var"}
    state = {}
    for layer in model.layers:
        module = layer.name.replace("logits", "fc")
        module = re.sub(r"^conv1_conv$", "conv1", re.sub(r"^conv1_bn$", "bn1", module))
        if match := re.fullmatch(r"conv(\d)_block(\d)_(\d)_(conv|bn)", module):
            stage, block, k, part = match.groups()
            leaf = f"{part}{k}" if k != "0" else f"downsample.{'01'[part == 'bn']}"
            module = f"layer{int(stage) - 1}.{int(block) - 1}.{leaf}"
        for variable in layer.weights:
            array = np.asarray(variable)
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            state[f"{module}.{names[variable.name]}"] = np.ascontiguousarray(array)
    return state


@pytest.fixture
def hub_tiny(server, trained):
    pytest.importorskip("huggingface_hub", reason="pip install kerascnn[weights]")
    from safetensors.numpy import save

    server.files[HUB] = save(torch_state(trained))
    server.hub.add(HUB)
    source = Source(
        publisher="torchvision",
        file="someone/tiny.tv_in1k",
        revision=REVISION,
        preprocessing=Preprocessing(),
        names=TORCH_NAMES,
    )
    return replace(TINY, weights=(source,))


def test_fetches_from_the_hub(server, hub_tiny, trained, tmp_path):
    same(hub_tiny(input_shape=SHAPE, weights="imagenet"), trained)
    same(hub_tiny(input_shape=SHAPE, weights="imagenet"), trained)
    assert fetched(server).count(HUB) == 1
    (kept,) = [p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert re.fullmatch(r"tiny\.tv_in1k-[0-9a-f]{8}-top\.1\.npz", kept)


def test_the_hub_goes_on_after_an_interruption(server, hub_tiny, trained):
    server.faults = ["interrupt"]
    same(hub_tiny(input_shape=SHAPE, weights="imagenet"), trained)
    assert fetched(server).count(HUB) == 2


def test_checks_the_hubs_hash(server, hub_tiny):
    server.wrong_tag = "0" * 64
    with pytest.raises(WeightsError, match="sha256 must be 000"):
        hub_tiny(input_shape=SHAPE, weights="imagenet")


def test_says_that_the_hub_cannot_be_reached(server, hub_tiny, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"tiny\.tv_in1k.*can't be fetched"):
        hub_tiny(input_shape=SHAPE, weights="imagenet")


# --- surgery, files and messages -----------------------------------------------------------------


def test_another_number_of_classes_keeps_everything_else(server, tiny, trained, capsys):
    model = tiny(input_shape=SHAPE, weights="imagenet", classes=5)
    for layer in trained.layers:
        if layer.name != "logits":
            for a, b in zip(layer.get_weights(), model.get_layer(layer.name).get_weights()):
                np.testing.assert_allclose(a, b, rtol=1e-6)
    assert "logits/kernel, logits/bias" in capsys.readouterr().err


def test_another_number_of_channels(tmp_path, trained):
    trained.save(tmp_path / "rgb.keras")
    path = str(tmp_path / "rgb.keras")
    gray = np.random.default_rng(1).random((2, *SHAPE[:2], 1)).astype("float32")
    rgb = trained.predict_on_batch(np.repeat(gray, 3, axis=-1))
    one = TINY(input_shape=(*SHAPE[:2], 1), weights=path)
    np.testing.assert_allclose(one.predict_on_batch(gray), rgb, rtol=1e-4, atol=1e-7)
    # Every channel the same: five channels must see what three saw.
    five = TINY(input_shape=(*SHAPE[:2], 6), weights=path)
    many = five.predict_on_batch(np.repeat(gray, 6, axis=-1))
    np.testing.assert_allclose(many, rgb, rtol=1e-4, atol=1e-7)


def test_another_input_size(tmp_path, trained):
    trained.save_weights(tmp_path / "a.weights.h5")
    model = TINY(input_shape=(45, 61, 3), weights=tmp_path / "a.weights.h5")
    same(model, trained)


def test_arguments_that_change_what_is_computed_are_told(server, tiny, capsys):
    tiny(input_shape=SHAPE, weights="imagenet", activation="silu")
    told = "The weights were trained with activation='relu', the model has 'silu'."
    assert told in capsys.readouterr().err


def test_under_a_strategy(server, tiny, trained, two_devices):
    with two_devices.scope():
        model = tiny(input_shape=SHAPE, weights="imagenet")
    for variable, expected in zip(model.weights, trained.get_weights(), strict=True):
        for replica in variable.value.values:
            np.testing.assert_allclose(replica.numpy(), expected, rtol=1e-6)


def test_arguments_that_change_the_network_are_refused(server, tiny):
    with pytest.raises(WeightsError, match="imagenet:keras needs stride_in='3x3'"):
        tiny(input_shape=SHAPE, weights="imagenet", stride_in="1x1")
    assert not server.requests


def test_says_which_weights_there_are(server, tiny):
    with pytest.raises(WeightsError, match=r"one of 'imagenet:keras'\. Received: 'imagenet:timm'"):
        tiny(weights="imagenet:timm")
    with pytest.raises(WeightsError, match=r'must be None, "imagenet" or a file'):
        tiny(weights="imagnet")


def test_a_variant_has_the_weights_of_its_parent(server, tiny, trained, capsys):
    """And is told where it differs from what they were trained for."""
    same(tiny.variant("mine")(input_shape=SHAPE, weights="imagenet"), trained)
    assert "trained with" not in capsys.readouterr().err
    grandchild = tiny.variant("silu", activation="silu").variant("mine")
    same(grandchild(input_shape=SHAPE, weights="imagenet"), trained)
    told = "The weights were trained with activation='relu', the model has 'silu'."
    assert told in capsys.readouterr().err
    assert len(fetched(server)) == 1, "one file in the cache serves all"


def test_a_variant_that_contradicts_what_the_weights_require_is_refused(server, tiny):
    other = tiny.variant("mine", stride_in="1x1")
    with pytest.raises(WeightsError, match=r"mine with these.*needs stride_in='3x3'"):
        other(input_shape=SHAPE, weights="imagenet")
    assert not server.requests


def test_of_two_publishers_a_variant_gets_the_one_whose_requirements_it_meets():
    mine = ResNet50.variant("mine", stride_in="3x3")
    source = find(mine.weights, "imagenet", mine.space.defaults(), owner="mine")
    assert source.publisher == "torchvision"


def test_another_package_lists_weights_of_its_own(server, tiny, trained):
    source = replace(
        tiny.weights[0], publisher="someone", preprocessing=Preprocessing(scale=1.0), requires={}
    )
    mine = replace(TINY, name="mine", weights=(source,))
    same(mine(input_shape=SHAPE, weights="imagenet:someone"), trained)
    assert np.max(mine.preprocess_input(np.ones((1, 1, 3)), "imagenet")) == 1


def test_an_address_comes_with_the_hash_of_its_file():
    with pytest.raises(ValueError, match="needs its hash"):
        Source(publisher="someone", file=KERAS, preprocessing=Preprocessing())


def test_another_package_says_what_torch_calls_its_layers(trained, monkeypatch):
    """Then files with these names can be loaded, from wherever they are."""
    monkeypatch.setattr(registry, "_added", {})
    state = {key.replace("layer", "part"): array for key, array in torch_state(trained).items()}
    model = TINY(input_shape=SHAPE)
    with pytest.raises(WeightsError, match="none of the known torch models"):
        weights.load(model, state)
    theirs = {name.replace("layer", "part"): ours for name, ours in TORCH_NAMES.layers.items()}
    names = replace(TORCH_NAMES, family="mine", layers=theirs)
    source = Source(publisher="someone", file="", preprocessing=Preprocessing(), names=names)
    kerascnn.register(replace(TINY, name="mine", weights=(source,)))
    weights.load(model, state)
    same(model, trained)


SOURCES = [
    (architecture, source)
    for architecture in map(kerascnn.get, kerascnn.list_architectures(provider="kerascnn"))
    for source in architecture.weights
]


def test_addresses_and_hashes_are_keras_applications_own():
    from keras.src.applications import densenet, resnet, vgg16, vgg19

    code = "".join(inspect.getsource(module) for module in (densenet, resnet, vgg16, vgg19))
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    keras_own = [(a, s) for a, s in SOURCES if s.publisher == "keras"]
    assert len(keras_own) == 11
    for architecture, source in keras_own:
        for url, digest in (
            (source.file, source.digest),
            (source.no_top, source.no_top_digest),
        ):
            folder, _, name = url.removeprefix(KERAS_URL).rpartition("/")
            assert digest.removeprefix("md5:") in code
            assert f"{KERAS_URL}{folder}/" in code
            assert name.removeprefix(architecture.name) in code


@pytest.mark.parametrize(("architecture", "source"), SOURCES)
def test_published_weights_are_found_with_the_arguments_that_they_require(architecture, source):
    arguments = architecture.space.validate(source.requires, owner=architecture.name)
    found = find(architecture.weights, source.name, arguments, owner=architecture.name)
    assert found == source


def test_files_of_torch_say_what_their_names_mean():
    for architecture, source in SOURCES:
        assert (source.names is None) == (source.publisher == "keras"), architecture.name


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("vgg16", "vgg16"),
        ("resnet50", "resnet"),
        ("resnet50v2", "resnet_v2"),
        ("densenet121", "densenet"),
    ],
)
def test_preprocessing_is_keras_applications(name, module):
    source = next(s for s in kerascnn.get(name).weights if s.publisher == "keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype("float32")
    theirs = getattr(keras.applications, module).preprocess_input(pixels.copy())
    ours = kerascnn.get(name).preprocess_input(pixels, "imagenet:keras", **source.requires)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_decode_predictions(server, monkeypatch):
    names = {str(k): [f"n{k:08}", f"class {k}"] for k in range(1000)}
    content = json.dumps(names).encode()
    server.files[
        "storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
    ] = content
    monkeypatch.setattr(imagenet, "CLASSES_DIGEST", f"md5:{hashlib.md5(content).hexdigest()}")
    imagenet.class_names.cache_clear()
    scores = np.zeros((2, 1000), "float32")
    scores[0, 7], scores[0, 9], scores[1, 999] = 0.5, 0.75, 1
    first, second = weights.decode_predictions(scores, top=2)
    assert first == [("n00000009", "class 9", 0.75), ("n00000007", "class 7", 0.5)]
    assert second[0] == ("n00000999", "class 999", 1.0)
    imagenet.class_names.cache_clear()


def test_class_names_without_a_network_can_be_put_there_by_hand(server, monkeypatch, tmp_path):
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path))
    monkeypatch.setenv("KERASCNN_MIRROR", "http://127.0.0.1:9")
    imagenet.class_names.cache_clear()
    with pytest.raises(WeightsError, match=r"save it as (.*)\.$") as caught:
        weights.decode_predictions(np.zeros((1, 1000)))
    path = Path(re.search(r"save it as (.*)\.$", str(caught.value))[1])
    path.write_text(json.dumps({str(k): [f"n{k}", f"class {k}"] for k in range(1000)}))
    assert weights.decode_predictions(np.eye(1000)[:1], top=1) == [[("n0", "class 0", 1.0)]]
    imagenet.class_names.cache_clear()


def test_the_class_names_hash_is_kerass():
    from keras.src.applications import imagenet_utils

    code = inspect.getsource(imagenet_utils)
    assert imagenet.CLASSES_DIGEST.removeprefix("md5:") in code
    assert Path(imagenet.CLASSES_URL).name in code
