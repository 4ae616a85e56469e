"""Damages files of every kind that kerascnn reads, and reads each in a process of its own.

    python tests/security/fuzzing.py [--files 40] [--seed 0] [--kind NAME] [--keep DIR]

Any outcome fails but two: the file was read, or one error of kerascnn's was raised that names it.
A process may take `SECONDS` and `MEMORY`; what kills it fails, too. Prints JSON: for each kind how
many files were tried, refused and read, and the failures.
"""

import argparse
import contextlib
import io
import json
import os
import pickle
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(Path(__file__).parents[1]))

import annotated
import h5py
import keras
import numpy as np
from PIL import Image
from records import example, write

import kerascnn.layers  # noqa: F401
from kerascnn.data import images, load, voc
from kerascnn.data.mask_files import read_mask
from kerascnn.errors import KerascnnError
from kerascnn.recipes import book as recipe_book
from kerascnn.recipes.recipe import Recipe
from kerascnn.runs import checkpoints
from kerascnn.runs.models import load_graph
from kerascnn.runs.run import Run
from kerascnn.weights import model_file
from kerascnn.weights.readers import open_checkpoint

SECONDS = 20  # of processor time, for one file
MEMORY = 1 << 30  # bytes that one file may need
HERE = Path(__file__).parent
READ, REFUSED, FAILED = 0, 10, 11
WIDTHS = {"arguments": {"widths": [2, 4], "hidden": [8]}, "name": "lenet5"}


def small_model():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(2, 3, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.Flatten(name="flatten"),
            layers.Dense(3, name="logits"),
            layers.Softmax(name="softmax"),
        ],
        name="small",
    )


def small_config():
    from kerascnn.runs.config import plain

    return {
        "kerascnn_run": 1,
        "name": "small",
        "architecture": None,
        "input_shape": [8, 8, 1],
        "classes": 3,
        "class_names": ["a", "b", "c"],
        "preprocessing": {"scale": 1 / 255, "mean": [0.0], "std": [1.0], "order": "RGB"},
        "data": {"source": "npz:x.npz", "fingerprint": "0", "sizes": {"train": 3}},
        "recipe": plain(Recipe()),
        "weights": None,
        "strategy": "auto",
        "precision": "float32",
        "jit": None,
        "seed": 0,
        "keep_epochs": [1],
        "created": "2026-01-01T00:00:00",
    }


class _Storage:
    """Is pickled as PyTorch does it: by a persistent id."""

    def __init__(self, key, count):
        self.id = ("storage", _named("torch", "FloatStorage"), key, "cpu", count)


def _named(module, name):
    """A class that pickle writes as `module.name`."""
    made = type(name, (), {})
    made.__module__, made.__qualname__ = module, name
    sys.modules.setdefault(module, type(sys)(module))
    setattr(sys.modules[module], name, made)
    return made


class _Pickler(pickle.Pickler):
    def persistent_id(self, found):
        return found.id if isinstance(found, _Storage) else None


def pth(path):
    """A state dict in PyTorch's zip format, without PyTorch."""

    def rebuild(*_):
        return None

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    rebuild.__name__ = rebuild.__qualname__
    sys.modules["torch._utils"] = type(sys)("torch._utils")
    sys.modules["torch._utils"]._rebuild_tensor_v2 = rebuild

    class Tensor:
        def __init__(self, key, shape):
            self.key, self.shape = key, shape

        def __reduce__(self):
            count = int(np.prod(self.shape))
            strides = tuple(int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape)))
            storage = _Storage(self.key, count)
            return rebuild, (storage, 0, self.shape, strides, False, {})

    state = {"conv.weight": Tensor("0", (2, 1, 3, 3)), "conv.bias": Tensor("1", (2,))}
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(state)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", np.arange(18, dtype="<f4").tobytes())
        archive.writestr("archive/data/1", np.arange(2, dtype="<f4").tobytes())
        archive.writestr("archive/version", "3\n")
    for name in ("torch", "torch._utils"):
        sys.modules.pop(name, None)


