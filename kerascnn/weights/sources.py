"""Which of the weights that are published for a network fit it, and what torch calls its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kerascnn import registry
from kerascnn.card import NumberedNames, Source, TorchNames
from kerascnn.errors import KerascnnError, WeightsError


def find(
    sources: Sequence[Source], weights: str, arguments: Mapping[str, Any], *, owner: str
) -> Source:
    """The first published weights that fit a network.

    Args:
        sources: what is published for it.
        weights: what they were trained on, such as "imagenet", or the name of one source, such as
            "imagenet:keras".
        arguments: the network's complete arguments.
        owner: its name, for messages.

    Raises:
        WeightsError: there are none; the message lists what there is.
    """
    if not sources:
        raise WeightsError(f"No ImageNet weights are published for {owner}.")
    named = [source for source in sources if weights in (source.data, source.name)]
    if not named:
        data = " or ".join(repr(name) for name in data_of(sources))
        names = ", ".join(repr(source.name) for source in sources)
        raise WeightsError(
            f"{owner}: weights must be {data}, or one of {names}. Received: {weights!r}."
        )
    for source in named:
        if source.fits(arguments):
            return source
    needs = "; ".join(f"{source.name} needs {_written(source.requires)}" for source in named)
    raise WeightsError(
        f"{owner} with these arguments is not the network that the published weights were "
        f"trained for: {needs}. Pass these arguments, or weights=None."
    )


def data_of(sources: Sequence[Source]) -> list[str]:
    """What they were trained on, each once: "imagenet", "coco"."""
    return list(dict.fromkeys(source.data for source in sources))


def _written(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def torch_names() -> list[TorchNames | NumberedNames]:
    """What the architectures' published weights say of torch's names, each once.

    It imports all of them; a broken plugin is passed over.
    """
    found: list[TorchNames | NumberedNames] = []
    for name in registry.names(registry.ARCHITECTURES):
        try:
            architecture = registry.load(registry.ARCHITECTURES, name, object)
        except KerascnnError:
            continue
        for source in getattr(architecture, "weights", ()):  # else it is none
            if source.names is not None and source.names not in found:
                found.append(source.names)
    return found
