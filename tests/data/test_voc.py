"""PASCAL VOC's folders: masks, boxes and labels of the images that the lists name."""

import functools
import os
import shutil

import annotated
import numpy as np
import pytest
from PIL import Image

from kerascnn import data
from kerascnn.data import voc
from kerascnn.errors import DataError

load = functools.partial(data.load, echo=None, input_shape=(24, 32, 3))
FIRST, SECOND, THIRD = annotated.SIZES
BOMB = """<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>"""


@pytest.fixture
def home(tmp_path):
    return annotated.voc(tmp_path)


class TestAnnotations:
    def test_boxes_are_edges_of_pixels_that_are_counted_from_one(self):
        text = annotated.annotation((20, 30), ("cat", (1, 1, 30, 20), 0), ("dog", (3, 4, 3, 4), 1))
        size, boxes = voc.annotation(text)
        assert size == (20, 30)
        assert boxes.tolist() == [[0, 0, 30, 20, 7, 0], [2, 3, 3, 4, 11, 1]]

    def test_corners_counted_from_zero_are_edges(self, home):
        text = annotated.annotation((20, 30), ("cat", (0, 0, 30, 20), 0))
        assert voc.annotation(text, first=0)[1].tolist() == [[0, 0, 30, 20, 7, 0]]
        for name in (FIRST, THIRD):
            (home / "Annotations" / f"{name}.xml").write_text(text)
        with pytest.raises(DataError, match=r"1 pixel out.*counted from 0, .*voc:PATH\?first=0"):
            load(f"voc:{home}", target="boxes")
        found = load(f"voc:{home}?first=0", target="boxes")
        assert found.train.targets.stored(0).tolist() == [[0, 0, 30, 20, 7, 0]]
        with pytest.raises(DataError, match=r"first must be 1, .* or 0\. Received: '2'"):
            load(f"voc:{home}?first=2", target="boxes")

    def test_an_image_may_have_no_object(self):
        assert voc.annotation(annotated.annotation((20, 30)))[1].shape == (0, 6)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("cat", "unicorn", "expected an object of one of the classes aeroplane"),
            (
                "<xmin>5",
                "<xmin>99",
                "object 1: the corners of its box are swapped.* Received: 99, 1",
            ),
            ("<xmin>5", "<xmin>five", "bndbox/xmin must be a number. Received: 'five'"),
            ("<xmin>5", "<xmin>nan", "bndbox/xmin must be a number. Received: 'nan'"),
            ("<width>30<", "<width>0<", "size must be whole numbers of pixels. Received: 0×20"),
            ("<width>30</width>", "", "size/width must be a number. Received: ''"),
            ("</annotation>", "", "it is no XML: "),
            ("<annotation>", f"{BOMB}<annotation>", "a document type"),
            ("<annotation>", "<annotation>" + "<a>" * 9000, "nested more than 16 deep"),
            ("cat", "&b;", "it is no XML: undefined entity"),
        ],
    )
    def test_what_is_wrong_is_refused(self, old, new, message):
        text = annotated.annotation((20, 30), ("cat", (5, 1, 30, 20), 0))
        assert old in text
        with pytest.raises(ValueError, match=message):
            voc.annotation(text.replace(old, new))


