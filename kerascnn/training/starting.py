"""Where training starts: a recipe's first weights, and over them trained ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras

from kerascnn.card import Preprocessing, Source
from kerascnn.errors import RunError, WeightsError
from kerascnn.network import BACKBONE, Network
from kerascnn.runs.config import FILE as CONFIG
from kerascnn.runs.config import RunConfig, StartedFrom
from kerascnn.training.initialization import initialize
from kerascnn.weights.loading import load
from kerascnn.weights.readers import require_known
from kerascnn.weights.sources import data_of


def described(weights: str | Path, sources: Sequence[Source] = ()) -> StartedFrom:
    """Trained weights as a run's config holds them: what to load, and a file's SHA-256.

    Args:
        weights: "imagenet" or "imagenet:PUBLISHER", or the same with what else the sources were
            trained on; a file; or a run directory. Behind "backbone:" those of a backbone.
        sources: what is published for the network, or its backbone.

    Raises:
        WeightsError: there is no such file, or its name says that it is another kind of file.
    """
    text = str(weights)
    if text.startswith(BACKBONE):
        found = described(text.removeprefix(BACKBONE), sources)
        return replace(found, source=BACKBONE + found.source)
    if text.partition(":")[0] in ("imagenet", *data_of(sources)):
        return StartedFrom(source=text)
    path = Path(text).expanduser()
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file():
        raise WeightsError(
            'weights must be "imagenet", "imagenet:PUBLISHER", a file of weights or the directory '
            f"of a finished run. There is no file {str(path)!r}."
        )
    require_known(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return StartedFrom(source=str(path), sha256=digest)


def start(
    model: keras.Model,
    network: Network | keras.Model,
    config: RunConfig,
    say: Callable[[str], None],
) -> None:
    """Give a built model the weights that its training starts from.

    Args:
        model: the built model.
        network: what it was built from.
        config: the run's.
        say: is called with what became of trained weights.

    Raises:
        ArgumentError: the recipe's initialization is illegal.
        WeightsError: trained weights don't fit.
        RunError: their file has changed since the run was started.
    """
    initialize(model, config.recipe.initialization, config.seed)
    if not config.weights:
        return
    require_same(config.weights)
    source, left_out = config.weights.source, config.weights.left_out
    if isinstance(network, Network):
        report = network.load(model, source, left_out=left_out, verbose=False)
    else:
        report = load(model, source, left_out=left_out, verbose=False)
    say(str(report))


def expected_by(weights: StartedFrom, network: Network) -> Preprocessing:
    """What the network has to see: images as trained weights expect them, if that is known.

    Args:
        weights: published ones, a file, or those of a run.
        network: what starts from them.

    Raises:
        RunError: the run's config.json is damaged.
    """
    if published := network.require(weights.source):
        return published.preprocessing
    file = Path(weights.source.removeprefix(BACKBONE))
    if file.name == "model.keras" and (file.parent / CONFIG).is_file():
        return RunConfig.read(file.parent).preprocessing
    return network.preprocessing


def require_same(weights: StartedFrom) -> None:
    """Refuse a file of weights that has changed since a config.json named it.

    Raises:
        RunError, WeightsError: it has changed, or is gone.
    """
    published = weights.sha256 is None and not Path(weights.source).expanduser().exists()
    if not published and described(weights.source).sha256 != weights.sha256:
        raise RunError(
            f"The weights {weights.source} have changed since the run was started from them, so "
            "the same result can't be expected. Start a new run with `kerascnn train`."
        )
