"""One declaration of each argument: types, legality, messages, what a search draws."""

import random

import numpy as np
import pytest

import kerascnn
from kerascnn import Param, Range, Space
from kerascnn.errors import ArgumentError

WIDTHS = Param(name="widths", default=(8, 16), search=Range(4, 32, step=4), legal=Range(1, 64))
KERNEL = Param(name="kernel", default=3, search=(3, 5, 7), legal=Range(1, 15))
RATE = Param(name="rate", default=0.5, search=Range(0.0, 0.8), legal=Range(0.0, 0.9))
SCALE = Param(name="scale", default=0.1, search=Range(1e-3, 1.0, log=True))
KIND = Param(name="kind", default="avg", search=("avg", "max"))
FLAG = Param(name="flag", default=True)
FREE = Param(name="free", default=7)


def no_wide_kernels(values):
    if values["kernel"] == 7 and max(values["widths"]) > 16:
        return "a kernel of 7 with more than 16 maps is too much."
    return None


@pytest.fixture
def space():
    params = (WIDTHS, KERNEL, RATE, SCALE, KIND, FLAG, FREE)
    return Space(params, (no_wide_kernels,))


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("widths", [4, 5, 6], (4, 5, 6)),
        ("widths", (np.int64(4),), (4,)),
        ("kernel", np.int32(5), 5),
        ("rate", 0, 0.0),
        ("rate", np.float32(0.25), 0.25),
        ("kind", "max", "max"),
        ("flag", False, False),
        ("free", -3, -3),
    ],
)
def test_legal_values_get_the_type_of_the_default(space, name, given, kept):
    found = space.validate({name: given}, owner="net")[name]
    assert found == kept
    assert type(found) is type(kept)
    assert not isinstance(kept, tuple) or all(type(item) is int for item in found)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("widths", 8, "a sequence, each an integer from 1 to 64"),
        ("widths", "88", "a sequence, each an integer from 1 to 64"),
        ("widths", (), "a sequence"),
        ("widths", (8, 65), "from 1 to 64"),
        ("widths", (8, 2.5), "an integer"),
        ("kernel", 0, "an integer from 1 to 15"),
        ("kernel", 3.0, "an integer"),
        ("kernel", True, "an integer"),
        ("kernel", None, "an integer"),
        ("rate", 0.95, "a number from 0 to 0.9"),
        ("rate", float("nan"), "a number"),
        ("rate", True, "a number"),
        ("kind", "sum", "one of 'avg', 'max'"),
        ("flag", 1, "True or False"),
    ],
)
def test_wrong_values_say_what_was_expected_and_received(space, name, given, expected):
    with pytest.raises(ArgumentError) as error:
        space.validate({name: given}, owner="net")
    message = str(error.value)
    assert message.startswith(f"net: {name} must be ")
    assert expected in message
    assert f"Received: {given!r}." in message


def test_an_unknown_argument_lists_the_legal_ones(space):
    with pytest.raises(ArgumentError, match="no argument 'width'") as error:
        space.validate({"width": 3}, owner="net")
    assert all(param.name in str(error.value) for param in space)


def test_rules_refuse_combinations_before_anything_is_built(space):
    with pytest.raises(ArgumentError, match=r"net: a kernel of 7 with more than 16 maps"):
        space.validate({"kernel": 7, "widths": (8, 32)}, owner="net")
    assert space.validate({"kernel": 7, "widths": (8, 16)}, owner="net")["kernel"] == 7


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ((KERNEL, KERNEL), "declared twice"),
        ((Param(name="a", default=1, when=("b", (2,))), FREE), "declare its parent 'b'"),
        ((Param(name="a", default=20, legal=Range(1, 10)),), "from 1 to 10. Received: 20"),
        ((Param(name="a", default=(1, 20), legal=Range(1, 10)),), "from 1 to 10"),
        ((Param(name="a", default=1, search=(1, 20), legal=Range(1, 10)),), "Received: 20"),
        ((Param(name="a", default=1, search=Range(1, 20), legal=Range(1, 10)),), "Received: 20"),
        ((Param(name="a", default="x", search=("y", "z")),), "Received: 'x'"),
    ],
)
def test_a_contradictory_declaration_is_refused(params, reason):
    with pytest.raises(ValueError, match=reason):
        Space(params)


def test_a_range_needs_its_low_end_first():
    with pytest.raises(ValueError, match="low <= high"):
        Range(2, 1)


def test_variants_defaults(space):
    other = space.with_defaults({"widths": (1, 2, 3)}, owner="net")
    assert other["widths"].default == (1, 2, 3)
    assert space["widths"].default == (8, 16), "the family's space is left alone"
    assert other.rules == space.rules
    with pytest.raises(ArgumentError, match="net: widths"):
        space.with_defaults({"widths": (0,)}, owner="net")


