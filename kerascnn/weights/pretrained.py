"""`weights="imagenet"` and `weights="PATH"`: fetch, verify, convert, keep, load."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerascnn.card import Source
from kerascnn.errors import WeightsError
from kerascnn.weights import download
from kerascnn.weights.fitting import Part
from kerascnn.weights.loading import load
from kerascnn.weights.readers import EPSILON, open_checkpoint, require_known
from kerascnn.weights.report import Report
from kerascnn.weights.rules import convert
from kerascnn.weights.sources import data_of
from kerascnn.words import did_you_mean

HUB_FILE = "model.safetensors"
RULES = 1
"""Raise it when the rules change what a converted file holds: older ones are then not used."""


def published_name(
    weights: str | os.PathLike[str], sources: Sequence[Source], *, owner: str
) -> str | None:
    """The name of published weights, or None for a file, which is there and of a known kind.

    Args:
        weights: "imagenet", "imagenet:PUBLISHER", the same with what else the sources were trained
            on, or a file.
        sources: what is published for the owner.
        owner: whose weights they are to be, for messages.

    Raises:
        WeightsError: it is neither.
    """
    data = data_of(sources) or ["imagenet"]
    legal = " ".join(["None,", *(f'"{name}"' for name in data), "or a file"])
    if not isinstance(weights, (str, os.PathLike)):
        raise WeightsError(
            f"{owner}: weights must be {legal}; "
            "kerascnn.weights.load(model, weights) takes mappings and models, too. "
            f"Received: {type(weights).__name__}."
        )
    name = os.fspath(weights)
    if name.partition(":")[0] in ("imagenet", *data):
        return name
    if not Path(name).expanduser().is_file():
        raise WeightsError(
            f"{owner}: weights must be {legal}. "
            f"There is no file {name!r}.{did_you_mean(name, data)}"
        )
    require_known(Path(name))
    return None


def load_published(
    model: Any,
    source: Source,
    *,
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
    include_top: bool,
    inputs: Any = None,
    part: Part | None = None,
    verbose: bool = True,
) -> Report:
    """Load published weights, fetched and converted if the cache hasn't got them.

    Args:
        model: the built model.
        source: what to load.
        arguments: the complete arguments the model was built with.
        defaults: those that the weights were trained with, where they require no others.
        include_top: whether the model has its classifier.
        inputs: the tensor that the network was built upon, if not its own input.
        part: of the model, that they are for; None: all of it.
        verbose: print the report to stderr if anything was adapted or left out.

    Raises:
        WeightsError: they can't be fetched, or they don't fit.
    """
    with _fetched(source, include_top=include_top) as path:
        report = load(model, path, inputs=inputs, part=part, verbose=False)
    usual = {**defaults, **source.trained, **source.requires}
    report = replace(report, notes=report.notes + _changes(usual, arguments))
    if verbose:
        report.tell()
    return report


@contextlib.contextmanager
def _fetched(source: Source, *, include_top: bool) -> Iterator[Path]:
    """The file of published weights, in our names and layouts."""
    kind = "top" if include_top or not source.no_top else "no_top"
    file = f"{_key(source)}-{kind}.{RULES}.npz"
    with download.folder("weights", file) as folder:
        path = folder / file
        if not path.exists():
            with download.alone_in(folder):
                _prepare(source, kind, path)
        yield path


def _key(source: Source) -> str:
    """What the cache calls a source: the same for all networks that share it."""
    exact = "".join((source.file, source.revision, source.digest))
    name = source.file.rpartition("/")[2].removesuffix(".h5").removesuffix(".pth")
    return f"{name}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def _changes(usual: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Arguments that fit the weights' shapes and still change what the network computes."""
    return tuple(
        f"The weights were trained with {name}={usual[name]!r}, the model has {value!r}."
        for name, value in arguments.items()
        if value != usual[name]
    )


def _prepare(source: Source, kind: str, target: Path) -> None:
    """Put the published weights into a file in our names and layouts.

    The cache keeps this file alone: the downloaded one is deleted once it is converted.
    """
    if target.exists():  # another process was faster
        return
    downloads = target.parent / "downloads" / target.stem
    try:
        _convert(_fetch(source, kind, downloads), source, target)
    except BaseException:
        with contextlib.suppress(OSError):  # what a later attempt goes on from stays
            downloads.rmdir()
        raise
    shutil.rmtree(downloads)


def _convert(original: Path, source: Source, target: Path) -> None:
    canonical = convert(open_checkpoint(original), names=source.names)
    tensors = dict(canonical.tensors)
    if isinstance(canonical.epsilon, float):
        tensors[EPSILON] = np.array(canonical.epsilon)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        unfinished = Path(folder) / target.name
        np.savez(unfinished, **tensors)  # type: ignore[arg-type]
        os.replace(unfinished, target)


def _fetch(source: Source, kind: str, folder: Path) -> Path:
    if "://" not in source.file:
        return _from_hub(source.file, source.revision or None, folder)
    no_top = kind == "no_top"
    url = source.no_top if no_top else source.file
    digest = source.no_top_digest if no_top else source.digest
    return download.fetch(url, folder / url.rpartition("/")[2], digest=digest)


def _from_hub(repository: str, revision: str | None, folder: Path) -> Path:
    """A repository's model.safetensors; the hub's entity tag is the file's SHA-256."""
    try:
        import huggingface_hub
        import safetensors  # noqa: F401
    except ImportError:
        raise WeightsError(
            f"The weights {repository} are on the Hugging Face hub. To fetch and read them: "
            'pip install "kerascnn[weights]".'
        ) from None
    endpoint = os.environ.get("HF_ENDPOINT")
    url = huggingface_hub.hf_hub_url(repository, HUB_FILE, revision=revision, endpoint=endpoint)
    try:
        tag = huggingface_hub.get_hf_file_metadata(url, endpoint=endpoint).etag or ""
        path = Path(
            huggingface_hub.hf_hub_download(
                repository, HUB_FILE, revision=revision, local_dir=folder, endpoint=endpoint
            )
        )
    except Exception as error:  # the client's errors have changed class with its major versions
        raise WeightsError(
            f"{url} can't be fetched: {error}. Try again, or download the file elsewhere and pass "
            "its path as weights."
        ) from error
    if len(tag) == 64:
        download.check(path, f"sha256:{tag}", url)
    return path
