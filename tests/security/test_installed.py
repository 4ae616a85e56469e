"""What is installed may be broken: that is said, and the rest works."""

import os
import subprocess
import sys

POINTS = b"""[kerascnn.commands]
leaver = leaver_of_a_test:command
[kerascnn.recipes]
leaving = leaver_of_a_test:RECIPE
[kerascnn.architectures]
leaving_net = leaver_of_a_test:NET
"""
METADATA = b"Name: leaver\nVersion: 1.0\n"


def call(place, *words):
    environment = {**os.environ, "PYTHONPATH": str(place), "COLUMNS": "200",
        "KERASCNN_CACHE": str(place / "cache")}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "kerascnn", *words], env=environment, capture_output=True, text=True
    )


def install(place, name="leaver", *, points=POINTS, metadata=METADATA):
    info = place / f"{name}-1.0.dist-info"
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


DAMAGED = {
    "without": (POINTS, None),
    "of_bytes": (POINTS, b"\xff\xfe\x00broken"),
    "empty": (POINTS, b""),
    "points_of_bytes": (b"[kerascnn.commands\nleaver = \xff\n", METADATA),
}


def test_distributions_whose_metadata_are_damaged_hide_no_other(tmp_path):
    for name, (points, metadata) in DAMAGED.items():
        install(tmp_path, name, points=points, metadata=metadata)
    install(tmp_path, "no_section", points=b"kerascnn no section")
    done = call(tmp_path, "list")
    assert done.returncode == 0, done.stderr
    assert "lenet5" in done.stdout
    assert "Traceback" not in done.stderr
    for name in DAMAGED:
        assert f"{name}-1.0.dist-info can't be read" in done.stderr.replace("\n", "")
