"""YOLO's folders: the texts beside the images, whoever wrote them, and nothing outside."""

import functools
import os

import annotated
import numpy as np
import pytest
from PIL import Image

from kerascnn import data
from kerascnn.data import yolo
from kerascnn.errors import DataError

load = functools.partial(
    data.load, echo=None, target="boxes", input_shape=(20, 30, 3), validation=0, test=0
)
SIZE = (20, 30)
TWO = yolo.Told(("a", "b"), "data.yaml", {})


def write(root, *paths, text="1 0.5 0.5 0.2 0.4\n"):
    """Images of 20×30 at these paths, and the text of each where it belongs."""
    for number, path in enumerate(paths):
        for place in (root / path, root / os.fsdecode(yolo.text_of(os.fsencode(path)))):
            place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(annotated.noise(number, SIZE)).save(root / path)
        place.write_text(text)
    return root


def names(split):
    return [os.fsdecode(name) for name in split.names]


class TestTexts:
    def test_shares_become_pixels(self):
        text = "0 0.5 0.5 1 1\n\n1\t.5 5e-1 0.2 0.5 \n"
        found = yolo.annotation(text, TWO, SIZE)
        np.testing.assert_allclose(found, [[0, 0, 30, 20, 0, 0], [12, 5, 18, 15, 1, 0]], atol=1e-5)

    def test_a_polygons_box_is_around_it(self):
        found = yolo.annotation("0 0.1 0.5 0.3 0.25 0.2 0.75 0.2 0.3", TWO, SIZE)
        np.testing.assert_allclose(found, [[3, 5, 9, 15, 0, 0]], atol=1e-5)

    def test_half_a_pixel_beyond_the_border_is_rounding(self):
        assert len(yolo.annotation("0 0.5 0.5 1.03 1.04", TWO, SIZE)) == 1
        with pytest.raises(ValueError, match="line 1: its box reaches"):
            yolo.annotation("0 0.5 0.5 1.04 1", TWO, SIZE)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("0 0.5 0.5 0.2", "expected the class, the box's middle, width and height"),
            ("0 0.5 0.5 0.2 0.2 0.9", "expected the class, the box's middle, width and height"),
            ("0 nan 0.5 0.2 0.2", ".* all numbers. Received: '0 nan"),
            ("0 1_0 0.5 0.2 0.2", ".* all numbers"),
            (
                "2 0.5 0.5 0.2 0.2",
                "expected a class from 0 to 1, which data.yaml names. Received: 2",
            ),
            ("0.5 0.5 0.5 0.2 0.2", "expected a class from 0 to 1"),
            ("-1 0.5 0.5 0.2 0.2", "expected a class from 0 to 1"),
            ("0 15 10 6 8", "expected shares of the image's width and height"),
            ("0 0.5 0.5 0 0.2", "its box has no area"),
            ("0 0.5 0.5 -0.2 0.2", "the corners of its box are swapped"),
        ],
    )
    def test_a_wrong_line_is_refused_by_its_number(self, line, message):
        with pytest.raises(ValueError, match=f"^line 2: {message}"):
            yolo.annotation(f"1 0.5 0.5 0.2 0.2\n{line}\n", TWO, SIZE)


class TestFolders:
    @pytest.mark.parametrize(
        ("told", "train", "val"),
        [
            ("path: ../x\ntrain: images/train\nval: images/val", "images/train", "images/val"),
            ("train: ../train/images\nval: ../valid/images\ntest: ../test/images", "train/images",
                "valid/images"),
            ("path: sub\ntrain: [images/a, images/b]\nval: images/c", "sub/images/a",
                "sub/images/c"),
            ("train: t.txt\nval: images/v", "images/t", "images/v"),
            ("", "images/train", "images/val2017"),
            ("", "training/images", "valid/images"),
            ("", "train", "val"),
        ],
    )  # fmt: skip
    def test_the_splits_are_found_as_they_are_named(self, tmp_path, told, train, val):
        write(tmp_path, f"{train}/1.png", f"{val}/2.png")
        (tmp_path / "sub/images/b").mkdir(parents=True)
        (tmp_path / "t.txt").write_text(f"./{train}/1.png\n")
        (tmp_path / "data.yaml").write_text(f"names: [a, b]\n{told}\n")
        found = load(f"yolo:{tmp_path}")
        assert (names(found.train), names(found.validation)) == (
            [f"{train}/1.png"],
            [f"{val}/2.png"],
        )
        for split in (found.train, found.validation):
            np.testing.assert_allclose(split.targets.checked(0), [[12, 6, 18, 14, 1, 0]], atol=1e-5)

    @pytest.mark.parametrize("folder", ["images", "."])
    def test_without_splits_all_is_for_training(self, tmp_path, folder):
        write(tmp_path, f"{folder}/1.png", f"{folder}/2.png")
        found = load(f"yolo:{tmp_path}?classes=a,b")
        assert [os.path.basename(name) for name in names(found.train)] == ["1.png", "2.png"]
        assert found.class_names == ("a", "b")

    def test_a_text_lies_beside_the_last_folder_of_images(self):
        assert yolo.text_of(b"images/x/images/a.b.jpg") == b"images/x/labels/a.b.txt"
        assert yolo.text_of(b"obj/my_images/a.jpg") == b"obj/my_images/a.txt"
        assert yolo.text_of(b"a.jpg") == b"a.txt"

    @pytest.mark.parametrize(
        ("file", "text"),
        [("classes.txt", "a\nb\n\n"), ("obj.names", "a\n b"), ("labels/classes.txt", "a\r\nb\r\n"),
            ("data.yaml", "names:\n  0: a\n  1: b\n"), ("data.yml", "names:\n- a\n- b\n")],
    )  # fmt: skip
    def test_the_classes_are_named_in_a_file(self, tmp_path, file, text):
        write(tmp_path, "images/1.png")
        (tmp_path / file).write_text(text)
        assert load(f"yolo:{tmp_path}").class_names == ("a", "b")

    def test_an_image_without_a_text_has_no_object(self, tmp_path):
        write(tmp_path, "images/1.png", "images/2.png", "images/3.png")
        (tmp_path / "labels/1.txt").unlink()
        (tmp_path / "labels/2.txt").write_text("")
        targets = load(f"yolo:{tmp_path}?classes=a,b").train.targets
        assert [len(targets.checked(position)) for position in range(3)] == [0, 0, 1]
        for name in ("2", "3"):
            (tmp_path / f"labels/{name}.txt").unlink()
        with pytest.raises(
            DataError, match=r"no image has a text.*labels/1\.txt for images/1\.png"
        ):
            load(f"yolo:{tmp_path}?classes=a,b")

    def test_shares_are_of_the_upright_image(self, tmp_path):
        write(tmp_path, "images/1.jpg")
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(annotated.noise(0, (30, 20))).save(tmp_path / "images/1.jpg", exif=exif)
        targets = load(f"yolo:{tmp_path}?classes=a,b").train.targets
        assert targets.sizes.tolist() == [[20, 30]]
        np.testing.assert_allclose(targets.checked(0), [[12, 6, 18, 14, 1, 0]], atol=1e-5)

    def test_a_label_is_that_of_images_with_one_class(self, tmp_path):
        write(tmp_path, "images/1.png", "images/2.png")
        (tmp_path / "labels/1.txt").write_text("0 .5 .5 .1 .1\n1 .5 .5 .1 .1")
        found = data.load(
            f"yolo:{tmp_path}?classes=a,b", echo=None, input_shape=(20, 30, 3), split="all"
        )
        assert (names(found.test), found.test.labels.tolist()) == (["images/2.png"], [1])


