"""Sets of TensorFlow Datasets: prepared ones are read, and what is missing is said in a line."""

import json
import socket

import numpy as np
import pytest
from records import content, load

from kerascnn import data
from kerascnn.errors import DataError

pytestmark = pytest.mark.usefixtures("cache")


def test_a_set_of_tensorflow_datasets(tmp_path, monkeypatch):
    """A real builder, prepared on this machine: its files, names and splits are used."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class Greys(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            names = tfds.features.ClassLabel(names=["dark", "light"])
            image = tfds.features.Image(shape=(8, 8, 1))
            features = tfds.features.FeaturesDict({"image": image, "label": names})
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples(0, 20),
                "test": self._generate_examples(20, 26),
            }

        def _generate_examples(self, first, last):
            for value in range(first, last):
                image = np.full((8, 8, 1), value, "uint8")
                yield value, {"image": image, "label": value % 2}

    source = f"tfds:greys?data_dir={tmp_path / 'tfds'}"
    found = load(source)
    assert found.class_names == ("dark", "light")
    for split, values in ((found.train, range(20)), (found.test, range(20, 26))):
        expected = [(("dark", "light")[value % 2], value) for value in values]
        assert sorted(content(split, found.class_names), key=lambda one: one[1]) == expected
    assert json.loads(next((tmp_path / "tfds").rglob("dataset_info.json")).read_text())
    assert load(source).fingerprint == found.fingerprint
    with pytest.raises(DataError, match=r"tfds:grays.*can't be had: DatasetNotFoundError"):
        load(f"tfds:grays?data_dir={tmp_path / 'tfds'}")


@pytest.fixture(scope="module")
def outlines(tmp_path_factory):
    """A set with two labels and a mask, as oxford_iiit_pet has."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class Outlines(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["dark", "light"]),
                "species": tfds.features.ClassLabel(names=["a", "b", "c"]),
                "trimap": tfds.features.Image(shape=(None, None, 1)),
                "named": tfds.features.LabeledImage(labels=["sky", "road"], shape=(None, None, 1)),
            }
            features = tfds.features.FeaturesDict(features)
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(), "test": self._generate_examples()}

        def _generate_examples(self):
            for number in range(3):
                yield (
                    number,
                    {
                        "image": np.full((6, 7, 3), number, "uint8"),
                        "label": number % 2,
                        "species": number,
                        "trimap": self.trimap(number),
                        "named": self.trimap(number) // 2,
                    },
                )

        @staticmethod
        def trimap(number):
            mask = np.full((6, 7, 1), 1 + number, "uint8")
            mask[0] = 0
            return mask

    return f"tfds:outlines?data_dir={tmp_path_factory.mktemp('tfds')}"


class TestMasks:
    def test_masks_are_read_with_their_offset(self, outlines):
        found = load(
            f"{outlines}&mask=trimap&classes=pet,background,border&offset=1", target="mask"
        )
        assert found.class_names == ("pet", "background", "border")
        assert "where 1 to 3 are pet, background, border; other numbers" in found.notes[0]
        for index in range(3):
            image, mask = found.train.example(index)
            expected = np.full((6, 7), image[0, 0, 0], "uint8")
            expected[0] = 255
            np.testing.assert_array_equal(mask, expected)

    def test_a_labelled_image_knows_its_classes(self, outlines):
        found = load(f"{outlines}&mask=named", target="mask")
        assert found.class_names == ("sky", "road")
        assert sorted(np.unique(found.test.example(n)[1]).tolist() for n in range(3)) == [
            [0],
            [0, 1],
            [0, 1],
        ]

    def test_labels_of_such_a_set_are_those_called_label(self, outlines):
        assert load(outlines).class_names == ("dark", "light")
        assert load(f"{outlines}&label=species").class_names == ("a", "b", "c")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                "",
                r"one feature that is the mask, or say which as in \?mask=trimap",
            ),
            ("&mask=label", "Received: label of image, label, species, trimap, named"),
            ("&mask=trimap", "doesn't say what the numbers in trimap mean. Name the classes"),
            ("&mask=trimap&classes=a,b&offset=x", "offset must be the number of the first class"),
            ("&mask=trimap&classes=a,,b&offset=1", "classes must be names .* Received: .*a,,b"),
            ("&mask=trimap&classes=a,b,a&offset=1", "classes must be names .*each once"),
            ("&mask=trimap&classes=a&offset=1", "a mask's pixels must be 0 to 0"),
        ],
    )
    def test_what_is_not_plain_is_asked_for(self, outlines, options, message):
        with pytest.raises(DataError, match=message):
            load(f"{outlines}{options}", target="mask")


def test_without_the_package_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match=r"pip install 'kerascnn\[tfds\]'"):
        load("tfds:mnist")


def test_offline_a_set_that_is_not_there_is_refused_at_once_in_a_line(tmp_path, monkeypatch):
    """The package itself tries for minutes and prints a page."""
    pytest.importorskip("tensorflow_datasets")

    def offline(host, *_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(DataError, match=r"tfds:mnist is not in .* a connection to .*\?data_dir="):
        data.load(f"tfds:mnist?data_dir={tmp_path}")