def legacy_pth(path):
    shutil.copy(HERE.parent / "weights" / "hostile" / "torchlegacy-1.pth", path)


def safetensors(path):
    head = json.dumps(
        {
            "conv.weight": {"dtype": "F32", "shape": [2, 1, 3, 3], "data_offsets": [0, 72]},
            "conv.bias": {"dtype": "F32", "shape": [2], "data_offsets": [72, 80]},
        }
    ).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + np.arange(20, dtype="<f4").tobytes())


def history(path):
    rows = ["epoch,loss,error,learning_rate,images_per_second,seconds,input_wait,val_loss"]
    rows += [f"{n},{2 / n},{0.5 / n},0.001,1728.0,2.0,0.05,{3 / n}" for n in range(1, 4)]
    path.write_text("\n".join(rows) + "\n")


def table(path):
    Image.new("L", (9, 9)).save(path.parent / "0.png")
    Image.new("L", (9, 9), 200).save(path.parent / "1.png")
    path.write_text("path,label,split\n0.png,a,train\n1.png,b,train\n")


def box_table(path):
    table(path)
    path.write_text("file,x1,y1,x2,y2,label\n0.png,1,2,8.5,9,a\n0.png,0,0,3,3,b\n1.png,,,,,\n")


def photo(kind):
    def write(path):
        noise = np.random.default_rng(0).integers(0, 256, (24, 31, 3), "uint8")
        Image.fromarray(noise).save(path, kind)

    return write


def voc_xml(path):
    path.write_text(annotated.annotation((24, 24), *annotated.OBJECTS["2007_000002"]))


def mask_png(path):
    annotated.palette_png(path, annotated.voc_mask(7, (20, 30)))


def coco(path):
    """Both kinds of run lengths, and polygons."""
    annotated.coco(path.parent)
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = {"size": [24, 24], "counts": "0`1``0"}
    path.write_text(json.dumps(content))


def coco_read(path):
    folder = f"coco:{path.parent}"
    load(folder, target="boxes", split="all", input_shape=(8, 8, 3), **QUIET)
    load(folder, target="mask", split="all", input_shape=(8, 8, 3), **QUIET)


def yolo(path):
    """A folder with a list of its images; the file that is damaged is one of its texts."""
    place = path.parent
    for name in ("images", "labels"):
        (place / name).mkdir(exist_ok=True)
    photo("PNG")(place / "images/0.png")
    (place / "data.yaml").write_text(
        "path: ../x  # somewhere\ntrain:\n  - train.txt\nnames:\n  0: cat\n  1: 'a dog'\nnc: 2\n"
    )
    (place / "train.txt").write_text("./images/0.png\n")
    (place / "labels/0.txt").write_text("1 0.5 0.5 0.25 0.5\n0 .1 .2 .3 .2 .3 .4 .1 .4\n")
    if path.name == "0.txt":
        (place / "labels/0.txt").rename(path)
        (place / "labels/0.txt").symlink_to("../0.txt")


def yolo_read(path):
    load(f"yolo:{path.parent}", target="boxes", split="all", input_shape=(8, 8, 3), **QUIET)


def tfrecord(path):
    write(path, [example(99, label) for label in (0, 1)])


class _Variable:
    """Of a checkpoint: a shape, a type, and nothing to compute with."""

    def __init__(self, shape, dtype="float32"):
        self.shape, self.dtype = shape, dtype

    def assign(self, value):
        np.asarray(value)


VARIABLES = {
    "model/00000/kernel": _Variable((3, 3, 1, 2)),
    "optimizer/00000/iteration": _Variable((), "int64"),
    "optimizer/00001/seed": _Variable((2,), "uint32"),
}


def checkpoint(path):
    arrays = {key: np.ones(one.shape, one.dtype) for key, one in VARIABLES.items()}
    np.savez(path, **arrays, position=checkpoints.Position(1, 0).numbers())


