"""The commands, one module each, and what those of other packages are made with."""

from kerascnn.commands.groups import Group
from kerascnn.commands.options import parse_shape

__all__ = ["Group", "parse_shape"]
