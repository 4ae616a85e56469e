"""COCO's JSON: masks, boxes and labels, with bounded memory."""

import copy
import functools
import json
import re
import shutil
from dataclasses import replace

import annotated
import numpy as np
import pytest

from kerascnn import data
from kerascnn.data import coco_file
from kerascnn.errors import DataError

load = functools.partial(data.load, echo=None, split="all", input_shape=(24, 32, 3))
VOID = 255


@pytest.fixture
def home(tmp_path):
    return annotated.coco(tmp_path / "coco")


def write(home, content):
    (home / "annotations.json").write_text(json.dumps(content))


def changed(*path, to):
    """The content with another value at a path of keys."""
    content = copy.deepcopy(annotated.COCO)
    *way, last = path
    place = functools.reduce(lambda part, key: part[key], way, content)
    place[last] = to
    return content


class TestMasks:
    def test_classes_follow_the_ids_and_smaller_objects_are_on_top(self, home):
        found = load(f"coco:{home}", target="mask")
        assert found.class_names == ("background", "car", "dog")  # 3 and 18
        first = np.zeros((20, 30), "uint8")
        first[:10, :10] = 2
        first[5:7, 5:7] = 1
        np.testing.assert_array_equal(found.test.targets.stored(0), first)

    def test_a_crowd_is_void_and_objects_are_on_top_of_it(self, home):
        second = np.zeros((24, 24), "uint8")
        second[:, :2] = VOID
        second[3:7, 2:12] = 2
        found = load(f"coco:{home}", target="mask").test.targets.stored(1)
        np.testing.assert_array_equal(found, second)
        write(home, changed("annotations", 0, "segmentation", to=[[0, 3, 12, 3, 12, 7, 0, 7]]))
        second[3:7, :12] = 2
        found = load(f"coco:{home}", target="mask").test.targets.stored(1)
        np.testing.assert_array_equal(found, second)

    def test_compressed_codes_are_decoded(self, home):
        # pycocotools' own text for 0, 48, 528.
        code = {"size": [24, 24], "counts": "0`1``0"}
        from kerascnn.data.run_lengths import counts_of

        assert counts_of(code["counts"]) == [0, 48, 528]
        plain = load(f"coco:{home}", target="mask").test.targets.stored(1)
        write(home, changed("annotations", 3, "segmentation", to=code))
        found = load(f"coco:{home}", target="mask").test.targets.stored(1)
        np.testing.assert_array_equal(found, plain)

    @pytest.mark.parametrize(
        ("segmentation", "message"),
        [
            ([[1, 2, 3]], "a polygon must be"),
            ([[1, 2, 3, 4, 5, 1e9]], "a polygon must be"),
            ("mask.png", "segmentation must be polygons, or a run-length code"),
            (None, "segmentation must be polygons, or a run-length code"),
            ({"size": [24, 25], "counts": [600]}, "segmentation must be polygons, or a run-length"),
            ({"size": [24, 24], "counts": [600]}, "the run lengths must"),
            ({"size": [24, 24], "counts": {}}, "counts must be whole numbers, or a text"),
        ],
    )
    def test_a_damaged_outline_is_refused_by_file_and_place(self, home, segmentation, message):
        write(home, changed("annotations", 0, "segmentation", to=segmentation))
        start = (home / "annotations.json").read_text().index('{"id": 1, "image_id"')
        place = f"annotations.json, the image a.png: the annotation at byte {start:,}"
        with pytest.raises(DataError, match=f"{place}: {message}"):
            load(f"coco:{home}", target="mask")

    def test_objects_without_an_end_are_refused(self, home, monkeypatch):
        """Ten thousand objects as large as a large image would take hours."""
        found = load(f"coco:{home}", target="mask").test.targets
        monkeypatch.setattr(coco_file, "MOST_PAINTED", 104)  # of b.png: 10×10 and 2×2
        assert found.stored(0).any()
        monkeypatch.setattr(coco_file, "MOST_PAINTED", 103)
        with pytest.raises(DataError, match=r"b\.png: its objects, .* more than 103 pixels"):
            found.stored(0)

    def test_a_file_that_has_changed_is_not_misread(self, home):
        found = load(f"coco:{home}", target="mask")
        write(home, changed("info", "year", to="another year, so that all is moved"))
        with pytest.raises(DataError, match=r"annotations.json, the image"):
            found.test.targets.stored(0)


