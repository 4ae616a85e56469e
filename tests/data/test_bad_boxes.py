"""What may be wrong with boxes, in every source that has them: one message names file and object.

Each source writes the same two images of 20×30: `a` with a dog, `b` with what a test says.
"""

import functools
import json
import re

import annotated
import numpy as np
import pytest
from PIL import Image

from kerascnn import data
from kerascnn.errors import DataError

SIZE = (20, 30)
CLASSES = ("cat", "dog")
DOG = ("dog", 1, 2, 29, 20)  # x1, y1, x2, y2 as edges


def pictures(folder, names=("a", "b")):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(annotated.noise(number, SIZE)).save(folder / f"{name}.png")


class Voc:
    """One XML file for each image, and a list of them."""

    file, object = "b.xml", "object {number}: "
    listing, picture = "ImageSets/Main/train.txt", "JPEGImages/b.png"

    @staticmethod
    def write(root, objects):
        pictures(root / "JPEGImages")
        (root / "Annotations").mkdir()
        (root / "ImageSets/Main").mkdir(parents=True)
        (root / "ImageSets/Main/train.txt").write_text("a\nb\n")
        for name, boxes in (("a", [DOG]), ("b", objects)):
            corners = [(c, (x1 + 1, y1 + 1, x2, y2), 0) for c, x1, y1, x2, y2 in boxes]
            (root / f"Annotations/{name}.xml").write_text(annotated.annotation(SIZE, *corners))
        return f"voc:{root}?classes=cat,dog"

    @staticmethod
    def list_again(root):
        with open(root / "ImageSets/Main/train.txt", "a") as file:
            file.write("b\n")


