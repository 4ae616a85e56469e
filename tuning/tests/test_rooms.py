"""How the package stands in the house: on public names, without circles, private names at home."""

import ast
import inspect
from graphlib import TopologicalSorter
from pathlib import Path

import kerascnn_tuning
from kerascnn_tuning import internals

import kerascnn

HOME = Path(kerascnn_tuning.__file__).parent
MODULES = {
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in HOME.rglob("*.py")
}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}


def imports(name, package):
    """What a module imports from a package, wherever in it: `(module, name)` pairs."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            yield from ((node.module, alias.name) for alias in node.names)


def is_public(module, name):
    """Whether kerascnn exports it, or exports the module that it is in."""
    if module == "kerascnn":
        return name in kerascnn.__all__
    room = module.removeprefix("kerascnn.")
    return room in kerascnn.__all__ and inspect.ismodule(getattr(kerascnn, room))


def test_of_kerascnn_it_imports_public_names_alone():
    found = {pair for name in MODULES for pair in imports(name, "kerascnn")}
    assert len(found) > 20
    assert [pair for pair in sorted(found) if not is_public(*pair)] == []


def test_no_module_imports_itself_through_others():
    needed = {}
    for name in set(MODULES) - {"kerascnn_tuning"}:  # whose names are looked up when used
        found = {
            deeper if (deeper := f"{module}.{imported}") in MODULES else module
            for module, imported in imports(name, "kerascnn_tuning")
        }
        needed[name] = found - {"kerascnn_tuning"}
    assert len(list(TopologicalSorter(needed).static_order())) == len(needed)


def test_private_names_stay_in_their_module():
    wrong = [
        (name, imported)
        for name in MODULES
        for package in ("kerascnn", "kerascnn_tuning")
        for _, imported in imports(name, package)
        if imported.startswith("_")
    ]
    wrong += [
        (name, ast.unparse(node))
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    ]
    assert wrong == []


def test_the_private_names_of_keras_tuner_are_known_to_internals_alone():
    hooks = {name for names in internals.HOOKS.values() for name in names} | {*internals.STATE}
    private = {name for name in hooks if name.startswith("_")}
    assert len(private) > 10
    used = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in private)
        or (isinstance(node, ast.FunctionDef) and node.name in private)
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_tuner.src"))
    }
    assert used == {"kerascnn_tuning.internals"}