class TestMasks:
    def test_palette_numbers_are_the_classes(self, home):
        found = load(f"voc:{home}", target="mask", input_shape=(20, 30, 3))
        assert found.class_names == ("background", *voc.CLASSES)
        assert (found.train.size, found.validation.size, found.test.size) == (2, 1, 0)
        image, mask = found.train.example(0)
        np.testing.assert_array_equal(mask, annotated.voc_mask(1, (20, 30)))
        with Image.open(home / "JPEGImages" / f"{FIRST}.jpg") as stored:
            np.testing.assert_array_equal(image, np.asarray(stored))
        np.testing.assert_array_equal(
            found.train.targets.stored(1), annotated.voc_mask(2, (24, 24))
        )
        np.testing.assert_array_equal(
            found.validation.targets.stored(0), annotated.voc_mask(3, (20, 30))
        )

    def test_the_parent_folder_of_one_year_will_do(self, home):
        found = load(f"voc:{home.parent}", target="mask")
        assert found.fingerprint == load(f"voc:{home}", target="mask").fingerprint
        (home.parent / "VOC2007" / "JPEGImages").mkdir(parents=True)
        with pytest.raises(DataError, match=r"VOC2007, .*VOC2012. Expected one of them"):
            load(f"voc:{home.parent}", target="mask")

    def test_a_test_list_without_masks_is_passed_over(self, home):
        (home / "ImageSets/Segmentation/test.txt").write_text("2012_999999\n")
        assert load(f"voc:{home}", target="mask").test.size == 0
        (home / "ImageSets/Segmentation/test.txt").write_text(f"{THIRD}\n")
        (home / "ImageSets/Segmentation/val.txt").unlink()
        found = load(f"voc:{home}", target="mask")
        assert found.test.size == 1

    def test_images_for_validation_are_not_for_training(self, home):
        """`trainval.txt` names both, and stands in for a `train.txt` that isn't there."""
        lists = home / "ImageSets/Segmentation"
        (lists / "train.txt").unlink()
        (lists / "trainval.txt").write_text(f"{FIRST}\n{SECOND}\n{THIRD}\n")
        found = load(f"voc:{home}", target="mask")
        assert [found.train.size, found.validation.size] == [2, 1]
        assert not set(found.train.names) & set(found.validation.names)

    def test_a_mask_that_is_no_mask_is_refused_by_its_name(self, home):
        path = home / "SegmentationClass" / f"{SECOND}.png"
        Image.fromarray(annotated.noise(1, (24, 24))).save(path)
        with pytest.raises(DataError, match=f"{SECOND}.png: a mask of VOC has a palette"):
            load(f"voc:{home}", target="mask")
        Image.new("L", (24, 24)).save(path, "JPEG")
        with pytest.raises(DataError, match=f"{SECOND}.png: a mask must be of a format that keeps"):
            load(f"voc:{home}", target="mask")
        annotated.palette_png(path, np.full((24, 24), 21, "uint8"))
        with pytest.raises(DataError, match=f"{SECOND}.png: a mask's pixels must be 0 to 20"):
            load(f"voc:{home}", target="mask")
        annotated.palette_png(path, np.zeros((24, 25), "uint8"))
        with pytest.raises(DataError, match=f"{SECOND}.png: a mask must be as large as its image"):
            load(f"voc:{home}", target="mask")
        path.unlink()
        with pytest.raises(DataError, match=f"There is no mask .*{SECOND}.png"):
            load(f"voc:{home}", target="mask")