class Coco:
    """One JSON file for all."""

    file, object = "annotations.json", "the annotation at byte "
    listing, picture = "annotations.json", "b.png"

    @staticmethod
    def write(root, objects):
        pictures(root)
        images = [
            {"id": number, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]}
            for number, name in ((4, "a"), (3, "b"))
        ]
        ids = {"cat": 20, "dog": 10}
        categories = [{"id": number, "name": name} for name, number in ids.items()]
        annotations = [
            {
                "id": number,
                "image_id": image,
                "category_id": ids.get(name, 99),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            for number, (image, (name, x1, y1, x2, y2)) in enumerate(
                [(4, DOG), *((3, box) for box in objects)]
            )
        ]
        content = {"images": images, "categories": categories, "annotations": annotations}
        (root / "annotations.json").write_text(json.dumps(content))
        return f"coco:{root}"

    @staticmethod
    def list_again(root):
        path = root / "annotations.json"
        content = json.loads(path.read_text())
        content["images"].append({**content["images"][1], "id": 5})
        path.write_text(json.dumps(content))


class Yolo:
    """A text for each image, and a list of the images."""

    file, object = "b.txt", "line {number}: "
    listing, picture = "train.txt", "images/b.png"

    @staticmethod
    def write(root, objects):
        pictures(root / "images")
        (root / "labels").mkdir()
        (root / "data.yaml").write_text("train: train.txt\nnames: [cat, dog]\n")
        (root / "train.txt").write_text("images/a.png\n./images/b.png\n")
        for name, boxes in (("a", [DOG]), ("b", objects)):
            lines = [
                f"{CLASSES.index(c) if c in CLASSES else 99} {(x1 + x2) / 60} {(y1 + y2) / 40} "
                f"{(x2 - x1) / 30} {(y2 - y1) / 20}"
                for c, x1, y1, x2, y2 in boxes
            ]
            (root / f"labels/{name}.txt").write_text("\n".join(lines))
        return f"yolo:{root}"

    @staticmethod
    def list_again(root):
        with open(root / "train.txt", "a") as file:
            file.write("images/b.png\n")


class Csv:
    """A table, an object a row."""

    file, object = "table.csv, b.png: ", "line {line}: "
    listing, picture = "table.csv", "b.png"

    @staticmethod
    def write(root, objects):
        pictures(root)
        lines = ["file,x1,y1,x2,y2,label,split"]
        for name, boxes in (("a", [DOG]), ("b", objects)):
            lines += [f"{name}.png,{x1},{y1},{x2},{y2},{c},train" for c, x1, y1, x2, y2 in boxes]
        lines += [] if objects else ["b.png,,,,,,train"]
        (root / "table.csv").write_text("\n".join(lines) + "\n")
        return f"csv:{root}/table.csv?classes=cat,dog"

    @staticmethod
    def list_again(root):
        with open(root / "table.csv", "a") as file:
            file.write("b.png,1,1,2,2,cat,test\n")


class Tfds:
    """A record for each image; one that is missing or there twice is a matter of records."""

    file, object = "record 1", "object {number}: "
    list_again = None

    @staticmethod
    def write(root, objects):
        two_pictures().objects = objects
        return f"tfds:two_pictures?data_dir={root}"


@functools.cache
def two_pictures():
    """A set that writes what it is told to, right or wrong."""
    tfds = pytest.importorskip("tensorflow_datasets")
    kinds = tfds.features

    class Unchecked(kinds.BBoxFeature):
        def encode_example(self, bbox):
            return np.array(bbox, "float32")

    class UncheckedLabel(kinds.ClassLabel):
        def encode_example(self, label):
            return label

    class TwoPictures(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            held = {"bbox": Unchecked(), "label": UncheckedLabel(names=list(CLASSES))}
            held |= {"is_difficult": np.bool_, "is_truncated": np.bool_}
            features = {"image": kinds.Image(shape=(None, None, 3))}
            features |= {"objects": kinds.Sequence(held), "others": kinds.Sequence(held)}
            features = kinds.FeaturesDict(features)
            return self.dataset_info_from_configs(features=features, disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number, boxes in enumerate(([DOG], self.objects)):
                rows = [
                    {
                        "bbox": [y1 / 20, x1 / 30, y2 / 20, x2 / 30],
                        "label": CLASSES.index(c) if c in CLASSES else 99,
                        "is_difficult": False,
                        "is_truncated": True,
                    }
                    for c, x1, y1, x2, y2 in boxes
                ]
                picture = annotated.noise(number, SIZE)
                yield number, {"image": picture, "objects": rows, "others": []}

    return TwoPictures


SOURCES = [Voc, Coco, Yolo, Csv, Tfds]
LISTS = [source for source in SOURCES if source.list_again]
BAD = {
    "outside": (("cat", 2, -5, 9, 8), "reaches 5 pixels out of the image, which has 20×30"),
    "without an area": (("cat", 4, 4, 4, 9), "its box has no area"),
    "swapped": (("cat", 9, 2, 3, 8), "the corners of its box are swapped|bbox must be"),
    "of no class": (
        ("unicorn", 1, 2, 3, 8),
        "unicorn|of the category 99, which isn't|a class from 0 to 1.*99",
    ),
    "counted from another number": (
        None,
        "reaches 1 pixels? out of the image.*(counted from 1|counted from 0, say so: .*first=0)",
    ),
}


def bad_box(source, what):
    """VOC counts from 1, where a 0 is wrong; to others a right border one beyond is."""
    if BAD[what][0] is None:
        return ("cat", -1, 4, 12, 12) if source is Voc else ("cat", 3, 4, 31, 12)
    return BAD[what][0]


def load(source, **options):
    shape = (*SIZE, 3)
    return data.load(source, target="boxes", echo=None, split="all", input_shape=shape, **options)


def name_of(source):
    return source.__name__.lower()


@pytest.fixture(params=SOURCES, ids=name_of)
def source(request):
    return request.param


def test_what_is_right_is_read_alike(source, tmp_path):
    found = load(source.write(tmp_path, [("cat", 0, 0, 30, 20), ("dog", 3, 4, 10, 12)]))
    targets = found.test.targets
    boxes = [np.round(targets.checked(position), 4).tolist() for position in range(2)]
    cat, dog = (found.class_names.index(name) for name in CLASSES)
    assert boxes == [
        [[1, 2, 29, 20, dog, 0]],
        [[0, 0, 30, 20, cat, 0], [3, 4, 10, 12, dog, 0]],
    ]
    assert targets.sizes.tolist() == [list(SIZE)] * 2
    np.testing.assert_array_equal(found.test.original(1), annotated.noise(1, SIZE))


def test_an_image_may_have_no_object(source, tmp_path):
    assert len(load(source.write(tmp_path, [])).test.targets.checked(1)) == 0


@pytest.mark.parametrize("what", BAD)
def test_a_bad_box_is_refused_by_its_file_and_object(source, tmp_path, what):
    typed = source.write(tmp_path, [("cat", 1, 1, 9, 9), bad_box(source, what)])
    message = (
        f"{re.escape(source.file)}.*{source.object.format(number=2, line=4)}.*({BAD[what][1]})"
    )
    with pytest.raises(DataError, match=message) as error:
        load(typed)
    assert "--skip-corrupt" in str(error.value)
    found = load(typed, skip_corrupt=True)
    assert found.test.size == 1
    np.testing.assert_array_equal(found.test.original(0), annotated.noise(0, SIZE))


def test_a_check_lists_all_that_is_bad(source, tmp_path):
    boxes = [bad_box(source, what) for what in BAD]
    report = data.check(source.write(tmp_path, [*boxes[:3], ("cat", 1, 1, 9, 9)]), target="boxes")
    (line,) = report.corrupt
    assert source.file in line
    assert source is Tfds or re.search(r"\bb\b", line.removeprefix(str(tmp_path)))
    for number in range(3):
        assert re.search(BAD[list(BAD)[number]][1], line)
    assert not report.usable
    assert report.images_with["train"] == {"cat": 0, "dog": 1}


@pytest.mark.parametrize("source", LISTS, ids=name_of)
def test_a_missing_image_is_named(source, tmp_path):
    typed = source.write(tmp_path, [])
    (tmp_path / source.picture).unlink()
    with pytest.raises(DataError, match=r"[Tt]here is no (image|file) .*\bb\b"):
        load(typed)
    (line,) = data.check(typed, target="boxes").corrupt
    assert re.search(r"\bb\b", line)


@pytest.mark.parametrize("source", LISTS, ids=name_of)
def test_an_image_that_is_listed_twice_is_named(source, tmp_path):
    typed = source.write(tmp_path, [])
    source.list_again(tmp_path)
    with pytest.raises(DataError, match=rf"{source.listing}.*\bb\b.*a second time|are both 'b"):
        load(typed)
    (line,) = data.check(typed, target="boxes").corrupt
    assert re.search(r"a second time|are both", line)
