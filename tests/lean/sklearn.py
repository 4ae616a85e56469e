"""Stands before scikit-learn in the processes that tests start; see tests/conftest.py."""

raise ImportError("scikit-learn is left out in processes of the core's tests")
