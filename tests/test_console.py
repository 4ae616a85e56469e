"""Names of files and classes are printed as they are: `:cat:` is no picture of a cat."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image
from rich.table import Table
from rich.text import Text

import kerascnn
from kerascnn.console import Console

ROOT = Path(kerascnn.__file__).parent
TUNING = ROOT.parent / "tuning" / "kerascnn_tuning"


def test_words_between_colons_stay_words():
    file = io.StringIO()
    table = Table("path")
    table.add_row("x:cat:y")
    console = Console(file=file)
    console.print("[bold]folder:cat:[/]", "a:smile:b", table)
    for text in ("folder:cat:", "a:smile:b", "x:cat:y"):
        assert text in file.getvalue()


def test_codes_in_names_steer_no_terminal():
    """A folder of a stranger's may be called so; Rich's own codes stay."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard")
    table = Table("class")
    table.add_row("a\x1b]0;title\x07b")
    console.print(Text("c\x1b[2Jd"), Text("e\x9bf\ng"), table, style="bold")
    shown = file.getvalue()
    for text in ("c\\x1b[2Jd", "e\\x9bf", "\x1b[1m"):
        assert text in shown
    assert "\x1b[2J" not in shown
    assert "\x1b]0" not in shown


def test_everything_prints_to_this_console():
    found = []
    for path in (*ROOT.rglob("*.py"), *TUNING.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in ("rich", "rich.console"):
                names = {alias.name for alias in node.names}
                if names & {"Console", "print", "get_console"} and path.name != "tables.py":
                    found.append(str(path))
    assert not found


def test_commands_show_paths_as_they_are(tmp_path):
    folder = tmp_path / "x:cat:y"
    (folder / ":dog:").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / ":dog:" / "a:fire:.png")
    (folder / ":dog:" / "b:fire:.png").write_text("no image")
    words = [sys.executable, "-m", "kerascnn", "data", "check"]
    env = {**os.environ, "COLUMNS": "200"}
    for source in (f"folder:{folder}", "folder:/missing:cat:"):
        done = subprocess.run([*words, source], capture_output=True, text=True, env=env)
        shown = done.stdout + done.stderr
        assert done.returncode == 1
        assert source.removeprefix("folder:") in shown
        if source.endswith("y"):
            assert ":dog:" in shown
            assert "b:fire:.png" in shown
