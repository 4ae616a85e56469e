"""Checkpoints as training scripts save them: the weights are found, the rest is told.

Nothing of PyTorch is installed: the files are written with pickles of the same opcodes.
"""

import argparse
import struct
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import pytest
from small_resnet import network

from kerascnn import weights
from kerascnn.errors import WeightsError
from kerascnn.weights.readers import open_checkpoint
from kerascnn.weights.rules import convert


def batch_norm(rng, width):
    return {
        "weight": rng.uniform(0.5, 1, width),
        "bias": rng.standard_normal(width),
        "running_mean": rng.standard_normal(width),
        "running_var": rng.uniform(0.5, 1, width),
    }


def torch_state(seed=0, classes=10):
    """The state dict that torchvision's ResNet of this size has."""
    rng = np.random.default_rng(seed)
    state = {"conv1.weight": rng.standard_normal((4, 3, 7, 7))}
    norms = {"bn1": 4}
    inputs = 4
    for stage, width in ((1, 4), (2, 8)):
        block = f"layer{stage}.0"
        for number, channels in ((1, inputs), (2, width)):
            state[f"{block}.conv{number}.weight"] = rng.standard_normal((width, channels, 3, 3))
            norms[f"{block}.bn{number}"] = width
        if inputs != width:
            state[f"{block}.downsample.0.weight"] = rng.standard_normal((width, inputs, 1, 1))
            norms[f"{block}.downsample.1"] = width
        inputs = width
    for name, width in norms.items():
        state |= {f"{name}.{leaf}": array for leaf, array in batch_norm(rng, width).items()}
        state[f"{name}.num_batches_tracked"] = np.array(7)
    state |= {
        "fc.weight": rng.standard_normal((classes, 8)),
        "fc.bias": rng.standard_normal(classes),
    }
    return {k: v if v.dtype == int else v.astype("float32") for k, v in state.items()}


STATE = torch_state()


@pytest.fixture(scope="module")
def expected():
    model = network()
    weights.load(model, STATE, verbose=False)
    return model.get_weights()


def prefixed(state, prefix):
    return {prefix + name: array for name, array in state.items()}


def loaded(path, expected, **arguments):
    """The report; and the weights must be those of STATE."""
    model = network()
    report = weights.load(model, path, verbose=False, **arguments)
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    return report


def test_torchvisions_references(tmp_path, torch_files, expected):
    """vision/references/classification/train.py: DataParallel's names in the average alone."""
    other = prefixed(torch_state(1), "module.") | {"n_averaged": np.array(3)}
    optimizer = {"state": {0: {"momentum_buffer": np.ones(4)}}, "param_groups": [{"lr": 0.1}]}
    content = {
        "model": STATE,
        "optimizer": optimizer,
        "lr_scheduler": {"milestones": Counter({30: 1, 60: 1}), "last_epoch": 89},
        "epoch": 89,
        "args": argparse.Namespace(model="resnet18", lr=0.1, data_path="/datasets"),
        "model_ema": other,
        "scaler": {"scale": 65536.0},
    }
    torch_files.zip(tmp_path / "checkpoint.pth", content)
    report = loaded(tmp_path / "checkpoint.pth", expected)
    told = str(report)
    for entry in ("optimizer (dict)", "args (argparse.Namespace)", "model_ema (dict)", "epoch"):
        assert entry in told
    model = network()
    weights.load(model, tmp_path / "checkpoint.pth", entry="model_ema", verbose=False)
    other = network()
    weights.load(other, torch_state(1), verbose=False)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_timms_train_script(tmp_path, torch_files, expected):
    content = {
        "epoch": 3,
        "arch": "resnet18",
        "state_dict": OrderedDict(STATE),
        "optimizer": {"state": {}, "param_groups": []},
        "version": 2,
        "args": argparse.Namespace(mean=(0.5,), classes={1, 2}, raw=b"bytes"),
        "state_dict_ema": OrderedDict(torch_state(1)),
        "metric": np.float64(71.2),
        "seen": frozenset({1}),
        "stats": defaultdict(list, a=[1]),
        "rng": np.arange(3).tolist(),
    }
    torch_files.zip(tmp_path / "model_best.pth.tar", content)
    told = str(loaded(tmp_path / "model_best.pth.tar", expected))
    assert "state_dict_ema (dict)" in told


