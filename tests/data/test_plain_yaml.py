"""The few words of YAML that are read mean what they mean to PyYAML, or are refused."""

import contextlib
import random

import pytest

from kerascnn.data import plain_yaml

KEYS = ("path", "train", "val", "test", "names")
ULTRALYTICS = """# Ultralytics 🚀 AGPL-3.0 License

path: ../datasets/coco8 # dataset root dir
train: images/train # train images (relative to 'path') 4 images
val: images/val
test: # test images (optional)

names:
  0: person
  1: it's
  2: 'traffic light'

download: |
  from x import y
  train: z
"""
ROBOFLOW = """train: ../train/images
val: ../valid/images

nc: 3
names: ['good bean', "bad, bean", it's]
roboflow:
  license: CC BY 4.0
"""
LISTS = """names: [aeroplane, 'bird, # 1',
  bottle,
]
train:
- a/b
- "c # d"
- e#f
val: {0: a, '1': "b, c"}
"""


@pytest.mark.parametrize("text", [ULTRALYTICS, ROBOFLOW, LISTS, "", "a", "train: x\r\nval: y\r\n"])
def test_files_as_they_are_written_mean_the_same(text):
    yaml = pytest.importorskip("yaml")
    whole = yaml.load(text, yaml.BaseLoader)
    expected = {key: whole[key] for key in KEYS if key in whole} if isinstance(whole, dict) else {}
    assert plain_yaml.read(text, KEYS) == expected


def test_what_is_read_of_any_lines_is_what_they_mean():
    yaml = pytest.importorskip("yaml")
    draw, same = random.Random(0), 0
    starts = ("names:", "train:", "val:", "- ", "  - ", "  0:", " # c", "other:")
    words = (
        "a|b c|'x, y'|\"q # r\"|it's|0|null|x#y|../t|'it''s'|- a|[a, b]|{0: a}|[a,|b]|a: b|#c|&a|>"
    )
    for _ in range(1500):
        lines = [
            f"{draw.choice(starts)} {' '.join(draw.choices(words.split('|'), k=draw.randrange(3)))}"
            for _ in range(draw.randrange(1, 5))
        ]
        text = "\n".join(map(str.rstrip, lines)) + "\n"
        try:
            found = plain_yaml.read(text, KEYS)
            whole = yaml.load(text, yaml.BaseLoader)
        except (ValueError, yaml.YAMLError):
            continue
        whole = whole if isinstance(whole, dict) else {}
        assert found == {key: whole[key] for key in KEYS if key in whole}, text
        same += 1
    assert same > 200


@pytest.mark.parametrize(
    "text",
    [
        "names: &a [x]",
        "names: !!python/object/apply:os.system [x]",
        "names: |\n  a\n",
        "names: [a, [b]]",
        "names: [a",
        "names:\n  a: 1\n  a: 2\n",
        "names:\n  0: a\n    1: b\n",
        "names: a\n  b\n",
        "names: [a]\nnames: [b]",
        'names: "a\\x41"',
        "names: {a}",
        "names: *a",
    ],
)
def test_all_else_of_yaml_is_refused_by_its_line(text):
    with pytest.raises(ValueError, match=r"^line [12], names: "):
        plain_yaml.read(text, KEYS)


@pytest.mark.parametrize("part", [" ", "a", "'", '"', "[", "a,", "- ", "\n ", "#", "'',", ": "])
def test_long_texts_take_no_long_time(part):
    for start in ("names: [", "names: ", ""):
        with contextlib.suppress(ValueError):
            plain_yaml.read(start + part * 50_000, KEYS)