class TestBoxesAndLabels:
    def test_boxes_are_corners_and_crowds_are_difficult(self, home):
        boxes = load(f"coco:{home}", target="boxes").test.targets
        assert boxes.stored(0).tolist() == [[5, 5, 7, 7, 0, 0], [0, 0, 10, 10, 1, 0]]
        assert boxes.stored(1).tolist() == [[2, 3, 12, 7, 1, 0], [0, 0, 2, 24, 0, 1]]
        assert boxes.sizes.tolist() == [[20, 30], [24, 24]]

    def test_the_files_own_numbers_and_areas_are_kept(self, home):
        """What COCO's results are written with, also of parts, unions and other lists of names."""
        write(home, changed("annotations", 0, "area", to=None))
        found = load(f"coco:{home}", target="boxes").test
        assert found.targets.ids.tolist() == [42, 7]
        assert found.targets.areas.tolist() == [
            4,
            100,
            10 * 4,
            48,
        ]  # where there is none: the box's
        assert found.targets.areas_of(1).tolist() == [40, 48]
        assert replace(found.targets, areas=None).areas_of(0).tolist() == [4, 100]
        assert dict(found.targets.class_ids) == {0: 3, 1: 18}
        both = data.joined([found.take(np.array([1])), found]).targets
        assert (both.ids.tolist(), both.areas.tolist()) == ([7, 42, 7], [40, 48, 4, 100, 40, 48])
        renamed = found.relabelled(np.array([-1, 5])).targets
        assert (dict(renamed.class_ids), renamed.ids.tolist()) == ({5: 18}, [42, 7])

    def test_a_label_is_that_of_images_with_one_class(self, home):
        write(home, changed("annotations", 1, "category_id", to=18))
        found = load(f"coco:{home}")
        assert found.test.labels.tolist() == [1]
        assert found.test.names[0] == b"b.png"
        assert found.notes[0].startswith("1 of 2 train images are left out")

    def test_images_without_objects_stay(self, home):
        write(home, changed("annotations", to=[]))
        assert not load(f"coco:{home}", target="mask").test.targets.stored(0).any()
        assert load(f"coco:{home}", target="boxes").test.targets.stored(0).shape == (0, 6)


class TestAllThatIsWrong:
    @pytest.fixture
    def damaged(self, home):
        """Of a.png both annotations are wrong, of b.png none, and one belongs to no image."""
        content = copy.deepcopy(annotated.COCO)
        content["annotations"][0]["bbox"] = [2, 3, -10, 4]
        content["annotations"][3]["category_id"] = 99
        content["annotations"].append({**content["annotations"][1], "image_id": 8})
        write(home, content)
        return home

    @pytest.mark.parametrize("target", ["mask", "boxes", "label"])
    def test_a_check_names_every_annotation_with_its_file_and_image(self, damaged, target):
        report = data.check(f"coco:{damaged}", target=target)
        text = (damaged / "annotations.json").read_bytes()
        places = [match.start() for match in re.finditer(rb'{"id": \d+, "image_id"', text)]
        astray, of_image = report.corrupt
        assert astray == (
            f"{damaged}/annotations.json: the annotation at byte {places[4]:,} is of the image 8, "
            "which isn't there."
        )
        assert of_image.startswith(
            f"{damaged}/annotations.json, the image a.png: the annotation at "
        )
        assert f"byte {places[0]:,}: bbox must be" in of_image
        assert f"byte {places[3]:,} is of the category 99, which isn't there" in of_image
        assert not report.usable

    def test_what_is_right_is_counted(self, damaged):
        report = data.check(f"coco:{damaged}", target="boxes")
        assert (report.images, report.counts["train"]) == (2, {"car": 1, "dog": 1})

    @pytest.mark.parametrize("target", ["mask", "boxes"])
    def test_images_whose_annotations_are_wrong_can_be_left_out(self, damaged, target):
        found = load(f"coco:{damaged}", target=target, skip_corrupt=True)
        assert list(found.test.names) == [b"b.png"]
        assert len(found.left_out) == 2

    def test_a_file_of_wrong_annotations_alone_is_refused(self, home, monkeypatch):
        monkeypatch.setattr(coco_file, "MOST_WRONG", 2)
        write(home, changed("annotations", to=[7, 8, 9]))
        with pytest.raises(
            DataError, match=r"more than 2 annotations are wrong, such as: the annot"
        ):
            data.check(f"coco:{home}", target="boxes")

    def test_images_that_are_missing_are_all_named(self, home):
        for name in ("a.png", "b.png"):
            (home / name).unlink()
        report = data.check(f"coco:{home}", target="boxes")
        missing = [line for line in report.corrupt if "No such file" in line]
        assert [name in line for name, line in zip(("b.png", "a.png"), missing)] == [True, True]


