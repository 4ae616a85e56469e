"""Bundled digits, archives, keras.datasets from a local server, and other packages' data."""

import functools
import gzip
import http.server
import io
import pickle
import subprocess
import sys
import tarfile
import threading

import numpy as np
import pytest
from keras.src.datasets import cifar100, fashion_mnist, mnist

from kerascnn import data, registry
from kerascnn.data import SPLITS, sources
from kerascnn.errors import ArgumentError, BrokenPluginError, DataError, UnknownNameError

RNG = np.random.default_rng(0)
load = functools.partial(data.load, echo=None)


def arrays(split):
    return np.stack([split.example(index)[0] for index in range(split.size)])


def counts(split, classes=10):
    return np.bincount(split.labels, minlength=classes).tolist()


class TestMnist5k:
    def test_the_split_is_stratified_complete_and_the_same_for_every_seed(self):
        digits = load("mnist5k", seed=1)
        assert [counts(getattr(digits, name)) for name in SPLITS] == [
            [350] * 10,
            [50] * 10,
            [100] * 10,
        ]
        with np.load(sources.__file__.replace("sources.py", "mnist5k.npz")) as archive:
            stored = sorted(zip(archive["labels"].tolist(), map(bytes, archive["images"])))
        delivered = [
            (label, bytes(image))
            for split in (digits.train, digits.validation, digits.test)
            for label, image in zip(split.labels.tolist(), arrays(split))
        ]
        assert sorted(delivered) == stored
        other = load("mnist5k", seed=2, validation=0.3)
        assert other.fingerprint == digits.fingerprint
        assert (digits.classes, digits.class_names) == (10, tuple("0123456789"))
        assert "CC BY-SA 3.0" in digits.licence
        assert digits.notes == ()

    def test_padding_is_told_and_part_of_the_fingerprint(self):
        told = []
        padded = data.load("mnist5k", input_shape=(32, 32, 1), echo=told.append)
        assert told == ["mnist5k: 28×28×1 images are padded with zeros to 32×32."]
        assert padded.image_shape == (32, 32, 1)
        assert padded.fingerprint != load("mnist5k").fingerprint
        np.testing.assert_array_equal(
            padded.test.example(3)[0][2:-2, 2:-2], load("mnist5k").test.example(3)[0]
        )

    def test_adapting_at_each_use_delivers_the_same(self, monkeypatch):
        kept = load("mnist5k", input_shape=(48, 40, 3)).validation
        monkeypatch.setattr("kerascnn.data.delivery.ADAPT_LIMIT", 0)
        anew = load("mnist5k", input_shape=(48, 40, 3)).validation
        assert (type(kept).__name__, type(anew).__name__) == ("ArraySplit", "ReadSplit")
        for (one, _), (two, _) in zip(kept.batches(100, seed=1), anew.batches(100, seed=1)):
            np.testing.assert_array_equal(one, two)
        stored = load("mnist5k").validation.example(7)[0]
        for split in (kept, anew, load("mnist5k").validation):
            np.testing.assert_array_equal(split.original(7), stored)

    def test_loading_needs_no_tensorflow(self):
        code = (
            "import sys, kerascnn.data\n"
            "assert 'numpy' not in sys.modules\n"
            "kerascnn.data.load('mnist5k', input_shape=(32, 32, 1))\n"
            "assert not {'tensorflow', 'keras'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if "cut" not in self.path:
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"only a part")

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """A web server of the folder `tmp_path/web`: its address and folder."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/", folder
        httpd.shutdown()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keras's home; the function sends a module of keras.datasets to another address."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(home))

    def redirect(module, address):
        fetch = module.get_file

        def get_file(fname, origin, file_hash=None, **options):
            name = origin.rsplit("/", 1)[1]
            return fetch(fname, origin=address + name, cache_dir=str(home), **options)

        monkeypatch.setattr(module, "get_file", get_file)
        return home

    return redirect


class TestKerasDatasets:
    def serve_mnist(self, folder):
        content = {
            "x_train": RNG.integers(0, 256, (200, 28, 28), "uint8"),
            "y_train": np.repeat(np.arange(10, dtype="uint8"), 20),
            "x_test": RNG.integers(0, 256, (30, 28, 28), "uint8"),
            "y_test": np.repeat(np.arange(10, dtype="uint8"), 3),
        }
        np.savez(folder / "mnist.npz", **content)
        return content

    def test_mnist_has_a_fixed_validation_set(self, server, cache, capsys):
        address, folder = server
        content = self.serve_mnist(folder)
        cache(mnist, address)
        first, second = load("mnist", seed=1), load("mnist", seed=2)
        assert first.train.size + first.validation.size == 200
        assert counts(first.test) == [3] * 10
        assert first.fingerprint == second.fingerprint
        np.testing.assert_array_equal(arrays(first.test)[..., 0], content["x_test"])
        train = np.concatenate([arrays(first.train), arrays(first.validation)])
        assert sorted(map(bytes, train)) == sorted(map(bytes, content["x_train"]))
        assert capsys.readouterr().out == ""  # the download's progress goes to stderr

    def test_fashion_mnist(self, server, cache):
        address, folder = server
        for name, size in (("train", 20), ("t10k", 10)):
            pixels = bytes(16) + RNG.bytes(size * 28 * 28)
            labels = bytes(8) + bytes(i % 10 for i in range(size))
            (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pixels))
            (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
        home = cache(fashion_mnist, address)
        clothes = load("fashion_mnist", validation=0)
        assert [getattr(clothes, name).size for name in SPLITS] == [20, 0, 10]
        assert clothes.class_names[9] == "Ankle boot"
        damaged = home / "datasets" / "fashion-mnist" / "train-images-idx3-ubyte.gz"
        damaged.write_bytes(damaged.read_bytes()[:1000])
        with pytest.raises(DataError, match=rf"fashion_mnist .*{damaged.parent}.*delete it"):
            load("fashion_mnist")

    def test_cifar100(self, server, cache):
        address, folder = server
        with tarfile.open(folder / "cifar-100-python.tar.gz", "w:gz") as archive:
            for name, size in (("train", 300), ("test", 100)):
                content = {
                    b"data": RNG.integers(0, 256, (size, 3072), "uint8"),
                    b"fine_labels": [i % 100 for i in range(size)],
                }
                packed = pickle.dumps(content)
                entry = tarfile.TarInfo(f"cifar-100-python/{name}")
                entry.size = len(packed)
                archive.addfile(entry, io.BytesIO(packed))
        cache(cifar100, address)
        photos = load("cifar100")
        assert photos.train.size + photos.validation.size == 300
        assert photos.test.size == 100
        assert photos.image_shape == (32, 32, 3)
        assert (photos.classes, photos.class_names[99]) == (100, "worm")

    def test_without_network_the_message_says_where_to_put_which_file(self, cache):
        home = cache(mnist, "http://127.0.0.1:9/")
        with pytest.raises(DataError) as raised:
            load("mnist")
        message = str(raised.value)
        assert f"{home / 'datasets'}: mnist.npz from https://" in message
        assert "Connection refused" in message

    @pytest.mark.parametrize("reply", ["missing/", "cut/"])
    def test_failed_download_is_told_and_leaves_nothing_behind(self, server, cache, reply):
        address, folder = server
        home = cache(mnist, address + reply)
        with pytest.raises(DataError, match=r"mnist can't be loaded: "):
            load("mnist")
        assert list((home / "datasets").iterdir()) == []
        cache(mnist, address)
        self.serve_mnist(folder)

    def test_labels_of_the_documented_files(self):
        for source in (sources.MNIST, sources.FASHION_MNIST, sources.CIFAR10, sources.CIFAR100):
            hosted = source.read.args[0]
            assert len(set(hosted.class_names)) == (100 if hosted.name == "cifar100" else 10)


class TestNames:
    def test_unknown_names_suggest_the_nearest(self, tmp_path):
        with pytest.raises(UnknownNameError, match=r"no dataset 'mnist5'. Did you mean mnist5k"):
            load("mnist5")
        with pytest.raises(UnknownNameError, match=rf"Did you mean folder:{tmp_path}\?"):
            load(str(tmp_path))

    @pytest.mark.parametrize("source", ["npz", "npz:", "folder:", "mnist5k:", "mnist5k:x"])
    def test_missing_and_superfluous_arguments(self, source):
        with pytest.raises(DataError, match=rf"Expected .*Received: '{source}'"):
            load(source)

    def test_illegal_arguments(self):
        with pytest.raises(ArgumentError, match=r"input_shape .*Received: \(32, 32\)"):
            load("mnist5k", input_shape=(32, 32))
        with pytest.raises(ArgumentError, match=r"validation=0.6, test=0.4"):
            load("mnist5k", validation=0.6, test=0.4)

    def test_data_of_another_installed_distribution(self, tmp_path, monkeypatch):
        (tmp_path / "stripes.py").write_text(
            "import numpy as np\n"
            "from kerascnn.data import Arrays, Contents, DataSource\n"
            "def read(argument, options):\n"
            "    labels = np.arange(40) % 2\n"
            "    images = np.zeros((40, 8, 8, 1), 'uint8') + labels[:, None, None, None]\n"
            "    images = images.astype('uint8') * int(argument)\n"
            "    splits = {'train': Arrays(images, labels)}\n"
            "    return Contents(class_names=('dark', 'light'), splits=splits)\n"
            "STRIPES = DataSource(read=read, argument='BRIGHTNESS')\n"
        )
        info = tmp_path / "stripes-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stripes\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[kerascnn.datasets]\nstripes = stripes:STRIPES\nwrong = stripes:read\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        registry.refresh()
        try:
            stripes = load("stripes:200", input_shape=(10, 10, 1))
            sizes = [getattr(stripes, name).size for name in SPLITS]
            assert sum(sizes) == 40
            assert list(stripes.train.names)[:1] != [b"0"]
            image, label = stripes.train.example(1)
            assert image[5, 5, 0] == 200 * label
            with pytest.raises(BrokenPluginError, match=r"'wrong'.* must be a kerascnn DataSource"):
                load("wrong")
        finally:
            monkeypatch.undo()
            registry.refresh()
