"""Imports that wait: for the use of a name, and for the import of another package."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

Around = Callable[[Callable[[], None]], None]
"""Takes what executes a module, and calls it."""


def lazy(
    package: str, homes: Mapping[str, str], modules: Collection[str] = ()
) -> Callable[[str], Any]:
    """The `__getattr__` of a package that imports nothing until a name is used.

    Args:
        package: its `__name__`.
        homes: name → the module that it is in.
        modules: the modules of the package that are names of it, too.
    """

    def find(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


class Later:
    """A module that is imported when something of it is used.

    For modules whose import takes long, such as Keras, in functions that may be called without any
    need of them. A type checker is shown a plain import in its place.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._module), name)


def around_import(module: str, around: Around) -> None:
    """Have the first import of a module executed by `around(execute)`, whoever imports it.

    A module that has been imported already, or for whose import `around` waits, is left alone.
    """
    waiting = any(isinstance(f, _Finder) and f.around is around for f in sys.meta_path)
    if module not in sys.modules and not waiting:
        sys.meta_path.insert(0, _Finder(module, around))


class _Finder:
    """Finds one module as Python does, and wraps its execution; it waits until that has ended well.

    Others may look whether the module is there, as TensorFlow does with Keras, and not import it.
    It does without `importlib.abc`, which would take as long to import as all of kerascnn.
    """

    def __init__(self, module: str, around: Around) -> None:
        self.module, self.around = module, around

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module
            loader.exec_module = lambda module: self._execute(lambda: execute(module))
        return spec

    def _execute(self, execute: Callable[[], None]) -> None:
        self.around(execute)
        if self in sys.meta_path:
            sys.meta_path.remove(self)
