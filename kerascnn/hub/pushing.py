"""From a run directory to a repository of the hub."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path, PurePath

from kerascnn.errors import RunError
from kerascnn.hub.address import METRICS, README, WEIGHTS, Address, client, refused
from kerascnn.hub.model_card import card
from kerascnn.runs.config import RunConfig
from kerascnn.runs.run import Run
from kerascnn.weights.readers import of_model
from kerascnn.writing import write_json


def push(
    run: Run,
    repository: str,
    *,
    licence: str | None = None,
    private: bool = False,
    message: str | None = None,
) -> str:
    """Upload a finished run: config.json, metrics.json, model.safetensors and a model card.

    What says something of this machine stays here: the command line, the state of git, and the
    folders of data and weights.

    Args:
        run: of an architecture that others can install.
        repository: "owner/name"; it is made if it isn't there.
        licence: of the weights, as the hub names it, such as "apache-2.0"; None: not stated.
        private: make it for the owner's eyes.
        message: of the commit.

    Returns:
        "hf://owner/name@commit".

    Raises:
        RunError: training has not come to its end, the run is of a keras.Model of the user's own,
            or the hub refuses.
        ArgumentError: the repository's name is illegal.
    """
    address = Address.of(repository)
    if address.revision:
        raise RunError(f"A push makes a new commit. Received: {repository}.")
    if run.config.architecture is None:
        raise RunError(
            f"{run.path} trained a keras.Model of its own, which others can't build from a name. "
            f"Keras's own way: model.save({str(address)!r})."
        )
    if not run.finished:
        raise RunError(
            f"The run {run.path} has not come to its end. Go on with "
            f"`kerascnn train --resume {run.path}`."
        )
    hub, config = client(), published(run.config)
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config.write(folder)
        write_json(folder / METRICS, run.metrics)
        save_file(dict(of_model(run.model()).tensors), folder / WEIGHTS, {"format": "kerascnn"})
        card(run, address.repository, config, licence).save(folder / README)
        try:
            hub.create_repo(address.repository, private=private or None, exist_ok=True)
            done = hub.upload_folder(
                repo_id=address.repository,
                folder_path=folder,
                commit_message=message or f"{config.name}, trained on {config.data.source}",
            )
        except Exception as error:
            raise refused(f"{address} can't be written", error) from error
    return str(Address(address.repository, done.oid))


def published(config: RunConfig) -> RunConfig:
    """The config without what says something of the machine that it was trained on."""
    weights = config.weights
    if weights and weights.sha256:
        weights = replace(weights, source=PurePath(weights.source).name)
    data = replace(config.data, source=_without_folders(config.data.source))
    before = config.predecessor
    if before:
        source = _without_folders(before.data)
        before = replace(before, run=PurePath(before.run).name, data=source)
    return replace(
        config, command=(), git=None, log=(), data=data, weights=weights, predecessor=before
    )


def _without_folders(source: str) -> str:
    """`folder:/home/me/photos?a=b` → `folder:photos`."""
    kind, colon, place = source.partition(":")
    name = PurePath(re.split(r"\?", place)[0]).name
    return f"{kind}{colon}{name}"
