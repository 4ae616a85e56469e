"""`masks:PATH`: numbers, palettes and colours, and what is wrong with them, by the file's name."""

import functools
import os

import numpy as np
import pytest
from kerascnn_segmentation import masks
from PIL import Image

from kerascnn import data
from kerascnn.errors import DataError

SHAPE = (12, 16, 3)
load = functools.partial(data.load, echo=None, target="mask", input_shape=SHAPE)
VOID = 255


def picture(path, number=0, size=SHAPE[:2]):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (*size, 3), "uint8")).save(path)


def save(path, pixels, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, "uint8"), mode)
    if mode == "P":
        image.putpalette([n % 256 for n in range(768)])
    image.save(path)


def numbers(*values):
    """A mask with bands of these numbers."""
    mask = np.zeros(SHAPE[:2], "uint8")
    for band, value in enumerate(values):
        mask[:, band * 3 : band * 3 + 3] = value
    return mask


@pytest.fixture
def root(tmp_path):
    """Three images in folders of JPEG files, with masks of 0, 1, 2 and void."""
    for number, name in enumerate("abc"):
        picture(tmp_path / "images" / f"{name}.jpg", number)
        save(tmp_path / "masks" / f"{name}.png", numbers(1, 2, VOID))
    return tmp_path


class TestLayouts:
    def test_masks_have_their_images_names(self, root):
        save(root / "masks/b.png", numbers(2, 2, 2), "P")
        found = load(f"masks:{root}", split="all")
        assert found.class_names == ("0", "1", "2")
        for place, name in enumerate(found.test.names):
            expected = numbers(2, 2, 2) if name == b"images/b.jpg" else numbers(1, 2, VOID)
            np.testing.assert_array_equal(found.test.example(place)[1], expected)

    @pytest.mark.parametrize("form", ["{kind}/{split}", "{split}/{kind}"])
    def test_folders_of_splits_are_inside_or_around(self, tmp_path, form):
        for split, count in (("train", 3), ("val", 2), ("Test", 1)):
            for number in range(count):
                where = {kind: tmp_path / form.format(kind=kind, split=split) for kind in
                         ("images", "masks")}  # fmt: skip
                picture(where["images"] / f"{number}.png", number)
                save(where["masks"] / f"{number}.png", numbers(1))
        found = load(f"masks:{tmp_path}")
        assert [found.splits[name].size for name in data.SPLITS] == [3, 2, 1]

    def test_shares_are_taken_where_there_are_no_folders_of_splits(self, root):
        found = load(f"masks:{root}", validation=0.3, test=0, seed=1)
        assert sum(split.size for split in found.splits.values()) == 3
        assert found.split_rule

    def test_it_has_masks_alone(self, root):
        with pytest.raises(DataError, match=r"has no labels\. It has masks"):
            data.load(f"masks:{root}", echo=None)

    def test_folders_that_are_not_there_are_told(self, tmp_path):
        with pytest.raises(DataError, match="There is no folder"):
            load(f"masks:{tmp_path / 'none'}")
        with pytest.raises(DataError, match="must hold the folders images and masks"):
            load(f"masks:{tmp_path}")
        picture(tmp_path / "images" / "a.png")
        with pytest.raises(DataError, match=r"There is no folder .*masks, which must hold a mask"):
            load(f"masks:{tmp_path}")


class TestClasses:
    def test_two_numbers_that_are_black_and_white_are_two_classes(self, root):
        for name in "abc":
            save(root / "masks" / f"{name}.png", numbers(VOID))
        found = load(f"masks:{root}", split="all")
        assert found.class_names == ("0", "255")
        np.testing.assert_array_equal(found.test.example(0)[1], numbers(1))

    def test_a_table_names_numbers(self, root):
        (root / "classes.csv").write_text("name,index\nsky,2\nvoid,0\nroad,1\n")
        found = load(f"masks:{root}", split="all")
        assert found.class_names == ("sky", "road")
        expected = np.select([numbers(1, 2, VOID) == n for n in (1, 2)], (1, 0), VOID)
        np.testing.assert_array_equal(found.test.example(0)[1], expected)

    def test_a_table_names_colours(self, root):
        (root / "classes.csv").write_text("name,red,green,blue\nsky,0,0,255\nroad,10,20,30\n")
        colours = np.zeros(SHAPE, "uint8") + np.array([0, 0, 255], "uint8")
        colours[3:5, 2:9] = 10, 20, 30
        for name in "abc":
            save(root / "masks" / f"{name}.png", colours)
        palette = Image.fromarray(colours).quantize(2)
        palette.save(root / "masks" / "b.png")
        expected = np.zeros(SHAPE[:2], "uint8")
        expected[3:5, 2:9] = 1
        found = load(f"masks:{root}", split="all")
        for place in range(3):
            np.testing.assert_array_equal(found.test.example(place)[1], expected)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name\nsky\n", "line 1: expected the columns name and index, or name, red"),
            ("name,index\nsky,256\n", "line 2: index must be 0 to 255. Received: 256"),
            ("name,index\nsky,-1\n", "line 2: index must be 0 to 255"),
            ("name,index\nsky,1\nroad,1\n", "line 3: road, or its number, is there twice"),
            ("name,index\n,1\n", "line 2: a class must have a name"),
            ("name,index\nsky\n", "line 2 has 1 fields"),
            ("name,index\n", "must name 1 to 250 classes. Received: 0"),
        ],
    )
    def test_a_damaged_table_is_refused_with_the_line(self, root, text, message):
        (root / "classes.csv").write_text(text)
        with pytest.raises(DataError, match=f"classes.csv.*{message}"):
            load(f"masks:{root}")


