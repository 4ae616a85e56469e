"""What arguments mean: files, folders, patterns and names on a stream, in a fixed order."""

import io
import os

import pytest

from kerascnn.data.files import Files


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a/2.JPG", "a/10.png", "a/deep/er/x.webp", "a.png", "a/notes.txt"):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        open(name, "w").close()
    open("a/.hidden.png", "w").close()
    os.makedirs("empty/.kept")
    return tmp_path


def found(*names, stream=b"", end=b"\n"):
    return [(one.path, bool(one.error)) for one in Files(names, io.BytesIO(stream), end)]


def paths(*names, **options):
    return [path for path, wrong in found(*names, **options) if not wrong]


def test_a_folder_means_its_images_in_the_order_of_their_paths(tree):
    whole = ["./a.png", "./a/10.png", "./a/2.JPG", "./a/deep/er/x.webp", "./b.png"]
    assert paths(".") == whole == sorted(whole)
    files = Files(["a"], io.BytesIO())
    assert len(list(files)) == 3
    assert files.passed_over == 1, "notes.txt; hidden files are passed over in silence"


def test_arguments_keep_their_order_and_their_repetitions(tree):
    assert paths("b.png", "a/2.JPG", "b.png") == ["b.png", "a/2.JPG", "b.png"]


def test_patterns_are_for_what_is_not_there(tree):
    (tree / "x[1].png").touch()
    (tree / "x1.png").touch()
    assert paths("x[1].png") == ["x[1].png"]
    assert paths("x[12].png") == ["x1.png"]
    assert paths("a/**/*.webp") == ["a/deep/er/x.webp"]
    assert paths("[ab].png") == ["a.png", "b.png"]


def test_names_on_the_stream_end_with_a_newline_or_with_nul(tree):
    open("new\nline.png", "w").close()
    assert paths("-", stream=b"b.png\r\n\na.png\na/deep") == ["b.png", "a.png", "a/deep/er/x.webp"]
    assert paths("a.png", "-", stream=b"new\nline.png\0b.png\0", end=b"\0") == [
        *("a.png", "new\nline.png", "b.png")
    ]
    long = b"\0".join([b"b.png"] * 30_000)
    assert paths("-", stream=long, end=b"\0") == ["b.png"] * 30_000


def test_a_name_that_is_no_utf8_is_kept(tree):
    name = b"caf\xe9.png"
    open(name, "w").close()
    for given in (paths("-", stream=name), paths("caf*.png"), paths(os.fsdecode(name))):
        assert [os.fsencode(path) for path in given] == [name]


def test_what_can_not_be_read_is_there_with_its_reason(tree):
    os.mkfifo("a/pipe.png")  # opening it would wait for ever
    os.symlink("nowhere.png", "link.png")
    given = ["nothing.png", "nothing*.png", "empty", "a/pipe.png", "link.png", "b.png"]
    expected = [(name, name != "b.png") for name in given]
    assert found(*given) == expected
    reasons = [one.error for one in Files(given, io.BytesIO())]
    assert reasons == [
        "there is no such file",
        "there is no such file, and nothing matches it as a pattern",
        "there is no image in this folder",
        "it is no regular file",
        "there is no such file",
        "",
    ]


def test_nothing_is_looked_at_before_it_is_asked_for(tree):
    """Names may come for hours from another program."""

    class Endless(io.RawIOBase):
        def readinto(self, buffer):
            buffer[:6] = b"b.png\n"
            return 6

        def readable(self):
            return True

    stream = io.BufferedReader(Endless())
    files = iter(Files(["-"], stream))
    assert [next(files).path for _ in range(100)] == ["b.png"] * 100
