"""Models from files: ours and those of installed plugins, in whichever way Keras is asked for them.

A file names layers that Keras doesn't have, such as "kerascnn>BatchNormalization". Keras finds them
if their module has been imported, which `import kerascnn` must not do, as it loads no Keras. So
Keras asks here when it meets such a name, and the module is imported then: ours, or those that
installed distributions declare as entry points. Nothing that a file names itself is imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kerascnn.errors import IncompatibleKerasError, ModelError, WeightsError
from kerascnn.imports import around_import

if TYPE_CHECKING:
    import keras

OURS = ("kerascnn.layers", "kerascnn.preprocessing", "kerascnn.applications.lenet_layers")
"""The modules that register layers, functions and losses under "kerascnn>"."""

INTERNALS = "kerascnn.keras_internals"

_asked: set[str] = set()  # names that were looked for


def serve_keras() -> None:
    """Make Keras ask for the layers that it doesn't know: now, or as soon as it is imported."""
    around_import(INTERNALS, _execute_and_serve)
    if "keras" in sys.modules:
        _import_internals()
    else:
        around_import("keras", _execute_and_import)


def _execute_and_import(execute: Callable[[], None]) -> None:
    execute()
    _import_internals()


def _import_internals() -> None:
    """If they are being imported, and have asked for Keras, `before_lookup` isn't there yet."""
    try:
        importlib.import_module(INTERNALS)
    except IncompatibleKerasError:
        return  # whoever uses kerascnn is told; Keras itself must go on to work


def _execute_and_serve(execute: Callable[[], None]) -> None:
    execute()
    sys.modules[INTERNALS].before_lookup(register_named_in)


def register_named_in(config: Any) -> None:
    """Import what registers the layers and functions that a Keras config names."""
    names = set(custom_names(config))
    if not names:
        return
    import keras

    from kerascnn.keras_internals import allow_deep_graphs

    allow_deep_graphs()
    known = keras.saving.get_custom_objects()
    missing = names - known.keys() - _asked
    if not missing:
        return
    _asked.update(missing)
    for module in _providers(missing):
        try:
            importlib.import_module(module)
        except (Exception, SystemExit):
            continue  # a broken plugin: `kerascnn list` says so
        if all(name in known for name in missing):
            return


def custom_names(config: Any) -> Iterator[str]:
    """The names such as "package>Name" in a config, however deep it is."""
    pending = [config]
    while pending:
        found = pending.pop()
        if isinstance(found, dict):
            pending += found.values()
            names = (found.get(key) for key in ("registered_name", "class_name", "config"))
            yield from (name for name in names if isinstance(name, str) and ">" in name)
        elif isinstance(found, (list, tuple)):
            pending += found


def _providers(names: set[str]) -> Sequence[str]:
    """The modules that may register these names, the likeliest first."""
    packages = {name.partition(">")[0] for name in names}
    found = list(OURS) if "kerascnn" in packages else []
    if packages == {"kerascnn"}:
        return found
    from kerascnn import registry

    foreign = [
        entry.point.module
        for claims in registry.entries(registry.ARCHITECTURES).values()
        for entry in claims
        if entry.point is not None and entry.provider != registry.OURS
    ]
    # Modules without an architecture, such as a plugin's losses, are declared by themselves.
    foreign += [
        entry.point.module
        for claims in registry.entries(registry.SAVING).values()
        for entry in claims
        if entry.point is not None
    ]
    return found + sorted(dict.fromkeys(foreign), key=lambda m: m.partition(".")[0] not in packages)


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """The model in a `.keras` file: a run's, or what `kerascnn export --format keras` wrote.

    `keras.models.load_model` finds the same layers once `import kerascnn` has been said. Here the
    file may be a stranger's as well: it is checked first, and nothing in it is executed.

    Args:
        path: the file.

    Returns:
        The model, not compiled.

    Raises:
        ModelError: the file is missing or damaged, has layers that run code or open other files,
            or layers that nobody installed offers.
    """
    from pathlib import Path  # here, as `import kerascnn` needs none

    path = Path(path)
    if path.is_dir():
        inside = path / "model.keras"
        advice = f" Did you mean {inside}?" if inside.is_file() else ""
        raise ModelError(f"{path} is a directory, not a model's file.{advice}")
    if not path.is_file():
        raise ModelError(f"There is no file {path}.")
    if path.suffix != ".keras":
        raise ModelError(f"A model's file must end in .keras. Received: {path}.")
    from kerascnn.keras_internals import allow_deep_graphs
    from kerascnn.weights import model_file

    allow_deep_graphs()
    try:
        return model_file.load(path)
    except WeightsError as error:
        raise ModelError(str(error)) from error
