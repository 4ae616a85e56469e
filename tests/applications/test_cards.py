"""What a card states is recomputed, for every variant and the tiny ones."""

import importlib

import pytest
from facts import FACTS

from kerascnn import applications
from kerascnn.architecture import Architecture
from kerascnn.cost import Cost

FAMILIES = [
    importlib.import_module(f"kerascnn.applications.{name}") for name in applications._MODULES
]
VARIANTS = {
    value.name: value
    for family in FAMILIES
    for value in vars(family).values()
    if isinstance(value, Architecture)
}


@pytest.mark.parametrize("name", VARIANTS)
def test_card_tells_the_costs_and_the_smallest_input(name):
    architecture = VARIANTS[name]
    card = architecture.card
    assert card.smallest_input or name.startswith("tiny_")
    if card.smallest_input:
        side = architecture.network(include_top=False).smallest_input()
        assert card.smallest_input == (side, side)
    if fact := FACTS.get(name):
        expected = Cost(fact.params, fact.macs)
        assert Cost(card.params, card.macs) == expected == architecture.cost()