def test_lightning_with_entries_of_its_own(tmp_path, torch_files, expected):
    state = prefixed(STATE, "model.") | {
        "criterion.weight": np.ones(10, "float32"),
        "train_acc.total": np.array(3),
        "teacher_head.weight": np.ones((3, 4), "float32"),
    }
    hyper = torch_files.named("omegaconf.dictconfig", "DictConfig", _content={"lr": 1})
    content = {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": OrderedDict(state),
        "loops": {"fit_loop": {}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best": np.array(0.1)}},
        "optimizer_states": [],
        "hyper_parameters": hyper,
    }
    with torch_files.stand_ins(hyper):
        torch_files.zip(tmp_path / "epoch=1.ckpt", content)
    report = loaded(tmp_path / "epoch=1.ckpt", expected)
    assert {"criterion.weight", "train_acc.total", "teacher_head.weight"} < set(report.ignored)
    assert "hyper_parameters (omegaconf.dictconfig.DictConfig)" in report.ignored


def test_an_averaged_model(tmp_path, torch_files, expected):
    state = prefixed(STATE, "module.") | {"n_averaged": np.array(5)}
    torch_files.zip(tmp_path / "swa.pt", state)
    assert loaded(tmp_path / "swa.pt", expected).ignored == ("n_averaged",)


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "backbone.", "encoder.", "net.", "resnet.", "model.", "_orig_mod."),
        *("module.backbone.", "model._orig_mod.module.", "my.own.thing."),
    ],
)
def test_any_prefix(prefix, tmp_path, torch_files, expected):
    """A classifier under another name is found, and a loss beside the network is told."""
    state = prefixed(STATE, prefix) | {"criterion.weight": np.ones(3, "float32")}
    torch_files.zip(tmp_path / "pytorch_model.bin", {"net": state, "best_acc": np.array(0.7)})
    report = loaded(tmp_path / "pytorch_model.bin", expected)
    assert set(report.ignored) == {"criterion.weight", "best_acc (tensor)"}


def test_numbered_networks_have_prefixes_too(tmp_path, torch_files):
    state = {"features.0.weight": np.ones((4, 3, 3, 3)), "features.0.bias": np.ones(4)}
    state |= {"classifier.0.weight": np.ones((5, 4)), "classifier.0.bias": np.ones(5)}
    ours = convert(open_checkpoint(state)).tensors
    wrapped = prefixed(state, "backbone.") | {"head.weight": np.ones((2, 5))}
    assert list(convert(open_checkpoint(wrapped)).tensors) == list(ours)


def test_several_networks_in_one_file_are_asked_about(tmp_path, torch_files, expected):
    state = prefixed(STATE, "module.encoder_q.") | prefixed(torch_state(1), "module.encoder_k.")
    state["module.queue"] = np.zeros((8, 4), "float32")
    torch_files.zip(tmp_path / "moco.pth.tar", {"state_dict": state})
    model = network()
    with pytest.raises(WeightsError, match=r"moco.*several networks.*entry='(.*)'") as caught:
        weights.load(model, tmp_path / "moco.pth.tar")
    assert "module.encoder_q" in str(caught.value)
    loaded(tmp_path / "moco.pth.tar", expected, entry="module.encoder_q")
    with pytest.raises(WeightsError, match=r"'module\.encoder_k'.*Received: 'encoder_z'"):
        weights.load(model, tmp_path / "moco.pth.tar", entry="encoder_z")