def test_per_stage_tuples_become_scalars_and_back(space):
    names = [scalar.name for scalar in space.scalars()]
    assert names == ["widths_1", "widths_2", "kernel", "rate", "scale", "kind", "flag", "free"]
    assert space.assemble({}) == space.defaults()
    assert space.assemble({"widths_2": 20, "kernel": 5})["widths"] == (8, 20)


def test_samples_are_searched_values_and_cover_them(space):
    rng = random.Random(0)
    samples = [space.sample(rng) for _ in range(500)]
    assert {width for s in samples for width in s["widths"]} == set(range(4, 33, 4))
    assert {s["kernel"] for s in samples} == {3, 5, 7}
    assert {s["kind"] for s in samples} == {"avg", "max"}
    assert {(s["flag"], s["free"]) for s in samples} == {(True, 7)}, "not searched: the default"
    assert all(0 <= s["rate"] <= 0.8 for s in samples)
    small = sum(s["scale"] < 10**-1.5 for s in samples)
    assert 200 < small < 300, "a logarithmic range has half of its values below the middle"
    for s in samples:
        types = {name: type(value) for name, value in s.items()}
        assert types == {name: type(value) for name, value in space.defaults().items()}


def test_a_default_outside_the_searched_values_is_searched_too(space):
    """A variant's values are where its search begins, however unusual they are."""
    variant = space.with_defaults({"widths": (8, 33), "kernel": 11, "rate": 0.9}, owner="net")
    found = {scalar.name: scalar for scalar in variant.scalars()}
    assert found["widths_1"].searched_values() == tuple(range(4, 33, 4))
    assert found["widths_2"].searched_values() == (*range(4, 33, 4), 33)
    assert found["kernel"].searched_values() == (3, 5, 7, 11)
    assert (found["rate"].search.low, found["rate"].search.high) == (0.0, 0.9), "a continuum widens"
    samples = [variant.sample(random.Random(seed)) for seed in range(300)]
    assert {s["kernel"] for s in samples} == {3, 5, 7, 11}
    assert {type(s["widths"][1]) for s in samples} == {int}
    assert 33 in {s["widths"][1] for s in samples}
    assert max(s["rate"] for s in samples) > 0.8
    assert variant.narrow(choose={"kernel": [3, 5]})["kernel"].searched_values() == (3, 5)


def test_every_architectures_search_can_visit_its_own_network():
    for name in kerascnn.list_architectures():
        for scalar in kerascnn.get(name).space.scalars():
            values = scalar.searched_values()
            assert scalar.default in (scalar.search if values is None else values), name


def test_the_same_seed_draws_the_same(space):
    assert space.sample(random.Random(3)) == space.sample(random.Random(3))


def test_size_counts_configurations():
    assert Space((WIDTHS, KERNEL, KIND, FLAG)).size() == 8 * 8 * 3 * 2
    assert Space((KERNEL, RATE)).size() == float("inf")


def test_narrow(space):
    narrow = space.narrow(
        fix={"kind": "max"}, choose={"widths": [8, 12]}, ranges={"rate": (0.6, 0.7)}
    )
    samples = [narrow.sample(random.Random(seed)) for seed in range(100)]
    assert {s["kind"] for s in samples} == {"max"}
    assert {width for s in samples for width in s["widths"]} == {8, 12}
    assert all(0.6 <= s["rate"] <= 0.7 for s in samples)
    assert narrow["widths"].default == (8, 8), "a default outside moves inside"
    assert narrow["rate"].default == 0.6
    assert narrow.validate({"widths": (64,)}, owner="net"), "what is legal stays legal"
    assert narrow.fingerprint() != space.fingerprint()
    assert space["kind"].default == "avg"


def test_a_range_of_listed_values_keeps_those_inside(space):
    assert space.narrow(ranges={"kernel": (3, 6)})["kernel"].search == (3, 5)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"fix": {"width": 3}}, "no argument 'width'"),
        ({"fix": {"kernel": 99}}, "kernel must be an integer from 1 to 15"),
        ({"choose": {"kernel": []}}, "a list that isn't empty"),
        ({"choose": {"kind": "max"}}, "Received: 'max'"),
        ({"choose": {"kind": ["sum"]}}, "one of 'avg', 'max'"),
        ({"ranges": {"kind": (1, 2)}}, "no number"),
        ({"ranges": {"flag": (0, 1)}}, "no number"),
        ({"ranges": {"rate": (0.7, 0.6)}}, "empty"),
        ({"ranges": {"kernel": (8, 9)}}, "empty"),
        ({"ranges": {"widths": (0, 8)}}, "from 1 to 64"),
        ({"fix": {"kernel": 3}, "choose": {"kernel": [3, 5]}}, "only one"),
        ({"fix": {"kernel": 7, "widths": (32, 32)}}, "too much"),
    ],
)
def test_narrow_refuses(space, arguments, reason):
    with pytest.raises(ArgumentError, match=reason):
        space.narrow(**arguments)


