"""What figures depend on: the machine, the versions of packages, and the day."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerascnn import processors

PACKAGES = (
    *("kerascnn", "tensorflow", "keras", "keras-tuner", "numpy"),
    *("torch", "torchvision", "timm", "onnxruntime", "ai-edge-litert", "openvino"),
)


def as_json(rows: Sequence[Any], **found: Any) -> str:
    """What a command with --json prints: itself, where and with what it ran, and its rows.

    Args:
        rows: one for each contestant: mappings, or instances of dataclasses.
        found: what else is to be said, as plain values.
    """
    plain = [row if isinstance(row, Mapping) else dataclasses.asdict(row) for row in rows]
    words = [word for word in sys.argv[1:] if word != "--json"]
    command = {"command": " ".join(["kerascnn", *words])}
    return json.dumps({**command, **conditions(), **found, "rows": plain}, indent=2)


def conditions() -> dict[str, Any]:
    """Plain values, as each benchmark's JSON has them."""
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "processors": processors.available(),
        "python": platform.python_version(),
        "versions": _versions(),
    }


def processor() -> str:
    """The processor's name, such as "Intel(R) Xeon(R) Processor"."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
