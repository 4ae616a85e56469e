"""What figures depend on: the machine, the versions of packages, and the day."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from kerascnn import processors

PACKAGES = (
    *("kerascnn", "tensorflow", "keras", "keras-tuner", "numpy"),
    *("torch", "torchvision", "timm", "onnxruntime", "ai-edge-litert", "openvino"),
)


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