def test_the_fingerprint_is_the_declarations(space):
    assert space.fingerprint() == Space(space.params, space.rules).fingerprint()
    for change in ({"widths": (8, 20)}, {"kind": "max"}):
        assert space.with_defaults(change, owner="").fingerprint() != space.fingerprint()


PER_WIDTH = Param("kernels", (3, 3), (3, 5), legal=Range(1, 9), per="widths", formerly="kernel")


@pytest.fixture
def by_stage():
    """As many kernels as widths; the argument was a single `kernel` once."""
    return Space((Param("widths", (8, 16), legal=Range(1, 64)), PER_WIDTH))


@pytest.mark.parametrize(
    ("arguments", "kernels"),
    [
        ({}, (3, 3)),
        ({"kernels": 5}, (5, 5)),
        ({"kernels": [5, 3]}, (5, 3)),
        ({"widths": (4, 8, 8)}, (3, 3, 3)),
        ({"widths": (4, 8, 8), "kernels": 5}, (5, 5, 5)),
        ({"kernels": 5, "widths": (4,)}, (5,)),
        ({"kernel": 5}, (5, 5)),
        ({"kernel": np.int64(5), "widths": (4, 8, 8)}, (5, 5, 5)),
    ],
)
def test_one_value_counts_for_all_stages_and_a_former_name_is_understood(
    by_stage, arguments, kernels
):
    assert by_stage.validate(arguments, owner="net")["kernels"] == kernels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernels": (3, 3, 3)}, r"kernels needs 2 values, one for each of widths"),
        ({"kernels": 11}, r"integer from 1 to 9, or a sequence of such.*Received: 11\."),
        ({"kernels": (3, 11)}, r"Received: \(3, 11\)"),
        ({"kernel": "3"}, r"kernels must be .*Received: '3'"),
        ({"kernels": None}, r"Received: None"),
        ({"kernels": ()}, r"Received: \(\)"),
        ({"kernels": True}, r"Received: True"),
        ({"kernel": 3, "kernels": 3}, r"kernels was formerly called kernel: give one of them"),
        ({"kernels": 3, "kernel": 3}, r"kernels was formerly called kernel: give one of them"),
    ],
)
def test_a_wrong_number_of_values_or_both_names_are_refused(by_stage, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        by_stage.validate(arguments, owner="net")


def test_a_variants_differing_kernels_are_not_stretched_to_other_stages(by_stage):
    mixed = by_stage.with_defaults({"kernels": (5, 3)}, owner="net")
    with pytest.raises(ArgumentError, match=r"kernels needs 3 values.*Received: \(5, 3\)"):
        mixed.validate({"widths": (4, 8, 8)}, owner="net")
    assert mixed.validate({"widths": (4, 8, 8), "kernels": 5}, owner="net")["kernels"] == (5, 5, 5)


def test_a_search_gives_each_stage_its_kernel_also_where_the_stages_are_others(by_stage):
    found = by_stage.narrow(fix={"widths": (4, 8, 8)}, choose={"kernel": (3, 7)})
    scalars = {p.name: p for p in found.scalars()}
    assert [name for name in scalars if name.startswith("kernels")] == [
        *("kernels_1", "kernels_2", "kernels_3")
    ]
    assert scalars["kernels_3"].searched_values() == (3, 7)
    assert by_stage.narrow(fix={"kernel": 5})["kernels"].default == (5, 5)


def test_what_an_argument_follows_is_declared_before_it():
    with pytest.raises(ValueError, match=r"declare its parent 'widths' before it"):
        Space((PER_WIDTH, Param("widths", (8, 16))))


def test_arguments_are_read_from_text(space):
    """A sequence where there is a comma or one is meant; text stays as it is written."""
    text = Space((*space.params, Param("words", "")))
    written = ["widths=12,32", "kernel=5", "rate=.3", "flag=false", "kind=max", "other=1"]
    assert text.read([*written, "words=a=1,2 b=3"], what="--set") == {
        "widths": (12, 32),
        "kernel": 5,
        "rate": 0.3,
        "flag": False,
        "kind": "max",
        "other": 1,
        "words": "a=1,2 b=3",
    }
    assert space.read(["widths=12"], what="--set") == {"widths": (12,)}
    for wrong in ("widths", "widths=", "=3", ""):
        with pytest.raises(ArgumentError, match=f"--set must be argument=value.*{wrong!r}"):
            space.read([wrong], what="--set")
