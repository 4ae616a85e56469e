"""The READMEs say what is true: code runs; commands, options, links and names exist.

Python blocks of one README run in their order, in a folder of their own, with small data. Of the
lines for a shell those run that need neither a network nor minutes; the others are parsed.
"""

import functools
import importlib
import importlib.util
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import model_table
import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import kerascnn
from kerascnn import registry
from kerascnn.cli import app
from kerascnn.commands.groups import load_command

ROOT = Path(__file__).parent.parent
ROOMS = [
    *(
        f"kerascnn/{room}"
        for room in ("applications", "bench", "data", "explain", "training", "weights")
    ),
    *("plugins", "plugins/detection", "plugins/segmentation", "tuning"),
]
READMES = ["README.md", *(f"{room}/README.md" for room in ROOMS), "plugins/template/README.md"]
EXPERIMENTS = "tests/experiments/README.md"
PAGES = [*READMES, "kerascnn/README.md", "CONTRIBUTING.md", "tests/facts/README.md", EXPERIMENTS]
SECTIONS = ["Shortest use", "Options", "What can go wrong", "Figures"]
# Commands whose lines run here as they stand; `photos_and_runs` has what they name.
RUN = (
    "list",
    "info",
    "recipes",
    "compare",
    "draw",
    "data",
    "runs",
    "evaluate",
    "predict",
    "export",
)


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.M | re.S)


def lines(page):
    """What a reader would type: the lines of shell blocks, and phrases in backticks."""
    typed = "".join(blocks(page, "sh")).splitlines()
    prose = re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S)
    typed += re.findall(r"(?<!`)`([^`]+)`(?!`)", " ".join(prose.split()))
    for line in typed:
        for part in line.split(" | "):
            yield part.strip()


def commands(page):
    """The words behind each `kerascnn`; `launch` is followed by a command of its own."""
    for line in lines(page):
        if line.startswith("kerascnn "):
            words = shlex.split(line, comments=True)[1:]
            at = words.index("train") if words[0] == "launch" and "train" in words else len(words)
            yield from filter(None, (words[:at], words[at:]))


def test_the_table_of_networks_is_current():
    """`python tests/model_table.py` brings it up to date."""
    assert model_table.between(text("README.md")) == model_table.table()


def test_the_versions_are_those_of_pyproject():
    told = tomllib.loads(text("pyproject.toml"))["project"]["dependencies"]
    for name, package in {"TensorFlow": "tensorflow", "Keras": "keras"}.items():
        low, high = re.search(rf"{name} (\d+\.\d+) to (\d+\.\d+)", text("README.md")).groups()
        major, minor = high.split(".")
        bounds = rf"{package}>={low}(\.\d+)?,<{major}\.{int(minor) + 1}"
        assert [line for line in told if re.fullmatch(bounds, line)], (name, told)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_the_same_sections_in_the_same_order(room):
    found = re.findall(r"^## (.+)$", text(f"{room}/README.md"), re.M)
    assert found[: len(SECTIONS)] == SECTIONS


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERASCNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos_and_runs(home, photos, striped_run):
    """What the lines for the shell name."""
    for name in ("PHOTOS", "NEW", "photos", "more"):
        shutil.copytree(photos, name)
    for path in Path("more").rglob("*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
    for name in ("NAME", "A", "B"):
        shutil.copytree(striped_run.path, Path("runs", name))


@pytest.fixture
def short(monkeypatch):
    """What a README trains is a smaller network, for one epoch unless it says how many."""
    small = {"epochs": 1, "arguments": {"widths": (4, 8), "hidden": (16,)}, "record": False}
    monkeypatch.setattr(kerascnn, "train", functools.partial(kerascnn.train, **small))


SEGMENTATION = "plugins/segmentation/README.md"
DETECTION = "plugins/detection/README.md"
SLOW = {"tuning/README.md", SEGMENTATION, DETECTION}
HAS = {
    page: importlib.util.find_spec(f"kerascnn_{Path(page).parent.name}") is not None
    for page in (SEGMENTATION, DETECTION)
}
WITH_PYTHON = [
    pytest.param(page, marks=pytest.mark.slow if page in SLOW else ())
    for page in READMES
    if blocks(page, "python") and HAS.get(page, True)
]


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_the_python_of_a_readme_runs(page, home, short):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 32, 32, 1)).astype("float32")
    names = {"images": images, "labels": rng.integers(10, size=40)}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)


