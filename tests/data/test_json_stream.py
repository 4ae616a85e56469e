"""Large JSON files, element by element."""

import io
import json
import re

import pytest

from kerascnn.data import json_stream
from kerascnn.data.json_stream import elements

WHOLE = {
    "info": {"year": 2017, "of": [1, 2]},
    "none": None,
    "number": -1.5e3,
    "text": 'a "quoted" [text] with \\ and {',
    "empty": [],
    "annotations": [{"counts": '[[{\\"', "n": [[1, 2.5], [3]]}, {"ü": "é"}, 7, "x", None, []],
    "images": [{"id": 1}],
}


def read(content):
    content = content if isinstance(content, bytes) else content.encode()
    return list(elements(io.BytesIO(content)))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 4096])
@pytest.mark.parametrize("style", [{}, {"indent": 1}, {"separators": (",", ":")}])
def test_elements_are_those_of_a_parser_whatever_is_read_at_a_time(monkeypatch, chunk, style):
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    content = json.dumps(WHOLE, ensure_ascii=False, **style).encode()
    found = read(content)
    assert [(one.key, one.parsed()) for one in found] == [
        (key, value) for key in ("annotations", "images") for value in WHOLE[key]
    ]
    for one in found:
        assert content[one.start :].startswith(one.text)


def test_a_mark_of_windows_is_passed_over():
    assert len(read(b"\xef\xbb\xbf" + json.dumps(WHOLE).encode())) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "ends too early, at byte 0"),
        ("[1]", "expected { at byte 0. Received: b'['"),
        ('{"a": [1, 2', "ends too early"),
        ('{"a": [{"b": "c]}', "ends too early, in what begins at byte 7"),
        ('{"a": [1 2]}', "expected , or ] at byte 9"),
        ('{"a": [1,]}', "expected a value at byte 9"),
        ('{"a": [1], "a": [2]}', "expected another name in quotes"),
        ("{7: [1]}", "expected another name in quotes"),
        ('{"a" [1]}', "expected : at byte 5"),
        ('{"a": ' + "[" * 100, "nested more than 32 deep"),
        ('{"a": ' + '{"a":[' * 100, "nested more than 32 deep"),
        ('{"a": [' + "9" * 5000 + "]}", "expected a value at byte 7"),
    ],
)
def test_what_is_no_object_of_lists_is_refused_with_the_place(content, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(content)


def test_a_long_element_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(json_stream, "LONGEST", 1000)
    monkeypatch.setattr(json_stream, "CHUNK", 100)
    assert len(read('{"a": ["' + "x" * 900 + '"]}')) == 1
    with pytest.raises(ValueError, match="an element is longer than"):
        read('{"a": ["' + "x" * 5000 + '"]}')


def test_no_number_is_refused():
    (found,) = read('{"a": [{"b": NaN}]}')
    with pytest.raises(ValueError, match="Received: NaN"):
        found.parsed()


def test_a_number_of_thousands_of_digits_is_refused():
    (found,) = read('{"a": [[' + "9" * 5000 + "]]}")
    with pytest.raises(ValueError, match="a number has thousands of digits"):
        found.parsed()
