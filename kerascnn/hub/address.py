"""Names of repositories, and the hub's client."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from kerascnn.errors import ArgumentError, RunError

SCHEME = "hf://"
CONFIG, METRICS, WEIGHTS, README = "config.json", "metrics.json", "model.safetensors", "README.md"
_ADDRESS = re.compile(r"(?:hf://)?([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,128}))?", re.ASCII)


@dataclass(frozen=True)
class Address:
    """A repository of models on the hub.

    Attributes:
        repository: "owner/name".
        revision: a branch, tag or commit; None: the default branch.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}" + (f"@{self.revision}" if self.revision else "")

    @classmethod
    def of(cls, text: str) -> Address:
        """From "owner/name", "hf://owner/name" or the same with "@revision".

        Raises:
            ArgumentError: it is none of these.
        """
        found = _ADDRESS.fullmatch(text)
        if not found or ".." in text:
            raise ArgumentError(
                "A repository must be hf://OWNER/NAME, or hf://OWNER/NAME@REVISION. "
                f"Received: {text!r}."
            )
        return cls(found[1], found[2])


def client() -> Any:
    """A `huggingface_hub.HfApi` for HF_ENDPOINT, with the user's own token.

    Raises:
        RunError: the package is missing.
    """
    try:
        import huggingface_hub
        import safetensors  # noqa: F401
    except ImportError:
        raise RunError(
            'Models on the Hugging Face hub need its client: pip install "kerascnn[weights]".'
        ) from None
    return huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="kerascnn")


def refused(what: str, error: Exception) -> RunError:
    """The client's errors have changed class with its major versions: one of ours, in a line."""
    reason = " ".join(str(error).split())[:200].rstrip(".")
    return RunError(
        f"{what}: {type(error).__name__}: {reason}. Private repositories and uploads need "
        "`hf auth login` or HF_TOKEN."
    )