def arrays(path):
    np.savez(
        path,
        x_train=np.zeros((6, 8, 8, 1), "uint8"),
        y_train=np.array([0, 1, 2] * 2),
        class_names=np.array(["a", "b", "c"]),
    )


def a_run(path):
    if not (path.parent / "config.json").exists():
        (path.parent / "config.json").write_text(json.dumps(small_config()))
    return Run.open(path.parent)


def study(path):
    from kerascnn_tuning.plan import Plan

    return Plan.read(path)


STUDY = """architecture = "lenet5"
tuner = "random"
max_trials = 3
max_params = "50k"
epochs = 2
objectives = ["val_error", "params"]
input_shape = [28, 28, 1]
[fix]
pool = "max"
[choose]
dropout = [0.0, 0.5]
[range]
learning_rate = [1e-4, 1e-2]
"""
RECIPE = """base = "alexnet"
epochs = 30
loss = "mine.losses:Loss"
schedule = "step"
steps = [[30, 0.1], [60, 0.01]]
notes = ["one", "two"]
[augmentation]
lighting = 0.0
resize = [1.0, 2.0]
[evaluation]
views = "10-crop"
"""
METRICS = {"epochs": 2, "train_seconds": 2.5, "trainable_params": 9, "test_error": 0.25,
    "val_loss": 1.5, "interrupted": False}  # fmt: skip
QUIET = {"echo": None}


def _text(content):
    return lambda path: path.write_text(content)


# Kind → the file's name, what writes a whole one, and what reads it.
KINDS = {
    "pth": ("w.pth", pth, open_checkpoint),
    "pth, before 1.6": ("w.pth", legacy_pth, open_checkpoint),
    "h5": ("w.h5", lambda path: small_model().save(path), open_checkpoint),
    "weights.h5": ("w.weights.h5", lambda p: small_model().save_weights(p), open_checkpoint),
    "keras, weights": ("w.keras", lambda path: small_model().save(path), open_checkpoint),
    "keras, model": ("model.keras", lambda path: small_model().save(path), model_file.load),
    "npz, weights": ("w.npz", lambda p: np.savez(p, **{"conv/kernel": np.ones((3, 3, 1, 2))}),
        open_checkpoint),
    "safetensors": ("w.safetensors", safetensors, open_checkpoint),
    "config.json": ("config.json", lambda p: p.write_text(json.dumps(small_config())),
        lambda path: Run.open(path.parent).config),
    "metrics.json": ("metrics.json", _text(json.dumps(METRICS)), lambda p: a_run(p).metrics),
    "history.csv": ("history.csv", history, lambda path: a_run(path).history),
    "model.json": ("model.json", lambda p: p.write_text(small_model().to_json()),
        lambda path: load_graph(path.parent)),
    "checkpoint": ("epoch-00001.npz", checkpoint,
        lambda path: checkpoints.restore(path.parent, VARIABLES, epochs=9, updates=9)),
    "recipe": ("mine.toml", _text(RECIPE), recipe_book.read),
    "study": ("study.toml", _text(STUDY), study),
    "csv": ("table.csv", table, lambda p: load(f"csv:{p}", input_shape=(8, 8, 1), **QUIET)),
    "csv, boxes": ("table.csv", box_table,
        lambda p: load(f"csv:{p}", target="boxes", input_shape=(8, 8, 1), **QUIET)),
    "npz, data": ("d.npz", arrays, lambda p: load(f"npz:{p}", input_shape=(8, 8, 1), **QUIET)),
    "tfrecord": ("d.tfrecord", tfrecord,
        lambda p: load(f"tfrecord:{p}", input_shape=(8, 8, 1), split="all", **QUIET)),
    "voc": ("2007_000002.xml", voc_xml, lambda p: voc.read_annotation(str(p), str(p.parent))),
    "coco": ("annotations.json", coco, coco_read),
    "yolo": ("0.txt", yolo, yolo_read),
    "yolo, data.yaml": ("data.yaml", yolo, yolo_read),
    "yolo, train.txt": ("train.txt", yolo, yolo_read),
    "mask": ("mask.png", mask_png, lambda path: read_mask(path, inside=path.parent)),
    "jpeg": ("a.jpg", photo("JPEG"), lambda path: images.read(path, (16, 16, 3))),
    "png": ("a.png", photo("PNG"), lambda path: images.read(path, (16, 16, 3))),
    "gif": ("a.gif", photo("GIF"), lambda path: images.read(path, (16, 16, 3))),
    "webp": ("a.webp", photo("WEBP"), lambda path: images.read(path, (16, 16, 3))),
    "tiff": ("a.tif", photo("TIFF"), lambda path: images.read(path, (16, 16, 3))),
    "bmp": ("a.bmp", photo("BMP"), lambda path: images.read(path, (16, 16, 3))),
}  # fmt: skip

