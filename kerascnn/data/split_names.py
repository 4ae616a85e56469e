"""The three splits of a data set, and what folders, files and tables call them."""

from __future__ import annotations

SPLITS = ("train", "validation", "test")

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "tr", "trn"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "validating", "dev", "development"), "validation"
    ),
    **dict.fromkeys(("eval", "evaluation", "evaluate", "evaluating"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "te", "holdout", "heldout"), "test"),
}
"""A word for a split, in small letters → the split."""