def test_a_whole_module(tmp_path, torch_files, expected):
    """torch.save(model): objects within objects, whose classes nobody has."""
    named = torch_files.named
    things = []

    def module(name, parts):
        """A module of parameters and modules, as nn.Module keeps them."""
        own = {k: v for k, v in parts.items() if isinstance(v, np.ndarray)}
        inner = {k: module(k, v) for k, v in parts.items() if isinstance(v, dict)}
        buffers = {k: v for k, v in own.items() if k.startswith(("running", "num"))}
        made = named(
            "torchvision.models.resnet",
            f"Made{len(things)}",
            training=True,
            _parameters=OrderedDict((k, v) for k, v in own.items() if k not in buffers),
            _buffers=OrderedDict(buffers),
            _modules=OrderedDict(inner),
        )
        things.append(made)
        return made

    tree = {}
    for key, array in STATE.items():
        *path, leaf = key.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = array
    whole, within = module("resnet", tree), module("resnet", tree)
    with torch_files.stand_ins(*things):
        torch_files.zip(tmp_path / "whole.pt", whole)
        torch_files.zip(tmp_path / "within.pt", {"epoch": 1, "model": within})
    loaded(tmp_path / "whole.pt", expected)
    assert loaded(tmp_path / "within.pt", expected).ignored == ("epoch (int)",)


# --- before torch 0.4 ----------------------------------------------------------------------------


