"""What a card states is recomputed, for every variant and the tiny ones."""

import pytest
import tiny
from facts import FACTS

import kerascnn
from kerascnn.cost import Cost

OURS = map(kerascnn.get, kerascnn.list_architectures(provider="kerascnn"))
VARIANTS = {variant.name: variant for variant in (*OURS, *tiny.ALL.values())}


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
