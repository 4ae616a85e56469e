"""Predicting files takes the memory of a few batches, whatever their number."""

import itertools

from kerascnn.runs import prediction
from kerascnn.runs.files import Found
from kerascnn.runs.prediction import AHEAD, predict_files


def test_no_more_files_are_taken_than_will_be_read_soon(striped_run, photos):
    """From names without an end, in their order; an unreadable one has its place in it."""
    taken = 0

    def endless():
        nonlocal taken
        images = sorted((photos / "down").iterdir())
        for path in itertools.cycle([images[0], photos / "gone.png", images[1]]):
            taken += 1
            yield Found(str(path))

    found = predict_files(striped_run, endless(), batch_size=4)
    first = [next(found) for _ in range(10)]
    assert taken <= 4 * (3 + AHEAD)
    assert [one.path.rsplit("/", 1)[1] for one in first[:4]] == [
        *("000.png", "gone.png", "001.png", "000.png")
    ]
    assert [bool(one.error) for one in first] == [number % 3 == 1 for number in range(10)]
    assert all(one.probabilities.size == (0 if one.error else 3) for one in first)
    found.close()


def test_files_are_read_ahead_of_the_network(striped_run, photos, monkeypatch):
    """While a batch is looked at, the following ones are being read."""
    submitted = []
    pool = prediction.images.workers()

    class Pool:
        def submit(self, *task):
            submitted.append(task[1].path)
            return pool.submit(*task)

    monkeypatch.setattr(prediction.images, "workers", Pool)
    files = [Found(str(path)) for path in sorted((photos / "down").iterdir())[:24]]
    found = predict_files(striped_run, files, batch_size=4)
    next(found)
    assert submitted == [file.path for file in files[: 4 * (1 + AHEAD)]]
    assert len(list(found)) == 23


def test_whatever_one_file_does_the_others_are_done(striped_run, photos, monkeypatch):
    """A decoder may raise anything, or run out of memory."""
    paths = [str(path) for path in sorted((photos / "plain").iterdir())[:3]]
    read = prediction.images.read

    def failing(path, shape):
        if path == paths[1]:
            raise MemoryError("too large")
        return read(path, shape)

    monkeypatch.setattr(prediction.images, "read", failing)
    found = list(predict_files(striped_run, map(Found, paths)))
    reason = f"{paths[1]} can't be read as an image: too large"
    assert [one.error for one in found] == ["", reason, ""]
