"""What grows is measured on real networks and folders; the exponent is that of a power law."""

import pytest

from kerascnn.bench import growth
from kerascnn.commands import bench_costs
from kerascnn.errors import ArgumentError, KerascnnError


@pytest.mark.parametrize("exponent", [0, 0.5, 1, 2])
def test_the_exponent_of_a_power_law_is_found(exponent):
    sizes = (20, 56, 110, 1202)
    assert growth.slope(sizes, [3 * n**exponent for n in sizes]) == pytest.approx(exponent)


def test_there_is_no_exponent_of_nothing():
    assert growth.slope((1, 2), (0, 5)) is None


@pytest.mark.parametrize(("kind", "size"), [("depth", 8), ("files", 30)])
def test_every_part_is_done_and_counted(kind, size, tmp_path):
    parts, _ = growth.KINDS[kind]
    found = growth._counted(parts(size, tmp_path))
    names = [what for what, _, _ in found]
    assert len(set(names)) == len(names) > 2
    assert all(seconds > 0 and memory >= 0 for _, seconds, memory in found)
    assert any(tmp_path.iterdir())


def test_what_has_no_memory_or_fails_says_so(tmp_path):
    with pytest.raises(KerascnnError, match=r"depth of 3 ended with code 1:\n[\s\S]*depths"):
        growth.measure("depth", (3, 9))


@pytest.mark.parametrize(("kind", "sizes"), [("width", None), ("depth", "20"), ("files", "9,8")])
def test_what_cannot_grow_is_refused(kind, sizes):
    with pytest.raises(ArgumentError):
        bench_costs.growth(kind, sizes=sizes, json=False)
