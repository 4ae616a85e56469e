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
import zipfile

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


class TestNpz:
    @pytest.fixture
    def write(self, tmp_path):
        def write(**content):
            np.savez(tmp_path / "set.npz", **content)
            return f"npz:{tmp_path / 'set.npz'}"

        return write

    def test_one_set_is_split_by_content_and_seed(self, write):
        images = RNG.integers(0, 256, (1000, 6, 5), "uint8")
        labels = np.repeat([0, 1, 2], [700, 250, 50])[:, None]
        source = write(images=images, labels=labels)
        parts = load(source, seed=3, validation=0.2, test=0.1)
        assert parts.image_shape == (6, 5, 1)
        for name, share in (("validation", 0.2), ("test", 0.1)):
            expected = share * np.array([700, 250, 50])
            off = counts(getattr(parts, name), 3) - expected
            assert (np.abs(off) < 3 * np.sqrt(expected * (1 - share))).all()
        every = np.concatenate([arrays(getattr(parts, name)) for name in SPLITS])
        assert sorted(map(bytes, every)) == sorted(map(bytes, images))
        assert load(source, seed=3, validation=0.2, test=0.1).fingerprint == parts.fingerprint
        assert load(source, seed=4, validation=0.2, test=0.1).fingerprint != parts.fingerprint
        taken = (
            f"{parts.validation.size} for validation and {parts.test.size} for test are taken "
            "from 1000 training images, by their names."
        )
        assert parts.notes == (taken,)
        assert parts.split_rule == "hash of the name, seed 3, validation 0.2, test 0.1"
        whole = load(source, validation=0, test=0)
        assert (whole.notes, whole.split_rule) == ((), "")

        def sides(parts):
            return {name: side for side in SPLITS for name in getattr(parts, side).names}

        few = np.delete(np.arange(1000), range(1, 900, 3))
        reversed_ = write(images=images[few][::-1], labels=labels[few][::-1])
        after = sides(load(reversed_, seed=3, validation=0.2, test=0.1))
        assert after.items() < sides(parts).items(), "an image's side depends on its content alone"

    def test_separate_sets_and_names(self, write):
        pixels = RNG.integers(0, 256, (10, 4, 4, 3), "uint8")
        labels = np.arange(10) % 2
        own = {f"x_{name}": pixels for name in ("train", "val", "test")}
        own |= {f"y_{name}": labels for name in ("train", "val", "test")}
        parts = load(write(**own, class_names=["cat", "dog"]))
        assert [getattr(parts, name).size for name in SPLITS] == [10, 10, 10]
        assert parts.class_names == ("cat", "dog")

    @pytest.mark.parametrize(
        "form",
        ["x_{}", "X_{}", "{}_images", "{}-x", "images_{}"],
    )
    @pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev"])
    def test_every_usual_name_is_used(self, write, form, validation):
        label = {"x_{}": "y_{}", "X_{}": "y_{}", "{}-x": "{}-y", "images_{}": "labels_{}"}
        own = {}
        for count, name in enumerate(("train", validation, "test"), 3):
            own[form.format(name)] = RNG.integers(0, 256, (count, 4, 4, 3), "uint8")
            own[label.get(form, "{}_labels").format(name)] = np.arange(count)[:, None] % 2
        parts = load(write(**own))
        assert [getattr(parts, name).size for name in SPLITS] == [3, 4, 5]
        first = own.pop(form.format("train")), own.pop(label.get(form, "{}_labels").format("train"))
        beside = load(write(**own, images=first[0], labels=first[1]))
        assert beside.fingerprint == parts.fingerprint
        assert [getattr(load(write(**own), split="all"), name).size for name in SPLITS] == [0, 0, 9]

    def test_nothing_is_dropped_silently(self, write):
        pixels, labels = RNG.integers(0, 256, (6, 4, 4), "uint8"), np.arange(6) % 2
        whole = {"images": pixels, "labels": labels}
        noted = load(write(**whole, weights=[1], label_ids=labels), validation=0, test=0)
        assert noted.notes == ("Not used of the archive: weights, label_ids.",)
        for more, message in {
            ("x_train", "y_train"): "two arrays of the same: images and x_train",
            ("x_test",): "x_test has no labels",
            ("y_test",): "y_test has no images",
            ("x_pool", "y_pool"): "not clear to which split the images x_pool belong",
            ("x_test1", "y_test1"): "not clear to which split the images x_test1 belong",
            ("x_val", "y_val", "val_images"): "two arrays of the same: x_val and val_images",
        }.items():
            arrays = {name: labels if name.startswith("y") else pixels for name in more}
            with pytest.raises(DataError, match=rf"set\.npz.*{message}"):
                load(write(**whole, **arrays))

    def test_names_of_classes(self, write):
        whole = {"images": RNG.integers(0, 256, (6, 4, 4), "uint8"), "labels": np.arange(6) % 2}
        for names in (["Katze", "Käfer"], [b"Katze", "Käfer".encode()]):
            assert load(write(**whole, class_names=names)).class_names == ("Katze", "Käfer")
        for names, message in (
            (np.array(["a", "b"], object), r"class_names holds Python objects.*np|numpy\.array"),
            (["a", "a"], "has 'a' twice"),
            ([["a", "b"]], r"must be text \[classes\]"),
        ):
            with pytest.raises(DataError, match=message):
                load(write(**whole, class_names=names))

    def test_labels_as_text_and_one_hot(self, write):
        images = RNG.integers(0, 256, (6, 4, 4), "uint8")
        words = ["b", "a", "b", "c", "a", "b"]
        for labels in (words, [word.encode() for word in words]):
            parts = load(write(images=images, labels=labels), validation=0, test=0)
            assert parts.class_names == ("a", "b", "c")
            assert parts.train.labels.tolist() == [1, 0, 1, 2, 0, 1]
        with pytest.raises(DataError, match="label 'c' is not in class_names"):
            load(write(images=images, labels=words, class_names=["a", "b"]))
        for dtype in ("uint8", "float32", bool):
            hot = np.eye(3, dtype=dtype)[[1, 0, 1, 2, 0, 1]]
            parts = load(write(images=images, labels=hot), validation=0, test=0)
            assert parts.train.labels.tolist() == [1, 0, 1, 2, 0, 1]
            assert parts.notes == (
                "The train labels are one-hot: the place of the 1 is the class.",
            )
        for wrong in (np.ones((6, 3)), np.zeros((6, 3), int), np.full((6, 2), 0.5)):
            with pytest.raises(DataError, match=r"one class an image.*several labels or none"):
                load(write(images=images, labels=wrong))

    def test_a_range_makes_arrays_of_other_numbers_readable(self, write):
        numbers = np.linspace(0, 4095, 6 * 16).reshape(6, 4, 4)
        for images, limits in (
            (numbers.astype("uint16"), "0:4095"),
            (numbers / 4095, "0:1"),
            (numbers / 4095 * 2 - 1, "-1:1"),
        ):
            source = write(images=images, labels=np.arange(6) % 2)
            with pytest.raises(DataError, match=r"add \?range=BLACK:WHITE .* values are -?\d"):
                load(source)
            scaled = arrays(load(f"{source}?range={limits}", split="all").test)[..., 0]
            np.testing.assert_allclose(scaled, numbers / 4095 * 255, atol=1)

    def test_what_an_array_declares_is_compared_with_what_is_there(self, tmp_path, monkeypatch):
        path = tmp_path / "set.npz"
        header = io.BytesIO()
        claim = {"descr": "|u1", "fortran_order": False, "shape": (2**40, 28, 28)}
        np.lib.format.write_array_header_1_0(header, claim)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", header.getvalue() + bytes(100))
            archive.writestr("labels.npy", header.getvalue())
        with pytest.raises(DataError, match=r"set\.npz can't be read.*says that it holds"):
            load(f"npz:{path}")
        np.savez_compressed(path, images=np.zeros((3000, 64, 64), "uint8"), labels=np.zeros(3000))
        monkeypatch.setattr(sources, "_memory", lambda: 2**20)
        with pytest.raises(DataError, match=r"images takes 0\.0 GiB, more than the memory holds"):
            load(f"npz:{path}")

    def test_a_class_without_training_images_is_told(self, write):
        parts = load(write(images=np.zeros((9, 4, 4), "uint8"), labels=[0, 2, 3] * 3))
        assert "No training image of 1 class: 1." in parts.notes

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"pictures": [1]}, r"x_train and y_train.*Received: pictures"),
            ({"images": np.zeros((3, 4, 4)), "labels": [0, 1, 2]}, r"uint8 .*Received: float64"),
            ({"images": np.zeros((3, 4), "uint8"), "labels": [0, 1, 2]}, r"Received: uint8 \[3, 4"),
            ({"images": np.zeros((3, 4, 4), "uint8"), "labels": [0, 1]}, r"and 2 labels"),
            ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0, -1]}, r"Received: -1 at pos"),
            ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0.0, 1.0]}, r"float64 \[2\]"),
            ({"images": np.zeros((2, 4, 4), "uint8"), "labels": [0, 1000]}, r"highest is 1000"),
            ({"images": np.zeros((0, 4, 4), "uint8"), "labels": np.zeros(0, int)}, r"no training"),
            (
                {
                    "images": np.zeros((2, 4, 4), "uint8"),
                    "labels": [0, 2],
                    "class_names": ["a", "b"],
                },
                r"expected 0 to 1. Received: 2 at position 1",
            ),
        ],
    )
    def test_unusable_content_is_refused_and_the_file_named(self, write, content, message):
        with pytest.raises(DataError, match=r"set\.npz.*" + message):
            load(write(**content))

    def test_damaged_archives_are_refused_and_named(self, tmp_path):
        path = tmp_path / "set.npz"
        np.savez_compressed(path, images=RNG.integers(0, 256, (50, 8, 8)), labels=np.arange(50))
        whole = path.read_bytes()
        damaged = whole[:200] + bytes(100) + whole[300:]
        pickled = pickle.dumps({"images": 1})
        for content in (b"", b"text", whole[: len(whole) // 2], damaged, pickled):
            path.write_bytes(content)
            with pytest.raises(DataError, match=r"set\.npz can't be read") as raised:
                load(f"npz:{path}")
            assert "unsafely" not in str(raised.value), "NumPy's advice for anything unknown"
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
        with pytest.raises(DataError, match="no zip archive of arrays"):
            load(f"npz:{path}")
        images = np.empty(2, object)
        images[:] = [np.zeros((8, 8)), np.zeros((9, 8))]
        np.savez(path, images=images, labels=[0, 1])
        with pytest.raises(DataError, match="Images of several sizes can be read as files"):
            load(f"npz:{path}")
        with pytest.raises(DataError, match=r"no file .*missing\.npz"):
            load(f"npz:{tmp_path / 'missing.npz'}")


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
