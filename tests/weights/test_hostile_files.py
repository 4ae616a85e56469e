"""Strangers' files of weights: each is refused by its name, in little time and memory.

The files under `hostile` once killed the interpreter, never ended, took gigabytes, read another
file or ended in a traceback. The others are made here, one for each way in which a file can lie.
All are read in a child process that may take two gigabytes and twenty seconds for all of them.
"""

import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

HOSTILE = Path(__file__).parent / "hostile"
KEPT = sorted(path.name for path in HOSTILE.iterdir())
# The child: reads all files of a folder and prints what came of each.
CHILD = """
import json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from kerascnn.errors import WeightsError
from kerascnn.weights import readers
outcome = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        found = readers.open_checkpoint(path)
        outcome[path.name] = "read " + ",".join(found.tensors)
    except WeightsError as error:
        outcome[path.name] = str(error)
    except BaseException as error:
        outcome[path.name] = f"{type(error).__name__}: {error}"
print(json.dumps(outcome))
"""


def read_in_a_child(folder):
    """What came of each file: the names of its arrays, or the message."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_refused(folder, outcome):
    for name, message in outcome.items():
        assert message.startswith(f"{folder}/{name}"), message
        assert len(message) < 2000, name


def test_files_that_once_broke_the_reader_are_refused_by_name(tmp_path):
    outcome = read_in_a_child(HOSTILE)
    assert sorted(outcome) == KEPT
    assert outcome.pop("torchlegacy-1.pth").startswith("read conv1.weight"), "it is complete"
    check_refused(HOSTILE, outcome)


# --- PyTorch -------------------------------------------------------------------------------------


def torch_zip(path, code, storage=b"\0" * 72, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", code)
        archive.writestr("a/data/0", storage)


def number(value):
    return b"\x8a" + bytes([9]) + value.to_bytes(9, "little", signed=True)


def numbers(*values):
    return b"(" + b"".join(map(number, values)) + b"t"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def tensor(kind=b"FloatStorage", count=18, offset=0, shape=(2, 9), strides=(9, 1)):
    """The opcodes of a tensor over the storage "0"."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(("
        + text(b"storage")
        + b"ctorch\n"
        + kind
        + b"\n"
        + text(b"0")
        + text(b"cpu")
        + number(count)
        + b"tQ"
        + number(offset)
        + numbers(*shape)
        + numbers(*strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def state(*items):
    """A dictionary of names and opcodes."""
    return b"\x80\x02}(" + b"".join(text(name) + code for name, code in items) + b"u."


TWICE = [(b"a", tensor()), (b"b", tensor())]
MANY = b"N0" * 1_100_000

TORCH = {
    "changes-a-storage-type": b"\x80\x02ctorch\nFloatStorage\n}b0" + state(*TWICE)[2:],
    "changes-a-tensor-function": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}" + text(b"x") + b"Nsb."
    ),
    "more-opcodes-than-any": b"\x80\x02" + MANY + state(*TWICE)[2:],
    "a-tuple-doubled-as-a-key": b"\x80\x02})" + b"2\x86" * 60 + b"Ns.",
    "a-deep-tuple-as-a-key": b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.",
    "a-deep-list": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "a-deep-dictionary": (
        b"\x80\x02" + (b"}" + text(b"k")) * 100_000 + b"}" + b"s" * 100_000 + b"."
    ),
    "a-dictionary-in-itself": b"\x80\x02}q\x00" + text(b"state_dict") + b"h\x00s.",
    "a-list-in-itself": b"\x80\x02]q\x00h\x00a.",
    "a-module-in-itself": (
        b"\x80\x02cx\ny\n)\x81q\x00}" + text(b"_modules") + b"}" + text(b"m") + b"h\x00ssb."
    ),
    "an-endless-text": b"\x80\x02X\xff\xff\xff\xff.",
    "a-text-of-many-gigabytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "a-memo-of-two-billions": b"\x80\x02]r\xff\xff\xff\x7f.",
    "its-values-copied-again-and-again": (
        b"\x80\x02](" + (text(b"k") + b"N\x86") * 100_000 + b"eq\x000"
        b"ccollections\nOrderedDict\nq\x01" + b"h\x01h\x00\x85R0" * 1000 + b"."
    ),
    "dictionaries-that-hold-each-other": (
        b"\x80\x02}q\x00("
        + b"".join(text(b"%d" % n) + b"N" for n in range(10_000))
        + b"u0}("
        + b"".join(text(b"%d" % n) + b"}" + text(b"x") + b"h\x00s" for n in range(10_000))
        + b"u."
    ),
    "a-stack-that-is-empty": b"\x80\x02\x86.",
    "a-mark-that-is-missing": b"\x80\x02t.",
    "an-extension": b"\x80\x02\x82\x01.",
    "a-buffer-from-outside": b"\x80\x05\x97.",
    "no-end": b"\x80\x02}",
    "nothing": b"",
    "a-call-of-a-number": b"\x80\x02K\x01)R.",
    "a-persistent-id-that-is-none": b"\x80\x02K\x01Q.",
    "a-persistent-list": b"\x80\x02]Q.",
    "a-negative-storage": state((b"a", tensor(count=-1)), TWICE[1]),
    "a-storage-larger-than-its-member": state((b"a", tensor(count=1 << 40)), TWICE[1]),
    "a-storage-smaller-than-its-member": state((b"a", tensor(count=17)), TWICE[1]),
    "a-negative-stride": state((b"a", tensor(strides=(-9, 1))), TWICE[1]),
    "a-negative-offset": state((b"a", tensor(offset=-1)), TWICE[1]),
    "a-stride-that-reaches-outside": state((b"a", tensor(strides=(10, 1))), TWICE[1]),
    "an-offset-that-reaches-outside": state((b"a", tensor(offset=1)), TWICE[1]),
    "a-size-that-overflows": state((b"a", tensor(shape=(1 << 62, 9))), TWICE[1]),
    "a-byte-for-gigabytes": state(
        (b"a", tensor(b"ByteStorage", 72, shape=(1 << 32,), strides=(0,))), TWICE[1]
    ),
    "many-dimensions": state((b"a", tensor(shape=(1,) * 40, strides=(1,) * 40)), TWICE[1]),
    "one-storage-of-two-types": state((b"a", tensor(b"ByteStorage", 72)), (b"b", tensor())),
    "an-unknown-type": state((b"a", tensor(b"QInt8Storage")), TWICE[1]),
    "a-type-from-elsewhere": state((b"a", tensor().replace(b"ctorch\nF", b"cnumpy\nF")), TWICE[1]),
    "a-key-that-colours-the-terminal": state((b"\x1b[31ma", tensor()), TWICE[1]),
    "a-key-without-an-end": state((b"a" * 100_000, tensor()), TWICE[1]),
    "a-key-that-is-no-text": state((b"\xed\xa0\x80", tensor()), TWICE[1]),
    "eval": state((b"a", b"cbuiltins\neval\n" + text(b"1") + b"\x85R"), *TWICE),
    "system-in-python-2": state((b"a", b"cos\nsystem\n" + text(b"id") + b"\x85R"), *TWICE),
    "open-by-its-old-name": state((b"a", b"c__builtin__\nopen\n" + text(b"x") + b"\x85R"), *TWICE),
    "an-instance-of-popen": state((b"a", b"(" + text(b"id") + b"isubprocess\nPopen\n"), *TWICE),
}


