"""What is installed may be broken: that is said, and the rest works."""

import os
import subprocess
import sys

import pytest

POINTS = b"""[kerascnn.commands]
leaver = leaver_of_a_test:command
[kerascnn.recipes]
leaving = leaver_of_a_test:RECIPE
[kerascnn.architectures]
leaving_net = leaver_of_a_test:NET
"""


def call(place, *words):
    environment = {**os.environ, "PYTHONPATH": str(place), "COLUMNS": "200",
        "KERASCNN_CACHE": str(place / "cache")}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "kerascnn", *words], env=environment, capture_output=True, text=True
    )


def install(place, *, points=POINTS, metadata=b"Name: leaver\nVersion: 1.0\n"):
    info = place / "leaver-1.0.dist-info"
    info.mkdir(parents=True)
    if metadata is not None:
        (info / "METADATA").write_bytes(metadata)
    (info / "entry_points.txt").write_bytes(points)
    (place / "leaver_of_a_test.py").write_text("import sys\nsys.exit(3)\n")


def test_a_plugin_that_exits_at_import_is_reported_and_the_rest_works(tmp_path):
    install(tmp_path)
    for words, said in (
        (("--help",), "leaver"),
        (("list",), "ended Python with status 3"),
        (("recipes", "alexnet"), ""),
    ):
        done = call(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert said in done.stderr
    for words in (("leaver",), ("recipes", "leaving"), ("info", "leaving_net")):
        done = call(tmp_path, *words)
        assert done.returncode == 1
        assert "leaver 1.0 is broken" in done.stderr
        assert "its import ended Python with status 3" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("points", "metadata"),
    [
        (POINTS, None),
        (POINTS, b"\xff\xfe\x00broken"),
        (POINTS, b""),
        (b"[kerascnn.commands\nleaver = \xff\n", b"Name: leaver\nVersion: 1.0\n"),
        (b"kerascnn no section", b"Name: leaver\nVersion: 1.0\n"),
    ],
    ids=["no metadata", "metadata of bytes", "empty metadata", "points of bytes", "no points"],
)
def test_a_distribution_whose_metadata_is_damaged_hides_no_other(tmp_path, points, metadata):
    install(tmp_path, points=points, metadata=metadata)
    done = call(tmp_path, "list")
    assert done.returncode == 0, done.stderr
    assert "lenet5" in done.stdout
    assert "Traceback" not in done.stderr
    if "no section" not in points.decode(errors="replace"):
        assert "leaver-1.0.dist-info can't be read" in done.stderr.replace("\n", "")
