"""What must stay light: the import, the list, the help and the shell's completion."""

import ast
import importlib
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys

import pytest

HEAVY = {"keras", "tensorflow", "torch", "jax", "matplotlib", "numpy", "PIL"}
RUN = """
import atexit, os, sys
def report():
    loaded = sorted(name for name in {heavy} if name in sys.modules)
    print("LOADED", loaded, file=sys.stderr)
atexit.register(report)
{code}
"""
MAIN = "import kerascnn.cli; sys.argv = ['kerascnn', *{words}]; kerascnn.cli.main()"


def fresh(code, **environment):
    code = RUN.format(heavy=sorted(HEAVY), code=code)
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    "code",
    [
        "import kerascnn; kerascnn.list_architectures(); dir(kerascnn)",
        "import kerascnn.architecture, kerascnn.space, kerascnn.errors",
        MAIN.format(words=["list"]),
        MAIN.format(words=["list", "--json"]),
        MAIN.format(words=["--help"]),
        MAIN.format(words=["list", "--help"]),
        MAIN.format(words=["--version"]),
        "import kerascnn; kerascnn.register",
    ],
)
def test_it_loads_neither_keras_nor_tensorflow(code):
    ended = fresh(code)
    assert ended.returncode == 0, ended.stderr
    assert "LOADED []" in ended.stderr


CORE = "import kerascnn; names = kerascnn.list_architectures(provider='kerascnn')"
FROM_CARDS_AND_SKETCHES = {
    "profiles": f"{CORE}; [kerascnn.get(name).network().profile() for name in names]",
    "info": MAIN.format(words=["info", "lenet5_1998", "--layers", "--weights"]),
    "recipes": MAIN.format(words=["recipes", "--for", "lenet5_1998"]),
    "compare": MAIN.format(words=["compare", "lenet5", "lenet5_1998", "--claims"]),
    "draw": MAIN.format(words=["draw", "lenet5_1998"]),
}


@pytest.mark.parametrize("code", FROM_CARDS_AND_SKETCHES.values(), ids=FROM_CARDS_AND_SKETCHES)
def test_what_cards_and_sketches_know_is_told_without_keras(code, tmp_path):
    """All of our networks in one process, and the commands that describe one."""
    ended = fresh(f"import os; os.chdir({str(tmp_path)!r}); {code}")
    assert ended.returncode == 0, ended.stderr
    (loaded,) = re.findall("LOADED (.*)", ended.stderr)
    assert "keras" not in loaded
    assert "tensorflow" not in loaded


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("kerascnn li", "list"),
        ("kerascnn check lenet5_", "lenet5_1998"),
        ("kerascnn train lenet5_", "lenet5_1998"),
        ("kerascnn info lenet5_", "lenet5_1998"),
        ("kerascnn train lenet5 --data digit", "digit_scenes"),
        ("kerascnn train --resume runs/l", "runs/lenet5-mnist5k"),
        ("kerascnn train --continue runs/l", "runs/lenet5-mnist5k"),
        ("kerascnn train --epochs 3 --from l", "lenet5-pets"),
        ("kerascnn predict runs/l", "runs/lenet5-mnist5k"),
        ("kerascnn evaluate runs/x --protocol goog", "googlenet"),
        ("kerascnn recipes dense", "densenet_cifar"),
        ("kerascnn train lenet5 --log ml", "mlflow"),
        ("kerascnn tune re", "report"),
        ("kerascnn tune lenet5_", "lenet5_1998"),
        ("kerascnn tune lenet5 --data digit", "digit_scenes"),
        ("kerascnn tune search lenet5 --data digit", "digit_scenes"),
        ("kerascnn tune report stu", "studies/lenet5-widths"),
    ],
)
def test_shell_completion_is_light_and_knows_commands_and_names(
    typed, offered, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for path in ("runs/lenet5-mnist5k/config.json", "lenet5-pets/config.json",
                 "studies/lenet5-widths/study.json"):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("{}")
    words = {"_KERASCNN_COMPLETE": "complete_bash", "COMP_WORDS": typed}
    ended = fresh(MAIN.format(words=[]), COMP_CWORD=str(len(typed.split()) - 1), **words)
    assert offered in ended.stdout.split()
    assert "LOADED []" in ended.stderr


def test_every_public_name_resolves():
    import kerascnn

    for name in kerascnn.__all__:
        assert getattr(kerascnn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = kerascnn.nonsense


def test_type_checkers_know_every_public_name():
    """Also strict ones, to which only `import x as x` exports a name."""
    import kerascnn

    (guarded,) = [
        node
        for node in ast.parse(inspect.getsource(kerascnn)).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    told = {alias.asname for node in guarded.body for alias in node.names}
    assert told == set(kerascnn.__all__) - {"__version__"}


def test_every_architecture_of_ours_can_be_imported_from_applications():
    """Under the name that its entry point says, which is nowhere else."""
    from kerascnn import applications

    points = importlib.metadata.entry_points(group="kerascnn.architectures")
    ours = [p for p in points if p.module.startswith("kerascnn.applications.")]
    assert {p.attr for p in ours} == set(dir(applications)) == set(applications.__all__)
    for point in ours:
        assert getattr(applications, point.attr).name == point.name


def test_applications_have_their_modules_and_nothing_else():
    from kerascnn import applications
    from kerascnn.applications import ResNet50

    assert applications.resnet.ResNet50 is ResNet50
    with pytest.raises(AttributeError, match="no attribute 'ResNet51'"):
        _ = applications.ResNet51
