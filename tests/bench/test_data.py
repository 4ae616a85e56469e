"""The benchmark of the input pipeline: like photographs, and the same work on both sides."""

import pytest
from PIL import Image

from kerascnn.bench import data


def test_files_are_like_photographs(tmp_path):
    """40 to 90 kB, as a photograph of this size and quality: noise would take 150, a plane 5."""
    data.write_photographs(tmp_path, 4)
    paths = sorted(tmp_path.rglob("*.jpg"))
    assert [path.parent.name for path in paths] == ["even"] * 2 + ["odd"] * 2
    for path in paths:
        assert 40_000 < path.stat().st_size < 90_000
        with Image.open(path) as image:
            assert image.size == (500, 375)


@pytest.mark.slow
def test_both_pipelines_are_measured():
    ours, keras = data.measure(images=64, rounds=1)
    assert (ours.name, keras.name) == ("kerascnn", "keras.utils and layers")
    assert keras.ratio == 1
    assert ours.ratio == pytest.approx(ours.images_per_second / keras.images_per_second)
    assert min(ours.peak_memory, keras.peak_memory) > 2**20