def old_parameter(array, key, *, how):
    """A parameter's opcodes as torch 0.1 to 0.3 wrote them, in Python 2 or 3."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def number(value):
        return b"J" + struct.pack("<i", value)

    def sizes(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    strides = [s // array.itemsize for s in array.strides]
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
        + number(array.size) + b"NtQ"
    )  # fmt: skip
    tensor = (
        b"ctorch._utils\n_rebuild_tensor\n("
        + (storage + number(0) + sizes(array.shape) + sizes(strides))
        + b"tR"
    )
    state = b"(\x88\x89ccollections\nOrderedDict\n)Rtb"  # (requires_grad, volatile, hooks)
    if how == "buffer":
        return tensor
    if how == "called":
        return b"ctorch.nn.parameter\nParameter\n" + tensor + b"\x85R" + state
    if how == "new":
        return b"ccopy_reg\n__newobj__\n(ctorch.nn.parameter\nParameter\n" + tensor + b"tR" + state
    # torch 0.1.6: (data, creator, hooks, requires_grad, volatile)
    return b"ctorch.autograd.variable\nVariable\n)\x81(" + tensor + b"N}\x88\x89tb"


@pytest.mark.parametrize("how", ["called", "new", "state"])
@pytest.mark.parametrize("pairs", [False, True])
def test_pickles_from_before_torch_0_4(how, pairs, tmp_path, expected):
    """Parameters were objects of their own; Python 2 wrote an OrderedDict as a list of pairs."""
    import pickle

    state = {k: v for k, v in STATE.items() if "num_batches" not in k}
    code = b""
    for number, (name, array) in enumerate(state.items()):
        kind = "buffer" if "running" in name else how
        key = b"U" + bytes([len(name)]) + name.encode()
        value = old_parameter(array, str(number), how=kind)
        code += b"](" + key + value + b"e" if pairs else key + value
    ordered = b"\x80\x02ccollections\nOrderedDict\n"
    whole = ordered + (b"](" + code + b"e\x85R." if pairs else b")R(" + code + b"u.")
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    content = b"".join(pickle.dumps(part, 2) for part in parts) + whole
    content += pickle.dumps([str(n) for n in range(len(state))], 2)
    for array in state.values():
        content += struct.pack("<q", array.size) + array.tobytes()
    (tmp_path / "resnet18-5c106cde.pth").write_bytes(content)
    assert loaded(tmp_path / "resnet18-5c106cde.pth", expected).ignored == ()


def test_parts_of_a_storage(tmp_path):
    """Before torch 0.4 a storage could be a part of another: its key, offset and size."""
    from kerascnn.weights.pickles import Name
    from kerascnn.weights.torch_file import _Storages

    kind = Name("torch", "FloatStorage")
    found = _Storages(tmp_path).named(("storage", kind, "0", "cpu", 10, ("1", 2, 3)))
    assert (found.key, found.total, found.start, found.count) == ("0", 10, 2, 3)


@pytest.mark.parametrize("name", ["last_linear", "linear", "head.0", "classifier"])
def test_a_classifier_of_another_name(name, tmp_path, torch_files, expected):
    state = {k.replace("fc.", f"{name}."): v for k, v in STATE.items()}
    torch_files.zip(tmp_path / "a.pth", state)
    loaded(tmp_path / "a.pth", expected)


def test_a_head_of_several_layers(tmp_path, torch_files):
    """The trunk is loaded, the classifier keeps its initial values, and both are told."""
    state = {k: v for k, v in STATE.items() if not k.startswith("fc.")}
    state |= {"fc.0.weight": np.ones((6, 8), "float32"), "fc.0.bias": np.ones(6, "float32")}
    state |= {"fc.3.weight": np.ones((5, 6), "float32"), "fc.3.bias": np.ones(5, "float32")}
    torch_files.zip(tmp_path / "a.pth", state)
    for top in (True, False):
        model = network(include_top=top)
        report = weights.load(model, tmp_path / "a.pth", verbose=False)
        assert set(report.unused) == {k for k in state if k.startswith("fc.")}
        assert report.initial == (("logits/kernel", "logits/bias") if top else ())
        kernel = np.asarray(model.get_layer("conv1_conv").kernel)
        np.testing.assert_array_equal(kernel, STATE["conv1.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize("several", [False, True])
def test_a_head_beside_the_backbone(several, tmp_path, torch_files, expected):
    """`self.backbone` without its classifier, and another layer: as in many Lightning modules."""
    state = prefixed({k: v for k, v in STATE.items() if not k.startswith("fc.")}, "backbone.")
    state |= {"fc.weight": STATE["fc.weight"], "fc.bias": STATE["fc.bias"]}
    if several:
        state["projector.weight"] = np.ones((3, 8), "float32")
    torch_files.zip(tmp_path / "a.ckpt", {"state_dict": state})
    if not several:
        assert not loaded(tmp_path / "a.ckpt", expected).initial
        return
    report = weights.load(network(include_top=False), tmp_path / "a.ckpt", verbose=False)
    assert {"projector.weight"} < set(report.unused) | set(report.ignored)


@pytest.mark.parametrize("prefix", ["", "encoder.", "module.features."])
def test_the_children_of_a_resnet(prefix, tmp_path, torch_files, expected):
    """`nn.Sequential(*resnet.children())` has numbers for names."""
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5"}
    state = {}
    for name, array in STATE.items():
        first, _, rest = name.partition(".")
        if first != "fc":
            state[f"{prefix}{numbers[first]}.{rest}"] = array
    state |= {"fc.weight": STATE["fc.weight"], "fc.bias": STATE["fc.bias"]}
    torch_files.zip(tmp_path / "simclr.pth", state)
    loaded(tmp_path / "simclr.pth", expected)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol_of_pickle(protocol):
    """What a script saves beside its weights comes in the protocol of its Python."""
    import io
    import pickle

    from kerascnn.weights import pickles

    content = {
        "text": "naïve",
        "numbers": [1, -1, 300, 70_000, 1 << 40, 2.5, True, None],
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "set": {1, 2},
        "args": argparse.Namespace(a=1),
        "counter": Counter("aab"),
        "ordered": OrderedDict(a=1),
        "scalar": np.float64(1.5),
        "bytes": b"abc",
    }
    if protocol < 2:  # nothing of torch writes sets and objects in these
        content = {key: content[key] for key in ("text", "numbers", "tuples")}
    stream = io.BytesIO(pickle.dumps(content, protocol) + b"more")
    found = pickles.load(stream)
    assert stream.read() == b"more"
    plain = [key for key in ("text", "numbers", "tuples", "counter", "ordered") if key in content]
    assert {key: found[key] for key in plain} == {key: content[key] for key in plain}
    if protocol > 1:
        assert str(found["args"].maker) == "argparse.Namespace"
        assert found["args"].state == {"a": 1}
