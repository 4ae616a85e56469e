"""A page shows what it is given as text, and asks for nothing from anywhere."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

from matplotlib.figure import Figure
from PIL import Image

from kerascnn.reports.page import MOST_ROWS, Code, Page, Picture, Section, Table, Text

EVIL = "</td><script>alert(1)</script><img src=x onerror=y>&\x1b[31m\u202e"


class Parsed(HTMLParser):
    """The tags and texts of a page; VOID elements are not closed."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def every(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def page_of(*parts, title="A run"):
    return Page(title, "lead", [Section("First", parts), Section("Empty", [])]).html()


def picture(**changes):
    figure = Figure(figsize=(4, 2))
    figure.add_subplot().plot([1, 2])
    return Picture.of(figure, "a line", **changes)


def test_whatever_a_run_says_is_text():
    parts = Text(EVIL), Code(EVIL), Table([[EVIL, EVIL]], [EVIL, EVIL], EVIL), picture(caption=EVIL)
    found = Parsed(page_of(*parts, title=EVIL))
    assert found.every("script") == []
    assert len(found.every("img")) == 1
    assert not any("onerror" in attributes for _, attributes in found.tags)
    assert "\x1b" not in "".join(found.texts)
    assert "\u202e" not in "".join(found.texts)
    assert sum("<script>alert(1)</script>" in text for text in found.texts) > 5


def test_a_page_loads_nothing_and_its_policy_says_so():
    found = Parsed(page_of(picture(), Text("https://example.org/")))
    sources = [a[key] for _, a in found.tags for key in ("src", "href") if key in a]
    assert all(source.startswith(("#", "data:image/webp;base64,")) for source in sources)
    assert found.every("link") == []
    (policy,) = [a["content"] for a in found.every("meta") if "http-equiv" in a]
    style = re.search("<style>(.*?)</style>", page_of(), re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"style-src 'sha256-{digest}'" in policy
    assert not any("style" in attributes for _, attributes in found.tags)


def test_headings_lead_to_their_sections_and_an_empty_one_is_left_out():
    found = Parsed(page_of(Text("words")))
    assert [attributes["href"] for attributes in found.every("a")] == ["#s0"]
    assert [attributes["id"] for attributes in found.every("section")] == ["s0"]
    assert "Empty" not in found.texts


def test_a_picture_is_a_webp_file_with_words_for_who_does_not_see_it():
    one = picture(caption="below")
    with Image.open(io.BytesIO(one.content)) as image:
        assert (image.format, image.size) == ("WEBP", (600, 300))
    (shown,) = Parsed(page_of(one)).every("img")
    assert (shown["alt"], shown["width"], shown["height"]) == ("a line", "400", "200")


def test_a_huge_figure_becomes_a_picture_that_browsers_take():
    figure = Figure(figsize=(2, 200))
    with Image.open(io.BytesIO(Picture.of(figure, "long").content)) as image:
        assert image.height == 4096


def test_a_long_table_ends_and_says_so():
    rows = [[f"class {number}", number] for number in range(MOST_ROWS + 25)]
    text = page_of(Table(rows, ["class", "images"], "Classes"))
    assert len(Parsed(text).every("tr")) == MOST_ROWS + 1
    assert "Classes (and 25 more)" in text


def test_columns_of_numbers_stand_at_the_right():
    text = page_of(Table([["a", "1.2 %", "b"], ["b", "–", "c"]], ["name", "share", "other"]))
    assert text.count('class="number"') == 3  # the share's heading and cells
