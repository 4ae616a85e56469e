"""`tfds:NAME`: image sets of TensorFlow Datasets; needs the extra `tfds`.

    tfds:beans        tfds:cats_vs_dogs:4.0.1        tfds:my_set?data_dir=FOLDER

The package fetches and prepares the set; its record files are then read as
`kerascnn.data.tfrecord` reads them, so that the order is shuffled over all images.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kerascnn.data import encoded
from kerascnn.data.arguments import parsed
from kerascnn.data.examples import Contents, DataSource, Encoded, Options
from kerascnn.data.record_index import indexed
from kerascnn.data.split_names import SPLIT_WORDS
from kerascnn.data.tfrecord import records
from kerascnn.errors import DataError


def _tfds(argument: str, options: Options) -> Contents:
    name, given = parsed(argument, "data_dir")
    builder = _builder(name, given.get("data_dir"), options)
    image, label = _features(name, builder)
    splits: dict[str, Encoded] = {}
    for split, info in builder.info.splits.items():
        if split not in SPLIT_WORDS or SPLIT_WORDS[split] in splits:
            options.echo(f"tfds:{name}: the split {split} is not used.")
            continue
        shards = [indexed(str(path), image, label) for path in info.filepaths]
        splits[SPLIT_WORDS[split]] = records(shards, image, [shard.labels for shard in shards])
    if not splits:
        raise DataError(
            f"tfds:{name} has no split that is for training, validation or test: "
            f"{', '.join(builder.info.splits)}."
        )
    names = builder.info.features[label].names
    return encoded.contents(f"tfds:{name}", names, splits, options)


def _builder(name: str, data_dir: str | None, options: Options) -> Any:
    """The set's builder, after what has to be fetched is there.

    Raises:
        DataError: the package is missing, it knows no such set, or fetching failed.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise DataError(
            f"tfds:{name} needs TensorFlow Datasets: pip install 'kerascnn[tfds]'. ({error})"
        ) from error
    try:
        builder = tensorflow_datasets.builder(name, data_dir=data_dir, try_gcs=False)
        if not builder.is_prepared():
            _require_connection(name, builder)
            options.echo(f"tfds:{name}: fetching and preparing …")
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
                builder.download_and_prepare(file_format="tfrecord")
    except DataError:
        raise
    except Exception as error:  # each set's own code fetches and reads what its authors publish
        reason = " ".join(str(error).split())[:500]
        raise DataError(f"tfds:{name} can't be had: {type(error).__name__}: {reason}") from error
    if builder.info.file_format.value != "tfrecord":
        raise DataError(
            f"tfds:{name} was prepared as {builder.info.file_format.value} files; expected "
            f"tfrecord. Delete {builder.data_path}, or prepare it in another data_dir."
        )
    return builder


def _require_connection(name: str, builder: Any) -> None:
    """Find out in a moment what the package's own downloads find out in minutes of retries.

    Raises:
        DataError: a host of the set's files has no address, and no proxy is asked.
    """
    hosts = {urlsplit(url).hostname for url in builder.url_infos or ()}
    for host in sorted(filter(None, hosts)):
        if getproxies() and not proxy_bypass(host):
            continue
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            raise DataError(
                f"tfds:{name} is not in {builder.data_path} yet, and can't be fetched without a "
                f"connection to {host}: {error.strerror}. Connect, or prepare it elsewhere and "
                f"say where it is: tfds:{name}?data_dir=FOLDER."
            ) from None


def _features(name: str, builder: Any) -> tuple[str, str]:
    """Names of the one image and the one class.

    Raises:
        DataError: there is none, or more than one.
    """
    import tensorflow_datasets

    chosen = []
    for kind in (tensorflow_datasets.features.Image, tensorflow_datasets.features.ClassLabel):
        found = [key for key, feature in builder.info.features.items() if type(feature) is kind]
        if len(found) != 1:
            raise DataError(
                f"tfds:{name} must have one feature of the type {kind.__name__}. "
                f"Received: {', '.join(found) or 'none'} of {', '.join(builder.info.features)}."
            )
        chosen += found
    return chosen[0], chosen[1]


TFDS = DataSource(
    read=_tfds,
    argument="NAME",
    help="Images with one label of TensorFlow Datasets (extra tfds), fetched when first used.",
)
