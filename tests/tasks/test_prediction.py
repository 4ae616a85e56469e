"""Predicting files takes the memory of a few batches, whatever their number."""

import itertools
import json
import shutil

import numpy as np
from PIL import Image

import kerascnn
from kerascnn.data import reading
from kerascnn.data.files import Found
from kerascnn.data.reading import AHEAD
from kerascnn.tasks.forward import predicted_files


def test_no_more_files_are_taken_than_will_be_read_soon(striped_run, photos):
    """From names without an end, in their order; an unreadable one has its place in it."""
    taken = 0

    def endless():
        nonlocal taken
        images = sorted((photos / "down").iterdir())
        for path in itertools.cycle([images[0], photos / "gone.png", images[1]]):
            taken += 1
            yield Found(str(path))

    found = predicted_files(striped_run.model(), striped_run.config, endless(), batch_size=4)
    first = [next(found) for _ in range(10)]
    assert taken <= 4 * (3 + AHEAD)
    assert [one.path.rsplit("/", 1)[1] for one in first[:4]] == [
        *("000.png", "gone.png", "001.png", "000.png")
    ]
    assert [bool(one.error) for one in first] == [number % 3 == 1 for number in range(10)]
    assert all((one.answer is None) == bool(one.error) for one in first)
    found.close()


def test_files_are_read_ahead_of_the_network(striped_run, photos, monkeypatch):
    """While a batch is looked at, the following ones are being read."""
    submitted = []
    pool = reading.threads()

    class Pool:
        def submit(self, *task):
            submitted.append(task[1].path)
            return pool.submit(*task)

    monkeypatch.setattr(reading, "threads", Pool)
    files = [Found(str(path)) for path in sorted((photos / "down").iterdir())[:24]]
    found = predicted_files(striped_run.model(), striped_run.config, files, batch_size=4)
    next(found)
    assert submitted == [file.path for file in files[: 4 * (1 + AHEAD)]]
    assert len(list(found)) == 23


def test_whatever_one_file_does_the_others_are_done(striped_run, photos, monkeypatch):
    """A decoder may raise anything, or run out of memory."""
    paths = [str(path) for path in sorted((photos / "plain").iterdir())[:3]]
    read = reading.images.read

    def failing(path, shape, *how):
        if path == paths[1]:
            raise MemoryError("too large")
        return read(path, shape, *how)

    monkeypatch.setattr(reading.images, "read", failing)
    found = list(predicted_files(striped_run.model(), striped_run.config, map(Found, paths)))
    reason = f"{paths[1]} can't be read as an image: too large"
    assert [one.error for one in found] == ["", reason, ""]


def test_files_are_read_as_training_read_them(striped_run, photos, tmp_path):
    """Of 12 bits in 16, a run with a range in its source sees what it was trained on."""
    shutil.copytree(striped_run.path, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"]["source"] += "?range=0:4080"
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    plain = sorted((photos / "across").iterdir())[:3]
    wide = [tmp_path / f"{path.stem}.tif" for path in plain]
    for path, copy in zip(plain, wide):
        Image.fromarray(np.asarray(Image.open(path)).astype("uint16") * 16).save(copy)

    def seen(run, paths):
        found = list(predicted_files(run.model(), run.config, [Found(str(path)) for path in paths]))
        return np.stack([one.answer for one in found]), {one.changes for one in found}

    expected, _ = seen(striped_run, plain)
    received, changes = seen(kerascnn.Run(tmp_path / "run"), wide)
    np.testing.assert_allclose(received, expected, atol=1e-6)
    assert changes == {("scaled from 0:4080 to 8 bits",)}
    _, changes = seen(striped_run, wide)
    assert all("nearly black" in " ".join(some) for some in changes)
