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