class TestWhatIsWrong:
    def test_a_text_without_an_image_is_named(self, tmp_path):
        write(tmp_path, "images/1.png")
        (tmp_path / "labels/2.txt").write_text("")
        (tmp_path / "labels/classes.txt").write_text("a\nb")
        with pytest.raises(DataError, match=r"labels/2\.txt: there is no image of its name in"):
            load(f"yolo:{tmp_path}")
        assert len(data.check(f"yolo:{tmp_path}").corrupt) == 1

    def test_a_damaged_image_is_named_once(self, tmp_path):
        write(tmp_path, "images/1.png", "images/2.png")
        (tmp_path / "images/1.png").write_bytes(b"x")
        with pytest.raises(DataError, match=r"1\.png can't be read as an image"):
            load(f"yolo:{tmp_path}?classes=a,b")
        (line,) = data.check(f"yolo:{tmp_path}?classes=a,b").corrupt
        assert "1.png can't be read as an image" in line

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("train: images", "nothing names the classes"),
            ("names: [a, a]", "expected names of classes, each once"),
            ("names: {1: a}", "names must be numbered from 0"),
            ("names: a", "expected names of classes"),
            ("names: &x [a]", r"data\.yaml: line 1, names: expected a text"),
            ("names: [a]\ntrain: images/none", "there is no .*images/none, which train names"),
            ("names: [a]\ntrain: {a: b}", "train must be a folder, or a list"),
            ("names: [a]\ntrain: /etc", r"data\.yaml: expected a path below the folder"),
            ("names: [a]\ntrain: images/../..", "expected a path below the folder"),
            ("names: [a]\ntrain: empty", "There is no image in .*empty"),
        ],
    )
    def test_what_cannot_be_used_is_said(self, tmp_path, text, message):
        write(tmp_path, "images/1.png")
        (tmp_path / "empty").mkdir()
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(DataError, match=message):
            load(f"yolo:{tmp_path}")

    def test_a_list_leads_nowhere_else(self, tmp_path):
        write(tmp_path, "images/1.png")
        (tmp_path / "data.yaml").write_text("names: [a, b]\ntrain: list.txt")
        (tmp_path / "list.txt").write_text(
            "images/1.png\n/etc/passwd\nimages/../../x.png\n../none.png\n"
        )
        with pytest.raises(DataError, match=r"list\.txt, line 2: expected a path below"):
            load(f"yolo:{tmp_path}")
        report = data.check(f"yolo:{tmp_path}")
        assert [line.partition("line ")[2][:1] for line in report.corrupt] == ["2", "3", "4"]
        assert report.images == 1

    @pytest.mark.parametrize("place", ["images/1.png", "labels/1.txt", "data.yaml", "list.txt"])
    def test_links_out_of_the_folder_are_not_followed(self, tmp_path, place):
        root = write(tmp_path / "root", "images/1.png")
        (root / "data.yaml").write_text("names: [a, b]\ntrain: list.txt")
        (root / "list.txt").write_text("images/1.png\n")
        os.rename(root / place, tmp_path / "outside")
        (root / place).symlink_to(tmp_path / "outside")
        with pytest.raises(DataError, match="is a link out of"):
            load(f"yolo:{root}")
