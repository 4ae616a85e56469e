"""The architectures by name: those of installed packages, and those of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kerascnn import registry
from kerascnn.architecture import Architecture
from kerascnn.registry import ARCHITECTURES

if TYPE_CHECKING:
    import keras


def list_architectures(pattern: str = "*", provider: str | None = None) -> list[str]:
    """Names of all installed and registered architectures, in order; imports none of them.

    Args:
        pattern: shell wildcards, such as `"resnet*"`.
        provider: only those that this distribution offers, such as `"kerascnn"`.
    """
    return registry.names(ARCHITECTURES, pattern, provider)


def get(name: str) -> Architecture:
    """The architecture of this name; imports the one module that defines it.

    Raises:
        UnknownNameError, DuplicateNameError, BrokenPluginError: see `kerascnn.registry.load`.
    """
    return registry.load(ARCHITECTURES, name, Architecture)


def create(name: str, /, **arguments: Any) -> keras.Model:
    """Build the model of this name: `kerascnn.create("lenet5", classes=26, widths=(12, 32))`.

    Args:
        name: a name from `list_architectures()`.
        **arguments: those of keras.applications (`name` of the model among them) and the
            family's own; see `Architecture`.
    """
    return get(name)(**arguments)


def register(architecture: Architecture) -> Architecture:
    """Add an architecture for this process, for example in a notebook.

    Registering the same name again replaces what was registered before; a name that an installed
    distribution offers is refused.

    Raises:
        TypeError: not an Architecture.
        DuplicateNameError: an installed distribution already has the name.
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(
            "kerascnn.register expects a kerascnn.Architecture. "
            f"Received: {architecture!r} ({type(architecture).__name__})."
        )
    registry.add(ARCHITECTURES, architecture.name, architecture)
    return architecture