class TestBoxesAndLabels:
    def test_boxes_are_those_of_the_files(self, home):
        found = load(f"voc:{home}", target="boxes")
        assert found.class_names == voc.CLASSES
        boxes = found.train.targets
        assert boxes.stored(0).tolist() == [[0, 0, 10, 20, 7, 0], [11, 2, 30, 9, 7, 1]]
        assert boxes.stored(1).tolist() == [[1, 2, 24, 24, 11, 0], [4.5, 4, 9, 9, 14, 0]]
        assert found.validation.targets.stored(0).tolist() == [[2, 3, 3, 4, 0, 0]]

    def test_a_label_is_that_of_images_with_one_class(self, home):
        found = load(f"voc:{home}")
        assert (found.train.labels.tolist(), found.validation.labels.tolist()) == ([7], [0])
        assert found.train.names[0].endswith(f"{FIRST}.jpg".encode())
        assert found.notes[0].startswith("1 of 2 train images are left out: the label is the class")

    def test_a_wrong_annotation_is_refused_by_its_name(self, home):
        path = home / "Annotations" / f"{FIRST}.xml"
        path.write_text(path.read_text().replace("cat", "lion"))
        with pytest.raises(DataError, match=f"{FIRST}.xml: object 1: expected an object of one"):
            load(f"voc:{home}", target="boxes")
        path.write_text(annotated.annotation((30, 20)))
        with pytest.raises(DataError, match=f"{FIRST}.*drawn in an image of 30×20"):
            load(f"voc:{home}", target="boxes")
        path.write_bytes(b"x" * (voc.LARGEST + 1))
        with pytest.raises(DataError, match=f"{FIRST}.xml can't be read: it is larger than 1 MiB"):
            load(f"voc:{home}", target="boxes")

    def test_ones_own_classes_are_named_behind_the_path(self, home):
        path = home / "Annotations" / f"{FIRST}.xml"
        path.write_text(path.read_text().replace(">cat<", ">dent<"))
        with pytest.raises(DataError, match=r"\.xml: .*voc:PATH\?classes=NAME,NAME"):
            load(f"voc:{home}", target="boxes")
        source = f"voc:{home}?classes=dent,dog,person,aeroplane"
        found = load(source, target="boxes")
        assert found.class_names == ("dent", "dog", "person", "aeroplane")
        assert found.train.targets.boxes[:, 4].tolist() == [0, 0, 1, 2]
        assert load(source, target="mask").class_names[:2] == ("background", "dent")
        for wrong in ("", "dent,", "dent,dent"):
            with pytest.raises(DataError, match="classes must be names such as scratch,dent"):
                load(f"voc:{home}?classes={wrong}", target="boxes")

    def test_what_is_not_said_to_be_difficult_is_not(self):
        text = annotated.annotation((20, 30), ("cat", (1, 1, 9, 9), 0))
        for none in ("<difficult/>", "<difficult></difficult>", ""):
            _, boxes = voc.annotation(text.replace("<difficult>0</difficult>", none))
            assert boxes[0, 5] == 0


class TestAllThatIsWrong:
    """A check goes on where a training stops, and what is left out is left out in whole images."""

    @pytest.fixture
    def damaged(self, home):
        first, second = (home / "Annotations" / f"{name}.xml" for name in (FIRST, SECOND))
        objects = [("lion", (1, 1, 9, 9), 0), ("cat", (1, 1, 9, 9), 0), ("dog", (9, 1, 2, 9), 0)]
        first.write_text(annotated.annotation((20, 30), *objects))
        second.unlink()
        return home

    @pytest.mark.parametrize("target", ["boxes", "label"])
    def test_a_check_names_every_file_and_object(self, damaged, target):
        report = data.check(f"voc:{damaged}", target=target)
        first, second = sorted(report.corrupt)
        assert f"{FIRST}.xml: object 1: expected an object of one of the classes" in first
        assert "'lion'" in first
        assert "; object 3: the corners of its box are swapped" in first
        assert "object 2" not in first
        assert f"{SECOND}.xml" in second
        assert sum(report.counts["validation"].values()) == 1, "what is right is counted"
        assert not report.usable

    @pytest.mark.parametrize("target", ["boxes", "label"])
    def test_images_whose_annotations_are_wrong_can_be_left_out(self, damaged, target):
        with pytest.raises(DataError, match=f"{FIRST}.xml: object 1"):
            load(f"voc:{damaged}", target=target)
        found = load(f"voc:{damaged}", target=target, skip_corrupt=True, split="all")
        assert [name.decode() for name in found.test.names] == [f"JPEGImages/{THIRD}.jpg"]
        assert len(found.left_out) == 2

    def test_of_many_wrong_objects_a_message_shows_some(self):
        objects = [("lion", (1, 1, 9, 9), 0)] * 1000
        with pytest.raises(ValueError, match=r"object 3: .*; and 997 more$") as error:
            voc.annotation(annotated.annotation((20, 30), *objects))
        assert "object 4" not in str(error.value)

    @pytest.mark.parametrize("target", ["mask", "boxes"])
    def test_images_that_are_missing_are_all_named(self, home, target):
        for name in (FIRST, THIRD):
            (home / "JPEGImages" / f"{name}.jpg").unlink()
        report = data.check(f"voc:{home}", target=target)
        assert report.images == 3
        for name in (FIRST, THIRD):
            (line,) = [line for line in report.corrupt if f"JPEGImages/{name}.jpg" in line]
            assert "No such file" in line