def test_hostile_pickles_are_refused_by_name(tmp_path):
    for name, code in TORCH.items():
        torch_zip(tmp_path / f"{name}.pth", code)
    outcome = read_in_a_child(tmp_path)
    check_refused(tmp_path, outcome)


def test_the_pickles_here_are_read_where_they_do_no_harm(tmp_path):
    """So that what refuses the others is their fault, not the way in which they are written."""
    torch_zip(tmp_path / "fine.pth", state(*TWICE))
    assert read_in_a_child(tmp_path) == {"fine.pth": "read a,b"}


def test_a_damaged_list_of_storages_is_refused(tmp_path, torch_files):
    content = {"a": np.zeros(4, "float32"), "b": np.ones(3, "float32")}
    torch_files.legacy(tmp_path / "fine.pth", content)
    good = (tmp_path / "fine.pth").read_bytes()
    (tmp_path / "count.pth").write_bytes(good.replace(struct.pack("<q", 4), struct.pack("<q", 5)))
    (tmp_path / "huge.pth").write_bytes(
        good.replace(struct.pack("<q", 4), struct.pack("<q", 1 << 62))
    )
    (tmp_path / "short.pth").write_bytes(good[:-1])
    (tmp_path / "zeros.pth").write_bytes(b"\0" * 5000)
    (tmp_path / "tar.pth").write_bytes(b"storages".ljust(512, b"\0"))
    (tmp_path / "fine.pth").unlink()
    check_refused(tmp_path, read_in_a_child(tmp_path))


