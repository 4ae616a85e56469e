"""The commands, one module each, and what those of other packages are made with."""

from kerascnn.commands.groups import Group
from kerascnn.commands.options import (
    complete_architecture,
    complete_directory,
    complete_source,
    parse_shape,
)

__all__ = ["Group", "complete_architecture", "complete_directory", "complete_source", "parse_shape"]
