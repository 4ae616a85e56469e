"""Tables keep names whole, have no codes of colours as text, and escape what notebooks show."""

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kerascnn import tables


def table(*names):
    found = Table(box=None)
    found.add_column("name")
    found.add_column("params", no_wrap=True, justify="right")
    for name in names:
        found.add_row(tables.Name(name), "11,689,512")
    return found


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("lenet5-mnist5k-20261126-100159", 30, ["lenet5-mnist5k-20261126-100159"]),
        ("lenet5-mnist5k-20261126-100159", 20, ["lenet5-mnist5k-", " 20261126-100159"]),
        ("inception_3a_double_reduce", 14, ["inception_3a_", " double_reduce"]),
        ("folder:/home/me", 9, ["folder:/", " home/me"]),
        ("word", 2, ["word"]),
        ("", 5, [""]),
    ],
)
def test_names_are_folded_between_words(name, width, lines):
    assert tables.folded(name, width) == lines


def test_a_name_that_fits_no_line_is_folded_and_not_cut():
    shown = tables.text(table("a" * 30), 25)
    assert shown.count("a") >= 30
    assert "…" not in shown


def test_in_a_pipe_each_row_is_one_line(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "densenetbc100_k12_cifar-" * 8
    console = Console(file=io.StringIO())
    tables.show(console, table(name))
    assert f"{name}  11,689,512" in console.file.getvalue()


def test_a_terminal_of_80_columns_is_kept_to(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    tables.show(console, table("densenetbc100_k12_cifar-" * 8))
    lines = Text.from_ansi(console.file.getvalue()).plain.splitlines()
    assert len(lines) > 2
    assert all(len(line) <= 80 for line in lines)
    assert [line.strip()[-1] for line in lines[2:]] == ["-", "_", "-"]


def test_text_has_no_codes_of_colours_whatever_the_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in tables.text(table("resnet18"), 40)


def test_html_is_escaped():
    shown = tables.html(("<name>", "n"), [("<script>", 1)], numbers=("n",))
    assert "&lt;name&gt;" in shown
    assert "<script>" not in shown
    assert '<td style="text-align:right">1</td>' in shown
