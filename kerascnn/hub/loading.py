"""From a repository of the hub, which may be a stranger's, to a run directory that is ours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerascnn import cache
from kerascnn.errors import KerascnnError, RunError, WeightsError
from kerascnn.hub.address import CONFIG, METRICS, WEIGHTS, Address, client, refused
from kerascnn.runs.directory import refuse_directory
from kerascnn.runs.run import Run
from kerascnn.weights import download
from kerascnn.weights.loading import load as load_weights
from kerascnn.writing import replacing, write_json

FILE = "hub.json"  # in the run directory: where it comes from
LIMITS = {CONFIG: 2**24, METRICS: 2**24, WEIGHTS: 2**34}  # bytes
COMMIT = 40  # hexadecimal digits


def load(
    address: str, *, run: str | Path | None = None, echo: Callable[[str], None] | None = print
) -> Run:
    """The run in a repository of the Hugging Face hub: `load("hf://owner/name")`.

    What comes is config.json, metrics.json and model.safetensors, of one commit, which is said and
    kept in hub.json. The model is built from the config's architecture, which must be installed,
    and takes the weights only if all of them fit. Nothing in the repository is executed.

    Args:
        address: "hf://owner/name", or with "@revision": a branch, a tag or a commit.
        run: the run directory to make; default: one in kerascnn's cache, which is used again.
        echo: is called with the commit; None: silent.

    Raises:
        RunError: it can't be fetched, is no run of kerascnn, or is damaged; or `run` is taken.
        WeightsError: the weights don't fit the network.
        ArgumentError: the address is illegal.
    """
    asked = Address.of(address)
    if run is not None:
        refuse_directory(Path(run), overwrite=False)
    kept = _folder(asked)
    if run is None and kept and (kept / FILE).is_file():
        return Run.open(kept)
    hub = client()
    try:
        info = hub.model_info(asked.repository, revision=asked.revision, files_metadata=True)
    except Exception as error:
        raise refused(f"{asked} can't be fetched", error) from error
    found = Address(asked.repository, str(info.sha))
    _check_files(found, info)
    if echo:
        echo(f"{asked} is the commit {found.revision}.")
    target = Path(run) if run is not None else _folder(found)
    if target is None:
        raise RunError(f"{asked}: the hub names no commit. Received: {found.revision!r}.")
    if not (target / FILE).is_file():
        _make(hub, found, target)
    return Run.open(target)


def _folder(address: Address) -> Path | None:
    """Where a commit is kept; None if it isn't told by its number."""
    revision = address.revision or ""
    if len(revision) != COMMIT or set(revision) - set("0123456789abcdef"):
        return None
    return cache.directory() / "hub" / address.repository.replace("/", "--") / revision


def _check_files(address: Address, info: Any) -> None:
    """Refuse a repository without the files of a run, or with larger ones than anyone trains."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if missing := [name for name in (CONFIG, WEIGHTS) if name not in sizes]:
        raise RunError(
            f"{address} is no run of kerascnn: it has no {' and no '.join(missing)}. Expected what "
            "`kerascnn push` uploads; .keras files and pickles are not read from the hub."
        )
    for name, limit in LIMITS.items():
        if sizes.get(name, 0) > limit:
            raise RunError(f"{address}: {name} has {sizes[name]:,} bytes, more than {limit:,}.")


def _make(hub: Any, address: Address, target: Path) -> None:
    """Fetch, check and build a run directory; it is there as a whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pulling-") as name:
        folder, fetched = Path(name) / "run", Path(name) / "fetched"
        folder.mkdir()
        for file in (CONFIG, METRICS, WEIGHTS):
            _fetch(hub, address, file, fetched)
        for file in (CONFIG, METRICS):
            if (fetched / file).is_file():
                os.replace(fetched / file, folder / file)
        try:
            _build(Run.open(folder), fetched / WEIGHTS)
        except KerascnnError as error:
            said = str(error).replace(f"{folder}{os.sep}", "").replace(f"{fetched}{os.sep}", "")
            raise type(error)(f"{address}: {said}") from error
        write_json(folder / FILE, {"repository": address.repository, "commit": address.revision})
        try:
            os.rename(folder, target)
        except OSError:
            if not (target / FILE).is_file():  # another process was not faster
                raise


def _fetch(hub: Any, address: Address, file: str, folder: Path) -> None:
    """One file, with the hash that the hub's entity tag is, for large files."""
    import huggingface_hub

    try:
        url = huggingface_hub.hf_hub_url(
            address.repository, file, revision=address.revision, endpoint=hub.endpoint
        )
        tag = hub.get_hf_file_metadata(url=url).etag or ""
        path = hub.hf_hub_download(
            address.repository, file, revision=address.revision, local_dir=folder
        )
    except Exception as error:
        if file == METRICS:  # a run can do without
            return
        raise refused(f"{file} of {address} can't be fetched", error) from error
    if len(tag) == 64:
        download.check(Path(path), f"sha256:{tag}", url)


def _build(run: Run, weights: Path) -> None:
    """Build the network that the config names, and give it the weights, if all of them fit.

    Raises:
        KerascnnError: see `load`.
    """
    config, architecture = run.config, run.architecture()
    if architecture is None or config.architecture is None:
        raise RunError("config.json names no architecture.")
    network = architecture.network(
        config.architecture.arguments, input_shape=config.input_shape, classes=config.classes
    )
    needed = 2 * network.cost().params  # bytes, if each had only 16 bits
    if needed > weights.stat().st_size:
        raise WeightsError(
            f"config.json describes a network of {needed:,} bytes at least, and {WEIGHTS} has "
            f"{weights.stat().st_size:,}. It is not built."
        )
    model = network.model()
    report = load_weights(model, weights, source="kerascnn", verbose=False)
    if report.adapted or report.initial or report.unused:
        raise WeightsError(f"{WEIGHTS} doesn't fit the network of config.json. {report}")
    with replacing(run.path / "model.keras") as temporary:
        model.save(temporary)
