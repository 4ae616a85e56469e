"""Where detections go, and how they are drawn."""

import csv
import io
import json

import numpy as np
import pytest
from kerascnn_detection import figures, pictures, writing
from kerascnn_detection.average_precision import report
from kerascnn_detection.task import DETECTION
from kerascnn_detection.writing import LEAST_SCORE, Detected

from kerascnn.console import Console
from kerascnn.data import ABSENT
from kerascnn.errors import ArgumentError
from kerascnn.tasks import Measure, Prediction, Seen

NAMES = ("cat", "dog")
ROWS = np.array([[2, 3, 12, 13, 1, 0.75], [1, 1, 9, 8, 0, 0.5], [0, 0, 4, 4, 0, 0.125]], "float32")
FOUND = Prediction("a.jpg", Detected(ROWS, np.full((20, 30, 3), 100, "uint8")))
NONE = Prediction("b.jpg", Detected(ROWS[:0], np.zeros((20, 30, 1), "uint8")))


def said(found, **options):
    console = Console(file=io.StringIO(), width=80)
    with writing.writers(NAMES, **options).terminal(console) as write:
        write(found)
    return console.file.getvalue().splitlines()


def test_the_terminal_shows_sure_boxes_and_counts_the_others():
    title, first, second, rest = said(FOUND)
    assert title == "a.jpg  20×30"
    assert first.split() == ["0.750", "█" * 12, "dog", "x", "2–12,", "y", "3–13"]
    assert second.split()[2] == "cat"
    assert rest.strip() == "and 1 with scores below 0.3"


def test_options_say_which_boxes_are_shown_and_an_image_may_have_none():
    assert said(FOUND, top=1)[-1].strip() == "and 1 more, 1 with scores below 0.3"
    assert len(said(FOUND, least_score=0)) == 4
    assert said(FOUND, least_score=0.9)[1].strip() == "nothing, but 3 with scores below 0.9"
    assert said(NONE)[1].strip() == "nothing"


def written(path):
    with writing.writers(NAMES).saved(path) as write:
        write(FOUND)
        write(NONE)
    return path


def test_json_is_cocos_results_format_with_all_boxes(tmp_path):
    file = io.StringIO()
    with writing.writers(NAMES).json(file) as write:
        write(FOUND)
        write(NONE)
    found = json.loads(file.getvalue())
    assert len(found) == 3
    assert found[0] == {
        "image_id": "a.jpg",
        "category_id": 1,
        "category": "dog",
        "bbox": [2, 3, 10, 10],
        "score": 0.75,
    }
    assert json.loads(written(tmp_path / "found.json").read_text()) == found


def test_lines_of_json_have_images_without_boxes_too(tmp_path):
    lines = written(tmp_path / "found.jsonl").read_text().splitlines()
    first, second = map(json.loads, lines)
    assert (first["image"], first["height"], first["width"]) == ("a.jpg", 20, 30)
    assert [one["category"] for one in first["objects"]] == ["dog", "cat", "cat"]
    assert second["objects"] == []


def test_a_table_has_a_row_for_each_box(tmp_path):
    with open(written(tmp_path / "found.csv"), newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "class", "score", "x1", "y1", "x2", "y2"]
    assert rows[1] == ["a.jpg", "dog", "0.75", "2.0", "3.0", "12.0", "13.0"]
    assert len(rows) == 4


def test_a_folder_gets_a_picture_of_each_photo_and_none_overwrites_another(tmp_path):
    folder = tmp_path / "found"
    with writing.writers(NAMES).saved(folder) as write:
        for path in ("one/a.jpg", "two/A.png"):
            write(Prediction(path, NONE.answer))
    assert sorted(path.name for path in folder.iterdir()) == ["A-2.png", "a.png"]


def test_what_cant_be_saved_to_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "a.png", tmp_path / "not" / "there", tmp_path):
        with pytest.raises(ArgumentError, match="--save must be"):
            writing.check(path)
    for path in (tmp_path / "new", tmp_path / "a.csv", tmp_path / "a.json"):
        writing.check(path)


OBJECTS = np.array(
    [[2, 3, 12, 12, 1, 0], [1, 1, 9, 9, 1, 0], [0, 0, 4, 4, 0, 1], [0, 0, 0, 0, ABSENT, 0]],
    "float32",
)