class TestFolders:
    @pytest.mark.parametrize("target", ["mask", "boxes", "label"])
    def test_two_images_of_one_name_are_refused_with_both(self, home, target):
        annotated.palette_png(home / "JPEGImages" / f"{FIRST}.png", np.zeros((20, 30), "uint8"))
        both = f"JPEGImages/{FIRST}.jpg and JPEGImages/{FIRST}.png have one name"
        with pytest.raises(DataError, match=both):
            load(f"voc:{home}", target=target)
        os.rename(home / "JPEGImages" / f"{FIRST}.png", home / "JPEGImages/unlisted.png")
        (home / "JPEGImages/unlisted.jpg").touch()
        assert load(f"voc:{home}", target=target).train.size, "of images in no list it is no matter"

    @pytest.mark.parametrize("target", ["mask", "boxes"])
    def test_without_lists_all_images_with_an_answer_are_for_training(self, home, target):
        shutil.rmtree(home / "ImageSets")
        (home / "SegmentationClass" / f"{SECOND}.png").unlink()
        found = load(f"voc:{home}", target=target, split="all")
        names = [FIRST, THIRD] if target == "mask" else [FIRST, SECOND, THIRD]
        assert list(found.test.names) == [f"JPEGImages/{name}.jpg".encode() for name in names]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("../../etc/passwd", "train.txt, line 3: expected the name of an image"),
            (f"{FIRST}", "train.txt, line 3: '2007_000001' is there a second time"),
            ("2007_000009", "There is no image 2007_000009 in .*JPEGImages"),
        ],
    )
    def test_a_list_names_images_of_the_folder(self, home, line, message):
        with open(home / "ImageSets/Main/train.txt", "a") as file:
            file.write(f"{line}\n")
        (home / "Annotations/2007_000009.xml").write_text(annotated.annotation((3, 3)))
        with pytest.raises(DataError, match=message):
            load(f"voc:{home}", target="boxes")

    def test_numbers_behind_names_are_passed_over(self, home):
        (home / "ImageSets/Main/train.txt").write_text(f"{FIRST}  1\n{SECOND} -1\n")
        assert load(f"voc:{home}", target="boxes").train.size == 2

    def test_what_is_no_such_folder_is_refused(self, home, tmp_path):
        with pytest.raises(DataError, match="There is no folder"):
            load(f"voc:{tmp_path / 'none'}")
        with pytest.raises(DataError, match="it has no JPEGImages"):
            load(f"voc:{home / 'Annotations'}")
        (home / "ImageSets/Segmentation/train.txt").unlink()
        (home / "ImageSets/Segmentation/val.txt").unlink()
        with pytest.raises(DataError, match=r"train.txt must list the images with masks"):
            load(f"voc:{home}", target="mask")

    @pytest.mark.parametrize(
        ("place", "target"),
        [
            (f"JPEGImages/{FIRST}.jpg", "boxes"),
            (f"Annotations/{FIRST}.xml", "boxes"),
            (f"SegmentationClass/{FIRST}.png", "mask"),
            ("ImageSets/Main/train.txt", "boxes"),
        ],
    )
    def test_links_out_of_the_folder_are_not_followed(self, home, tmp_path, place, target):
        outside = tmp_path / "outside"
        os.rename(home / place, outside)
        (home / place).symlink_to(outside)
        with pytest.raises(DataError, match="is a link out of"):
            load(f"voc:{home}", target=target)
