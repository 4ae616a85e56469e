"""What `kerascnn predict` prints, line by line, and the JSON of what else looks at images."""

import io
import json

from rich.console import Console

from kerascnn.tasks.classification.predictions import BAR, render_predictions
from kerascnn.tasks.writing import json_objects


def lines(rows, width=80):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    render_predictions(rows, console)
    return console.file.getvalue().splitlines()


def test_each_image_has_its_name_and_classes_with_bars_in_proportion():
    shown = lines([("a/7.png", [("seven", 0.75), ("one", 0.25), ("two", 0.0)]), ("b.png", [])])
    assert [line.strip() for line in (shown[0], shown[4])] == ["a/7.png", "b.png"]
    assert [line.split() for line in shown[1:3]] == [
        ["75.00%", "█" * (3 * BAR // 4), "seven"],
        ["25.00%", "█" * (BAR // 4), "one"],
    ]
    assert shown[3].split() == ["0.00%", "two"]


def test_names_with_brackets_and_long_names_are_shown_in_full():
    name = "folder[red]/" + "x" * 100 + ".png"
    shown = lines([(name, [("[bold]class[/]" + "y" * 60, 1.0)])], width=60)
    assert shown[0] == name
    found = "".join(line.split()[-1] for line in shown[1:])
    assert found == "[bold]class[/]" + "y" * 60


def test_a_list_of_numbers_is_on_one_line_and_all_values_are_kept():
    file = io.StringIO()
    given = {"box": [18, -6, 3e-05], "grid": [[1, 2], [3, 4]], "name": "[\n 1\n ]", "none": []}
    with json_objects(file) as write:
        write(given)
        write({"mixed": [1.5, None]})
    assert json.loads(file.getvalue()) == [given, {"mixed": [1.5, None]}]
    printed = file.getvalue().splitlines()
    assert '    "box": [18, -6, 3e-05],' in printed
    assert "      [1, 2]," in printed