class TestBadMasks:
    @pytest.mark.parametrize("table", ["", "name,index\na,0\nb,1\nc,2\n"])
    def test_each_is_told_by_its_file_and_what_to_do(self, root, table):
        if table:
            (root / "classes.csv").write_text(table)
        path = root / "masks" / "b.png"
        path.unlink()
        with pytest.raises(
            DataError, match=r"There is no mask for .*images/b.jpg. Expected: .*b.p"
        ):
            load(f"masks:{root}")
        save(path, np.zeros((12, 17)))
        with pytest.raises(DataError, match=r"b.png: a mask must be as large as its image, 12×16"):
            load(f"masks:{root}")
        save(path, np.zeros(SHAPE))
        with pytest.raises(
            DataError, match=r"b.png: the mask has colours, .*classes.csv: name,red"
        ):
            load(f"masks:{root}")
        path.write_bytes(b"no image")
        with pytest.raises(DataError, match=r"b.png can't be read as an image"):
            load(f"masks:{root}")
        path.unlink()
        save(root / "masks" / "b.jpg", numbers(1))
        with pytest.raises(DataError, match=r"b.jpg: a mask must be of a format that keeps each"):
            load(f"masks:{root}")

    def test_a_number_or_colour_of_no_class(self, root):
        (root / "classes.csv").write_text("name,index\nsky,1\nroad,2\n")
        with pytest.raises(
            DataError, match=r"png: 84 pixels are of no class, such as 9,0 with the "
        ):
            load(f"masks:{root}")
        (root / "classes.csv").write_text("name,index\nsky,1\nroad,255\n")
        with pytest.raises(DataError, match=r"those of the 2 classes in classes\.csv\."):
            load(f"masks:{root}")
        (root / "classes.csv").write_text("name,r,g,b\nsky,0,0,0\nroad,1,1,1\n")
        with pytest.raises(
            DataError, match=r"such as 3,0 with the colour 2,2,2. Expected those of"
        ):
            load(f"masks:{root}")

    def test_numbers_with_gaps_need_a_table(self, root):
        save(root / "masks" / "b.png", numbers(251))
        with pytest.raises(DataError, match=r"numbers up to 251; .*classes.csv with the columns"):
            load(f"masks:{root}")

    def test_unreadable_ones_are_left_out_if_that_is_wanted(self, root):
        (root / "masks" / "b.png").write_bytes(b"no image")
        found = load(f"masks:{root}", split="all", skip_corrupt=True)
        assert sorted(found.test.names) == [b"images/a.jpg", b"images/c.jpg"]
        assert "b.png" in found.left_out[0]

    def test_what_has_no_partner_or_two_is_told(self, root):
        save(root / "masks" / "d.png", numbers(1))
        found = load(f"masks:{root}", split="all")
        assert found.left_out == ("masks/d.png: a mask without an image",)
        picture(root / "images" / "a.png")
        with pytest.raises(DataError, match=r"images/a.jpg and images/a.png have one name"):
            load(f"masks:{root}")

    @pytest.mark.parametrize("name", ["images/b.jpg", "masks/b.png", "classes.csv"])
    def test_links_out_of_the_folder_are_not_followed(self, root, tmp_path_factory, name):
        (root / "classes.csv").write_text("name,index\na,0\nb,1\nc,2\n")
        outside = tmp_path_factory.mktemp("outside") / "file"
        os.rename(root / name, outside)
        (root / name).symlink_to(outside)
        with pytest.raises(DataError, match="is a link out of"):
            load(f"masks:{root}")


def test_the_source_is_installed():
    from kerascnn import registry

    assert registry.load(registry.DATASETS, "masks", data.DataSource) is masks.SOURCE
