"""Prints the oldest version that pyproject.toml allows of each dependency, for pip to keep to."""

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"

for dependency in tomllib.loads(PROJECT.read_text("utf-8"))["project"]["dependencies"]:
    name, oldest = re.match(r"([\w-]+)>=([\w.]+)", dependency).groups()
    print(f"{name}=={oldest}")