class TestFolders:
    @pytest.mark.parametrize("images", ["", "images/"])
    def test_the_sets_of_the_official_layout_are_found(self, home, tmp_path, images):
        root = tmp_path / "official"
        for name in ("train2017", "val2017"):
            folder = root / images / name
            folder.mkdir(parents=True)
            for image in ("a.png", "b.png"):
                shutil.copy(home / image, folder / image)
            (root / "annotations").mkdir(exist_ok=True)
            shutil.copy(home / "annotations.json", root / "annotations" / f"instances_{name}.json")
        (root / "annotations" / "captions_train2017.json").write_text("{}")
        found = load(f"coco:{root}", target="mask", split=None)
        assert [found.splits[name].size for name in data.SPLITS] == [2, 2, 0]
        assert found.validation.names[0] == f"{images}val2017/b.png".encode()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                changed("images", 0, "file_name", to="../b.png"),
                "file_name must be that of an image",
            ),
            (changed("images", 0, "file_name", to="/etc/passwd"), "file_name must be that of"),
            (changed("images", 0, "file_name", to="c.png"), "There is no image .*c.png"),
            (changed("images", 0, "height", to=0), "height and width must be sizes in pixels"),
            (changed("images", 0, "id", to=7), "images, at byte .*: the image 7 is there twice"),
            (changed("categories", 0, "id", to=3), "the category 3, 'car', is there twice"),
            (changed("annotations", 0, "category_id", to=4), "is of the category 4, which isn't"),
            (changed("annotations", 0, "image_id", to=4), "is of the image 4, which isn't there"),
            (
                changed("annotations", 0, "bbox", to=[1, 2, 3]),
                "the annotation at byte .*: bbox must",
            ),
            (
                changed("annotations", 0, "bbox", to=[1, 2, -3, 4]),
                "the annotation at byte .*: bbox",
            ),
            (changed("annotations", 0, to=7), "the annotation at byte .*: expected an object"),
            (changed("categories", to=[]), "it has no categories"),
            ([], "expected { at byte 0"),
        ],
    )
    def test_what_is_wrong_in_the_file_is_refused_with_its_place(self, home, content, message):
        write(home, content)
        with pytest.raises(DataError, match=message) as error:
            load(f"coco:{home}", target="boxes")
        assert "annotations.json" in str(error.value)

    def test_what_is_no_such_folder_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="There is no folder"):
            load(f"coco:{tmp_path / 'none'}")
        with pytest.raises(DataError, match="must be a folder of COCO"):
            load(f"coco:{tmp_path}")

    def test_a_file_that_is_too_large_is_refused_unread(self, home):
        with open(home / "annotations.json", "r+b") as file:
            file.truncate(coco_file.LARGEST + 1)  # a sparse file: it takes no room
        with pytest.raises(DataError, match="4,294,967,297 bytes, more than the 4,294,967,296"):
            load(f"coco:{home}", target="boxes")

    @pytest.mark.parametrize("name", ["annotations.json", "a.png"])
    def test_links_out_of_the_folder_are_not_followed(self, home, tmp_path, name):
        shutil.move(home / name, tmp_path / name)
        (home / name).symlink_to(tmp_path / name)
        with pytest.raises(DataError, match="link out of"):
            load(f"coco:{home}", target="boxes")
