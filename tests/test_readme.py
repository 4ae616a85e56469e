"""The README says what is true: its table of networks is generated, its commands exist."""

import re
from pathlib import Path

import model_table

from kerascnn import registry

README = Path(__file__).parent.parent / "README.md"


def test_the_table_of_networks_is_current():
    """`python tests/model_table.py` brings it up to date."""
    assert model_table.between(README.read_text()) == model_table.table()


def test_every_command_it_mentions_exists():
    mentioned = set(re.findall(r"\bkerascnn ([a-z]+)\b", README.read_text()))
    known = set(registry.entries(registry.COMMANDS))
    commands = {word for word in mentioned if word in known}
    assert {"train", "list", "info", "evaluate", "predict"} <= commands
    assert mentioned - known <= {"is", "and", "to", "builds", "trains", "runs", "names"}