def test_a_picture_says_what_is_right_wrong_and_missed():
    right, missed = pictures.matched(ROWS, OBJECTS)
    np.testing.assert_array_equal(right, [True, False, True])  # the last one is difficult
    np.testing.assert_array_equal(missed[:3], [False, True, False])
    figure = pictures.samples(FOUND.answer.photo[None], OBJECTS[None], ROWS[None], NAMES)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [
        *("dog", "cat 0.50", "dog 0.75"),
        "1 right, 1 wrong, 1 missed",
    ]
    assert [patch.get_linestyle() for patch in axes.patches] == ["--"] * 3 + ["-"] * 2


def test_an_answer_is_shown_as_scores_and_a_picture_without_what_is_not_sure():
    shown = DETECTION.shown(FOUND.answer, NAMES)
    rows = FOUND.answer.rows
    sure = rows[rows[:, 5] >= LEAST_SCORE]
    assert 0 < len(sure) < len(rows)
    assert [name for name, _ in shown.classes] == [NAMES[int(label)] for label in sure[:, 4]]
    assert [score for _, score in shown.classes] == pytest.approx(sure[:, 5].tolist())
    assert len(shown.picture.axes[0].patches) == len(sure)


def test_a_second_box_on_an_object_is_wrong():
    right, missed = pictures.matched(np.repeat(ROWS[:1], 2, axis=0), OBJECTS[:1])
    assert (right.tolist(), missed.tolist()) == ([True, False], [False])


def test_tensorboard_shows_samples_the_worst_and_the_ap_of_each_class():
    images = np.stack([FOUND.answer.photo] * 3)
    objects = np.stack([OBJECTS, np.full_like(OBJECTS, ABSENT), OBJECTS])
    rows = np.stack([ROWS, np.full_like(ROWS, ABSENT), ROWS[::-1] * 0 + ABSENT])
    seen = Seen(
        class_names=NAMES,
        images=images,
        targets=objects,
        outputs=rows,
        more=lambda: [(images[:2], objects[:2], rows[:2]), (images[2:], objects[2:], rows[2:])],
    )
    found = pictures.drawn(seen)
    assert set(found) == {"samples", "ap", "worst", "best"}
    captions = [text.get_text() for text in found["worst"].axes[0].texts if "," in text.get_text()]
    assert [caption[-8:] for caption in captions] == ["1 missed", "2 missed", "0 missed"]
    assert "among 3 images" in found["worst"].axes[0].get_title("left")
    captions = [text.get_text() for text in found["best"].axes[0].texts if "," in text.get_text()]
    assert [caption[-8:] for caption in captions] == ["0 missed", "1 missed", "2 missed"]


def evaluated(**changes):
    found = report(ROWS[None], OBJECTS[None], NAMES)
    head = {"data": "voc:x", "split": "test", "images": 1, "loss": None}
    return {**head, **found, **changes}


MEASURES = (Measure(name="ap50", title="AP50", better="higher"),)


def test_an_evaluation_is_shown_by_class_with_cocos_figures_or_how_to_get_them(capsys):
    proposals = {"recall": 0.5, "of_an_image": 300}
    figures.show(evaluated(coco=None, proposals=proposals), MEASURES)
    out = capsys.readouterr().out
    assert out.startswith("voc:x test, 1 image: AP50 50.00%, VOC's 11 points 54.55%")
    assert [line.split()[:3] for line in out.splitlines()[2:4]] == [
        ["cat", "0", "2"],
        ["dog", "2", "1"],
    ]
    assert "Proposals: 300 for an image have 50.00% of the objects" in out
    assert "1 difficult object" in out
    assert "kerascnn-detection[coco]" in out
    figures.show(evaluated(coco=dict.fromkeys(figures.TITLES, 0.25)), MEASURES)
    assert capsys.readouterr().out.count("25.00%") == 12
    assert max(map(len, out.splitlines())) <= 80


def test_an_evaluation_is_saved_as_a_table_and_as_curves(tmp_path):
    figures.save(evaluated(), tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ap50"] for row in rows] == ["", "0.5"]
    figure = pictures.curves(evaluated()["classes"])
    (line,) = figure.axes[0].lines
    assert line.get_ydata()[[0, 50, 51]] == pytest.approx([1, 1, 0])
    figures.save(evaluated(), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size