def test_code_of_other_kinds_can_be_read():
    tables = [block for page in READMES for block in blocks(page, "toml")]
    assert [list(tomllib.loads(block)) for block in tables] == [["project"]]
    kinds = {kind for page in PAGES for kind in re.findall(r"^```(\w*)\n", text(page), re.M)}
    assert kinds == {"", "sh", "python", "toml"}  # "" ends a block


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_exists(page):
    """Asked for its help, a command refuses options that it doesn't have."""
    for words in commands(page):
        answer = CliRunner().invoke(app, [*words, "--help"])
        assert answer.exit_code == 0, f"{page}: {words}\n{answer.output}{answer.exception}"


def options():
    """Every option of every command."""
    found = {"--help"}
    waiting = [
        load_command(registry.COMMANDS, name) for name in registry.entries(registry.COMMANDS)
    ]
    while waiting:
        command = waiting.pop()
        found |= {word for param in command.params for word in (*param.opts, *param.secondary_opts)}
        if hasattr(command, "list_commands"):
            context = typer.Context(command)
            names = command.list_commands(context)
            waiting += [command.get_command(context, name) for name in names]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_is_mentioned_exists(page):
    ours = re.sub(
        r"^(pip|iptables|python|docker) .*|`(pip|iptables|python|docker) [^`]*`",
        "",
        text(page),
        flags=re.M,
    )
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours))
    assert mentioned <= options()


# Of plugins': their own tests train a run that outlines or finds, and have images with masks.
OTHERS = re.compile(r"\b(RUN|STREETS)\b")
LINES = [
    pytest.param(
        line,
        id=line.split("#")[0].strip(),
        marks=pytest.mark.slow if line.startswith("kerascnn export") else (),
    )
    for page in READMES
    for line in "".join(blocks(page, "sh")).splitlines()
    if line.startswith(tuple(f"kerascnn {name} " for name in RUN)) and "allcnn" not in line
    if HAS.get(page, True) and (page not in HAS or not OTHERS.search(line))
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_for_the_shell_runs(line, photos_and_runs):
    answer = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
    assert answer.exit_code == 0, f"{answer.output}{answer.exception!r}"


def anchors(path):
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", text(page)):
        file, _, anchor = " ".join(target.split()).partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(path), f"{page}: {target}"


SOURCES = [
    path.relative_to(ROOT).as_posix()
    for folder in (
        *("kerascnn", "tuning/kerascnn_tuning", "plugins/template/kerascnn_template"),
        *(f"{Path(page).parent}/kerascnn_{Path(page).parent.name}" for page in HAS if HAS[page]),
    )
    for path in (ROOT / folder).rglob("*.py")
]


NAMES = re.compile(r"`(kerascnn(?:_tuning|_segmentation|_detection)?(?:\.[a-zA-Z]\w*)+)")


def test_every_name_that_is_mentioned_exists():
    """In READMEs, docstrings and comments."""
    groups = {value for value in vars(registry).values() if isinstance(value, str)}
    mentioned = {
        (name, page)
        for page in [*PAGES, *SOURCES]
        if HAS.get(page, True)
        for name in NAMES.findall(text(page))
    }
    assert len(mentioned) > 50
    assert [(n, page) for n, page in sorted(mentioned) if n not in groups and not resolves(n)] == []


def test_the_map_names_nothing_that_is_gone():
    """Its rooms are the matter of tests/test_rooms.py."""
    names = re.findall(r"`((?!kerascnn)[a-z]\w*(?:\.[a-zA-Z_]\w*)+)", text("kerascnn/README.md"))
    assert names
    assert [name for name in names if not resolves(f"kerascnn.{name}")] == []


def resolves(name):
    words = name.split(".")
    for count in range(len(words), 0, -1):
        try:
            found = importlib.import_module(".".join(words[:count]))
        except ModuleNotFoundError:
            continue
        return all((found := getattr(found, word, None)) is not None for word in words[count:])
    return False


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_mentioned_exists(page):
    mentioned = re.findall(r"`((?:kerascnn|tests|tuning|plugins)/[\w./-]+)", text(page))
    mentioned += re.findall(r"python (tests/[\w./-]+(?: tests/[\w./-]+)*)", text(page))
    for files in mentioned:
        for file in files.split():
            assert (ROOT / file).exists() or (ROOT / page).parent.joinpath(file).exists(), file


def test_make_has_every_target_that_is_mentioned_and_says_what_it_does():
    makefile = text("Makefile")
    explained = set(re.findall(r"^([a-z-]+):.*?## \w", makefile, re.M))
    assert explained == set(re.search(r"^\.PHONY: (.+)$", makefile, re.M)[1].split())
    typed = [line.split() for page in PAGES for line in lines(page)]
    mentioned = {words[1] for words in typed if words[:1] == ["make"] and words[1:]}
    assert {"demo", "test", "docs"} <= mentioned <= explained