SLOW = {"keras, model": 5, "model.json": 2}  # fewer files: each starts TensorFlow

EXTREMES = (b"0", b"-1", b"1e999", b"NaN", b"nan", b"9" * 30, b"9" * 5000, b"null", b"[]", b"{}",
    b'"x"', b"true", b'"\\u0000"', b"[[[[", b'"os:system"', b'"/dev/zero"', b"1.5",
    b"")  # fmt: skip
INTEGERS = (b"\xff" * 4, b"\xff" * 8, b"\0" * 4, b"\x7f" + b"\xff" * 3, b"\xff\xff\xff\x7f",
    b"\0\0\0\x80", struct.pack("<Q", 2**40), struct.pack(">I", 2**31 - 1))  # fmt: skip


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The content, changed in one of the ways in which files are, or are made to be."""
    found = bytearray(content)
    way = rng.choice(("flip", "flip", "cut", "insert", "remove", "repeat", "number", "token"))
    at = rng.randrange(len(found) + 1)
    if way == "flip":
        for _ in range(rng.choice((1, 1, 2, 8))):
            if found:
                found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif way == "cut":
        del found[at:]
    elif way == "insert":
        found[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 64)), b"\0", b"\n", b"[" * 5000))
    elif way == "remove":
        del found[at : at + rng.randrange(1, 64)]
    elif way == "repeat":
        found[at:at] = found[max(0, at - rng.randrange(1, 200)) : at]
    elif way == "number":
        new = rng.choice(INTEGERS)
        found[at : at + len(new)] = new
    elif tokens := list(re.finditer(rb'"[^"\n]{0,40}"|-?\d[\d.e+-]*|\b[a-z_]{2,}\b', content)):
        token = rng.choice(tokens)
        found[token.start() : token.end()] = rng.choice(EXTREMES)
    return bytes(found)


def damaged_inside(content: bytes, rng: random.Random) -> bytes:
    """A zip archive of which a member, or its name, was damaged before it was packed again."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        chosen = rng.choice(old.namelist())
        with warnings.catch_warnings(action="ignore"):
            for name in old.namelist():
                member = old.read(name)
                if name == chosen and rng.random() < 0.1:
                    name = rng.choice(("../" + name, name + "x", "/etc/passwd", "config.json"))
                elif name == chosen:
                    member = damaged(member, rng)
                method = zipfile.ZIP_DEFLATED if rng.random() < 0.3 else zipfile.ZIP_STORED
                new.writestr(name, member, method)
    return packed.getvalue()


