"""The sources that have a name of their own: bundled digits, and the sets of keras.datasets."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np

from kerascnn.data.examples import Arrays, Contents, DataSource, Options
from kerascnn.data.split_names import SPLITS
from kerascnn.errors import DataError

DIGITS = tuple("0123456789")
MNIST_LICENCE = "CC BY-SA 3.0 (LeCun, Cortes, Burges)"

# Of each digit in mnist5k, in the order of the file: training, then validation, then test.
MNIST5K_SPLIT = (350, 50, 100)

# The share of the training set that keras.datasets' sets give for validation doesn't depend on the
# user's seed, so that results of different seeds are comparable.
FIXED_SPLIT = 0

SILENT_SECONDS = 60  # a server that sends nothing for so long is given up; Keras would wait forever


def mnist5k() -> dict[str, Arrays]:
    """The bundled digits by split, uint8 `[n, 28, 28, 1]` each."""
    packed = (resources.files("kerascnn.data") / "mnist5k.npz").read_bytes()
    with np.load(io.BytesIO(packed)) as archive:
        everything = Arrays(archive["images"][..., None], archive["labels"])
    place = np.empty(len(everything.labels), int)  # of each image among those of its digit
    for digit in range(10):
        members = everything.labels == digit
        place[members] = np.arange(members.sum())
    ends = np.cumsum(MNIST5K_SPLIT)
    part = np.searchsorted(ends, place, side="right")
    return {name: everything.take(np.flatnonzero(part == i)) for i, name in enumerate(SPLITS)}


def _mnist5k(argument: str, options: Options) -> Contents:
    return Contents(class_names=DIGITS, splits=mnist5k(), licence=MNIST_LICENCE)


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
        splits={"train": Arrays.of(*train), "test": Arrays.of(*test)},
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


def _source(hosted: _Hosted, text: str) -> DataSource:
    return DataSource(read=functools.partial(_hosted, hosted), help=text, licence=hosted.licence)


MNIST5K = DataSource(
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
