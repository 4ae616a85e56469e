"""The README says what is true: its table of networks is generated, its commands exist."""

import importlib.util
import re
from pathlib import Path

from kerascnn import registry

README = Path(__file__).parent.parent / "README.md"


def model_table():
    spec = importlib.util.spec_from_file_location(
        "model_table", Path(__file__).with_name("model_table.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_networks_is_current():
    """`python tests/model_table.py` brings it up to date."""
    module = model_table()
    assert module.between(README.read_text()) == module.table()


def test_every_command_it_mentions_exists():
    mentioned = set(re.findall(r"\bkerascnn ([a-z]+)\b", README.read_text()))
    known = set(registry.entries(registry.COMMANDS))
    commands = {word for word in mentioned if word in known}
    assert {"train", "list", "info", "evaluate", "predict"} <= commands
    assert mentioned - known <= {"is", "and", "to", "builds", "trains", "runs", "names"}
