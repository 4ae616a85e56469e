"""Discovery with real, installed, throw-away distributions, each in the state it stands for."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import kerascnn
from kerascnn import errors, registry

ROOT = Path(kerascnn.__file__).parents[1]

MODULE = """
import os
with open(os.environ["IMPORT_LOG"], "a") as log:
    log.write(__name__ + "\\n")
print("a plugin that prints while it is imported")
"""
NETWORK = """
from kerascnn import Architecture, Card

def build(x):
    from keras import layers
    return layers.Conv2D(4, 3, name="conv1")(x)

def network(name, task="classification"):
    return Architecture(name=name, build=build, task=task, card=Card(
        title="A net", authors="Nobody", year=2000, link="doi:10.0/0", input_shape=(8, 8, 1),
        classes=2, params=None, macs=None, smallest_input=(3, 3)))
"""
# distribution → (version, module's text, entry points)
PLUGINS = {
    "throwaway-good": ("1.0", NETWORK + 'Net = network("good_net")', {"good_net": "Net"}),
    "throwaway-broken": ("2.1", "import a_module_that_is_missing", {"broken_net": "Net"}),
    "throwaway-crash": ("0.3", "os._exit(3)", {"crash_net": "Net"}),
    "throwaway-twin-a": ("4.0", NETWORK + 'Net = network("twin_net")', {"twin_net": "Net"}),
    "throwaway-twin-b": ("5.0", NETWORK + 'Net = network("twin_net")', {"twin_net": "Net"}),
    "throwaway-wrong": (
        "6.0",
        NETWORK + 'Net = network("another_name")\nnumber = 7',
        {"misnamed_net": "Net", "number_net": "number"},
    ),
    "throwaway-counting": (
        "8.0",
        NETWORK + 'Net = network("counting_net", task="counting")',
        {"counting_net": "Net"},
    ),
    "throwaway-command": ("7.0", "import a_module_that_is_missing", {}),
}


def write_project(folder: Path, name: str) -> None:
    version, module, points = PLUGINS[name]
    package = name.replace("-", "_")
    group = "kerascnn.architectures"
    if name == "throwaway-command":
        group, points = "kerascnn.commands", {"broken-command": "main"}
    lines = "\n".join(f'{key} = "{package}:{value}"' for key, value in points.items())
    folder.mkdir()
    (folder / f"{package}.py").write_text(MODULE + module)
    (folder / "pyproject.toml").write_text(
        textwrap.dedent(f"""
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "{name}"
        version = "{version}"
        [tool.hatch.build.targets.wheel]
        include = ["{package}.py"]
        [project.entry-points."{group}"]
        """)
        + lines
    )


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """A directory into which pip has installed all of PLUGINS."""
    work = tmp_path_factory.mktemp("plugins")
    for name in PLUGINS:
        write_project(work / name, name)
    target = work / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "--target", str(target), *(str(work / name) for name in PLUGINS)], check=True
    )
    return target


class Runner:
    """Runs a fresh Python that sees the plugins; `.imports()` says which modules were imported."""

    def __init__(self, plugins, folder):
        self.plugins, self.log, self.cache = plugins, folder / "imports.log", folder / "cache"

    def __call__(self, *arguments, check=True, **environment):
        env = {
            **os.environ,
            "PYTHONPATH": str(self.plugins),
            "KERASCNN_CACHE": str(self.cache),
            "IMPORT_LOG": str(self.log),
            "COLUMNS": "200",
            **environment,
        }
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=check)

    def list(self, *arguments, **environment):
        return self("-m", "kerascnn", "list", *arguments, **environment)

    def get(self, name):
        code = f"import kerascnn; print(kerascnn.get({name!r}).name)"
        return self("-c", code, check=False)

    def imports(self):
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def python(plugins, tmp_path):
    """A Runner that has asked no plugin yet."""
    return Runner(plugins, tmp_path)


@pytest.fixture(scope="module")
def asked(plugins, tmp_path_factory):
    """What is remembered of the plugins when all have been imported once."""
    runner = Runner(plugins, tmp_path_factory.mktemp("asked"))
    runner.list()
    return runner.cache


@pytest.fixture
def remembering(python, asked):
    """A Runner that remembers."""
    shutil.copytree(asked, python.cache)
    return python


def status(listing):
    return {(row["name"], row["provider"]): row["status"] for row in json.loads(listing.stdout)}


def test_list_shows_the_state_of_every_plugin(python):
    listing = python.list("--json")
    found = status(listing)
    assert found["lenet5", "kerascnn"] == "ok"
    assert found["good_net", "throwaway-good"] == "ok"
    assert found["broken_net", "throwaway-broken"] == "broken"
    assert found["crash_net", "throwaway-crash"] == "broken"
    assert found["misnamed_net", "throwaway-wrong"] == "broken"
    assert found["number_net", "throwaway-wrong"] == "broken"
    assert found["twin_net", "throwaway-twin-a"] == "conflict"
    assert found["twin_net", "throwaway-twin-b"] == "conflict"


def test_list_shows_what_each_network_is_for(remembering):
    rows = json.loads(remembering.list("--json").stdout)
    tasks = {row["name"]: row["task"] for row in rows}
    assert tasks["lenet5"] == tasks["good_net"] == tasks["twin_net"] == "classification"
    assert tasks["counting_net"] == "counting"
    assert tasks["broken_net"] == "", "nobody knows"

    listing = remembering.list("--task", "counting")
    assert [line.split()[:2] for line in listing.stdout.splitlines()] == [
        ["name", "task"],
        ["counting_net", "counting"],
    ]
    assert "throwaway-broken 2.1" in listing.stderr, "what is missed may be one of the broken"
    wrong = remembering.list("--task", "countin", check=False)
    assert wrong.returncode != 0
    assert "There is no task 'countin'. Did you mean counting" in wrong.stderr


def test_the_task_of_each_of_our_own_is_the_one_that_list_shows_without_importing_it():
    ours = registry.names(registry.ARCHITECTURES, provider="kerascnn")
    assert {kerascnn.get(name).task for name in ours} == {kerascnn.Architecture.task}


def test_list_warns_naming_distribution_version_and_cause(remembering):
    warnings = remembering.list().stderr
    assert "throwaway-broken 2.1" in warnings
    assert "No module named 'a_module_that_is_missing'" in warnings
    assert "throwaway-crash 0.3" in warnings
    assert "status 3" in warnings
    assert "throwaway-twin-a 4.0 and throwaway-twin-b 5.0" in warnings
    assert "throwaway-good" not in warnings


def test_the_verdicts_are_remembered_until_something_changes(python, plugins):
    python.list()
    first = python.imports()
    assert first.count("throwaway_broken") == 1
    python.list()  # this one may ask again: the imports made a __pycache__
    settled = python.imports()
    again = python.list("--json")
    assert python.imports() == settled, "nothing changed, yet plugins were imported again"
    assert status(again)["broken_net", "throwaway-broken"] == "broken"

    os.utime(plugins / "throwaway_broken.py")
    python.list()
    assert python.imports()[len(settled) :] == ["throwaway_broken"]

    settled = python.imports()
    (plugins / "newly_installed").mkdir(exist_ok=True)  # perhaps what the broken one was missing
    (plugins / "newly_installed").rmdir()
    python.list()
    assert "throwaway_broken" in python.imports()[len(settled) :]


@pytest.mark.parametrize(
    "content",
    [
        "",
        pytest.param("[1, 2]", marks=pytest.mark.slow),
        pytest.param('{"installed": 1}', marks=pytest.mark.slow),
    ],
)
def test_a_damaged_cache_is_asked_for_anew(remembering, content):
    (file,) = remembering.cache.iterdir()
    file.write_text(content)
    assert status(remembering.list("--json"))["broken_net", "throwaway-broken"] == "broken"


def test_verdicts_of_another_form_are_asked_for_anew(remembering):
    (file,) = remembering.cache.iterdir()
    saved = json.loads(file.read_text())
    saved["verdicts"] = dict.fromkeys(saved["verdicts"], "")  # as before there were tasks
    file.write_text(json.dumps(saved))
    assert status(remembering.list("--json"))["broken_net", "throwaway-broken"] == "broken"


def test_an_unwritable_cache_does_no_harm(python, tmp_path):
    (tmp_path / "file").write_text("")
    listing = python.list("--json", KERASCNN_CACHE=str(tmp_path / "file" / "cache"))
    assert status(listing)["good_net", "throwaway-good"] == "ok"


def test_get_works_beside_broken_plugins(python):
    assert python.get("good_net").stdout.splitlines()[-1] == "good_net"
    assert python.imports() == ["throwaway_good"], "get imports the one module behind the name"


def test_get_of_a_broken_plugin_shows_the_cause(python):
    error = python.get("broken_net").stderr
    assert "BrokenPluginError" in error
    assert "throwaway-broken 2.1" in error
    assert error.count("No module named 'a_module_that_is_missing'") >= 2, "cause and summary"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("number_net", "must be a kerascnn Architecture. Received: 7 (int)"),
        ("misnamed_net", "calls itself 'another_name'"),
    ],
)
def test_get_refuses_what_is_no_architecture_of_that_name(python, name, cause):
    error = python.get(name).stderr
    assert "BrokenPluginError" in error
    assert "throwaway-wrong 6.0" in error
    assert cause in error


def test_get_of_a_name_with_two_owners_names_both(python):
    error = python.get("twin_net").stderr
    assert "DuplicateNameError" in error
    assert "throwaway-twin-a 4.0 and throwaway-twin-b 5.0" in error
    assert python.imports() == []


def test_patterns_and_providers(python):
    code = """