def bomb(name):
    """A small archive whose member unfolds to a thousand times its size."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        for _ in range(300):  # more than any file may unfold to, however small
            member.write(bytes(1 << 20))
    return packed.getvalue()


def pickles(trace):
    """Pickles that would leave a trace, end the interpreter or never end."""
    run = b"cposix\nsystem\n(S'touch " + os.fsencode(trace) + b"'\ntR."
    deep = b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."
    double = b"\x80\x02)q\0" + b"h\0h\0\x86q\0" * 60 + b"}h\0K\x01s."
    return {"runs": run, "deep": deep, "doubled": double, "forever": b"\x80\x02" + b"2" * 10**6}


def handmade(kind, name, whole, trace):
    """Hostile contents of a kind, by what they are."""
    found = {"empty": b"", "zeros": bytes(4096), "whole twice": whole * 2}
    for folder in (HERE / "cases", HERE.parent / "weights" / "hostile"):
        for path in folder.iterdir() if folder.is_dir() else ():
            same = path.suffix == Path(name).suffix or kind in path.name
            if same and not path.name.startswith(("study", "recipe", "history", "csv")):
                found[path.name] = path.read_bytes()
            if path.name.startswith(kind.partition(".")[0]):
                found[path.name] = path.read_bytes()
    if kind.startswith("pth"):
        for what, content in pickles(trace).items():
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr("archive/data.pkl", content)
            found[f"{what}, zip"], found[what] = packed.getvalue(), content
    if zipfile.is_zipfile(io.BytesIO(whole)):
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            found["bomb"] = BOMBS.setdefault(archive.namelist()[0], bomb(archive.namelist()[0]))
    if name.endswith((".json", ".toml", ".csv", ".yaml")):
        found |= {
            "deep": b"[" * 10**5,
            "deep key": b"a." * 10**5 + b"b = 1",
            "huge number": b"a = " + b"9" * 10**6,
            "a million lists": b"[" + b"[]," * 10**6 + b"[]]",
            "a long line": b"x" * 10**7,
            "a million lines": b"a,b\n" * 10**6,
            "nul": whole.replace(b"a", b"\0", 1),
            "utf-16": whole.decode().encode("utf-16"),
            "bom": b"\xef\xbb\xbf" + whole,
        }
    if name.endswith(".xml"):
        found |= {
            "laughs": LAUGHS.encode() + whole,
            "laughs, utf-16": (LAUGHS + whole.decode()).encode("utf-16"),
            "external": b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///dev/zero">]>' + whole,
            "deep": b"<a>" * 10**5,
            "deep and whole": b"<a>" * 10**5 + b"</a>" * 10**5,
            "attributes": b"<a " + b" ".join(b'a%d="1"' % n for n in range(10**5)) + b"/>",
            "large": b"<annotation>" + b"<object/>" * 10**6,
        }
    if name.endswith(".png"):
        found["huge png"] = huge_png()
    if name.endswith((".h5", ".keras")):
        found |= hostile_hdf5(name, whole)
    return found


BOMBS: dict[str, bytes] = {}
LAUGHS = "<!DOCTYPE a [<!ENTITY l0 'lol'>" + "".join(
    f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12)
) + "]>"  # fmt: skip


def huge_png():
    def chunk(kind, content):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    head = struct.pack(">IIBBBBB", 2**30, 2**30, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(999)))


def hostile_hdf5(name, whole):
    """Links to other files, virtual and external data, sizes that no file has."""
    found = {}
    for what in ("external link", "soft link", "virtual", "external data", "claimed", "deep"):
        stream = io.BytesIO()
        with h5py.File(stream, "w") as file:
            group = file.create_group("layers/conv/vars")
            if what == "external link":
                group["0"] = h5py.ExternalLink("/etc/passwd", "/x")
            elif what == "soft link":
                group["0"] = h5py.SoftLink("/layers")
            elif what == "virtual":
                layout = h5py.VirtualLayout((4,), "f4")
                layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
                group.create_virtual_dataset("0", layout)
            elif what == "external data":
                with contextlib.suppress(Exception):
                    group.create_dataset("0", (9,), "u1", external=[("/etc/passwd", 0, 9)])
            elif what == "claimed":
                group.create_dataset("0", (2**20, 2**20), "f4", chunks=(1, 2**20))
            else:
                for _ in range(3000):
                    group = group.create_group("g")
        content = stream.getvalue()
        if name.endswith(".keras"):
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                with zipfile.ZipFile(io.BytesIO(whole)) as model:
                    archive.writestr("config.json", model.read("config.json"))
                archive.writestr("metadata.json", "{}")
                archive.writestr("model.weights.h5", content)
            content = packed.getvalue()
        found[what] = content
    return found


def elsewhere(write, path):
    """Write in a process of its own: TensorFlow, once used here, would hang in all that follow."""
    child = os.fork()
    if not child:
        try:
            write(path)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def outcome(path, read, log):
    """Read a file in a process of its own; its end, the words about it, and the bytes it took."""
    child = os.fork()
    if not child:
        code = FAILED
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
            signal.alarm(2 * SECONDS)
            sink = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(sink, stream)
            warnings.simplefilter("ignore")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            try:
                read(path)
                code, said = READ, ""
            except KerascnnError as error:
                said = str(error)
                code = REFUSED if path.name in said and len(said) < 5000 else FAILED
            except BaseException:
                said = traceback.format_exc()[-1500:]
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            log.write_text(json.dumps([grown * 1024, said]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    grown, said = json.loads(log.read_text()) if log.exists() else [0, ""]
    log.unlink(missing_ok=True)
    if code < 0:
        return FAILED, f"killed by {signal.Signals(-code).name}"
    if grown > MEMORY:
        return FAILED, f"took {grown:,} bytes. {said}"
    return code, said


def fuzz(kind, count, seed, keep=None):
    """Tried, refused and read files of a kind, and the failures."""
    name, write, read = KINDS[kind]
    rng = random.Random(f"{seed} {kind}")
    figures = {"tried": 0, "refused": 0, "read": 0, "seconds": 0.0, "failed": []}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        place, log, trace = Path(folder) / "place", Path(folder) / "log", Path(folder) / "trace"
        place.mkdir()
        path = place / name
        elsewhere(write, path)
        whole = path.read_bytes()
        inside = zipfile.is_zipfile(path)
        contents = [(what, one) for what, one in handmade(kind, name, whole, trace).items()]
        for number in range(max(2, count // SLOW.get(kind, 1))):
            change = damaged_inside if inside and rng.random() < 0.5 else damaged
            contents.append((f"{number}", change(whole, rng)))
        for what, content in [("whole", whole), *contents]:
            path.write_bytes(content)
            code, said = outcome(path, read, log)
            if what == "whole" and code != READ and kind != "pth, before 1.6":
                code = FAILED
            if trace.exists():
                code, said = FAILED, "what the file names was executed"
                trace.unlink()
            figures["tried"] += 1
            if code in (READ, REFUSED):
                figures["read" if code == READ else "refused"] += 1
                continue
            figures["failed"].append(f"{kind}, {what}: {code} {said}")
            if keep:
                Path(keep).mkdir(exist_ok=True)
                shutil.copy(path, Path(keep) / f"{what.replace(' ', '-')}-{name}")
        for what in ("fifo", "device", "directory"):
            path.unlink()
            if what == "fifo":
                os.mkfifo(path)
            elif what == "device":
                path.symlink_to("/dev/zero")
            else:
                path.mkdir()
            code, said = outcome(path, read, log)
            figures["tried"] += 1
            if code == REFUSED:
                figures["refused"] += 1
            else:
                figures["failed"].append(f"{kind}, {what}: {code} {said}")
    figures["seconds"] = round(time.perf_counter() - began, 1)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=40, help="damaged files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--keep", help="a folder for the files that fail")
    told = parser.parse_args()
    found = {}
    for kind in told.kind or KINDS:
        found[kind] = fuzz(kind, told.files, told.seed, told.keep)
        print(kind, {k: v for k, v in found[kind].items() if k != "failed"}, file=sys.stderr)
        for failure in found[kind]["failed"]:
            print("   ", failure, file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