# --- archives ------------------------------------------------------------------------------------


def npy(header, data=b""):
    header = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz(path, content, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("conv/kernel.npy", content)


def floats(shape):
    return f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"


def lying(path, size):
    """An archive whose headers say that its member is of another size."""
    npz(path, npy(floats("(100000,)"), b"\0" * 400_000))
    content = path.read_bytes()
    true = struct.pack("<I", 400_128)
    assert content.count(true) == 2
    path.write_bytes(content.replace(true, struct.pack("<I", size)))


def test_hostile_archives_are_refused_by_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "unfolds.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(28):
            archive.writestr(f"a/{number}.npy", npy(floats("(2500000,)"), b"\0" * 10_000_000))
    npz(tmp_path / "bz2.npz", npy(floats("(1,)"), b"\0" * 4), zipfile.ZIP_BZIP2)
    npz(tmp_path / "huge-shape.npz", npy(floats("(1099511627776,)")))
    npz(tmp_path / "overflowing-shape.npz", npy(floats("(4294967296, 4294967296)")))
    npz(tmp_path / "negative-shape.npz", npy(floats("(-1,)"), b"\0" * 4))
    npz(tmp_path / "too-short.npz", npy(floats("(2,)"), b"\0" * 4))
    npz(tmp_path / "too-long.npz", npy(floats("(2,)"), b"\0" * 12))
    npz(tmp_path / "objects.npz", npy(floats("(1,)").replace("<f4", "|O"), pickle.dumps([1])))
    npz(tmp_path / "texts.npz", npy(floats("(1,)").replace("<f4", "<U4"), b"\0" * 16))
    npz(tmp_path / "code.npz", npy("__import__('os').system('id')"))
    npz(tmp_path / "nested.npz", npy("(" * 100 + ")" * 10))
    npz(tmp_path / "no-array.npz", b"hello")
    npz(tmp_path / "empty.npz", b"")
    lying(tmp_path / "says-less.npz", 132)
    lying(tmp_path / "says-more.npz", 1 << 31)
    (tmp_path / "no-zip.npz").write_bytes(b"PK\3\4" + b"x" * 100)
    (tmp_path / "nothing.npz").touch()
    with zipfile.ZipFile(tmp_path / "controls.npz", "w") as archive:
        archive.writestr("\x1b[31m/kernel.npy", npy(floats("(1,)"), b"\0" * 4))
    (tmp_path / "header.safetensors").write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    (tmp_path / "shape.safetensors").write_bytes(
        struct.pack("<Q", 61) + b'{"a/b":{"dtype":"F32","shape":[99999],"data_offsets":[0,4]}}  '
    )
    torch_zip(tmp_path / "unfolds.pth", b"N0" * 34_000_000 + b"N.")
    torch_zip(tmp_path / "bz2.pth", state(*TWICE), compression=zipfile.ZIP_BZIP2)
    with zipfile.ZipFile(tmp_path / "config.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "[" * 5_000_000)
        archive.writestr("model.weights.h5", b"")
    with zipfile.ZipFile(tmp_path / "no-weights.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", '{"config": {}}')
    check_refused(tmp_path, read_in_a_child(tmp_path))


# --- HDF5 ----------------------------------------------------------------------------------------


def variables(file, name="conv"):
    group = file.create_group("layers/conv2d/vars")
    group.attrs["name"] = name
    return group


def raw_chunk(group, packed, shape=(4,), chunk=(4,)):
    """A data set packed by deflate, with these bytes for its chunk."""
    data = group.create_dataset("0", shape, "f4", chunks=chunk, compression="gzip")
    data.id.write_direct_chunk((0,) * len(shape), packed)


def test_hostile_hdf5_files_are_refused_by_name(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    with h5py.File(secret / "other.h5", "w") as file:
        variables(file)["0"] = np.ones(3, "f4")
        file["numbers"] = np.ones(3, "f4")
    (secret / "numbers.raw").write_bytes(np.ones(3, "f4").tobytes())
    folder = tmp_path / "files"
    folder.mkdir()

    def written(name):
        return h5py.File(folder / f"{name}.h5", "w")

    with written("external-link-to-an-array") as file:
        variables(file)["0"] = h5py.ExternalLink(str(secret / "other.h5"), "numbers")
    with written("external-link-to-all") as file:
        file["layers"] = h5py.ExternalLink(str(secret / "other.h5"), "layers")
    with written("external-link-in-the-old-layout") as file:
        file["model_weights"] = h5py.ExternalLink(str(secret / "other.h5"), "/")
    with written("external-link-to-old-weights") as file:
        file.attrs["layer_names"] = [b"conv"]
        file.create_group("conv").attrs["weight_names"] = [b"kernel:0"]
        file["conv"]["kernel:0"] = h5py.ExternalLink(str(secret / "other.h5"), "numbers")
    with written("soft-link") as file:
        file["numbers"] = np.ones(3, "f4")
        variables(file)["0"] = h5py.SoftLink("/numbers")
    with written("external-storage") as file:
        variables(file).create_dataset(
            "0", (3,), "f4", external=[(str(secret / "numbers.raw"), 0, 12)]
        )
    with written("virtual") as file:
        layout = h5py.VirtualLayout((3,), "f4")
        layout[:] = h5py.VirtualSource(str(secret / "other.h5"), "numbers", (3,))
        variables(file).create_virtual_dataset("0", layout)
    with written("never-written") as file:
        variables(file).create_dataset("0", (1000,), "f4")
    with written("never-written-chunks") as file:
        variables(file).create_dataset("0", (1000,), "f4", compression="gzip")
    with written("a-huge-shape") as file:
        variables(file).create_dataset("0", (1 << 20, 1 << 20), "f4", chunks=(1, 1))
    with written("zeros-that-unfold") as file:
        zeros = np.zeros((70, 1000, 1000), "f4")
        variables(file).create_dataset("0", data=zeros, compression="gzip", shuffle=True)
    with written("a-chunk-that-unfolds") as file:
        raw_chunk(variables(file), zlib.compress(b"\0" * 60_000_000))
    with written("a-chunk-too-short") as file:
        raw_chunk(variables(file), zlib.compress(b"\0" * 12))
    with written("a-chunk-that-is-damaged") as file:
        raw_chunk(variables(file), b"hello")
    with written("another-filter") as file:
        variables(file).create_dataset("0", data=np.zeros(100, "f4"), compression="lzf")
    with written("texts") as file:
        variables(file)["0"] = ["hello"]
    with written("complex") as file:
        variables(file)["0"] = np.zeros(3, "c8")
    with written("a-group-for-an-array") as file:
        variables(file).create_group("0")
    with written("an-array-for-a-group") as file:
        file["layers/conv2d"] = np.zeros(3)
    with written("a-group-in-itself") as file:
        file.create_group("layers/a/layers")
        for name in "bcdefghij":
            file[f"layers/a/layers/{name}"] = file["layers/a"]
    with written("a-name-that-is-none") as file:
        variables(file, name=[1, 2, 3])["0"] = np.zeros(3, "f4")
    with written("a-name-that-colours-the-terminal") as file:
        variables(file, name="\x1b[31mred")["0"] = np.zeros(3, "f4")
    with written("names-that-are-none") as file:
        file.attrs["layer_names"] = [1, 2]
    with written("names-that-lead-out") as file:
        file.attrs["layer_names"] = [b"../x"]
    with written("no-description") as file:
        file.create_group("model_weights")
    with written("a-deep-description") as file:
        file.create_group("model_weights").attrs["layer_names"] = [b"conv"]
        file.attrs["model_config"] = "[" * 20_000
    with written("nothing"):
        pass
    (folder / "no-hdf5.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\xff" * 500)
    check_refused(folder, read_in_a_child(folder))


def test_honest_packed_hdf5_is_read(tmp_path):
    """h5repack's files, with gzip and a checksum; the last chunk is partly empty."""
    values = np.random.default_rng(0).standard_normal((7, 5)).astype("f4")
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        variables(file).create_dataset(
            "0", data=values, compression="gzip", shuffle=True, fletcher32=True, chunks=(3, 5)
        )
    from kerascnn.weights.readers import open_checkpoint

    found = open_checkpoint(tmp_path / "a.weights.h5").tensors
    np.testing.assert_array_equal(found["conv/0"], values)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_not_opened(tmp_path):
    from kerascnn.errors import WeightsError
    from kerascnn.weights.readers import open_checkpoint

    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    for name in ("pipe.pth", "zero.pth"):
        with pytest.raises(WeightsError, match=f"no weight file .*{name}"):
            open_checkpoint(tmp_path / name)


# --- models --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_parts(tmp_path_factory):
    """The members of a small model's file, by name."""
    import keras

    path = tmp_path_factory.mktemp("model") / "a.keras"
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(5, name="dense")(inputs)).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_parts(path, parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_a_model_that_would_run_something_is_not_loaded(tmp_path, model_parts):
    """Even where the program has switched Keras's safe mode off."""
    import keras

    from kerascnn.errors import WeightsError
    from kerascnn.weights import model_file

    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
    model.save(tmp_path / "lambda.keras")
    config = json.loads(model_parts["config.json"])
    dense = config["config"]["layers"][1]
    dense["class_name"], dense["module"] = "TFSMLayer", "keras.layers"
    write_parts(
        tmp_path / "savedmodel.keras", model_parts | {"config.json": json.dumps(config).encode()}
    )
    write_parts(tmp_path / "asset.keras", model_parts | {"../outside": b"x"})
    keras.config.enable_unsafe_deserialization()
    try:
        for name in ("lambda", "savedmodel", "asset"):
            with pytest.raises(WeightsError, match=rf"{name}\.keras.*(Lambda|TFSMLayer|outside)"):
                model_file.load(tmp_path / f"{name}.keras")
    finally:
        from keras.src.saving import serialization_lib

        serialization_lib.SafeModeScope(None).__enter__()
    assert not (tmp_path.parent / "outside").exists()


def test_a_model_larger_than_its_file_is_not_built(tmp_path, model_parts):
    from kerascnn.errors import WeightsError
    from kerascnn.weights import model_file

    write_parts(tmp_path / "fine.keras", model_parts)
    assert model_file.load(tmp_path / "fine.keras").count_params() == 25
    huge = model_parts["config.json"].replace(b'"units": 5', b'"units": 50000000000')
    write_parts(tmp_path / "huge.keras", model_parts | {"config.json": huge})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError, match=r"huge\.keras describes a model with 1,000,000,000,000"):
        model_file.load(tmp_path / "huge.keras")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + (200 << 10)


@pytest.mark.parametrize("name", [name for name in KEPT if name.endswith(".keras")])
def test_damaged_models_are_refused_by_name(name):
    from kerascnn.errors import WeightsError
    from kerascnn.weights import model_file

    with pytest.raises(WeightsError, match=name):
        model_file.load(HOSTILE / name)


def test_a_model_whose_weights_lie_elsewhere_is_refused(tmp_path, model_parts):
    from kerascnn.errors import WeightsError
    from kerascnn.weights import model_file

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["0"] = np.ones((4, 5), "f4")
    (tmp_path / "weights.h5").write_bytes(model_parts["model.weights.h5"])
    with h5py.File(tmp_path / "weights.h5", "a") as file:
        variables = file["layers/dense/vars"]
        del variables["0"]
        variables["0"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "0")
    parts = model_parts | {"model.weights.h5": (tmp_path / "weights.h5").read_bytes()}
    write_parts(tmp_path / "a.keras", parts)
    with pytest.raises(WeightsError, match=r"a\.keras.*link to another place"):
        model_file.load(tmp_path / "a.keras")