import kerascnn
print(kerascnn.list_architectures("*_net", provider="throwaway-wrong"))
print(kerascnn.list_architectures("lenet5*"))
print(kerascnn.list_architectures("[gb]*_net"))
"""
    assert python("-c", code).stdout.splitlines() == [
        "['misnamed_net', 'number_net']",
        "['lenet5', 'lenet5_1998']",
        "['broken_net', 'good_net']",
    ]
    assert python.imports() == []


def test_a_broken_command_warns_in_help_and_fails_when_it_is_typed(python):
    shown = python("-m", "kerascnn", "--help")
    assert "throwaway-command 7.0" in shown.stderr
    assert "list" in shown.stdout
    typed = python("-m", "kerascnn", "broken-command", check=False)
    assert typed.returncode == 1
    assert "Error" in typed.stderr
    assert "a_module_that_is_missing" in typed.stderr


def test_a_source_tree_that_is_not_installed_says_how_to_install(tmp_path):
    # -S leaves out site-packages; rich and typer come back through PYTHONPATH, the metadata don't.
    os.symlink(ROOT / "kerascnn", tmp_path / "kerascnn")
    for package in ("rich", "typer", "click", "shellingham", "pygments", "markdown_it", "mdurl"):
        found = [Path(p) / package for p in sys.path if (Path(p) / package).is_dir()]
        for path in found[:1]:
            os.symlink(path, tmp_path / package)
    code = "import kerascnn; kerascnn.list_architectures()"
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert "NotInstalledError" in ended.stderr
    assert "pip install kerascnn" in ended.stderr


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(errors.UnknownNameError, match="Did you mean lenet5"):
        kerascnn.get("lenet_5")
    with pytest.raises(errors.UnknownNameError, match="kerascnn list"):
        kerascnn.get("qqqqqqqqqqqqqqq")


def test_our_own_entry_points_all_load_under_their_name():
    for name in kerascnn.list_architectures(provider="kerascnn"):
        assert kerascnn.get(name).name == name


@pytest.fixture
def forget(monkeypatch):
    monkeypatch.setattr(registry, "_added", {})


@pytest.mark.usefixtures("forget")
def test_register_adds_a_name_for_this_process():
    mine = kerascnn.get("lenet5").variant("my_lenet", widths=(2, 3))
    assert kerascnn.register(mine) is mine
    assert "my_lenet" in kerascnn.list_architectures("my_*")
    assert kerascnn.get("my_lenet") is mine
    model = kerascnn.create("my_lenet", classes=3)
    assert model.output_shape == (None, 3)
    again = mine.variant("my_lenet", kernels=3)
    kerascnn.register(again)  # a notebook's cell runs twice
    assert kerascnn.get("my_lenet") is again


@pytest.mark.usefixtures("forget")
def test_register_refuses_a_taken_name_and_other_objects():
    taken = kerascnn.get("lenet5").variant("lenet5_1998")
    with pytest.raises(errors.DuplicateNameError, match=r"taken by kerascnn [\d.]+"):
        kerascnn.register(taken)
    with pytest.raises(TypeError, match="Received: 'lenet5' \\(str\\)"):
        kerascnn.register("lenet5")


def test_numbers_in_names_are_sorted_as_numbers():
    names = ["resnet101", "resnet18", "resnet101v2", "vgg16_bn", "vgg16", "resnet20_cifar"]
    assert sorted(names, key=registry.in_order) == [
        *("resnet18", "resnet20_cifar", "resnet101", "resnet101v2"),
        *("vgg16", "vgg16_bn"),
    ]


def test_create_can_name_the_model():
    assert kerascnn.create("lenet5", name="digits").name == "digits"
