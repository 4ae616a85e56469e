"""Tables of figures say what the files beside them say."""

import json

import figures
import pytest

ROW = {"network": "vgg16", "precision": "float32"}


@pytest.mark.parametrize("path", figures.READMES, ids=lambda path: path.parent.name)
def test_a_readme_has_what_the_files_have(path):
    """After a new measurement: make figures."""
    text = path.read_text()
    assert figures.rendered(text) == text


def test_every_file_has_its_table():
    found = [
        place[1]
        for readme in figures.READMES
        for place in figures.PLACE.finditer(readme.read_text())
    ]
    assert sorted(found) == sorted(path.stem for path in figures.FIGURES.glob("*.json"))


@pytest.mark.parametrize("path", sorted(figures.FIGURES.glob("*.json")), ids=lambda path: path.stem)
def test_a_table_names_command_machine_versions_and_day(path):
    found = json.loads(path.read_text())
    shown = figures.source(path.stem, found)
    assert shown.startswith("`kerascnn bench")
    for text in (found["processor"], found["versions"]["keras"], found["date"]):
        assert text in shown


def test_the_fastest_of_a_family_counts_and_ratios_are_ours_to_it():
    rows = [
        {**ROW, "contestant": "kerascnn", "images_per_second": 9.0},
        {**ROW, "contestant": "torchvision", "images_per_second": 4.0},
        {**ROW, "contestant": "torchvision, channels_last", "images_per_second": 6.0},
    ]
    assert figures._race(rows)[-1] == "| `vgg16` | 9.0 | 6.0 (1.50) |"
