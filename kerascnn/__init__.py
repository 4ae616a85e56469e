"""The classic convolutional networks for Keras 3, exact to their papers and open to every change.

`import kerascnn` loads neither Keras nor TensorFlow: public names are resolved when first used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from kerascnn.imports import lazy
from kerascnn.saving import serve_keras

if TYPE_CHECKING:
    # `as` exports a name to type checkers that are strict about it.
    from kerascnn import applications as applications
    from kerascnn import bench as bench
    from kerascnn import blocks as blocks
    from kerascnn import cache as cache
    from kerascnn import checks as checks
    from kerascnn import commands as commands
    from kerascnn import console as console
    from kerascnn import data as data
    from kerascnn import errors as errors
    from kerascnn import explain as explain
    from kerascnn import files as files
    from kerascnn import imports as imports
    from kerascnn import overlays as overlays
    from kerascnn import pictures as pictures
    from kerascnn import preprocessing as preprocessing
    from kerascnn import processors as processors
    from kerascnn import reports as reports
    from kerascnn import sklearn as sklearn
    from kerascnn import style as style
    from kerascnn import tables as tables
    from kerascnn import tasks as tasks
    from kerascnn import weights as weights
    from kerascnn import words as words
    from kerascnn import writing as writing
    from kerascnn.architecture import Architecture as Architecture
    from kerascnn.bench.suggesting import suggest as suggest
    from kerascnn.card import Card as Card
    from kerascnn.card import Claim as Claim
    from kerascnn.card import NumberedNames as NumberedNames
    from kerascnn.card import PaperRow as PaperRow
    from kerascnn.card import PaperTable as PaperTable
    from kerascnn.card import Preprocessing as Preprocessing
    from kerascnn.card import Result as Result
    from kerascnn.card import Source as Source
    from kerascnn.card import TorchNames as TorchNames
    from kerascnn.catalogue import create as create
    from kerascnn.catalogue import get as get
    from kerascnn.catalogue import list_architectures as list_architectures
    from kerascnn.catalogue import register as register
    from kerascnn.cost import Cost as Cost
    from kerascnn.distribution.names import check_strategy as check_strategy
    from kerascnn.distribution.strategies import resolve_strategy as resolve_strategy
    from kerascnn.drawing.networks import draw as draw
    from kerascnn.drawing.networks import draw_field as draw_field
    from kerascnn.features import any_size as any_size
    from kerascnn.features import convolutionalize as convolutionalize
    from kerascnn.features import endpoints as endpoints
    from kerascnn.features import feature_extractor as feature_extractor
    from kerascnn.hub.loading import load as load
    from kerascnn.hub.pushing import push as push
    from kerascnn.network import Backbone as Backbone
    from kerascnn.network import Network as Network
    from kerascnn.precision import with_precision as with_precision
    from kerascnn.profiling import profile as profile
    from kerascnn.recipes.recipe import PRECISIONS as PRECISIONS
    from kerascnn.recipes.recipe import Augmentation as Augmentation
    from kerascnn.recipes.recipe import Protocol as Protocol
    from kerascnn.recipes.recipe import Recipe as Recipe
    from kerascnn.runs.config import versions as versions
    from kerascnn.runs.run import Run as Run
    from kerascnn.saving import load_model as load_model
    from kerascnn.space import Param as Param
    from kerascnn.space import Range as Range
    from kerascnn.space import Space as Space
    from kerascnn.tasks.task import Task as Task
    from kerascnn.training.ablation import ablate as ablate
    from kerascnn.training.optimizers import make_optimizer as make_optimizer
    from kerascnn.training.range_test import RateRange as RateRange
    from kerascnn.training.range_test import find_rate as find_rate
    from kerascnn.training.trainer import resume as resume
    from kerascnn.training.trainer import train as train
    from kerascnn.watching.loggers import Logger as Logger

__version__ = "0.1.0"

_PUBLIC = {
    "Architecture": "kerascnn.architecture",
    "Backbone": "kerascnn.network",
    "Network": "kerascnn.network",
    "Cost": "kerascnn.cost",
    "Card": "kerascnn.card",
    "Claim": "kerascnn.card",
    "PaperRow": "kerascnn.card",
    "PaperTable": "kerascnn.card",
    "Preprocessing": "kerascnn.card",
    "Result": "kerascnn.card",
    "Source": "kerascnn.card",
    "TorchNames": "kerascnn.card",
    "NumberedNames": "kerascnn.card",
    "Param": "kerascnn.space",
    "Range": "kerascnn.space",
    "Space": "kerascnn.space",
    "Recipe": "kerascnn.recipes.recipe",
    "Augmentation": "kerascnn.recipes.recipe",
    "Protocol": "kerascnn.recipes.recipe",
    "PRECISIONS": "kerascnn.recipes.recipe",
    "with_precision": "kerascnn.precision",
    "profile": "kerascnn.profiling",
    "any_size": "kerascnn.features",
    "endpoints": "kerascnn.features",
    "feature_extractor": "kerascnn.features",
    "convolutionalize": "kerascnn.features",
    "draw": "kerascnn.drawing.networks",
    "draw_field": "kerascnn.drawing.networks",
    "create": "kerascnn.catalogue",
    "get": "kerascnn.catalogue",
    "list_architectures": "kerascnn.catalogue",
    "register": "kerascnn.catalogue",
    "load": "kerascnn.hub.loading",
    "push": "kerascnn.hub.pushing",
    "load_model": "kerascnn.saving",
    "Run": "kerascnn.runs.run",
    "Task": "kerascnn.tasks.task",
    "versions": "kerascnn.runs.config",
    "make_optimizer": "kerascnn.training.optimizers",
    "check_strategy": "kerascnn.distribution.names",
    "resolve_strategy": "kerascnn.distribution.strategies",
    "ablate": "kerascnn.training.ablation",
    "suggest": "kerascnn.bench.suggesting",
    "RateRange": "kerascnn.training.range_test",
    "find_rate": "kerascnn.training.range_test",
    "resume": "kerascnn.training.trainer",
    "train": "kerascnn.training.trainer",
    "Logger": "kerascnn.watching.loggers",
}

_MODULES = (
    *("applications", "blocks", "checks", "data", "explain", "preprocessing", "sklearn"),
    *("tasks", "weights"),
    # What other packages' commands, benchmarks and readers are written with.
    *("bench", "cache", "commands", "console", "errors", "files", "imports", "overlays"),
    *("pictures", "processors", "reports", "style", "tables", "words", "writing"),
)

__all__ = [*_PUBLIC, *_MODULES, "__version__"]


def _hush_notebook() -> None:
    """In a notebook TensorFlow's greeting fills a red box under the first cell: kept back.

    Other programs that import kerascnn keep their own ways with TensorFlow's log lines.
    """
    from kerascnn.quiet import hush_tensorflow

    hush_tensorflow()


if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    _find = lazy(__name__, _PUBLIC, _MODULES)

    def __getattr__(name: str) -> Any:
        if "ipykernel" in sys.modules:
            _hush_notebook()
        return _find(name)


def __dir__() -> list[str]:
    return sorted(__all__)


serve_keras()
