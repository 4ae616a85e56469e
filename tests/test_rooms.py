"""The order of rooms that kerascnn/README.md draws: imports point upwards in it, and in no circle.

All imports count, also those within functions and for type checkers alone.
"""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import kerascnn

HOME = Path(kerascnn.__file__).parent
MODULES = {
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in HOME.rglob("*.py")
}
DOORS = ("kerascnn", "kerascnn.__main__")  # lead to all rooms


def rooms():
    """Room → its row in the map, counted from above."""
    rows = re.findall(r"^\| (\[?[`\w].*?) \|", (HOME / "README.md").read_text(), re.MULTILINE)
    names = [re.findall(r"`([\w.]+)`|\[(\w+)\]", row) for row in rows]
    return {f"kerascnn.{a or b}": number for number, row in enumerate(names) for a, b in row}


def imported(path):
    """The modules of kerascnn that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kerascnn"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


IMPORTS = {
    name: {found for found in imported(path) if found not in DOORS}
    for name, path in MODULES.items()
    if name not in DOORS
}


def room_of(module, known):
    """The longest name of a room that the module's begins with."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 1, -1))
    return next((name for name in names if name in known), None)


def test_every_module_has_a_room_in_the_map():
    known = rooms()
    assert [module for module in IMPORTS if room_of(module, known) is None] == []
    assert [room for room in known if not any(m.startswith(room) for m in MODULES)] == []


def test_no_module_imports_from_a_room_below_its_own():
    known = rooms()
    wrong = [
        f"{module} imports {found}"
        for module, all_found in IMPORTS.items()
        for found in sorted(all_found)
        if known[room_of(found, known)] > known[room_of(module, known)]
    ]
    assert wrong == []


def test_no_imports_go_in_a_circle():
    order = list(TopologicalSorter(IMPORTS).static_order())  # raises where there is a circle
    assert len(order) == len(IMPORTS)
