"""The sources that live in memory: bundled digits, keras.datasets, and .npz archives."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import socket
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np

from kerascnn.data.examples import Arrays, Contents, Options, Source
from kerascnn.errors import DataError

DIGITS = tuple("0123456789")
MNIST_LICENCE = "CC BY-SA 3.0 (LeCun, Cortes, Burges)"

# Of each digit in mnist5k, in the order of the file: training, then validation, then test.
MNIST5K_SPLIT = (350, 50, 100)

# The share of the training set that keras.datasets' sets give for validation doesn't depend on the
# user's seed, so that results of different seeds are comparable.
FIXED_SPLIT = 0

SILENT_SECONDS = 60  # a server that sends nothing for so long is given up; Keras would wait forever


def _mnist5k(argument: str, options: Options) -> Contents:
    packed = (resources.files("kerascnn.data") / "mnist5k.npz").read_bytes()
    with np.load(io.BytesIO(packed)) as archive:
        everything = Arrays(archive["images"][..., None], archive["labels"])
    place = np.empty(len(everything.labels), int)  # of each image among those of its digit
    for digit in range(10):
        members = everything.labels == digit
        place[members] = np.arange(members.sum())
    ends = np.cumsum(MNIST5K_SPLIT)
    part = np.searchsorted(ends, place, side="right")
    names = ("train", "validation", "test")
    return Contents(
        class_names=DIGITS,
        splits={n: everything.take(np.flatnonzero(part == i)) for i, n in enumerate(names)},
        licence=MNIST_LICENCE,
    )


@dataclass(frozen=True)
class _Hosted:
    """A set of keras.datasets.

    Attributes:
        name: of the module in keras.datasets.
        class_names: in the order of the labels.
        licence: as keras.datasets or the set's page states it.
        folder: where Keras looks for the files, under its home.
        files: what it looks for there: name there and address.
    """

    name: str
    class_names: tuple[str, ...]
    licence: str
    folder: str
    files: Mapping[str, str]


def _hosted(hosted: _Hosted, argument: str, options: Options) -> Contents:
    import keras

    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    folder = os.path.join(home, hosted.folder)
    try:
        # Keras prints its progress, which has no place in the output of a command with --json.
        with contextlib.redirect_stdout(sys.stderr), _patience(SILENT_SECONDS):
            train, test = getattr(keras.datasets, hosted.name).load_data()
    except Exception as error:  # keras.utils.get_file raises plain Exception
        files = "; ".join(f"{name} from {address}" for name, address in hosted.files.items())
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{hosted.name} can't be loaded: {reason}. Without a network, put the data into "
            f"{folder}: {files}. If a file there is damaged, delete it and try again."
        ) from error
    return Contents(
        class_names=hosted.class_names,
        splits={"train": _arrays(*train), "test": _arrays(*test)},
        split_seed=FIXED_SPLIT,
        licence=hosted.licence,
    )


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _arrays(images: np.ndarray, labels: np.ndarray) -> Arrays:
    """With an axis for channels, and labels `[n]`; the rest is left to the checks of `load`."""
    if images.ndim == 3:
        images = images[..., None]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return Arrays(images, labels)


# The keys of an archive: one pair for all images, or one for each split.
WHOLE = ("images", "labels")
SEPARATE = {"train": "train", "validation": "val", "test": "test"}


def _npz(path: str, options: Options) -> Contents:
    arrays = _read_npz(path)
    if set(WHOLE) <= set(arrays):
        splits = {"train": _arrays(arrays["images"], arrays["labels"])}
    else:
        splits = {
            name: _arrays(arrays[f"x_{short}"], arrays[f"y_{short}"])
            for name, short in SEPARATE.items()
            if {f"x_{short}", f"y_{short}"} <= set(arrays)
        }
    if not splits:
        raise DataError(
            f"{path} must hold the arrays images and labels, or x_train and y_train, and "
            "optionally x_val, y_val, x_test, y_test and class_names. "
            f"Received: {', '.join(sorted(arrays)) or 'no array'}."
        )
    if "class_names" in arrays:
        names = tuple(map(str, arrays["class_names"].tolist()))
    else:
        names = tuple(map(str, range(_count_classes(path, splits))))
    return Contents(class_names=names, splits=splits)


SEVERAL_SIZES = (
    "it holds arrays of Python objects. Images of several sizes can be read as files: see "
    "folder:PATH and csv:FILE."
)


def _read_npz(path: str) -> dict[str, np.ndarray]:
    if not os.path.exists(path):
        raise DataError(f"There is no file {path}.")
    try:
        # NumPy takes any other file for a pickle, and advises to load it unsafely.
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no zip archive of arrays, as numpy.savez writes it")
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except Exception as error:  # a damaged archive raises anything, tokenize.TokenError included
        # NumPy's words for an array of objects are about pickles.
        why = SEVERAL_SIZES if "Object arrays" in str(error) else error
        raise DataError(f"{path} can't be read as an .npz archive: {why}") from error


def _count_classes(path: str, splits: Mapping[str, Arrays]) -> int:
    """One more than the highest label, unless that can't be a label."""
    labels = [part.labels for part in splits.values() if part.labels.size]
    if not labels or any(part.dtype.kind not in "iu" for part in labels):
        return 0  # `load` says what is wrong
    highest = max(int(part.max()) for part in labels)
    total = sum(part.size for part in labels)
    if highest >= total:
        raise DataError(
            f"{path}: the labels are out of range: the highest is {highest} with only {total} "
            "images. Labels count from 0."
        )
    return highest + 1


_STORAGE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_CIFAR_LICENCE = "not stated; cite Krizhevsky, Learning Multiple Layers of Features, 2009"
_FASHION_FILES = (
    "train-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
)
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_CIFAR100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus "
    "butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch "
    "crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo "
    "keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain "
    "mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain "
    "plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone "
    "television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)


def _source(hosted: _Hosted, text: str) -> Source:
    return Source(read=functools.partial(_hosted, hosted), help=text, licence=hosted.licence)


MNIST5K = Source(
    read=_mnist5k,
    help="5,000 handwritten digits of MNIST, bundled; 28×28 grey.",
    licence=MNIST_LICENCE,
)
MNIST = _source(
    _Hosted("mnist", DIGITS, MNIST_LICENCE, "datasets", {"mnist.npz": f"{_STORAGE}mnist.npz"}),
    "70,000 handwritten digits; 28×28 grey.",
)
FASHION_MNIST = _source(
    _Hosted(
        "fashion_mnist",
        _FASHION,
        "MIT (Zalando SE)",
        os.path.join("datasets", "fashion-mnist"),
        {name: f"{_STORAGE}{name}" for name in _FASHION_FILES},
    ),
    "70,000 pieces of clothing; 28×28 grey.",
)
CIFAR10 = _source(
    _Hosted(
        "cifar10",
        _CIFAR10,
        _CIFAR_LICENCE,
        "datasets",
        {"cifar-10-batches-py-target_archive": f"{_CIFAR}cifar-10-python.tar.gz"},
    ),
    "60,000 photos of 10 classes; 32×32 colour.",
)
CIFAR100 = _source(
    _Hosted(
        "cifar100",
        tuple(_CIFAR100.split()),
        _CIFAR_LICENCE,
        "datasets",
        {"cifar-100-python-target_archive": f"{_CIFAR}cifar-100-python.tar.gz"},
    ),
    "60,000 photos of 100 classes; 32×32 colour.",
)
NPZ = Source(
    read=_npz,
    argument="PATH",
    licence="yours",
    help="An archive of NumPy arrays: images and labels, or x_train, y_train, x_test, y_test.",
)
