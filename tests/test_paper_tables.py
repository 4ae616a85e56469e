"""The papers' own tables: what they print is ours, or a note says why it isn't."""

import re

import pytest
from facts import FACTS

import kerascnn
from kerascnn.card import Claim, PaperRow, PaperTable
from kerascnn.keras_internals import without_values
from kerascnn.paper_tables import Printed, Sizes, beside, check

CARDS = {name: kerascnn.get(name).card for name in kerascnn.list_architectures(provider="kerascnn")}
DEEP = 60  # layers; of a deeper network the profile takes seconds


def marked(names):
    """The names, the deep ones marked as slow."""
    found = []
    for name in names:
        depth = max(map(int, re.findall(r"\d+", name)), default=0)
        deep = DEEP < depth < 1998 and name != "densenetbc100_k12_cifar"
        found.append(pytest.param(name, marks=[pytest.mark.slow] if deep else []))
    return found


WITH_TABLE = [name for name, card in CARDS.items() if card.table]
WITH_ROWS = [name for name in WITH_TABLE if CARDS[name].table.rows]
WITH_CLAIMS = [name for name, card in CARDS.items() if card.claims]


@pytest.fixture(scope="module")
def profiled():
    """Name → profile of the network as it is in the paper, each built once and without values."""
    found = {}

    def of(name):
        if name not in found:
            with without_values():
                found[name] = kerascnn.profile(kerascnn.get(name)())
        return found[name]

    return of


@pytest.mark.parametrize(
    ("text", "is_it", "is_not"),
    [
        ("2.7K", (2650, 2700, 2799), (2649, 2800, 9408)),
        ("60M", (59_500_000, 60_965_224), (59_499_999, 61_000_000)),
        ("3.8B", (3_857_973_248,), (3_900_000_000,)),
        ("60,000", (60_000,), (60_001, 59_999)),
        ("1%", (0.0051, 0.0149, 0.0199), (0.02, 0.0049)),
        ("12", (11.5, 12, 12.9), (8.7, 13)),
    ],
)
def test_a_printed_number_is_ours_if_it_is_rounded_or_cut_off_to_it(text, is_it, is_not):
    printed = Printed(text)
    assert all(printed.is_of(count) for count in is_it)
    assert not any(printed.is_of(count) for count in is_not)


def test_a_k_may_be_1024():
    assert Printed("112K", 1024).is_of(114_944)
    assert not Printed("112K").is_of(114_944)
    with pytest.raises(ValueError, match="Received: 'many'"):
        Printed("many")


@pytest.mark.parametrize("name", marked(WITH_TABLE))
def test_a_paper_s_table_fits_what_is_built_or_says_why_not(name, profiled):
    table = CARDS[name].table
    lines = beside(table, profiled(name))
    wrong = [line.layer for line in lines if line.differs and not (line.note or table.note)]
    assert wrong == [], "these differ, and no note says why"
    idle = [line.layer for line in lines if line.note and not line.differs]
    assert idle == [], "these don't differ, and have a note"
    assert [row.layer for row, line in zip(table.rows, lines) if row.ours and not line.layers] == []


@pytest.mark.parametrize("name", marked(WITH_ROWS))
def test_the_lines_of_a_table_have_all_layers_with_parameters_once(name, profiled):
    profile = profiled(name)
    lines = beside(CARDS[name].table, profile)[:-1]
    told = [layer for line in lines for layer in line.layers]
    rest = {layer.name for layer in profile.layers if layer.params} - set(told)
    assert rest <= {"bn", "post_bn"}, "a normalization at the end, which no table has"
    assert len(told) == len(set(told))


def test_the_layers_of_vgg_are_those_of_table_1(profiled):
    for name in ("vgg11_lrn", "vgg16_c", "vgg19"):
        for line in beside(CARDS[name].table, profiled(name)):
            if found := re.fullmatch(r"conv(\d)-(\d+)", line.layer):
                layer = profiled(name)[line.layers[0]]
                assert layer.kernel == (int(found[1]),) * 2
                assert layer.output_shape[-1] == int(found[2])


def test_the_connections_of_lenet_are_those_of_the_facts():
    table = kerascnn.get("lenet5_1998").card.table
    told = {row.layer: int(row.operations.replace(",", "")) for row in table.rows}
    facts = dict(FACTS["lenet5_1998"].connections)
    assert told.pop("output") == facts.pop("RBF")
    assert facts.pop("total") == 340_908 == sum(told.values()) + 840
    assert told == facts


def test_only_the_line_that_differs_is_marked(profiled):
    table = PaperTable(
        source="",
        rows=(
            PaperRow("C1", ("conv1",), (28, 28, 6), params="156"),
            PaperRow("C3", ("conv2",), (10, 10), params="1,516", note="a table of connections"),
            PaperRow("S2", ("pool1",), (15, 15, 6)),
        ),
        params="61K",
    )
    lines = beside(table, profiled("lenet5"))
    assert [line.differs for line in lines] == [False, True, True, False]
    assert lines[1].params.ours == 2416
    assert lines[1].operations.ours == 240_000


# --- Claims ----------------------------------------------------------------------------------


def test_what_gives_googlenets_twelve_and_what_it_really_is(profiled):
    googlenet, alexnet = (
        Sizes.of(profiled(name), kerascnn.get(name).card.table) for name in ("googlenet", "alexnet")
    )
    fewer, adds = kerascnn.get("googlenet").card.claims
    found = check(fewer, googlenet, alexnet)
    assert not found.agrees
    assert found.tables == "60.0 M / 6.80 M = 8.83"
    assert found.counted == "60,965,224 / 6,998,552 = 8.71"
    without_head = profiled("googlenet").params - profiled("googlenet")["logits"].params
    assert f"{without_head / 1e6:.2f} M" in fewer.note
    assert f"gives {alexnet.params / without_head:.1f}." in fewer.note
    assert f"{alexnet.params / 12 / 1e6:.1f} M" in fewer.note
    found = check(adds, googlenet)
    assert (found.agrees, found.tables, found.counted) == (True, "1.50 B", "1,582,671,872")


@pytest.mark.parametrize("name", marked(WITH_CLAIMS))
def test_a_claim_is_true_or_its_note_says_what_is(name, profiled):
    card = CARDS[name]
    for claim in card.claims:
        other = None
        if claim.network:
            cost = kerascnn.get(claim.network).cost()
            other = Sizes(cost.params, cost.macs)
        found = check(claim, Sizes.of(profiled(name), card.table), other)
        assert found.agrees or claim.note, f"{claim.says}: {found.counted}"


def test_a_claim_must_be_one_that_can_be_checked():
    with pytest.raises(ValueError, match="needs one of params, macs"):
        Claim(says="deep", value="22", quantity="depth", source="")
    with pytest.raises(ValueError, match="names the network"):
        Claim(says="fewer", value="12", quantity="params", form="ratio", source="")


def test_a_variant_of_a_users_own_has_no_table_of_the_paper():
    own = kerascnn.get("alexnet").variant("narrow", widths=(8, 8, 8, 8, 8))
    assert own.card.table is None
    assert own.card.claims == ()
