"""What the room exports is what one gets, whichever of its modules was imported before."""

import importlib
import inspect
import pkgutil

from kerascnn import explain


def test_no_module_hides_the_function_of_its_name():
    """Importing a module puts it into its package under its name, over what the package offers."""
    for module in pkgutil.iter_modules(explain.__path__):
        importlib.import_module(f"kerascnn.explain.{module.name}")
    assert [name for name in explain.__all__ if inspect.ismodule(getattr(explain, name))] == []
