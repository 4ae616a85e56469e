"""TensorFlow without its greeting: the page of log lines that its import writes to stderr.

They come from C++ before its logging is set up (oneDNN, absent GPU drivers, plugins registered
twice) and obey no setting. KERASCNN_VERBOSE=1 shows them, TensorFlow's warnings, and the
traceback of an error with a file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator

from kerascnn.imports import around_import

VERBOSE = "KERASCNN_VERBOSE"


def verbose() -> bool:
    """Whether the user wants to see what is else kept back: KERASCNN_VERBOSE=1."""
    return os.environ.get(VERBOSE, "0") not in ("", "0")


def hush_tensorflow() -> None:
    """Make the first import of TensorFlow silent, whoever does it; its output shows if it fails.

    Waiting for the import instead of doing it here keeps the commands that need no TensorFlow
    fast, lets the others check their arguments first, and serves other packages' commands too.
    """
    if not verbose() and sys.stderr and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        around_import("tensorflow", _quietly)


def _quietly(execute: Callable[[], None]) -> None:
    with captured_stderr():
        execute()
        tensorflow = sys.modules["tensorflow"]
        # Looking for GPUs has its own messages.
        tensorflow.config.list_physical_devices()
        # Advice to programmers, such as on calling a strategy outside of a tf.function. In a
        # notebook TensorFlow sets another level, and standard output, when it is first asked.
        tensorflow.get_logger().setLevel(logging.ERROR)


@contextlib.contextmanager
def captured_stderr() -> Iterator[None]:
    """Keep back what anything in this process, C++ included, writes to stderr.

    If the block raises, it is shown after all. If it kills the process (a TensorFlow for another
    CPU does), it is lost: the reason to have KERASCNN_VERBOSE.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(saved, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
