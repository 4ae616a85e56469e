"""The API reference from the docstrings: `make docs`. Needs no network; a warning is an error.

Public is what `kerascnn` and `kerascnn_tuning` export, modules among it; and the papers' files.
"""

import pkgutil
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pdoc

import kerascnn
from kerascnn.quiet import hush_tensorflow

PAGES = Path(__file__).parents[1] / "build" / "docs"
PACKAGES = ("kerascnn", "kerascnn_tuning")


def resolve(module: ModuleType) -> None:
    """Put names that a package resolves when they are first used where pdoc looks for them."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        setattr(module, name, value)
        if isinstance(value, ModuleType):
            resolve(value)


def write(pages: Path) -> None:
    """A page for each module."""
    hush_tensorflow()
    warnings.simplefilter("error", UserWarning)  # pdoc's
    for name in PACKAGES:
        resolve(import_module(name))
    papers = pkgutil.iter_modules(kerascnn.applications.__path__, "kerascnn.applications.")
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*PACKAGES, *(paper.name for paper in papers), output_directory=pages)
    print(f"The reference: {pages / 'index.html'}")


if __name__ == "__main__":
    write(Path(*sys.argv[1:]) if sys.argv[1:] else PAGES)
